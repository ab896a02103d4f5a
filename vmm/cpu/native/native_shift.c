/* Shifts, rotates, multiplication, division. */
#include "vmm/cpu/native/compile.h"

enum { AF_OF = FLAG_AF | FLAG_OF };

/* A rotation or shift of the rm operand, by a constant or by CL. `copy`: RCX gets what the operand
 * was before or is after it. */
enum copy { COPY_NONE, COPY_BEFORE, COPY_AFTER };
struct shift {
    bool by_cl, prepare; /* prepare: flags are read, or kept in the host's */
    uint8_t count;
    enum copy copy;
};

static unsigned operation(const struct insn *insn)
{
    unsigned number = insn->modrm >> 3 & 7;
    return number == SHIFT_SHL_ALIAS ? SHIFT_SHL : number;
}

static void emit_copy(struct compile *c, struct place from)
{
    emit_sized(&c->e, c->insn->operand_size, 0x8a, HOST_RCX, from);
}

static void emit_shift(struct compile *c, struct shift shift)
{
    const struct insn *insn = c->insn;
    unsigned size = insn->operand_size;
    bool memory = insn->flags & INSN_MEMORY;
    struct place place =
        memory ? memory_operand(c, size, ACCESS_WRITE) : operand_place(c, insn->rm, size);
    bool load = !memory && size == 4 && !place_is_register(place);
    struct place to = load ? place_register(HOST_RAX) : place;
    if (shift.prepare)
        flags_prepare(c);
    if (shift.by_cl)
        emit_wide(&c->e, 4, 0x8b, HOST_RCX, guest_place(RCX));
    if (load)
        emit_load(&c->e, HOST_RAX, place);
    if (shift.copy == COPY_BEFORE)
        emit_copy(c, to);
    emit_sized(&c->e, size, shift.by_cl ? 0xd2 : 0xc0, insn->modrm >> 3 & 7, to);
    if (!shift.by_cl)
        emit_8(&c->e, shift.count);
    if (shift.copy == COPY_AFTER)
        emit_copy(c, to);
    if (load)
        emit_store(&c->e, place, HOST_RAX);
    if (!memory)
        operand_written(c, insn->rm, size);
}

/* As the host counts, too. */
static uint8_t constant_count(const struct insn *insn)
{
    return (uint8_t)shift_count((uint8_t)insn->immediate, 8u * insn->operand_size);
}

/* By a constant; one of which CF is defined whatever the size. */
static bool has_count(const struct insn *insn)
{
    uint8_t count = constant_count(insn);
    return count && (count < 8 * insn->operand_size || insn->operand_size >= 4);
}

static bool shifts_by_constant(const struct insn *insn)
{
    return operation(insn) >= SHIFT_SHL && has_count(insn);
}

static void shift_constant(struct compile *c)
{
    unsigned number = operation(c->insn), count = constant_count(c->insn);
    bool settle = flags_matter(c, count == 1 ? FLAG_AF : AF_OF);
    bool before = settle && cpu_is_intel(c->cpu) && count != 1 && number != SHIFT_SAR;
    emit_shift(
        c, (struct shift){.count = (uint8_t)count, .copy = before ? COPY_BEFORE : COPY_NONE});
    if (settle)
        settle_shift(c, number, c->insn->operand_size, count);
}

static bool shifts_by_cl(const struct insn *insn)
{
    return operation(insn) >= SHIFT_SHL && insn->operand_size >= 4;
}

static void shift_cl(struct compile *c)
{
    bool settle = flags_matter(c, AF_OF);
    if (settle && cpu_is_intel(c->cpu)) {
        emit_handler(c);
        return;
    }
    if (settle)
        flags_save(c);
    emit_shift(c, (struct shift){.by_cl = true, .prepare = !settle});
    if (settle)
        settle_shift_cl(c, operation(c->insn), c->insn->operand_size);
}

/* ROL, ROR by a constant */
static bool rotates_by_constant(const struct insn *insn)
{
    return operation(insn) <= SHIFT_ROR && constant_count(insn);
}

static void rotate_constant(struct compile *c)
{
    bool left = operation(c->insn) == SHIFT_ROL, intel = cpu_is_intel(c->cpu);
    uint8_t count = constant_count(c->insn);
    if (!flags_matter(c, FLAG_OF) || count == 1) {
        emit_shift(c, (struct shift){.count = count, .prepare = true});
        return;
    }
    if (intel && c->insn->flags & INSN_MEMORY) {
        emit_handler(c);
        return;
    }
    flags_save(c);
    emit_shift(c, (struct shift){.count = count, .copy = intel ? COPY_NONE : COPY_AFTER});
    if (intel)
        settle_carry(c); /* OF is kept */
    else
        settle_rotate(c, left, c->insn->operand_size);
}

/* RCL, RCR by one, whose OF is defined */
static bool rotates_carry_by_one(const struct insn *insn)
{
    return (insn->modrm >> 3 & 6) == SHIFT_RCL && constant_count(insn) == 1;
}

static void rotate_carry(struct compile *c)
{
    emit_shift(c, (struct shift){.count = 1, .prepare = true});
}

/* SHLD, SHRD of registers by a constant. */
static bool double_shifts_by_constant(const struct insn *insn)
{
    return insn_has_registers_only(insn) && insn->operand_size >= 4 && constant_count(insn);
}

static void double_shift_constant(struct compile *c, bool left)
{
    const struct insn *insn = c->insn;
    unsigned size = insn->operand_size, count = constant_count(insn);
    bool settle = flags_matter(c, count == 1 ? FLAG_AF : AF_OF);
    if (settle && cpu_is_intel(c->cpu)) {
        emit_handler(c);
        return;
    }
    unsigned from = guest_in_register(c, insn->reg, HOST_RCX);
    unsigned to = guest_in_register(c, insn->rm, HOST_RAX);
    emit_wide(&c->e, size, left ? 0x0fa4 : 0x0fac, from, place_register(to));
    emit_8(&c->e, count);
    if (settle && !left)
        emit_wide(&c->e, 8, 0x89, to, place_register(HOST_RCX));
    if (to == HOST_RAX)
        guest_set(c, insn->rm, to);
    if (settle)
        settle_double_shift(c, left, size, count);
}

static void double_left(struct compile *c)
{
    double_shift_constant(c, true);
}

static void double_right(struct compile *c)
{
    double_shift_constant(c, false);
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

enum { REST = FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF }; /* what multiplications leave undefined */

/* Before one whose result goes to RAX or not: with AMD those flags are kept, in AH if that is free.
 */
static bool keep_rest(struct compile *c, bool to_rax)
{
    if (!flags_matter(c, REST) || cpu_is_intel(c->cpu))
        return false;
    if (to_rax)
        flags_save(c);
    else
        flags_into_ax(c);
    return !to_rax;
}

static void multiplied(struct compile *c, unsigned low, bool in_ax)
{
    if (flags_matter(c, REST))
        settle_multiply(c, c->insn->operand_size, low, in_ax);
}

/* IMUL to a register, by the rm operand or of it by an immediate. */
static void imul(struct compile *c, uint32_t opcode)
{
    unsigned size = c->insn->operand_size, number = c->insn->reg;
    struct place from = source(c);
    bool in_ax = keep_rest(c, host_of_guest[number] == HOST_NONE);
    unsigned to = guest_in_register(c, number, HOST_RAX);
    emit_wide(&c->e, size, opcode, to, from);
    if (opcode == 0x69)
        emit_immediate(&c->e, size, c->insn->immediate);
    if (to == HOST_RAX)
        guest_set(c, number, to);
    multiplied(c, to, in_ax);
}

static void imul_reg_rm(struct compile *c)
{
    imul(c, 0x0faf);
}

static void imul_reg_imm(struct compile *c)
{
    imul(c, 0x69);
}

/* MUL, IMUL, DIV of RDX:RAX: guest RDX is in the host's. */
static void wide(struct compile *c, unsigned extension, struct place from)
{
    emit_load(&c->e, HOST_RAX, guest_place(RAX));
    emit_wide(&c->e, c->insn->operand_size, 0xf7, extension, from);
    guest_set(c, RAX, HOST_RAX);
}

static void multiply(struct compile *c, unsigned extension)
{
    struct place from = source(c);
    keep_rest(c, true);
    wide(c, extension, from);
    multiplied(c, HOST_RAX, false);
}

static void emit_mul(struct compile *c)
{
    multiply(c, 4);
}

static void emit_imul(struct compile *c)
{
    multiply(c, 5);
}

/* Divides where the quotient fits, which is where the upper half is below the divisor. */
static void emit_div(struct compile *c)
{
    struct place from = source(c);
    flags_leave_host(c);
    emit_wide(&c->e, c->insn->operand_size, 0x3b, HOST_RDX, from); /* CMP */
    escape_if(c, 3);                                               /* not below */
    wide(c, 6, from);
    settle_divide(c);
}

#define FRESH    .writes = FLAGS_ALL, .touches = true
#define MULTIPLY .writes = FLAG_CF | FLAG_OF, .touches = true

/* What has no form here runs by its handler: counts that leave CF undefined, too. */
NATIVE(shift_imm, {shift_constant, .possible = shifts_by_constant, FRESH},
    {rotate_constant, .possible = rotates_by_constant, .touches = true, .intel_calls = true},
    {rotate_carry, .possible = rotates_carry_by_one, .reads = FLAG_CF, .touches = true})
NATIVE(shift_1, {shift_constant, .possible = shifts_by_constant, FRESH},
    {rotate_constant, .possible = rotates_by_constant, .touches = true},
    {rotate_carry, .possible = rotates_carry_by_one, .reads = FLAG_CF, .touches = true})
NATIVE(shift_cl, {shift_cl, .possible = shifts_by_cl, .touches = true, .intel_calls = true})
NATIVE(shld_imm, {double_left, .possible = double_shifts_by_constant, FRESH, .intel_calls = true})
NATIVE(shrd_imm, {double_right, .possible = double_shifts_by_constant, FRESH, .intel_calls = true})
NATIVE(imul_reg_rm, {imul_reg_rm, MULTIPLY})
NATIVE(imul_reg_imm, {imul_reg_imm, MULTIPLY})
NATIVE(mul, {emit_mul, .possible = insn_is_4_or_8_bytes, MULTIPLY})
NATIVE(imul, {emit_imul, .possible = insn_is_4_or_8_bytes, MULTIPLY})
NATIVE(div, {emit_div, .possible = insn_is_4_or_8_bytes, .touches = true, .escapes = true})
