/* Several machines in one process: recorded in turns and in threads, replayed in turns. */
#include "tests/unit/recorder/session.h"

#include <pthread.h>

static const char *engine;

static void assert_same(const struct buffer *a, const struct buffer *b)
{
    assert_int_equal(a->size, b->size);
    assert_memory_equal(a->data, b->data, a->size);
}

/* Both replays advance in turns, in steps that have nothing to do with each other. */
static void replay_in_turns(struct session *sessions)
{
    struct replay *replay[2];
    struct buffer console[2] = {{0}};
    enum replay_outcome outcome[2] = {REPLAY_STOPPED, REPLAY_STOPPED};
    static const uint64_t step[2] = {37, 101};
    for (unsigned i = 0; i < 2; i++)
        replay[i] = session_open(&sessions[i], NULL, &console[i]);
    for (uint64_t turn = 1; outcome[0] == REPLAY_STOPPED || outcome[1] == REPLAY_STOPPED; turn++) {
        for (unsigned i = 0; i < 2; i++) {
            if (outcome[i] == REPLAY_STOPPED)
                outcome[i] = session_replay(replay[i], turn * step[i]);
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(outcome[i], REPLAY_IDENTICAL);
        assert_int_equal(
            replay_machine(replay[i])->position.event, sessions[i].machine->position.event);
        assert_same(&console[i], &sessions[i].console);
        replay_close(replay[i]);
        buffer_free(&console[i]);
    }
}

static void recorded_in_turns(void **state)
{
    (void)state;
    struct session sessions[2];
    session_start(&sessions[0], engine, "clock", "ticks=20", NULL);
    session_start(&sessions[1], engine, "crash", "ticks=8 hz=20000", NULL);
    bool running[2] = {true, true};
    for (uint64_t turn = 1; running[0] || running[1]; turn++) {
        for (unsigned i = 0; i < 2; i++) {
            if (!running[i])
                continue;
            session_run(&sessions[i], turn * (i ? 53 : 29));
            running[i] = machine_stopped(sessions[i].machine) == STOP_UNTIL;
        }
    }
    for (unsigned i = 0; i < 2; i++)
        session_finish(&sessions[i]);
    replay_in_turns(sessions);
    for (unsigned i = 0; i < 2; i++)
        session_remove(&sessions[i]);
}

static void *run_whole(void *session)
{
    session_run(session, UINT64_MAX);
    return NULL;
}

static void recorded_in_threads(void **state)
{
    (void)state;
    struct session sessions[2];
    pthread_t threads[2];
    session_start(&sessions[0], engine, "crash", "ticks=8 hz=20000", NULL);
    session_start(&sessions[1], engine, "spin", "loops=300000", NULL);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_whole, &sessions[i]), 0);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < 2; i++)
        session_finish(&sessions[i]);
    replay_in_turns(sessions);
    for (unsigned i = 0; i < 2; i++)
        session_remove(&sessions[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_in_turns),
        cmocka_unit_test(recorded_in_threads),
    };
    engine = "soft";
    int failed = cmocka_run_group_tests_name("two machines on soft", tests, NULL, NULL);
    if (kvm_is_usable()) {
        engine = "kvm";
        failed += cmocka_run_group_tests_name("two machines on kvm", tests, NULL, NULL);
    }
    return failed;
}
