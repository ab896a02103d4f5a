/* The software CPU as an engine: exact budgets, self-modifying code, code across pages,
 * breakpoints, watchpoints, interrupted repetitions. The programs' bytes were assembled by nasm
 * from the source above each. */
#include "guest64.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/*
 *    mov esi, 0x300000
 *    mov ebx, 1
 *  outer:
 *    mov edx, 9
 *  inner:
 *    add eax, ebx
 *    imul ebx, ebx, 0x343fd
 *    add ebx, 0x269ec3
 *    mov edi, ebx
 *    shr edi, 16
 *    mov [rsi+rdi*4], eax
 *    adc rax, [rsi+rdi*4+8]
 *    test r8b, 5
 *    jz skip
 *    inc r9
 *  skip:
 *    call func
 *    dec edx
 *    jnz inner
 *    push rsi
 *    mov edi, 0x380000
 *    mov ecx, ebx
 *    and ecx, 0x3f
 *    rep movsb
 *    xchg eax, ecx
 *    mov al, bl
 *    mov edi, 0x300000
 *    mov ecx, 200
 *    repne scasb
 *    pop rsi
 *    inc r10
 *    jmp outer
 *  func:
 *    push rbx
 *    lea r8, [rax+rbx*2+5]
 *    sub rax, r8
 *    pop rbx
 *    ret
 */
static const uint8_t mix_code[] = {0xbe, 0x00, 0x00, 0x30, 0x00, 0xbb, 0x01, 0x00, 0x00, 0x00, 0xba,
    0x09, 0x00, 0x00, 0x00, 0x01, 0xd8, 0x69, 0xdb, 0xfd, 0x43, 0x03, 0x00, 0x81, 0xc3, 0xc3, 0x9e,
    0x26, 0x00, 0x89, 0xdf, 0xc1, 0xef, 0x10, 0x89, 0x04, 0xbe, 0x48, 0x13, 0x44, 0xbe, 0x08, 0x41,
    0xf6, 0xc0, 0x05, 0x74, 0x03, 0x49, 0xff, 0xc1, 0xe8, 0x26, 0x00, 0x00, 0x00, 0xff, 0xca, 0x75,
    0xd3, 0x56, 0xbf, 0x00, 0x00, 0x38, 0x00, 0x89, 0xd9, 0x83, 0xe1, 0x3f, 0xf3, 0xa4, 0x91, 0x88,
    0xd8, 0xbf, 0x00, 0x00, 0x30, 0x00, 0xb9, 0xc8, 0x00, 0x00, 0x00, 0xf2, 0xae, 0x5e, 0x49, 0xff,
    0xc2, 0xeb, 0xac, 0x53, 0x4c, 0x8d, 0x44, 0x58, 0x05, 0x4c, 0x29, 0xc0, 0x5b, 0xc3};

/*
 *    mov ecx, 3
 *  again:
 *    add byte [rel patch+1], 5
 *  patch:
 *    mov al, 0
 *    add ebx, eax
 *    dec ecx
 *    jnz again
 *    hlt
 */
static const uint8_t smc_code[] = {0xb9, 0x03, 0x00, 0x00, 0x00, 0x80, 0x05, 0x01, 0x00, 0x00, 0x00,
    0x05, 0xb0, 0x00, 0x01, 0xc3, 0xff, 0xc9, 0x75, 0xf1, 0xf4};

/*
 *    mov eax, 0x11223344
 *    hlt
 */
static const uint8_t cross_code[] = {0xb8, 0x44, 0x33, 0x22, 0x11, 0xf4};

/*
 *    mov ecx, 5
 *  l: inc eax
 *    mov [0x300010], rax
 *    mov rdx, [0x300020]
 *    dec ecx
 *    jnz l
 *    hlt
 */
static const uint8_t loop_code[] = {0xb9, 0x05, 0x00, 0x00, 0x00, 0xff, 0xc0, 0x48, 0x89, 0x04,
    0x25, 0x10, 0x00, 0x30, 0x00, 0x48, 0x8b, 0x14, 0x25, 0x20, 0x00, 0x30, 0x00, 0xff, 0xc9, 0x75,
    0xea, 0xf4};

/*
 *    mov esi, 0x300000
 *    mov edi, 0x300001
 *    mov ecx, 10000
 *    rep movsb
 *    mov ecx, 0
 *    rep stosq
 *    hlt
 */
static const uint8_t rep_code[] = {0xbe, 0x00, 0x00, 0x30, 0x00, 0xbf, 0x01, 0x00, 0x30, 0x00, 0xb9,
    0x10, 0x27, 0x00, 0x00, 0xf3, 0xa4, 0xb9, 0x00, 0x00, 0x00, 0x00, 0xf3, 0x48, 0xab, 0xf4};

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void assert_same_state(const struct vcpu_state *a, const struct vcpu_state *b)
{
    struct buffer text = {0};
    if (vcpu_compare(a, b, &text))
        fail_msg("states differ");
}

/* Runs the mixed program for `total` instructions in pieces; 0 is by single instructions. */
static void run_pieces(uint64_t total, uint64_t seed, struct vcpu_state *state, uint64_t *digest)
{
    struct guest guest;
    guest_create(&guest, mix_code, sizeof mix_code);
    while (guest.engine->retired < total) {
        uint64_t left = total - guest.engine->retired, before = guest.engine->retired;
        uint64_t budget = seed ? next_random(&seed) % 700 : 1;
        if (budget > left)
            budget = left;
        assert_int_equal(guest_run(&guest, budget).kind, EXIT_BUDGET);
        assert_int_equal(guest.engine->retired, before + budget);
    }
    guest_export(&guest, state);
    *digest = memory_digest(&guest.memory);
    guest_destroy(&guest);
}

static void test_budgets_are_exact(void **context)
{
    struct vcpu_state one, many;
    uint64_t one_digest, many_digest;
    (void)context;

    run_pieces(30000, 0, &one, &one_digest);
    for (uint64_t seed = 1; seed < 6; seed++) {
        printf("budgets from seed %llu\n", (unsigned long long)seed);
        run_pieces(30000, seed, &many, &many_digest);
        assert_same_state(&one, &many);
        assert_int_equal(one_digest, many_digest);
    }
}

/* Each budget from the start: the state after n instructions is that of n single steps. */
static void test_any_budget_equals_steps(void **context)
{
    struct guest steps, whole;
    struct vcpu_state a, b, start;
    (void)context;

    guest_create(&steps, mix_code, sizeof mix_code);
    guest_state(&start);
    for (uint64_t n = 1; n <= 300; n++) {
        guest_create(&whole, mix_code, sizeof mix_code);
        guest_run(&steps, 1);
        guest_run(&whole, n);
        guest_export(&steps, &a);
        guest_export(&whole, &b);
        assert_same_state(&a, &b);
        guest_destroy(&whole);
    }
    guest_destroy(&steps);
}

static void test_long_run_needs_no_stack(void **context)
{
    struct guest guest;
    (void)context;
    guest_create(&guest, mix_code, sizeof mix_code);
    assert_int_equal(guest_run(&guest, 5000000).kind, EXIT_BUDGET);
    assert_int_equal(guest.engine->retired, 5000000);
    guest_destroy(&guest);
}

/* AL is 5, 10, 15 in the three passes: the patched byte is seen at once. */
static void test_store_to_next_instruction(void **context)
{
    struct guest guest;
    struct vcpu_state state;
    (void)context;
    guest_create(&guest, smc_code, sizeof smc_code);
    assert_int_equal(guest_run(&guest, BUDGET_UNLIMITED).kind, EXIT_HLT);
    guest_export(&guest, &state);
    assert_int_equal(state.gpr[RBX], 5 + 10 + 15);
    assert_int_equal(guest.engine->retired, 1 + 3 * 5 + 1);
    assert_true(state.halted);
    guest_destroy(&guest);
}

static void test_device_writes_code(void **context)
{
    struct guest guest;
    struct vcpu_state start, state;
    (void)context;
    guest_create(&guest, smc_code, sizeof smc_code);
    guest_export(&guest, &start);
    guest_run(&guest, BUDGET_UNLIMITED);
    guest.memory.host[GUEST_CODE + 13] = 100; /* the patched immediate */
    engine_memory_changed(guest.engine, GUEST_CODE + 13, 1);
    guest_import(&guest, &start);
    guest_run(&guest, BUDGET_UNLIMITED);
    guest_export(&guest, &state);
    assert_int_equal(state.gpr[RBX], 105 + 110 + 115);
    guest_destroy(&guest);
}

static void test_instruction_across_pages(void **context)
{
    struct guest guest;
    struct vcpu_state start, state;
    const uint64_t address = GUEST_CODE + 0x1000 - 3;
    (void)context;

    guest_create(&guest, "", 0);
    memcpy(guest.memory.host + address, cross_code, sizeof cross_code);
    guest_export(&guest, &start);
    start.rip = address;
    guest_import(&guest, &start);
    assert_int_equal(guest_run(&guest, BUDGET_UNLIMITED).kind, EXIT_HLT);
    guest_export(&guest, &state);
    assert_int_equal(state.gpr[RAX], 0x11223344);
    assert_int_equal(guest.engine->retired, 2);

    guest.memory.host[GUEST_CODE + 0x1000] = 0x99; /* in the second page */
    engine_memory_changed(guest.engine, GUEST_CODE + 0x1000, 1);
    guest_import(&guest, &start);
    guest_run(&guest, BUDGET_UNLIMITED);
    guest_export(&guest, &state);
    assert_int_equal(state.gpr[RAX], 0x11993344);
    guest_destroy(&guest);
}

/* On DEC in the loop: reported before each of five executions, never twice for one. */
static void test_breakpoint(void **context)
{
    const struct breakpoint point = {
        .kind = BREAK_EXECUTE, .address = GUEST_CODE + 0x17, .length = 1};
    struct guest guest;
    struct vcpu_state state;
    (void)context;

    guest_create(&guest, loop_code, sizeof loop_code);
    engine_set_breakpoints(guest.engine, &point, 1, &guest.error);
    for (uint64_t pass = 0; pass < 5; pass++) {
        struct vcpu_exit exit = guest_run(&guest, BUDGET_UNLIMITED);
        assert_int_equal(exit.kind, EXIT_BREAKPOINT);
        assert_int_equal(exit.address, point.address);
        assert_int_equal(guest.engine->retired, 4 + 5 * pass);
        guest_export(&guest, &state);
        assert_int_equal(state.rip, point.address);
        assert_int_equal(state.gpr[RCX], 5 - pass);
    }
    assert_int_equal(guest_run(&guest, BUDGET_UNLIMITED).kind, EXIT_HLT);
    assert_int_equal(guest.engine->retired, 1 + 5 * 5 + 1);
    guest_destroy(&guest);
}

static void test_watchpoints(void **context)
{
    const struct breakpoint points[] = {
        {.kind = BREAK_WRITE, .address = GUEST_DATA + 0x14, .length = 4},
        {.kind = BREAK_READ, .address = GUEST_DATA + 0x20, .length = 1},
        {.kind = BREAK_READ, .address = GUEST_DATA + 0x10, .length = 8}, /* only written */
    };
    struct guest guest;
    (void)context;

    guest_create(&guest, loop_code, sizeof loop_code);
    assert_int_equal(guest_run(&guest, 3).kind, EXIT_BUDGET); /* the TLB has the page by now */
    engine_set_breakpoints(guest.engine, points, 3, &guest.error);
    for (uint64_t pass = 0; pass < 5; pass++) {
        struct vcpu_exit exit;
        if (pass) { /* the first write was before the watch */
            exit = guest_run(&guest, BUDGET_UNLIMITED);
            assert_int_equal(exit.kind, EXIT_WATCHPOINT);
            assert_true(exit.is_write);
            assert_int_equal(exit.address, GUEST_DATA + 0x10);
            assert_int_equal(exit.size, 8);
            assert_int_equal(guest.engine->retired, 3 + 5 * pass);
        }
        exit = guest_run(&guest, BUDGET_UNLIMITED);
        assert_int_equal(exit.kind, EXIT_WATCHPOINT);
        assert_false(exit.is_write);
        assert_int_equal(guest.engine->retired, 4 + 5 * pass);
    }
    assert_int_equal(guest_run(&guest, BUDGET_UNLIMITED).kind, EXIT_HLT);
    guest_destroy(&guest);
}

/* Each iteration counts one, a repetition with a count of zero one. */
static void test_repetition_stops_in_the_middle(void **context)
{
    struct guest guest;
    struct vcpu_state state;
    (void)context;

    guest_create(&guest, rep_code, sizeof rep_code);
    guest.memory.host[GUEST_DATA] = 0xab; /* the overlap spreads it */
    assert_int_equal(guest_run(&guest, 3 + 5000).kind, EXIT_BUDGET);
    guest_export(&guest, &state);
    assert_int_equal(state.rip, GUEST_CODE + 15);
    assert_int_equal(state.gpr[RCX], 5000);
    assert_int_equal(state.gpr[RSI], GUEST_DATA + 5000);
    assert_int_equal(guest.memory.host[GUEST_DATA + 5000], 0xab);
    assert_int_equal(guest.memory.host[GUEST_DATA + 5001], 0);
    assert_int_equal(guest_run(&guest, BUDGET_UNLIMITED).kind, EXIT_HLT);
    assert_int_equal(guest.engine->retired, 3 + 10000 + 1 + 1 + 1);
    guest_export(&guest, &state);
    assert_int_equal(state.gpr[RDI], GUEST_DATA + 1 + 10000);
    assert_int_equal(guest.memory.host[GUEST_DATA + 10000], 0xab);
    assert_int_equal(guest.memory.host[GUEST_DATA + 10001], 0);
    guest_destroy(&guest);
}

static void test_kick(void **context)
{
    static const uint8_t forever[] = {0xeb, 0xfe};
    struct guest guest;
    (void)context;
    guest_create(&guest, forever, sizeof forever);
    engine_kick(guest.engine);
    assert_int_equal(guest_run(&guest, BUDGET_UNLIMITED).kind, EXIT_KICK);
    assert_int_equal(guest_run(&guest, 100000).kind, EXIT_BUDGET);
    guest_destroy(&guest);
}

enum { GUEST_GDT = 0x8000, GUEST_IDT = 0x9000, HANDLER = GUEST_CODE + 0x1000, UD = 6 };

/* #UD goes through a trap gate, which leaves IF as it is, to a handler that skips two bytes. */
static void take_undefined_opcodes(struct guest *guest)
{
    static const uint8_t handler[] = {0x48, 0x83, 0x04, 0x24, 0x02, /* add qword [rsp], 2 */
        0x48, 0xcf};                                                /* iretq */
    struct vcpu_state state;
    guest_put64(guest, GUEST_GDT + 8, 0x00af9b000000ffff);
    guest_put64(guest, GUEST_GDT + 16, 0x00cf93000000ffff);
    guest_put64(guest, GUEST_IDT + 16 * UD,
        (uint64_t)(HANDLER >> 16) << 48 | 0x8full << 40 | 8 << 16 | (HANDLER & 0xffff));
    memcpy(guest->memory.host + HANDLER, handler, sizeof handler);
    guest_export(guest, &state);
    state.gdt = (struct descriptor_table){GUEST_GDT, 23};
    state.idt = (struct descriptor_table){GUEST_IDT, 16 * UD + 15};
    guest_import(guest, &state);
}

struct kicker {
    struct engine *engine;
    atomic_bool quit;
};

static void *keep_kicking(void *context)
{
    struct kicker *kicker = context;
    while (!atomic_load(&kicker->quit))
        engine_kick(kicker->engine);
    return NULL;
}

/* The place after a fault's delivery has the count of the place before it. */
static void test_kick_stops_where_the_count_leads(void **context)
{
    enum { KICKS = 20000 };
    static const uint8_t faulting[] = {0x0f, 0x0b, 0xeb, 0xfc}; /* again: ud2; jmp again */
    struct guest guest;
    struct kicker kicker = {0};
    pthread_t thread;
    unsigned places = 0;
    uint64_t wrong = 0;
    (void)context;
    guest_create(&guest, faulting, sizeof faulting);
    take_undefined_opcodes(&guest);
    kicker.engine = guest.engine;
    assert_int_equal(pthread_create(&thread, NULL, keep_kicking, &kicker), 0);
    for (unsigned i = 0; i < KICKS && !wrong; i++) {
        struct vcpu_state state;
        /* The kick under way stops at once, without executing anything. */
        uint64_t before = guest.engine->retired;
        enum exit_kind kind = guest_run(&guest, BUDGET_UNLIMITED).kind;
        guest_export(&guest, &state);
        if (kind != EXIT_KICK || engine_delivered(guest.engine) || state.rip == HANDLER)
            wrong = state.rip;
        guest_run(&guest, 1);
        places += guest.engine->retired != before;
    }
    atomic_store(&kicker.quit, true);
    pthread_join(thread, NULL);
    assert_int_equal(wrong, 0);
    assert_true(places > 0);
    guest_destroy(&guest);
}

static void test_window_opens_where_the_count_leads(void **context)
{
    static const uint8_t code[] = {0xfb, 0x0f, 0x0b, 0xf4}; /* sti; ud2; hlt */
    const struct run_request window = {.budget = BUDGET_UNLIMITED, .stop_when_interruptible = true};
    struct guest guest;
    struct vcpu_state state, by_count;
    struct vcpu_exit exit;
    (void)context;
    guest_create(&guest, code, sizeof code);
    take_undefined_opcodes(&guest);
    assert_int_equal(engine_run(guest.engine, &window, &exit, &guest.error), 0);
    assert_int_equal(exit.kind, EXIT_WINDOW);
    guest_export(&guest, &state);
    uint64_t count = guest.engine->retired;
    guest_destroy(&guest);

    guest_create(&guest, code, sizeof code);
    take_undefined_opcodes(&guest);
    assert_int_equal(guest_run(&guest, count).kind, EXIT_BUDGET);
    guest_export(&guest, &by_count);
    assert_int_equal(by_count.rip, state.rip);
    assert_true(vcpu_digest_full(&by_count) == vcpu_digest_full(&state));
    guest_destroy(&guest);
}

static void test_impossible_states_are_refused(void **context)
{
    struct guest guest;
    struct vcpu_state state;
    (void)context;
    guest_create(&guest, loop_code, sizeof loop_code);
    guest_export(&guest, &state);
    state.cr0 &= ~CR0_PE;
    assert_int_equal(engine_import_state(guest.engine, &state, &guest.error), -1);
    assert_true(guest.error.text[0]);
    guest_destroy(&guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_budgets_are_exact),
        cmocka_unit_test(test_any_budget_equals_steps),
        cmocka_unit_test(test_long_run_needs_no_stack),
        cmocka_unit_test(test_store_to_next_instruction),
        cmocka_unit_test(test_device_writes_code),
        cmocka_unit_test(test_instruction_across_pages),
        cmocka_unit_test(test_breakpoint),
        cmocka_unit_test(test_watchpoints),
        cmocka_unit_test(test_repetition_stops_in_the_middle),
        cmocka_unit_test(test_kick),
        cmocka_unit_test(test_kick_stops_where_the_count_leads),
        cmocka_unit_test(test_window_opens_where_the_count_leads),
        cmocka_unit_test(test_impossible_states_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
