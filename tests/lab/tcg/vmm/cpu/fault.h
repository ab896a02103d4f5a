/* In place of vmm/cpu/fault.h, as vendor.h here: TCG pushes RF with no exception (cpu_step under
 * tests/lab/tcg.sh). But KVM sets it for a fault that it gives the guest itself: each #UD, which it
 * has come to it, and #GP of an MSR. Page faults are the processor's. */
#ifndef LAB_TCG_FAULT_H
#define LAB_TCG_FAULT_H

#include "vmm/cpu/cpu.h"

static inline bool exception_pushes_rf(unsigned vector)
{
    return vector == VECTOR_UD || vector == VECTOR_GP;
}

#endif
