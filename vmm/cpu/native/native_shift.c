/* Shifts, rotates, multiplication, division. */
#include "vmm/cpu/integer.h"
#include "vmm/cpu/native/compile.h"

/* By a constant, or by CL. */
static void emit_shift(struct compile *c, struct place to, bool by_cl, uint8_t count)
{
    unsigned size = c->insn->operand_size, extension = c->insn->modrm >> 3 & 7;
    if (by_cl) {
        emit_sized(&c->e, size, 0xd2, extension, to);
    } else {
        emit_sized(&c->e, size, 0xc0, extension, to);
        emit_8(&c->e, count);
    }
}

static void shift(struct compile *c, bool by_cl, uint8_t count)
{
    const struct insn *insn = c->insn;
    unsigned size = insn->operand_size;
    bool memory = insn->flags & INSN_MEMORY;
    struct place to =
        memory ? memory_operand(c, size, ACCESS_WRITE) : operand_place(c, insn->rm, size);
    bool load = !memory && size == 4 && !place_is_register(to);
    flags_prepare(c);
    if (by_cl)
        emit_wide(&c->e, 4, 0x8b, HOST_RCX, guest_place(RCX));
    if (load)
        emit_load(&c->e, HOST_RAX, to);
    emit_shift(c, load ? place_register(HOST_RAX) : to, by_cl, count);
    if (load)
        emit_store(&c->e, to, HOST_RAX);
    if (!memory)
        operand_written(c, insn->rm, size);
}

static void shift_imm(struct compile *c)
{
    shift(c, false, (uint8_t)c->insn->immediate);
}

static void shift_1(struct compile *c)
{
    shift(c, false, 1);
}

static void shift_cl(struct compile *c)
{
    shift(c, true, 0);
}

/* SHL, SHR, SAR by a count that is not zero. */
static bool renews_flags(const struct insn *insn)
{
    unsigned size = insn->operand_size;
    uint64_t count = insn->handler == op_shift_1 ? 1 : insn->immediate;
    return (insn->modrm >> 3 & 7) >= 4 && size >= 4 && (count & (size == 8 ? 63 : 31));
}

/* RCL, RCR */
static bool through_carry(const struct insn *insn)
{
    return (insn->modrm >> 3 & 6) == 2;
}

/* SHLD, SHRD of registers by a constant. */
static void double_shift_imm(struct compile *c)
{
    const struct insn *insn = c->insn;
    unsigned size = insn->operand_size;
    flags_prepare(c);
    unsigned from = guest_in_register(c, insn->reg, HOST_RCX);
    unsigned to = guest_in_register(c, insn->rm, HOST_RAX);
    emit_wide(
        &c->e, size, insn->handler == op_shld_imm ? 0x0fa4 : 0x0fac, from, place_register(to));
    emit_8(&c->e, (uint8_t)insn->immediate);
    if (to == HOST_RAX)
        guest_set(c, insn->rm, to);
}

/* ---- Multiplication -------------------------------------------------------------------------- */

/* The rm operand in a register or in struct cpu; memory is loaded into RCX. */
static struct place source(struct compile *c)
{
    const struct insn *insn = c->insn;
    if (!(insn->flags & INSN_MEMORY))
        return operand_place(c, insn->rm, insn->operand_size);
    struct place place = memory_operand(c, insn->operand_size, ACCESS_READ);
    emit_sized(&c->e, insn->operand_size, 0x8a, HOST_RCX, place);
    c->rax_busy = false;
    return place_register(HOST_RCX);
}

static void imul_reg_rm(struct compile *c)
{
    unsigned size = c->insn->operand_size, number = c->insn->reg;
    struct place from = source(c);
    flags_prepare(c);
    unsigned to = guest_in_register(c, number, HOST_RAX);
    emit_wide(&c->e, size, 0x0faf, to, from);
    if (to == HOST_RAX)
        guest_set(c, number, to);
}

static void imul_reg_imm(struct compile *c)
{
    unsigned size = c->insn->operand_size, number = c->insn->reg;
    struct place from = source(c);
    flags_prepare(c);
    unsigned to = guest_in_register(c, number, HOST_RAX);
    emit_wide(&c->e, size, 0x69, to, from);
    emit_immediate(&c->e, size, c->insn->immediate);
    if (to == HOST_RAX)
        guest_set(c, number, to);
}

/* MUL, IMUL, DIV of RDX:RAX: guest RDX is in the host's. */
static void wide(struct compile *c, unsigned extension, struct place from)
{
    flags_prepare(c);
    emit_load(&c->e, HOST_RAX, guest_place(RAX));
    emit_wide(&c->e, c->insn->operand_size, 0xf7, extension, from);
    guest_set(c, RAX, HOST_RAX);
}

static void emit_mul(struct compile *c)
{
    wide(c, 4, source(c));
}

static void emit_imul(struct compile *c)
{
    wide(c, 5, source(c));
}

/* Divides where the quotient fits, which is where the upper half is below the divisor. */
static void emit_div(struct compile *c)
{
    struct place from = source(c);
    flags_leave_host(c);
    emit_wide(&c->e, c->insn->operand_size, 0x3b, HOST_RDX, from); /* CMP */
    escape_if(c, 3);                                               /* not below */
    wide(c, 6, from);
}

const struct translation_form native_shift_forms[] = {
    {op_shift_imm, shift_imm, .possible = renews_flags, .renews = true, .touches = true},
    {op_shift_1, shift_1, .possible = renews_flags, .renews = true, .touches = true},
    {op_shift_imm, shift_imm, .possible = through_carry, .reads = FLAG_CF, .touches = true},
    {op_shift_1, shift_1, .possible = through_carry, .reads = FLAG_CF, .touches = true},
    {op_shift_cl, shift_cl, .possible = through_carry, .reads = FLAG_CF, .touches = true},
    {op_shift_imm, shift_imm, .touches = true},
    {op_shift_1, shift_1, .touches = true},
    {op_shift_cl, shift_cl, .touches = true},
    {op_shld_imm, double_shift_imm, .possible = insn_has_registers_only, .touches = true},
    {op_shrd_imm, double_shift_imm, .possible = insn_has_registers_only, .touches = true},
    {op_imul_reg_rm, imul_reg_rm, .writes = FLAG_CF | FLAG_OF, .touches = true},
    {op_imul_reg_imm, imul_reg_imm, .writes = FLAG_CF | FLAG_OF, .touches = true},
    {op_mul, emit_mul, .possible = insn_is_4_or_8_bytes, .writes = FLAG_CF | FLAG_OF,
        .touches = true},
    {op_imul, emit_imul, .possible = insn_is_4_or_8_bytes, .writes = FLAG_CF | FLAG_OF,
        .touches = true},
    {op_div, emit_div, .possible = insn_is_4_or_8_bytes, .touches = true, .escapes = true},
    {.handler = NULL},
};
