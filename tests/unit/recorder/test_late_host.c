/* Virtual time on KVM where the host lets the guest wait: with idle time skipped, it passes the
 * next timer by no more than a kick takes. */
#include "session.h"

#include <time.h>

enum { MS = 1000000, DEADLINE = 5 * MS };

static uint64_t host_time = 1000000000;

/* Instead of the C library's: for the live source, which asks for nothing else. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    (void)clock;
    *now = (struct timespec){
        .tv_sec = (time_t)(host_time / 1000000000), .tv_nsec = (long)(host_time % 1000000000)};
    return 0;
}

static void fire(void *device, uint64_t now)
{
    (void)now;
    ++*(unsigned *)device;
}

static uint64_t now_after(struct session *session, uint64_t passed)
{
    struct input_source *live = live_source(session->live);
    host_time += passed;
    return live->ops->clock(live, session->machine);
}

static void a_late_timer_takes_no_more_time_than_a_kick(void **state)
{
    struct session session;
    struct timer timer;
    unsigned fired = 0;
    (void)state;
    session_start(&session, "soft", "hello", "", NULL);
    session.machine->counts_time = false; /* as on KVM */
    struct clock *clock = &session.machine->clock;
    timer_init(clock, &timer, fire, &fired);
    assert_int_equal(now_after(&session, 3 * MS), 3 * MS);
    timer_arm(clock, &timer, DEADLINE);
    assert_int_equal(now_after(&session, MS), 4 * MS);
    assert_int_equal(now_after(&session, 100 * MS), DEADLINE + MS);
    assert_int_equal(now_after(&session, 0), DEADLINE + MS);
    assert_int_equal(now_after(&session, 7 * MS), DEADLINE + MS);
    clock_advance(clock, DEADLINE);
    assert_int_equal(fired, 1);
    timer_arm(clock, &timer, 2 * DEADLINE);
    assert_int_equal(now_after(&session, 2 * MS), DEADLINE + 3 * MS);
    timer_cancel(clock, &timer);
    assert_int_equal(now_after(&session, 100 * MS), DEADLINE + 103 * MS);
    session_finish(&session);
    session_remove(&session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_late_timer_takes_no_more_time_than_a_kick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
