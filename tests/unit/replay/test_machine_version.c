/* Which version of the machine a trace names, and what replay makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replay/replay.h"
#include "replay/timeline.h"

static char path[64];

/* A trace of nothing, with the settings (NULL: without). */
static void write_trace(const char *version, const char *rules)
{
    struct error error = {""};
    struct trace_config config = {0};
    trace_config_set(&config, "hindsight", "%s", "3.4.5");
    if (version)
        trace_config_set(&config, "machine", "%s", version);
    if (rules)
        trace_config_set(&config, "cpu-rules", "%s", rules);
    const struct trace_writer_options options = {
        .path = path, .config = &config, .include_checks = true, .first_event = 1};
    struct trace_writer *writer = trace_writer_create(&options, &error);
    trace_config_free(&config);
    assert_non_null(writer);
    const struct trace_end end = {.events = 1};
    assert_int_equal(trace_writer_finish(writer, &end, &error), 0);
}

static void what_a_trace_names(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned version;
    } cases[] = {{NULL, 1}, {"1", 1}, {"2", 2}, {"77", 77}, {"4294967295", UINT32_MAX},
        {"4294967296", 0}, {"99999999999999999999999", 0}, {"", 0}, {"-1", 0}, {"+2", 0}, {" 2", 0},
        {"2 ", 0}, {"two", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error error;
        struct trace_reader *reader;
        write_trace(cases[i].text, "amd 1");
        assert_int_equal(trace_reader_open(&reader, path, &error), 0);
        assert_int_equal(replay_machine_version(reader), cases[i].version);
        trace_reader_close(reader);
    }
}

static void another_version_is_refused(void **state)
{
    (void)state;
    char other[16];
    bool damaged;
    struct error error;
    snprintf(other, sizeof other, "%d", MACHINE_VERSION + 1);
    write_trace(other, "amd 1");
    struct replay_options options = {.engine = "soft"};
    assert_null(replay_open(path, &options, &damaged, &error));
    assert_false(damaged);
    assert_non_null(strstr(error.text, path));
    assert_non_null(strstr(error.text, other));
    assert_non_null(strstr(error.text, "hindsight 3.4.5"));
    assert_null(timeline_open(path, NULL, &damaged, &error));
    assert_false(damaged);
    assert_non_null(strstr(error.text, "machine version"));
    /* Asked to, it goes on to what else is wrong: there is no kernel. */
    options.any_version = true;
    assert_null(replay_open(path, &options, &damaged, &error));
    assert_true(damaged);
    assert_null(strstr(error.text, "machine version"));
    const struct timeline_options any = {.any_version = true};
    assert_null(timeline_open(path, &any, &damaged, &error));
    assert_true(damaged);
    /* This build's own needs no asking. */
    options.any_version = false;
    for (int version = MACHINE_VERSION_OLDEST; version <= MACHINE_VERSION; version++) {
        snprintf(other, sizeof other, "%d", version);
        write_trace(other, "amd 1");
        assert_null(replay_open(path, &options, &damaged, &error));
        assert_null(strstr(error.text, "machine version"));
    }
    snprintf(other, sizeof other, "%d", MACHINE_VERSION_OLDEST - 1);
    write_trace(other, "amd 1");
    assert_null(replay_open(path, &options, &damaged, &error));
    assert_non_null(strstr(error.text, "machine version"));
}

static void rules_that_this_build_lacks_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *rules, *text;
        bool follows;
    } cases[] = {{NULL, "cpu-rules", false}, {"amd 99", "'amd 99'", false},
        {"intel 77", "'intel 77'", false}, {"via 1", "cpu-rules=via 1", true},
        {"intel", "cpu-rules=intel", true}, {"intel 1", "no kernel", true}};
    char version[16];
    snprintf(version, sizeof version, "%d", MACHINE_VERSION);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool damaged;
        struct error error;
        struct trace_reader *reader;
        const struct replay_options options = {.engine = "soft"};
        write_trace(version, cases[i].rules);
        assert_null(replay_open(path, &options, &damaged, &error));
        assert_non_null(strstr(error.text, cases[i].text));
        assert_int_equal(trace_reader_open(&reader, path, &error), 0);
        assert_int_equal(replay_follows(reader), cases[i].follows);
        trace_reader_close(reader);
    }
    /* A trace from before there were rules gives that as the reason. */
    bool damaged;
    struct error error;
    const struct replay_options options = {.engine = "soft"};
    write_trace("3", NULL); /* older than MACHINE_VERSION_OLDEST */
    assert_null(replay_open(path, &options, &damaged, &error));
    assert_non_null(strstr(error.text, "names no CPU rules"));
}

static int make_path(void **state)
{
    (void)state;
    strcpy(path, "/tmp/hindsight-version-XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_trace_names),
        cmocka_unit_test(another_version_is_refused),
        cmocka_unit_test(rules_that_this_build_lacks_are_refused),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
