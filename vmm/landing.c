#include "vmm/landing.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "vmm/translate.h"

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

static int digest_pages(struct machine *machine, const struct vcpu_state *state,
    const uint64_t *pages, unsigned count, uint64_t *digest, struct error *error)
{
    struct table_set tables = {0};
    translate_each_table(&machine->memory, state, add_table, &tables);
    if (tables.failed) {
        free(tables.pages);
        return error_set(error, "out of memory while digesting a landing");
    }
    if (tables.count)
        qsort(tables.pages, tables.count, sizeof tables.pages[0], compare_u64);
    bool wide = (state->efer & EFER_LMA) || (state->cr4 & CR4_PAE);
    XXH3_state_t hash;
    XXH3_64bits_reset(&hash);
    for (unsigned i = 0; i < count; i++) {
        uint8_t copy[PAGE_SIZE];
        const uint8_t *page = memory_at(&machine->memory, pages[i], PAGE_SIZE);
        if (!page) {
            free(tables.pages);
            return error_set(error, "a landing names the page %#llx, which is not RAM",
                (unsigned long long)pages[i]);
        }
        if (tables.count &&
            bsearch(&pages[i], tables.pages, tables.count, sizeof pages[i], compare_u64)) {
            copy_table(copy, page, wide);
            page = copy;
        }
        XXH3_64bits_update(&hash, page, PAGE_SIZE);
    }
    *digest = XXH3_64bits_digest(&hash);
    free(tables.pages);
    return 0;
}

/* Every page of RAM: when the software CPU also wrote in this stretch, KVM's log is not enough. */
static int all_pages(struct machine *machine, struct landing *landing, struct error *error)
{
    uint64_t count = machine->memory.size / PAGE_SIZE;
    uint64_t *pages = malloc(count * sizeof *pages);
    if (!pages)
        return error_set(error, "out of memory for a landing");
    unsigned n = 0;
    for (unsigned r = 0; r < 2; r++) {
        const struct memory_region *region = &machine->memory.region[r];
        for (uint64_t at = 0; at < region->size; at += PAGE_SIZE)
            pages[n++] = region->gpa + at;
    }
    free(landing->pages);
    landing->pages = pages;
    landing->page_count = n;
    return 0;
}

int landing_capture(struct machine *machine, struct landing *landing, struct error *error)
{
    *landing = (struct landing){0};
    struct engine *engine = machine->engine;
    if (engine->ops->export_state(engine, &landing->state, error) < 0 ||
        engine->ops->take_dirty_pages(engine, &landing->pages, &landing->page_count, error) < 0)
        return -1;
    if ((machine->assisted && all_pages(machine, landing, error) < 0) ||
        digest_pages(machine, &landing->state, landing->pages, landing->page_count,
            &landing->pages_digest, error) < 0) {
        landing_free(landing);
        return -1;
    }
    return 0;
}

void landing_free(struct landing *landing)
{
    free(landing->pages);
    landing->pages = NULL;
    landing->page_count = 0;
}

int landing_matches(struct machine *machine, const struct landing *landing, struct error *error)
{
    struct vcpu_state state;
    struct engine *engine = machine->engine;
    if (engine->ops->export_state(engine, &state, error) < 0)
        return -1;
    if (state.rip != landing->state.rip || state.rflags != landing->state.rflags ||
        memcmp(state.gpr, landing->state.gpr, sizeof state.gpr) != 0 ||
        vcpu_digest_full(&state) != vcpu_digest_full(&landing->state))
        return 0;
    uint64_t digest;
    if (digest_pages(machine, &state, landing->pages, landing->page_count, &digest, error) < 0)
        return -1;
    return digest == landing->pages_digest;
}

void landing_save(const struct landing *landing, struct buffer *out)
{
    vcpu_save(&landing->state, out);
    buffer_put_u64(out, landing->pages_digest);
    buffer_put_varint(out, landing->page_count);
    uint64_t last = 0;
    for (unsigned i = 0; i < landing->page_count; i++) {
        buffer_put_varint(out, (landing->pages[i] - last) / PAGE_SIZE);
        last = landing->pages[i];
    }
}

int landing_restore(struct landing *landing, struct reader *in, struct error *error)
{
    *landing = (struct landing){0};
    vcpu_restore(&landing->state, in);
    landing->pages_digest = reader_get_u64(in);
    uint64_t count = reader_get_varint(in);
    if (in->failed || count > reader_left(in))
        return error_set(error, "a landing record is damaged");
    landing->pages = malloc((count + 1) * sizeof *landing->pages);
    if (!landing->pages)
        return error_set(error, "out of memory for a landing");
    uint64_t last = 0;
    for (uint64_t i = 0; i < count; i++) {
        last += reader_get_varint(in) * PAGE_SIZE;
        landing->pages[i] = last;
    }
    landing->page_count = (unsigned)count;
    if (in->failed) {
        landing_free(landing);
        return error_set(error, "a landing record is damaged");
    }
    return 0;
}
