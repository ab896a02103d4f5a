/*
 * When a pattern of bytes first and last stood in the guest's memory, over the whole run. The run
 * is replayed once, with a look at the pages that were written whenever it has gone on by a 64th of
 * its way, but at least EVER_LEAST and at most EVER_MOST instructions: what comes and goes between
 * two looks is not seen. What is seen is then found to the instruction.
 */
#ifndef REPLAY_EVER_H
#define REPLAY_EVER_H

#include "replay/timeline.h"

enum { EVER_LEAST = 1000, EVER_MOST = 250000, EVER_MAX_PLACES = 4096 };

/* A change of memory, found where a condition has just been fulfilled. */
struct ever_change {
    struct position position; /* before what wrote */
    uint64_t delivered;       /* faults at the position before it */
    uint64_t gpa;             /* where the pattern stands */
};

struct ever {
    bool found;
    bool from_start, to_end;        /* it stood there at the start; it stands there at the end */
    struct ever_change first, last; /* the write that completed it; that destroyed it */
    uint64_t looks;
};

/*
 * Leaves the timeline somewhere. stop->why is TIMELINE_DONE, or TIMELINE_INTERRUPTED: *ever then
 * tells nothing. An error for a pattern that stands in more than EVER_MAX_PLACES places at once.
 */
int ever_find(struct timeline *timeline, const uint8_t *pattern, size_t size, struct ever *ever,
    struct timeline_stop *stop, struct error *error);

#endif
