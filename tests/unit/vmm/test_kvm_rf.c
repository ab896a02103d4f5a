/*
 * RFLAGS.RF as the KVM engine shows it (docs/determinism.md): at a kick, after a completed port
 * access, in HLT.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/arch/engine.h"
#include "vmm/machine/probe.h"
#include "vmm/arch/repeat.h"
#include "vmm/kvm/kvm.h"
#include "vmm/machine/engines.h"

enum { RAM = 32 << 20, TABLES = 0x1000, GDT = 0x500, CODE = 0x20000, STACK = 0x30000 };

static struct memory memory;
static struct engine *engine, *soft;
static struct error error;

static struct segment segment(uint16_t selector, unsigned type, unsigned ring)
{
    return (struct segment){.limit = UINT32_MAX,
        .selector = (uint16_t)(selector | ring),
        .attributes = (uint16_t)(type | SEG_ACCESSED | SEG_WRITABLE | SEG_S | SEG_P | SEG_G |
                                 ring << SEG_DPL_SHIFT)};
}

static void put64(uint64_t gpa, uint64_t value)
{
    assert_true(memory_write(&memory, gpa, &value, sizeof value));
}

/* 64-bit mode, memory mapped one to one, all of it for ring 3, too. */
static void start(const void *code, size_t size, unsigned ring)
{
    struct vcpu_state state;
    static const uint64_t gdt[] = {
        0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff};
    put64(TABLES, (TABLES + 0x1000) | 7);
    put64(TABLES + 0x1000, (TABLES + 0x2000) | 7);
    for (uint64_t i = 0; i < RAM >> 21; i++)
        put64(TABLES + 0x2000 + 8 * i, i << 21 | 0x87);
    assert_true(memory_write(&memory, GDT, gdt, sizeof gdt));
    assert_true(memory_write(&memory, CODE, code, size));
    vcpu_reset(&state);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        state.segment[i] = segment(ring ? 0x20 : 0x18, SEG_DB, ring);
    state.segment[SEG_CS] = segment(ring ? 0x28 : 0x10, SEG_CODE | SEG_L, ring);
    state.tr = (struct segment){.selector = 0x30, .limit = 0x67, .attributes = 0xb | SEG_P};
    state.ldt = (struct segment){0};
    state.gdt = (struct descriptor_table){GDT, sizeof gdt - 1};
    state.cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    state.cr3 = TABLES;
    state.cr4 = CR4_PAE;
    state.efer = EFER_LME | EFER_LMA | EFER_NXE;
    state.rflags = FLAG_ONE | FLAG_IF;
    state.rip = CODE;
    state.gpr[RSP] = STACK;
    state.gpr[RDI] = 0x200000;
    assert_int_equal(engine_import_state(engine, &state, &error), 0);
}

static struct vcpu_exit run(struct vcpu_state *state)
{
    const struct run_request request = {.budget = BUDGET_UNLIMITED};
    struct vcpu_exit exit;
    if (engine_run(engine, &request, &exit, &error) < 0)
        fail_msg("%s", error.text);
    if (exit.kind == EXIT_PIO_OUT || exit.kind == EXIT_HLT)
        assert_int_equal(engine_complete(engine, 0, &error), ENGINE_DONE);
    assert_int_equal(engine_export_state(engine, state, &error), 0);
    return exit;
}

/* Past a kick that was left over. */
static struct vcpu_exit run_to_exit(struct vcpu_state *state)
{
    struct vcpu_exit exit;
    do
        exit = run(state);
    while (exit.kind == EXIT_KICK);
    return exit;
}

/* One instruction on the software CPU, as the run loop has it done. */
static void assist(struct vcpu_state *state)
{
    const struct run_request request = {.budget = 1};
    struct vcpu_exit exit;
    assert_int_equal(engine_import_state(soft, state, &error), 0);
    engine_forget_code(soft);
    assert_int_equal(engine_run(soft, &request, &exit, &error), 0);
    assert_int_equal(exit.kind, EXIT_BUDGET);
    assert_int_equal(engine_export_state(soft, state, &error), 0);
    assert_int_equal(engine_import_state(engine, state, &error), 0);
}

static void *kick_on(void *stop)
{
    for (unsigned seed = 1; !atomic_load((atomic_bool *)stop);) {
        usleep(50 + (unsigned)rand_r(&seed) % 200);
        engine_kick(engine);
    }
    return NULL;
}

struct counts {
    unsigned kicks, uncertain, repeated;
};

/* Runs ring 3 code through kicks, now and then with the log of written pages started anew, so that
 * the host has faults to handle. */
static struct counts kicked(const void *code, size_t size, unsigned kicks)
{
    struct vcpu_state state;
    struct repeat repeat;
    struct counts counts = {0};
    pthread_t thread;
    atomic_bool stop = false;
    start(code, size, 3);
    assert_int_equal(pthread_create(&thread, NULL, kick_on, &stop), 0);
    while (counts.kicks < kicks) {
        uint64_t *pages;
        unsigned count;
        struct vcpu_exit exit = run(&state);
        if (exit.kind == EXIT_UNEMULATED) {
            assert_true(state.rflags & FLAG_RF);
            counts.uncertain++;
            assist(&state);
            exit = run(&state); /* the kick is not lost */
        }
        assert_int_equal(exit.kind, EXIT_KICK);
        assert_false(state.rflags & FLAG_RF);
        assert_true(engine_interruptible(engine));
        counts.repeated += repeat_at_rip(&memory, &state, &repeat);
        if (counts.kicks++ % 4)
            continue;
        assert_int_equal(engine_take_dirty_pages(engine, &pages, &count, &error), 0);
        free(pages);
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    return counts;
}

static void where_a_kick_lands_rf_is_clear(void **state)
{
    (void)state;
    /* One store for each page from 2 MiB to 16 MiB; the same by REP STOS. */
    static const uint8_t walk[] = {0x48, 0x89, 0x3f, 0x48, 0x81, 0xc7, 0x00, 0x10, 0x00, 0x00, 0x48,
        0x81, 0xff, 0x00, 0x00, 0x00, 0x01, 0x72, 0xed, 0xbf, 0x00, 0x00, 0x20, 0x00, 0xeb, 0xe6};
    static const uint8_t fill[] = {
        0xbf, 0x00, 0x00, 0x20, 0x00, 0xb9, 0x00, 0x00, 0x10, 0x00, 0xf3, 0x48, 0xab, 0xeb, 0xf1};
    struct counts counts = kicked(walk, sizeof walk, 400);
    printf("among stores: %u of %u kicks were uncertain\n", counts.uncertain, counts.kicks);
    assert_int_equal(counts.repeated, 0);
    counts = kicked(fill, sizeof fill, 400);
    printf("in REP STOS: %u of %u kicks were uncertain\n", counts.uncertain, counts.kicks);
    assert_true(counts.repeated > 300);
}

/* IRETQ to the next instruction, with RF; OUT, HLT. */
static void behind_an_exit_rf_is_clear(void **state)
{
    (void)state;
    static const uint8_t code[] = {0x48, 0x89, 0xe1, 0x8c, 0xd0, 0x50, 0x51, 0x9c, 0x81, 0x0c, 0x24,
        0x00, 0x00, 0x01, 0x00, 0x8c, 0xc8, 0x50, 0x68, 0x19, 0x00, 0x02, 0x00, 0x48, 0xcf, 0xe6,
        0x80, 0xf4};
    struct vcpu_state vcpu;
    start(code, sizeof code, 0);
    assert_int_equal(run_to_exit(&vcpu).kind, EXIT_PIO_OUT);
    assert_true(vcpu.rip == CODE + 0x1b);
    assert_false(vcpu.rflags & FLAG_RF);
    assert_int_equal(run_to_exit(&vcpu).kind, EXIT_HLT);
    assert_false(vcpu.rflags & FLAG_RF);
    /* The same with the HLT after the IRETQ. */
    uint8_t halts[sizeof code];
    for (size_t i = 0; i < sizeof code; i++)
        halts[i] = i == 0x19 ? 0xf4 : code[i];
    start(halts, sizeof halts, 0);
    assert_int_equal(run_to_exit(&vcpu).kind, EXIT_HLT);
    assert_true(vcpu.rip == CODE + 0x1a);
    assert_false(vcpu.rflags & FLAG_RF);
}

int main(void)
{
    struct probe probe;
    const struct memory_backend backend = {.size = RAM};
    probe_kvm(&probe);
    if (!probe.usable) {
        puts("skipped: no usable /dev/kvm");
        return 77;
    }
    if (memory_create(&memory, &backend, 1, &error) < 0 ||
        !(engine = kvm_create(&memory, PERSONALITY_OF_MODEL, &error)) ||
        !(soft = engines_soft(&memory, &error))) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_a_kick_lands_rf_is_clear),
        cmocka_unit_test(behind_an_exit_rf_is_clear),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    engine_destroy(engine);
    engine_destroy(soft);
    memory_destroy(&memory);
    return failed;
}
