/*
 * Virtual-8086 mode (SDM volume 3, section 21.2; APM volume 2, section 2.9): RFLAGS.VM in legacy
 * protected mode. Segments are loaded as in real mode, the CPL is 3, interrupts leave for level 0.
 * Without the extensions (CR4.VME), which the model does not have.
 */
#ifndef VMM_CPU_VIRTUAL8086_H
#define VMM_CPU_VIRTUAL8086_H

#include "vmm/cpu/cpu.h"

static inline bool virtual8086(const struct cpu *cpu)
{
    return cpu->s.rflags & FLAG_VM;
}

/* What a selector means there: 64 KiB from 16 times it. */
struct segment virtual8086_segment(uint16_t selector);
/* #GP(0) there unless IOPL is 3: INT n, IRET, PUSHF, POPF. */
void virtual8086_require_iopl(struct cpu *cpu);
/* The rest of IRET from level 0 to it: EIP, CS and EFLAGS are taken from `stack` already. */
struct stack;
void virtual8086_return(
    struct cpu *cpu, struct stack *stack, uint64_t rip, uint16_t selector, uint64_t flags);
/* What an interrupt from it pushes before anything else; the data segments become null after. */
void virtual8086_push_segments(struct cpu *cpu, struct stack *stack, unsigned size);
void virtual8086_drop_segments(struct cpu *cpu);

#endif
