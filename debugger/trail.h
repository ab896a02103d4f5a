/* The places in time where a session has been, for going back to them: `seek -`, `seek +`. */
#ifndef DEBUGGER_TRAIL_H
#define DEBUGGER_TRAIL_H

#include <stdbool.h>

#include "replay/timeline.h"

enum { MAX_TRAIL = 100 };

/* A zeroed one is at the start of the trace. */
struct trail {
    struct position places[MAX_TRAIL];
    unsigned last, at; /* places[at] is here */
};

/* Stands there now: a new place, unless it is the one that the trail is at. */
void trail_note(struct trail *trail, struct position position);
/* One place back or on; false at the trail's ends. */
bool trail_step(struct trail *trail, bool back, struct position *position);

#endif
