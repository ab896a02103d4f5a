/*
 * The machine's interrupt controllers as the processor sees them: the local APIC, and the 8259A
 * pair at its LINT0 input.
 */
#ifndef VMM_INTERRUPTS_H
#define VMM_INTERRUPTS_H

#include "vmm/machine/machine.h"

/* Is an interrupt waiting for the processor? */
bool interrupts_output(const struct machine *machine);
/* ... for the vCPU that this APIC is of? */
bool interrupts_output_of(const struct machine *machine, const struct apic *apic);
/* As the above, whatever the task priority: the guest may have changed CR8 since. */
bool interrupts_request(const struct machine *machine);
/* What CR8 has to be less than for the waiting interrupt to be taken; 0: it may be anything. */
uint8_t interrupts_priority(const struct machine *machine);
/* The processor takes it; returns the vector. */
uint8_t interrupts_acknowledge(struct machine *machine);
/* Takes the task priority over from CR8 of an exported state. */
void interrupts_set_priority(struct machine *machine, const struct vcpu_state *state);
/*
 * Before an access to memory at *gpa. Is the running vCPU's local APIC there, where its MSR has it?
 * Then *gpa becomes the place on the bus where it always is, and it is told of the task priority in
 * CR8; else it is not seen in this access.
 */
int interrupts_find_apic(struct machine *machine, uint64_t *gpa, struct error *error);
/* An MSR of the running vCPU that its local APIC has a part in is read; CR8 was taken over. */
uint64_t interrupts_read_msr(struct machine *machine, uint32_t index);
/* ... or was written: APIC_BASE, the registers of x2APIC mode, the deadline, the TSC. The exiting
 * instruction is complete. */
int interrupts_write_msr(
    struct machine *machine, uint32_t index, uint64_t value, struct error *error);
/* Takes the task priority over from CR8. */
int interrupts_read_cr8(struct machine *machine, struct error *error);
/* The guest wrote the TPR during this exit: CR8 follows. The exiting instruction is complete. */
int interrupts_write_cr8(struct machine *machine, struct error *error);

#endif
