/* Traces of small guests, and what straight replays say about them. */
#ifndef TESTS_UNIT_REPLAY_RECORDED_H
#define TESTS_UNIT_REPLAY_RECORDED_H

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
#include "replay/checkpoint.h"
#include "replay/replay.h"
#include "replay/timeline.h"
#include "vmm/storage/disk.h"
#include "vmm/machine/live.h"

static char trace_path[64];
static char disk_option[512]; /* the guest's disk; "": none */

static inline uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline struct boot_image load_guest(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s.elf", TEST_GUESTS, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    static uint8_t data[1 << 20];
    size_t size = fread(data, 1, sizeof data, file);
    fclose(file);
    return (struct boot_image){.name = name, .data = data, .size = size};
}

/* Records a guest into trace_path. */
static inline void record_on(
    const char *engine, const char *guest, const char *command_line, uint64_t max_time)
{
    struct error error = {""};
    struct machine_config config;
    config_defaults(&config);
    config.memory[0].size = 16 << 20;
    config.pace = PACE_FAST;
    config.start_time = 1000000000;
    config.max_time = max_time;
    strcpy(config.command_line, command_line);
    if (*disk_option) {
        config.disk_count = 1;
        assert_int_equal(disk_config_parse(disk_option, &config.disk[0], &error), 0);
        assert_int_equal(disk_config_measure(&config.disk[0], &error), 0);
    }
    struct boot_image kernel = load_guest(guest);
    struct live *live = live_create(NULL, PACE_FAST, &error);
    assert_non_null(live);
    const struct recorder_options options = {.path = trace_path,
        .config = &config,
        .engine = engine,
        .kernel = &kernel,
        .live = live_source(live),
        .include_checks = true,
        .counts = strcmp(engine, "soft") == 0};
    struct recorder *recorder = recorder_create(&options, &error);
    assert_non_null(recorder);
    const struct machine_options machine_options = {.config = &config,
        .engine = engine,
        .kernel = &kernel,
        .source = recorder_source(recorder)};
    struct machine *machine = machine_create(&machine_options, &error);
    assert_non_null(machine);
    assert_int_equal(recorder_attach(recorder, machine, &error), 0);
    assert_int_equal(live_attach(live, machine, &error), 0);
    assert_int_equal(machine_run(machine, POSITION_END, &error), 0);
    live_detach(live);
    assert_int_equal(recorder_finish(recorder, machine, outcome_of(machine, 0), NULL, &error), 0);
    machine_destroy(machine);
    live_destroy(live);
    if (*disk_option)
        disk_config_free(&config.disk[0]);
}

static inline void record(const char *guest, const char *command_line, uint64_t max_time)
{
    record_on("soft", guest, command_line, max_time);
}

/* The digest that a replay from the start has at the position. */
static inline uint64_t straight_digest(struct position position)
{
    struct error error = {""};
    bool damaged;
    enum replay_outcome outcome;
    const struct replay_options options = {.engine = "soft"};
    struct replay *replay = replay_open(trace_path, &options, &damaged, &error);
    assert_non_null(replay);
    assert_int_equal(replay_run(replay, position, &outcome, &damaged, &error), 0);
    struct position here = machine_position(replay_machine(replay));
    assert_int_equal(position_compare(here, position), 0);
    uint64_t digest;
    assert_int_equal(machine_digest(replay_machine(replay), &digest, &error), 0);
    replay_close(replay);
    return digest;
}

static inline void check_here(struct timeline *timeline)
{
    struct error error;
    uint64_t digest;
    assert_int_equal(timeline_digest(timeline, &digest, &error), 0);
    assert_true(digest == straight_digest(timeline_position(timeline)));
}

static inline struct timeline *open_trace(uint64_t cache)
{
    struct error error = {""};
    bool damaged;
    const struct timeline_options options = {.cache_bytes = cache};
    struct timeline *timeline = timeline_open(trace_path, &options, &damaged, &error);
    if (!timeline)
        fail_msg("%s", error.text);
    return timeline;
}

/* A stop, as far as both directions tell the same of it. */
struct told {
    struct position position;
    uint64_t delivered, retired;
    uint64_t address, event;
    uint8_t vector;
};

static inline struct told tell(struct timeline *timeline, const struct timeline_stop *stop)
{
    return (struct told){.position = timeline_position(timeline),
        .delivered = timeline_delivered(timeline),
        .retired = timeline_retired(timeline),
        .address = stop->address,
        .event = stop->event.ordinal,
        .vector = stop->vector};
}

/* A fault's delivery has the position of the place before it, and one delivery more. */
static inline bool is_before(const struct told *a, const struct told *b)
{
    int order = position_compare(a->position, b->position);
    return order < 0 || (order == 0 && a->delivered < b->delivered);
}

/* Is `back` where one goes before what was hit at `hit`, further than the hit before it? */
static inline void check_before(
    const struct told *back, const struct told *hit, const struct told *previous, bool executes)
{
    int order = position_compare(back->position, hit->position);
    assert_true(back->address == hit->address);
    assert_true(back->event == hit->event);
    assert_int_equal(back->vector, hit->vector);
    if (executes) {
        assert_int_equal(order, 0);
        assert_true(back->delivered == hit->delivered);
        return;
    }
    assert_true(is_before(back, hit));
    assert_true(hit->retired - back->retired <= 1);
    if (!previous)
        return;
    order = position_compare(back->position, previous->position);
    assert_true(order > 0 || (order == 0 && back->delivered >= previous->delivered));
}

/* Every hit of a condition forward is a hit backward, in the opposite order. Returns how many. */
static inline unsigned compare_directions(
    const struct timeline_condition *condition, unsigned least)
{
    enum { MOST = 64, DIGESTS = 3 };
    struct error error = {""};
    struct timeline_stop stop;
    struct told hits[MOST];
    unsigned count = 0;
    struct timeline *timeline = open_trace(0);
    while (count < MOST) {
        assert_int_equal(timeline_run(timeline, FORWARD, condition, 1, &stop, &error), 0);
        if (stop.why != TIMELINE_CONDITION)
            break;
        hits[count++] = tell(timeline, &stop);
        if (count <= DIGESTS && timeline_delivered(timeline) == 0)
            check_here(timeline);
    }
    if (count < least)
        fail_msg("%u hits, expected %u", count, least);
    unsigned found = count;
    if (stop.why == TIMELINE_CONDITION)
        assert_int_equal(
            timeline_seek_retired(timeline, hits[MOST - 1].retired + 1, NULL, &error), 0);
    /* On the way there may be further ones. */
    while (count-- > 0) {
        struct told back;
        do {
            assert_int_equal(timeline_run(timeline, BACKWARD, condition, 1, &stop, &error), 0);
            assert_int_equal(stop.why, TIMELINE_CONDITION);
            back = tell(timeline, &stop);
        } while (found == MOST && count == MOST - 1 && !is_before(&back, &hits[count]) &&
                 condition->kind != CONDITION_EXECUTE);
        check_before(&back, &hits[count], count ? &hits[count - 1] : NULL,
            condition->kind == CONDITION_EXECUTE);
        if (count < DIGESTS && timeline_delivered(timeline) == 0)
            check_here(timeline);
    }
    assert_int_equal(timeline_run(timeline, BACKWARD, condition, 1, &stop, &error), 0);
    assert_int_equal(stop.why, TIMELINE_START);
    assert_true(timeline_retired(timeline) == 0);
    timeline_close(timeline);
    return found;
}

static inline int make_path(void **state)
{
    (void)state;
    strcpy(trace_path, "/tmp/hindsight-timeline-XXXXXX");
    int fd = mkstemp(trace_path);
    return fd < 0 ? -1 : close(fd);
}

static inline int remove_path(void **state)
{
    (void)state;
    return unlink(trace_path);
}

#endif
