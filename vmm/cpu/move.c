/* Moves, extensions and exchanges, LEA, CMOV and SETcc, and what does nothing. */
#include "vmm/cpu/flags.h"
#include "vmm/cpu/integer.h"
#include "vmm/cpu/operand.h"

void op_mov_rm_reg(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    rm_write(cpu, insn, size, reg_read(cpu, insn, insn->reg, size));
}

void op_mov_reg_rm(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    reg_write(cpu, insn, insn->reg, size, rm_read(cpu, insn, size));
}

void op_mov_rm_imm(struct cpu *cpu, const struct insn *insn)
{
    rm_write(cpu, insn, insn->operand_size, insn->immediate);
}

void op_mov_reg_imm(struct cpu *cpu, const struct insn *insn)
{
    reg_write(cpu, insn, insn->rm, insn->operand_size, insn->immediate);
}

void op_mov_acc_moffs(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    gpr_write(cpu, RAX, size, rm_read(cpu, insn, size));
}

void op_mov_moffs_acc(struct cpu *cpu, const struct insn *insn)
{
    rm_write(cpu, insn, insn->operand_size, cpu->s.gpr[RAX]);
}

/* 66 has no effect on MOVNTI. */
void op_movnti(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size == 8 ? 8 : 4;
    rm_write(cpu, insn, size, cpu->s.gpr[insn->reg]);
}

void op_movzx8(struct cpu *cpu, const struct insn *insn)
{
    gpr_write(cpu, insn->reg, insn->operand_size, rm_read(cpu, insn, 1));
}

void op_movzx16(struct cpu *cpu, const struct insn *insn)
{
    gpr_write(cpu, insn->reg, insn->operand_size, rm_read(cpu, insn, 2));
}

void op_movsx8(struct cpu *cpu, const struct insn *insn)
{
    gpr_write(cpu, insn->reg, insn->operand_size, sign_extend(rm_read(cpu, insn, 1), 1));
}

void op_movsx16(struct cpu *cpu, const struct insn *insn)
{
    gpr_write(cpu, insn->reg, insn->operand_size, sign_extend(rm_read(cpu, insn, 2), 2));
}

void op_movsxd(struct cpu *cpu, const struct insn *insn)
{
    /* With a 16-bit destination, too, AMD's processors read 32 bits of memory. */
    gpr_write(cpu, insn->reg, insn->operand_size, sign_extend(rm_read(cpu, insn, 4), 4));
}

void op_movsxd16(struct cpu *cpu, const struct insn *insn)
{
    gpr_write(cpu, insn->reg, 2, rm_read(cpu, insn, 2));
}

void op_lea(struct cpu *cpu, const struct insn *insn)
{
    gpr_write(cpu, insn->reg, insn->operand_size, insn_offset(cpu, insn));
}

void op_xchg_rm_reg(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    struct rm_update update = rm_begin(cpu, insn, size);
    uint64_t old = update.value;
    update.value = reg_read(cpu, insn, insn->reg, size);
    rm_end(cpu, insn, size, &update);
    reg_write(cpu, insn, insn->reg, size, old);
}

void op_xchg_acc(struct cpu *cpu, const struct insn *insn)
{
    uint64_t old = cpu->s.gpr[RAX];
    gpr_write(cpu, RAX, insn->operand_size, cpu->s.gpr[insn->rm]);
    gpr_write(cpu, insn->rm, insn->operand_size, old);
}

/* A memory source is read, and a 32-bit destination zero-extended, whatever the condition. */
void op_cmov(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    uint64_t value = rm_read(cpu, insn, size);
    if (!condition_holds(cpu->flags, insn->opcode & 15))
        value = cpu->s.gpr[insn->reg];
    gpr_write(cpu, insn->reg, size, value);
}

void op_setcc(struct cpu *cpu, const struct insn *insn)
{
    rm_write(cpu, insn, 1, condition_holds(cpu->flags, insn->opcode & 15));
}

void op_convert_acc(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    gpr_write(cpu, RAX, size, sign_extend(cpu->s.gpr[RAX], size / 2));
}

void op_convert_dx(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    uint64_t sign = cpu->s.gpr[RAX] >> (8 * size - 1) & 1;
    gpr_write(cpu, RDX, size, -sign);
}

void op_xlat(struct cpu *cpu, const struct insn *insn)
{
    uint64_t offset = cpu->s.gpr[RBX] + (cpu->s.gpr[RAX] & 0xff);
    offset &= size_mask(insn->address_size);
    uint64_t linear = linear_address(cpu, insn->segment, offset, 1, ACCESS_READ);
    gpr_write(cpu, RAX, 1, memory_load(cpu, linear, 1));
}

/* A loop that waits for another processor (APM volume 3, PAUSE): it may be that one's turn. */
void op_pause(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    bool is_loop = cpu->pause_rip == cpu->s.rip;
    cpu->pause_rip = cpu->s.rip;
    if (!cpu->stop_at_wait || !is_loop)
        return;
    cpu->paused = true;
    cpu->stop_requested = true;
}

void op_nop(struct cpu *cpu, const struct insn *insn)
{
    (void)cpu;
    (void)insn;
}

/* Faults as a load of a byte would. */
void op_clflush(struct cpu *cpu, const struct insn *insn)
{
    rm_read(cpu, insn, 1);
}
