/* Reads descriptors, and checks the stacks and code that they lead to. */
#include "vmm/cpu/descriptor.h"

#include "vmm/cpu/system.h"

/* ---- Descriptors ----------------------------------------------------------------------------- */

static uint64_t size_mask(unsigned size)
{
    return UINT64_MAX >> (64 - 8 * size);
}

static struct segment decode_segment(uint64_t raw, uint16_t selector)
{
    struct segment segment = {
        .base = (raw >> 16 & 0xffffff) | (raw >> 56 & 0xff) << 24,
        .limit = (uint32_t)((raw & 0xffff) | (raw >> 32 & 0xf0000)),
        .selector = selector,
        .attributes = (uint16_t)((raw >> 40 & 0xff) | (raw >> 44 & 0xf00)),
    };
    if (segment.attributes & SEG_G)
        segment.limit = segment.limit << 12 | 0xfff;
    return segment;
}

/* Table of the selector: base and limit; false for an LDT that is not loaded. */
static bool table_of(const struct cpu *cpu, uint16_t selector, uint64_t *base, uint32_t *limit)
{
    if (selector & 4) {
        *base = cpu->s.ldt.base;
        *limit = cpu->s.ldt.limit;
        return cpu->s.ldt.attributes & SEG_P;
    }
    *base = cpu->s.gdt.base;
    *limit = cpu->s.gdt.limit;
    return true;
}

static uint64_t table_linear(const struct cpu *cpu, uint64_t address)
{
    return long_mode(cpu) ? address : (uint32_t)address;
}

bool descriptor_find(struct cpu *cpu, uint16_t selector, struct descriptor *descriptor)
{
    uint64_t base;
    uint32_t limit;
    if (selector_is_null(selector) || !table_of(cpu, selector, &base, &limit) ||
        (selector | 7u) > limit)
        return false;
    descriptor->selector = selector;
    descriptor->linear = table_linear(cpu, base + (selector & ~7u));
    descriptor->raw = cpu_load_system(cpu, descriptor->linear, 8);
    descriptor->segment = decode_segment(descriptor->raw, selector);
    return true;
}

void descriptor_read(
    struct cpu *cpu, uint16_t selector, unsigned vector, struct descriptor *descriptor)
{
    if (!descriptor_find(cpu, selector, descriptor))
        cpu_raise_error(cpu, vector, selector & ~3u);
}

_Noreturn void descriptor_fault(
    struct cpu *cpu, const struct descriptor *descriptor, unsigned vector)
{
    cpu_raise_error(cpu, vector, descriptor->selector & ~3u);
}

uint64_t descriptor_read_upper(
    struct cpu *cpu, const struct descriptor *descriptor, unsigned vector)
{
    uint64_t base;
    uint32_t limit;
    if (!table_of(cpu, descriptor->selector, &base, &limit) ||
        (descriptor->selector | 7u) + 8 > limit)
        descriptor_fault(cpu, descriptor, vector);
    return cpu_load_system(cpu, table_linear(cpu, descriptor->linear + 8), 8);
}

void descriptor_set_accessed(struct cpu *cpu, struct descriptor *descriptor)
{
    if (descriptor->segment.attributes & SEG_ACCESSED)
        return;
    descriptor->segment.attributes |= SEG_ACCESSED;
    descriptor->raw |= 1ull << 40;
    cpu_store_system(
        cpu, table_linear(cpu, descriptor->linear + 5), 1, descriptor->raw >> 40 & 0xff);
}

void descriptor_read_stack(struct cpu *cpu, uint16_t selector, unsigned cpl, unsigned vector,
    struct descriptor *descriptor)
{
    descriptor_read(cpu, selector, vector, descriptor);
    const struct segment *segment = &descriptor->segment;
    if ((selector & 3) != cpl || !segment_is_writable_data(segment) || segment_dpl(segment) != cpl)
        descriptor_fault(cpu, descriptor, vector);
    if (!(segment->attributes & SEG_P))
        descriptor_fault(cpu, descriptor, VECTOR_SS);
    descriptor_set_accessed(cpu, descriptor);
}

struct segment segment_null_stack(uint16_t selector, unsigned cpl)
{
    return (struct segment){.selector = selector, .attributes = (uint16_t)(cpl << SEG_DPL_SHIFT)};
}

struct segment segment_flat(uint16_t selector, unsigned dpl, bool code, bool code64)
{
    unsigned attributes = SEG_G | SEG_P | SEG_S | SEG_WRITABLE | SEG_ACCESSED |
                          dpl << SEG_DPL_SHIFT | (code ? SEG_CODE : 0) | (code64 ? SEG_L : SEG_DB);
    return (struct segment){
        .limit = 0xffffffff, .selector = selector, .attributes = (uint16_t)attributes};
}

void segments_drop_inner(struct cpu *cpu)
{
    static const unsigned data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    for (unsigned i = 0; i < sizeof data / sizeof data[0]; i++) {
        struct segment *segment = &cpu->s.segment[data[i]];
        bool conforming = segment_is_code(segment) && segment_is_conforming(segment);
        /* The base stays: 64-bit code goes on to use that of FS and GS. */
        if ((segment->attributes & SEG_P) && !conforming && segment_dpl(segment) < cpu->cpl)
            *segment = (struct segment){.base = segment->base};
    }
}

/* ---- Stacks ---------------------------------------------------------------------------------- */

struct stack stack_present(const struct cpu *cpu)
{
    return (struct stack){
        .segment = cpu->s.segment[SEG_SS],
        .pointer = cpu->s.gpr[RSP],
        .width = cpu->stack_size,
        .cpl = cpu->cpl,
    };
}

struct stack stack_inner(const struct segment *segment, uint64_t pointer, unsigned cpl, bool code64)
{
    bool wide = segment->attributes & SEG_DB;
    return (struct stack){
        .segment = *segment,
        .pointer = pointer,
        .width = code64 ? 8
                 : wide ? 4
                        : 2,
        .cpl = cpl,
        .fault_error = segment->selector & ~3u,
    };
}

static uint64_t stack_linear(
    struct cpu *cpu, const struct stack *stack, uint64_t offset, unsigned size)
{
    const struct segment *segment = &stack->segment;
    if (stack->width == 8) {
        if (!canonical_address(offset) || !canonical_address(offset + size - 1))
            cpu_raise_error(cpu, VECTOR_SS, stack->fault_error);
        return offset;
    }
    uint64_t last = offset + size - 1;
    uint64_t top = segment->attributes & SEG_DB ? 0xffffffff : 0xffff;
    bool inside = segment->attributes & SEG_EXPAND_DOWN ? offset > segment->limit && last <= top
                                                        : last <= segment->limit;
    if (!inside)
        cpu_raise_error(cpu, VECTOR_SS, stack->fault_error);
    return (uint32_t)(segment->base + offset);
}

void stack_put(struct cpu *cpu, struct stack *stack, unsigned size, uint64_t value)
{
    uint64_t mask = size_mask(stack->width);
    uint64_t pointer = (stack->pointer - size) & mask;
    uint64_t linear = stack_linear(cpu, stack, pointer, size);
    /* The level is the new one's, not that of the interrupted code. */
    if (stack->cpl == cpu->cpl)
        cpu_store_slow(cpu, linear, size, value);
    else
        cpu_store_system(cpu, linear, size, value);
    stack->pointer = (stack->pointer & ~mask) | pointer;
}

uint64_t stack_take(struct cpu *cpu, struct stack *stack, unsigned size)
{
    uint64_t mask = size_mask(stack->width);
    uint64_t linear = stack_linear(cpu, stack, stack->pointer & mask, size);
    stack->pointer = (stack->pointer & ~mask) | ((stack->pointer + size) & mask);
    return cpu_load_slow(cpu, linear, size);
}

void stack_pointer_commit(struct cpu *cpu, const struct stack *stack)
{
    uint64_t mask = size_mask(stack->width);
    if (stack->width == 4)
        cpu->s.gpr[RSP] = (uint32_t)stack->pointer;
    else
        cpu->s.gpr[RSP] = (cpu->s.gpr[RSP] & ~mask) | (stack->pointer & mask);
}

static uint64_t tss_read(struct cpu *cpu, unsigned offset, unsigned size)
{
    if (!(cpu->s.tr.attributes & SEG_P) || offset + size - 1 > cpu->s.tr.limit)
        cpu_raise_error(cpu, VECTOR_TS, cpu->s.tr.selector & ~3u);
    return cpu_load_system(cpu, table_linear(cpu, cpu->s.tr.base + offset), size);
}

static uint64_t canonical_stack(struct cpu *cpu, uint64_t pointer)
{
    if (!canonical_address(pointer))
        cpu_raise_error(cpu, VECTOR_SS, 0);
    return pointer;
}

uint64_t stack_from_ist(struct cpu *cpu, unsigned ist)
{
    return canonical_stack(cpu, tss_read(cpu, 36 + 8 * (ist - 1), 8));
}

struct stack stack_from_tss(struct cpu *cpu, unsigned cpl, bool code64)
{
    if (long_mode(cpu)) {
        uint64_t pointer = canonical_stack(cpu, tss_read(cpu, 4 + 8 * cpl, 8));
        struct segment null = segment_null_stack((uint16_t)cpl, cpl);
        struct stack stack = stack_inner(&null, pointer, cpl, code64);
        stack.fault_error = 0;
        return stack;
    }
    bool wide = (cpu->s.tr.attributes & SEG_TYPE) >= TYPE_TSS;
    uint64_t pointer = wide ? tss_read(cpu, 4 + 8 * cpl, 4) : tss_read(cpu, 2 + 4 * cpl, 2);
    uint16_t selector =
        (uint16_t)(wide ? tss_read(cpu, 8 + 8 * cpl, 2) : tss_read(cpu, 4 + 4 * cpl, 2));
    struct descriptor descriptor;
    descriptor_read_stack(cpu, selector, cpl, VECTOR_TS, &descriptor);
    return stack_inner(&descriptor.segment, pointer, cpl, false);
}

/* ---- Code ------------------------------------------------------------------------------------ */

void code_check_target(struct cpu *cpu, const struct segment *segment, uint64_t rip)
{
    bool code64 = long_mode(cpu) && (segment->attributes & SEG_L);
    if (code64 ? !canonical_address(rip) : rip > segment->limit)
        cpu_raise_error(cpu, VECTOR_GP, 0);
}

void code_enter(struct cpu *cpu, const struct segment *segment, unsigned cpl, uint64_t rip)
{
    cpu->s.segment[SEG_CS] = *segment;
    cpu->s.segment[SEG_CS].selector = (uint16_t)((segment->selector & ~3u) | cpl);
    cpu->s.rip = rip;
    cpu->jumped = true;
    cpu_mode_changed(cpu);
}
