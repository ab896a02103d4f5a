/*
 * What is known about Linux guests: where the kernel moved itself, its tasks, its log. Read from
 * guest memory at the position with the types of the kernel's debugging information; no agent.
 */
#ifndef DEBUGGER_LINUX_H
#define DEBUGGER_LINUX_H

#include "debugger/session.h"

/*
 * Finds how far a kernel's symbols are from where it runs (KASLR): the handlers in the IDT and in
 * LSTAR have names. What is found is compared with memory where the module has code. False when
 * nothing tells yet: early in the boot, or not this kernel.
 */
bool linux_find_bias(struct debugger *debugger, const struct module *module, uint64_t *bias);

#endif
