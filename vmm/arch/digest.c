/* Digests of guest RAM. */
#include "vmm/arch/digest.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "vmm/arch/translate.h"

struct table_set {
    uint64_t *pages;
    size_t count, capacity;
    bool failed;
};

static void add_table(void *context, uint64_t gpa)
{
    struct table_set *set = context;
    if (set->count == set->capacity) {
        size_t capacity = set->capacity ? set->capacity * 2 : 64;
        uint64_t *pages = realloc(set->pages, capacity * sizeof *pages);
        if (!pages) {
            set->failed = true;
            return;
        }
        set->pages = pages;
        set->capacity = capacity;
    }
    set->pages[set->count++] = gpa;
}

static int compare_u64(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* Copies a page of paging structures without accessed (5) and dirty (6) bits. */
static void copy_table(uint8_t *to, const uint8_t *from, bool wide)
{
    const uint64_t clear = wide ? 0x60ull : 0x0000006000000060ull;
    for (size_t i = 0; i < PAGE_SIZE; i += 8) {
        uint64_t entry;
        memcpy(&entry, from + i, 8);
        entry &= ~clear;
        memcpy(to + i, &entry, 8);
    }
}

static int collect_tables(const struct memory *memory, const struct vcpu_state *state,
    struct table_set *tables, struct error *error)
{
    *tables = (struct table_set){0};
    translate_each_table(memory, state, add_table, tables);
    if (tables->failed) {
        free(tables->pages);
        return error_set(error, "out of memory while digesting guest memory");
    }
    if (tables->count)
        qsort(tables->pages, tables->count, sizeof tables->pages[0], compare_u64);
    return 0;
}

static bool has_wide_entries(const struct vcpu_state *state)
{
    return (state->efer & EFER_LMA) || (state->cr4 & CR4_PAE);
}

static bool is_table(const struct table_set *tables, uint64_t gpa)
{
    return tables->count &&
           bsearch(&gpa, tables->pages, tables->count, sizeof gpa, compare_u64) != NULL;
}

static void hash_page(XXH3_state_t *hash, const struct vcpu_state *state,
    const struct table_set *tables, uint64_t gpa, const uint8_t *page)
{
    uint8_t copy[PAGE_SIZE];
    if (is_table(tables, gpa)) {
        copy_table(copy, page, has_wide_entries(state));
        page = copy;
    }
    XXH3_64bits_update(hash, page, PAGE_SIZE);
}

static uint64_t digest_page(const struct vcpu_state *state, const uint8_t *page, bool table)
{
    uint8_t copy[PAGE_SIZE];
    if (!table)
        return XXH3_64bits(page, PAGE_SIZE);
    copy_table(copy, page, has_wide_entries(state));
    return XXH3_64bits(copy, PAGE_SIZE);
}

int digest_pages(const struct memory *memory, const struct vcpu_state *state,
    struct page_digest *pages, unsigned count, struct error *error)
{
    struct table_set tables;
    if (collect_tables(memory, state, &tables, error) < 0)
        return -1;
    int result = 0;
    for (unsigned i = 0; i < count && result == 0; i++) {
        const uint8_t *page = memory_at(memory, pages[i].gpa, PAGE_SIZE);
        pages[i].is_table = is_table(&tables, pages[i].gpa);
        if (page)
            pages[i].digest = digest_page(state, page, pages[i].is_table);
        else
            result =
                error_set(error, "the page %#llx is not RAM", (unsigned long long)pages[i].gpa);
    }
    free(tables.pages);
    return result;
}

bool digest_page_matches(
    const struct memory *memory, const struct vcpu_state *state, const struct page_digest *page)
{
    const uint8_t *host = memory_at(memory, page->gpa, PAGE_SIZE);
    return host && digest_page(state, host, page->is_table) == page->digest;
}

static bool is_zero(const uint8_t *page)
{
    return page[0] == 0 && memcmp(page, page + 1, PAGE_SIZE - 1) == 0;
}

int digest_memory(const struct memory *memory, const struct vcpu_state *state, uint64_t *digest,
    struct error *error)
{
    struct table_set tables;
    if (collect_tables(memory, state, &tables, error) < 0)
        return -1;
    XXH3_state_t hash;
    XXH3_64bits_reset(&hash);
    struct memory_walk walk;
    uint64_t offset;
    memory_walk_begin(&walk, memory);
    while (memory_walk_next(&walk, &offset)) {
        if (is_zero(memory->host + offset))
            continue;
        uint64_t gpa = memory_gpa(memory, offset);
        XXH3_64bits_update(&hash, &gpa, sizeof gpa);
        hash_page(&hash, state, &tables, gpa, memory->host + offset);
    }
    memory_walk_end(&walk);
    *digest = XXH3_64bits_digest(&hash);
    free(tables.pages);
    return 0;
}
