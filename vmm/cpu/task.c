#include "vmm/cpu/task.h"

#include "vmm/cpu/descriptor.h"
#include "vmm/cpu/paging.h"

/* The 32-bit TSS (APM volume 2, figure 12-6): the general registers are in their own order. */
enum {
    TSS_LINK = 0x00,
    TSS_CR3 = 0x1c,
    TSS_EIP = 0x20,
    TSS_EFLAGS = 0x24,
    TSS_GPR = 0x28,
    TSS_SEGMENT = 0x48,
    TSS_LDT = 0x60,
    TSS_TRAP = 0x64,
    TSS_SAVED_END = TSS_LDT,
    TSS_LIMIT = 0x67,
};

enum { BUSY = 2 };
#define DR6_BT        (1ull << 15)
#define DR7_LOCAL     0x155ull /* L0 to L3, LE */
#define LOADED_EFLAGS 0x3f7fd7ull

struct task_image {
    uint32_t cr3, eip, eflags, gpr[8];
    uint16_t segment[SEG_COUNT], ldt;
    bool trap;
};

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
    bool narrow = type == (returns ? TYPE_TSS16_BUSY : TYPE_TSS16);
    if (type != (returns ? TYPE_TSS_BUSY : TYPE_TSS) && !narrow)
        descriptor_fault(cpu, tss, vector);
    if (!(tss->segment.attributes & SEG_P))
        descriptor_fault(cpu, tss, VECTOR_NP);
    if (narrow)
        cpu_stop_unimplemented(cpu, request->insn, "task switch to a 16-bit TSS");
    if (tss->segment.limit < TSS_LIMIT)
        descriptor_fault(cpu, tss, VECTOR_TS);
}

static void check_old_task(struct cpu *cpu, const struct task_switch *request)
{
    const struct segment *tss = &cpu->s.tr;
    if (segment_type(tss) == TYPE_TSS16_BUSY)
        cpu_stop_unimplemented(cpu, request->insn, "task switch from a 16-bit TSS");
    if (!(tss->attributes & SEG_P) || tss->limit < TSS_LIMIT)
        cpu_raise_error(cpu, VECTOR_TS, tss->selector & ~3u);
}

static struct task_image read_task(struct cpu *cpu, const struct segment *tss)
{
    struct task_image image = {
        .cr3 = load(cpu, tss, TSS_CR3, 4),
        .eip = load(cpu, tss, TSS_EIP, 4),
        .eflags = load(cpu, tss, TSS_EFLAGS, 4),
        .ldt = (uint16_t)load(cpu, tss, TSS_LDT, 2),
        .trap = load(cpu, tss, TSS_TRAP, 1) & 1,
    };
    for (unsigned i = 0; i < 8; i++)
        image.gpr[i] = load(cpu, tss, TSS_GPR + 4 * i, 4);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        image.segment[i] = (uint16_t)load(cpu, tss, TSS_SEGMENT + 4 * i, 2);
    return image;
}

static void check_image(
    struct cpu *cpu, const struct task_switch *request, const struct task_image *image)
{
    if (image->eflags & FLAG_VM)
        cpu_stop_unimplemented(cpu, request->insn, "task switch to virtual-8086 mode");
    if ((cpu->s.cr0 & CR0_PG) && (cpu->s.cr4 & CR4_PAE) && !paging_pdptes_valid(cpu, image->cr3))
        cpu_stop_unimplemented(
            cpu, request->insn, "task switch to a bad page-directory pointer table");
}

/* All that is going to be written; a TSS has at most two pages, the saved part lies inside. */
static void probe_writes(
    struct cpu *cpu, const struct task_switch *request, const struct segment *new_tss)
{
    probe(cpu, table_linear(cpu->s.tr.base, TSS_EIP));
    probe(cpu, table_linear(cpu->s.tr.base, TSS_SAVED_END - 1));
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
    uint64_t eflags = request->rflags;
    if (request->kind == TASK_RETURN)
        eflags &= ~FLAG_NT;
    store(cpu, tss, TSS_EIP, 4, (uint32_t)request->rip);
    store(cpu, tss, TSS_EFLAGS, 4, (uint32_t)eflags);
    for (unsigned i = 0; i < 8; i++)
        store(cpu, tss, TSS_GPR + 4 * i, 4, (uint32_t)cpu->s.gpr[i]);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        store(cpu, tss, TSS_SEGMENT + 4 * i, 2, cpu->s.segment[i].selector);
    if (request->kind != TASK_CALL)
        set_busy(cpu, tss->selector, false);
}

/* Registers of the new task, its segments as selectors alone. */
static void enter_task(struct cpu *cpu, const struct task_switch *request,
    const struct descriptor *tss, const struct task_image *image)
{
    uint16_t link = cpu->s.tr.selector;
    unsigned cpl = image->segment[SEG_CS] & 3;
    if (request->kind != TASK_RETURN)
        set_busy(cpu, tss->selector, true);
    if (request->kind == TASK_CALL)
        store(cpu, &tss->segment, TSS_LINK, 2, link);
    cpu->s.tr = tss->segment;
    cpu->s.tr.attributes |= BUSY;
    cpu->s.cr0 |= CR0_TS;
    cpu->s.dr7 &= ~DR7_LOCAL;
    if (cpu->s.cr0 & CR0_PG) {
        cpu->s.cr3 = image->cr3;
        tlb_flush_non_global(cpu);
    }
    for (unsigned i = 0; i < 8; i++)
        cpu->s.gpr[i] = image->gpr[i];
    for (unsigned i = 0; i < SEG_COUNT; i++)
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
    static const unsigned data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    struct descriptor stack;
    load_ldt(cpu, image->ldt);
    load_code(cpu, image->segment[SEG_CS]);
    descriptor_read_stack(cpu, image->segment[SEG_SS], cpu->cpl, VECTOR_TS, &stack);
    cpu->s.segment[SEG_SS] = stack.segment;
    cpu_mode_changed(cpu);
    for (unsigned i = 0; i < sizeof data / sizeof data[0]; i++)
        segment_load_data(cpu, data[i], image->segment[data[i]], VECTOR_TS);
}

static void push_error(struct cpu *cpu, uint32_t error)
{
    struct stack stack = stack_present(cpu);
    stack_put(cpu, &stack, 4, error);
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
    check_old_task(cpu, request);
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
    check_old_task(cpu, &(struct task_switch){.insn = insn});
    const struct task_switch request = {
        .kind = TASK_RETURN,
        .insn = insn,
        .selector = (uint16_t)load(cpu, &cpu->s.tr, TSS_LINK, 2),
        .rip = rip,
        .rflags = cpu_get_rflags(cpu),
    };
    task_switch(cpu, &request);
}
