/*
 * Expectations from the MC146818A data sheet. Dates are checked against gmtime_r, an independent
 * calendar.
 */
#include "board.h"

#include <stdio.h>
#include <time.h>

#include "devices/rtc.h"

#define SECOND UINT64_C(1000000000)

struct fixture {
    struct board board;
    struct rtc *rtc;
};

static void open_at(struct fixture *f, int64_t start)
{
    rtc_destroy(f->rtc);
    board_init(&f->board);
    struct rtc_config config = {.clock = &f->board.clock,
        .irq = board_irq(&f->board),
        .start_seconds = start,
        .memory_below_4g = 512ull << 20,
        .memory_above_4g = 3ull << 30};
    f->rtc = rtc_create(&config, &f->board.error);
    assert_non_null(f->rtc);
    assert_int_equal(rtc_attach(f->rtc, &f->board.ports, &f->board.error), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    open_at(f, 1709251140); /* Thursday 2024-02-29 23:59:00 */
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    rtc_destroy(f->rtc);
    free(f);
    return 0;
}

static uint8_t get(struct fixture *f, uint8_t index)
{
    out8(&f->board, 0x70, index);
    return in8(&f->board, 0x71);
}

static void put(struct fixture *f, uint8_t index, uint8_t value)
{
    out8(&f->board, 0x70, index);
    out8(&f->board, 0x71, value);
}

static void expect_time(struct fixture *f, uint32_t date, uint32_t time, uint8_t weekday)
{
    assert_int_equal((uint32_t)get(f, 0x32) << 24 | (uint32_t)get(f, 9) << 16 |
                         (uint32_t)get(f, 8) << 8 | get(f, 7),
        date);
    assert_int_equal((uint32_t)get(f, 4) << 16 | (uint32_t)get(f, 2) << 8 | get(f, 0), time);
    assert_int_equal(get(f, 6), weekday);
}

static void leap_day_rolls_over(void **state)
{
    struct fixture *f = *state;
    expect_time(f, 0x20240229, 0x235900, 5);
    advance_to(&f->board, 60 * SECOND - 1);
    expect_time(f, 0x20240229, 0x235959, 5);
    advance_to(&f->board, 60 * SECOND);
    expect_time(f, 0x20240301, 0x000000, 6);
}

static void centuries_and_formats(void **state)
{
    struct fixture *f = *state;
    open_at(f, 4107542399); /* 2100-02-28 23:59:59, Sunday; 2100 is not a leap year */
    expect_time(f, 0x21000228, 0x235959, 1);
    advance_to(&f->board, SECOND);
    expect_time(f, 0x21000301, 0x000000, 2);
    open_at(f, 946684799); /* 1999-12-31 23:59:59, Friday */
    put(f, 0x0b, 0x00);    /* 12 hours: the hour has to be set anew */
    put(f, 4, 0x91);       /* 11 PM */
    advance_to(&f->board, SECOND);
    expect_time(f, 0x20000101, 0x120000, 7); /* midnight is 12 AM */
    advance_to(&f->board, SECOND * (1 + 13 * 3600));
    expect_time(f, 0x20000101, 0x810000, 7); /* 1 PM */
    put(f, 0x0b, 0x06);
    put(f, 7, 31);
    put(f, 8, 12);
    put(f, 9, 20);
    put(f, 0x32, 19);
    put(f, 4, 23);
    advance_to(&f->board, SECOND * (13 * 3600 + 2));
    expect_time(f, 0x13140c1f, 0x170001, 7); /* binary: 1920-12-31 23:00:01 */
}

static void agrees_with_an_independent_calendar(void **state)
{
    struct fixture *f = *state;
    unsigned seed = 20240229;
    printf("seed %u\n", seed);
    for (unsigned i = 0; i < 3000; i++) {
        int64_t start =
            (int64_t)(((uint64_t)rand_r(&seed) << 31 | (uint64_t)rand_r(&seed)) % 253402300800u);
        uint64_t step = (uint64_t)rand_r(&seed) % 100000000;
        if (start + (int64_t)step >= 253402300800)
            continue;
        open_at(f, start);
        advance_to(&f->board, step * SECOND);
        time_t now = (time_t)(start + (int64_t)step);
        struct tm tm;
        assert_non_null(gmtime_r(&now, &tm));
        char text[32], expected[32];
        snprintf(text, sizeof text, "%02x%02x-%02x-%02x %02x:%02x:%02x %d", get(f, 0x32), get(f, 9),
            get(f, 8), get(f, 7), get(f, 4), get(f, 2), get(f, 0), get(f, 6));
        snprintf(expected, sizeof expected, "%04d-%02d-%02d %02d:%02d:%02d %d", tm.tm_year + 1900,
            tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, tm.tm_wday + 1);
        assert_string_equal(text, expected);
    }
}

static void set_stops_updates(void **state)
{
    struct fixture *f = *state;
    put(f, 0x0b, 0x92);
    assert_int_equal(get(f, 0x0b), 0x82); /* SET clears UIE */
    advance_to(&f->board, 10 * SECOND);
    assert_int_equal(get(f, 0), 0x00);
    assert_int_equal(get(f, 0x0a) & 0x80, 0);
    put(f, 0, 0x30);
    put(f, 2, 0x15);
    put(f, 4, 0x06);
    advance_to(&f->board, 10 * SECOND + SECOND / 2);
    put(f, 0x0b, 0x02);
    expect_time(f, 0x20240229, 0x061530, 5);
    advance_to(&f->board, 11 * SECOND); /* the divider chain never stopped */
    expect_time(f, 0x20240229, 0x061531, 5);
}

static void divider_reset_gives_half_a_second(void **state)
{
    struct fixture *f = *state;
    advance_to(&f->board, SECOND / 4);
    put(f, 0x0a, 0x76);
    advance_to(&f->board, 5 * SECOND + 123);
    assert_int_equal(get(f, 0), 0x00);
    put(f, 0x0a, 0x26);
    advance_to(&f->board, 5 * SECOND + 123 + SECOND / 2 - 1);
    assert_int_equal(get(f, 0), 0x00);
    advance_to(&f->board, 5 * SECOND + 123 + SECOND / 2);
    assert_int_equal(get(f, 0), 0x01);
}

static void update_in_progress(void **state)
{
    struct fixture *f = *state;
    /* 244 us of notice and a cycle of 1984 us, which ends on the second. */
    advance_to(&f->board, SECOND - 2229000);
    assert_int_equal(get(f, 0x0a), 0x26);
    advance_to(&f->board, SECOND - 2227000);
    assert_int_equal(get(f, 0x0a), 0xa6);
    advance_to(&f->board, SECOND - 1);
    assert_int_equal(get(f, 0x0a), 0xa6);
    assert_int_equal(get(f, 0x0c), 0x40); /* PF at 1024 Hz, no UF yet */
    advance_to(&f->board, SECOND);
    assert_int_equal(get(f, 0x0a), 0x26);
    assert_int_equal(get(f, 0x0c), 0x50);
    assert_int_equal(get(f, 0x0c), 0x00); /* cleared by the read */
}

static void update_ended_interrupt(void **state)
{
    struct fixture *f = *state;
    advance_to(&f->board, SECOND / 2);
    put(f, 0x0b, 0x12);
    assert_true(clock_next_deadline(&f->board.clock) == SECOND);
    advance_to(&f->board, SECOND);
    assert_true(f->board.irq.level);
    assert_true(clock_next_deadline(&f->board.clock) == TIMER_IDLE); /* until C is read */
    advance_to(&f->board, 5 * SECOND + 1);
    assert_int_equal(get(f, 0x0c) & 0x90, 0x90);
    assert_false(f->board.irq.level);
    assert_true(clock_next_deadline(&f->board.clock) == 6 * SECOND);
    /* Enabling an interrupt whose flag is set raises it at once. */
    put(f, 0x0b, 0x02);
    advance_to(&f->board, 7 * SECOND);
    assert_false(f->board.irq.level);
    put(f, 0x0b, 0x12);
    assert_true(f->board.irq.level);
    rtc_device(f->rtc).ops->reset(f->rtc);
    assert_false(f->board.irq.level);
    assert_int_equal(get(f, 0x0b), 0x02);
    assert_int_equal(get(f, 0x0c), 0x00);
}

static void periodic_rates(void **state)
{
    struct fixture *f = *state;
    static const unsigned hertz[] = {
        0, 256, 128, 8192, 4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 2};
    for (uint8_t rate = 0; rate < 16; rate++) {
        open_at(f, 0);
        put(f, 0x0a, 0x20 | rate);
        put(f, 0x0b, 0x42);
        if (rate == 0) {
            assert_true(clock_next_deadline(&f->board.clock) == TIMER_IDLE);
            continue;
        }
        for (uint64_t i = 1; i <= 20; i++) {
            uint64_t edge = (i * SECOND + hertz[rate] - 1) / hertz[rate];
            assert_true(clock_next_deadline(&f->board.clock) == edge);
            advance_to(&f->board, edge);
            assert_true(f->board.irq.level);
            assert_int_equal(get(f, 0x0c) & 0xc0, 0xc0);
            assert_false(f->board.irq.level);
        }
    }
    advance_to(&f->board, TIMER_IDLE - 1);
    assert_true(f->board.irq.level);
}

static void alarms(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint8_t hour, minute, second;
        uint64_t after; /* seconds from 23:59:00; 0 = never */
    } cases[] = {
        {0x23, 0x59, 0x30, 30},
        {0x00, 0x00, 0x00, 60},
        {0x23, 0x59, 0x00, 86400},
        {0x07, 0x30, 0x15, 60 + 7 * 3600 + 30 * 60 + 15},
        {0xc0, 0xff, 0xc5, 1},
        {0xff, 0xff, 0x05, 5},
        {0xff, 0x10, 0x00, 60 + 600},
        {0x02, 0xff, 0xff, 60 + 7200},
        {0xff, 0x59, 0x00, 3600},
        {0x24, 0x00, 0x00, 0},
        {0x00, 0x61, 0x00, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        open_at(f, 1709251140);
        put(f, 5, cases[i].hour);
        put(f, 3, cases[i].minute);
        put(f, 1, cases[i].second);
        put(f, 0x0b, 0x22);
        uint64_t deadline = cases[i].after ? cases[i].after * SECOND : TIMER_IDLE;
        assert_true(clock_next_deadline(&f->board.clock) == deadline);
        if (!cases[i].after)
            continue;
        advance_to(&f->board, deadline - 1);
        assert_false(f->board.irq.level);
        assert_int_equal(get(f, 0x0c) & 0x20, 0);
        advance_to(&f->board, deadline);
        assert_true(f->board.irq.level);
        assert_int_equal(get(f, 0x0c) & 0xa0, 0xa0);
    }
    /* Without the interrupt the flag is set all the same, and found by a later look. */
    open_at(f, 1709251140);
    put(f, 5, 0x00);
    put(f, 3, 0x00);
    put(f, 1, 0x00);
    advance_to(&f->board, 3600 * SECOND);
    assert_int_equal(get(f, 0x0c) & 0xa0, 0x20);
}

static void ram_and_memory_size(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(get(f, 0x15) | get(f, 0x16) << 8, 640);
    assert_int_equal(get(f, 0x17) | get(f, 0x18) << 8, 65535); /* 511 MiB, saturated */
    assert_int_equal(get(f, 0x30) | get(f, 0x31) << 8, 65535);
    assert_int_equal(get(f, 0x34) | get(f, 0x35) << 8, 496 * 16);
    assert_int_equal(get(f, 0x5b) | get(f, 0x5c) << 8 | get(f, 0x5d) << 16, 3 * 16384);
    assert_int_equal(get(f, 0x0d), 0x80);
    put(f, 0x0d, 0);
    assert_int_equal(get(f, 0x0d), 0x80);
    put(f, 0x0f, 0x0a);
    rtc_device(f->rtc).ops->reset(f->rtc);
    assert_int_equal(get(f, 0x0f), 0x0a);
    unsigned samples = f->board.samples;
    put(f, 0x40, 0x55);
    assert_int_equal(get(f, 0x40), 0x55);
    assert_int_equal(f->board.samples, samples);
    assert_int_equal(in8(&f->board, 0x70), 0xff);
    out8(&f->board, 0x70, 0x8f);
    assert_true(rtc_nmi_masked(f->rtc));
    assert_int_equal(in8(&f->board, 0x71), 0x0a);
    out8(&f->board, 0x70, 0x0f);
    assert_false(rtc_nmi_masked(f->rtc));
}

static void a_start_time_out_of_range_is_refused(void **state)
{
    struct fixture *f = *state;
    struct rtc_config config = {.clock = &f->board.clock, .start_seconds = 253402300800};
    assert_null(rtc_create(&config, &f->board.error));
    assert_true(f->board.error.text[0] != 0);
    config.start_seconds = INT64_MIN;
    assert_null(rtc_create(&config, NULL));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(leap_day_rolls_over),
        TEST(centuries_and_formats),
        TEST(agrees_with_an_independent_calendar),
        TEST(set_stops_updates),
        TEST(divider_reset_gives_half_a_second),
        TEST(update_in_progress),
        TEST(update_ended_interrupt),
        TEST(periodic_rates),
        TEST(alarms),
        TEST(ram_and_memory_size),
        TEST(a_start_time_out_of_range_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
