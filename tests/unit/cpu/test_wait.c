/* Where the software CPU finds that a vCPU waits for another one, and where it must not. */
#include "tests/unit/cpu/guest64.h"

enum { BUDGET = 1000000 };

/* Runs `code` with RBX at GUEST_DATA; the exit, and after how many instructions. */
static enum exit_kind run(const uint8_t *code, size_t size, uint64_t value, uint64_t *retired)
{
    struct guest guest;
    struct vcpu_state start;
    struct vcpu_exit exit;
    const struct run_request request = {.budget = BUDGET, .stop_at_wait = true};
    guest_create(&guest, code, size);
    guest_export(&guest, &start);
    start.gpr[RBX] = GUEST_DATA;
    start.cr4 |= CR4_OSFXSR;
    guest_import(&guest, &start);
    guest_put64(&guest, GUEST_DATA, value);
    assert_int_equal(engine_run(guest.engine, &request, &exit, &guest.error), 0);
    *retired = guest.engine->retired;
    guest_destroy(&guest);
    return exit.kind;
}

static void expect_wait(const uint8_t *code, size_t size, uint64_t value, uint64_t most)
{
    uint64_t retired;
    assert_int_equal(run(code, size, value, &retired), EXIT_WAIT);
    assert_in_range(retired, 1, most);
}

static void expect_work(const uint8_t *code, size_t size)
{
    uint64_t retired;
    assert_int_equal(run(code, size, 0, &retired), EXIT_BUDGET);
    assert_int_equal(retired, BUDGET);
}

static void a_loop_that_only_reads_waits(void **state)
{
    static const uint8_t compare[] = {0x83, 0x3b, 0x00, 0x74, 0xfb}; /* cmp dword [rbx], 0; je */
    /* mov eax, [rbx]; lfence; test al, 1; jz */
    static const uint8_t test[] = {0x8b, 0x03, 0x0f, 0xae, 0xe8, 0xa8, 0x01, 0x74, 0xf7};
    (void)state;
    expect_wait(compare, sizeof compare, 0, 10);
    expect_wait(test, sizeof test, 0, 16);
}

static void a_lock_that_stays_taken_is_waited_for(void **state)
{
    /* mov eax, 1; xchg [rbx], eax; test eax, eax; jnz */
    static const uint8_t exchange[] = {
        0xb8, 0x01, 0x00, 0x00, 0x00, 0x87, 0x03, 0x85, 0xc0, 0x75, 0xf5};
    /* xor eax, eax; lock cmpxchg [rbx], edx; jnz */
    static const uint8_t compare[] = {0x31, 0xc0, 0xf0, 0x0f, 0xb1, 0x13, 0x75, 0xf8};
    (void)state;
    expect_wait(exchange, sizeof exchange, 1, 16);
    expect_wait(compare, sizeof compare, 1, 16);
}

static void it_is_found_after_other_work_too(void **state)
{
    /* mov ecx, 40000; dec ecx; jnz; cmp dword [rbx], 0; je */
    static const uint8_t code[] = {
        0xb9, 0x40, 0x9c, 0x00, 0x00, 0xff, 0xc9, 0x75, 0xfc, 0x83, 0x3b, 0x00, 0x74, 0xfb};
    (void)state;
    expect_wait(code, sizeof code, 0, 100000);
}

static void what_changes_something_is_work(void **state)
{
    static const uint8_t count[] = {0xff, 0xc1, 0xeb, 0xfc};     /* inc ecx; jmp */
    static const uint8_t store[] = {0x89, 0x03, 0xeb, 0xfc};     /* mov [rbx], eax; jmp */
    static const uint8_t add[] = {0xf0, 0xff, 0x03, 0xeb, 0xfb}; /* lock inc; jmp */
    static const uint8_t exchange[] = {0x87, 0x03, 0xf7, 0xd0, 0xeb, 0xfa}; /* xchg; not eax; jmp */
    static const uint8_t time[] = {0x0f, 0x31, 0xeb, 0xfc};                 /* rdtsc; jmp */
    static const uint8_t sse[] = {0x66, 0x0f, 0xd4, 0xc1, 0xeb, 0xfa}; /* paddq xmm0, xmm1; jmp */
    (void)state;
    expect_work(count, sizeof count);
    expect_work(store, sizeof store);
    expect_work(add, sizeof add);
    expect_work(exchange, sizeof exchange);
    expect_work(time, sizeof time);
    expect_work(sse, sizeof sse);
}

/* In one run, or stopped and gone on from at every instruction. */
static void where_it_is_found_does_not_depend_on_stops(void **state)
{
    static const uint8_t code[] = {
        0xb9, 0x40, 0x9c, 0x00, 0x00, 0xff, 0xc9, 0x75, 0xfc, 0x83, 0x3b, 0x00, 0x74, 0xfb};
    struct guest guest;
    struct vcpu_state start;
    struct vcpu_exit exit = {.kind = EXIT_BUDGET};
    uint64_t wanted;
    (void)state;
    assert_int_equal(run(code, sizeof code, 0, &wanted), EXIT_WAIT);
    guest_create(&guest, code, sizeof code);
    guest_export(&guest, &start);
    start.gpr[RBX] = GUEST_DATA;
    guest_import(&guest, &start);
    for (uint64_t step = 1; exit.kind == EXIT_BUDGET; step = step % 7 + 1) {
        const struct run_request request = {.budget = step, .stop_at_wait = true};
        assert_int_equal(engine_run(guest.engine, &request, &exit, &guest.error), 0);
    }
    assert_int_equal(exit.kind, EXIT_WAIT);
    assert_int_equal(guest.engine->retired, wanted);
    guest_destroy(&guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loop_that_only_reads_waits),
        cmocka_unit_test(a_lock_that_stays_taken_is_waited_for),
        cmocka_unit_test(it_is_found_after_other_work_too),
        cmocka_unit_test(what_changes_something_is_work),
        cmocka_unit_test(where_it_is_found_does_not_depend_on_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
