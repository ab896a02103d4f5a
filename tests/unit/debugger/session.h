/* A session of the debugger over one recording, of the guest crash if not told otherwise: what its
 * tests share. */
#ifndef TESTS_UNIT_DEBUGGER_SESSION_H
#define TESTS_UNIT_DEBUGGER_SESSION_H

#include "tests/unit/replay/recorded.h"

#include <inttypes.h>
#include <sys/stat.h>

#include "debugger/command.h"
#include "debugger/debugger.h"

static struct debugger *debugger;
static char folder[] = "/tmp/hindsight-session-XXXXXX";

static inline int record_guest(const char *name, const char *append)
{
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    snprintf(trace_path, sizeof trace_path, "guest.hst");
    record(name, append, UINT64_MAX);
    return 0;
}

static inline int record_once(void **state)
{
    (void)state;
    return record_guest("crash", "ticks=60 hz=1000");
}

static inline int remove_recording(void **state)
{
    (void)state;
    unlink("guest.hst");
    unlink("session.hs");
    unlink("lines.hs");
    unlink("vmcore");
    unlink("vmlinuz");
    return rmdir(folder);
}

static inline int open_session(void **state)
{
    struct error error = {""};
    bool damaged;
    const struct debugger_options options = {0};
    (void)state;
    debugger = debugger_open(trace_path, &options, &damaged, &error);
    if (!debugger)
        fail_msg("%s", error.text);
    return 0;
}

static inline int close_session(void **state)
{
    (void)state;
    debugger_close(debugger);
    return 0;
}

/* What the command prints, or its error's text. */
static inline const char *say(const char *line, int *result)
{
    static char text[1 << 16];
    struct error error = {""};
    struct buffer *out = debugger_output(debugger);
    buffer_clear(out);
    *result = debugger_execute(debugger, line, &error);
    if (*result < 0)
        assert_true(error.text[0] != '\0');
    snprintf(text, sizeof text, "%.*s%s", (int)out->size, out->size ? (char *)out->data : "",
        *result < 0 ? error.text : "");
    return text;
}

static inline const char *run(const char *line)
{
    int result;
    const char *text = say(line, &result);
    if (result < 0)
        fail_msg("'%s' fails: %s", line, text);
    return text;
}

__attribute__((noinline, unused)) static void prints(const char *line, const char *part)
{
    const char *text = run(line);
    if (!strstr(text, part))
        fail_msg("'%s' does not print '%s' but: %s", line, part, text);
}

__attribute__((noinline, unused)) static void refuses(const char *line, const char *part)
{
    int result;
    const char *text = say(line, &result);
    if (result == 0 || !strstr(text, part))
        fail_msg("'%s' is not refused with '%s': %s", line, part, text);
}

static inline struct position here(void)
{
    return timeline_position(debugger_timeline(debugger));
}

static inline void is_at(struct position position)
{
    struct position now = here();
    if (position_compare(now, position) != 0)
        fail_msg("at %" PRIu64 ".%" PRIu64 ", not %" PRIu64 ".%" PRIu64, now.event, now.insn,
            position.event, position.insn);
}

static inline void go_to_handler(void)
{
    run("break handle_pit");
    prints("continue", "Breakpoint ");
    run("delete");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_session, close_session)

#endif
