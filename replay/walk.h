/* The timeline's own state, shared by its files. Internal to replay/. */
#ifndef REPLAY_WALK_H
#define REPLAY_WALK_H

#include "replay/checkpoint.h"
#include "replay/printed.h"
#include "replay/replay.h"
#include "replay/timeline.h"

/* A position, and the faults that were delivered there: their delivery retires nothing. */
struct place {
    struct position position;
    uint64_t delivered;
};

/* A disk access of the event under way that a CONDITION_DISK asks for. */
struct touched {
    bool yes, is_write;
    uint64_t lba;
};

struct timeline {
    struct replay *replay;
    struct machine *machine;
    struct replay_source *source;
    struct checkpoints *checkpoints;
    char *cache_path;  /* NULL: none */
    uint64_t identity; /* of the trace, for the file at cache_path */
    struct error cache_message;
    bool sparse; /* as in struct timeline_options */
    bool is_new; /* there are checkpoints that the file does not have */
    struct printed printed;

    /* The run under way. */
    const struct timeline_condition *conditions;
    unsigned condition_count;
    int8_t breakpoint[TIMELINE_MAX_CONDITIONS]; /* each condition's in the engine; -1: none */
    struct touched touched[TIMELINE_MAX_CONDITIONS];
    struct timeline_stop *stop;
    bool hit;        /* an event fulfilled a condition: *stop tells */
    bool skip_start; /* a breakpoint where the run starts is not a hit */

    void (*pace)(void *context, struct timeline *timeline);
    void *pace_context;

    struct accesses_run *accesses; /* somebody is told of accesses (accesses.c); else NULL */

    /* Of the last event that was seen. */
    struct place before; /* just before it or, when an instruction made it, that instruction */
    bool inside;         /* its instruction makes further events */
    uint64_t retired_before, event_before; /* the count at the event before that instruction */
};

static inline int place_compare(struct place a, struct place b)
{
    int order = position_compare(a.position, b.position);
    return order ? order : (a.delivered > b.delivered) - (a.delivered < b.delivered);
}

struct place timeline_place(const struct timeline *timeline);
/* Where the machine stood before what was just hit: an instruction, a delivery, a fault. */
struct place timeline_place_before(const struct timeline *timeline);

/* Forward to a position, or to where so many instructions are retired, as timeline_seek(), but by
 * way of everything before it: no checkpoint shortens the way. */
int timeline_pass(struct timeline *timeline, struct position position, uint64_t retired,
    struct timeline_stop *stop, struct error *error);

/* ---- accesses.c ---- */

/* An event happened while somebody is told of accesses. */
void accesses_event(struct timeline *timeline, const struct machine_event *event);
/* ... and so did a detail of one. */
void accesses_note(struct timeline *timeline, uint8_t kind, const uint8_t *data, size_t size);

/* ---- conditions.c ---- */

int conditions_arm(struct timeline *timeline, const struct timeline_condition *conditions,
    unsigned count, struct error *error);
void conditions_disarm(struct timeline *timeline);
/* The machine stopped at machine->run.hit: is it one of ours, and accepted? *stop tells. */
bool conditions_resolve(struct timeline *timeline);
/* The machine's observer; its context is the timeline. */
extern const struct machine_observer conditions_observer;

#endif
