/* Which bytes each group of instructions copies. */
#include "debugger/flow.h"

#include <string.h>

#include "debugger/flow_parts.h"

static uint64_t register_value(const struct flow_step *step, unsigned reg, unsigned size)
{
    uint64_t value = step->before->gpr[reg];
    return size >= 8 ? value : value & ((1ull << 8 * size) - 1);
}

/* ---- Groups of instructions ----------------------------------------------------------------- */

static bool condition_holds(const struct flow_step *step)
{
    const uint64_t flags = step->before->rflags;
    unsigned code = flow_x86(step->insn)->opcode[1] & 15;
    bool carry = flags & FLAG_CF, zero = flags & FLAG_ZF, sign = flags & FLAG_SF;
    bool overflow = flags & FLAG_OF, holds = false;
    switch (code >> 1) {
    case 0:
        holds = overflow;
        break;
    case 1:
        holds = carry;
        break;
    case 2:
        holds = zero;
        break;
    case 3:
        holds = carry || zero;
        break;
    case 4:
        holds = sign;
        break;
    case 5:
        holds = flags & FLAG_PF;
        break;
    case 6:
        holds = sign != overflow;
        break;
    default:
        holds = zero || sign != overflow;
        break;
    }
    return holds != (code & 1);
}

static struct flow_source find_moved(
    const struct flow_step *step, const struct flow_place *place, bool extends)
{
    const cs_x86_op *operands = flow_x86(step->insn)->operands;
    uint64_t index = 0;
    if (flow_x86(step->insn)->op_count < 2 ||
        !flow_written_index(step, &operands[0], place, &index))
        return flow_of_kind(FLOW_KEPT);
    if (operands[1].type == X86_OP_REG) {
        struct flow_part part;
        /* From segment, control and debug registers. */
        if (!flow_part_of(operands[1].reg, &part))
            return flow_of_kind(FLOW_COMPUTED);
    }
    unsigned size = flow_operand_size(&operands[1]);
    if (extends && index >= size && index < flow_operand_size(&operands[0]))
        return flow_of_kind(FLOW_COMPUTED);
    return flow_copied(step, &operands[1], index, size);
}

static struct flow_source find_move(const struct flow_step *step, const struct flow_place *place)
{
    return find_moved(step, place, false);
}

static struct flow_source find_extended(
    const struct flow_step *step, const struct flow_place *place)
{
    return find_moved(step, place, true);
}

static struct flow_source find_conditional(
    const struct flow_step *step, const struct flow_place *place)
{
    bool clears = flow_operand_size(&flow_x86(step->insn)->operands[0]) == 4 && place->offset >= 4;
    return clears || condition_holds(step) ? find_move(step, place) : flow_of_kind(FLOW_KEPT);
}

/* An address that is a register's value is a copy of it. */
static struct flow_source find_address(const struct flow_step *step, const struct flow_place *place)
{
    const cs_x86_op *operands = flow_x86(step->insn)->operands;
    const x86_op_mem *address = &operands[1].mem;
    uint64_t index = 0;
    if (address->disp != 0 || address->index != X86_REG_INVALID ||
        address->base == X86_REG_INVALID || address->base == X86_REG_RIP)
        return flow_find_computed(step, place);
    if (!flow_written_index(step, &operands[0], place, &index))
        return flow_of_kind(FLOW_KEPT);
    const cs_x86_op base = {.type = X86_OP_REG, .reg = address->base};
    return flow_copied(step, &base, index, flow_operand_size(&operands[0]));
}

static struct flow_source find_exchange(
    const struct flow_step *step, const struct flow_place *place)
{
    const cs_x86_op *operands = flow_x86(step->insn)->operands;
    uint64_t index = 0;
    for (unsigned i = 0; i < 2; i++) {
        if (!flow_written_index(step, &operands[i], place, &index))
            continue;
        if (step->insn->id == X86_INS_XADD && i == 0)
            return flow_of_kind(FLOW_COMPUTED);
        return flow_copied(step, &operands[1 - i], index, flow_operand_size(&operands[i]));
    }
    return flow_of_kind(FLOW_KEPT);
}

static bool memory_before(const struct flow_step *step, unsigned size, uint8_t *data)
{
    for (unsigned i = 0; i < size; i++) {
        struct flow_source byte = flow_loaded_byte(step, i);
        if (byte.kind != FLOW_COPIED || !memory_read(step->memory, byte.place.gpa, &data[i], 1))
            return false;
    }
    return true;
}

/* CMPXCHG: the accumulator and the destination are compared. */
static struct flow_source find_compared(
    const struct flow_step *step, const struct flow_place *place)
{
    const cs_x86_op *operands = flow_x86(step->insn)->operands;
    unsigned size = flow_operand_size(&operands[1]);
    uint64_t index = 0, old = 0;
    struct flow_part part;
    if (operands[0].type == X86_OP_REG && flow_part_of(operands[0].reg, &part))
        old = register_value(step, part.reg, 8) >> 8 * part.offset;
    else if (!memory_before(step, size, (uint8_t *)&old))
        return flow_of_kind(FLOW_COMPUTED);
    if (size < 8)
        old &= (1ull << 8 * size) - 1;
    bool equal = old == register_value(step, RAX, size);
    if (flow_written_index(step, &operands[0], place, &index))
        return equal          ? flow_copied(step, &operands[1], index, size)
               : index < size ? flow_of_kind(FLOW_KEPT)
                              : flow_of_kind(FLOW_CONSTANT);
    if (place->in_memory || place->reg != RAX)
        return flow_of_kind(FLOW_KEPT);
    if (place->offset < size)
        return equal ? flow_of_kind(FLOW_KEPT)
                     : flow_operand_byte(step, &operands[0], place->offset);
    return size == 4 && !equal ? flow_of_kind(FLOW_CONSTANT) : flow_of_kind(FLOW_KEPT);
}

static struct flow_source find_compared_pair(
    const struct flow_step *step, const struct flow_place *place)
{
    unsigned half = step->insn->id == X86_INS_CMPXCHG16B ? 8 : 4;
    uint64_t index = 0;
    uint8_t old[16], wanted[16];
    if (!memory_before(step, 2 * half, old))
        return flow_of_kind(FLOW_COMPUTED);
    memcpy(wanted, &step->before->gpr[RAX], half);
    memcpy(wanted + half, &step->before->gpr[RDX], half);
    bool equal = memcmp(old, wanted, 2 * half) == 0;
    if (place->in_memory) {
        if (!equal || !flow_stored_index(step, place->gpa, &index))
            return flow_of_kind(FLOW_KEPT);
        return flow_register_byte(index < half ? RBX : RCX, (unsigned)index % half);
    }
    if (equal || (place->reg != RAX && place->reg != RDX))
        return flow_of_kind(FLOW_KEPT);
    if (place->offset >= half)
        return flow_of_kind(FLOW_CONSTANT);
    return flow_loaded_byte(step, place->offset + (place->reg == RDX ? half : 0));
}

static struct flow_source find_swapped(const struct flow_step *step, const struct flow_place *place)
{
    const cs_x86 *x86 = flow_x86(step->insn);
    unsigned last = x86->op_count - 1u;
    uint64_t index = 0;
    if (!flow_written_index(step, &x86->operands[0], place, &index))
        return flow_of_kind(FLOW_KEPT);
    unsigned size = flow_operand_size(&x86->operands[0]);
    return index < size ? flow_operand_byte(step, &x86->operands[last], size - 1 - index)
                        : flow_of_kind(FLOW_CONSTANT);
}

/* AND, OR, XOR and shifts by a constant move or keep whole bytes where they do not mix them. */
static struct flow_source find_by_constant(
    const struct flow_step *step, const struct flow_place *place)
{
    const cs_x86_op *operands = flow_x86(step->insn)->operands;
    unsigned size = flow_operand_size(&operands[0]), id = step->insn->id;
    uint64_t index = 0;
    if (!flow_written_index(step, &operands[0], place, &index))
        return flow_of_kind(FLOW_KEPT);
    if (index >= size)
        return flow_of_kind(FLOW_CONSTANT);
    uint8_t constant = (uint8_t)((uint64_t)operands[1].imm >> 8 * index);
    unsigned bytes = (unsigned)(operands[1].imm & (size == 8 ? 63 : 31)) / 8;
    bool whole = operands[1].imm % 8 == 0;
    switch (id) {
    case X86_INS_AND:
        return flow_of_kind(constant == 0xff ? FLOW_KEPT
                            : constant       ? FLOW_COMPUTED
                                             : FLOW_CONSTANT);
    case X86_INS_OR:
        return flow_of_kind(constant == 0      ? FLOW_KEPT
                            : constant == 0xff ? FLOW_CONSTANT
                                               : FLOW_COMPUTED);
    case X86_INS_XOR:
        return flow_of_kind(constant == 0 ? FLOW_KEPT : FLOW_COMPUTED);
    case X86_INS_SHL:
    case X86_INS_SAL:
        if (whole)
            return index < bytes ? flow_of_kind(FLOW_CONSTANT)
                                 : flow_operand_byte(step, &operands[0], index - bytes);
        return flow_of_kind(FLOW_COMPUTED);
    case X86_INS_SHR:
        if (whole)
            return index + bytes >= size ? flow_of_kind(FLOW_CONSTANT)
                                         : flow_operand_byte(step, &operands[0], index + bytes);
        return flow_of_kind(FLOW_COMPUTED);
    case X86_INS_ROL:
        return whole ? flow_operand_byte(step, &operands[0], (index + size - bytes % size) % size)
                     : flow_of_kind(FLOW_COMPUTED);
    case X86_INS_ROR:
        return whole ? flow_operand_byte(step, &operands[0], (index + bytes) % size)
                     : flow_of_kind(FLOW_COMPUTED);
    default:
        return flow_of_kind(FLOW_COMPUTED);
    }
}

/* What writes all of its first operand, and whatever else is listed. */
struct flow_source flow_find_computed(const struct flow_step *step, const struct flow_place *place)
{
    const cs_x86 *x86 = flow_x86(step->insn);
    uint64_t index = 0;
    struct flow_part part;
    bool named = false;
    for (unsigned i = 0; i < x86->op_count; i++) {
        const cs_x86_op *operand = &x86->operands[i];
        if (operand->type == X86_OP_REG && flow_part_of(operand->reg, &part) &&
            part.reg == place->reg && !place->in_memory && operand->access & CS_AC_WRITE)
            named = true;
        else if (operand->type != X86_OP_MEM)
            continue;
        if (flow_written_index(step, operand, place, &index))
            return flow_of_kind(index < flow_operand_size(operand) ? FLOW_COMPUTED : FLOW_CONSTANT);
    }
    if (place->in_memory)
        return flow_of_kind(
            flow_stored_index(step, place->gpa, &index) ? FLOW_COMPUTED : FLOW_KEPT);
    bool writes = flow_written(step->decoder, step->insn) >> place->reg & 1;
    return flow_of_kind(writes && !named ? FLOW_COMPUTED : FLOW_KEPT);
}

static bool same_registers(const cs_x86 *x86)
{
    return x86->op_count == 2 && x86->operands[0].type == X86_OP_REG &&
           x86->operands[1].type == X86_OP_REG && x86->operands[0].reg == x86->operands[1].reg;
}

static struct flow_source find_cleared(const struct flow_step *step, const struct flow_place *place)
{
    struct flow_source found = flow_find_computed(step, place);
    if (found.kind == FLOW_COMPUTED && (place->in_memory || place->reg != FLOW_FLAGS))
        found.kind = FLOW_CONSTANT;
    return found;
}

/* ---- SSE ------------------------------------------------------------------------------------ */

/* Moves of a part of a register: from byte `from` of the second operand to byte `to` of the first.
 */
static struct flow_source find_half(
    const struct flow_step *step, const struct flow_place *place, unsigned to, unsigned from)
{
    const cs_x86_op *operands = flow_x86(step->insn)->operands;
    uint64_t index = 0;
    if (!flow_written_index(step, &operands[0], place, &index))
        return flow_of_kind(FLOW_KEPT);
    bool loads = operands[1].type == X86_OP_MEM, stores = operands[0].type == X86_OP_MEM;
    if (!stores && index - to >= 8)
        return flow_of_kind(FLOW_KEPT);
    return flow_operand_byte(step, &operands[1], index - (stores ? 0 : to) + (loads ? 0 : from));
}

static struct flow_source find_low_half(
    const struct flow_step *step, const struct flow_place *place)
{
    return find_half(step, place, 0, 0);
}

static struct flow_source find_high_half(
    const struct flow_step *step, const struct flow_place *place)
{
    return find_half(step, place, 8, 8);
}

static struct flow_source find_high_to_low(
    const struct flow_step *step, const struct flow_place *place)
{
    return find_half(step, place, 0, 8);
}

static struct flow_source find_low_to_high(
    const struct flow_step *step, const struct flow_place *place)
{
    return find_half(step, place, 8, 0);
}

/* MOVSS, MOVSD, MOVD, MOVQ: as many bytes as the smaller operand has; a register's rest is cleared,
 * or kept between registers by the first two. */
static struct flow_source find_scalar(const struct flow_step *step, const struct flow_place *place)
{
    const cs_x86_op *operands = flow_x86(step->insn)->operands;
    uint64_t index = 0;
    unsigned id = step->insn->id;
    unsigned size = id == X86_INS_MOVSS || id == X86_INS_MOVD ? 4 : 8;
    if (!flow_written_index(step, &operands[0], place, &index))
        return flow_of_kind(FLOW_KEPT);
    bool registers = operands[0].type == X86_OP_REG && operands[1].type == X86_OP_REG;
    if (index < size)
        return flow_operand_byte(step, &operands[1], index);
    return flow_of_kind(
        registers && (id == X86_INS_MOVSS || id == X86_INS_MOVSD) ? FLOW_KEPT : FLOW_CONSTANT);
}

/* The shuffles that programs copy and fill memory with. */
static struct flow_source find_shuffled(
    const struct flow_step *step, const struct flow_place *place)
{
    const cs_x86_op *operands = flow_x86(step->insn)->operands;
    uint64_t at, amount = (uint64_t)operands[1].imm;
    unsigned unit = 0;
    if (!flow_written_index(step, &operands[0], place, &at))
        return flow_of_kind(FLOW_KEPT);
    unsigned size = flow_operand_size(&operands[0]), index = (unsigned)at;
    switch (step->insn->id) {
    case X86_INS_PSHUFD:
        return flow_operand_byte(
            step, &operands[1], ((uint64_t)operands[2].imm >> 2 * (index / 4) & 3) * 4 + index % 4);
    case X86_INS_PSLLDQ:
        return index < amount ? flow_of_kind(FLOW_CONSTANT)
                              : flow_operand_byte(step, &operands[0], index - amount);
    case X86_INS_PSRLDQ:
        return index + amount >= size ? flow_of_kind(FLOW_CONSTANT)
                                      : flow_operand_byte(step, &operands[0], index + amount);
    case X86_INS_PUNPCKLBW:
        unit = 1;
        break;
    case X86_INS_PUNPCKLWD:
        unit = 2;
        break;
    case X86_INS_PUNPCKLDQ:
        unit = 4;
        break;
    default:
        unit = 8;
        break;
    }
    return flow_operand_byte(
        step, &operands[index / unit % 2], index / (2 * unit) * unit + index % unit);
}

/* FXSAVE's area: MM0 to MM7 at 32, XMM0 to XMM15 at 160, each in 16 bytes. */
static struct flow_source find_saved(const struct flow_step *step, const struct flow_place *place)
{
    enum { MM = 32, XMM = 160, END = 416 };
    uint64_t index = 0;
    if (place->in_memory) {
        if (!flow_stored_index(step, place->gpa, &index))
            return flow_of_kind(FLOW_KEPT);
        if (index >= XMM && index < END)
            return flow_register_byte(
                FLOW_XMM + (unsigned)(index - XMM) / 16, (unsigned)(index - XMM) % 16);
        return flow_of_kind(FLOW_COMPUTED);
    }
    if (step->insn->id == X86_INS_FXSAVE || step->insn->id == X86_INS_FXSAVE64)
        return flow_of_kind(FLOW_KEPT);
    if (place->reg >= FLOW_XMM)
        return flow_loaded_byte(step, XMM + 16u * (place->reg - FLOW_XMM) + place->offset);
    if (place->reg >= FLOW_MM && place->reg < FLOW_FLAGS)
        return flow_loaded_byte(step, MM + 16u * (place->reg - FLOW_MM) + place->offset);
    return flow_of_kind(FLOW_KEPT);
}

/* ---- Stack and strings ---------------------------------------------------------------------- */

static struct flow_source find_pushed(const struct flow_step *step, const struct flow_place *place)
{
    const cs_x86 *x86 = flow_x86(step->insn);
    uint64_t index = 0;
    if (!place->in_memory)
        return flow_find_computed(step, place);
    if (!flow_stored_index(step, place->gpa, &index))
        return flow_of_kind(FLOW_KEPT);
    switch (step->insn->id) {
    case X86_INS_PUSHF:
    case X86_INS_PUSHFD:
    case X86_INS_PUSHFQ:
        return flow_register_byte(FLOW_FLAGS, (unsigned)index);
    case X86_INS_CALL:
    case X86_INS_LCALL:
        return flow_of_kind(FLOW_CONSTANT);
    default:
        return x86->op_count == 1 ? flow_copied(step, &x86->operands[0], index,
                                        flow_operand_size(&x86->operands[0]))
                                  : flow_of_kind(FLOW_COMPUTED);
    }
}

static struct flow_source find_popped(const struct flow_step *step, const struct flow_place *place)
{
    const cs_x86_op *operand = &flow_x86(step->insn)->operands[0];
    uint64_t index = 0;
    switch (step->insn->id) {
    case X86_INS_LEAVE:
        if (!place->in_memory && place->reg == RBP)
            return flow_loaded_byte(step, place->offset);
        return flow_find_computed(step, place);
    case X86_INS_POPF:
    case X86_INS_POPFD:
    case X86_INS_POPFQ:
        if (!place->in_memory && place->reg == FLOW_FLAGS)
            return flow_loaded_byte(step, place->offset);
        return flow_find_computed(step, place);
    case X86_INS_IRETQ:
        if (!place->in_memory && (place->reg == RSP || place->reg == FLOW_FLAGS))
            return flow_loaded_byte(step, (place->reg == RSP ? 24 : 16) + place->offset);
        return flow_of_kind(FLOW_KEPT);
    default:
        if (flow_written_index(step, operand, place, &index))
            return index < flow_operand_size(operand) ? flow_loaded_byte(step, index)
                                                      : flow_of_kind(FLOW_CONSTANT);
        return flow_find_computed(step, place);
    }
}

static struct flow_source find_loaded_string(
    const struct flow_step *step, const struct flow_place *place)
{
    const unsigned id = step->insn->id;
    unsigned size = id == X86_INS_LODSB ? 1 : id == X86_INS_LODSW ? 2 : id == X86_INS_LODSD ? 4 : 8;
    uint64_t total = 0;
    if (place->in_memory || place->reg != RAX)
        return flow_find_computed(step, place);
    for (unsigned i = 0; i < step->access_count; i++)
        total += flow_is_kind(&step->accesses[i], false) ? step->accesses[i].size : 0;
    if (place->offset < size)
        return flow_loaded_byte(step, (total > size ? total - size : 0) + place->offset);
    return flow_of_kind(size == 4 ? FLOW_CONSTANT : FLOW_KEPT);
}

/* MOVS, STOS, INS: every iteration of a repeated one stores after it loads. */
static struct flow_source find_string(const struct flow_step *step, const struct flow_place *place)
{
    uint64_t index = 0;
    if (!place->in_memory)
        return flow_find_computed(step, place);
    if (!flow_stored_index(step, place->gpa, &index))
        return flow_of_kind(FLOW_KEPT);
    switch (step->insn->id) {
    case X86_INS_STOSB:
        return flow_register_byte(RAX, 0);
    case X86_INS_STOSW:
        return flow_register_byte(RAX, (unsigned)(index % 2));
    case X86_INS_STOSD:
        return flow_register_byte(RAX, (unsigned)(index % 4));
    case X86_INS_STOSQ:
        return flow_register_byte(RAX, (unsigned)(index % 8));
    case X86_INS_INSB:
    case X86_INS_INSW:
    case X86_INS_INSD:
        return flow_of_kind(FLOW_PORT);
    default:
        return flow_loaded_byte(step, index);
    }
}

/* The lower half is the sign-extended one's own; the rest is made of its sign. */
static struct flow_source find_widened(const struct flow_step *step, const struct flow_place *place)
{
    unsigned id = step->insn->id;
    unsigned from = id == X86_INS_CBW ? 1 : id == X86_INS_CWDE ? 2 : 4;
    unsigned to = 2 * from;
    if (place->in_memory || place->reg != RAX || place->offset < from)
        return flow_of_kind(FLOW_KEPT);
    if (place->offset < to)
        return flow_of_kind(FLOW_COMPUTED);
    return flow_of_kind(to == 4 ? FLOW_CONSTANT : FLOW_KEPT);
}

static struct flow_source find_from_outside(
    const struct flow_step *step, const struct flow_place *place, enum flow_kind kind)
{
    struct flow_source found = flow_find_computed(step, place);
    if (found.kind == FLOW_COMPUTED)
        found.kind = kind;
    return found;
}

static struct flow_source find_port(const struct flow_step *step, const struct flow_place *place)
{
    return find_from_outside(step, place, FLOW_PORT);
}

static struct flow_source find_clock(const struct flow_step *step, const struct flow_place *place)
{
    return find_from_outside(step, place, FLOW_CLOCK);
}

/* Arithmetic that clears where both operands are the same register. */
static struct flow_source find_difference(
    const struct flow_step *step, const struct flow_place *place)
{
    return same_registers(flow_x86(step->insn)) ? find_cleared(step, place)
                                                : flow_find_computed(step, place);
}

static struct flow_source find_bitwise(const struct flow_step *step, const struct flow_place *place)
{
    const cs_x86 *x86 = flow_x86(step->insn);
    if (step->insn->id == X86_INS_XOR && same_registers(x86))
        return find_cleared(step, place);
    return x86->op_count == 2 && x86->operands[1].type == X86_OP_IMM
               ? find_by_constant(step, place)
               : flow_find_computed(step, place);
}

/* ---- Which rule ----------------------------------------------------------------------------- */

static const flow_rule rules[X86_INS_ENDING] = {
    [X86_INS_MOV] = find_move,
    [X86_INS_MOVABS] = find_move,
    [X86_INS_MOVNTI] = find_move,
    [X86_INS_MOVZX] = find_move,
    [X86_INS_MOVAPS] = find_move,
    [X86_INS_MOVAPD] = find_move,
    [X86_INS_MOVUPS] = find_move,
    [X86_INS_MOVUPD] = find_move,
    [X86_INS_MOVDQA] = find_move,
    [X86_INS_MOVDQU] = find_move,
    [X86_INS_LDDQU] = find_move,
    [X86_INS_MOVNTDQ] = find_move,
    [X86_INS_MOVNTDQA] = find_move,
    [X86_INS_MOVNTPS] = find_move,
    [X86_INS_MOVNTPD] = find_move,
    [X86_INS_MOVNTQ] = find_move,
    [X86_INS_MOVSX] = find_extended,
    [X86_INS_MOVSXD] = find_extended,
    [X86_INS_MOVSS] = find_scalar,
    [X86_INS_MOVSD] = find_scalar,
    [X86_INS_MOVD] = find_scalar,
    [X86_INS_MOVQ] = find_scalar,
    [X86_INS_MOVLPS] = find_low_half,
    [X86_INS_MOVLPD] = find_low_half,
    [X86_INS_MOVHPS] = find_high_half,
    [X86_INS_MOVHPD] = find_high_half,
    [X86_INS_MOVHLPS] = find_high_to_low,
    [X86_INS_MOVLHPS] = find_low_to_high,
    [X86_INS_PSHUFD] = find_shuffled,
    [X86_INS_PSLLDQ] = find_shuffled,
    [X86_INS_PSRLDQ] = find_shuffled,
    [X86_INS_PUNPCKLBW] = find_shuffled,
    [X86_INS_PUNPCKLWD] = find_shuffled,
    [X86_INS_PUNPCKLDQ] = find_shuffled,
    [X86_INS_PUNPCKLQDQ] = find_shuffled,
    [X86_INS_FXSAVE] = find_saved,
    [X86_INS_FXSAVE64] = find_saved,
    [X86_INS_FXRSTOR] = find_saved,
    [X86_INS_FXRSTOR64] = find_saved,
    [X86_INS_XCHG] = find_exchange,
    [X86_INS_XADD] = find_exchange,
    [X86_INS_CMPXCHG] = find_compared,
    [X86_INS_CMPXCHG8B] = find_compared_pair,
    [X86_INS_CMPXCHG16B] = find_compared_pair,
    [X86_INS_BSWAP] = find_swapped,
    [X86_INS_MOVBE] = find_swapped,
    [X86_INS_CMOVA] = find_conditional,
    [X86_INS_CMOVAE] = find_conditional,
    [X86_INS_CMOVB] = find_conditional,
    [X86_INS_CMOVBE] = find_conditional,
    [X86_INS_CMOVE] = find_conditional,
    [X86_INS_CMOVG] = find_conditional,
    [X86_INS_CMOVGE] = find_conditional,
    [X86_INS_CMOVL] = find_conditional,
    [X86_INS_CMOVLE] = find_conditional,
    [X86_INS_CMOVNE] = find_conditional,
    [X86_INS_CMOVNO] = find_conditional,
    [X86_INS_CMOVNP] = find_conditional,
    [X86_INS_CMOVNS] = find_conditional,
    [X86_INS_CMOVO] = find_conditional,
    [X86_INS_CMOVP] = find_conditional,
    [X86_INS_CMOVS] = find_conditional,
    [X86_INS_LEA] = find_address,
    [X86_INS_SUB] = find_difference,
    [X86_INS_PXOR] = find_difference,
    [X86_INS_XORPS] = find_difference,
    [X86_INS_XORPD] = find_difference,
    [X86_INS_XOR] = find_bitwise,
    [X86_INS_AND] = find_bitwise,
    [X86_INS_OR] = find_bitwise,
    [X86_INS_SHL] = find_bitwise,
    [X86_INS_SAL] = find_bitwise,
    [X86_INS_SHR] = find_bitwise,
    [X86_INS_ROL] = find_bitwise,
    [X86_INS_ROR] = find_bitwise,
    [X86_INS_PUSH] = find_pushed,
    [X86_INS_PUSHF] = find_pushed,
    [X86_INS_PUSHFD] = find_pushed,
    [X86_INS_PUSHFQ] = find_pushed,
    [X86_INS_CALL] = find_pushed,
    [X86_INS_LCALL] = find_pushed,
    [X86_INS_POP] = find_popped,
    [X86_INS_POPF] = find_popped,
    [X86_INS_POPFD] = find_popped,
    [X86_INS_POPFQ] = find_popped,
    [X86_INS_LEAVE] = find_popped,
    [X86_INS_IRETQ] = find_popped,
    [X86_INS_MOVSB] = find_string,
    [X86_INS_MOVSW] = find_string,
    [X86_INS_MOVSQ] = find_string,
    [X86_INS_STOSB] = find_string,
    [X86_INS_STOSW] = find_string,
    [X86_INS_STOSD] = find_string,
    [X86_INS_STOSQ] = find_string,
    [X86_INS_INSB] = find_string,
    [X86_INS_INSW] = find_string,
    [X86_INS_INSD] = find_string,
    [X86_INS_LODSB] = find_loaded_string,
    [X86_INS_LODSW] = find_loaded_string,
    [X86_INS_LODSD] = find_loaded_string,
    [X86_INS_LODSQ] = find_loaded_string,
    [X86_INS_CBW] = find_widened,
    [X86_INS_CWDE] = find_widened,
    [X86_INS_CDQE] = find_widened,
    [X86_INS_IN] = find_port,
    [X86_INS_RDTSC] = find_clock,
    [X86_INS_RDTSCP] = find_clock,
};

flow_rule flow_rule_of(const cs_insn *insn, const struct flow_place *place)
{
    flow_rule rule = insn->id < X86_INS_ENDING ? rules[insn->id] : NULL;
    /* Two instructions have this name: the string one has no 0F. */
    if (insn->id == X86_INS_MOVSD && flow_x86(insn)->opcode[0] == 0xa5)
        return find_string;
    /* Whoever sets flags computes them. */
    if (!place->in_memory && place->reg == FLOW_FLAGS && rule != find_popped)
        return flow_find_computed;
    return rule ? rule : flow_find_computed;
}
