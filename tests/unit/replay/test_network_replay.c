/*
 * A machine with a NIC on a socket pair, whose other end is the test: what it sends and receives is
 * what the trace and its replay know, and a replay that sends something else is found out. The net
 * guest is left without an answer here, and gives up by itself.
 */
#include "tests/unit/recorder/session.h"

#include <sys/socket.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "vmm/host/net/note.h"

enum { GIVES_UP = 13, MOST_FRAMES = 4096 };

static int near[2], far[2]; /* the links' ends; the far ones are the test's */

static void configure(struct machine_config *config)
{
    struct error error = {""};
    char text[64];
    for (unsigned i = 0; i < 2; i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
        near[i] = pair[0];
        far[i] = pair[1];
    }
    snprintf(text, sizeof text, "link=fd:%d,link=fd:%d,bond=rr", near[0], near[1]);
    if (net_config_parse(text, 1, &config->net[0], &error) < 0)
        fail_msg("%s", error.text);
    config->net_count = 1;
}

static struct machine_observer honest;
static unsigned sent, received, lie_at;
static uint64_t sent_digest[MOST_FRAMES];
static uint8_t sent_link[MOST_FRAMES];

/* Keeps what was sent, and tells the recorder something else of the frame `lie_at` (from 1). */
static int see_note(void *context, struct machine *machine, uint8_t kind, const uint8_t *data,
    size_t size, struct error *error)
{
    struct note_net_frame note;
    uint8_t told[64];
    (void)context;
    assert_true(size <= sizeof told);
    memcpy(told, data, size);
    if (kind == NOTE_NET_RECEIVED)
        received++;
    if (kind == NOTE_NET_SENT && sent < MOST_FRAMES) {
        assert_true(note_net_frame_decode(&note, data, size));
        sent_digest[sent] = note.digest;
        sent_link[sent] = (uint8_t)note.link;
        if (++sent == lie_at)
            told[size - 1] ^= 1;
    }
    return honest.note(honest.context, machine, kind, told, size, error);
}

static void record(struct session *session, unsigned lie)
{
    lie_at = lie;
    sent = received = 0;
    session_start_with(session, "soft", "net", "count=40 patience=1", NULL, NULL, configure);
    honest = session->machine->observers[0];
    session->machine->observers[0].note = see_note;
    uint8_t frame[100] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    for (unsigned i = 0; i < 3; i++) {
        frame[99] = (uint8_t)i;
        assert_int_equal(send(far[i % 2], frame, sizeof frame, 0), sizeof frame);
    }
    session_run(session, UINT64_MAX);
    assert_int_equal(machine_stopped(session->machine), STOP_DEBUG_EXIT);
    assert_int_equal(session->machine->run.status, GIVES_UP);
    session_finish(session);
}

static void finish(struct session *session)
{
    net_config_free(&session->config.net[0]);
    session_remove(session);
    for (unsigned i = 0; i < 2; i++) {
        close(near[i]);
        close(far[i]);
    }
}

/* What arrived at the far ends is what the notes say was sent, in the order of each link. */
static void frames_leave_as_noted(void **state)
{
    (void)state;
    struct session session;
    uint8_t frame[2048];
    record(&session, 0);
    assert_true(sent >= 40 && sent < MOST_FRAMES);
    for (unsigned link = 0; link < 2; link++) {
        unsigned at = 0, arrived = 0;
        ssize_t size;
        while ((size = recv(far[link], frame, sizeof frame, MSG_DONTWAIT)) > 0) {
            if (frame[12] == 0x88 && frame[13] == 0xb5)
                continue; /* hello */
            uint64_t digest = XXH3_64bits(frame, (size_t)size);
            /* A full queue may have lost some of those noted before. */
            while (at < sent && (sent_link[at] != link || sent_digest[at] != digest))
                at++;
            assert_true(at < sent);
            at++;
            arrived++;
        }
        assert_true(arrived > 0);
    }
    finish(&session);
}

static void replays_without_the_links(void **state)
{
    (void)state;
    struct session session;
    record(&session, 0);
    assert_true(received <= 3);
    struct replay *replay = session_open(&session, NULL, NULL);
    assert_int_equal(session_replay(replay, UINT64_MAX), REPLAY_IDENTICAL);
    struct buffer own = {0}, again = {0};
    struct device *links = machine_find_device(session.machine, "links0");
    links->ops->describe(links->object, &own);
    links = machine_find_device(replay_machine(replay), "links0");
    links->ops->describe(links->object, &again);
    assert_int_equal(own.size, again.size);
    assert_memory_equal(own.data, again.data, own.size);
    buffer_free(&own);
    buffer_free(&again);
    replay_close(replay);
    finish(&session);
}

static void another_frame_is_a_divergence(void **state)
{
    (void)state;
    struct session session;
    struct buffer report = {0};
    record(&session, 7);
    assert_true(sent >= 7);
    struct replay *replay = session_open(&session, NULL, NULL);
    assert_int_equal(session_replay(replay, UINT64_MAX), REPLAY_DIVERGED);
    replay_report(replay, &report);
    buffer_put_u8(&report, 0);
    assert_non_null(strstr((const char *)report.data, "network I/O"));
    buffer_free(&report);
    replay_close(replay);
    finish(&session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_leave_as_noted),
        cmocka_unit_test(replays_without_the_links),
        cmocka_unit_test(another_frame_is_a_divergence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
