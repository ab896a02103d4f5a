/* Runs cases on the software CPU. */
#include "tests/differential/soft_side.h"

#include <stdlib.h>
#include <string.h>

#include "vmm/arch/engine.h"
#include "vmm/arch/memory.h"
#include "vmm/machine/engines.h"

/* Guest-physical layout. */
enum {
    TABLES = 0x1000, /* page tables from here */
    TABLES_END = 0x20000,
    KERNEL_GPA = 0x30000,
    CODE_GPA = 0x40000,
    DATA_GPA = 0x50000, /* as the initial memory is laid out */
    RAM = 1 << 20,
};

/* Supervisor pages, where no case looks by accident. */
#define KERNEL_BASE 0xffff9a5c1d340000ull
enum {
    GDT = 0,
    TSS = 0x400,
    IDT = 0x1000,
    HANDLERS = 0x2000,
    STACK = 0x4000,
    KERNEL_SIZE = 0x4000
};

enum { PTE_P = 1, PTE_W = 2, PTE_U = 4 };
#define PTE_NX (1ull << 63)

struct soft_side {
    struct memory memory;
    struct engine *engine;
    uint8_t *ram;
    uint32_t next_table;
    unsigned code_offset, code_size; /* what of the code pages is not filler */
    uint8_t initial[MEMORY_SIZE];
    struct vcpu_state start, state;
};

static void map_page(struct soft_side *side, uint64_t linear, uint64_t gpa, uint64_t flags)
{
    uint64_t table = TABLES;
    for (int level = 3; level > 0; level--) {
        uint64_t *entry =
            (uint64_t *)(void *)(side->ram + table) + (linear >> (12 + 9 * level) & 511);
        if (!*entry) {
            *entry = side->next_table | PTE_P | PTE_W | PTE_U;
            side->next_table += PAGE;
        }
        table = *entry & ~0xfffull;
    }
    ((uint64_t *)(void *)(side->ram + table))[linear >> 12 & 511] = gpa | flags | PTE_P;
}

static void map_range(
    struct soft_side *side, uint64_t linear, uint64_t gpa, uint64_t size, uint64_t flags)
{
    for (uint64_t offset = 0; offset < size; offset += PAGE)
        map_page(side, linear + offset, gpa + offset, flags);
}

static void put64(struct soft_side *side, uint64_t gpa, uint64_t value)
{
    memcpy(side->ram + gpa, &value, 8);
}

static void build_kernel(struct soft_side *side)
{
    uint64_t tss = KERNEL_BASE + TSS;
    /* As Linux's: kernel code 32 and 64, kernel data, user code 32, user data, user code 64, TSS.
     */
    put64(side, KERNEL_GPA + 0x08, 0x00cf9b000000ffff);
    put64(side, KERNEL_GPA + 0x10, 0x00af9b000000ffff);
    put64(side, KERNEL_GPA + 0x18, 0x00cf93000000ffff);
    put64(side, KERNEL_GPA + 0x20, 0x00cffb000000ffff);
    put64(side, KERNEL_GPA + 0x28, 0x00cff3000000ffff);
    put64(side, KERNEL_GPA + 0x30, 0x00affb000000ffff);
    put64(side, KERNEL_GPA + 0x40,
        0x0000890000000067 | (tss & 0xffffff) << 16 | (tss >> 24 & 0xff) << 56);
    put64(side, KERNEL_GPA + 0x48, tss >> 32);
    put64(side, KERNEL_GPA + TSS + 4, KERNEL_BASE + STACK); /* RSP0 */
    side->ram[KERNEL_GPA + TSS + 0x66] = 0x68;              /* no I/O permission map */
    memset(side->ram + KERNEL_GPA + HANDLERS, 0xf4, 256 * 16);
    for (uint64_t vector = 0; vector < 256; vector++) {
        uint64_t handler = KERNEL_BASE + HANDLERS + vector * 16;
        uint64_t low = 0x00008e0000100000; /* interrupt gate, DPL 0 */
        if (vector == 3 || vector == 4)
            low |= 0x0000600000000000; /* INT3 and INTO from CPL 3 */
        low |= (handler & 0xffff) | (handler >> 16 & 0xffff) << 48;
        put64(side, KERNEL_GPA + IDT + vector * 16, low);
        put64(side, KERNEL_GPA + IDT + vector * 16 + 8, handler >> 32);
    }
}

static void build_state(struct vcpu_state *state)
{
    static const struct segment data = {0, 0xffffffff, SELECTOR_DATA, 0xcf3};
    vcpu_reset(state);
    state->segment[SEG_SS] = state->segment[SEG_DS] = state->segment[SEG_ES] = data;
    state->segment[SEG_FS] = (struct segment){.base = FS_BASE};
    state->segment[SEG_GS] = (struct segment){.base = GS_BASE};
    state->ldt = (struct segment){0};
    state->tr = (struct segment){KERNEL_BASE + TSS, 0x67, 0x40, 0x8b};
    state->gdt = (struct descriptor_table){KERNEL_BASE + GDT, 0x7f};
    state->idt = (struct descriptor_table){KERNEL_BASE + IDT, 0xfff};
    state->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
    state->cr2 = 0;
    state->cr3 = TABLES;
    state->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    state->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
}

struct soft_side *soft_side_create(struct error *error)
{
    struct soft_side *side = calloc(1, sizeof *side);
    if (!side) {
        error_set(error, "no memory for the software CPU's side");
        return NULL;
    }
    struct memory_backend backend = {.size = RAM};
    if (memory_create(&side->memory, &backend, 1, error)) {
        free(side);
        return NULL;
    }
    side->ram = memory_at(&side->memory, 0, RAM);
    side->next_table = TABLES + PAGE;
    map_range(side, KERNEL_BASE, KERNEL_GPA, KERNEL_SIZE, PTE_W);
    map_range(side, CODE_BASE, CODE_GPA, CODE_SIZE, PTE_U);
    map_range(side, DATA_BASE, DATA_GPA, DATA_SIZE, PTE_U | PTE_W | PTE_NX);
    map_range(side, LOW_BASE, DATA_GPA + LOW_OFFSET, PAGE, PTE_U | PTE_W | PTE_NX);
    map_range(side, DATA_BASE + DATA_SIZE, DATA_GPA + READ_ONLY_OFFSET, PAGE, PTE_U | PTE_NX);
    build_kernel(side);
    memset(side->ram + CODE_GPA, FILLER, CODE_SIZE);
    build_state(&side->start);
    side->engine = engines_soft(&side->memory, error);
    if (!side->engine) {
        memory_destroy(&side->memory);
        free(side);
        return NULL;
    }
    return side;
}

void soft_side_rules(struct soft_side *side, struct personality personality)
{
    side->engine->ops->set_personality(side->engine, personality);
}

void soft_side_destroy(struct soft_side *side)
{
    if (!side)
        return;
    engine_destroy(side->engine);
    memory_destroy(&side->memory);
    free(side);
}

void soft_side_memory(struct soft_side *side, const uint8_t *initial)
{
    memcpy(side->initial, initial, MEMORY_SIZE);
    memcpy(side->ram + DATA_GPA, initial, MEMORY_SIZE);
}

/* Changes the code only where it differs from the last case's, whose decoded form is then kept. */
static void load_code(struct soft_side *side, const struct test_case *test)
{
    unsigned size = test->code_size + 1u, space = (unsigned)(CODE_SIZE - test->code_offset);
    if (size > space)
        size = space;
    if (test->code_offset == side->code_offset && size == side->code_size &&
        !memcmp(side->ram + CODE_GPA + test->code_offset, test->code, size))
        return;
    memset(side->ram + CODE_GPA + side->code_offset, FILLER, side->code_size);
    memcpy(side->ram + CODE_GPA + test->code_offset, test->code, size);
    engine_memory_changed(side->engine, CODE_GPA + side->code_offset, side->code_size);
    engine_memory_changed(side->engine, CODE_GPA + test->code_offset, size);
    side->code_offset = test->code_offset;
    side->code_size = size;
}

static void load_state(struct soft_side *side, const struct test_case *test)
{
    struct vcpu_state *state = &side->state;
    *state = side->start;
    memcpy(state->gpr, test->gpr, sizeof state->gpr);
    state->rip = test->rip;
    state->rflags = test->rflags | (test->trap ? FLAG_TF : 0);
    state->segment[SEG_CS] = test->compatibility
                                 ? (struct segment){0, 0xffffffff, SELECTOR_CODE32, 0xcfb}
                                 : (struct segment){0, 0xffffffff, SELECTOR_CODE64, 0xafb};
    state->fpu = test->fpu;
    state->fpu.mxcsr_mask = 0xffff;
}

/* Reads what the exception's frame tells; the vCPU stands in the handler's HLT. */
static void read_frame(struct soft_side *side, struct outcome *outcome)
{
    const struct vcpu_state *state = &side->state;
    unsigned vector = (unsigned)((state->rip - 1 - KERNEL_BASE - HANDLERS) / 16);
    outcome->vector = (uint16_t)vector;
    uint64_t at = state->gpr[RSP] - KERNEL_BASE;
    bool has_error = vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
    uint64_t frame[6] = {0};
    size_t size = has_error ? 48 : 40;
    if (at + size == STACK)
        memcpy(frame + (has_error ? 0 : 1), side->ram + KERNEL_GPA + at, size);
    else
        outcome->vector = FAILED;
    outcome->error = (uint32_t)frame[0];
    outcome->rip = frame[1];
    outcome->cs = (uint16_t)frame[2];
    outcome->rflags = frame[3];
    outcome->gpr[RSP] = frame[4];
    if (frame[5] != SELECTOR_DATA)
        outcome->vector = FAILED;
    outcome->cr2 = vector == 14 ? state->cr2 : 0;
}

static bool in_handler(const struct soft_side *side)
{
    return side->state.rip - KERNEL_BASE < KERNEL_SIZE;
}

static int run_to_end(struct soft_side *side, const struct test_case *test, struct error *error)
{
    const struct engine_ops *ops = side->engine->ops;
    struct run_request request = {.budget = test->block ? 1000000 : test->trap ? 2 : 1};
    for (int i = 0; i < 3; i++) {
        struct vcpu_exit exit;
        if (ops->run(side->engine, &request, &exit, error))
            return -1;
        if (exit.kind != EXIT_BUDGET && exit.kind != EXIT_HLT)
            return error_set(error, "unexpected exit %d", exit.kind);
        if (ops->complete(side->engine, 0, error) != ENGINE_DONE)
            return error_set(error, "exit %d does not complete", exit.kind);
        if (ops->export_state(side->engine, &side->state, error))
            return -1;
        if (side->state.halted || (!in_handler(side) && !test->block && !test->trap))
            return 0;
        request.budget = 1;
    }
    return error_set(
        error, "no end after the budget, at %#llx", (unsigned long long)side->state.rip);
}

int soft_side_run(struct soft_side *side, const struct test_case *test, struct outcome *outcome,
    struct error *error)
{
    load_code(side, test);
    load_state(side, test);
    int result = engine_import_state(side->engine, &side->state, error);
    if (!result)
        result = run_to_end(side, test, error);
    if (result) {
        outcome->vector = FAILED;
    } else {
        const struct vcpu_state *state = &side->state;
        memcpy(outcome->gpr, state->gpr, sizeof outcome->gpr);
        outcome->rip = state->rip;
        outcome->rflags = state->rflags;
        outcome->cs = state->segment[SEG_CS].selector;
        outcome->error = 0;
        outcome->cr2 = 0;
        outcome->vector = COMPLETED;
        if (state->halted)
            read_frame(side, outcome);
        if (outcome->vector == 1 && test->trap)
            outcome->vector = COMPLETED;
        outcome->fpu = state->fpu;
        outcome_fpu(&outcome->fpu);
    }
    outcome_memory(outcome, side->ram + DATA_GPA, side->initial);
    return result;
}
