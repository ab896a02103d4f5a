/*
 * One stub for each of the 256 vectors. A stub makes the stack look the same whether or not the CPU
 * pushed an error code, and all meet in interrupt_common, which builds struct interrupt_frame.
 *
 * The call frame information makes each a signal frame: what the CPU pushed, from RIP on, lies below
 * the CFA, and RSP is restored from there, because the stack may have been another one.
 */
    .cfi_sections .debug_frame
    .text
    .balign 16
    .globl interrupt_stubs
    .type interrupt_stubs, @function
interrupt_stubs:
    .set vector, 0
    .rept 256
    .balign 16
    .cfi_startproc
    .cfi_signal_frame
    /* #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP, #VC, #SX push an error code. */
    .if vector != 8 && (vector < 10 || vector > 14) && vector != 17 && vector != 21 && vector != 29 && vector != 30
    .cfi_def_cfa rsp, 40
    .cfi_offset rip, -40
    .cfi_offset rsp, -16
    pushq $0
    .cfi_adjust_cfa_offset 8
    .else
    .cfi_def_cfa rsp, 48
    .cfi_offset rip, -40
    .cfi_offset rsp, -16
    .endif
    pushq $vector
    .cfi_adjust_cfa_offset 8
    jmp interrupt_common
    .cfi_endproc
    .set vector, vector + 1
    .endr

    .balign 16
    .type interrupt_common, @function
interrupt_common:
    .cfi_startproc
    .cfi_signal_frame
    .cfi_def_cfa rsp, 56
    .cfi_offset rip, -40
    .cfi_offset rsp, -16
    cld
    pushq %rax
    .cfi_adjust_cfa_offset 8
    .cfi_offset rax, -64
    pushq %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_offset rbx, -72
    pushq %rcx
    .cfi_adjust_cfa_offset 8
    .cfi_offset rcx, -80
    pushq %rdx
    .cfi_adjust_cfa_offset 8
    .cfi_offset rdx, -88
    pushq %rsi
    .cfi_adjust_cfa_offset 8
    .cfi_offset rsi, -96
    pushq %rdi
    .cfi_adjust_cfa_offset 8
    .cfi_offset rdi, -104
    pushq %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_offset rbp, -112
    pushq %r8
    .cfi_adjust_cfa_offset 8
    .cfi_offset r8, -120
    pushq %r9
    .cfi_adjust_cfa_offset 8
    .cfi_offset r9, -128
    pushq %r10
    .cfi_adjust_cfa_offset 8
    .cfi_offset r10, -136
    pushq %r11
    .cfi_adjust_cfa_offset 8
    .cfi_offset r11, -144
    pushq %r12
    .cfi_adjust_cfa_offset 8
    .cfi_offset r12, -152
    pushq %r13
    .cfi_adjust_cfa_offset 8
    .cfi_offset r13, -160
    pushq %r14
    .cfi_adjust_cfa_offset 8
    .cfi_offset r14, -168
    pushq %r15
    .cfi_adjust_cfa_offset 8
    .cfi_offset r15, -176
    movq %rsp, %rdi
    call interrupt_dispatch
    popq %r15
    .cfi_adjust_cfa_offset -8
    .cfi_restore r15
    popq %r14
    .cfi_adjust_cfa_offset -8
    .cfi_restore r14
    popq %r13
    .cfi_adjust_cfa_offset -8
    .cfi_restore r13
    popq %r12
    .cfi_adjust_cfa_offset -8
    .cfi_restore r12
    popq %r11
    .cfi_adjust_cfa_offset -8
    .cfi_restore r11
    popq %r10
    .cfi_adjust_cfa_offset -8
    .cfi_restore r10
    popq %r9
    .cfi_adjust_cfa_offset -8
    .cfi_restore r9
    popq %r8
    .cfi_adjust_cfa_offset -8
    .cfi_restore r8
    popq %rbp
    .cfi_adjust_cfa_offset -8
    .cfi_restore rbp
    popq %rdi
    .cfi_adjust_cfa_offset -8
    .cfi_restore rdi
    popq %rsi
    .cfi_adjust_cfa_offset -8
    .cfi_restore rsi
    popq %rdx
    .cfi_adjust_cfa_offset -8
    .cfi_restore rdx
    popq %rcx
    .cfi_adjust_cfa_offset -8
    .cfi_restore rcx
    popq %rbx
    .cfi_adjust_cfa_offset -8
    .cfi_restore rbx
    popq %rax
    .cfi_adjust_cfa_offset -8
    .cfi_restore rax
    addq $16, %rsp
    .cfi_adjust_cfa_offset -16
    iretq
    .cfi_endproc

    .section .note.GNU-stack, "", @progbits
