/*
 * What somebody does to a machine from outside that no device asks for: a non-maskable interrupt, a
 * break on a serial line, another value in a register or in memory. Each is an async input, and so
 * recorded and replayed as one (docs/trace-format.md has the bytes).
 */
#ifndef VMM_INJECT_H
#define VMM_INJECT_H

#include "vmm/machine/machine.h"

enum { INJECT_BYTES = 256 }; /* of memory, in one delivery, at the most */

/* Registers by number: the general ones in the processor's order, RIP, RFLAGS; NULL past the last.
 */
const char *inject_register_name(unsigned number);

/* Fill in deliveries. */
void inject_nmi(struct delivery *delivery, unsigned vcpu);
/* The line is held down for longer than a character: what follows is SysRq's, to Linux. */
void inject_break(struct delivery *delivery);
/* Of the vCPU that runs. Of RFLAGS the arithmetic flags, TF, IF and DF can be changed. */
void inject_register(struct delivery *delivery, unsigned number, uint64_t value);
/* Guest-physical; `size` is at most INJECT_BYTES. */
void inject_memory(struct delivery *delivery, uint64_t gpa, const uint8_t *bytes, size_t size);

/* Can the register of a vCPU in that state have this value? */
int inject_check_register(
    const struct vcpu_state *state, unsigned number, uint64_t value, struct error *error);

/* Carries one out; -1 where this machine has no such place. Fills in the event. */
int inject_deliver(struct machine *machine, const struct delivery *delivery,
    struct machine_event *event, struct error *error);

#endif
