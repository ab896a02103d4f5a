/*
 * How fast one can move in a trace, both ways: bench_timeline TRACE.hst [COUNT]
 * Prints, in ms: the first run to the end, reverse-stepi at the middle, seeks to random positions,
 * reverse-continue to the last hit of a place a second of guest time back, and the memory used by
 * checkpoints. The peer is a straight replay of the same trace in the same process.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "replay/replay.h"
#include "replay/timeline.h"

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void print(const char *name, double *samples, unsigned count)
{
    qsort(samples, count, sizeof *samples, compare);
    printf("%-28s median %9.3f ms  worst %9.3f ms  (%u)\n", name, samples[count / 2],
        samples[count - 1], count);
}

static void fail(const struct error *error)
{
    fprintf(stderr, "bench_timeline: %s\n", error->text);
    exit(1);
}

static double straight_replay(const char *path)
{
    struct error error = {""};
    bool damaged;
    enum replay_outcome outcome;
    const struct replay_options options = {.engine = "soft"};
    double start = now_ms();
    struct replay *replay = replay_open(path, &options, &damaged, &error);
    if (!replay || replay_run(replay, POSITION_END, &outcome, &damaged, &error) < 0)
        fail(&error);
    replay_close(replay);
    return now_ms() - start;
}

static void reverse_steps(struct timeline *timeline, uint64_t total, unsigned count)
{
    struct error error = {""};
    double *samples = calloc(count, sizeof *samples);
    if (timeline_seek_retired(timeline, total / 2, NULL, &error) < 0)
        fail(&error);
    for (unsigned i = 0; i < count; i++) {
        double start = now_ms();
        if (timeline_step(timeline, BACKWARD, 1, NULL, &error) < 0)
            fail(&error);
        samples[i] = now_ms() - start;
    }
    print("reverse-stepi at the middle", samples, count);
    free(samples);
}

static void random_seeks(struct timeline *timeline, uint64_t total, unsigned count)
{
    struct error error = {""};
    double *samples = calloc(count, sizeof *samples);
    uint64_t state = 1;
    for (unsigned i = 0; i < count; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        double start = now_ms();
        if (timeline_seek_retired(timeline, (state >> 11) % total, NULL, &error) < 0)
            fail(&error);
        samples[i] = now_ms() - start;
    }
    print("seek to a random place", samples, count);
    free(samples);
}

/* The instruction that stood a second of guest time (or a third of the run) before the middle. */
static void reverse_continue(struct timeline *timeline, uint64_t total)
{
    struct error error = {""};
    struct timeline_stop stop;
    struct vcpu_state state;
    uint64_t back = total / 3 < 1000000000 ? total / 3 : 1000000000;
    uint64_t from = total / 2 > back ? total / 2 : back;
    if (timeline_seek_retired(timeline, from - back, NULL, &error) < 0)
        fail(&error);
    struct machine *machine = timeline_machine(timeline);
    if (engine_export_state(machine->engine, &state, &error) < 0 ||
        timeline_seek_retired(timeline, from, NULL, &error) < 0)
        fail(&error);
    const struct timeline_condition here = {.kind = CONDITION_EXECUTE, .address = state.rip};
    double start = now_ms();
    if (timeline_run(timeline, BACKWARD, &here, 1, &stop, &error) < 0)
        fail(&error);
    printf("%-28s %16.3f ms  over %.1f M instructions\n", "reverse-continue to a place",
        now_ms() - start, (double)(from - timeline_retired(timeline)) / 1e6);
}

int main(int argc, char **argv)
{
    struct error error = {""};
    bool damaged;
    unsigned count = argc > 2 ? (unsigned)atoi(argv[2]) : 100;
    if (argc < 2 || count == 0) {
        fprintf(stderr, "usage: bench_timeline TRACE.hst [COUNT]\n");
        return 2;
    }
    double peer = straight_replay(argv[1]);
    struct timeline *timeline = timeline_open(argv[1], NULL, &damaged, &error);
    if (!timeline)
        fail(&error);
    double start = now_ms();
    if (timeline_seek(timeline, POSITION_END, NULL, &error) < 0)
        fail(&error);
    double first = now_ms() - start;
    uint64_t total = timeline_retired(timeline), bytes;
    unsigned checkpoints;
    printf("%.1f M instructions, straight replay %.0f ms, first run with checkpoints %.0f ms "
           "(ratio %.2f)\n",
        (double)total / 1e6, peer, first, first / peer);
    reverse_steps(timeline, total, count);
    random_seeks(timeline, total, count);
    reverse_continue(timeline, total);
    timeline_cache(timeline, &checkpoints, &bytes);
    printf("checkpoints: %u, %.1f MiB\n", checkpoints, (double)bytes / 1048576);
    timeline_close(timeline);
    return 0;
}
