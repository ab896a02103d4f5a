#include "vmm/cpu/system.h"
#include "vmm/cpuid.h"

/* ---- Derived state --------------------------------------------------------------------------- */

void cpu_mode_changed(struct cpu *cpu)
{
    const struct segment *segment = cpu->s.segment;
    cpu->code64 = vcpu_in_64bit_mode(&cpu->s);
    if (cpu->code64) {
        cpu->code_size = 4;
        cpu->stack_size = 8;
    } else {
        cpu->code_size = segment[SEG_CS].attributes & SEG_DB ? 4 : 2;
        cpu->stack_size = segment[SEG_SS].attributes & SEG_DB ? 4 : 2;
    }
    cpu->cpl = (uint8_t)vcpu_cpl(&cpu->s);
    if (!cpu->tlb)
        tlb_init(cpu);
    cpu->tlb = cpu->tlb_banks[cpu->cpl == 3];
}

uint64_t cpu_get_rflags(const struct cpu *cpu)
{
    return (cpu->s.rflags & ~FLAGS_ARITHMETIC) | cpu_get_arithmetic(cpu) | FLAG_ONE;
}

void cpu_set_rflags(struct cpu *cpu, uint64_t rflags)
{
    cpu->s.rflags = (rflags & ~FLAGS_ARITHMETIC) | FLAG_ONE;
    cpu_set_arithmetic(cpu, rflags);
}

static bool canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

void cpu_jump(struct cpu *cpu, uint64_t rip)
{
    if (cpu->code64 ? !canonical(rip) : rip > cpu->s.segment[SEG_CS].limit)
        cpu_raise_error(cpu, VECTOR_GP, 0);
    cpu->s.rip = rip;
    cpu->jumped = true;
}
