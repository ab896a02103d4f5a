/*
 * The tasks of a Linux guest, threads of programs among them, at the position: also those that do
 * not run, with the registers that the kernel kept when it switched away from them.
 *
 * Sources: Linux include/linux/sched.h, arch/x86/include/asm/switch_to.h.
 */
#ifndef DEBUGGER_TASKS_H
#define DEBUGGER_TASKS_H

#include "debugger/view.h"

struct debugger;

struct task {
    uint64_t address; /* its struct task_struct */
    uint64_t space;   /* its struct mm_struct; 0: a kernel thread */
    unsigned pid;     /* of the thread */
    bool on_cpu;      /* it runs on a vCPU: its registers are there */
    char name[16];
};

/* Calls `visit` for each but the idle ones, until it returns true; false where they are not known:
 * the kernel's symbols with debugging information are needed. */
bool tasks_each(struct debugger *debugger, bool (*visit)(void *context, const struct task *task),
    void *context);
bool tasks_find(struct debugger *debugger, unsigned pid, struct task *task);
/* The one that runs on the vCPU looked at. */
bool tasks_current(struct debugger *debugger, struct task *task);

/*
 * What a task that does not run sees: memory by its own page tables, and of the registers RBX, RBP,
 * RSP, R12 to R15 and RIP; the others are not kept.
 */
bool tasks_view(struct debugger *debugger, const struct task *task, struct view *view);

#endif
