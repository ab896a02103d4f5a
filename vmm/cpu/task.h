/* Hardware task switches (AMD64 APM volume 2, chapter 12; Intel SDM volume 3, chapter 7). */
#ifndef VMM_CPU_TASK_H
#define VMM_CPU_TASK_H

#include "vmm/cpu/cpu.h"

struct descriptor;

/* Interrupts and exceptions nest as calls do. */
enum task_kind { TASK_JUMP, TASK_CALL, TASK_RETURN };

struct task_switch {
    enum task_kind kind;
    const struct insn *insn; /* NULL: the delivery of an exception or interrupt */
    uint16_t selector;       /* of the new task's TSS */
    uint64_t rip, rflags;    /* the old task goes on with */
    bool has_error;
    uint32_t error; /* pushed on the new task's stack */
};

/*
 * Outside long mode only. Faults up to the save of the old task's state leave everything as it was;
 * those of the new task's segments are raised in the new task. A page-directory pointer table with
 * reserved bits stops the machine.
 */
void task_switch(struct cpu *cpu, const struct task_switch *request);
/* Far JMP or CALL to `gate`, from `rip` on return: false unless it is a TSS or a task gate. */
bool task_transfer(struct cpu *cpu, const struct insn *insn, const struct descriptor *gate,
    enum task_kind kind, uint64_t rip);
/* IRET with NT set. */
void task_return(struct cpu *cpu, const struct insn *insn, uint64_t rip);

#endif
