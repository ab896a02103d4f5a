/* A small machine to try things out with. */
#include "vmm/kvm/trial.h"

#include "vmm/kvm/kvm.h"

enum { TABLES = 0x1000, GDT = 0x500, IDT = 0x8000, STACK = 0x30000, VECTOR = 0x20 };
/* Present, writable, for ring 3, accessed, dirty; and of 2 MiB. */
enum { ENTRY = 0x67, LARGE_ENTRY = ENTRY | 0x80 };

static struct segment segment(uint16_t selector, uint16_t type, unsigned dpl)
{
    return (struct segment){.limit = UINT32_MAX,
        .selector = (uint16_t)(selector | dpl),
        .attributes = (uint16_t)(type | SEG_ACCESSED | SEG_WRITABLE | SEG_S | SEG_P | SEG_G |
                                 dpl << SEG_DPL_SHIFT)};
}

void trial_state(struct trial *trial, struct vcpu_state *state, unsigned ring)
{
    const uint64_t entries[] = {(TABLES + 0x1000) | ENTRY, (TABLES + 0x2000) | ENTRY, LARGE_ENTRY};
    for (unsigned i = 0; i < 3 && !trial->remapped; i++)
        memory_write(&trial->memory, TABLES + i * PAGE_SIZE, &entries[i], 8);
    uint64_t handler = TRIAL_HANDLER;
    uint64_t gate[2] = {
        (handler & 0xffff) | 0x10ull << 16 | 0x8eull << 40 | (handler >> 16 & 0xffff) << 48,
        handler >> 32};
    memory_write(&trial->memory, IDT + VECTOR * 16, gate, sizeof gate);
    const uint64_t dpl = (uint64_t)ring << 45;
    const uint64_t gdt[] = {0, 0, 0x00af9b000000ffff | dpl, 0x00cf93000000ffff | dpl};
    memory_write(&trial->memory, GDT, gdt, sizeof gdt);

    vcpu_reset(state);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        state->segment[i] =
            i == SEG_CS ? segment(0x10, SEG_CODE | SEG_L, ring) : segment(0x18, SEG_DB, ring);
    state->tr = (struct segment){.selector = 0x20, .limit = 0x67, .attributes = 0xb | SEG_P};
    state->ldt = (struct segment){0};
    state->gdt = (struct descriptor_table){GDT, sizeof gdt - 1};
    state->idt = (struct descriptor_table){IDT, 0xfff};
    state->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    state->cr3 = TABLES;
    state->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    state->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
    state->rflags = FLAG_ONE | FLAG_IOPL;
    state->rip = TRIAL_CODE;
    state->gpr[RSP] = STACK;
}

void trial_remap(struct trial *trial, uint32_t linear, uint32_t gpa)
{
    enum { TABLE = TABLES + 0x3000 };
    const uint64_t link = TABLE | ENTRY;
    for (uint64_t i = 0; i < 512; i++) {
        const uint64_t page = i * PAGE_SIZE == linear ? gpa : i * PAGE_SIZE, entry = page | ENTRY;
        memory_write(&trial->memory, TABLE + i * 8, &entry, 8);
    }
    memory_write(&trial->memory, TABLES + 0x2000, &link, 8);
    trial->remapped = true;
}

int trial_load(struct trial *trial, const uint8_t *code, size_t size, unsigned ring, uint64_t count,
    struct error *error)
{
    struct vcpu_state state;
    trial_state(trial, &state, ring);
    state.gpr[RCX] = count;
    memory_write(&trial->memory, TRIAL_CODE, code, size);
    return trial->engine->ops->import_state(trial->engine, &state, error);
}

int trial_run(struct trial *trial, struct vcpu_exit *exit, struct error *error)
{
    const struct run_request request = {.budget = BUDGET_UNLIMITED};
    return trial->engine->ops->run(trial->engine, &request, exit, error);
}

bool trial_open(struct trial *trial, struct error *error)
{
    const struct memory_backend backend = {.size = 2 << 20};
    *trial = (struct trial){0};
    if (memory_create(&trial->memory, &backend, 1, error) < 0)
        return false;
    trial->engine = kvm_create(&trial->memory, PERSONALITY_OF_MODEL, error);
    if (!trial->engine)
        memory_destroy(&trial->memory);
    return trial->engine != NULL;
}

void trial_close(struct trial *trial)
{
    trial->engine->ops->destroy(trial->engine);
    memory_destroy(&trial->memory);
}
