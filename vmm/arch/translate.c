/* Translates guest-virtual addresses. */
#include "vmm/arch/translate.h"

#include <string.h>

enum { ENTRY_PRESENT = 1, ENTRY_WRITABLE = 2, ENTRY_USER = 4, ENTRY_LARGE = 0x80 };
#define ENTRY_NX      (1ull << 63)
#define ENTRY_ADDRESS 0x000ffffffffff000ull

/* The paging mode as numbers: entry size, index bits per level, levels. */
struct paging {
    unsigned levels, index_bits, entry_size;
};

static struct paging paging_mode(const struct vcpu_state *state)
{
    if (state->efer & EFER_LMA)
        return (struct paging){4, 9, 8};
    if (state->cr4 & CR4_PAE)
        return (struct paging){3, 9, 8};
    return (struct paging){2, 10, 4};
}

static bool read_entry(const struct memory *memory, uint64_t gpa, unsigned size, uint64_t *entry)
{
    *entry = 0;
    return memory_read(memory, gpa, entry, size);
}

static uint64_t root(const struct vcpu_state *state, const struct paging *paging)
{
    if (paging->levels == 3)
        return state->cr3 & 0xffffffe0;
    return state->cr3 & (paging->levels == 4 ? ENTRY_ADDRESS : 0xfffff000);
}

/* May an entry of `level` (1 = page table) map a page itself? */
static bool is_leaf(
    const struct vcpu_state *state, const struct paging *paging, unsigned level, uint64_t entry)
{
    if (level == 1)
        return true;
    if (!(entry & ENTRY_LARGE))
        return false;
    if (paging->levels == 2)
        return state->cr4 & CR4_PSE;
    return level == 2 || (level == 3 && paging->levels == 4);
}

static uint64_t leaf_base(const struct paging *paging, unsigned level, uint64_t entry)
{
    if (paging->levels == 2 && level == 2)
        return (entry & 0xffc00000) | ((entry >> 13) & 0xff) << 32;
    if (paging->levels == 2)
        return entry & 0xfffff000;
    uint64_t mask = (1ull << (12 + 9 * (level - 1))) - 1;
    return entry & ENTRY_ADDRESS & ~mask;
}

bool translate(const struct memory *memory, const struct vcpu_state *state, uint64_t linear,
    struct translation *result)
{
    *result = (struct translation){
        .page_size = PAGE_SIZE, .writable = true, .user = true, .executable = true};
    if (!(state->cr0 & CR0_PG)) {
        result->gpa = linear & UINT32_MAX;
        return true;
    }
    struct paging paging = paging_mode(state);
    if (paging.levels == 4 && (uint64_t)((int64_t)(linear << 16) >> 16) != linear)
        return false;
    uint64_t table = root(state, &paging);
    for (unsigned level = paging.levels; level >= 1; level--) {
        unsigned shift = 12 + (level - 1) * paging.index_bits;
        uint64_t index = (linear >> shift) & ((1u << paging.index_bits) - 1);
        if (paging.levels == 3 && level == 3)
            index &= 3;
        uint64_t at = table + index * paging.entry_size, entry;
        if (!read_entry(memory, at, paging.entry_size, &entry))
            return false;
        result->entry_gpa[result->levels] = at;
        result->entry[result->levels++] = entry;
        if (!(entry & ENTRY_PRESENT))
            return false;
        bool has_rights = !(paging.levels == 3 && level == 3);
        if (has_rights) {
            result->writable &= (entry & ENTRY_WRITABLE) != 0;
            result->user &= (entry & ENTRY_USER) != 0;
            if (paging.entry_size == 8 && (entry & ENTRY_NX) && (state->efer & EFER_NXE))
                result->executable = false;
        }
        if (is_leaf(state, &paging, level, entry)) {
            result->page_size = 1ull << shift;
            result->gpa = leaf_base(&paging, level, entry) + (linear & (result->page_size - 1));
            return true;
        }
        table = paging.levels == 2 ? entry & 0xfffff000 : entry & ENTRY_ADDRESS;
    }
    return false;
}

uint64_t translate_read(const struct memory *memory, const struct vcpu_state *state,
    uint64_t linear, void *data, uint64_t size)
{
    uint64_t done = 0;
    while (done < size) {
        struct translation page;
        uint64_t at = linear + done;
        uint64_t chunk = PAGE_SIZE - (at & (PAGE_SIZE - 1));
        if (chunk > size - done)
            chunk = size - done;
        if (!translate(memory, state, at, &page) ||
            !memory_read(memory, page.gpa, (uint8_t *)data + done, chunk))
            break;
        done += chunk;
    }
    return done;
}

static uint64_t entry_at(const uint8_t *table, const struct paging *paging, unsigned index)
{
    uint64_t wide;
    uint32_t narrow;
    if (paging->entry_size == sizeof narrow) {
        memcpy(&narrow, table + index * sizeof narrow, sizeof narrow);
        return narrow;
    }
    memcpy(&wide, table + index * sizeof wide, sizeof wide);
    return wide;
}

/* A kernel has hundreds of tables, and a landing has them all looked through. */
static void visit_table(const struct memory *memory, const struct vcpu_state *state,
    const struct paging *paging, uint64_t table, unsigned level,
    void (*visit)(void *context, uint64_t gpa), void *context)
{
    visit(context, table & ~(PAGE_SIZE - 1));
    if (level == 1)
        return;
    const unsigned count = paging->levels == 3 && level == 3 ? 4 : 1u << paging->index_bits;
    const uint8_t *const entries = memory_at(memory, table, count * paging->entry_size);
    for (unsigned i = 0; i < count && entries; i++) {
        const uint64_t entry = entry_at(entries, paging, i);
        if (!(entry & ENTRY_PRESENT) || is_leaf(state, paging, level, entry))
            continue;
        uint64_t next = paging->levels == 2 ? entry & 0xfffff000 : entry & ENTRY_ADDRESS;
        if (memory_at(memory, next, PAGE_SIZE))
            visit_table(memory, state, paging, next, level - 1, visit, context);
    }
}

void translate_each_table(const struct memory *memory, const struct vcpu_state *state,
    void (*visit)(void *context, uint64_t gpa), void *context)
{
    if (!(state->cr0 & CR0_PG))
        return;
    struct paging paging = paging_mode(state);
    visit_table(memory, state, &paging, root(state, &paging), paging.levels, visit, context);
}
