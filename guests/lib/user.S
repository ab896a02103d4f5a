/*
 * Into ring 3 by IRETQ and back by UD2: the two ways across that every engine and host supports.
 */
#include "lib/segments.h"

#define RFLAGS_USER 0x202 /* IF, bit 1 */

    .bss
    .balign 8
saved_stack:
    .skip 8

    .text
/* uint64_t user_enter(uint64_t (*entry)(void *), void *argument, void *stack_top) */
    .globl user_enter
    .type user_enter, @function
user_enter:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushfq
    movq %rsp, saved_stack
    movq %rsp, tss + TSS_RSP0
    /* entry returns to user_done; at its first instruction RSP is 8 below a multiple of 16. */
    movq $user_done, -8(%rdx)
    subq $8, %rdx
    pushq $SELECTOR_USER_DATA | 3
    pushq %rdx
    pushq $RFLAGS_USER
    pushq $SELECTOR_USER_CODE | 3
    pushq %rdi
    movq %rsi, %rdi
    xorl %ebp, %ebp
    iretq

    .globl user_done
    .type user_done, @function
user_done:
    ud2

/* void user_leave(uint64_t result): continues after the user_enter call under way */
    .globl user_leave
    .type user_leave, @function
user_leave:
    movq %rdi, %rax
    movq saved_stack, %rsp
    popfq
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret

    .section .note.GNU-stack, "", @progbits
