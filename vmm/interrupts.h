/*
 * The machine's interrupt controllers as the processor sees them: the local APIC, and the 8259A
 * pair behind its LINT0 input.
 */
#ifndef VMM_INTERRUPTS_H
#define VMM_INTERRUPTS_H

#include "vmm/machine.h"

/* Is an interrupt waiting for the processor? */
bool interrupts_output(const struct machine *machine);
/* As the above, whatever the task priority: the guest may have changed CR8 since. */
bool interrupts_request(const struct machine *machine);
/* The processor takes it; returns the vector. */
uint8_t interrupts_acknowledge(struct machine *machine);
/* Takes the task priority over from CR8 of an exported state. */
void interrupts_set_priority(struct machine *machine, const struct vcpu_state *state);
/* The guest wrote the TPR during this exit: CR8 follows. The exiting instruction is complete. */
int interrupts_write_cr8(struct machine *machine, struct error *error);

#endif
