/*
 * Expectations from the mode descriptions and timing diagrams of the Intel 8254 data sheet. Times
 * are in ticks of 1193182 Hz: at(n) is the first nanosecond of tick n. A count written in tick k is
 * in the counter at tick k + 1.
 */
#include "board.h"

#include "devices/pit.h"

struct fixture {
    struct board board;
    struct pit *pit;
};

static uint64_t at(uint64_t tick)
{
    unsigned __int128 time = (unsigned __int128)tick * 1000000000u;
    return (uint64_t)((time + 1193182 - 1) / 1193182);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    board_init(&f->board);
    struct pit_config config = {.clock = &f->board.clock, .irq = board_irq(&f->board)};
    f->pit = pit_create(&config, &f->board.error);
    assert_non_null(f->pit);
    assert_int_equal(pit_attach(f->pit, &f->board.ports, &f->board.error), 0);
    f->board.irq.rises = 0; /* create drives the line high */
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    pit_destroy(f->pit);
    free(f);
    return 0;
}

static void go(struct fixture *f, uint64_t tick)
{
    advance_to(&f->board, at(tick));
}

/* Control word, then both bytes of the count. */
static void program(struct fixture *f, unsigned counter, unsigned mode, uint16_t count)
{
    out8(&f->board, 0x43, (uint8_t)(counter << 6 | 0x30 | mode << 1));
    out8(&f->board, (uint16_t)(0x40 + counter), (uint8_t)count);
    out8(&f->board, (uint16_t)(0x40 + counter), (uint8_t)(count >> 8));
}

static unsigned count_of(struct fixture *f, unsigned counter)
{
    out8(&f->board, 0x43, (uint8_t)(counter << 6));
    unsigned low = in8(&f->board, (uint16_t)(0x40 + counter));
    return low | (unsigned)in8(&f->board, (uint16_t)(0x40 + counter)) << 8;
}

static uint8_t status_of(struct fixture *f, unsigned counter)
{
    out8(&f->board, 0x43, (uint8_t)(0xe0 | 2u << counter));
    return in8(&f->board, (uint16_t)(0x40 + counter));
}

static bool out_of(struct fixture *f, unsigned counter)
{
    return status_of(f, counter) & 0x80;
}

static void gate2(struct fixture *f, bool level)
{
    out8(&f->board, 0x61, level);
}

static void mode0_interrupts_once(void **state)
{
    struct fixture *f = *state;
    go(f, 100);
    program(f, 0, 0, 4);
    assert_false(f->board.irq.level);
    assert_false(out_of(f, 0));
    static const unsigned counts[] = {4, 3, 2, 1, 0, 0xffff, 0xfffe};
    for (unsigned i = 0; i < 7; i++) {
        go(f, 101 + i);
        assert_int_equal(count_of(f, 0), counts[i]);
        assert_int_equal(out_of(f, 0), i >= 4);
    }
    assert_int_equal(f->board.irq.rises, 1);
    assert_true(f->board.irq.last_rise == at(105));
    go(f, 300000);
    assert_int_equal(f->board.irq.rises, 1);
    assert_int_equal(count_of(f, 0), (4 - (300000 - 101)) & 0xffff);
    /* The first byte of a new count stops the counter and takes OUT low. */
    out8(&f->board, 0x40, 2);
    assert_false(f->board.irq.level);
    go(f, 300010);
    assert_false(f->board.irq.level);
    out8(&f->board, 0x40, 0);
    go(f, 300012);
    assert_false(f->board.irq.level);
    go(f, 300013);
    assert_true(f->board.irq.last_rise == at(300013));
}

static void mode0_gate_suspends(void **state)
{
    struct fixture *f = *state;
    gate2(f, true);
    program(f, 2, 0, 10);
    go(f, 4); /* loaded at 1: three counts done */
    gate2(f, false);
    assert_int_equal(count_of(f, 2), 7);
    go(f, 50);
    assert_int_equal(count_of(f, 2), 7);
    gate2(f, true);
    go(f, 56);
    assert_int_equal(in8(&f->board, 0x61) & 0x20, 0);
    go(f, 57);
    assert_int_equal(in8(&f->board, 0x61) & 0x20, 0x20);
    /* Written with the gate low, the count is loaded and waits; OUT rises N after the gate. */
    gate2(f, false);
    program(f, 2, 0, 5);
    go(f, 80);
    assert_int_equal(count_of(f, 2), 5);
    gate2(f, true);
    go(f, 84);
    assert_false(out_of(f, 2));
    go(f, 85);
    assert_true(out_of(f, 2));
}

static void mode1_one_shot(void **state)
{
    struct fixture *f = *state;
    program(f, 2, 1, 3);
    assert_int_equal(status_of(f, 2), 0x80 | 0x40 | 0x32); /* OUT, null count, access, mode */
    go(f, 10);
    assert_true(out_of(f, 2));
    gate2(f, true);
    assert_true(out_of(f, 2));
    go(f, 11); /* low for N clocks from the one after the trigger */
    assert_int_equal(status_of(f, 2), 0x32);
    assert_int_equal(count_of(f, 2), 3);
    go(f, 13);
    assert_false(out_of(f, 2));
    /* Retriggered: OUT stays low for another N. */
    gate2(f, false);
    gate2(f, true);
    assert_false(out_of(f, 2));
    go(f, 14);
    assert_int_equal(count_of(f, 2), 3);
    go(f, 16);
    assert_false(out_of(f, 2));
    go(f, 17);
    assert_true(out_of(f, 2));
    /* A new count waits for the next trigger. */
    out8(&f->board, 0x42, 9);
    out8(&f->board, 0x42, 0);
    assert_true(status_of(f, 2) & 0x40);
    go(f, 20);
    assert_int_equal(count_of(f, 2), 0xfffd);
    gate2(f, false);
    gate2(f, true);
    go(f, 21);
    assert_int_equal(count_of(f, 2), 9);
}

static void mode2_divides(void **state)
{
    struct fixture *f = *state;
    program(f, 0, 2, 4);
    assert_int_equal(status_of(f, 0), 0x80 | 0x40 | 0x34);
    static const unsigned counts[] = {4, 3, 2, 1, 4, 3, 2, 1, 4};
    for (unsigned i = 0; i < 9; i++) {
        go(f, 1 + i);
        assert_int_equal(count_of(f, 0), counts[i]);
        assert_int_equal(status_of(f, 0), (counts[i] == 1 ? 0 : 0x80) | 0x34);
    }
    assert_int_equal(f->board.irq.rises, 2);
    assert_true(f->board.irq.last_rise == at(9));
    /* A new count takes over at the end of the period, here at tick 13. */
    out8(&f->board, 0x40, 6);
    out8(&f->board, 0x40, 0);
    go(f, 12);
    assert_int_equal(count_of(f, 0), 1);
    assert_true(status_of(f, 0) & 0x40);
    go(f, 13);
    assert_int_equal(count_of(f, 0), 6);
    assert_false(status_of(f, 0) & 0x40);
    assert_true(f->board.irq.last_rise == at(13));
    go(f, 18);
    assert_true(f->board.irq.last_rise == at(13));
    go(f, 19);
    assert_true(f->board.irq.last_rise == at(19));
}

static void mode2_gate_restarts(void **state)
{
    struct fixture *f = *state;
    gate2(f, true);
    program(f, 2, 2, 10);
    go(f, 10);
    assert_false(out_of(f, 2));
    gate2(f, false); /* takes OUT high at once */
    assert_true(out_of(f, 2));
    go(f, 40);
    assert_int_equal(count_of(f, 2), 1);
    gate2(f, true);
    go(f, 41);
    assert_int_equal(count_of(f, 2), 10);
    go(f, 50);
    assert_false(out_of(f, 2));
}

static void mode3_square_wave(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint16_t count;
        uint8_t values[8];
        char out[9];
    } cases[] = {
        {4, {4, 2, 4, 2, 4, 2, 4, 2}, "HHLLHHLL"},
        {5, {4, 2, 0, 4, 2, 4, 2, 0}, "HHHLLHHH"},
    };
    uint64_t tick = 0;
    for (unsigned c = 0; c < 2; c++) {
        go(f, tick);
        program(f, 0, 3, cases[c].count);
        for (unsigned i = 0; i < 8; i++) {
            go(f, ++tick);
            assert_int_equal(count_of(f, 0), cases[c].values[i]);
            assert_int_equal(out_of(f, 0), cases[c].out[i] == 'H');
        }
        assert_true(f->board.irq.last_rise == at(tick - 7 + cases[c].count));
    }
}

static void mode3_takes_a_new_count_at_the_half(void **state)
{
    struct fixture *f = *state;
    program(f, 0, 3, 10); /* high 1-5, low 6-10 */
    go(f, 3);
    out8(&f->board, 0x40, 4);
    out8(&f->board, 0x40, 0);
    go(f, 5);
    assert_true(out_of(f, 0));
    go(f, 6); /* low for two of the new four */
    assert_int_equal(count_of(f, 0), 4);
    assert_false(out_of(f, 0));
    go(f, 7);
    assert_false(out_of(f, 0));
    go(f, 8);
    assert_true(out_of(f, 0));
    assert_true(f->board.irq.last_rise == at(8));
    assert_true(f->board.clock.armed->deadline == at(12));
}

static void mode4_software_strobe(void **state)
{
    struct fixture *f = *state;
    program(f, 0, 4, 3);
    assert_true(out_of(f, 0));
    static const unsigned counts[] = {3, 2, 1, 0, 0xffff};
    for (unsigned i = 0; i < 5; i++) {
        go(f, 1 + i);
        assert_int_equal(count_of(f, 0), counts[i]);
        assert_int_equal(out_of(f, 0), counts[i] != 0);
    }
    assert_int_equal(f->board.irq.rises, 1);
    assert_true(f->board.irq.last_rise == at(5)); /* the end of the low strobe */
    go(f, 200000);
    assert_int_equal(f->board.irq.rises, 1);
    out8(&f->board, 0x40, 7);
    out8(&f->board, 0x40, 0);
    go(f, 200009);
    assert_true(f->board.irq.last_rise == at(200009));
}

static void mode5_hardware_strobe(void **state)
{
    struct fixture *f = *state;
    program(f, 2, 5, 3);
    go(f, 20);
    assert_true(out_of(f, 2));
    gate2(f, true);
    for (unsigned tick = 21; tick < 28; tick++) {
        go(f, tick);
        assert_int_equal(out_of(f, 2), tick != 24);
    }
}

static void bcd_counts_in_decimal(void **state)
{
    struct fixture *f = *state;
    out8(&f->board, 0x43, 0x31); /* mode 0, BCD */
    out8(&f->board, 0x40, 0x00);
    out8(&f->board, 0x40, 0x10);
    go(f, 2);
    assert_int_equal(count_of(f, 0), 0x0999);
    go(f, 1001);
    assert_true(f->board.irq.last_rise == at(1001));
    go(f, 1002);
    assert_int_equal(count_of(f, 0), 0x9999);
    out8(&f->board, 0x43, 0x35); /* mode 2: 0 is 10000 */
    out8(&f->board, 0x40, 0);
    out8(&f->board, 0x40, 0);
    go(f, 1003 + 10000);
    assert_true(f->board.irq.last_rise == at(11003));
}

static void byte_access_modes(void **state)
{
    struct fixture *f = *state;
    out8(&f->board, 0x43, 0x14); /* LSB only */
    out8(&f->board, 0x40, 0x20);
    go(f, 1);
    assert_int_equal(in8(&f->board, 0x40), 0x20);
    assert_int_equal(in8(&f->board, 0x40), 0x20);
    out8(&f->board, 0x43, 0x24); /* MSB only */
    out8(&f->board, 0x40, 0x20);
    go(f, 3);
    assert_int_equal(in8(&f->board, 0x40), 0x1f);
    out8(&f->board, 0x43, 0x00);
    assert_int_equal(in8(&f->board, 0x40), 0x1f);
    out8(&f->board, 0x43, 0x34);
    out8(&f->board, 0x40, 0);
    out8(&f->board, 0x40, 0); /* 65536 */
    go(f, 5 + 0x1235);
    assert_int_equal(in8(&f->board, 0x40), (0x10000 - 0x1236 + 0) & 0xff);
    assert_int_equal(in8(&f->board, 0x40), ((0x10000 - 0x1236) >> 8) & 0xff);
    assert_int_equal(in8(&f->board, 0x43), 0xff);
}

static void latches_hold_until_read(void **state)
{
    struct fixture *f = *state;
    program(f, 0, 2, 1000);
    go(f, 101);
    out8(&f->board, 0x43, 0x00);
    go(f, 201);
    out8(&f->board, 0x43, 0x00); /* ignored: the first is still there */
    assert_int_equal(in8(&f->board, 0x40), 900 & 0xff);
    assert_int_equal(in8(&f->board, 0x40), 900 >> 8);
    assert_int_equal(count_of(f, 0), 800);
    /* Read-back of both: status first, then the count. */
    out8(&f->board, 0x43, 0xc2);
    go(f, 301);
    assert_int_equal(in8(&f->board, 0x40), 0xb4);
    assert_int_equal(in8(&f->board, 0x40), 800 & 0xff);
    assert_int_equal(in8(&f->board, 0x40), 800 >> 8);
    /* One command latches several counters. */
    program(f, 1, 2, 18);
    go(f, 302);
    out8(&f->board, 0x43, 0xd6);
    go(f, 303);
    assert_int_equal(in8(&f->board, 0x41), 18);
    assert_int_equal(in8(&f->board, 0x40), 699 & 0xff);
}

static void time_is_sampled_only_when_needed(void **state)
{
    struct fixture *f = *state;
    f->board.samples = 0;
    out8(&f->board, 0x43, 0x34);
    out8(&f->board, 0x40, 10);
    assert_int_equal(f->board.samples, 0);
    out8(&f->board, 0x40, 0);
    assert_int_equal(f->board.samples, 1);
    out8(&f->board, 0x43, 0x00);
    assert_int_equal(f->board.samples, 2);
    in8(&f->board, 0x40);
    in8(&f->board, 0x40);
    assert_int_equal(f->board.samples, 2);
    out8(&f->board, 0x43, 0xce); /* status and count of all three */
    assert_int_equal(f->board.samples, 3);
    out8(&f->board, 0x61, 0x02); /* the gate does not change */
    assert_int_equal(f->board.samples, 3);
}

static void edges_do_not_drift(void **state)
{
    struct fixture *f = *state;
    program(f, 0, 2, 1193);
    uint64_t edge = 1 + 1193ull * 1000000; /* about 1000 s on */
    advance_to(&f->board, at(edge) - 1);
    assert_true(clock_next_deadline(&f->board.clock) == at(edge));
    assert_true(f->board.irq.last_rise < at(edge));
    unsigned rises = f->board.irq.rises;
    go(f, edge);
    assert_int_equal(f->board.irq.rises, rises + 1);
    assert_true(f->board.irq.last_rise == at(edge));
    /* Stepped from deadline to deadline, each edge is at its own tick. */
    for (unsigned i = 1; i <= 1000; i++) {
        advance_to(&f->board, clock_next_deadline(&f->board.clock));
        assert_true(f->board.irq.last_rise == at(edge + 1193ull * i));
    }
    assert_int_equal(f->board.irq.rises, rises + 1001);
}

static void a_long_jump_costs_one_firing(void **state)
{
    struct fixture *f = *state;
    program(f, 0, 2, 1);
    go(f, 2);
    unsigned rises = f->board.irq.rises;
    const uint64_t hour = 3600ull * 1000000000;
    advance_to(&f->board, hour);
    assert_int_equal(f->board.irq.rises, rises + 1);
    uint64_t next = clock_next_deadline(&f->board.clock);
    assert_true(next > hour && next <= hour + 839);
    advance_to(&f->board, TIMER_IDLE - 1); /* 584 years */
    advance_to(&f->board, TIMER_IDLE);
}

static void a_due_edge_comes_before_the_access(void **state)
{
    struct fixture *f = *state;
    program(f, 0, 2, 100);
    /* Time has passed the edge unnoticed by the run loop when the guest reads the counter. */
    f->board.time = at(150);
    count_of(f, 0);
    assert_int_equal(f->board.irq.rises, 1);
    assert_true(f->board.irq.last_rise == at(101));
    clock_advance(&f->board.clock, f->board.time);
    assert_int_equal(f->board.irq.rises, 1);
}

static void system_port(void **state)
{
    struct fixture *f = *state;
    out8(&f->board, 0x61, 0xff);
    assert_int_equal(in8(&f->board, 0x61) & 0xcf, 0x0f);
    /* The refresh bit toggles every 18 ticks, 15 us. */
    for (unsigned i = 0; i < 8; i++) {
        go(f, 18 * i);
        assert_int_equal(in8(&f->board, 0x61) >> 4 & 1, i & 1);
        go(f, 18 * i + 17);
        assert_int_equal(in8(&f->board, 0x61) >> 4 & 1, i & 1);
    }
    go(f, 1000);
    program(f, 2, 3, 100); /* gate is high: OUT2 shows in bit 5 */
    go(f, 1001);
    assert_int_equal(in8(&f->board, 0x61) & 0x20, 0x20);
    go(f, 1051);
    assert_int_equal(in8(&f->board, 0x61) & 0x20, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(mode0_interrupts_once),
        TEST(mode0_gate_suspends),
        TEST(mode1_one_shot),
        TEST(mode2_divides),
        TEST(mode2_gate_restarts),
        TEST(mode3_square_wave),
        TEST(mode3_takes_a_new_count_at_the_half),
        TEST(mode4_software_strobe),
        TEST(mode5_hardware_strobe),
        TEST(bcd_counts_in_decimal),
        TEST(byte_access_modes),
        TEST(latches_hold_until_read),
        TEST(time_is_sampled_only_when_needed),
        TEST(edges_do_not_drift),
        TEST(a_long_jump_costs_one_firing),
        TEST(a_due_edge_comes_before_the_access),
        TEST(system_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
