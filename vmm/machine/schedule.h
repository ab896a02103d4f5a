/*
 * Who of several vCPUs runs next and for how long, when a machine runs live: the choices behind the
 * turns that a trace holds. All of it follows from the seed and the run itself.
 */
#ifndef VMM_MACHINE_SCHEDULE_H
#define VMM_MACHINE_SCHEDULE_H

#include "vmm/machine/machine.h"

struct schedule {
    uint64_t random;   /* state of the generator */
    uint64_t turn_end; /* engine->retired at which the turn is over */
};

void schedule_init(struct schedule *schedule, uint64_t seed);
/* At an event: is another vCPU to run now? Then *index says which, and its turn begins. */
bool schedule_next(struct schedule *schedule, struct machine *machine, unsigned *index);
/* How many instructions the running vCPU may execute before schedule_next() is to be asked. */
uint64_t schedule_left(const struct schedule *schedule, const struct machine *machine);
/* The running vCPU waits for another one: its turn is over. */
void schedule_yield(struct schedule *schedule, const struct machine *machine);

#endif
