/* Moves, extensions, LEA, conditional moves, exchanges. None changes flags. */
#include "vmm/cpu/native/compile.h"

/* Register operand `number` = what is at `from`. */
static void set_from(struct compile *c, unsigned number, unsigned size, struct place from)
{
    struct place to = operand_place(c, number, size);
    if (place_is_register(to)) {
        emit_sized(&c->e, size, 0x8a, to.base, from);
        return;
    }
    emit_sized(&c->e, size, 0x8a, HOST_RCX, from);
    emit_sized(&c->e, size == 4 ? 8 : size, 0x88, HOST_RCX, to);
    operand_written(c, number, size);
}

static void mov_rm_reg(struct compile *c)
{
    const struct insn *insn = c->insn;
    unsigned size = insn->operand_size;
    if (insn->flags & INSN_MEMORY) {
        struct place to = memory_operand(c, size, ACCESS_WRITE);
        emit_sized(&c->e, size, 0x88, operand_in_register(c, insn->reg, size), to);
    } else {
        set_from(c, insn->rm, size, operand_place(c, insn->reg, size));
    }
}

static void mov_reg_rm(struct compile *c)
{
    const struct insn *insn = c->insn;
    unsigned size = insn->operand_size;
    struct place from = insn->flags & INSN_MEMORY ? memory_operand(c, size, ACCESS_READ)
                                                  : operand_place(c, insn->rm, size);
    set_from(c, insn->reg, size, from);
}

static void set_immediate(struct compile *c, unsigned number, unsigned size, uint64_t value)
{
    struct place to = operand_place(c, number, size);
    bool is_register = place_is_register(to);
    if (size < 4) {
        emit_sized(&c->e, size, 0xc6, 0, to);
        emit_immediate(&c->e, size, value);
        operand_written(c, number, size);
        return;
    }
    if (size == 4)
        value = (uint32_t)value;
    if (is_register) {
        emit_constant(&c->e, to.base, value);
    } else if (fits_32((int64_t)value)) {
        emit_wide(&c->e, 8, 0xc7, 0, to);
        emit_32(&c->e, (uint32_t)value);
    } else {
        emit_constant(&c->e, HOST_RAX, value);
        emit_store(&c->e, to, HOST_RAX);
    }
}

static void mov_rm_imm(struct compile *c)
{
    const struct insn *insn = c->insn;
    unsigned size = insn->operand_size;
    if (insn->flags & INSN_MEMORY) {
        struct place to = memory_operand(c, size, ACCESS_WRITE);
        emit_sized(&c->e, size, 0xc6, 0, to);
        emit_immediate(&c->e, size, insn->immediate);
    } else {
        set_immediate(c, insn->rm, size, insn->immediate);
    }
}

static void mov_reg_imm(struct compile *c)
{
    set_immediate(c, c->insn->rm, c->insn->operand_size, c->insn->immediate);
}

/* MOVZX, MOVSX, MOVSXD: `source` bytes. */
static void extend(struct compile *c, uint32_t opcode, unsigned source)
{
    const struct insn *insn = c->insn;
    unsigned size = insn->operand_size, number = insn->reg;
    struct place from = insn->flags & INSN_MEMORY ? memory_operand(c, source, ACCESS_READ)
                                                  : operand_place(c, insn->rm, source);
    struct place to = guest_place(number);
    unsigned reg = place_is_register(to) ? to.base : HOST_RCX;
    emit_shape(&c->e,
        (struct shape){.opcode = opcode,
            .prefix = size == 2 ? 0x66 : 0,
            .wide = size == 8,
            .bytes = source == 1},
        reg, from);
    if (reg == HOST_RCX)
        emit_wide(&c->e, size == 4 ? 8 : size, 0x89, reg, to);
}

static void movzx8(struct compile *c)
{
    extend(c, 0x0fb6, 1);
}

static void movzx16(struct compile *c)
{
    extend(c, 0x0fb7, 2);
}

static void movsx8(struct compile *c)
{
    extend(c, 0x0fbe, 1);
}

static void movsx16(struct compile *c)
{
    extend(c, 0x0fbf, 2);
}

static void movsxd(struct compile *c)
{
    extend(c, 0x63, 4);
}

static void emit_lea_form(struct compile *c)
{
    unsigned number = c->insn->reg, size = c->insn->operand_size;
    unsigned from = effective_address(c, false);
    operand_set(c, number, size, from);
}

/* ---- By condition ---------------------------------------------------------------------------- */

static void cmov(struct compile *c)
{
    const struct insn *insn = c->insn;
    unsigned size = insn->operand_size, condition = insn->opcode & 15;
    struct place from = guest_place(insn->rm), to = guest_place(insn->reg);
    if (insn->flags & INSN_MEMORY) {
        from = memory_operand(c, size, ACCESS_READ);
        emit_wide(&c->e, size, 0x8b, HOST_RCX, from);
        c->rax_busy = false;
        from = place_register(HOST_RCX);
    }
    flags_enter_host(c);
    unsigned reg = guest_in_register(c, insn->reg, HOST_RAX);
    emit_wide(&c->e, size, 0x0f40 | condition, reg, from);
    if (reg == HOST_RAX)
        emit_wide(&c->e, size == 4 ? 8 : size, 0x89, reg, to);
}

static void setcc(struct compile *c)
{
    const struct insn *insn = c->insn;
    uint32_t opcode = 0x0f90 | (insn->opcode & 15);
    flags_enter_host(c);
    if (insn->flags & INSN_MEMORY) {
        emit_shape(&c->e, (struct shape){.opcode = opcode}, 0, CPU_PLACE(kept));
        struct place to = memory_operand(c, 1, ACCESS_WRITE);
        emit_sized(&c->e, 1, 0x8a, HOST_RCX, CPU_PLACE(kept));
        emit_sized(&c->e, 1, 0x88, HOST_RCX, to);
        return;
    }
    struct place to = operand_place(c, insn->rm, 1);
    emit_shape(&c->e, (struct shape){.opcode = opcode, .bytes = true}, 0, to);
    operand_written(c, insn->rm, 1);
}

/* ---- The rest -------------------------------------------------------------------------------- */

static bool can_exchange(const struct insn *insn)
{
    bool has_registers = host_of_guest[insn->reg] != HOST_NONE &&
                         (insn->flags & INSN_MEMORY || host_of_guest[insn->rm] != HOST_NONE);
    return insn->operand_size >= 4 && has_registers;
}

static void xchg_rm_reg(struct compile *c)
{
    const struct insn *insn = c->insn;
    unsigned size = insn->operand_size, reg = host_of_guest[insn->reg];
    if (!(insn->flags & INSN_MEMORY)) {
        emit_wide(&c->e, size, 0x87, reg, place_register(host_of_guest[insn->rm]));
        return;
    }
    struct place memory = memory_operand(c, size, ACCESS_WRITE);
    emit_wide(&c->e, size, 0x8b, HOST_RCX, memory);
    emit_wide(&c->e, size, 0x89, reg, memory);
    emit_wide(&c->e, size, 0x89, HOST_RCX, place_register(reg));
}

static bool can_exchange_acc(const struct insn *insn)
{
    return insn->operand_size >= 4 && host_of_guest[insn->rm] != HOST_NONE;
}

static void xchg_acc(struct compile *c)
{
    emit_wide(&c->e, c->insn->operand_size, 0x87, host_of_guest[RAX],
        place_register(host_of_guest[c->insn->rm]));
}

/* CBW, CWDE, CDQE */
static void convert_acc(struct compile *c)
{
    unsigned size = c->insn->operand_size, reg = host_of_guest[RAX];
    emit_shape(&c->e,
        (struct shape){.opcode = size == 8   ? 0x63
                                 : size == 4 ? 0x0fbf
                                             : 0x0fbe,
            .prefix = size == 2 ? 0x66 : 0,
            .wide = size == 8,
            .bytes = size == 2},
        reg, place_register(reg));
}

/* CWD, CDQ, CQO: guest RDX is in the host's. */
static void convert_dx(struct compile *c)
{
    unsigned size = c->insn->operand_size;
    emit_load(&c->e, HOST_RAX, guest_place(RAX));
    if (size != 4)
        emit_8(&c->e, size == 2 ? 0x66 : 0x48);
    emit_8(&c->e, 0x99);
}

static void nop(struct compile *c)
{
    (void)c;
}

NATIVE(mov_rm_reg, {mov_rm_reg, ALWAYS})
NATIVE(mov_reg_rm, {mov_reg_rm, ALWAYS})
NATIVE(mov_rm_imm, {mov_rm_imm, ALWAYS})
NATIVE(mov_reg_imm, {mov_reg_imm, ALWAYS})
NATIVE(movzx8, {movzx8, ALWAYS})
NATIVE(movzx16, {movzx16, ALWAYS})
NATIVE(movsx8, {movsx8, ALWAYS})
NATIVE(movsx16, {movsx16, ALWAYS})
NATIVE(movsxd, {movsxd, .possible = insn_is_8_bytes})
NATIVE(lea, {emit_lea_form, ALWAYS})
NATIVE(cmov, {cmov, .reads = FLAGS_ALL})
NATIVE(setcc, {setcc, .reads = FLAGS_ALL})
NATIVE(xchg_rm_reg, {xchg_rm_reg, .possible = can_exchange})
NATIVE(xchg_acc, {xchg_acc, .possible = can_exchange_acc})
NATIVE(convert_acc, {convert_acc, ALWAYS})
NATIVE(convert_dx, {convert_dx, ALWAYS})
NATIVE(nop, {nop, ALWAYS})
