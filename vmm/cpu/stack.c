/* PUSH and POP, ENTER and LEAVE. */
#include "vmm/cpu/integer.h"
#include "vmm/cpu/operand.h"

void op_push_reg(struct cpu *cpu, const struct insn *insn)
{
    stack_push(cpu, insn->operand_size, cpu->s.gpr[insn->rm]);
}

void op_push_imm(struct cpu *cpu, const struct insn *insn)
{
    stack_push(cpu, insn->operand_size, insn->immediate);
}

void op_push_rm(struct cpu *cpu, const struct insn *insn)
{
    stack_push(cpu, insn->operand_size, rm_read(cpu, insn, insn->operand_size));
}

void op_pop_reg(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    uint64_t value = stack_top(cpu, size);
    set_stack_pointer(cpu, stack_pointer(cpu) + size);
    gpr_write(cpu, insn->rm, size, value);
}

/* An address based on RSP uses the value after the pop. */
void op_pop_rm(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    uint64_t value = stack_top(cpu, size);
    if (insn->flags & INSN_MEMORY) {
        uint64_t offset = insn_offset_raw(cpu, insn) + (insn->base == RSP ? size : 0);
        uint64_t linear = linear_address(
            cpu, insn->segment, offset & size_mask(insn->address_size), size, ACCESS_WRITE);
        memory_store(cpu, linear, size, value);
        set_stack_pointer(cpu, stack_pointer(cpu) + size);
    } else {
        set_stack_pointer(cpu, stack_pointer(cpu) + size);
        gpr_write(cpu, insn->rm, size, value);
    }
}

void op_pusha(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    uint64_t pointer = stack_pointer(cpu), linear[8];
    for (unsigned i = 0; i < 8; i++) {
        linear[i] = stack_linear(cpu, pointer - (i + 1) * size, size, ACCESS_WRITE);
        memory_probe_write(cpu, linear[i], size);
    }
    for (unsigned i = 0; i < 8; i++)
        memory_store(cpu, linear[i], size, cpu->s.gpr[i]);
    set_stack_pointer(cpu, pointer - 8 * size);
}

void op_popa(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    uint64_t pointer = stack_pointer(cpu), value[8];
    for (unsigned i = 0; i < 8; i++)
        value[i] = memory_load(cpu, stack_linear(cpu, pointer + i * size, size, ACCESS_READ), size);
    for (unsigned i = 0; i < 8; i++) {
        if (7 - i != RSP)
            gpr_write(cpu, 7 - i, size, value[i]);
    }
    set_stack_pointer(cpu, pointer + 8 * size);
}

void op_enter(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size, level = insn->immediate2 & 31;
    uint64_t pointer = stack_pointer(cpu) - size, mask = size_mask(cpu->stack_size);
    /* All of ESP as the push leaves it, also where the stack has 16 bits. */
    uint64_t frame = (cpu->s.gpr[RSP] & ~mask) | (pointer & mask);
    uint64_t outer = cpu->s.gpr[RBP];

    memory_store(cpu, stack_linear(cpu, pointer, size, ACCESS_WRITE), size, outer);
    for (unsigned i = 1; i < level; i++) {
        outer -= size;
        pointer -= size;
        uint64_t value = memory_load(cpu, stack_linear(cpu, outer, size, ACCESS_READ), size);
        memory_store(cpu, stack_linear(cpu, pointer, size, ACCESS_WRITE), size, value);
    }
    if (level) {
        pointer -= size;
        memory_store(cpu, stack_linear(cpu, pointer, size, ACCESS_WRITE), size, frame);
    }
    pointer -= insn->immediate;
    /* The new top must be writable (Intel SDM, ENTER). */
    memory_probe_write(cpu, stack_linear(cpu, pointer, size, ACCESS_WRITE), size);
    set_stack_pointer(cpu, pointer);
    gpr_write(cpu, RBP, size, frame);
}

void op_leave(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    uint64_t frame = cpu->s.gpr[RBP];
    uint64_t value = memory_load(cpu, stack_linear(cpu, frame, size, ACCESS_READ), size);
    set_stack_pointer(cpu, frame + size);
    gpr_write(cpu, RBP, size, value);
}
