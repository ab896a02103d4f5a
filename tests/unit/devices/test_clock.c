/* Virtual time and its timers. */
#include "board.h"

struct firing {
    int id;
    uint64_t at;
};

static struct firing fired[16];
static unsigned firings;

struct probe {
    struct timer timer;
    struct board *board;
    int id;
    uint64_t period, horizon;
    unsigned left;
};

static void probe_fire(void *device, uint64_t now)
{
    struct probe *probe = device;
    assert_true(probe->timer.deadline == TIMER_IDLE);
    fired[firings++] = (struct firing){probe->id, now};
    probe->horizon = clock_horizon(&probe->board->clock);
    if (probe->left > 0) {
        probe->left--;
        timer_arm(&probe->board->clock, &probe->timer, now + probe->period);
    }
}

static void probe_init(struct probe *probe, struct board *board, int id)
{
    *probe = (struct probe){.board = board, .id = id};
    timer_init(&board->clock, &probe->timer, probe_fire, probe);
    firings = 0;
}

static void expect(unsigned index, int id, uint64_t at)
{
    assert_true(index < firings);
    assert_int_equal(fired[index].id, id);
    assert_true(fired[index].at == at);
}

static void time_never_goes_back(void **state)
{
    (void)state;
    struct board board;
    board_init(&board);
    board.time = 100;
    assert_true(clock_now(&board.clock) == 100);
    board.time = 50;
    assert_true(clock_now(&board.clock) == 100);
    clock_advance(&board.clock, 60);
    assert_true(board.clock.now == 100);
}

static void timers_fire_in_order_at_their_deadlines(void **state)
{
    (void)state;
    struct board board;
    board_init(&board);
    struct probe a, b, c;
    probe_init(&a, &board, 1);
    probe_init(&b, &board, 2);
    probe_init(&c, &board, 3);
    timer_arm(&board.clock, &c.timer, 30);
    timer_arm(&board.clock, &b.timer, 20);
    timer_arm(&board.clock, &a.timer, 30);
    assert_true(clock_next_deadline(&board.clock) == 20);
    clock_advance(&board.clock, 19);
    assert_int_equal(firings, 0);
    clock_advance(&board.clock, 40);
    assert_int_equal(firings, 3);
    expect(0, 2, 20);
    expect(1, 1, 30); /* created before 3 */
    expect(2, 3, 30);
    assert_true(board.clock.now == 40);
    assert_true(clock_next_deadline(&board.clock) == TIMER_IDLE);
}

static void samples_stop_at_the_next_deadline(void **state)
{
    (void)state;
    struct board board;
    board_init(&board);
    struct probe a;
    probe_init(&a, &board, 1);
    timer_arm(&board.clock, &a.timer, 1000);
    board.time = 5000;
    assert_true(clock_now(&board.clock) == 1000);
    clock_advance(&board.clock, 1000);
    expect(0, 1, 1000);
    assert_true(clock_now(&board.clock) == 5000);
}

static void timers_rearm_within_one_advance(void **state)
{
    (void)state;
    struct board board;
    board_init(&board);
    struct probe a, b;
    probe_init(&a, &board, 1);
    probe_init(&b, &board, 2);
    a.period = 10;
    a.left = 3;
    timer_arm(&board.clock, &a.timer, 10);
    timer_arm(&board.clock, &b.timer, 25);
    clock_advance(&board.clock, 35);
    assert_int_equal(firings, 4);
    expect(0, 1, 10);
    expect(1, 1, 20);
    expect(2, 2, 25);
    expect(3, 1, 30);
    assert_true(clock_next_deadline(&board.clock) == 40);
    assert_true(b.horizon == 35);
    assert_true(clock_horizon(&board.clock) == 35);
}

static void cancel_and_rearm(void **state)
{
    (void)state;
    struct board board;
    board_init(&board);
    struct probe a, b;
    probe_init(&a, &board, 1);
    probe_init(&b, &board, 2);
    timer_arm(&board.clock, &a.timer, 10);
    timer_arm(&board.clock, &b.timer, 20);
    timer_arm(&board.clock, &a.timer, 30); /* moves it */
    timer_cancel(&board.clock, &b.timer);
    timer_cancel(&board.clock, &b.timer);
    clock_advance(&board.clock, 100);
    assert_int_equal(firings, 1);
    expect(0, 1, 30);
    timer_arm(&board.clock, &a.timer, 50); /* in the past: at the next advance, time stands */
    timer_arm(&board.clock, &b.timer, TIMER_IDLE);
    clock_advance(&board.clock, 100);
    assert_int_equal(firings, 2);
    expect(1, 1, 50);
    assert_true(board.clock.now == 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_never_goes_back),
        cmocka_unit_test(timers_fire_in_order_at_their_deadlines),
        cmocka_unit_test(samples_stop_at_the_next_deadline),
        cmocka_unit_test(timers_rearm_within_one_advance),
        cmocka_unit_test(cancel_and_rearm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
