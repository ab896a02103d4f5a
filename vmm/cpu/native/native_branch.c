/*
 * Near branches. Whatever can keep one from going through (a page that is not mapped for execution
 * or an address that is not canonical: neither has a TLB entry; the stack) is found before anything
 * is changed, and left to the handler.
 */
#include "vmm/cpu/native/compile.h"

static int64_t page_offset(const struct compile *c, unsigned which)
{
    return (int64_t)(block_gpa(c->block) % PAGE_SIZE) + c->op->delta[which];
}

static bool same_page(const struct compile *c, unsigned which)
{
    int64_t offset = page_offset(c, which);
    return offset >= 0 && offset < (int64_t)PAGE_SIZE;
}

/* `reg` = the linear address of op->delta[which]. */
static void emit_address(struct compile *c, unsigned reg, unsigned which)
{
    emit_load(&c->e, reg, CPU_PLACE(code_page));
    emit_lea(&c->e, 8, reg, place_base(reg, (int32_t)page_offset(c, which)));
}

static void jcc(struct compile *c)
{
    flags_save(c);
    flags_enter_host(c);
    uint8_t *taken = emit_jump_if(&c->e, c->insn->opcode & 15, NULL);
    emit_branch_to(c, 0);
    if (same_page(c, 1)) {
        c->block->native_links[1] = taken;
        c->linked[1] = true;
        return;
    }
    emit_aim(taken, c->e.at);
    emit_branch_to(c, 1);
}

static void jump(struct compile *c)
{
    flags_leave_host(c);
    emit_branch_to(c, 1);
}

static void push_return_address(struct compile *c)
{
    emit_lea(&c->e, 8, HOST_RAX, place_base(host_of_guest[RSP], -8));
    struct place to = memory_at_linear(c, HOST_RAX, 8, ACCESS_WRITE);
    emit_address(c, HOST_RCX, 0);
    emit_store(&c->e, to, HOST_RCX);
    guest_set(c, RSP, HOST_RAX);
}

static void call(struct compile *c)
{
    flags_leave_host(c);
    if (same_page(c, 1)) {
        push_return_address(c);
        emit_branch_to(c, 1);
        return;
    }
    emit_address(c, HOST_RAX, 1);
    escape_at(c, emit_code_entry(&c->e));
    push_return_address(c);
    emit_address(c, HOST_RAX, 1);
    emit_jump(&c->e, c->native->lookup);
}

/* RAX = the operand of an indirect branch. */
static void load_target(struct compile *c)
{
    flags_leave_host(c);
    if (c->insn->flags & INSN_MEMORY)
        emit_load(&c->e, HOST_RAX, memory_operand(c, 8, ACCESS_READ));
    else
        emit_load(&c->e, HOST_RAX, guest_place(c->insn->rm));
    escape_at(c, emit_code_entry(&c->e));
}

static void call_rm(struct compile *c)
{
    load_target(c);
    emit_store(&c->e, CPU_PLACE(kept), HOST_RAX);
    push_return_address(c);
    emit_load(&c->e, HOST_RAX, CPU_PLACE(kept));
    emit_jump(&c->e, c->native->lookup);
}

static void jump_rm(struct compile *c)
{
    load_target(c);
    emit_jump(&c->e, c->native->arrive);
}

static void return_near(struct compile *c)
{
    unsigned stack = host_of_guest[RSP];
    emit_load(&c->e, HOST_RAX, memory_at_linear(c, stack, 8, ACCESS_READ));
    escape_at(c, emit_code_entry(&c->e));
    emit_lea(&c->e, 8, stack, place_base(stack, 8 + (int32_t)c->insn->immediate));
    emit_jump(&c->e, c->native->arrive);
}

#define WIDE .possible = insn_is_8_bytes, .escapes = true

NATIVE(jcc, {jcc, .reads = FLAGS_ALL, WIDE})
NATIVE(jump, {jump, WIDE})
NATIVE(call, {call, WIDE})
NATIVE(call_rm, {call_rm, WIDE})
NATIVE(jump_rm, {jump_rm, WIDE})
NATIVE(return_near, {return_near, WIDE})
