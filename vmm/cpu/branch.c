/* Jumps, calls, returns and loops. */
#include "vmm/cpu/flags.h"
#include "vmm/cpu/integer.h"
#include "vmm/cpu/operand.h"
#include "vmm/cpu/vendor.h"

static uint64_t relative_target(const struct cpu *cpu, const struct insn *insn)
{
    return (cpu->s.rip + insn->length + insn->immediate) & size_mask(insn->operand_size);
}

void op_jcc(struct cpu *cpu, const struct insn *insn)
{
    if (condition_holds(cpu->flags, insn->opcode & 15))
        cpu_jump(cpu, relative_target(cpu, insn));
}

void op_jump(struct cpu *cpu, const struct insn *insn)
{
    cpu_jump(cpu, relative_target(cpu, insn));
}

void op_jump_rm(struct cpu *cpu, const struct insn *insn)
{
    cpu_jump(cpu, rm_read(cpu, insn, insn->operand_size));
}

/* The target is checked before the return address is stored, and nothing can fault after. */
static void call(struct cpu *cpu, const struct insn *insn, uint64_t target)
{
    unsigned size = insn->operand_size;
    uint64_t back = cpu->s.rip + insn->length, pointer = stack_pointer(cpu) - size;
    uint64_t linear = stack_linear(cpu, pointer, size, ACCESS_WRITE);
    if (cpu_is_intel(cpu)) {
        /* The return address stays there when the target faults. */
        memory_store(cpu, linear, size, back);
        cpu_jump(cpu, target);
        set_stack_pointer(cpu, pointer);
        return;
    }
    memory_probe_write(cpu, linear, size);
    cpu_jump(cpu, target);
    memory_store(cpu, linear, size, back);
    set_stack_pointer(cpu, pointer);
}

void op_call(struct cpu *cpu, const struct insn *insn)
{
    call(cpu, insn, relative_target(cpu, insn));
}

void op_call_rm(struct cpu *cpu, const struct insn *insn)
{
    call(cpu, insn, rm_read(cpu, insn, insn->operand_size));
}

void op_return(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    cpu_jump(cpu, stack_top(cpu, size));
    set_stack_pointer(cpu, stack_pointer(cpu) + size + insn->immediate);
}

void op_loop(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->address_size;
    uint64_t count = (cpu->s.gpr[RCX] - 1) & size_mask(size);
    bool zero = cpu->flags & FLAG_ZF << 8;
    bool while_zero = vendor_loop_while_zero(
        cpu_is_intel(cpu), insn->opcode == 0xe1, insn->flags & INSN_REP, insn->flags & INSN_REPNE);
    bool taken = count && (insn->opcode == 0xe2 || zero == while_zero);
    if (taken)
        cpu_jump(cpu, relative_target(cpu, insn));
    gpr_write(cpu, RCX, size, count);
}

void op_jcxz(struct cpu *cpu, const struct insn *insn)
{
    if (!(cpu->s.gpr[RCX] & size_mask(insn->address_size)))
        cpu_jump(cpu, relative_target(cpu, insn));
}

void op_bound(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    uint64_t offset = insn_offset(cpu, insn);
    uint64_t first = linear_address(cpu, insn->segment, offset, size, ACCESS_READ);
    uint64_t lower = memory_load(cpu, first, size);
    offset = (offset + size) & size_mask(insn->address_size);
    uint64_t second = linear_address(cpu, insn->segment, offset, size, ACCESS_READ);
    uint64_t upper = memory_load(cpu, second, size);
    int64_t index = (int64_t)sign_extend(cpu->s.gpr[insn->reg], size);
    if (index < (int64_t)sign_extend(lower, size) || index > (int64_t)sign_extend(upper, size))
        cpu_raise(cpu, VECTOR_BR);
}
