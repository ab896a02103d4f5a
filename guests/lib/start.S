/*
 * The three ways into a guest, all ending in boot_main(protocol, info):
 *
 *   _start64          ELF64 entry: 64-bit mode, flat segments, first 4 GiB identity-mapped, IF=0,
 *                     RSI = struct hvm_start_info
 *   start_pvh         PVH note: 32-bit protected mode, no paging, EBX = struct hvm_start_info
 *   start_multiboot   Multiboot 1: 32-bit protected mode, no paging, EAX = 0x2badb002,
 *                     EBX = struct multiboot_info
 *
 * Sources: Xen docs/misc/pvh (start info and note), Multiboot Specification 0.6.96, AMD64 APM
 * volume 2 section 14.6 (enabling long mode).
 */
#include "lib/boot.h"
#include "lib/segments.h"

#define MULTIBOOT_MAGIC 0x1badb002
/* Address fields valid, memory information wanted. */
#define MULTIBOOT_FLAGS 0x00010002

#define PAGE_PRESENT 1
#define PAGE_WRITE   2
#define PAGE_USER    4
#define PAGE_A       0x20
#define PAGE_D       0x40
#define PAGE_LARGE   0x80
#define PAGE_TABLE   (PAGE_PRESENT | PAGE_WRITE | PAGE_USER | PAGE_A)

    .section .multiboot, "a"
    .balign 4
multiboot_header:
    .long MULTIBOOT_MAGIC
    .long MULTIBOOT_FLAGS
    .long -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)
    .long multiboot_header
    .long image_start
    .long image_data_end
    .long image_end
    .long start_multiboot

    .section .note.pvh, "a", @note
    .balign 4
    .long 4 /* name size */
    .long 4 /* descriptor size */
    .long 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long start_pvh

/*
 * The first 4 GiB, identity-mapped with 2 MiB pages, open to ring 3. Accessed and dirty bits are
 * set beforehand, so that walking the tables does not write to them.
 */
    .section .data.pages, "aw"
    .balign 4096
    .globl page_level4
page_level4:
    .quad page_level3 + PAGE_TABLE
    .fill 511, 8, 0
page_level3:
    .quad page_level2 + PAGE_TABLE
    .quad page_level2 + 0x1000 + PAGE_TABLE
    .quad page_level2 + 0x2000 + PAGE_TABLE
    .quad page_level2 + 0x3000 + PAGE_TABLE
    .fill 508, 8, 0
page_level2:
    .set address, 0
    .rept 2048
    .quad address + PAGE_LARGE + PAGE_D + PAGE_TABLE
    .set address, address + 0x200000
    .endr

    .data
    .balign 16
    .globl gdt
gdt:
    .quad 0
    .quad 0x00af9b000000ffff /* SELECTOR_KERNEL_CODE: 64-bit, DPL 0 */
    .quad 0x00cf93000000ffff /* SELECTOR_KERNEL_DATA */
    .quad 0, 0               /* not used */
    .quad 0x00cff3000000ffff /* SELECTOR_USER_DATA: DPL 3 */
    .quad 0x00affb000000ffff /* SELECTOR_USER_CODE: 64-bit, DPL 3 */
    .quad 0, 0               /* SELECTOR_TSS, filled in by segments_init */
gdt_end:
    .balign 8
gdt_pointer:
    .word gdt_end - gdt - 1
    .quad gdt

    .bss
    .balign 16
kernel_stack:
    .skip 32768
kernel_stack_top:

    .text
    .code32
    .globl start_pvh
    .type start_pvh, @function
start_pvh:
    movl $BOOT_PVH, %edi
    movl %ebx, %esi
    jmp enter_long_mode

    .globl start_multiboot
    .type start_multiboot, @function
start_multiboot:
    movl $BOOT_MULTIBOOT, %edi
    movl %ebx, %esi

enter_long_mode:
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
    orl $0x80000000, %eax /* PG */
    movl %eax, %cr0
    lgdt gdt_pointer
    ljmp $SELECTOR_KERNEL_CODE, $start_common

    .code64
    .globl _start64
    .type _start64, @function
_start64:
    movl $BOOT_ELF64, %edi
    movl $page_level4, %eax
    movq %rax, %cr3
    lgdt gdt_pointer
    movl $kernel_stack_top, %esp
    pushq $SELECTOR_KERNEL_CODE
    pushq $start_common
    lretq

start_common:
    .cfi_sections .debug_frame
    .cfi_startproc
    .cfi_undefined rip /* nobody called */
    /* Null data segments: entering ring 3 would clear kernel ones anyway. */
    movl $SELECTOR_KERNEL_DATA, %eax
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    movl $kernel_stack_top, %esp
    xorl %ebp, %ebp
    movl %esi, %esi /* the upper half is undefined after 32-bit code */
    call boot_main
1:  cli
    hlt
    jmp 1b
    .cfi_endproc

    .section .note.GNU-stack, "", @progbits
