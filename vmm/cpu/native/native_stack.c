/* PUSH, POP, LEAVE of 8 bytes. */
#include "vmm/cpu/native/compile.h"

/* RAX = RSP - 8, and the place there; the flags have left the host. */
static struct place below_stack(struct compile *c)
{
    flags_leave_host(c);
    emit_lea(&c->e, 8, HOST_RAX, place_base(host_of_guest[RSP], -8));
    return memory_at_linear(c, HOST_RAX, 8, ACCESS_WRITE);
}

static void stack_moved(struct compile *c)
{
    guest_set(c, RSP, HOST_RAX);
}

static void push_guest(struct compile *c)
{
    struct place to = below_stack(c);
    emit_store(&c->e, to, guest_in_register(c, c->insn->rm, HOST_RCX));
    stack_moved(c);
}

static void push_rm(struct compile *c)
{
    if (!(c->insn->flags & INSN_MEMORY)) {
        push_guest(c);
        return;
    }
    emit_load(&c->e, HOST_RCX, memory_operand(c, 8, ACCESS_READ));
    emit_store(&c->e, CPU_PLACE(kept), HOST_RCX);
    struct place to = below_stack(c);
    emit_load(&c->e, HOST_RCX, CPU_PLACE(kept));
    emit_store(&c->e, to, HOST_RCX);
    stack_moved(c);
}

static void push_imm(struct compile *c)
{
    struct place to = below_stack(c);
    emit_wide(&c->e, 8, 0xc7, 0, to);
    emit_32(&c->e, (uint32_t)c->insn->immediate);
    stack_moved(c);
}

static void pop_reg(struct compile *c)
{
    unsigned stack = host_of_guest[RSP];
    emit_load(&c->e, HOST_RCX, memory_at_linear(c, stack, 8, ACCESS_READ));
    emit_lea(&c->e, 8, stack, place_base(stack, 8));
    guest_set(c, c->insn->rm, HOST_RCX);
}

static void leave(struct compile *c)
{
    unsigned frame = host_of_guest[RBP];
    emit_load(&c->e, HOST_RCX, memory_at_linear(c, frame, 8, ACCESS_READ));
    emit_lea(&c->e, 8, host_of_guest[RSP], place_base(frame, 8));
    guest_set(c, RBP, HOST_RCX);
}

#define WIDE .possible = insn_is_8_bytes, .escapes = true

NATIVE(push_reg, {push_guest, WIDE})
NATIVE(push_rm, {push_rm, WIDE})
NATIVE(push_imm, {push_imm, WIDE})
NATIVE(pop_reg, {pop_reg, WIDE})
NATIVE(leave, {leave, WIDE})
