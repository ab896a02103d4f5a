/*
 * Landings wherever a kick can stop a guest: a timer kicks all the time, and every stop becomes a
 * landing, not only those that have something to deliver. The replay finds each again.
 */
#include "tests/unit/recorder/session.h"
#include "vmm/machine/probe.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

/* The live source, but for what it thinks of a stop. */
struct eager_source {
    struct input_source source; /* first */
    struct input_source *live;
    unsigned landings, most;
};

static struct eager_source *eager_of(struct input_source *source)
{
    return (struct eager_source *)source;
}

static uint64_t eager_clock(struct input_source *source, struct machine *machine)
{
    struct input_source *live = eager_of(source)->live;
    return live->ops->clock(live, machine);
}

static int eager_poll(struct input_source *source, struct machine *machine,
    struct delivery *delivery, struct error *error)
{
    struct input_source *live = eager_of(source)->live;
    return live->ops->poll(live, machine, delivery, error);
}

static int eager_wait(struct input_source *source, struct machine *machine,
    struct delivery *delivery, struct error *error)
{
    struct input_source *live = eager_of(source)->live;
    return live->ops->wait(live, machine, delivery, error);
}

static int eager_plan(struct input_source *source, struct machine *machine, struct run_plan *plan,
    struct error *error)
{
    struct input_source *live = eager_of(source)->live;
    return live->ops->plan(live, machine, plan, error);
}

/* The software CPU may land anywhere, also where it runs ring 0 for KVM; KVM alone where an
 * interrupt can be taken. */
static bool may_land(const struct eager_source *self, const struct machine *machine)
{
    struct engine *engine = machine->engine;
    if (self->landings >= self->most)
        return false;
    if (machine->counts_time)
        return engine->retired != machine->position.event_retired;
    return !probe_ring0_exact() || engine_interruptible(engine);
}

static int eager_landing(struct input_source *source, struct machine *machine,
    const struct vcpu_exit *exit, struct error *error)
{
    struct eager_source *self = eager_of(source);
    int wanted = self->live->ops->landing(self->live, machine, exit, error);
    if (wanted < 0)
        return -1;
    if (exit->kind == EXIT_KICK && may_land(self, machine))
        wanted = 1;
    self->landings += wanted > 0;
    return wanted;
}

static int eager_value(struct input_source *source, struct machine *machine,
    const struct input_question *question, struct input_answer *answer, struct error *error)
{
    struct input_source *live = eager_of(source)->live;
    return live->ops->value(live, machine, question, answer, error);
}

static bool eager_member_failed(
    struct input_source *source, struct machine *machine, uint64_t operation, bool failed)
{
    struct input_source *live = eager_of(source)->live;
    return live->ops->member_failed(live, machine, operation, failed);
}

static const struct input_source_ops eager_ops = {
    .name = "live",
    .clock = eager_clock,
    .poll = eager_poll,
    .wait = eager_wait,
    .plan = eager_plan,
    .landing = eager_landing,
    .value = eager_value,
    .member_failed = eager_member_failed,
};

static struct eager_source eager;

static struct input_source *make_eager(struct input_source *live)
{
    eager.source.ops = &eager_ops;
    eager.live = live;
    return &eager.source;
}

/* The timer's signal reaches the thread that runs the guest, so that a kick comes after so much of
 * the guest's time however busy the host is. */
static struct engine *kicked;

static void kick(int signal)
{
    (void)signal;
    engine_kick(kicked);
}

static timer_t start_kicking(struct engine *engine, long pause)
{
    const struct sigaction action = {.sa_handler = kick, .sa_flags = SA_RESTART};
    const struct itimerspec interval = {{.tv_nsec = pause}, {.tv_nsec = pause}};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};
    timer_t timer;
    event._sigev_un._tid = gettid();
    kicked = engine;
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    assert_int_equal(timer_settime(timer, 0, &interval, NULL), 0);
    return timer;
}

/* Returns how many landings the trace has. */
static unsigned record_kicked(
    struct session *session, const char *engine, const char *guest, const char *command_line)
{
    const bool counts = strcmp(engine, "soft") == 0;
    struct error error = {""};
    eager = (struct eager_source){.most = counts ? 100000 : 200};
    session_start_with(session, engine, guest, command_line, make_eager, NULL, NULL);
    timer_t timer = start_kicking(session->machine->home, counts ? 10000 : 100000);
    int result = machine_run(session->machine, POSITION_END, &error);
    assert_int_equal(timer_delete(timer), 0);
    if (result < 0)
        fail_msg("%s on %s: %s", guest, engine, error.text);
    session_finish(session);
    return eager.landings;
}

/* Returns how many landings there were. */
static unsigned check(const char *engine, const char *guest, const char *command_line)
{
    const char *const engines[] = {"soft", "kvm"};
    struct session session;
    unsigned landings = record_kicked(&session, engine, guest, command_line);
    for (unsigned i = 0; i < (kvm_is_usable() ? 2 : 1); i++) {
        struct replay *replay = session_open(&session, engines[i], NULL);
        if (session_replay(replay, UINT64_MAX) != REPLAY_IDENTICAL) {
            struct buffer report = {0};
            replay_report(replay, &report);
            fail_msg("%s recorded on %s, replayed on %s:\n%.*s", guest, engine, engines[i],
                (int)report.size, (const char *)report.data);
        }
        replay_close(replay);
    }
    session_remove(&session);
    printf("%s on %s: %u landings\n", guest, engine, landings);
    return landings;
}

static void check_all(const char *engine)
{
    static const char *const guests[][2] = {{"hello", ""}, {"clock", "ticks=20"},
        {"cpu_faults", ""}, {"cpu_gates", ""}, {"cpu_paging", ""}, {"cpu_smc", ""},
        {"cpu_step", ""}, {"cpu_apic", ""}, {"compute", "limit=3000"},
        {"spin", "loops=3000000 passes=100000 hz=1000"}, {"repeat", "rounds=2 count=500"},
        {"helped", ""}};
    unsigned landings = 0;
    for (size_t i = 0; i < sizeof guests / sizeof guests[0]; i++)
        landings += check(engine, guests[i][0], guests[i][1]);
    assert_true(landings >= 20);
}

static void on_the_software_cpu(void **state)
{
    (void)state;
    check_all("soft");
}

static void on_kvm(void **state)
{
    (void)state;
    if (!kvm_is_usable()) {
        printf("skipped: no usable /dev/kvm\n");
        skip();
    }
    check_all("kvm");
}

/* GUEST and OPTIONS in the environment: it alone, ROUNDS times. */
static void one_on_kvm(void **state)
{
    const char *options = getenv("OPTIONS"), *wanted = getenv("ROUNDS");
    const long rounds = wanted ? strtol(wanted, NULL, 10) : 1;
    (void)state;
    for (long i = 0; i < rounds; i++)
        check("kvm", getenv("GUEST"), options ? options : "");
}

/* Where flags between iterations and RF are at stake. ROUNDS in the environment: how often. */
static void repetitions_and_single_steps_on_kvm(void **state)
{
    const char *wanted = getenv("ROUNDS");
    const long rounds = wanted ? strtol(wanted, NULL, 10) : 2;
    (void)state;
    if (!kvm_is_usable()) {
        printf("skipped: no usable /dev/kvm\n");
        skip();
    }
    for (long i = 0; i < rounds; i++) {
        check("kvm", "repeat", "rounds=2 user=20 count=3000");
        check("kvm", "cpu_step", "");
    }
}

static int keep_kind(
    void *context, struct machine *machine, const struct machine_event *event, struct error *error)
{
    (void)machine;
    (void)error;
    *(enum event_kind *)context = event->kind;
    return 0;
}

/* KVM delivers it at the beginning of the next run, the software CPU at once. */
static void an_interrupt_may_be_the_last_event(void **state)
{
    (void)state;
    if (!kvm_is_usable()) {
        printf("skipped: no usable /dev/kvm\n");
        skip();
    }
    const char *const engines[] = {"kvm", "soft"};
    enum event_kind kind = EVENT_TIME;
    const struct machine_observer observer = {.event = keep_kind, .context = &kind};
    struct error error;
    struct session session;
    setenv("HINDSIGHT_KVM", "alone", 1);
    session_start(&session, "kvm", "clock", "ticks=20", NULL);
    assert_int_equal(machine_observe(session.machine, &observer, &error), 0);
    while (kind != EVENT_INTERRUPT)
        session_run(&session, session.machine->position.event + 1);
    session_finish(&session);
    for (unsigned i = 0; i < 2; i++) {
        struct replay *replay = session_open(&session, engines[i], NULL);
        assert_int_equal(session_replay(replay, UINT64_MAX), REPLAY_IDENTICAL);
        replay_close(replay);
    }
    session_remove(&session);
    unsetenv("HINDSIGHT_KVM");
}

/* What the software CPU recorded, on KVM: it moves to the software CPU at each landing, also after
 * an interrupt. */
static void landings_of_the_software_cpu_on_kvm(void **state)
{
    (void)state;
    setenv("HINDSIGHT_KVM", "alone", 1);
    check("soft", "clock", "ticks=20");
    unsetenv("HINDSIGHT_KVM");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_the_software_cpu),
        cmocka_unit_test(on_kvm),
        cmocka_unit_test(repetitions_and_single_steps_on_kvm),
        cmocka_unit_test(an_interrupt_may_be_the_last_event),
        cmocka_unit_test(landings_of_the_software_cpu_on_kvm),
    };
    const struct CMUnitTest one[] = {cmocka_unit_test(one_on_kvm)};
    return getenv("GUEST") ? cmocka_run_group_tests(one, NULL, NULL)
                           : cmocka_run_group_tests(tests, NULL, NULL);
}
