/*
 * Where a secondary processor starts: real mode, at the page that the start-up message names, where
 * processors.c has copied this. Goes to 64-bit mode on the first processor's tables (AMD64 APM
 * volume 2, 14.6) and to secondary_main() on the stack prepared for it.
 */
#include "lib/segments.h"

#define AT(symbol) (symbol - secondary_start + 0x8000)

    .text
    .code16
    .globl secondary_start, secondary_end
secondary_start:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    lgdtl AT(pointer)
    movl %cr4, %eax
    orl $0x20, %eax /* PAE */
    movl %eax, %cr4
    movl $page_level4, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx /* EFER */
    rdmsr
    orl $0x100, %eax /* LME */
    wrmsr
    movl %cr0, %eax
    andl $0x9fffffff, %eax /* caches on */
    orl $0x80000001, %eax /* PG, PE */
    movl %eax, %cr0
    ljmpl $SELECTOR_KERNEL_CODE, $secondary_long
    .balign 8
pointer:
    .word 0xffff
    .long gdt
secondary_end:

    .code64
secondary_long:
    movl $SELECTOR_KERNEL_DATA, %eax
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    movq secondary_stack, %rsp
    xorl %ebp, %ebp
    call secondary_main

    .section .note.GNU-stack, "", @progbits
