/*
 * The machine's vCPUs: one resource shown as several. One runs at a time, on the machine's engine;
 * the state of the others is parked here. Which one runs next and for how long is the input
 * source's to say (a delivery of kind INPUT_TURN), so that a turn is part of the run; what becomes
 * of INIT, start-up and NMI messages is the guest's doing and decided here.
 *
 * A machine with one vCPU has nothing parked and takes no turns.
 */
#ifndef VMM_MACHINE_VCPUS_H
#define VMM_MACHINE_VCPUS_H

#include "base/buffer.h"
#include "vmm/arch/vcpu.h"
#include "vmm/machine/machine.h"

/* What the reset line does to all of them: the first one is about to be given its state, the others
 * wait for a start-up message. */
void vcpus_reset(struct machine *machine);

/* Can it go on: is it started, and not halted, or halted with something there to wake it? */
bool vcpus_can_run(const struct machine *machine, unsigned index);
/* Can one that does not have its turn go on? */
bool vcpus_others_can_run(const struct machine *machine);

/* Is the running one halted, and about to be woken by what waits for it? */
bool vcpus_is_waking(const struct machine *machine);
/* Is there one that an interrupt can still wake? If not, a machine that halted has halted for good.
 */
bool vcpus_can_be_woken(const struct machine *machine);

/* Ends the running vCPU's turn; `index` runs from here on. At an event, with no access pending. */
int vcpus_switch(struct machine *machine, unsigned index, struct error *error);

/* An INIT, start-up or NMI message for a vCPU; has the type of apic_bus_config.signal. */
void vcpus_signal(void *machine, unsigned index, uint8_t mode, uint8_t vector);
/* Does to the running vCPU what a message asked for while its instruction was under way. The
 * instruction is complete. */
int vcpus_settle(struct machine *machine, struct error *error);

/* State of any vCPU; for the running one what the engine exports. */
int vcpus_export(
    struct machine *machine, unsigned index, struct vcpu_state *state, struct error *error);

/* All but the running one's state, for checkpoints and digests. Nothing with one vCPU. */
void vcpus_save(const struct machine *machine, struct buffer *out);
void vcpus_restore(struct machine *machine, struct reader *in); /* nonsense sets in->failed */

#endif
