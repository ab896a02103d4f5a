/*
 * Who of several vCPUs runs next and for how long, when a machine runs live: the choices that make
 * the turns that a trace holds. All of it follows from the seed and the run itself.
 *
 * - random: turns of random length, the next vCPU any that can run.
 * - pct:DEPTH[,LENGTH]: priorities and DEPTH - 1 points, drawn from the first LENGTH instructions,
 *   where the running vCPU becomes the last of all ("A Randomized Scheduler with Probabilistic
 *   Guarantees of Finding Bugs", ASPLOS 2010). A vCPU that waits in a loop, or runs for very long,
 *   becomes the last one, too, so that all get on.
 * - every-access:[phys:]ADDRESS+SIZE: as random, and a turn ends at every other access to the
 * range.
 */
#ifndef VMM_MACHINE_SCHEDULE_H
#define VMM_MACHINE_SCHEDULE_H

#include "vmm/machine/machine.h"

enum { SCHEDULE_MAX_DEPTH = 16 };

enum schedule_kind { SCHEDULE_RANDOM, SCHEDULE_PCT, SCHEDULE_EVERY_ACCESS };

struct schedule {
    enum schedule_kind kind;
    uint64_t random;   /* state of the generator */
    uint64_t turn_end; /* engine->retired at which the turn is over */

    /* PCT. The higher number runs; each demotion takes the next lower one. */
    int64_t priority[CONFIG_MAX_CPUS], lowest;
    uint64_t points[SCHEDULE_MAX_DEPTH]; /* ascending, as engine->retired; what is past was taken */
    unsigned depth, point;
    uint64_t length;

    struct breakpoint range; /* every-access */
};

/* Takes a text as above apart; -1 and the error when it is not one. */
int schedule_parse(const char *text, struct schedule *schedule, struct error *error);
/* The machine's schedule, at the start of a live run. */
int schedule_begin(struct schedule *schedule, struct machine *machine, struct error *error);
/* At an event: is another vCPU to run now? Then *index says which, and its turn begins. */
bool schedule_next(struct schedule *schedule, struct machine *machine, unsigned *index);
/* How many instructions the running vCPU may execute before schedule_next() is to be asked. */
uint64_t schedule_left(const struct schedule *schedule, const struct machine *machine);
/* The running vCPU waits for another one: its turn is over. */
void schedule_yield(struct schedule *schedule, const struct machine *machine);
/* The range was accessed: is the turn over? */
bool schedule_accessed(struct schedule *schedule, const struct machine *machine);

#endif
