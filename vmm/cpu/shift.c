/* Shifts and rotations. */
#include "vmm/cpu/integer.h"
#include "vmm/cpu/operand.h"
#include "vmm/cpu/vendor.h"

static void shift(struct cpu *cpu, const struct insn *insn, uint8_t count, bool is_immediate)
{
    unsigned size = insn->operand_size;
    struct rm_update update = rm_begin(cpu, insn, size);
    bool keeps_overflow = is_immediate && !(insn->flags & INSN_MEMORY);
    struct shifted result = vendor_shift_rotate(cpu_is_intel(cpu), insn->modrm >> 3 & 7, 8 * size,
        update.value, count, keeps_overflow, cpu->flags);
    update.value = result.value;
    rm_end(cpu, insn, size, &update);
    cpu->flags = result.flags;
}

void op_shift_imm(struct cpu *cpu, const struct insn *insn)
{
    shift(cpu, insn, (uint8_t)insn->immediate, true);
}

void op_shift_1(struct cpu *cpu, const struct insn *insn)
{
    shift(cpu, insn, 1, false);
}

void op_shift_cl(struct cpu *cpu, const struct insn *insn)
{
    shift(cpu, insn, (uint8_t)cpu->s.gpr[RCX], false);
}

static void double_shift(struct cpu *cpu, const struct insn *insn, bool left, uint8_t count)
{
    unsigned size = insn->operand_size;
    struct rm_update update = rm_begin(cpu, insn, size);
    uint64_t right = reg_read(cpu, insn, insn->reg, size);
    struct shifted result = vendor_double_shift(
        cpu_is_intel(cpu), left, 8 * size, update.value, right, count, cpu->flags);
    update.value = result.value;
    rm_end(cpu, insn, size, &update);
    cpu->flags = result.flags;
}

void op_shld_imm(struct cpu *cpu, const struct insn *insn)
{
    double_shift(cpu, insn, true, (uint8_t)insn->immediate);
}

void op_shld_cl(struct cpu *cpu, const struct insn *insn)
{
    double_shift(cpu, insn, true, (uint8_t)cpu->s.gpr[RCX]);
}

void op_shrd_imm(struct cpu *cpu, const struct insn *insn)
{
    double_shift(cpu, insn, false, (uint8_t)insn->immediate);
}

void op_shrd_cl(struct cpu *cpu, const struct insn *insn)
{
    double_shift(cpu, insn, false, (uint8_t)cpu->s.gpr[RCX]);
}
