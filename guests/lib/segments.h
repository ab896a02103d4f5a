/* The GDT's selectors and the 64-bit task-state segment (AMD64 APM volume 2, section 12.2.5). */
#ifndef GUEST_SEGMENTS_H
#define GUEST_SEGMENTS_H

#define SELECTOR_KERNEL_CODE 0x08
#define SELECTOR_KERNEL_DATA 0x10
/* 64-bit Linux's: a KVM that runs ring 3 in the host's ring 3 shows these to it. */
#define SELECTOR_USER_DATA 0x28
#define SELECTOR_USER_CODE 0x30
#define SELECTOR_TSS       0x38

#define TSS_RSP0 4 /* offset of the ring 0 stack pointer */

#ifndef __ASSEMBLER__
/* Loads the task register, allows SYSCALL. The GDT itself is loaded by start.S. */
void segments_init(void);
#endif

#endif
