/*
 * Repeated string instructions, where the engines need a common view of what an instruction
 * boundary is.
 */
#ifndef VMM_REPEAT_H
#define VMM_REPEAT_H

#include "vmm/arch/memory.h"
#include "vmm/arch/vcpu.h"

struct repeat {
    unsigned length; /* bytes of the instruction */
    uint64_t left;   /* iterations still to do: RCX in the address size */
};

/* Is the instruction at RIP one? Looks at memory through the guest's page tables. Not told: whether
 * iterations are done already. */
bool repeat_at_rip(
    const struct memory *memory, const struct vcpu_state *state, struct repeat *found);

#endif
