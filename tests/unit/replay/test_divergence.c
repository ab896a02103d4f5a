/*
 * A replay that differs from its trace says so at the first difference, with both sides and what
 * led there. The traces are whole and consistent; they were recorded by a recorder that was lied
 * to.
 */
#include "tests/unit/recorder/session.h"

static const char *engine;

/* What the recorder is told of one event instead of the truth. */
static struct lie {
    uint64_t event;
    bool skip;
    uint64_t value, address, digest; /* exclusive-or */
    int kind, size;                  /* instead, when not 0 */
} lie;

static struct machine_observer honest;

static int lie_about_event(
    void *context, struct machine *machine, const struct machine_event *event, struct error *error)
{
    (void)context;
    struct machine_event told = *event;
    if (event->ordinal == lie.event) {
        if (lie.skip)
            return 0;
        told.value ^= lie.value;
        told.address ^= lie.address;
        told.digest ^= lie.digest;
        if (lie.kind)
            told.kind = (enum event_kind)lie.kind;
        if (lie.size)
            told.size = (uint8_t)lie.size;
    }
    return honest.event(honest.context, machine, &told, error);
}

static void record(struct session *session, struct lie told)
{
    lie = told;
    session_start(session, engine, "clock", "ticks=10", NULL);
    assert_int_equal(session->machine->observer_count, 1);
    honest = session->machine->observers[0];
    session->machine->observers[0].event = lie_about_event;
    session_run(session, UINT64_MAX);
    assert_int_equal(machine_stopped(session->machine), STOP_HALTED);
    session_finish(session);
}

static const char *next_line(const char **at)
{
    const char *line = *at, *end = strchr(line, '\n');
    *at = end ? end + 1 : line + strlen(line);
    return line;
}

/* The report: where, both sides, and the ten events up to there in order. */
static void check_report(struct replay *replay, uint64_t event, const char *what)
{
    struct buffer report = {0};
    replay_report(replay, &report);
    buffer_put_u8(&report, 0);
    const char *at = (const char *)report.data;
    char wanted[64];
    snprintf(wanted, sizeof wanted, "diverged at event %llu: ", (unsigned long long)event);
    const char *line = next_line(&at);
    assert_memory_equal(line, wanted, strlen(wanted));
    assert_memory_equal(line + strlen(wanted), what, strlen(what));
    assert_memory_equal(next_line(&at), "  recorded: ", 12);
    assert_memory_equal(next_line(&at), "  replayed: ", 12);
    assert_memory_equal(next_line(&at), "last events replayed:\n", 22);
    for (uint64_t i = event - 9; i <= event; i++)
        assert_int_equal(strtoull(next_line(&at), NULL, 10), i);
    assert_memory_equal(next_line(&at), "rax", 3);
    buffer_free(&report);
}

static void expect_divergence(struct lie told, const char *what)
{
    struct session session;
    record(&session, told);
    struct replay *replay = session_open(&session, NULL, NULL);
    assert_int_equal(session_replay(replay, UINT64_MAX), REPLAY_DIVERGED);
    assert_int_equal(replay_machine(replay)->position.event, told.event);
    check_report(replay, told.event, what);
    replay_close(replay);
    session_remove(&session);
}

static void truth_is_identical(void **state)
{
    (void)state;
    struct session session;
    record(&session, (struct lie){0});
    struct replay *replay = session_open(&session, NULL, NULL);
    assert_int_equal(session_replay(replay, UINT64_MAX), REPLAY_IDENTICAL);
    replay_close(replay);
    session_remove(&session);
}

/* Event 20 of the clock guest is an OUT of its first words to the serial port. */
static void changed_value(void **state)
{
    (void)state;
    expect_divergence((struct lie){.event = 20, .value = 1}, "value");
}

static void changed_address(void **state)
{
    (void)state;
    expect_divergence((struct lie){.event = 20, .address = 2}, "address");
}

static void changed_size(void **state)
{
    (void)state;
    expect_divergence((struct lie){.event = 20, .size = 2}, "size");
}

static void changed_kind(void **state)
{
    (void)state;
    expect_divergence((struct lie){.event = 20, .kind = EVENT_MMIO_WRITE}, "kind");
}

static void missing_event(void **state)
{
    (void)state;
    expect_divergence((struct lie){.event = 20, .skip = true}, "position");
}

/*
 * Of a digest 8 bits are kept with every event and all 64 with every 64th, so the state is found to
 * differ at once with odds of 255 in 256, and within 64 events for certain.
 */
static void changed_state(void **state)
{
    (void)state;
    struct session session;
    record(&session, (struct lie){.event = 40, .digest = 0x123456789abcdef});
    struct replay *replay = session_open(&session, NULL, NULL);
    assert_int_equal(session_replay(replay, UINT64_MAX), REPLAY_DIVERGED);
    uint64_t event = replay_machine(replay)->position.event;
    assert_in_range(event, 40, 40 + 64);
    check_report(replay, event, "vCPU state");
    replay_close(replay);
    session_remove(&session);
}

/* A replay up to just before the difference is still identical. */
static void identical_before(void **state)
{
    (void)state;
    struct session session;
    record(&session, (struct lie){.event = 60, .value = 0x80});
    struct replay *replay = session_open(&session, NULL, NULL);
    assert_int_equal(session_replay(replay, 59), REPLAY_STOPPED);
    assert_int_equal(session_replay(replay, UINT64_MAX), REPLAY_DIVERGED);
    assert_int_equal(replay_machine(replay)->position.event, 60);
    replay_close(replay);
    session_remove(&session);
}

/* ---- A changed input: the machine was given another time than the recorder wrote ---- */

static struct {
    struct input_source source; /* first */
    struct input_source_ops ops;
    struct input_source *inner;
    unsigned asked, from;
} liar;

static uint64_t lying_clock(struct input_source *source, struct machine *machine)
{
    (void)source;
    uint64_t time = liar.inner->ops->clock(liar.inner, machine);
    return ++liar.asked == liar.from ? time + 300000000 : time;
}

static int pass_poll(struct input_source *source, struct machine *machine,
    struct delivery *delivery, struct error *error)
{
    (void)source;
    return liar.inner->ops->poll(liar.inner, machine, delivery, error);
}

static int pass_wait(struct input_source *source, struct machine *machine,
    struct delivery *delivery, struct error *error)
{
    (void)source;
    return liar.inner->ops->wait(liar.inner, machine, delivery, error);
}

static int pass_plan(struct input_source *source, struct machine *machine, struct run_plan *plan,
    struct error *error)
{
    (void)source;
    return liar.inner->ops->plan(liar.inner, machine, plan, error);
}

static int pass_landing(struct input_source *source, struct machine *machine,
    const struct vcpu_exit *exit, struct error *error)
{
    (void)source;
    return liar.inner->ops->landing(liar.inner, machine, exit, error);
}

static struct input_source *wrap(struct input_source *inner)
{
    liar.inner = inner;
    liar.asked = 0;
    liar.ops = *inner->ops;
    liar.ops.clock = lying_clock;
    liar.ops.poll = pass_poll;
    liar.ops.wait = pass_wait;
    liar.ops.plan = pass_plan;
    liar.ops.landing = pass_landing;
    liar.source.ops = &liar.ops;
    return &liar.source;
}

static void changed_input(void **state)
{
    (void)state;
    struct session session;
    /* The first questions set timers up; a later one is a read of a counter. */
    liar.from = 4;
    session_start(&session, engine, "clock", "ticks=10", wrap);
    session_run(&session, UINT64_MAX);
    session_finish(&session);
    assert_true(liar.asked >= liar.from);
    struct replay *replay = session_open(&session, NULL, NULL);
    assert_int_equal(session_replay(replay, UINT64_MAX), REPLAY_DIVERGED);
    struct buffer report = {0};
    replay_report(replay, &report);
    assert_memory_equal(report.data, "diverged a", 10);
    buffer_free(&report);
    replay_close(replay);
    session_remove(&session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(truth_is_identical),
        cmocka_unit_test(changed_value),
        cmocka_unit_test(changed_address),
        cmocka_unit_test(changed_size),
        cmocka_unit_test(changed_kind),
        cmocka_unit_test(missing_event),
        cmocka_unit_test(changed_state),
        cmocka_unit_test(identical_before),
        cmocka_unit_test(changed_input),
    };
    engine = "soft";
    int failed = cmocka_run_group_tests_name("divergence on soft", tests, NULL, NULL);
    if (kvm_is_usable()) {
        engine = "kvm";
        failed += cmocka_run_group_tests_name("divergence on kvm", tests, NULL, NULL);
    }
    return failed;
}
