/*
 * Which engine a machine gets. The only place that knows all of them, and the only one below cli/
 * that reads the environment; what stands there changes how a guest is executed, and its run only
 * in what the trace says (whether reads of the time stamp counter are inputs):
 *
 *   HINDSIGHT_NATIVE=eager|off   translate every block into host code, or none
 *   HINDSIGHT_KVM=alone          KVM runs everything it can, however well
 *   HINDSIGHT_KVM=eager          ring 3 enters KVM wherever it may, however short the stay
 *   HINDSIGHT_KVM=monitor        ... and leaves it by the monitor, which is not every host's way
 */
#ifndef VMM_MACHINE_ENGINES_H
#define VMM_MACHINE_ENGINES_H

#include "vmm/arch/engine.h"

/* The software CPU. */
struct engine *engines_soft(struct memory *memory, struct error *error);
/* With store buffers, whose generator `seed` starts, if so wanted. */
struct engine *engines_soft_buffered(
    struct memory *memory, bool store_buffers, uint64_t seed, struct error *error);
/* KVM: with the software CPU for ring 0, unless this host's KVM executes that exactly and reads of
 * the time stamp counter are no inputs. Refuses the rules of another maker's CPU, and reads of the
 * time stamp counter as inputs where it does not see them. */
struct engine *engines_kvm(struct memory *memory, const struct personality *personality,
    bool tsc_is_input, bool apic_extensions, struct error *error);
/* Does engines_kvm() see every read of the time stamp counter? */
bool engines_kvm_sees_tsc(void);
/* KVM with the software CPU for ring 0, on every host. */
struct engine *engines_paired(struct memory *memory, struct error *error);

#endif
