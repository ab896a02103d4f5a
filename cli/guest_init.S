/* guest-init (guests/helper/), as a part of this program: nothing has to be found at run time. */
    .section .rodata
    .globl guest_init_program, guest_init_program_end
guest_init_program:
    .incbin GUEST_INIT
guest_init_program_end:
    .section .note.GNU-stack, "", @progbits
