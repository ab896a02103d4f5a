/* Looking for registers (match.c) in host code: the one that tells is compared in place. */
#include "vmm/cpu/native/compile.h"

enum { COMPARISON_SIZE = 16, CONDITION_EQUAL = 4 };

void native_match_tell(const struct cpu *cpu, struct block *block)
{
    const unsigned telling = cpu->match.telling;
    struct emitter e = {.at = block->native_match};
    emit_load(&e, HOST_RAX, guest_place(telling));
    emit_wide(&e, 8, 0x3b, HOST_RAX,
        cpu_place(offsetof(struct cpu, match.gpr) + telling * sizeof cpu->match.gpr[0]));
    while (e.at < block->native_match + COMPARISON_SIZE)
        emit_8(&e, 0x90); /* NOP */
}

void native_emit_match(struct compile *c)
{
    flags_leave_host(c);
    c->block->native_match = c->e.at;
    native_match_tell(c->cpu, c->block);
    c->e.at += COMPARISON_SIZE;
    escape_if(c, CONDITION_EQUAL);
}
