/* Hardware task switches. */
#include "vmm/cpu/task.h"

#include "vmm/cpu/descriptor.h"
#include "vmm/cpu/paging.h"
#include "vmm/cpu/virtual8086.h"

/* Where things are in a TSS (SDM volume 3, figures 7-2 and 7-10; APM volume 2, figure 12-6). */
struct layout {
    uint8_t size;    /* of what is as wide as the TSS, also the distance between two of them */
    uint8_t limit;   /* the least that the descriptor may have */
    uint8_t eip;     /* what is saved begins here: EIP, EFLAGS, ... */
    uint8_t gpr;     /* ... the general registers in their own order, ... */
    uint8_t segment; /* ... the segments */
    uint8_t segments;
    uint8_t ldt; /* after what is saved */
};

static const struct layout layout16 = {2, 0x2b, 0x0e, 0x12, 0x22, 4, 0x2a};
static const struct layout layout32 = {4, 0x67, 0x20, 0x28, 0x48, 6, 0x60};

enum { TSS_LINK = 0x00, TSS_CR3 = 0x1c, TSS_TRAP = 0x64 };

enum { BUSY = 2 };
#define DR6_BT        (1ull << 15)
#define DR7_LOCAL     0x155ull /* L0 to L3, LE */
#define LOADED_EFLAGS 0x3f7fd7ull

struct task_image {
    unsigned segments;
    bool has_cr3;
    uint32_t cr3, eip, eflags, gpr[8];
    uint16_t segment[SEG_COUNT], ldt;
    bool trap;
};

static const struct layout *layout_of(const struct segment *tss)
{
    return (tss->attributes & SEG_TYPE) < TYPE_TSS ? &layout16 : &layout32;
}

static uint64_t table_linear(uint64_t base, unsigned offset)
{
    return (uint32_t)(base + offset);
}

static uint32_t load(struct cpu *cpu, const struct segment *tss, unsigned offset, unsigned size)
{
    return (uint32_t)cpu_load_system(cpu, table_linear(tss->base, offset), size);
}

static void store(
    struct cpu *cpu, const struct segment *tss, unsigned offset, unsigned size, uint64_t value)
{
    cpu_store_system(cpu, table_linear(tss->base, offset), size, value);
}

/* Faults where a store would, and changes nothing. */
static void probe(struct cpu *cpu, uint64_t linear)
{
    cpu_store_system(cpu, linear, 1, cpu_load_system(cpu, linear, 1));
}

static uint64_t access_byte(const struct cpu *cpu, uint16_t selector)
{
    return table_linear(cpu->s.gdt.base, (selector & ~7u) + 5);
}

static void set_busy(struct cpu *cpu, uint16_t selector, bool busy)
{
    uint64_t linear = access_byte(cpu, selector);
    uint64_t access = cpu_load_system(cpu, linear, 1) & ~(uint64_t)BUSY;
    cpu_store_system(cpu, linear, 1, access | (busy ? BUSY : 0));
}

/* ---- Before anything changes ----------------------------------------------------------------- */

static void find_task(struct cpu *cpu, const struct task_switch *request, struct descriptor *tss)
{
    bool returns = request->kind == TASK_RETURN;
    unsigned vector = returns ? VECTOR_TS : VECTOR_GP;
    if (request->selector & 4)
        cpu_raise_error(cpu, vector, request->selector & ~3u);
    descriptor_read(cpu, request->selector, vector, tss);
    unsigned type = segment_type(&tss->segment);
    if ((type & ~(TYPE_TSS ^ TYPE_TSS16)) != (returns ? TYPE_TSS16_BUSY : TYPE_TSS16))
        descriptor_fault(cpu, tss, vector);
    if (!(tss->segment.attributes & SEG_P))
        descriptor_fault(cpu, tss, VECTOR_NP);
    if (tss->segment.limit < layout_of(&tss->segment)->limit)
        descriptor_fault(cpu, tss, VECTOR_TS);
}

static void check_old_task(struct cpu *cpu)
{
    const struct segment *tss = &cpu->s.tr;
    if (!(tss->attributes & SEG_P) || tss->limit < layout_of(tss)->limit)
        cpu_raise_error(cpu, VECTOR_TS, tss->selector & ~3u);
}

/*
 * What a 16-bit TSS has no place for the manuals leave open; this is as KVM has it, so that both
 * engines agree: the registers' upper halves become 0, FS and GS stay.
 */
static struct task_image read_task(struct cpu *cpu, const struct segment *tss)
{
    const struct layout *layout = layout_of(tss);
    const unsigned size = layout->size;
    struct task_image image = {
        .eip = load(cpu, tss, layout->eip, size),
        .eflags = load(cpu, tss, layout->eip + size, size),
        .ldt = (uint16_t)load(cpu, tss, layout->ldt, 2),
        .segments = layout->segments,
    };
    for (unsigned i = 0; i < 8; i++)
        image.gpr[i] = load(cpu, tss, layout->gpr + size * i, size);
    for (unsigned i = 0; i < layout->segments; i++)
        image.segment[i] = (uint16_t)load(cpu, tss, layout->segment + size * i, 2);
    if (size == 4) {
        image.trap = load(cpu, tss, TSS_TRAP, 1) & 1;
        image.has_cr3 = cpu->s.cr0 & CR0_PG;
        image.cr3 = load(cpu, tss, TSS_CR3, 4);
    }
    return image;
}

static void check_image(
    struct cpu *cpu, const struct task_switch *request, const struct task_image *image)
{
    if (image->has_cr3 && (cpu->s.cr4 & CR4_PAE) && !paging_pdptes_valid(cpu, image->cr3))
        cpu_stop_unimplemented(
            cpu, request->insn, "task switch to a bad page-directory pointer table");
}

/* All that is going to be written; a TSS has at most two pages, the saved part lies inside. */
static void probe_writes(
    struct cpu *cpu, const struct task_switch *request, const struct segment *new_tss)
{
    const struct layout *old = layout_of(&cpu->s.tr);
    probe(cpu, table_linear(cpu->s.tr.base, old->eip));
    probe(cpu, table_linear(cpu->s.tr.base, old->ldt - 1u));
    if (request->kind != TASK_CALL)
        probe(cpu, access_byte(cpu, cpu->s.tr.selector));
    if (request->kind == TASK_RETURN)
        return;
    probe(cpu, access_byte(cpu, request->selector));
    if (request->kind == TASK_CALL) {
        probe(cpu, table_linear(new_tss->base, TSS_LINK));
        probe(cpu, table_linear(new_tss->base, TSS_LINK + 1));
    }
}

/* ---- The switch ------------------------------------------------------------------------------ */

static void save_task(struct cpu *cpu, const struct task_switch *request)
{
    const struct segment *tss = &cpu->s.tr;
    const struct layout *layout = layout_of(tss);
    const unsigned size = layout->size;
    uint64_t eflags = request->rflags;
    if (request->kind == TASK_RETURN)
        eflags &= ~FLAG_NT;
    store(cpu, tss, layout->eip, size, request->rip);
    store(cpu, tss, layout->eip + size, size, eflags);
    for (unsigned i = 0; i < 8; i++)
        store(cpu, tss, layout->gpr + size * i, size, cpu->s.gpr[i]);
    for (unsigned i = 0; i < layout->segments; i++)
        store(cpu, tss, layout->segment + size * i, 2, cpu->s.segment[i].selector);
    if (request->kind != TASK_CALL)
        set_busy(cpu, tss->selector, false);
}

/* Registers of the new task, its segments as selectors alone. */
static void enter_task(struct cpu *cpu, const struct task_switch *request,
    const struct descriptor *tss, const struct task_image *image)
{
    uint16_t link = cpu->s.tr.selector;
    unsigned cpl = image->eflags & FLAG_VM ? 3 : image->segment[SEG_CS] & 3;
    if (request->kind != TASK_RETURN)
        set_busy(cpu, tss->selector, true);
    if (request->kind == TASK_CALL)
        store(cpu, &tss->segment, TSS_LINK, 2, link);
    cpu->s.tr = tss->segment;
    cpu->s.tr.attributes |= BUSY;
    cpu->s.cr0 |= CR0_TS;
    cpu->s.dr7 &= ~DR7_LOCAL;
    if (image->has_cr3) {
        cpu->s.cr3 = image->cr3;
        tlb_flush_non_global(cpu);
    }
    for (unsigned i = 0; i < 8; i++)
        cpu->s.gpr[i] = image->gpr[i];
    for (unsigned i = 0; i < image->segments; i++)
        cpu->s.segment[i] = (struct segment){.selector = image->segment[i]};
    cpu->s.segment[SEG_SS] = segment_null_stack(image->segment[SEG_SS], cpl);
    cpu->s.ldt = (struct segment){.selector = image->ldt};
    cpu_set_rflags(
        cpu, (image->eflags & LOADED_EFLAGS) | (request->kind == TASK_CALL ? FLAG_NT : 0));
    cpu->s.rip = image->eip;
    cpu->jumped = true;
    cpu_mode_changed(cpu);
}

static void load_ldt(struct cpu *cpu, uint16_t selector)
{
    struct descriptor ldt;
    if (selector_is_null(selector))
        return;
    if (selector & 4)
        cpu_raise_error(cpu, VECTOR_TS, selector & ~3u);
    descriptor_read(cpu, selector, VECTOR_TS, &ldt);
    if (segment_type(&ldt.segment) != TYPE_LDT || !(ldt.segment.attributes & SEG_P))
        descriptor_fault(cpu, &ldt, VECTOR_TS);
    cpu->s.ldt = ldt.segment;
}

static void load_code(struct cpu *cpu, uint16_t selector)
{
    struct descriptor code;
    descriptor_read(cpu, selector, VECTOR_TS, &code);
    unsigned rpl = selector & 3, dpl = segment_dpl(&code.segment);
    bool level = segment_is_conforming(&code.segment) ? dpl <= rpl : dpl == rpl;
    if (!segment_is_code(&code.segment) || !level)
        descriptor_fault(cpu, &code, VECTOR_TS);
    if (!(code.segment.attributes & SEG_P))
        descriptor_fault(cpu, &code, VECTOR_NP);
    descriptor_set_accessed(cpu, &code);
    code_enter(cpu, &code.segment, rpl, cpu->s.rip);
}

static void load_segments(struct cpu *cpu, const struct task_image *image)
{
    struct descriptor stack;
    load_ldt(cpu, image->ldt);
    if (image->eflags & FLAG_VM) {
        for (unsigned i = 0; i < image->segments; i++)
            cpu->s.segment[i] = virtual8086_segment(image->segment[i]);
        cpu_mode_changed(cpu);
        return;
    }
    load_code(cpu, image->segment[SEG_CS]);
    descriptor_read_stack(cpu, image->segment[SEG_SS], cpu->cpl, VECTOR_TS, &stack);
    cpu->s.segment[SEG_SS] = stack.segment;
    cpu_mode_changed(cpu);
    for (unsigned i = 0; i < image->segments; i++) {
        if (i != SEG_CS && i != SEG_SS)
            segment_load_data(cpu, i, image->segment[i], VECTOR_TS);
    }
}

static void push_error(struct cpu *cpu, uint32_t error)
{
    struct stack stack = stack_present(cpu);
    stack_put(cpu, &stack, layout_of(&cpu->s.tr)->size, error);
    stack_pointer_commit(cpu, &stack);
}

/*
 * There is no instruction any more that could be executed again with a value from outside RAM: so
 * that reads as ones and swallows writes, as in the delivery of exceptions.
 */
static void finish_switch(
    struct cpu *cpu, const struct task_switch *request, const struct task_image *image)
{
    jmp_buf here;
    jmp_buf *outer = cpu->escape;
    bool delivering = cpu->delivering;
    cpu->delivering = true;
    int reason = setjmp(here);
    if (reason == 0) {
        cpu->escape = &here;
        load_segments(cpu, image);
        if (request->has_error)
            push_error(cpu, request->error);
    }
    cpu->escape = outer;
    cpu->delivering = delivering;
    if (reason != 0)
        longjmp(*outer, reason);
    if (!image->trap)
        return;
    if (request->insn) {
        cpu->debug_hits |= DR6_BT;
        return;
    }
    cpu->s.dr6 = (cpu->s.dr6 & ~0xfull) | DR6_BT;
    cpu->s.exception_pending = true;
    cpu->s.exception_vector = VECTOR_DB;
    cpu->s.exception_has_error = false;
}

void task_switch(struct cpu *cpu, const struct task_switch *request)
{
    struct descriptor tss;
    find_task(cpu, request, &tss);
    check_old_task(cpu);
    struct task_image image = read_task(cpu, &tss.segment);
    check_image(cpu, request, &image);
    probe_writes(cpu, request, &tss.segment);
    save_task(cpu, request);
    enter_task(cpu, request, &tss, &image);
    finish_switch(cpu, request, &image);
}

/* ---- Who asks for it ------------------------------------------------------------------------- */

bool task_transfer(struct cpu *cpu, const struct insn *insn, const struct descriptor *gate,
    enum task_kind kind, uint64_t rip)
{
    unsigned type = segment_type(&gate->segment), dpl = segment_dpl(&gate->segment);
    bool direct = type == TYPE_TSS16 || type == TYPE_TSS;
    if (long_mode(cpu) || !(direct || type == TYPE_TASK_GATE))
        return false;
    if (dpl < cpu->cpl || dpl < (gate->selector & 3u))
        descriptor_fault(cpu, gate, VECTOR_GP);
    if (!(gate->segment.attributes & SEG_P))
        descriptor_fault(cpu, gate, VECTOR_NP);
    const struct task_switch request = {
        .kind = kind,
        .insn = insn,
        .selector = direct ? gate->selector : (uint16_t)(gate->raw >> 16),
        .rip = rip,
        .rflags = cpu_get_rflags(cpu),
    };
    task_switch(cpu, &request);
    return true;
}

void task_return(struct cpu *cpu, const struct insn *insn, uint64_t rip)
{
    check_old_task(cpu);
    const struct task_switch request = {
        .kind = TASK_RETURN,
        .insn = insn,
        .selector = (uint16_t)load(cpu, &cpu->s.tr, TSS_LINK, 2),
        .rip = rip,
        .rflags = cpu_get_rflags(cpu),
    };
    task_switch(cpu, &request);
}
