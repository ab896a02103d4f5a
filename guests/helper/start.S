/* Where the kernel enters: the stack has the count of words, the words, the environment. */
    .globl _start
_start:
    xorl %ebp, %ebp
    movq %rsp, %rdi
    andq $-16, %rsp
    call guest_init
    hlt
    .section .note.GNU-stack, "", @progbits
