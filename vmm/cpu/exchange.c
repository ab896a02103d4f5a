/* XADD, CMPXCHG and its wide forms. */
#include "vmm/cpu/flags.h"
#include "vmm/cpu/integer.h"
#include "vmm/cpu/operand.h"

void op_xadd(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    struct rm_update update = rm_begin(cpu, insn, size);
    uint64_t old = update.value, right = reg_read(cpu, insn, insn->reg, size);
    uint32_t flags = cpu->flags;
    HOST_BINARY("add", size, update.value, right, flags);
    if (insn->flags & INSN_MEMORY) {
        rm_end(cpu, insn, size, &update);
        reg_write(cpu, insn, insn->reg, size, old);
    } else { /* with both operands the same register it gets the sum */
        reg_write(cpu, insn, insn->reg, size, old);
        rm_end(cpu, insn, size, &update);
    }
    cpu->flags = (uint16_t)flags;
}

#define HOST_CMPXCHG(suffix, modifier, target, right, accumulator, flags)               \
    __asm__("movzwl %w[f], %%eax\n\t" LOAD_FLAGS "movq %[acc], %%rax\n\tcmpxchg" suffix \
            " %" modifier "[b], %" modifier "[a]\n\tmovq %%rax, %[acc]" STORE_FLAGS     \
            "\n\tmovw %%ax, %w[f]"                                                      \
            : [a] "+&r"(target), [acc] "+&r"(accumulator), [f] "+&r"(flags)             \
            : [b] "r"(right)                                                            \
            : "rax", "cc")

/* The host's own instruction on registers says what happens to the upper halves. */
void op_cmpxchg(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    bool memory = insn->flags & INSN_MEMORY;
    struct rm_update update = rm_begin(cpu, insn, size);
    uint64_t accumulator = cpu->s.gpr[RAX], right = reg_read(cpu, insn, insn->reg, size);
    uint64_t target = update.value;
    uint32_t flags = cpu->flags;

    if (!memory && size != 1)
        target = cpu->s.gpr[insn->rm];
    switch (size) {
    case 1:
        HOST_CMPXCHG("b", "b", target, right, accumulator, flags);
        break;
    case 2:
        HOST_CMPXCHG("w", "w", target, right, accumulator, flags);
        break;
    case 4:
        HOST_CMPXCHG("l", "k", target, right, accumulator, flags);
        break;
    default:
        HOST_CMPXCHG("q", "q", target, right, accumulator, flags);
        break;
    }
    /* When the target is (part of) RAX itself, the two writes agree or the target's wins. */
    cpu->s.gpr[RAX] = accumulator;
    update.value = target;
    if (!memory && size != 1)
        cpu->s.gpr[insn->rm] = target;
    else
        rm_end(cpu, insn, size, &update);
    cpu->flags = (uint16_t)flags;
}

static void set_zero_flag(struct cpu *cpu, bool zero)
{
    cpu->flags = (uint16_t)((cpu->flags & ~(FLAG_ZF << 8)) | (zero ? FLAG_ZF << 8 : 0));
}

static void cmpxchg16b(struct cpu *cpu, const struct insn *insn)
{
    uint64_t offset = insn_offset(cpu, insn), old[2], *gpr = cpu->s.gpr;
    /* Before the canonical check, which would be #SS for some. */
    if ((offset + cpu->s.segment[insn->segment].base) & 15)
        cpu_raise_error(cpu, VECTOR_GP, 0);
    uint64_t linear = cpu_linear_checked(cpu, insn->segment, offset, 16, ACCESS_WRITE);
    memory_probe_write(cpu, linear, 16);
    cpu_load_bytes(cpu, linear, old, 16);
    bool equal = old[0] == gpr[RAX] && old[1] == gpr[RDX];
    uint64_t new[2] = {equal ? gpr[RBX] : old[0], equal ? gpr[RCX] : old[1]};
    cpu_store_bytes(cpu, linear, new, 16);
    if (!equal) {
        gpr[RAX] = old[0];
        gpr[RDX] = old[1];
    }
    set_zero_flag(cpu, equal);
}

void op_cmpxchg8b(struct cpu *cpu, const struct insn *insn)
{
    uint64_t *gpr = cpu->s.gpr;
    if (insn->operand_size == 8) {
        cmpxchg16b(cpu, insn);
        return;
    }
    uint64_t linear = insn_linear(cpu, insn, 8, ACCESS_WRITE);
    memory_probe_write(cpu, linear, 8);
    uint64_t old = memory_load(cpu, linear, 8);
    uint64_t expected = (uint32_t)gpr[RAX] | gpr[RDX] << 32;
    uint64_t replacement = (uint32_t)gpr[RBX] | gpr[RCX] << 32;
    bool equal = old == expected;
    memory_store(cpu, linear, 8, equal ? replacement : old);
    if (!equal) {
        gpr[RAX] = (uint32_t)old;
        gpr[RDX] = old >> 32;
    }
    set_zero_flag(cpu, equal);
}
