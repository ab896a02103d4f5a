/* PCMPESTRM, PCMPESTRI, PCMPISTRM, PCMPISTRI (0F 3A 60 to 63) */
#include "vmm/cpu/simd.h"

static void compare_strings(struct cpu *cpu, const struct insn *insn)
{
    uint8_t buffer[16] __attribute__((aligned(16)));
    sse_check(cpu);
    const struct simd_entry *entry = &cpu->simd->entry[simd_index(insn)];
    const void *source = cpu->s.fpu.xmm[insn->rm];
    if (insn->flags & INSN_MEMORY)
        source = simd_load(cpu, insn, 16, false, buffer);
    struct simd_string string = {.rax = cpu->s.gpr[RAX], .rdx = cpu->s.gpr[RDX]};
    uint64_t rflags =
        simd_at(simd_entry_code(entry, insn))(cpu->s.fpu.xmm[insn->reg], source, &string, NULL).rax;
    bool mask = !(insn->opcode & 1);
    if (mask)
        memcpy(cpu->s.fpu.xmm[0], string.xmm0, 16);
    else
        cpu->s.gpr[RCX] = (uint32_t)string.rcx;
    cpu_set_arithmetic(cpu, rflags);
}

insn_handler sse_string_handler(const struct insn *insn)
{
    (void)insn;
    return compare_strings;
}
