/*
 * Chooses the dispatcher's form of each decoded instruction, as its row says. What has none, and
 * everything in modes where addresses need checks beyond the TLB's, runs by its handler.
 */
#include <stddef.h>

#include "vmm/cpu/decode_table.h"
#include "vmm/cpu/execute.h"
#include "vmm/cpu/forms.h"

/* Operands are named by 16-bit offsets. */
_Static_assert(
    offsetof(struct cpu, zero) < UINT16_MAX && offsetof(struct cpu, block_rip) < UINT16_MAX,
    "what addresses are made of comes before the TLB");

static uint16_t gpr_offset(unsigned number)
{
    return (uint16_t)(offsetof(struct cpu, s.gpr) + 8 * number);
}

/* Where register `number` of `size` bytes lies; AH to BH are the second byte of their register. */
static uint16_t operand_offset(const struct insn *insn, unsigned number, unsigned size)
{
    if (size == 1 && is_high_byte(insn, number))
        return (uint16_t)(gpr_offset(number & 3) + 1);
    return gpr_offset(number);
}

static void prepare_address(struct op *op, unsigned mode, unsigned offset)
{
    const struct insn *insn = &op->insn;
    const uint16_t zero = offsetof(struct cpu, zero);

    op->displacement = insn->displacement;
    op->base = insn->base == NO_REGISTER ? zero : gpr_offset(insn->base);
    op->index = insn->index == NO_REGISTER ? zero : gpr_offset(insn->index);
    op->scale = insn->scale;
    op->offset_mask = size_mask(insn->address_size);
    op->segment_base = zero;
    if (insn->flags & INSN_RIP_RELATIVE) {
        op->base = offsetof(struct cpu, block_rip);
        op->displacement += offset + insn->length;
    }
    if (mode & BLOCK_CODE64 && (insn->segment == SEG_FS || insn->segment == SEG_GS))
        op->segment_base =
            (uint16_t)(offsetof(struct cpu, s.segment) + insn->segment * sizeof(struct segment) +
                       offsetof(struct segment, base));
}

static unsigned log2_size(unsigned size)
{
    return (unsigned)__builtin_ctz(size);
}

/* reg and rm of the form, with `memory` or not: ModRM.reg is the destination or the source. */
static op_exec binary(struct op *op, const op_exec (*forms)[4], bool reg_is_destination)
{
    const struct insn *insn = &op->insn;
    unsigned size = insn->operand_size, index = log2_size(size);

    op->reg = operand_offset(insn, insn->reg, size);
    if (insn->flags & INSN_MEMORY)
        return forms[reg_is_destination ? EXEC_RM : EXEC_MR][index];
    op->rm = operand_offset(insn, insn->rm, size);
    if (!reg_is_destination) {
        uint16_t source = op->reg;
        op->reg = op->rm;
        op->rm = source;
    }
    return forms[EXEC_RR][index];
}

static op_exec with_immediate(struct op *op, const op_exec (*forms)[4], unsigned number)
{
    const struct insn *insn = &op->insn;
    unsigned index = log2_size(insn->operand_size);

    if (insn->flags & INSN_MEMORY)
        return forms[EXEC_MI][index];
    op->reg = operand_offset(insn, number, insn->operand_size);
    return forms[EXEC_RI][index];
}

static op_exec unary(struct op *op, enum exec_unary operation)
{
    const struct insn *insn = &op->insn;
    unsigned index = log2_size(insn->operand_size);

    if (insn->flags & INSN_MEMORY)
        return exec_unary_mem[operation][index];
    op->rm = operand_offset(insn, insn->rm, insn->operand_size);
    return exec_unary_reg[operation][index];
}

static op_exec shift(struct op *op, bool by_cl)
{
    const struct insn *insn = &op->insn;
    unsigned index = log2_size(insn->operand_size), operation = insn->modrm >> 3 & 7;

    if (insn->flags & INSN_MEMORY)
        return NULL;
    op->rm = operand_offset(insn, insn->rm, insn->operand_size);
    return by_cl ? exec_shift_cl[operation][index] : exec_shift_imm[operation][index];
}

static op_exec extend(struct op *op, const op_exec (*forms)[4], unsigned source)
{
    const struct insn *insn = &op->insn;
    bool memory = insn->flags & INSN_MEMORY;

    op->reg = gpr_offset(insn->reg);
    if (!memory)
        op->rm = operand_offset(insn, insn->rm, source);
    return forms[memory][log2_size(insn->operand_size)];
}

static unsigned size_index(const struct insn *insn)
{
    return log2_size(insn->operand_size);
}

static bool by_memory(const struct insn *insn)
{
    return insn->flags & INSN_MEMORY;
}

static op_exec with_registers(struct op *op, op_exec form)
{
    op->reg = gpr_offset(op->insn.reg);
    op->rm = gpr_offset(op->insn.rm);
    return form;
}

static op_exec lea(struct op *op)
{
    op->segment_base = offsetof(struct cpu, zero);
    return with_registers(op, exec_lea[size_index(&op->insn)]);
}

static op_exec setcc(struct op *op)
{
    op->rm = operand_offset(&op->insn, op->insn.rm, 1);
    return by_memory(&op->insn) ? NULL : exec_setcc[op->insn.opcode & 15];
}

/* The form of the mode's natural width, of stack accesses and branches. */
static op_exec natural(struct op *op, bool code64, op_exec narrow, op_exec wide)
{
    if (op->insn.operand_size != (code64 ? 8 : 4))
        return NULL;
    op->rm = gpr_offset(op->insn.rm);
    return code64 ? wide : narrow;
}

static void link_none(struct op *op)
{
    op->link[0] = op->link[1] = &block_none;
}

static op_exec linked(struct op *op, bool code64, op_exec narrow, op_exec wide)
{
    op_exec form = natural(op, code64, narrow, wide);
    if (form)
        link_none(op);
    return form;
}

/* ---- What the rows of decode_table.c name ---------------------------------------------------- */

#define FAST(name, form)                                                   \
    op_exec fast_##name(const struct cpu *cpu, struct op *op, bool code64) \
    {                                                                      \
        const struct insn *insn = &op->insn;                               \
        (void)cpu, (void)insn, (void)code64;                               \
        return form;                                                       \
    }
#define WIDTHS(name) exec_##name##_32, exec_##name##_64

FAST(alu_rm_reg, binary(op, exec_alu[insn->opcode >> 3 & 7], false))
FAST(alu_reg_rm, binary(op, exec_alu[insn->opcode >> 3 & 7], true))
FAST(alu_rm_imm, with_immediate(op, exec_alu[insn->modrm >> 3 & 7], insn->rm))
FAST(alu_acc_imm, with_immediate(op, exec_alu[insn->opcode >> 3 & 7], RAX))
FAST(test_rm_reg, binary(op, exec_alu[EXEC_TEST], false))
FAST(test_rm_imm, with_immediate(op, exec_alu[EXEC_TEST], insn->rm))
FAST(test_acc_imm, with_immediate(op, exec_alu[EXEC_TEST], RAX))
FAST(inc, unary(op, EXEC_INC))
FAST(dec, unary(op, EXEC_DEC))
FAST(complement, unary(op, EXEC_NOT))
FAST(neg, unary(op, EXEC_NEG))
FAST(shift_imm, shift(op, false))
FAST(shift_1, shift(op, false))
FAST(shift_cl, shift(op, true))
FAST(imul_reg_rm, with_registers(op, exec_imul[by_memory(insn) ? 2 : 0][size_index(insn)]))
FAST(imul_reg_imm, by_memory(insn) ? NULL : with_registers(op, exec_imul[1][size_index(insn)]))

FAST(mov_rm_reg, binary(op, exec_mov, false))
FAST(mov_reg_rm, binary(op, exec_mov, true))
FAST(mov_rm_imm, with_immediate(op, exec_mov, insn->rm))
FAST(mov_reg_imm, with_immediate(op, exec_mov, insn->rm))
FAST(movzx8, extend(op, exec_movzx8, 1))
FAST(movzx16, extend(op, exec_movzx16, 2))
FAST(movsx8, extend(op, exec_movsx8, 1))
FAST(movsx16, extend(op, exec_movsx16, 2))
FAST(movsxd, insn->operand_size == 8 ? with_registers(op, exec_movsx32[by_memory(insn)]) : NULL)
FAST(lea, lea(op))
FAST(cmov, by_memory(insn) || insn->operand_size < 4
               ? NULL
               : with_registers(op, exec_cmov[insn->opcode & 15][size_index(insn) - 2]))
FAST(setcc, setcc(op))
FAST(nop, exec_nop)

FAST(push_reg, natural(op, code64, WIDTHS(push)))
FAST(push_rm,
    by_memory(insn) ? natural(op, code64, WIDTHS(push_mem)) : natural(op, code64, WIDTHS(push)))
FAST(push_imm, natural(op, code64, WIDTHS(push_imm)))
FAST(pop_reg, natural(op, code64, WIDTHS(pop)))
FAST(leave, natural(op, code64, WIDTHS(leave)))

FAST(jcc, linked(op, code64, exec_jcc[insn->opcode & 15], exec_jcc[insn->opcode & 15]))
FAST(jump, linked(op, code64, exec_jump, exec_jump))
FAST(call, linked(op, code64, WIDTHS(call)))
FAST(return_near, natural(op, code64, exec_return_32, exec_return_64))
FAST(call_rm,
    by_memory(insn) ? natural(op, code64, WIDTHS(call_mem)) : natural(op, code64, WIDTHS(call_reg)))
FAST(jump_rm,
    by_memory(insn) ? natural(op, code64, WIDTHS(jump_mem)) : natural(op, code64, WIDTHS(jump_reg)))

/* ---- Preparation ------------------------------------------------------------------------------
 */

void op_prepare(const struct cpu *cpu, struct op *op, unsigned mode, unsigned offset)
{
    bool ends = op->insn.flags & INSN_ENDS_BLOCK;
    op_exec form = NULL;

    op->immediate = op->insn.immediate;
    /* Where stores wait in buffers, and where accesses are told, every instruction goes by its
     * handler. */
    bool special = !cpu->stores && !cpu->observing_all;
    if (mode & (BLOCK_CODE64 | BLOCK_FLAT) && !(mode & BLOCK_ALIGN) && special) {
        /* In flat 32-bit code, FS and GS need not be flat, and CS is not writable. */
        unsigned segment = op->insn.segment;
        bool plain = mode & BLOCK_CODE64 || !(op->insn.flags & INSN_MEMORY) ||
                     (segment != SEG_FS && segment != SEG_GS && segment != SEG_CS);
        prepare_address(op, mode, offset);
        if (ends) {
            op->delta[0] = (int64_t)offset + op->insn.length;
            op->delta[1] = op->delta[0] + (int64_t)op->insn.immediate;
        }
        if (plain && op->insn.row->fast)
            form = op->insn.row->fast(cpu, op, mode & BLOCK_CODE64);
    }
    if (!form)
        form = ends ? exec_generic_end : exec_generic;
    op->exec = form;
}

void op_prepare_end(struct op *op, unsigned mode, unsigned offset)
{
    /* Elsewhere CS has a base and a limit, by which the dispatcher finds the next block. */
    bool flat = mode & (BLOCK_CODE64 | BLOCK_FLAT);
    *op = (struct op){.exec = flat ? exec_end : exec_leave, .offset = (uint16_t)offset};
    link_none(op);
    op->delta[0] = (int64_t)offset;
}
