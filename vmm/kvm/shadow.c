/* Shadow page tables: made on demand, and kept as long as the guest's tables stay as they were. */
#include "vmm/kvm/shadow.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/arch/cpuid.h"

enum { TOP = 0, PAGE_BITS = 12, INDEX_BITS = 9 };

int shadow_create(struct shadow *shadow, const struct memory *memory, void *entries, uint64_t gpa,
    unsigned count, struct error *error)
{
    *shadow = (struct shadow){.memory = memory, .entries = entries, .gpa = gpa, .count = count};
    shadow->tables = calloc(count, sizeof *shadow->tables);
    if (!shadow->tables)
        return error_set(error, "kvm: out of memory for page tables");
    return 0;
}

void shadow_destroy(struct shadow *shadow)
{
    free(shadow->tables);
    shadow->tables = NULL;
}

static unsigned index_of(uint64_t linear, unsigned level)
{
    return linear >> (PAGE_BITS + (level - 1) * INDEX_BITS) & (SHADOW_ENTRIES - 1);
}

/* The table that an entry of ours names. */
static unsigned child_of(const struct shadow *shadow, uint64_t entry)
{
    return (unsigned)(((entry & SHADOW_ADDRESS) - shadow->gpa) / PAGE_SIZE);
}

static bool is_leaf(uint64_t entry, unsigned level)
{
    return level == 1 || (level < SHADOW_LEVELS && (entry & SHADOW_LARGE));
}

/* ---- What an entry allows ----------------------------------------------------------------------
 */

/* May ring 3 go by this entry without a bit being set in it? Reserved bits: APM volume 2, 5.3. */
static bool is_usable(const struct shadow *shadow, uint64_t entry, unsigned level)
{
    const uint64_t wanted = SHADOW_PRESENT | SHADOW_USER | SHADOW_ACCESSED;
    uint64_t reserved = SHADOW_ADDRESS & ~((1ull << CPUID_PHYSICAL_BITS) - 1);
    if (!shadow->nxe)
        reserved |= SHADOW_NX;
    if (level == SHADOW_LEVELS)
        reserved |= SHADOW_LARGE;
    return (entry & wanted) == wanted && !(entry & reserved);
}

/* Ours for a page of the guest's; 0: there is none. */
static uint64_t leaf_for(const struct shadow *shadow, uint64_t entry, unsigned level)
{
    const uint64_t size = 1ull << (PAGE_BITS + (level - 1) * INDEX_BITS);
    const uint64_t pat = level > 1 ? PAGE_SIZE : 0; /* a bit of its own in large pages */
    uint64_t gpa = entry & SHADOW_ADDRESS & ~pat;
    if (!is_usable(shadow, entry, level) || gpa % size || level > 2 ||
        !memory_at(shadow->memory, gpa, size))
        return 0;
    uint64_t ours =
        gpa | SHADOW_PRESENT | SHADOW_USER | SHADOW_ACCESSED | SHADOW_DIRTY | (entry & SHADOW_NX);
    if (level > 1)
        ours |= SHADOW_LARGE;
    if (entry & SHADOW_DIRTY)
        ours |= entry & SHADOW_WRITABLE;
    if (shadow->may_execute && level == 1)
        ours |= SHADOW_NX;
    return ours;
}

/* Is it a large page that is mapped in small ones, because code in it is to be looked at? */
static bool is_split(const struct shadow *shadow, uint64_t entry, unsigned level)
{
    return shadow->may_execute && level == 2 && (entry & SHADOW_LARGE) && !(entry & SHADOW_NX) &&
           leaf_for(shadow, entry, level);
}

/*
 * Makes a leaf of ours executable, or writable again, for an access that the guest's entry allows.
 * One goes without the other, lest code be written that was not looked at.
 */
static void change_leaf(struct shadow *shadow, unsigned number, unsigned index, unsigned access)
{
    const struct shadow_table *table = &shadow->tables[number];
    uint64_t *ours = &shadow->entries[number][index];
    const uint64_t plain = leaf_for(shadow, table->copy[index], table->level);
    if (access & SHADOW_ACCESS_EXECUTE) {
        const uint8_t *code = memory_at(shadow->memory, *ours & SHADOW_ADDRESS, PAGE_SIZE);
        if (!(*ours & SHADOW_NX) || (table->copy[index] & SHADOW_NX) ||
            !shadow->may_execute(code, PAGE_SIZE))
            return;
        shadow->stale |= (*ours & SHADOW_WRITABLE) != 0;
        *ours &= ~(SHADOW_NX | SHADOW_WRITABLE);
    } else if ((access & SHADOW_ACCESS_WRITE) && *ours != plain) {
        shadow->stale |= !(*ours & SHADOW_NX);
        *ours = plain;
    }
}

static uint64_t link_to(const struct shadow *shadow, unsigned child, uint64_t entry)
{
    return (shadow->gpa + child * PAGE_SIZE) | SHADOW_PRESENT | SHADOW_USER | SHADOW_ACCESSED |
           (entry & (SHADOW_WRITABLE | SHADOW_NX));
}

/* ---- The tables --------------------------------------------------------------------------------
 */

static void release_all(struct shadow *shadow)
{
    for (unsigned i = 1; i < shadow->used; i++)
        shadow->tables[i].level = 0;
    shadow->free = 0;
    shadow->used = 1;
}

static void release(struct shadow *shadow, unsigned number)
{
    struct shadow_table *table = &shadow->tables[number];
    for (unsigned i = 0; i < SHADOW_ENTRIES && table->level > 1; i++) {
        uint64_t ours = shadow->entries[number][i];
        if ((ours & SHADOW_PRESENT) && !(ours & SHADOW_LARGE))
            release(shadow, child_of(shadow, ours));
    }
    table->level = 0;
    table->next = shadow->free;
    shadow->free = number;
}

/* Is the child what an entry of the guest's leads to? */
static bool is_child_for(
    const struct shadow *shadow, unsigned child, uint64_t entry, unsigned level)
{
    const struct shadow_table *table = &shadow->tables[child];
    if (is_split(shadow, entry, level))
        return table->large == entry;
    return !table->large && table->guest == (entry & SHADOW_ADDRESS) &&
           is_usable(shadow, entry, level);
}

/* Takes one entry over from the guest's table. */
static void take_over(struct shadow *shadow, unsigned number, unsigned index, uint64_t entry)
{
    struct shadow_table *table = &shadow->tables[number];
    uint64_t *ours = &shadow->entries[number][index];
    const uint64_t before = *ours;
    const bool linked = (before & SHADOW_PRESENT) && !is_leaf(before, table->level);
    uint64_t after = 0;
    table->copy[index] = entry;
    if (number == TOP && index == shadow->own && shadow->own)
        return;
    if (is_leaf(entry, table->level) && !is_split(shadow, entry, table->level))
        after = leaf_for(shadow, entry, table->level);
    else if (linked && is_child_for(shadow, child_of(shadow, before), entry, table->level))
        after = link_to(shadow, child_of(shadow, before), entry);
    if (before == after)
        return;
    if (linked && (!after || is_leaf(after, table->level)))
        release(shadow, child_of(shadow, before));
    shadow->stale |= (before & SHADOW_PRESENT) != 0;
    *ours = after;
}

static const uint64_t *guest_table(const struct shadow *shadow, uint64_t gpa)
{
    return (const uint64_t *)(const void *)memory_at(shadow->memory, gpa, PAGE_SIZE);
}

static void fill(struct shadow *shadow, unsigned number, const uint64_t *guest)
{
    memset(shadow->entries[number], 0, sizeof shadow->entries[number]);
    for (unsigned i = 0; i < SHADOW_ENTRIES; i++)
        take_over(shadow, number, i, guest[i]);
}

static void begin(struct shadow *shadow, uint64_t guest, bool nxe)
{
    release_all(shadow);
    shadow->nxe = nxe;
    shadow->stale = true;
    shadow->tables[TOP].guest = guest;
    shadow->tables[TOP].level = SHADOW_LEVELS;
    static const uint64_t nothing[SHADOW_ENTRIES];
    const uint64_t *top = guest_table(shadow, guest);
    fill(shadow, TOP, top ? top : nothing);
    if (shadow->own)
        shadow->entries[TOP][shadow->own] = shadow->own_entry;
}

static void follow_table(struct shadow *shadow, unsigned number)
{
    struct shadow_table *table = &shadow->tables[number];
    const uint64_t *guest = table->large ? NULL : guest_table(shadow, table->guest);
    if (!guest || memcmp(guest, table->copy, sizeof table->copy) == 0)
        return;
    for (unsigned i = 0; i < SHADOW_ENTRIES; i++)
        if (guest[i] != table->copy[i])
            take_over(shadow, number, i, guest[i]);
}

void shadow_follow(struct shadow *shadow, const struct vcpu_state *state)
{
    const uint64_t guest = state->cr3 & SHADOW_ADDRESS;
    const bool nxe = (state->efer & EFER_NXE) != 0;
    if (!shadow->tables[TOP].level || shadow->tables[TOP].guest != guest || shadow->nxe != nxe) {
        begin(shadow, guest, nxe);
        return;
    }
    for (unsigned i = 0; i < shadow->used; i++)
        if (shadow->tables[i].level)
            follow_table(shadow, i);
}

static unsigned take_free(struct shadow *shadow)
{
    const unsigned number = shadow->free ? shadow->free : shadow->used++;
    if (number == shadow->free)
        shadow->free = shadow->tables[number].next;
    return number;
}

static void fill_split(struct shadow *shadow, unsigned number, uint64_t large)
{
    const uint64_t flags =
        SHADOW_PRESENT | SHADOW_WRITABLE | SHADOW_USER | SHADOW_ACCESSED | SHADOW_DIRTY;
    const uint64_t size = (uint64_t)SHADOW_ENTRIES * PAGE_SIZE;
    const uint64_t first = (large & SHADOW_ADDRESS & ~(size - 1)) | (large & flags);
    uint64_t small[SHADOW_ENTRIES];
    for (unsigned i = 0; i < SHADOW_ENTRIES; i++)
        small[i] = first + i * PAGE_SIZE;
    fill(shadow, number, small);
}

/* A new table in the place of an entry that is not ours yet; 0: there is none in RAM. */
static unsigned make_child(struct shadow *shadow, unsigned number, unsigned index)
{
    const struct shadow_table *table = &shadow->tables[number];
    const uint64_t entry = table->copy[index];
    const bool split = is_split(shadow, entry, table->level);
    const uint64_t *guest = split ? NULL : guest_table(shadow, entry & SHADOW_ADDRESS);
    if (!split && (!guest || !is_usable(shadow, entry, table->level)))
        return 0;
    const unsigned child = take_free(shadow);
    shadow->tables[child].guest = entry & SHADOW_ADDRESS;
    shadow->tables[child].large = split ? entry : 0;
    shadow->tables[child].level = table->level - 1;
    if (split)
        fill_split(shadow, child, entry);
    else
        fill(shadow, child, guest);
    shadow->entries[number][index] = link_to(shadow, child, entry);
    return child;
}

static bool has_room(const struct shadow *shadow, unsigned wanted)
{
    unsigned found = shadow->count - shadow->used;
    for (unsigned i = shadow->free; i && found < wanted; i = shadow->tables[i].next)
        found++;
    return found >= wanted;
}

bool shadow_map(struct shadow *shadow, uint64_t linear, unsigned access)
{
    /* Half of the sign is in the top entry's number already. */
    if ((uint64_t)((int64_t)(linear << 16) >> 16) != linear)
        return false;
    if (!has_room(shadow, SHADOW_LEVELS - 1)) {
        const uint64_t own_top = shadow->tables[TOP].guest;
        begin(shadow, own_top, shadow->nxe);
    }
    uint64_t wanted = SHADOW_PRESENT | SHADOW_USER;
    if (access & SHADOW_ACCESS_WRITE)
        wanted |= SHADOW_WRITABLE;
    unsigned number = TOP;
    for (unsigned level = SHADOW_LEVELS;; level--) {
        const unsigned index = index_of(linear, level);
        const uint64_t guest = shadow->tables[number].copy[index];
        if (!shadow->entries[number][index] &&
            (!is_leaf(guest, level) || is_split(shadow, guest, level)) &&
            !make_child(shadow, number, index))
            return false;
        if (shadow->may_execute && level == 1 && shadow->entries[number][index])
            change_leaf(shadow, number, index, access);
        const uint64_t entry = shadow->entries[number][index];
        if ((entry & wanted) != wanted || ((access & SHADOW_ACCESS_EXECUTE) && (entry & SHADOW_NX)))
            return false;
        if (is_leaf(entry, level))
            return true;
        number = child_of(shadow, entry);
    }
}

unsigned shadow_unused(const struct shadow *shadow, const struct vcpu_state *state)
{
    const uint64_t *top = guest_table(shadow, state->cr3 & SHADOW_ADDRESS);
    const uint64_t reached = SHADOW_PRESENT | SHADOW_USER;
    if (!top)
        return 0;
    if (shadow->own && (top[shadow->own] & reached) != reached)
        return shadow->own;
    for (unsigned i = SHADOW_ENTRIES - 1; i >= SHADOW_ENTRIES / 2; i--)
        if ((top[i] & reached) != reached)
            return i;
    return 0;
}

void shadow_set_own(struct shadow *shadow, unsigned index, uint64_t entry)
{
    assert(index < SHADOW_ENTRIES);
    shadow->own = index;
    shadow->own_entry = entry;
    shadow->tables[TOP].level = 0; /* made anew when it is followed next */
}
