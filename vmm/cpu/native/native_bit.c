/* Single bits, bit scans, byte order. */
#include "vmm/cpu/integer.h"
#include "vmm/cpu/native/compile.h"

enum { BIT_TEST = 4 }; /* the extension of 0F BA; the others write */

static void bit_imm(struct compile *c)
{
    const struct insn *insn = c->insn;
    unsigned size = insn->operand_size, extension = insn->modrm >> 3 & 7;
    bool memory = insn->flags & INSN_MEMORY, writes = extension != BIT_TEST;
    struct place to = memory ? memory_operand(c, size, writes ? ACCESS_WRITE : ACCESS_READ)
                             : guest_place(insn->rm);
    bool load = !memory && writes && size == 4 && !place_is_register(to);
    flags_prepare(c);
    if (load)
        emit_load(&c->e, HOST_RAX, to);
    emit_wide(&c->e, size, 0x0fba, extension, load ? place_register(HOST_RAX) : to);
    emit_8(&c->e, (uint8_t)(insn->immediate & (8 * size - 1)));
    if (load)
        emit_store(&c->e, to, HOST_RAX);
}

/* Of a register: the bit's number wraps. */
static void bit_reg(struct compile *c)
{
    const struct insn *insn = c->insn;
    flags_prepare(c);
    unsigned bit = guest_in_register(c, insn->reg, HOST_RCX);
    unsigned to = guest_in_register(c, insn->rm, HOST_RAX);
    emit_wide(&c->e, insn->operand_size, 0x0f00u | insn->opcode, bit, place_register(to));
    if (to == HOST_RAX)
        guest_set(c, insn->rm, to);
}

/* BSF, BSR, POPCNT: with a source of zero BSF and BSR leave the destination as the host does. */
static void scan(struct compile *c, uint8_t prefix, uint32_t opcode)
{
    const struct insn *insn = c->insn;
    unsigned size = insn->operand_size;
    struct place from = guest_place(insn->rm);
    if (insn->flags & INSN_MEMORY) {
        from = memory_operand(c, size, ACCESS_READ);
        emit_wide(&c->e, size, 0x8b, HOST_RCX, from);
        c->rax_busy = false;
        from = place_register(HOST_RCX);
    }
    flags_prepare(c);
    unsigned to = guest_in_register(c, insn->reg, HOST_RAX);
    if (prefix && size == 2)
        emit_8(&c->e, 0x66);
    emit_shape(&c->e,
        (struct shape){.opcode = opcode,
            .prefix = prefix      ? prefix
                      : size == 2 ? 0x66
                                  : 0,
            .wide = size == 8},
        to, from);
    if (to == HOST_RAX)
        guest_set(c, insn->reg, to);
}

static void emit_bsf(struct compile *c)
{
    scan(c, 0, 0x0fbc);
}

static void emit_bsr(struct compile *c)
{
    scan(c, 0, 0x0fbd);
}

static void emit_popcnt(struct compile *c)
{
    scan(c, 0xf3, 0x0fb8);
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

const struct translation_form native_bit_forms[] = {
    {op_bit_test_imm, bit_imm, .writes = FLAG_CF, .touches = true},
    {op_bit_test_reg, bit_reg, .possible = insn_has_registers_only, .writes = FLAG_CF,
        .touches = true},
    {op_bsf, emit_bsf, .writes = FLAG_ZF, .touches = true},
    {op_bsr, emit_bsr, .writes = FLAG_ZF, .touches = true},
    {op_popcnt, emit_popcnt, .writes = FLAGS_ALL, .touches = true},
    {op_bswap, emit_bswap, .possible = insn_is_4_or_8_bytes},
    {.handler = NULL},
};
