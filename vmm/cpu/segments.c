/* Loads and stores segment registers and those of the descriptor tables; LAR, LSL, VERR, VERW. */
#include "vmm/cpu/descriptor.h"
#include "vmm/cpu/operand.h"
#include "vmm/cpu/system.h"
#include "vmm/cpu/virtual8086.h"

/* ---- Loading a segment register -------------------------------------------------------------- */

static void load_real_mode(struct cpu *cpu, unsigned segment, uint16_t selector)
{
    struct segment *s = &cpu->s.segment[segment];
    /* Limit and attributes stay what they were, but what was null has none to keep. */
    if (!(s->attributes & SEG_P)) {
        s->limit = 0xffff;
        s->attributes = SEG_P | SEG_S | SEG_WRITABLE | SEG_ACCESSED;
    }
    s->selector = selector;
    s->base = (uint64_t)selector << 4;
}

static void load_stack_segment(struct cpu *cpu, uint16_t selector)
{
    if (selector_is_null(selector)) {
        if (!cpu->code64 || cpu->cpl == 3 || (selector & 3) != cpu->cpl)
            cpu_raise_error(cpu, VECTOR_GP, 0);
        cpu->s.segment[SEG_SS] = segment_null_stack(selector, cpu->cpl);
        return;
    }
    struct descriptor descriptor;
    descriptor_read_stack(cpu, selector, cpu->cpl, VECTOR_GP, &descriptor);
    cpu->s.segment[SEG_SS] = descriptor.segment;
}

void segment_load_data(struct cpu *cpu, unsigned segment, uint16_t selector, unsigned vector)
{
    if (selector_is_null(selector)) {
        cpu->s.segment[segment] = (struct segment){.selector = selector};
        return;
    }
    struct descriptor descriptor;
    descriptor_read(cpu, selector, vector, &descriptor);
    const struct segment *s = &descriptor.segment;
    bool code = segment_is_code(s);
    if (!(s->attributes & SEG_S) || (code && !(s->attributes & SEG_WRITABLE)))
        descriptor_fault(cpu, &descriptor, vector);
    bool conforming = code && segment_is_conforming(s);
    unsigned dpl = segment_dpl(s);
    if (!conforming && ((selector & 3u) > dpl || cpu->cpl > dpl))
        descriptor_fault(cpu, &descriptor, vector);
    if (!(s->attributes & SEG_P))
        descriptor_fault(cpu, &descriptor, VECTOR_NP);
    descriptor_set_accessed(cpu, &descriptor);
    cpu->s.segment[segment] = descriptor.segment;
}

void cpu_load_segment(struct cpu *cpu, unsigned segment, uint16_t selector)
{
    if (virtual8086(cpu))
        cpu->s.segment[segment] = virtual8086_segment(selector);
    else if (!(cpu->s.cr0 & CR0_PE))
        load_real_mode(cpu, segment, selector);
    else if (segment == SEG_SS)
        load_stack_segment(cpu, selector);
    else
        segment_load_data(cpu, segment, selector, VECTOR_GP);
    if (segment == SEG_SS)
        cpu_mode_changed(cpu);
}

/* ---- Moves ----------------------------------------------------------------------------------- */

/* A selector operand is two bytes in memory whatever the operand size. */
static uint16_t read_selector(struct cpu *cpu, const struct insn *insn)
{
    return (uint16_t)rm_read(cpu, insn, 2);
}

static void write_selector(struct cpu *cpu, const struct insn *insn, uint16_t selector)
{
    rm_write(cpu, insn, insn->flags & INSN_MEMORY ? 2 : insn->operand_size, selector);
}

/* REX.R does not extend a segment register number. */
static unsigned segment_operand(struct cpu *cpu, const struct insn *insn)
{
    unsigned segment = insn->reg & 7;
    if (segment >= SEG_COUNT)
        cpu_raise(cpu, VECTOR_UD);
    return segment;
}

void op_mov_to_segment(struct cpu *cpu, const struct insn *insn)
{
    unsigned segment = segment_operand(cpu, insn);
    if (segment == SEG_CS)
        cpu_raise(cpu, VECTOR_UD);
    cpu_load_segment(cpu, segment, read_selector(cpu, insn));
    cpu->s.mov_ss_shadow = segment == SEG_SS;
}

void op_mov_from_segment(struct cpu *cpu, const struct insn *insn)
{
    write_selector(cpu, insn, cpu->s.segment[segment_operand(cpu, insn)].selector);
}

void op_push_segment(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    uint16_t selector = cpu->s.segment[insn->reg].selector;
    if (cpu_is_intel(cpu) && size == 4) {
        /* Intel's processors leave the upper half of the slot as it is. */
        uint64_t pointer = stack_pointer(cpu) - size;
        memory_store(cpu, stack_linear(cpu, pointer, 2, ACCESS_WRITE), 2, selector);
        set_stack_pointer(cpu, pointer);
        return;
    }
    stack_push(cpu, size, selector);
}

void op_pop_segment(struct cpu *cpu, const struct insn *insn)
{
    unsigned width = cpu->stack_size;
    uint16_t selector = (uint16_t)stack_top(cpu, insn->operand_size);
    cpu_load_segment(cpu, insn->reg, selector);
    gpr_write(cpu, RSP, width, cpu->s.gpr[RSP] + insn->operand_size);
    cpu->s.mov_ss_shadow = insn->reg == SEG_SS;
}

void op_load_far_pointer(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    uint64_t at = insn_offset(cpu, insn);
    uint64_t linear = cpu_linear_checked(cpu, insn->segment, at, size + 2, ACCESS_READ);
    uint8_t bytes[10];
    cpu_load_bytes(cpu, linear, bytes, size + 2);
    uint64_t offset = 0;
    uint16_t selector;
    memcpy(&offset, bytes, size);
    memcpy(&selector, bytes + size, 2);
    cpu_load_segment(cpu, insn->immediate2, selector);
    gpr_write(cpu, insn->reg, size, offset);
}

void op_swapgs(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    if (!cpu->code64)
        cpu_raise(cpu, VECTOR_UD);
    require_cpl0(cpu);
    uint64_t base = cpu->s.segment[SEG_GS].base;
    cpu->s.segment[SEG_GS].base = cpu->s.kernel_gs_base;
    cpu->s.kernel_gs_base = base;
}

/* ---- Descriptor table registers -------------------------------------------------------------- */

static void load_table(struct cpu *cpu, const struct insn *insn, struct descriptor_table *table)
{
    require_cpl0(cpu);
    unsigned size = cpu->code64 ? 8 : 4;
    uint64_t at = insn_offset(cpu, insn);
    uint64_t linear = cpu_linear_checked(cpu, insn->segment, at, 2 + size, ACCESS_READ);
    uint8_t bytes[10];
    cpu_load_bytes(cpu, linear, bytes, 2 + size);
    uint64_t base = 0;
    uint16_t limit;
    memcpy(&limit, bytes, 2);
    memcpy(&base, bytes + 2, size);
    if (!cpu->code64 && insn->operand_size == 2)
        base &= 0xffffff;
    if (!canonical_address(base))
        cpu_raise_error(cpu, VECTOR_GP, 0);
    *table = (struct descriptor_table){.base = base, .limit = limit};
}

static void store_table(
    struct cpu *cpu, const struct insn *insn, const struct descriptor_table *table)
{
    unsigned size = cpu->code64 ? 8 : 4;
    uint64_t at = insn_offset(cpu, insn);
    uint64_t linear = cpu_linear_checked(cpu, insn->segment, at, 2 + size, ACCESS_WRITE);
    uint8_t bytes[10];
    memcpy(bytes, &table->limit, 2);
    memcpy(bytes + 2, &table->base, size);
    cpu_store_bytes(cpu, linear, bytes, 2 + size);
}

void op_lgdt(struct cpu *cpu, const struct insn *insn)
{
    load_table(cpu, insn, &cpu->s.gdt);
}

void op_lidt(struct cpu *cpu, const struct insn *insn)
{
    load_table(cpu, insn, &cpu->s.idt);
}

void op_sgdt(struct cpu *cpu, const struct insn *insn)
{
    store_table(cpu, insn, &cpu->s.gdt);
}

void op_sidt(struct cpu *cpu, const struct insn *insn)
{
    store_table(cpu, insn, &cpu->s.idt);
}

/* ---- LDTR and TR ----------------------------------------------------------------------------- */

static void require_protected_mode(struct cpu *cpu)
{
    if (!(cpu->s.cr0 & CR0_PE) || (cpu->s.rflags & FLAG_VM))
        cpu_raise(cpu, VECTOR_UD);
}

/* In long mode system descriptors have 16 bytes, with the base's upper half in the second 8. */
static void read_upper_base(struct cpu *cpu, struct descriptor *descriptor)
{
    if (!long_mode(cpu))
        return;
    uint64_t upper = descriptor_read_upper(cpu, descriptor, VECTOR_GP);
    descriptor->segment.base |= upper << 32;
    if (!canonical_address(descriptor->segment.base))
        descriptor_fault(cpu, descriptor, VECTOR_GP);
}

void op_lldt(struct cpu *cpu, const struct insn *insn)
{
    require_protected_mode(cpu);
    require_cpl0(cpu);
    uint16_t selector = read_selector(cpu, insn);
    if (selector_is_null(selector)) {
        cpu->s.ldt = (struct segment){.selector = selector};
        return;
    }
    if (selector & 4)
        cpu_raise_error(cpu, VECTOR_GP, selector & ~3u);
    struct descriptor descriptor;
    descriptor_read(cpu, selector, VECTOR_GP, &descriptor);
    if (segment_type(&descriptor.segment) != TYPE_LDT)
        descriptor_fault(cpu, &descriptor, VECTOR_GP);
    if (!(descriptor.segment.attributes & SEG_P))
        descriptor_fault(cpu, &descriptor, VECTOR_NP);
    read_upper_base(cpu, &descriptor);
    cpu->s.ldt = descriptor.segment;
}

void op_ltr(struct cpu *cpu, const struct insn *insn)
{
    require_protected_mode(cpu);
    require_cpl0(cpu);
    uint16_t selector = read_selector(cpu, insn);
    if (selector & 4)
        cpu_raise_error(cpu, VECTOR_GP, selector & ~3u);
    struct descriptor descriptor;
    descriptor_read(cpu, selector, VECTOR_GP, &descriptor);
    unsigned type = segment_type(&descriptor.segment);
    if (type != TYPE_TSS && (type != TYPE_TSS16 || long_mode(cpu)))
        descriptor_fault(cpu, &descriptor, VECTOR_GP);
    if (!(descriptor.segment.attributes & SEG_P))
        descriptor_fault(cpu, &descriptor, VECTOR_NP);
    read_upper_base(cpu, &descriptor);
    descriptor.segment.attributes |= 2; /* busy, also in the table */
    cpu_store_system(cpu, descriptor.linear + 5, 1, (descriptor.raw >> 40 & 0xff) | 2);
    cpu->s.tr = descriptor.segment;
}

void op_sldt(struct cpu *cpu, const struct insn *insn)
{
    require_protected_mode(cpu);
    write_selector(cpu, insn, cpu->s.ldt.selector);
}

void op_str(struct cpu *cpu, const struct insn *insn)
{
    require_protected_mode(cpu);
    write_selector(cpu, insn, cpu->s.tr.selector);
}

/* ---- Looking at descriptors ------------------------------------------------------------------ */

static void set_zf(struct cpu *cpu, bool set)
{
    uint64_t flags = cpu_get_arithmetic(cpu) & ~FLAG_ZF;
    cpu_set_arithmetic(cpu, flags | (set ? FLAG_ZF : 0));
}

/* Could the program use the descriptor at its CPL with this RPL? */
static bool is_accessible(const struct cpu *cpu, const struct descriptor *descriptor)
{
    const struct segment *segment = &descriptor->segment;
    if (segment_is_code(segment) && segment_is_conforming(segment))
        return true;
    unsigned dpl = segment_dpl(segment);
    return cpu->cpl <= dpl && (descriptor->selector & 3u) <= dpl;
}

/* Bit i: system type i is good for LAR, LSL; in legacy and in long mode. */
enum {
    LAR_TYPES = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 9 | 1 << 11 | 1 << 12,
    LSL_TYPES = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 9 | 1 << 11,
    LAR_TYPES_LONG = 1 << 2 | 1 << 9 | 1 << 11 | 1 << 12,
    LSL_TYPES_LONG = 1 << 2 | 1 << 9 | 1 << 11,
};

static bool find_accessible(struct cpu *cpu, const struct insn *insn, unsigned legacy_types,
    unsigned long_types, struct descriptor *descriptor)
{
    require_protected_mode(cpu);
    uint16_t selector = read_selector(cpu, insn);
    if (!descriptor_find(cpu, selector, descriptor))
        return false;
    unsigned type = segment_type(&descriptor->segment);
    unsigned types = long_mode(cpu) ? long_types : legacy_types;
    if (!(type & SEG_S) && !(types >> type & 1))
        return false;
    return is_accessible(cpu, descriptor);
}

void op_lar(struct cpu *cpu, const struct insn *insn)
{
    struct descriptor descriptor;
    bool found = find_accessible(cpu, insn, LAR_TYPES, LAR_TYPES_LONG, &descriptor);
    if (found)
        gpr_write(cpu, insn->reg, insn->operand_size, descriptor.raw >> 32 & 0xffff00);
    set_zf(cpu, found);
}

void op_lsl(struct cpu *cpu, const struct insn *insn)
{
    struct descriptor descriptor;
    bool found = find_accessible(cpu, insn, LSL_TYPES, LSL_TYPES_LONG, &descriptor);
    if (found)
        gpr_write(cpu, insn->reg, insn->operand_size, descriptor.segment.limit);
    set_zf(cpu, found);
}

void op_verr(struct cpu *cpu, const struct insn *insn)
{
    struct descriptor descriptor;
    bool found = find_accessible(cpu, insn, 0, 0, &descriptor);
    const struct segment *segment = &descriptor.segment;
    set_zf(cpu, found && (!segment_is_code(segment) || (segment->attributes & SEG_WRITABLE)));
}

void op_verw(struct cpu *cpu, const struct insn *insn)
{
    struct descriptor descriptor;
    bool found = find_accessible(cpu, insn, 0, 0, &descriptor);
    set_zf(cpu, found && segment_is_writable_data(&descriptor.segment));
}

void op_arpl(struct cpu *cpu, const struct insn *insn)
{
    require_protected_mode(cpu);
    /* Writes, and needs a writable operand, only when there is something to change. */
    unsigned wanted = cpu->s.gpr[insn->reg] & 3;
    bool lower = (rm_read(cpu, insn, 2) & 3) < wanted;
    if (lower) {
        struct rm_update update = rm_begin(cpu, insn, 2);
        update.value = (update.value & ~3ull) | wanted;
        rm_end(cpu, insn, 2, &update);
    }
    set_zf(cpu, lower);
}
