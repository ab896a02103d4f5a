/* Addition to comparison, INC, DEC, NOT, NEG, and the flags that have instructions of their own. */
#include <stdlib.h>

#include "vmm/cpu/flags.h"
#include "vmm/cpu/integer.h"
#include "vmm/cpu/operand.h"

enum { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };

static uint64_t alu(
    struct cpu *cpu, unsigned operation, unsigned size, uint64_t left, uint64_t right)
{
    uint32_t flags = cpu->flags;
    switch (operation) {
    case ALU_ADD:
        HOST_BINARY("add", size, left, right, flags);
        break;
    case ALU_OR:
        HOST_BINARY("or", size, left, right, flags);
        break;
    case ALU_ADC:
        HOST_BINARY("adc", size, left, right, flags);
        break;
    case ALU_SBB:
        HOST_BINARY("sbb", size, left, right, flags);
        break;
    case ALU_AND:
        HOST_BINARY("and", size, left, right, flags);
        break;
    case ALU_XOR:
        HOST_BINARY("xor", size, left, right, flags);
        break;
    default:
        HOST_BINARY("sub", size, left, right, flags);
        break;
    }
    cpu->flags = (uint16_t)flags;
    return left;
}

bool alu_logic_clears_adjust(void)
{
    static const unsigned operations[] = {ALU_AND, ALU_OR, ALU_XOR};
    static const uint64_t values[] = {0, 8, 15, 16, 0x80, 0xffff, 0x89abcdef, UINT64_MAX};
    enum { OPERATIONS = 3, VALUES = 8 };
    struct cpu *cpu = calloc(1, sizeof *cpu);
    bool clears = cpu;
    for (unsigned i = 0; clears && i < OPERATIONS * VALUES * VALUES * 4; i++) {
        cpu->flags = i & 1 ? flags_from_rflags(FLAGS_ARITHMETIC) : flags_from_rflags(FLAG_AF);
        alu(cpu, operations[i % OPERATIONS], 1u << i / OPERATIONS % 4,
            values[i / (4 * OPERATIONS) % VALUES], values[i / (4 * OPERATIONS * VALUES)]);
        clears = !(cpu_get_arithmetic(cpu) & FLAG_AF);
    }
    free(cpu);
    return clears;
}

static void alu_to_rm(struct cpu *cpu, const struct insn *insn, unsigned operation, uint64_t right)
{
    unsigned size = insn->operand_size;
    if (operation == ALU_CMP) {
        alu(cpu, ALU_CMP, size, rm_read(cpu, insn, size), right);
        return;
    }
    struct rm_update update = rm_begin(cpu, insn, size);
    update.value = alu(cpu, operation, size, update.value, right);
    rm_end(cpu, insn, size, &update);
}

void op_alu_rm_reg(struct cpu *cpu, const struct insn *insn)
{
    alu_to_rm(cpu, insn, insn->opcode >> 3 & 7, reg_read(cpu, insn, insn->reg, insn->operand_size));
}

void op_alu_rm_imm(struct cpu *cpu, const struct insn *insn)
{
    alu_to_rm(cpu, insn, insn->modrm >> 3 & 7, insn->immediate);
}

void op_alu_reg_rm(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size, operation = insn->opcode >> 3 & 7;
    uint64_t right = rm_read(cpu, insn, size);
    uint64_t result = alu(cpu, operation, size, reg_read(cpu, insn, insn->reg, size), right);
    if (operation != ALU_CMP)
        reg_write(cpu, insn, insn->reg, size, result);
}

void op_alu_acc_imm(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size, operation = insn->opcode >> 3 & 7;
    uint64_t result = alu(cpu, operation, size, cpu->s.gpr[RAX] & size_mask(size), insn->immediate);
    if (operation != ALU_CMP)
        gpr_write(cpu, RAX, size, result);
}

void op_test_rm_reg(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    alu(cpu, ALU_AND, size, rm_read(cpu, insn, size), reg_read(cpu, insn, insn->reg, size));
}

void op_test_rm_imm(struct cpu *cpu, const struct insn *insn)
{
    alu(cpu, ALU_AND, insn->operand_size, rm_read(cpu, insn, insn->operand_size), insn->immediate);
}

void op_test_acc_imm(struct cpu *cpu, const struct insn *insn)
{
    alu(cpu, ALU_AND, insn->operand_size, cpu->s.gpr[RAX], insn->immediate);
}

void op_inc(struct cpu *cpu, const struct insn *insn)
{
    struct rm_update update = rm_begin(cpu, insn, insn->operand_size);
    uint32_t flags = cpu->flags;
    HOST_UNARY("inc", insn->operand_size, update.value, flags);
    rm_end(cpu, insn, insn->operand_size, &update);
    cpu->flags = (uint16_t)flags;
}

void op_dec(struct cpu *cpu, const struct insn *insn)
{
    struct rm_update update = rm_begin(cpu, insn, insn->operand_size);
    uint32_t flags = cpu->flags;
    HOST_UNARY("dec", insn->operand_size, update.value, flags);
    rm_end(cpu, insn, insn->operand_size, &update);
    cpu->flags = (uint16_t)flags;
}

void op_not(struct cpu *cpu, const struct insn *insn)
{
    struct rm_update update = rm_begin(cpu, insn, insn->operand_size);
    update.value = ~update.value;
    rm_end(cpu, insn, insn->operand_size, &update);
}

void op_neg(struct cpu *cpu, const struct insn *insn)
{
    struct rm_update update = rm_begin(cpu, insn, insn->operand_size);
    uint32_t flags = cpu->flags;
    HOST_UNARY("neg", insn->operand_size, update.value, flags);
    rm_end(cpu, insn, insn->operand_size, &update);
    cpu->flags = (uint16_t)flags;
}

void op_cmc(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    cpu->flags ^= FLAG_CF << 8;
}

void op_clc(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    cpu->flags = (uint16_t)(cpu->flags & ~(FLAG_CF << 8));
}

void op_stc(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    cpu->flags |= FLAG_CF << 8;
}

void op_cld(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    cpu->s.rflags &= ~FLAG_DF;
}

void op_std(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    cpu->s.rflags |= FLAG_DF;
}

void op_sahf(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    uint64_t rflags = cpu_get_arithmetic(cpu);
    cpu_set_arithmetic(cpu, (rflags & FLAG_OF) | (cpu->s.gpr[RAX] >> 8 & 0xd5));
}

void op_lahf(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    uint64_t low = (cpu_get_arithmetic(cpu) & 0xd5) | FLAG_ONE;
    cpu->s.gpr[RAX] = (cpu->s.gpr[RAX] & ~0xff00ull) | low << 8;
}
