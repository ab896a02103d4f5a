/*
 * Where in a run what is in memory changes: kernels, their modules, programs. A run that looks for
 * something by its name stops there, and looks up its place again.
 */
#ifndef DEBUGGER_CHANGES_H
#define DEBUGGER_CHANGES_H

#include "replay/timeline.h"

struct debugger;

enum { CHANGES_MAX = 5 };

/* What was there when it was last looked. */
struct changes {
    struct debugger *debugger;
    uint64_t seen, signature;
};

/* Fills in at most CHANGES_MAX conditions and returns how many; they refer to `changes`. The
 * session looks where the run begins. */
unsigned changes_arm(struct changes *changes, struct debugger *debugger, enum direction direction,
    struct timeline_condition *conditions);

#endif
