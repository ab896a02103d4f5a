#include "vmm/cpu/flags.h"

uint64_t cpu_get_rflags(const struct cpu *cpu)
{
    return (cpu->s.rflags & ~FLAGS_ARITHMETIC) | cpu_get_arithmetic(cpu) | FLAG_ONE;
}

void cpu_set_rflags(struct cpu *cpu, uint64_t rflags)
{
    cpu->s.rflags = (rflags & ~FLAGS_ARITHMETIC) | FLAG_ONE;
    cpu_set_arithmetic(cpu, rflags);
}
