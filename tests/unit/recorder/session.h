/* A guest being recorded inside the test's process: all parts, so that a test can meddle. */
#ifndef TESTS_UNIT_RECORDER_SESSION_H
#define TESTS_UNIT_RECORDER_SESSION_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "recorder/recorder.h"
#include "replay/replay.h"
#include "vmm/machine/engines.h"
#include "vmm/machine/live.h"
#include "vmm/machine/probe.h"

struct session {
    char path[64]; /* the trace; removed by session_remove() */
    const char *engine;
    struct machine_config config;
    struct boot_image kernel;
    struct live *live;
    struct recorder *recorder;
    struct machine *machine;
    struct buffer console; /* what the guest printed */
};

static inline bool kvm_is_usable(void)
{
    struct probe probe;
    probe_kvm(&probe);
    return probe.usable;
}

static inline void load_guest(const char *name, struct boot_image *image)
{
    char path[512];
    enum { LARGEST = 4 << 20 };
    snprintf(path, sizeof path, "%s/%s.elf", TEST_GUESTS, name);
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("%s cannot be opened", path);
    uint8_t *data = malloc(LARGEST);
    assert_non_null(data);
    *image = (struct boot_image){.name = name, .data = data, .size = fread(data, 1, LARGEST, file)};
    fclose(file);
}

static inline void keep_output(void *target, const uint8_t *bytes, size_t count)
{
    buffer_put(target, bytes, count);
}

/* What a test puts around a source of inputs. */
typedef struct input_source *session_wrap(struct input_source *inner);

/*
 * At 0.0, with what the test puts around the live source, which the recorder takes its inputs from,
 * around the recorder's own, which the machine takes them from (NULL: nothing), and a configuration
 * that `configure` has changed (NULL: has not).
 */
static inline void session_start_with(struct session *session, const char *engine,
    const char *guest, const char *command_line, session_wrap *wrap_live, session_wrap *wrap,
    void (*configure)(struct machine_config *config))
{
    struct error error = {""};
    *session = (struct session){.engine = engine};
    strcpy(session->path, "/tmp/hindsight-session-XXXXXX");
    int fd = mkstemp(session->path);
    assert_true(fd >= 0);
    close(fd);
    config_defaults(&session->config);
    session->config.memory[0].size = 16 << 20;
    session->config.pace = PACE_FAST;
    session->config.start_time = 1000000000;
    strcpy(session->config.command_line, command_line);
    session->config.tsc_is_input = strcmp(engine, "kvm") == 0 && engines_kvm_sees_tsc();
    session->config.plain_apic = strcmp(engine, "kvm") == 0 && !session->config.tsc_is_input;
    if (configure)
        configure(&session->config);
    load_guest(guest, &session->kernel);
    session->live = live_create(NULL, PACE_FAST, &error);
    assert_non_null(session->live);
    struct input_source *live = live_source(session->live);
    const struct recorder_options options = {.path = session->path,
        .config = &session->config,
        .engine = engine,
        .kernel = &session->kernel,
        .live = wrap_live ? wrap_live(live) : live,
        .include_checks = true,
        .counts = strcmp(engine, "soft") == 0};
    session->recorder = recorder_create(&options, &error);
    if (!session->recorder)
        fail_msg("%s", error.text);
    struct input_source *source = recorder_source(session->recorder);
    const struct machine_options machine = {.config = &session->config,
        .engine = engine,
        .kernel = &session->kernel,
        .source = wrap ? wrap(source) : source,
        .console = {.put = keep_output, .target = &session->console}};
    session->machine = machine_create(&machine, &error);
    if (!session->machine)
        fail_msg("%s", error.text);
    assert_int_equal(recorder_attach(session->recorder, session->machine, &error), 0);
    assert_int_equal(live_attach(session->live, session->machine, &error), 0);
}

static inline void session_start(struct session *session, const char *engine, const char *guest,
    const char *command_line, session_wrap *wrap)
{
    session_start_with(session, engine, guest, command_line, NULL, wrap, NULL);
}

static inline void session_run(struct session *session, uint64_t until)
{
    struct error error = {""};
    struct position position = {.event = until};
    if (machine_run(session->machine, until == UINT64_MAX ? POSITION_END : position, &error) < 0)
        fail_msg("%s", error.text);
}

/* Writes the end record; the machine stays for questions until session_remove(). */
static inline void session_finish(struct session *session)
{
    struct error error = {""};
    live_detach(session->live);
    if (recorder_finish(
            session->recorder, session->machine, outcome_of(session->machine, 0), NULL, &error) < 0)
        fail_msg("%s", error.text);
}

static inline void session_remove(struct session *session)
{
    machine_destroy(session->machine);
    live_destroy(session->live);
    free((void *)(uintptr_t)session->kernel.data);
    buffer_free(&session->console);
    unlink(session->path);
}

static inline struct replay *session_open(
    const struct session *session, const char *engine, struct buffer *console)
{
    struct error error = {""};
    bool damaged;
    struct replay_options options = {.engine = engine, .verify = true};
    if (console)
        options.console = (struct byte_sink){.put = keep_output, .target = console};
    struct replay *replay = replay_open(session->path, &options, &damaged, &error);
    if (!replay)
        fail_msg("%s", error.text);
    return replay;
}

static inline enum replay_outcome session_replay(struct replay *replay, uint64_t until)
{
    struct error error = {""};
    bool damaged;
    enum replay_outcome outcome;
    struct position position = {.event = until};
    if (replay_run(
            replay, until == UINT64_MAX ? POSITION_END : position, &outcome, &damaged, &error) < 0)
        fail_msg("%s", error.text);
    return outcome;
}

#endif
