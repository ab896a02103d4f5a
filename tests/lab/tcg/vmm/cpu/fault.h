/* In place of vmm/cpu/fault.h, as vendor.h here: TCG pushes RF with no exception (cpu_step under
 * tests/lab/tcg.sh). */
#ifndef LAB_TCG_FAULT_H
#define LAB_TCG_FAULT_H

#include "vmm/cpu/cpu.h"

static inline bool exception_pushes_rf(unsigned vector)
{
    (void)vector;
    return false;
}

#endif
