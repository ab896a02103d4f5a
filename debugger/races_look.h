/* Looks for races in a stretch of the run. */
#ifndef DEBUGGER_RACES_LOOK_H
#define DEBUGGER_RACES_LOOK_H

#include "debugger/races.h"

/* How far the look went. */
struct races_covered {
    struct timeline_stop stop;
    struct position reached;
    uint64_t instructions;
    bool began;
};

/*
 * Runs from one position to the other and tells `races` what happens, twice where it does not begin
 * with the machine. The timeline stands where the look ended. -1 and the error.
 */
int races_look(struct timeline *timeline, struct position from, struct position to,
    struct races *races, struct races_covered *covered, struct error *error);

#endif
