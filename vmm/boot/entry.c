/* First register states: 64-bit mode over an identity map, and flat 32-bit protected mode. */
#include "vmm/boot/internal.h"

enum { SELECTOR_CODE = 0x10, SELECTOR_DATA = 0x18, SELECTOR_TSS = 0x20 };

static struct segment flat(uint16_t selector, uint16_t attributes)
{
    return (struct segment){.limit = UINT32_MAX,
        .selector = selector,
        .attributes = (uint16_t)(attributes | SEG_P | SEG_G | SEG_ACCESSED)};
}

/* The descriptor that describes the segment, for guests that reload it before making their own GDT.
 */
static uint64_t descriptor(const struct segment *segment)
{
    uint64_t limit = segment->attributes & SEG_G ? segment->limit >> 12 : segment->limit;
    return (limit & 0xffff) | (segment->base & 0xffffff) << 16 |
           (uint64_t)(segment->attributes & 0xff) << 40 | (limit >> 16) << 48 |
           (uint64_t)(segment->attributes >> 8) << 52 | ((segment->base >> 24) & 0xff) << 56;
}

static void set_segments(
    struct memory *memory, uint64_t area, struct vcpu_state *state, uint16_t code_bits)
{
    struct segment code = flat(SELECTOR_CODE, SEG_S | SEG_CODE | SEG_WRITABLE | code_bits);
    struct segment data = flat(SELECTOR_DATA, SEG_S | SEG_WRITABLE | SEG_DB);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        state->segment[i] = i == SEG_CS ? code : data;
    enum { BUSY_TSS = 0xb };
    state->tr =
        (struct segment){.selector = SELECTOR_TSS, .limit = 0x67, .attributes = BUSY_TSS | SEG_P};
    state->ldt = (struct segment){0};
    uint64_t gdt[6] = {0};
    gdt[SELECTOR_CODE / 8] = descriptor(&code);
    gdt[SELECTOR_DATA / 8] = descriptor(&data);
    gdt[SELECTOR_TSS / 8] = descriptor(&state->tr);
    memory_write(memory, area + BOOT_GDT, gdt, sizeof gdt);
    state->gdt = (struct descriptor_table){area + BOOT_GDT, sizeof gdt - 1};
    state->idt = (struct descriptor_table){0, 0};
    state->rflags = FLAG_ONE;
}

void boot_enter_protected_mode(
    struct memory *memory, const struct boot_layout *layout, struct vcpu_state *state)
{
    set_segments(memory, layout->area, state, SEG_DB);
    state->cr0 = CR0_PE | CR0_ET;
    state->rip = layout->entry;
}

void boot_enter_long_mode(
    struct memory *memory, const struct boot_layout *layout, struct vcpu_state *state)
{
    enum { PRESENT = 1, WRITABLE = 2, LARGE = 0x80 };
    const uint64_t tables = layout->area + BOOT_PAGE_TABLES;
    const uint64_t pdpt = tables + PAGE_SIZE, directories = pdpt + PAGE_SIZE;
    uint64_t entry = pdpt | PRESENT | WRITABLE;
    memory_write(memory, tables, &entry, sizeof entry);
    for (unsigned gigabyte = 0; gigabyte < 4; gigabyte++) {
        entry = (directories + gigabyte * PAGE_SIZE) | PRESENT | WRITABLE;
        memory_write(memory, pdpt + gigabyte * 8, &entry, sizeof entry);
    }
    for (uint64_t page = 0; page < 4 * 512; page++) {
        entry = page << 21 | PRESENT | WRITABLE | LARGE;
        memory_write(memory, directories + page * 8, &entry, sizeof entry);
    }
    set_segments(memory, layout->area, state, SEG_L);
    state->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    state->cr3 = tables;
    state->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    state->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
    state->rip = layout->entry;
    state->gpr[RSI] = layout->area + BOOT_START_INFO;
}
