/* Single bits, bit scans, byte order. */
#include "vmm/cpu/native/compile.h"

enum { BIT_TEST = 4 }; /* the extension of 0F BA; the others write */
enum { BIT_UNDEFINED = FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF };

/* Before an operation that defines CF and ZF alone; the others are kept. */
static bool keep_undefined(struct compile *c)
{
    if (flags_matter(c, BIT_UNDEFINED)) {
        flags_save(c);
        return true;
    }
    flags_prepare(c);
    return false;
}

static void bit_imm(struct compile *c)
{
    const struct insn *insn = c->insn;
    unsigned size = insn->operand_size, extension = insn->modrm >> 3 & 7;
    bool memory = insn->flags & INSN_MEMORY, writes = extension != BIT_TEST;
    struct place to = memory ? memory_operand(c, size, writes ? ACCESS_WRITE : ACCESS_READ)
                             : guest_place(insn->rm);
    bool load = !memory && writes && size == 4 && !place_is_register(to);
    bool settle = keep_undefined(c);
    if (load)
        emit_load(&c->e, HOST_RAX, to);
    emit_wide(&c->e, size, 0x0fba, extension, load ? place_register(HOST_RAX) : to);
    emit_8(&c->e, (uint8_t)(insn->immediate & (8 * size - 1)));
    if (load)
        emit_store(&c->e, to, HOST_RAX);
    if (settle)
        settle_carry(c);
}

/* Of a register: the bit's number wraps. */
static void bit_reg(struct compile *c)
{
    const struct insn *insn = c->insn;
    bool settle = keep_undefined(c);
    unsigned bit = guest_in_register(c, insn->reg, HOST_RCX);
    unsigned to = guest_in_register(c, insn->rm, HOST_RAX);
    emit_wide(&c->e, insn->operand_size, 0x0f00u | insn->opcode, bit, place_register(to));
    if (to == HOST_RAX)
        guest_set(c, insn->rm, to);
    if (settle)
        settle_carry(c);
}

/* The source in a register or in struct cpu; memory is loaded into RCX. */
static struct place scan_source(struct compile *c)
{
    const struct insn *insn = c->insn;
    unsigned size = insn->operand_size;
    if (!(insn->flags & INSN_MEMORY))
        return guest_place(insn->rm);
    emit_wide(&c->e, size, 0x8b, HOST_RCX, memory_operand(c, size, ACCESS_READ));
    c->rax_busy = false;
    return place_register(HOST_RCX);
}

/*
 * BSF, BSR: of zero the destination is kept, which the manuals leave open. Where flags other than
 * ZF are live, an addition to the index gives its PF and clears the others; subtracting RCX from
 * itself gives those of zero.
 */
static void scan(struct compile *c, uint32_t opcode)
{
    const struct insn *insn = c->insn;
    unsigned size = insn->operand_size;
    bool all = flags_matter(c, FLAGS_ALL & ~FLAG_ZF);
    struct place from = scan_source(c);
    unsigned to = guest_in_register(c, insn->reg, HOST_RAX);
    emit_wide(&c->e, size, 0x83, 7, from); /* CMP */
    emit_8(&c->e, 0);
    uint8_t *none = emit_jump_if(&c->e, 4, NULL);
    emit_wide(&c->e, size, opcode, to, from);
    if (to == HOST_RAX)
        guest_set(c, insn->reg, to);
    if (!all) {
        emit_aim(none, c->e.at);
        return;
    }
    emit_wide(&c->e, 4, 0x89, to, place_register(HOST_RCX));
    emit_wide(&c->e, 4, 0x81, 4, place_register(HOST_RCX)); /* AND */
    emit_32(&c->e, 63);
    emit_wide(&c->e, 4, 0x81, 0, place_register(HOST_RCX)); /* ADD */
    emit_32(&c->e, 0x100);
    uint8_t *done = emit_jump(&c->e, NULL);
    emit_aim(none, c->e.at);
    emit_wide(&c->e, 4, 0x29, HOST_RCX, place_register(HOST_RCX)); /* SUB */
    emit_aim(done, c->e.at);
}

static void emit_bsf(struct compile *c)
{
    scan(c, 0x0fbc);
}

static void emit_bsr(struct compile *c)
{
    scan(c, 0x0fbd);
}

static void emit_popcnt(struct compile *c)
{
    const struct insn *insn = c->insn;
    unsigned size = insn->operand_size;
    struct place from = scan_source(c);
    unsigned to = guest_in_register(c, insn->reg, HOST_RAX);
    if (size == 2)
        emit_8(&c->e, 0x66);
    emit_shape(
        &c->e, (struct shape){.opcode = 0x0fb8, .prefix = 0xf3, .wide = size == 8}, to, from);
    if (to == HOST_RAX)
        guest_set(c, insn->reg, to);
}

static void emit_bswap(struct compile *c)
{
    unsigned number = c->insn->rm, reg = guest_in_register(c, number, HOST_RAX);
    unsigned rex = (c->insn->operand_size == 8 ? 8u : 0) | reg >> 3;
    if (rex)
        emit_8(&c->e, 0x40 | rex);
    emit_8(&c->e, 0x0f);
    emit_8(&c->e, 0xc8 | (reg & 7));
    if (reg == HOST_RAX)
        guest_set(c, number, reg);
}

NATIVE(bit_test_imm, {bit_imm, .writes = FLAG_CF, .touches = true})
NATIVE(bit_test_reg,
    {bit_reg, .possible = insn_has_registers_only, .writes = FLAG_CF, .touches = true})
NATIVE(bsf, {emit_bsf, .writes = FLAGS_ALL, .touches = true})
NATIVE(bsr, {emit_bsr, .writes = FLAGS_ALL, .touches = true})
NATIVE(popcnt, {emit_popcnt, .writes = FLAGS_ALL, .touches = true})
NATIVE(bswap, {emit_bswap, .possible = insn_is_4_or_8_bytes})
