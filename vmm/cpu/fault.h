/* Which exceptions are faults. */
#ifndef VMM_CPU_FAULT_H
#define VMM_CPU_FAULT_H

#include "vmm/cpu/cpu.h"

/* Faults push RF set, so that the instruction's own breakpoint does not hit again; traps, aborts
 * and debug exceptions do not. */
static inline bool exception_pushes_rf(unsigned vector)
{
    return vector != VECTOR_DB && vector != VECTOR_NMI && vector != VECTOR_BP &&
           vector != VECTOR_OF && vector != VECTOR_DF && vector != VECTOR_MC;
}

#endif
