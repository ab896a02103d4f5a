/*
 * Landings wherever a kick can stop a guest: a timer kicks all the time, and every stop becomes a
 * landing, not only those that have something to deliver. The replay finds each again.
 */
#include "tests/kicked/every_kick.h"
#include "tests/unit/recorder/session.h"

static struct every_kick every;

static struct input_source *make_eager(struct input_source *live)
{
    return every_kick_around(&every, live, every.most);
}

/* Returns how many landings the trace has. */
static unsigned record_kicked(
    struct session *session, const char *engine, const char *guest, const char *command_line)
{
    const bool counts = strcmp(engine, "soft") == 0;
    struct error error = {""};
    every.most = counts ? 100000 : 200;
    session_start_with(session, engine, guest, command_line, make_eager, NULL, NULL);
    assert_int_equal(every_kick_start(&every, session->machine->home, counts ? 10000 : 50000), 0);
    int result = machine_run(session->machine, POSITION_END, &error);
    assert_int_equal(every_kick_stop(&every), 0);
    if (result < 0)
        fail_msg("%s on %s: %s", guest, engine, error.text);
    session_finish(session);
    return every.landings;
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
