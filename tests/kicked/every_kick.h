/*
 * Landings wherever a kick can stop a guest: an input source around the live one that makes every
 * stop by a kick a landing, not only those that have something to deliver, and a timer that kicks
 * again and again. For programs that record.
 */
#ifndef TESTS_KICKED_EVERY_KICK_H
#define TESTS_KICKED_EVERY_KICK_H

#include <time.h>

#include "vmm/machine/machine.h"

struct every_kick {
    struct input_source source; /* first */
    struct input_source *live;
    unsigned landings;
    unsigned most; /* after so many landings no kick comes any more */
    bool anywhere; /* a kick that lands with interrupts disabled may be one, too */
    struct engine *engine;
    timer_t timer;
    long pause;
    bool is_due; /* the timer has to be started for the next kick */
};

/* The source to take inputs from, in place of `live`, which is borrowed. */
struct input_source *every_kick_around(
    struct every_kick *every, struct input_source *live, unsigned most);

/*
 * From now on the engine is kicked `pause` nanoseconds after the guest went on from the last kick,
 * by a signal in the calling thread, which has to be the one that runs the guest: however busy the
 * host is, the guest gets on. One at a time in a process. 0, or -1 with errno.
 */
int every_kick_start(struct every_kick *every, struct engine *engine, long pause);
int every_kick_stop(struct every_kick *every);

#endif
