/*
 * Loops in which a vCPU waits for another one to change memory, found by going round once: where
 * the general registers, the arithmetic flags and RIP are again what they were, and on the way
 * nothing but these was changed, no device asked and no exception raised, the same goes on until
 * somebody else changes what the loop reads. A locked instruction that found and left its operand
 * the same, as one that takes a lock that is taken, changed nothing.
 *
 * A look executes at most WAIT_LOOK_MOST instructions one by one, and ends at the first that does
 * more than a loop of this kind. It finds loops of half as many: what the state is compared with is
 * taken anew after 1, 2, 4, ... of them, for where it begins may be in front of the loop. The next
 * one comes WAIT_INTERVAL instructions later, or when another state was imported: when depends on
 * the instructions executed alone.
 */
#ifndef VMM_CPU_WAIT_H
#define VMM_CPU_WAIT_H

#include "vmm/cpu/cpu.h"

enum { WAIT_LOOK_MOST = 32, WAIT_INTERVAL = 1 << 14 };

/* The look under way is void; the next one comes at once. */
void wait_restart(struct cpu *cpu);
/* The look under way found something else than a loop. */
void wait_give_up(struct cpu *cpu);
/* Between instructions, while `stop_at_wait`. Executes one of a look; `paused` is set where the
 * loop is closed. False: no look is due, nothing was executed. */
bool wait_look(struct cpu *cpu);
/* Instructions until the next look is due. */
uint64_t wait_left(const struct cpu *cpu);

#endif
