/* Virtual-8086 mode. */
#include "vmm/cpu/virtual8086.h"

#include "vmm/cpu/descriptor.h"

struct segment virtual8086_segment(uint16_t selector)
{
    enum { DPL = 3 << SEG_DPL_SHIFT };
    return (struct segment){.base = (uint64_t)selector << 4,
        .limit = 0xffff,
        .selector = selector,
        .attributes = SEG_P | SEG_S | DPL | SEG_WRITABLE | SEG_ACCESSED};
}

void virtual8086_require_iopl(struct cpu *cpu)
{
    if (virtual8086(cpu) && (cpu->s.rflags & FLAG_IOPL) != FLAG_IOPL)
        cpu_raise_error(cpu, VECTOR_GP, 0);
}

void virtual8086_return(
    struct cpu *cpu, struct stack *stack, uint64_t rip, uint16_t selector, uint64_t flags)
{
    static const unsigned order[] = {SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    uint64_t pointer = stack_take(cpu, stack, 4);
    uint16_t selectors[SEG_COUNT] = {[SEG_CS] = selector};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        selectors[order[i]] = (uint16_t)stack_take(cpu, stack, 4);
    if (rip > 0xffff)
        cpu_raise_error(cpu, VECTOR_GP, 0);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        cpu->s.segment[i] = virtual8086_segment(selectors[i]);
    cpu_set_rflags(
        cpu, flags & (FLAGS_ARITHMETIC | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT |
                         FLAG_RF | FLAG_VM | FLAG_AC | FLAG_VIF | FLAG_VIP | FLAG_ID));
    cpu->s.gpr[RSP] = (uint32_t)pointer;
    cpu->s.rip = rip;
    cpu->jumped = true;
    cpu_mode_changed(cpu);
}

void virtual8086_push_segments(struct cpu *cpu, struct stack *stack, unsigned size)
{
    static const unsigned order[] = {SEG_GS, SEG_FS, SEG_DS, SEG_ES};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        stack_put(cpu, stack, size, cpu->s.segment[order[i]].selector);
}

void virtual8086_drop_segments(struct cpu *cpu)
{
    static const unsigned dropped[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    for (size_t i = 0; i < sizeof dropped / sizeof dropped[0]; i++)
        cpu->s.segment[dropped[i]] = (struct segment){0};
}
