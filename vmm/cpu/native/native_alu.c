/* Arithmetic and logic: the host's own instruction on the operands where they are. */
#include "vmm/cpu/native/compile.h"

enum { ALU_ADC = 2, ALU_SBB = 3, ALU_CMP = 7, ALU_TEST };

static unsigned operation(const struct insn *insn)
{
    if (insn->opcode < 0x40)
        return insn->opcode >> 3 & 7;
    return insn->opcode <= 0x83 ? insn->modrm >> 3 & 7 : ALU_TEST;
}

static bool with_carry(const struct insn *insn)
{
    return operation(insn) == ALU_ADC || operation(insn) == ALU_SBB;
}

static bool keeps_result(const struct insn *insn)
{
    return operation(insn) < ALU_CMP;
}

/* One of the places at most is in memory. */
static void emit_alu(struct compile *c, struct place to, struct place from)
{
    unsigned number = operation(c->insn), opcode = number == ALU_TEST ? 0x84 : number << 3;
    flags_prepare(c);
    if (!place_is_register(to))
        emit_sized(&c->e, c->insn->operand_size, opcode, from.base, to);
    else
        emit_sized(
            &c->e, c->insn->operand_size, number == ALU_TEST ? opcode : opcode | 2, to.base, from);
}

static void emit_alu_immediate(struct compile *c, struct place to)
{
    unsigned number = operation(c->insn), size = c->insn->operand_size;
    uint64_t value = c->insn->immediate;
    flags_prepare(c);
    if (number == ALU_TEST) {
        emit_sized(&c->e, size, 0xf6, 0, to);
        emit_immediate(&c->e, size, value);
    } else if (size != 1 && fits_8((int64_t)sign_extend(value, size))) {
        emit_wide(&c->e, size, 0x83, number, to);
        emit_immediate(&c->e, 1, value);
    } else {
        emit_sized(&c->e, size, 0x80, number, to);
        emit_immediate(&c->e, size, value);
    }
}

/* Is a result of 4 bytes to be extended in struct cpu? */
static bool extends(const struct compile *c, struct place to)
{
    return c->insn->operand_size == 4 && !place_is_register(to);
}

/* To a register operand. */
static void alu_to_register(struct compile *c, unsigned number, struct place from)
{
    unsigned size = c->insn->operand_size;
    struct place to = operand_place(c, number, size);
    bool keep = keeps_result(c->insn);
    if (place_is_register(to) || (place_is_register(from) && !(keep && extends(c, to)))) {
        emit_alu(c, to, from);
    } else {
        emit_load(&c->e, HOST_RCX, to);
        emit_alu(c, place_register(HOST_RCX), from);
        if (keep)
            emit_sized(&c->e, size == 4 ? 8 : size, 0x88, HOST_RCX, to);
    }
    if (keep)
        operand_written(c, number, size);
}

static void alu_to_register_immediate(struct compile *c, unsigned number)
{
    unsigned size = c->insn->operand_size;
    struct place to = operand_place(c, number, size);
    bool keep = keeps_result(c->insn);
    if (keep && extends(c, to)) {
        emit_load(&c->e, HOST_RCX, to);
        emit_alu_immediate(c, place_register(HOST_RCX));
        emit_store(&c->e, to, HOST_RCX);
    } else {
        emit_alu_immediate(c, to);
    }
    if (keep)
        operand_written(c, number, size);
}

static struct place alu_memory(struct compile *c)
{
    return memory_operand(
        c, c->insn->operand_size, keeps_result(c->insn) ? ACCESS_WRITE : ACCESS_READ);
}

static void alu_rm_reg(struct compile *c)
{
    const struct insn *insn = c->insn;
    if (insn->flags & INSN_MEMORY) {
        struct place to = alu_memory(c);
        unsigned from = operand_in_register(c, insn->reg, insn->operand_size);
        emit_alu(c, to, place_register(from));
    } else {
        alu_to_register(c, insn->rm, operand_place(c, insn->reg, insn->operand_size));
    }
}

static void alu_reg_rm(struct compile *c)
{
    const struct insn *insn = c->insn;
    struct place from;
    if (insn->flags & INSN_MEMORY)
        from = memory_operand(c, insn->operand_size, ACCESS_READ);
    else
        from = operand_place(c, insn->rm, insn->operand_size);
    alu_to_register(c, insn->reg, from);
}

static void alu_rm_imm(struct compile *c)
{
    if (c->insn->flags & INSN_MEMORY)
        emit_alu_immediate(c, alu_memory(c));
    else
        alu_to_register_immediate(c, c->insn->rm);
}

static void alu_acc_imm(struct compile *c)
{
    alu_to_register_immediate(c, RAX);
}

/* INC DEC NOT NEG: opcode and extension. */
static void unary(struct compile *c, unsigned opcode, unsigned extension)
{
    const struct insn *insn = c->insn;
    unsigned size = insn->operand_size;
    if (insn->flags & INSN_MEMORY) {
        struct place to = memory_operand(c, size, ACCESS_WRITE);
        flags_prepare(c);
        emit_sized(&c->e, size, opcode, extension, to);
        return;
    }
    struct place to = operand_place(c, insn->rm, size);
    bool load = extends(c, to);
    if (load)
        emit_load(&c->e, HOST_RCX, to);
    flags_prepare(c);
    emit_sized(&c->e, size, opcode, extension, load ? place_register(HOST_RCX) : to);
    if (load)
        emit_store(&c->e, to, HOST_RCX);
    operand_written(c, insn->rm, size);
}

static void emit_inc(struct compile *c)
{
    unary(c, 0xfe, 0);
}

static void emit_dec(struct compile *c)
{
    unary(c, 0xfe, 1);
}

static void emit_not(struct compile *c)
{
    unary(c, 0xf6, 2);
}

static void emit_neg(struct compile *c)
{
    unary(c, 0xf6, 3);
}

static void emit_carry_flag(struct compile *c)
{
    flags_prepare(c);
    emit_8(&c->e, c->insn->opcode); /* CMC, CLC, STC are what they are */
}

#define FRESH .writes = FLAGS_ALL, .touches = true
#define CARRY .possible = with_carry, .reads = FLAG_CF, .writes = FLAGS_ALL, .touches = true

NATIVE(alu_rm_reg, {alu_rm_reg, CARRY}, {alu_rm_reg, FRESH})
NATIVE(alu_reg_rm, {alu_reg_rm, CARRY}, {alu_reg_rm, FRESH})
NATIVE(alu_rm_imm, {alu_rm_imm, CARRY}, {alu_rm_imm, FRESH})
NATIVE(alu_acc_imm, {alu_acc_imm, CARRY}, {alu_acc_imm, FRESH})
NATIVE(test_rm_reg, {alu_rm_reg, FRESH})
NATIVE(test_rm_imm, {alu_rm_imm, FRESH})
NATIVE(test_acc_imm, {alu_acc_imm, FRESH})
NATIVE(inc, {emit_inc, .writes = (uint16_t)(FLAGS_ALL & ~FLAG_CF), .touches = true})
NATIVE(dec, {emit_dec, .writes = (uint16_t)(FLAGS_ALL & ~FLAG_CF), .touches = true})
NATIVE(complement, {emit_not, ALWAYS})
NATIVE(neg, {emit_neg, FRESH})
NATIVE(cmc, {emit_carry_flag, .reads = FLAG_CF, .writes = FLAG_CF, .touches = true})
NATIVE(clc, {emit_carry_flag, .writes = FLAG_CF, .touches = true})
NATIVE(stc, {emit_carry_flag, .writes = FLAG_CF, .touches = true})
