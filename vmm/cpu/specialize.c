/*
 * Chooses the dispatcher's form of each decoded instruction. What has none, and everything in modes
 * where addresses need checks beyond the TLB's, runs by its handler.
 */
#include <stddef.h>

#include "vmm/cpu/execute.h"
#include "vmm/cpu/integer.h"

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

static op_exec integer_form(struct op *op)
{
    const struct insn *insn = &op->insn;
    insn_handler handler = insn->handler;
    unsigned index = log2_size(insn->operand_size);
    bool memory = insn->flags & INSN_MEMORY;

    if (handler == op_alu_rm_reg)
        return binary(op, exec_alu[insn->opcode >> 3 & 7], false);
    if (handler == op_alu_reg_rm)
        return binary(op, exec_alu[insn->opcode >> 3 & 7], true);
    if (handler == op_alu_rm_imm)
        return with_immediate(op, exec_alu[insn->modrm >> 3 & 7], insn->rm);
    if (handler == op_alu_acc_imm)
        return with_immediate(op, exec_alu[insn->opcode >> 3 & 7], RAX);
    if (handler == op_test_rm_reg)
        return binary(op, exec_alu[EXEC_TEST], false);
    if (handler == op_test_rm_imm)
        return with_immediate(op, exec_alu[EXEC_TEST], insn->rm);
    if (handler == op_test_acc_imm)
        return with_immediate(op, exec_alu[EXEC_TEST], RAX);
    if (handler == op_mov_rm_reg)
        return binary(op, exec_mov, false);
    if (handler == op_mov_reg_rm)
        return binary(op, exec_mov, true);
    if (handler == op_mov_rm_imm || handler == op_mov_reg_imm)
        return with_immediate(op, exec_mov, insn->rm);
    if (handler == op_inc)
        return unary(op, EXEC_INC);
    if (handler == op_dec)
        return unary(op, EXEC_DEC);
    if (handler == op_not)
        return unary(op, EXEC_NOT);
    if (handler == op_neg)
        return unary(op, EXEC_NEG);
    if (handler == op_shift_imm)
        return shift(op, false);
    if (handler == op_shift_1) {
        op->immediate = 1;
        return shift(op, false);
    }
    if (handler == op_shift_cl)
        return shift(op, true);
    if (handler == op_movzx8)
        return extend(op, exec_movzx8, 1);
    if (handler == op_movzx16)
        return extend(op, exec_movzx16, 2);
    if (handler == op_movsx8)
        return extend(op, exec_movsx8, 1);
    if (handler == op_movsx16)
        return extend(op, exec_movsx16, 2);
    if (handler == op_nop)
        return exec_nop;

    op->reg = gpr_offset(insn->reg);
    op->rm = gpr_offset(insn->rm);
    if (handler == op_movsxd && insn->operand_size == 8)
        return exec_movsx32[memory];
    if (handler == op_imul_reg_rm)
        return exec_imul[memory ? 2 : 0][index];
    if (handler == op_imul_reg_imm && !memory)
        return exec_imul[1][index];
    if (handler == op_lea) {
        op->segment_base = offsetof(struct cpu, zero);
        return exec_lea[index];
    }
    if (handler == op_cmov && !memory && insn->operand_size >= 4)
        return exec_cmov[insn->opcode & 15][index - 2];
    if (handler == op_setcc && !memory) {
        op->rm = operand_offset(insn, insn->rm, 1);
        return exec_setcc[insn->opcode & 15];
    }
    return NULL;
}

/* Of the mode's natural width. */
static op_exec stack_form(struct op *op, bool wide)
{
    const struct insn *insn = &op->insn;
    insn_handler handler = insn->handler;

    if (insn->operand_size != (wide ? 8 : 4))
        return NULL;
    op->rm = gpr_offset(insn->rm);
    if (handler == op_push_reg || (handler == op_push_rm && !(insn->flags & INSN_MEMORY)))
        return wide ? exec_push_64 : exec_push_32;
    if (handler == op_push_rm)
        return wide ? exec_push_mem_64 : exec_push_mem_32;
    if (handler == op_push_imm)
        return wide ? exec_push_imm_64 : exec_push_imm_32;
    if (handler == op_pop_reg)
        return wide ? exec_pop_64 : exec_pop_32;
    if (handler == op_leave)
        return wide ? exec_leave_64 : exec_leave_32;
    return NULL;
}

static void link_none(struct op *op)
{
    op->link[0] = op->link[1] = &block_none;
}

static op_exec branch_form(struct op *op, unsigned mode, unsigned offset)
{
    const struct insn *insn = &op->insn;
    insn_handler handler = insn->handler;
    bool code64 = mode & BLOCK_CODE64, memory = insn->flags & INSN_MEMORY;

    op->delta[0] = (int64_t)offset + insn->length;
    op->delta[1] = op->delta[0] + (int64_t)insn->immediate;
    op->rm = gpr_offset(insn->rm);
    if (insn->operand_size != (code64 ? 8 : 4))
        return NULL;
    if (handler == op_jcc || handler == op_jump) {
        link_none(op);
        return handler == op_jump ? exec_jump : exec_jcc[insn->opcode & 15];
    }
    if (handler == op_call) {
        link_none(op);
        return code64 ? exec_call_64 : exec_call_32;
    }
    if (handler == op_return)
        return code64 ? exec_return_64 : exec_return_32;
    if (handler == op_call_rm && memory)
        return code64 ? exec_call_mem_64 : exec_call_mem_32;
    if (handler == op_call_rm)
        return code64 ? exec_call_reg_64 : exec_call_reg_32;
    if (handler == op_jump_rm && memory)
        return code64 ? exec_jump_mem_64 : exec_jump_mem_32;
    if (handler == op_jump_rm)
        return code64 ? exec_jump_reg_64 : exec_jump_reg_32;
    return NULL;
}

void op_prepare(const struct cpu *cpu, struct op *op, unsigned mode, unsigned offset)
{
    bool ends = op->insn.flags & INSN_ENDS_BLOCK;
    op_exec form = NULL;

    op->immediate = op->insn.immediate;
    /* Where stores wait in buffers, and where accesses are told, every instruction goes by its
     * handler. */
    bool special = !cpu->stores && !cpu->observer.access;
    if (mode & (BLOCK_CODE64 | BLOCK_FLAT) && !(mode & BLOCK_ALIGN) && special) {
        /* In flat 32-bit code, FS and GS need not be flat, and CS is not writable. */
        unsigned segment = op->insn.segment;
        bool plain = mode & BLOCK_CODE64 || !(op->insn.flags & INSN_MEMORY) ||
                     (segment != SEG_FS && segment != SEG_GS && segment != SEG_CS);
        prepare_address(op, mode, offset);
        if (plain && ends)
            form = branch_form(op, mode, offset);
        else if (plain)
            form = integer_form(op);
        if (plain && !form && !ends)
            form = stack_form(op, mode & BLOCK_CODE64);
        if (plain && !form && !ends)
            form = exec_sse_form(cpu, op);
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
