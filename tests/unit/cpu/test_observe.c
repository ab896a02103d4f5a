/* The observer of memory accesses: what it is told, and that a run is the same without it. */
#include "tests/unit/cpu/guest64.h"

enum { MAX_TOLD = 64 };

struct told {
    struct memory_access access[MAX_TOLD];
    uint64_t retired[MAX_TOLD];
    unsigned count;
    struct engine *engine;
};

static void on_access(void *context, const struct memory_access *access)
{
    struct told *told = context;
    assert_true(told->count < MAX_TOLD);
    told->access[told->count] = *access;
    told->retired[told->count++] = told->engine->retired;
}

/* mov rbx, 0x300000; mov eax, [rbx]; mov [rbx + 8], ax; lock inc dword [rbx + 16];
 * xchg [rbx + 24], al; push rax; add rdi, 1; jmp to itself */
static const uint8_t code[] = {0xbb, 0x00, 0x00, 0x30, 0x00, 0x8b, 0x03, 0x66, 0x89, 0x43, 0x08,
    0xf0, 0xff, 0x43, 0x10, 0x86, 0x43, 0x18, 0x50, 0x48, 0x83, 0xc7, 0x01, 0xeb, 0xfe};

enum { LOAD = 1, STORE, LOCKED, EXCHANGE, PUSH, RUN = 100 };

static void expect(const struct told *told, unsigned which, unsigned insn, uint64_t address,
    unsigned size, bool is_write, bool is_atomic, unsigned offset)
{
    const struct memory_access *access = &told->access[which];
    assert_true(which < told->count);
    assert_int_equal(told->retired[which], insn);
    assert_int_equal(access->linear, address);
    assert_int_equal(access->gpa, address);
    assert_int_equal(access->size, size);
    assert_int_equal(access->is_write, is_write);
    assert_int_equal(access->is_atomic, is_atomic);
    assert_int_equal(access->rip, GUEST_CODE + offset);
    assert_false(access->is_implicit);
}

static void every_access_is_told_with_its_place_and_kind(void **state)
{
    struct guest guest;
    struct told told = {0};
    (void)state;
    guest_create(&guest, code, sizeof code);
    told.engine = guest.engine;
    const struct access_observer observer = {.access = on_access, .context = &told};
    assert_true(engine_observe_accesses(guest.engine, &observer));
    guest_run(&guest, RUN);
    expect(&told, 0, LOAD, GUEST_DATA, 4, false, false, 5);
    expect(&told, 1, STORE, GUEST_DATA + 8, 2, true, false, 7);
    expect(&told, 2, LOCKED, GUEST_DATA + 16, 4, false, true, 11);
    expect(&told, 3, LOCKED, GUEST_DATA + 16, 4, true, true, 11);
    expect(&told, 4, EXCHANGE, GUEST_DATA + 24, 1, false, true, 15);
    expect(&told, 5, EXCHANGE, GUEST_DATA + 24, 1, true, true, 15);
    expect(&told, 6, PUSH, GUEST_STACK - 8, 8, true, false, 18);
    assert_int_equal(told.count, 7);
    guest_destroy(&guest);
}

static void an_access_over_two_pages_is_told_in_two_parts(void **state)
{
    static const uint8_t over[] = {0x48, 0x8b, 0x03, 0xeb, 0xfe}; /* mov rax, [rbx] */
    struct guest guest;
    struct vcpu_state start;
    struct told told = {0};
    (void)state;
    guest_create(&guest, over, sizeof over);
    guest_export(&guest, &start);
    start.gpr[RBX] = GUEST_DATA + PAGE_SIZE - 3;
    guest_import(&guest, &start);
    told.engine = guest.engine;
    const struct access_observer observer = {.access = on_access, .context = &told};
    assert_true(engine_observe_accesses(guest.engine, &observer));
    guest_run(&guest, RUN);
    expect(&told, 0, 0, GUEST_DATA + PAGE_SIZE - 3, 3, false, false, 0);
    expect(&told, 1, 0, GUEST_DATA + PAGE_SIZE, 5, false, false, 0);
    assert_int_equal(told.count, 2);
    guest_destroy(&guest);
}

struct begun {
    uint64_t linear[RUN], gpa[RUN], retired[RUN], written, size;
    unsigned count, writes;
    struct engine *engine;
};

static void ignore(void *context, const struct memory_access *access)
{
    (void)context;
    (void)access;
}

static void on_instruction(void *context, uint64_t linear, uint64_t gpa, unsigned bits)
{
    struct begun *begun = context;
    assert_int_equal(bits, 64);
    assert_true(begun->count < RUN);
    begun->retired[begun->count] = begun->engine->retired;
    begun->linear[begun->count] = linear;
    begun->gpa[begun->count++] = gpa;
}

static void on_device_write(void *context, uint64_t gpa, uint64_t size)
{
    struct begun *begun = context;
    begun->written = gpa;
    begun->size = size;
    begun->writes++;
}

static void every_instruction_and_device_write_is_told(void **state)
{
    static const unsigned offsets[] = {0, 5, 7, 11, 15, 18, 19, 23, 23, 23};
    enum { STEPS = sizeof offsets / sizeof offsets[0] };
    struct guest guest;
    struct begun begun = {0};
    (void)state;
    guest_create(&guest, code, sizeof code);
    begun.engine = guest.engine;
    const struct access_observer observer = {.access = ignore,
        .context = &begun,
        .instruction = on_instruction,
        .device_write = on_device_write};
    assert_true(engine_observe_accesses(guest.engine, &observer));
    guest_run(&guest, STEPS - 1);
    guest_run(&guest, 1);
    assert_int_equal(begun.count, STEPS);
    for (unsigned i = 0; i < STEPS; i++) {
        assert_int_equal(begun.linear[i], GUEST_CODE + offsets[i]);
        assert_int_equal(begun.gpa[i], GUEST_CODE + offsets[i]);
        assert_int_equal(begun.retired[i], i);
    }
    assert_int_equal(begun.writes, 0);
    engine_memory_changed(guest.engine, GUEST_DATA + 5, 3);
    assert_int_equal(begun.writes, 1);
    assert_int_equal(begun.written, GUEST_DATA + 5);
    assert_int_equal(begun.size, 3);
    guest_destroy(&guest);
}

static void nothing_is_told_before_and_after(void **state)
{
    struct guest guest;
    struct told told = {0};
    (void)state;
    guest_create(&guest, code, sizeof code);
    told.engine = guest.engine;
    const struct access_observer observer = {.access = on_access, .context = &told};
    guest_run(&guest, STORE + 1);
    assert_true(engine_observe_accesses(guest.engine, &observer));
    guest_run(&guest, 1);
    assert_true(engine_observe_accesses(guest.engine, NULL));
    guest_run(&guest, RUN);
    assert_int_equal(told.count, 2);
    expect(&told, 0, LOCKED, GUEST_DATA + 16, 4, false, true, 11);
    guest_destroy(&guest);
}

static void a_run_that_is_observed_is_the_same(void **state)
{
    struct guest guest[2];
    struct vcpu_state after[2];
    struct told told = {0};
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        guest_create(&guest[i], code, sizeof code);
        told.engine = guest[i].engine;
        const struct access_observer observer = {.access = on_access, .context = &told};
        if (i)
            assert_true(engine_observe_accesses(guest[i].engine, &observer));
        guest_run(&guest[i], RUN);
        guest_export(&guest[i], &after[i]);
    }
    assert_memory_equal(&after[0], &after[1], sizeof after[0]);
    assert_memory_equal(guest[0].memory.host, guest[1].memory.host, GUEST_RAM);
    guest_destroy(&guest[0]);
    guest_destroy(&guest[1]);
}

/* ---- Ranges ---------------------------------------------------------------------------------- */

/* mov rbx, 0x300000; again: inc dword [rbx]; mov [rbx + 0x800], eax; mov [rbx + 0x1000], eax;
 * jmp again */
static const uint8_t loop[] = {0xbb, 0x00, 0x00, 0x30, 0x00, 0xff, 0x03, 0x89, 0x83, 0x00, 0x08,
    0x00, 0x00, 0x89, 0x83, 0x00, 0x10, 0x00, 0x00, 0xeb, 0xf0};

struct ranged {
    uint64_t reads, writes, others, changes, last;
    uint32_t data;
    struct engine *engine;
};

static void count_ranged(void *context, const struct memory_access *access)
{
    struct ranged *ranged = context;
    ranged->last = ranged->engine->retired;
    if (access->linear != GUEST_DATA)
        ranged->others++;
    else if (access->is_write)
        ranged->writes++;
    else
        ranged->reads++;
    if (access->data)
        memcpy(&ranged->data, access->data, sizeof ranged->data);
}

static void count_change(void *context, uint64_t gpa, uint64_t size, bool is_walk)
{
    struct ranged *ranged = context;
    assert_true(gpa <= GUEST_DATA && gpa + size > GUEST_DATA);
    assert_false(is_walk);
    ranged->changes++;
}

/* Also by translated code; the rest of the page is not told. */
static void ranges_alone_are_told(void **state)
{
    enum { ROUNDS = 5000, INSTRUCTIONS = 4 };
    struct guest guest;
    struct ranged ranged = {0};
    const struct access_range range = {.physical = true, .address = GUEST_DATA, .length = 4};
    (void)state;
    guest_create(&guest, loop, sizeof loop);
    ranged.engine = guest.engine;
    const struct access_observer observer = {.access = count_ranged,
        .context = &ranged,
        .ranges = &range,
        .range_count = 1,
        .change = count_change};
    assert_true(engine_observe_accesses(guest.engine, &observer));
    guest_run(&guest, 1 + ROUNDS * INSTRUCTIONS);
    assert_int_equal(ranged.others, 0);
    assert_int_equal(ranged.reads, ROUNDS);
    assert_int_equal(ranged.writes, ROUNDS);
    assert_int_equal(ranged.data, ROUNDS);
    assert_int_equal(ranged.last, 1 + (ROUNDS - 1) * INSTRUCTIONS);
    engine_memory_changed(guest.engine, GUEST_DATA - 4, 4);
    engine_memory_changed(guest.engine, GUEST_DATA - 4, 8);
    assert_int_equal(ranged.changes, 1);
    engine_observe_accesses(guest.engine, NULL);
    guest_run(&guest, INSTRUCTIONS);
    assert_int_equal(ranged.writes, ROUNDS);
    guest_destroy(&guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_access_is_told_with_its_place_and_kind),
        cmocka_unit_test(an_access_over_two_pages_is_told_in_two_parts),
        cmocka_unit_test(every_instruction_and_device_write_is_told),
        cmocka_unit_test(nothing_is_told_before_and_after),
        cmocka_unit_test(a_run_that_is_observed_is_the_same),
        cmocka_unit_test(ranges_alone_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
