/* Expectations from the IA-PC HPET Specification 1.0a, chapter 2. */
#include "board.h"

#include "devices/hpet.h"

enum { CAPABILITIES = 0, CONFIGURATION = 0x10, STATUS = 0x20, COUNTER = 0xf0 };
enum { TIMER0 = 0x100, TIMER1 = 0x120, TIMER2 = 0x140, COMPARATOR = 8 };
enum { LEVEL = 2, ENABLE = 4, PERIODIC = 8, SET_VALUE = 0x40, HALF = 0x100 };
enum { INPUT_20 = 20 << 9, INPUT_21 = 21 << 9, ROUTE = 0x1f << 9 };

struct line {
    bool level;
    unsigned rises;
};

struct fixture {
    struct board board;
    struct bus mmio;
    struct hpet *hpet;
    struct line lines[32]; /* of the I/O APIC */
    struct line legacy[2];
};

static void follow(struct line *line, bool level)
{
    line->rises += level && !line->level;
    line->level = level;
}

static void set_route(void *context, unsigned input, bool level)
{
    follow(&((struct fixture *)context)->lines[input], level);
}

static void set_legacy(void *context, unsigned input, bool level)
{
    follow(&((struct fixture *)context)->legacy[input], level);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    board_init(&f->board);
    bus_init(&f->mmio, 1ull << 40);
    const struct hpet_config config = {
        .clock = &f->board.clock,
        .route = {.set = set_route, .controller = f},
        .legacy = {{set_legacy, f, 0}, {set_legacy, f, 1}},
    };
    f->hpet = hpet_create(&config, NULL);
    assert_non_null(f->hpet);
    assert_int_equal(hpet_attach(f->hpet, &f->mmio, NULL), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    hpet_destroy(f->hpet);
    free(f);
    return 0;
}

static uint64_t get(struct fixture *f, unsigned reg)
{
    return bus_read(&f->mmio, HPET_BASE + reg, 8);
}

static uint32_t get4(struct fixture *f, unsigned reg)
{
    return (uint32_t)bus_read(&f->mmio, HPET_BASE + reg, 4);
}

static void set(struct fixture *f, unsigned reg, uint64_t value)
{
    bus_write(&f->mmio, HPET_BASE + reg, 8, value);
}

static void set4(struct fixture *f, unsigned reg, uint32_t value)
{
    bus_write(&f->mmio, HPET_BASE + reg, 4, value);
}

static void registers_say_what_there_is(void **state)
{
    struct fixture *f = *state;
    /* 10 ns in femtoseconds; AMD, legacy replacement, 64 bits, three timers, revision 1. */
    assert_true(get(f, CAPABILITIES) == 0x009896801022a201);
    assert_int_equal(get4(f, CAPABILITIES + 4), 10000000);
    assert_int_equal(bus_read(&f->mmio, HPET_BASE + 1, 1), 0xa2);
    assert_true(get(f, TIMER0) == 0x00f0000000000030); /* may be periodic, 64 bits */
    assert_true(get(f, TIMER1) == 0x00f0000000000020);
    assert_true(get(f, TIMER2) == 0x00f0000000000020);
    assert_true(get(f, TIMER2 + COMPARATOR) == UINT64_MAX);
    assert_true(get(f, CONFIGURATION) == 0 && get(f, STATUS) == 0 && get(f, COUNTER) == 0);
    assert_true(get(f, 0x8) == 0 && get(f, 0x160) == 0 && get(f, 0x3f8) == 0 && get(f, 0x110) == 0);
    set(f, CAPABILITIES, UINT64_MAX);
    assert_true(get(f, CAPABILITIES) == 0x009896801022a201);
    set(f, CONFIGURATION, UINT64_MAX);
    assert_true(get(f, CONFIGURATION) == 3);
    set(f, TIMER1, UINT64_MAX & ~(uint64_t)ROUTE); /* no period, no messages */
    assert_true(get(f, TIMER1) == 0x00f0000000000126);
    set(f, TIMER1, INPUT_21);
    set(f, TIMER1, 5 << 9); /* an input that it cannot be routed to */
    assert_true(get(f, TIMER1) == (0x00f0000000000020 | INPUT_21));
    bus_write(&f->mmio, HPET_BASE + TIMER1, 1, 0xff);
    bus_write(&f->mmio, HPET_BASE + TIMER1 + 2, 4, UINT32_MAX);
    assert_true(get(f, TIMER1) == (0x00f0000000000020 | INPUT_21));
}

static void the_counter_counts_while_it_is_enabled(void **state)
{
    struct fixture *f = *state;
    f->board.time = 1000;
    assert_true(get(f, COUNTER) == 0);
    set4(f, CONFIGURATION, 1);
    f->board.time = 1009;
    assert_true(get(f, COUNTER) == 0);
    f->board.time = 2010;
    assert_true(get(f, COUNTER) == 101);
    set4(f, CONFIGURATION, 0);
    f->board.time = 5000;
    assert_true(get(f, COUNTER) == 101);
    set4(f, COUNTER + 4, 7);
    assert_true(get(f, COUNTER) == 0x700000065);
    set(f, COUNTER, 0xfffffffe);
    set4(f, CONFIGURATION, 1);
    f->board.time = 5030;
    assert_true(get(f, COUNTER) == 0x100000001);
    assert_int_equal(get4(f, COUNTER), 1);
    assert_int_equal(get4(f, COUNTER + 4), 1);
}

static void a_comparator_interrupts_once(void **state)
{
    struct fixture *f = *state;
    set(f, TIMER2 + COMPARATOR, 100);
    set(f, TIMER2, ENABLE | INPUT_20);
    assert_true(clock_next_deadline(&f->board.clock) == TIMER_IDLE);
    set4(f, CONFIGURATION, 1);
    assert_true(clock_next_deadline(&f->board.clock) == 1000);
    advance_to(&f->board, 999);
    assert_int_equal(f->lines[20].rises, 0);
    advance_to(&f->board, 1000);
    assert_int_equal(f->lines[20].rises, 1);
    assert_false(f->lines[20].level); /* an edge */
    assert_true(get(f, STATUS) == 0);
    assert_true(clock_next_deadline(&f->board.clock) == TIMER_IDLE); /* after 2^64 ticks */
    /* With 32 bits it matches again in the next round. */
    set(f, TIMER2, ENABLE | INPUT_20 | HALF);
    assert_true(clock_next_deadline(&f->board.clock) == 1000 + (1ull << 32) * 10);
    set(f, TIMER2, INPUT_20 | HALF);
    assert_true(clock_next_deadline(&f->board.clock) == TIMER_IDLE);
}

static void a_level_lasts_until_it_is_cleared(void **state)
{
    struct fixture *f = *state;
    set(f, TIMER1 + COMPARATOR, 50);
    set(f, TIMER2 + COMPARATOR, 50);
    set(f, TIMER1, LEVEL | ENABLE | INPUT_21);
    set(f, TIMER2, LEVEL | INPUT_21); /* sets its bit without interrupting */
    set4(f, CONFIGURATION, 1);
    advance_to(&f->board, 500);
    assert_true(get(f, STATUS) == 6);
    assert_true(f->lines[21].level);
    set(f, STATUS, 4);
    assert_true(get(f, STATUS) == 2);
    assert_true(f->lines[21].level);
    set4(f, CONFIGURATION, 0);
    assert_false(f->lines[21].level);
    set4(f, CONFIGURATION, 1);
    assert_true(f->lines[21].level);
    set4(f, STATUS, 2);
    assert_false(f->lines[21].level);
    assert_int_equal(f->lines[21].rises, 2);
}

/* As the specification has it: SET_VALUE, the first match, then the period. */
static void a_periodic_comparator_goes_on_by_itself(void **state)
{
    struct fixture *f = *state;
    set4(f, TIMER0, ENABLE | PERIODIC | SET_VALUE | HALF | INPUT_20);
    set4(f, TIMER0 + COMPARATOR, 500);
    assert_int_equal(get4(f, TIMER0) & SET_VALUE, 0);
    set4(f, TIMER0 + COMPARATOR, 300);
    set4(f, CONFIGURATION, 1);
    advance_to(&f->board, 5000);
    assert_int_equal(f->lines[20].rises, 1);
    assert_int_equal(get(f, TIMER0 + COMPARATOR), 800);
    advance_to(&f->board, 8000);
    advance_to(&f->board, 11000);
    assert_int_equal(f->lines[20].rises, 3);
    /* Edges of one advance coalesce. */
    advance_to(&f->board, 11000 + 10 * 3000 + 1);
    assert_int_equal(f->lines[20].rises, 4);
    assert_true(clock_next_deadline(&f->board.clock) == 11000 + 11 * 3000);
    /* Also where nobody hears it the comparator goes on. */
    set4(f, TIMER0, PERIODIC | HALF | INPUT_20);
    advance_to(&f->board, 1000000);
    assert_int_equal(get(f, TIMER0 + COMPARATOR) % 300, 500 % 300);
    assert_true(get(f, TIMER0 + COMPARATOR) - get(f, COUNTER) <= 300);
}

static void a_period_of_one_tick_does_not_stop_time(void **state)
{
    struct fixture *f = *state;
    set4(f, TIMER0, ENABLE | PERIODIC | SET_VALUE | INPUT_20);
    set(f, TIMER0 + COMPARATOR, 1);
    set4(f, CONFIGURATION, 1);
    unsigned fired = 0;
    while (f->board.clock.now < 100000) {
        advance_to(&f->board, clock_next_deadline(&f->board.clock));
        fired++;
    }
    assert_in_range(fired, 90, 110); /* one a microsecond */
    assert_int_equal(f->lines[20].rises, fired);
    advance_to(&f->board, 10000000000000);
    assert_int_equal(f->lines[20].rises, fired + 1);
}

static void legacy_replacement_cuts_pit_and_rtc_off(void **state)
{
    struct fixture *f = *state;
    struct irq_line pit = hpet_legacy_line(f->hpet, 0), rtc = hpet_legacy_line(f->hpet, 1);
    irq_set(&pit, true);
    irq_set(&rtc, true);
    assert_true(f->legacy[0].level && f->legacy[1].level);
    irq_set(&rtc, false);
    assert_false(f->legacy[1].level);
    set(f, TIMER0 + COMPARATOR, 100);
    set(f, TIMER1 + COMPARATOR, 200);
    set(f, TIMER0, ENABLE | INPUT_20);
    set(f, TIMER1, ENABLE | LEVEL | INPUT_21);
    set4(f, CONFIGURATION, 3);
    assert_false(f->legacy[0].level);
    irq_set(&pit, false);
    irq_set(&pit, true);
    irq_set(&rtc, true);
    assert_false(f->legacy[0].level || f->legacy[1].level);
    advance_to(&f->board, 1000);
    assert_int_equal(f->legacy[0].rises, 2);
    assert_false(f->legacy[1].level);
    advance_to(&f->board, 2000);
    assert_true(f->legacy[1].level);
    set(f, STATUS, 2);
    assert_false(f->legacy[1].level);
    assert_int_equal(f->lines[20].rises + f->lines[21].rises, 0);
    /* Back: the lines are the PIT's and the RTC's again. */
    irq_set(&pit, false);
    set4(f, CONFIGURATION, 1);
    assert_false(f->legacy[0].level);
    assert_true(f->legacy[1].level);
}

/* A match at the moment of an access comes before it. */
static void an_access_at_the_deadline_does_not_lose_the_match(void **state)
{
    struct fixture *f = *state;
    set4(f, TIMER0, ENABLE | PERIODIC | SET_VALUE | INPUT_20);
    set(f, TIMER0 + COMPARATOR, 200);
    set4(f, CONFIGURATION, 1);
    f->board.time = 2000;
    set(f, TIMER0 + COMPARATOR, 400);
    assert_int_equal(f->lines[20].rises, 1);
    advance_to(&f->board, 4000);
    assert_int_equal(f->lines[20].rises, 2);
    assert_true(get(f, TIMER0 + COMPARATOR) == 800);
}

static void a_restored_one_goes_on_alike(void **state)
{
    struct fixture *f = *state;
    const struct device device = hpet_device(f->hpet);
    set4(f, TIMER0, ENABLE | PERIODIC | SET_VALUE | INPUT_20);
    set(f, TIMER0 + COMPARATOR, 200);
    set4(f, CONFIGURATION, 1);
    set(f, TIMER1, ENABLE | LEVEL | INPUT_21);
    set(f, TIMER1 + COMPARATOR, 100);
    advance_to(&f->board, 1500);
    struct buffer saved = {0}, again = {0};
    device.ops->save(device.object, &saved);
    device.ops->reset(device.object);
    assert_true(get(f, STATUS) == 0 && get(f, TIMER0 + COMPARATOR) == UINT64_MAX);
    assert_true(clock_next_deadline(&f->board.clock) == TIMER_IDLE);
    struct reader in;
    reader_init(&in, saved.data, saved.size);
    device.ops->restore(device.object, &in);
    assert_false(in.failed);
    device.ops->save(device.object, &again);
    assert_int_equal(saved.size, again.size);
    assert_memory_equal(saved.data, again.data, saved.size);
    assert_true(get(f, STATUS) == 2 && get(f, COUNTER) == 150);
    assert_true(clock_next_deadline(&f->board.clock) == 2000);
    /* A start in the future, or too little, is refused and changes nothing. */
    saved.data[16 + 7] = 1;
    reader_init(&in, saved.data, saved.size);
    device.ops->restore(device.object, &in);
    assert_true(in.failed);
    reader_init(&in, again.data, again.size - 1);
    device.ops->restore(device.object, &in);
    assert_true(in.failed);
    assert_true(clock_next_deadline(&f->board.clock) == 2000);
    buffer_free(&saved);
    buffer_free(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(registers_say_what_there_is, setup, teardown),
        cmocka_unit_test_setup_teardown(the_counter_counts_while_it_is_enabled, setup, teardown),
        cmocka_unit_test_setup_teardown(a_comparator_interrupts_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_level_lasts_until_it_is_cleared, setup, teardown),
        cmocka_unit_test_setup_teardown(a_periodic_comparator_goes_on_by_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(a_period_of_one_tick_does_not_stop_time, setup, teardown),
        cmocka_unit_test_setup_teardown(legacy_replacement_cuts_pit_and_rtc_off, setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_access_at_the_deadline_does_not_lose_the_match, setup, teardown),
        cmocka_unit_test_setup_teardown(a_restored_one_goes_on_alike, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
