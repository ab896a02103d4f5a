/*
 * Running a function in ring 3, with interrupts on. It may access ports: the TSS has an I/O
 * permission map that opens all of them (IOPL 3 would not do: some hosts' KVM drops it on IRETQ).
 *
 * The function comes back by executing UD2: #UD from the known address user_done is the guests'
 * one system call. INT n and SYSRET would be more usual, but some hosts' KVM has neither.
 */
#ifndef GUEST_USER_H
#define GUEST_USER_H

#include <stdint.h>

/* Returns what `function` returned. Not reentrant. */
uint64_t user_run(uint64_t (*function)(void *argument), void *argument);

#endif
