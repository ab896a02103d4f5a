/* The run loop and its parts, as soft.c drives them. */
#ifndef VMM_CPU_DISPATCH_H
#define VMM_CPU_DISPATCH_H

#include "vmm/cpu/cpu.h"

/* Executes until the first exit. -1 when the machine cannot go on. */
int cpu_run(struct cpu *cpu, const struct run_request *request, struct vcpu_exit *exit,
    struct error *error);
/* Executes exactly one instruction, with single-step traps and breakpoint registers; it may leave
 * through cpu->escape. */
void cpu_step(struct cpu *cpu);
/* Executes again the instruction that waits for a read, whose value is known now. False when the
 * machine cannot go on: cpu->failure says why. */
bool cpu_finish_read(struct cpu *cpu);
/* IF=1, no shadow, nothing pending. */
bool cpu_interruptible(const struct cpu *cpu);
/* Describes the access outside RAM that is next to be reported, if any (soft.c). */
bool cpu_report_access(struct cpu *cpu, struct vcpu_exit *exit);

#endif
