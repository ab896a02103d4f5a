/* SYSENTER, SYSEXIT and SYSRET in long mode, where the makers differ. Expectations from APM volume
 * 3 and SDM volume 2; no host instruction takes part. */
#include "guest64.h"

enum {
    GDT = 0x7000,
    TSS = 0x8000,
    IDT = 0x5000,
    HANDLERS = 0x6000,
    TARGET = 0x120000,
    USER_STACK = 0x280000,
    STEPS = 4,
};

enum { UD = 6, GP = 13, VECTORS = 32 };

static const uint64_t wild = 0x0000800000000000;

struct outcome {
    int vector; /* -1: HLT at TARGET, in ring 0 */
    struct vcpu_state state;
    uint64_t frame[5]; /* RIP, CS, RFLAGS, RSP, SS of a fault, past its error code */
};

static void build(struct guest *guest, struct vcpu_state *state)
{
    static const unsigned tables[] = {GUEST_TABLES, GUEST_TABLES + 0x1000};
    for (unsigned i = 0; i < 2; i++)
        guest_put64(guest, tables[i], guest_get64(guest, tables[i]) | 4);
    for (unsigned i = 0; i < GUEST_RAM >> 21; i++)
        guest_put64(guest, GUEST_TABLES + 0x2000 + 8 * i, (uint64_t)i << 21 | 0x87);
    guest_put64(guest, GDT + 8, 0x00af9b000000ffff);
    guest_put64(guest, GDT + 16, 0x00cf93000000ffff);
    guest_put64(guest, TSS + 4, GUEST_STACK);
    for (uint64_t i = 0; i < VECTORS; i++) {
        guest_put64(guest, IDT + 16 * i, (HANDLERS + 16 * i) | 8 << 16 | 0x8e00ull << 32);
        guest->memory.host[HANDLERS + 16 * i] = 0xf4;
    }
    guest->memory.host[TARGET] = 0xf4;
    guest_export(guest, state);
    state->gdt = (struct descriptor_table){GDT, 0x1f};
    state->idt = (struct descriptor_table){IDT, 16 * VECTORS - 1};
    state->tr = (struct segment){TSS, 0x67, 0x18, 0x8b};
    state->efer |= EFER_SCE;
    state->star = 0x0023000800000000;
    state->sysenter_cs = 8;
    state->sysenter_eip = TARGET;
    state->sysenter_esp = GUEST_STACK;
}

static void to_ring_3(struct vcpu_state *state)
{
    state->segment[SEG_CS].selector = 0x33;
    state->segment[SEG_CS].attributes = 0xafb;
    state->segment[SEG_SS].selector = 0x2b;
    state->segment[SEG_SS].attributes = 0xcf3;
}

/* One instruction in 64-bit code; RDX and RCX are what SYSEXIT and SYSRET go to. */
static struct outcome execute(struct personality personality, const uint8_t *code, size_t size,
    bool ring_3, uint64_t rdx, uint64_t rcx)
{
    struct guest guest;
    struct outcome outcome = {.vector = -1};
    struct vcpu_state *state = &outcome.state;
    guest_create(&guest, code, size);
    engine_set_personality(guest.engine, personality);
    build(&guest, state);
    if (ring_3)
        to_ring_3(state);
    state->gpr[RDX] = rdx;
    state->gpr[RCX] = rcx;
    state->gpr[R11] = FLAG_ONE;
    guest_import(&guest, state);
    struct vcpu_exit exit = guest_run(&guest, STEPS);
    assert_int_equal(exit.kind, EXIT_HLT);
    assert_int_equal(engine_complete(guest.engine, 0, &guest.error), ENGINE_DONE);
    guest_export(&guest, state);
    if (state->rip - HANDLERS < 16 * VECTORS) {
        outcome.vector = (int)(state->rip - HANDLERS) / 16;
        unsigned error = outcome.vector == GP ? 8 : 0;
        for (unsigned i = 0; i < 5; i++)
            outcome.frame[i] = guest_get64(&guest, state->gpr[RSP] + error + 8 * i);
    }
    guest_destroy(&guest);
    return outcome;
}

static const uint8_t sysenter[] = {0x0f, 0x34}, sysexit[] = {0x0f, 0x35};
static const uint8_t sysexit_64[] = {0x48, 0x0f, 0x35}, sysret_64[] = {0x48, 0x0f, 0x07};
static const struct personality amd = {MAKER_AMD, 2}, intel = {MAKER_INTEL, 2},
                                intel_1 = {MAKER_INTEL, 1};

static void sysenter_in_long_mode(void **state)
{
    (void)state;
    const struct personality without[] = {amd, intel_1};
    for (unsigned i = 0; i < 2; i++) {
        struct outcome none = execute(without[i], sysenter, sizeof sysenter, true, 0, 0);
        assert_int_equal(none.vector, UD);
        assert_int_equal(none.frame[0], GUEST_CODE);
    }
    struct outcome got = execute(intel, sysenter, sizeof sysenter, true, 0, 0);
    assert_int_equal(got.vector, -1);
    assert_int_equal(got.state.rip, TARGET + 1);
    assert_int_equal(got.state.gpr[RSP], GUEST_STACK);
    assert_int_equal(got.state.segment[SEG_CS].selector, 8);
    assert_int_equal(got.state.segment[SEG_SS].selector, 16);
    assert_true(vcpu_in_64bit_mode(&got.state));
    assert_int_equal(vcpu_cpl(&got.state), 0);
}

/* HLT at the target is #GP in ring 3, whose frame tells where it was. */
static void sysexit_in_long_mode(void **state)
{
    (void)state;
    struct outcome got = execute(amd, sysexit_64, sizeof sysexit_64, false, TARGET, USER_STACK);
    assert_int_equal(got.vector, UD);
    got = execute(intel, sysexit_64, sizeof sysexit_64, false, TARGET, USER_STACK);
    assert_int_equal(got.vector, GP);
    assert_int_equal(got.frame[0], TARGET);
    assert_int_equal(got.frame[1], (8 + 32) | 3);
    assert_int_equal(got.frame[3], USER_STACK);
    assert_int_equal(got.frame[4], (8 + 40) | 3);
    got = execute(
        intel, sysexit, sizeof sysexit, false, TARGET | 1ull << 32, USER_STACK | 1ull << 32);
    assert_int_equal(got.frame[0], TARGET);
    assert_int_equal(got.frame[1], (8 + 16) | 3);
    assert_int_equal(got.frame[3], USER_STACK);
    got = execute(intel, sysexit_64, sizeof sysexit_64, true, TARGET, USER_STACK);
    assert_int_equal(got.vector, GP); /* in ring 3 */
    assert_int_equal(got.frame[0], GUEST_CODE);
    got = execute(intel, sysexit_64, sizeof sysexit_64, false, wild, USER_STACK);
    assert_int_equal(got.frame[0], GUEST_CODE);
    assert_int_equal(got.frame[1], 8);
    got = execute(intel, sysexit_64, sizeof sysexit_64, false, TARGET, wild);
    assert_int_equal(got.frame[0], GUEST_CODE);
}

static void sysret_to_a_rip_that_is_not_canonical(void **state)
{
    (void)state;
    struct outcome got = execute(intel, sysret_64, sizeof sysret_64, false, 0, wild);
    assert_int_equal(got.vector, GP);
    assert_int_equal(got.frame[0], GUEST_CODE);
    assert_int_equal(got.frame[1], 8);
    const struct personality late[] = {amd, intel_1};
    for (unsigned i = 0; i < 2; i++) {
        got = execute(late[i], sysret_64, sizeof sysret_64, false, 0, wild);
        assert_int_equal(got.vector, GP);
        assert_int_equal(got.frame[0], wild);
        assert_int_equal(got.frame[1], 0x33);
    }
    got = execute(intel, sysret_64, sizeof sysret_64, false, 0, TARGET);
    assert_int_equal(got.frame[0], TARGET);
    assert_int_equal(got.frame[1], 0x33);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sysenter_in_long_mode),
        cmocka_unit_test(sysexit_in_long_mode),
        cmocka_unit_test(sysret_to_a_rip_that_is_not_canonical),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
