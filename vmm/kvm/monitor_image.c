/* The monitor's memory: descriptor tables, stubs, stack, and the tables that map them. */
#include "vmm/kvm/monitor_image.h"

#include <string.h>

#include "vmm/arch/translate.h"

enum { VECTORS = 256, STUB_SIZE = 4, FLUSHER = VECTORS * STUB_SIZE };
enum { PTE_P = 1, PTE_W = 2, PTE_A = 0x20, PTE_D = 0x40 };
#define PTE_NX (1ull << 63)

enum { DESCRIPTOR_SIZE = 8, GDT_SLOTS = 8192 };
enum { TYPE_CALL_GATE = 12, TYPE_TSS_BUSY = 11, SELECTOR_LDT = 4 };
#define CODE_DESCRIPTOR 0x00af9b000000ffffull /* 64-bit code of ring 0, accessed */
#define TSS_SIZE        104

static uint8_t *page(const struct monitor_image *image, unsigned number)
{
    return image->host + number * PAGE_SIZE;
}

static uint64_t linear(const struct monitor_image *image, unsigned number)
{
    return image->base + number * PAGE_SIZE;
}

static uint64_t stack_top(const struct monitor_image *image)
{
    return linear(image, MONITOR_STACK) + PAGE_SIZE;
}

static void put64(uint8_t *at, uint64_t value)
{
    memcpy(at, &value, sizeof value);
}

/* ---- Building ----------------------------------------------------------------------------------
 */

static void fill_tables(const struct monitor_image *image)
{
    const uint64_t link = PTE_P | PTE_W | PTE_A;
    uint8_t *tables = page(image, MONITOR_TABLES);
    const uint64_t gpa = image->gpa + MONITOR_TABLES * PAGE_SIZE;
    memset(tables, 0, 3 * PAGE_SIZE);
    put64(tables, (gpa + PAGE_SIZE) | link);
    put64(tables + PAGE_SIZE, (gpa + 2 * PAGE_SIZE) | link);
    for (unsigned i = 0; i < MONITOR_MAPPED; i++) {
        uint64_t rights = PTE_P | PTE_A | PTE_D;
        if (i == MONITOR_STACK)
            rights |= PTE_W;
        if (i != MONITOR_CODE)
            rights |= PTE_NX;
        put64(tables + 2 * PAGE_SIZE + 8 * i, (image->gpa + i * PAGE_SIZE) | rights);
    }
}

/* Each: OUT to the vector's port; HLT, which is not come to. And: MOV RAX, CR3; MOV CR3, RAX; OUT.
 */
static void fill_code(const struct monitor_image *image)
{
    static const uint8_t flusher[] = {
        0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8, 0xe6, MONITOR_FLUSHED, 0xf4};
    uint8_t *code = page(image, MONITOR_CODE);
    for (unsigned i = 0; i < VECTORS; i++) {
        const uint8_t stub[STUB_SIZE] = {0xe6, (uint8_t)i, 0xf4, 0xf4};
        memcpy(code + i * STUB_SIZE, stub, sizeof stub);
    }
    memcpy(code + FLUSHER, flusher, sizeof flusher);
}

/* RSP of ring 0 and no permission map. */
static void fill_tss(const struct monitor_image *image)
{
    const uint16_t map = TSS_SIZE;
    uint8_t *tss = page(image, MONITOR_TSS);
    memset(tss, 0, TSS_SIZE);
    put64(tss + 4, stack_top(image));
    memcpy(tss + 102, &map, sizeof map);
}

/* Interrupt gates of DPL 0 (APM volume 2, 4.8.4). */
static void fill_idt(const struct monitor_image *image)
{
    uint8_t *idt = page(image, MONITOR_IDT);
    for (unsigned i = 0; i < VECTORS; i++) {
        const uint64_t stub = linear(image, MONITOR_CODE) + i * STUB_SIZE;
        put64(idt + 16 * i, (stub & 0xffff) | (uint64_t)image->selector << 16 | 0x8eull << 40 |
                                (stub >> 16 & 0xffff) << 48);
        put64(idt + 16 * i + 8, stub >> 32);
    }
}

void monitor_image_place(struct monitor_image *image, unsigned index)
{
    image->base = (uint64_t)((int64_t)((uint64_t)index << 39 << 16) >> 16);
    image->selector = 0;
    fill_tables(image);
    fill_code(image);
    fill_tss(image);
}

uint64_t monitor_image_entry(const struct monitor_image *image)
{
    return (image->gpa + MONITOR_TABLES * PAGE_SIZE) | PTE_P | PTE_W | PTE_A;
}

/* ---- The guest's tables ------------------------------------------------------------------------
 */

/* Is nothing set when the processor reads a descriptor from here? */
static bool is_accessed(
    const struct memory *memory, const struct vcpu_state *guest, uint64_t address)
{
    struct translation found;
    if (!translate(memory, guest, address, &found))
        return false;
    for (unsigned i = 0; i < found.levels; i++)
        if (!(found.entry[i] & PTE_A))
            return false;
    return true;
}

/* A gate that ring 3 could call through; the second half of a longer descriptor may look so. */
static bool has_call_gate(const uint8_t *table, uint32_t size)
{
    for (uint32_t i = 0; i + DESCRIPTOR_SIZE <= size; i += DESCRIPTOR_SIZE) {
        const uint8_t rights = table[i + 5];
        if ((rights & (SEG_P | 3 << SEG_DPL_SHIFT | SEG_S | SEG_TYPE)) ==
            (SEG_P | 3 << SEG_DPL_SHIFT | TYPE_CALL_GATE))
            return true;
    }
    return false;
}

static bool copy_table(uint8_t *to, const struct memory *memory, const struct vcpu_state *guest,
    uint64_t base, uint32_t size)
{
    for (uint64_t at = base; at < base + size; at = (at | (PAGE_SIZE - 1)) + 1)
        if (!is_accessed(memory, guest, at))
            return false;
    return translate_read(memory, guest, base, to, size) == size && !has_call_gate(to, size);
}

bool monitor_image_take_tables(
    struct monitor_image *image, const struct memory *memory, const struct vcpu_state *guest)
{
    uint8_t *gdt = page(image, MONITOR_GDT);
    const uint32_t size = guest->gdt.limit + 1u;
    const uint32_t slots = (size + DESCRIPTOR_SIZE - 1) / DESCRIPTOR_SIZE;
    if (slots >= GDT_SLOTS || !copy_table(gdt, memory, guest, guest->gdt.base, size))
        return false;
    memset(gdt + size, 0, slots * DESCRIPTOR_SIZE - size);
    put64(gdt + slots * DESCRIPTOR_SIZE, CODE_DESCRIPTOR);
    if ((guest->ldt.attributes & SEG_P) &&
        (guest->ldt.limit > UINT16_MAX || !copy_table(page(image, MONITOR_LDT), memory, guest,
                                              guest->ldt.base, guest->ldt.limit + 1u)))
        return false;
    if (image->selector != slots * DESCRIPTOR_SIZE) {
        image->selector = (uint16_t)(slots * DESCRIPTOR_SIZE);
        fill_idt(image);
    }
    return true;
}

bool monitor_image_segment(
    const struct monitor_image *image, uint16_t selector, struct segment *segment)
{
    const unsigned table = selector & SELECTOR_LDT ? MONITOR_LDT : MONITOR_GDT;
    uint64_t raw;
    memcpy(&raw, page(image, table) + (selector & ~7u), sizeof raw);
    const uint32_t limit = (raw & 0xffff) | (raw >> 32 & 0xf0000);
    *segment = (struct segment){
        .base = (raw >> 16 & 0xffffff) | (raw >> 56) << 24,
        .limit = limit,
        .selector = selector,
        .attributes = (uint16_t)((raw >> 40 & 0xff) | (raw >> 52 & 0xf) << 8),
    };
    if (segment->attributes & SEG_G)
        segment->limit = limit << 12 | 0xfff;
    return (segment->attributes & (SEG_P | SEG_S | 3 << SEG_DPL_SHIFT)) ==
           (SEG_P | SEG_S | 3 << SEG_DPL_SHIFT);
}

/* ---- In use ------------------------------------------------------------------------------------
 */

void monitor_image_install(const struct monitor_image *image, struct vcpu_state *state)
{
    state->gdt.base = linear(image, MONITOR_GDT);
    state->gdt.limit = (uint16_t)(image->selector + DESCRIPTOR_SIZE - 1);
    state->idt = (struct descriptor_table){linear(image, MONITOR_IDT), VECTORS * 16 - 1};
    if (state->ldt.attributes & SEG_P)
        state->ldt.base = linear(image, MONITOR_LDT);
    state->tr.base = linear(image, MONITOR_TSS);
    state->tr.limit = TSS_SIZE - 1;
    state->tr.attributes = SEG_P | TYPE_TSS_BUSY;
}

void monitor_image_flusher(const struct monitor_image *image, struct vcpu_state *state)
{
    state->segment[SEG_CS] = (struct segment){.limit = UINT32_MAX,
        .selector = image->selector,
        .attributes = SEG_P | SEG_S | SEG_CODE | SEG_WRITABLE | SEG_ACCESSED | SEG_L | SEG_G};
    state->segment[SEG_SS] = (struct segment){0};
    state->rip = linear(image, MONITOR_CODE) + FLUSHER;
    state->gpr[RSP] = stack_top(image);
    state->rflags = FLAG_ONE;
}

bool monitor_image_frame(
    const struct monitor_image *image, uint64_t rsp, struct monitor_frame *frame)
{
    enum { WITH_ERROR = sizeof *frame, WITHOUT_ERROR = WITH_ERROR - 8 };
    const uint64_t depth = stack_top(image) - rsp;
    if (depth != WITH_ERROR && depth != WITHOUT_ERROR)
        return false;
    memcpy(frame, page(image, MONITOR_STACK) + PAGE_SIZE - WITH_ERROR, WITH_ERROR);
    if (depth == WITHOUT_ERROR)
        frame->error = 0;
    return true;
}
