/*
 * timeline_walk TRACE.hst [MOVES] [SEED]: a random mix of seeks, steps and steps back. At every
 * stop the digest of vCPU, RAM and devices is taken; then one replay straight from the start visits
 * the same positions in order and must find the same digests. Exit status 0 when all agree.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "replay/checkpoint.h"
#include "replay/replay.h"
#include "replay/timeline.h"

struct stop {
    struct position position;
    uint64_t digest;
};

_Noreturn static void fail(const char *what, const struct error *error)
{
    fprintf(stderr, "timeline_walk: %s: %s\n", what, error->text);
    exit(1);
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int move(struct timeline *timeline, uint64_t total, uint64_t *seed, struct error *error)
{
    const struct position event = {
        .event = next_random(seed) % (timeline_last_event(timeline) + 1)};
    switch (next_random(seed) % 6) {
    case 0:
        return timeline_seek(timeline, event, NULL, error);
    case 1:
        return timeline_seek_retired(timeline, next_random(seed) % total, NULL, error);
    case 2:
    case 3:
        return timeline_step(timeline, FORWARD, next_random(seed) % 100000, NULL, error);
    default:
        return timeline_step(timeline, BACKWARD, next_random(seed) % 100000, NULL, error);
    }
}

static int by_position(const void *left, const void *right)
{
    const struct stop *a = left, *b = right;
    return position_compare(a->position, b->position);
}

static void walk(const char *path, struct stop *stops, unsigned moves, uint64_t seed)
{
    struct error error = {""};
    bool damaged;
    struct timeline *timeline = timeline_open(path, NULL, &damaged, &error);
    if (!timeline || timeline_seek(timeline, POSITION_END, NULL, &error) < 0)
        fail(path, &error);
    uint64_t total = timeline_retired(timeline);
    for (unsigned i = 0; i < moves; i++) {
        if (move(timeline, total, &seed, &error) < 0 ||
            timeline_digest(timeline, &stops[i].digest, &error) < 0)
            fail("move", &error);
        stops[i].position = timeline_position(timeline);
    }
    timeline_close(timeline);
}

static unsigned compare_straight(const char *path, const struct stop *stops, unsigned moves)
{
    struct error error = {""};
    bool damaged;
    unsigned differences = 0;
    enum replay_outcome outcome;
    const struct replay_options options = {.engine = "soft"};
    struct replay *replay = replay_open(path, &options, &damaged, &error);
    if (!replay)
        fail(path, &error);
    struct machine *machine = replay_machine(replay);
    for (unsigned i = 0; i < moves; i++) {
        uint64_t digest;
        if (replay_run(replay, stops[i].position, &outcome, &damaged, &error) < 0)
            fail("replay", &error);
        if (machine_digest(machine, &digest, &error) < 0)
            fail("digest", &error);
        if (digest == stops[i].digest &&
            position_compare(machine_position(machine), stops[i].position) == 0)
            continue;
        differences++;
        printf("differs at %" PRIu64 ".%" PRIu64 "\n", stops[i].position.event,
            stops[i].position.insn);
    }
    replay_close(replay);
    return differences;
}

int main(int argc, char **argv)
{
    unsigned moves = argc > 2 ? (unsigned)atoi(argv[2]) : 100;
    uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
    if (argc < 2 || moves == 0) {
        fprintf(stderr, "usage: timeline_walk TRACE.hst [MOVES] [SEED]\n");
        return 2;
    }
    struct stop *stops = calloc(moves, sizeof *stops);
    if (!stops)
        return 1;
    printf("timeline_walk: %u moves, seed %" PRIu64 "\n", moves, seed);
    walk(argv[1], stops, moves, seed);
    qsort(stops, moves, sizeof *stops, by_position);
    unsigned differences = compare_straight(argv[1], stops, moves);
    printf("timeline_walk: %u of %u stops differ from a straight replay\n", differences, moves);
    free(stops);
    return differences != 0;
}
