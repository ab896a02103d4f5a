/* Vector clocks over the accesses of a run. */
#include "debugger/races.h"

#include <stdlib.h>
#include <string.h>

enum {
    CELL_BYTES = 8, /* what one cell remembers accesses to */
    SYNC_BYTES = 4, /* what one synchronisation variable covers */
    CELL_RECORDS = 64,
    MAX_ENTRIES = 1 << 21, /* of each table */
};

struct vector_clock {
    uint64_t of[RACES_VCPUS];
};

/* An access that may race with a later one. */
struct record {
    struct timeline_access access;
    uint64_t time; /* on the vCPU's own clock */
    uint8_t mask;  /* bytes of the cell */
};

/* What is known of CELL_BYTES or of SYNC_BYTES of memory. */
struct entry {
    uint64_t key;
    struct record *records; /* cells */
    unsigned count, capacity;
    struct vector_clock *clock; /* synchronisation variables: what was released; NULL: nothing */
    uint8_t mask;               /* bytes that a locked access touched */
};

/* Open addressing; `slots` is a power of two, or 0. */
struct table {
    struct entry *entries;
    size_t slots, used;
};

struct pair {
    struct race race;
    uint64_t counted; /* the number of the access that it was last counted for */
};

struct races {
    struct races_range *ranges; /* ascending, apart from each other */
    unsigned range_count;
    struct vector_clock vcpu[RACES_VCPUS];
    struct vector_clock message[ACCESSES_MESSAGES];
    struct table cells, syncs;
    struct pair *pairs;
    unsigned pair_count;
    uint64_t accesses;
    bool overflowed;
};

/* ---- Tables ---------------------------------------------------------------------------------- */

static struct entry *slot_of(const struct table *table, uint64_t key)
{
    size_t at = (size_t)((key + 1) * 0x9e3779b97f4a7c15u >> 20) & (table->slots - 1);
    while (table->entries[at].key && table->entries[at].key != key + 1)
        at = (at + 1) & (table->slots - 1);
    return &table->entries[at];
}

static struct entry *find(const struct table *table, uint64_t key)
{
    struct entry *entry = table->slots ? slot_of(table, key) : NULL;
    return entry && entry->key ? entry : NULL;
}

static bool grow(struct table *table)
{
    struct table larger = {.slots = table->slots ? table->slots * 2 : 1024, .used = table->used};
    larger.entries = calloc(larger.slots, sizeof *larger.entries);
    if (!larger.entries)
        return false;
    for (size_t i = 0; i < table->slots; i++) {
        if (table->entries[i].key)
            *slot_of(&larger, table->entries[i].key - 1) = table->entries[i];
    }
    free(table->entries);
    *table = larger;
    return true;
}

/* Found or made; NULL: no room. */
static struct entry *make(struct table *table, uint64_t key)
{
    struct entry *entry = find(table, key);
    if (entry)
        return entry;
    if (table->used == MAX_ENTRIES || (table->used * 2 >= table->slots && !grow(table)))
        return NULL;
    entry = slot_of(table, key);
    entry->key = key + 1;
    table->used++;
    return entry;
}

static void free_table(struct table *table)
{
    for (size_t i = 0; i < table->slots; i++) {
        free(table->entries[i].records);
        free(table->entries[i].clock);
    }
    free(table->entries);
}

/* ---- Clocks ---------------------------------------------------------------------------------- */

static void join(struct vector_clock *clock, const struct vector_clock *other)
{
    for (unsigned i = 0; i < RACES_VCPUS; i++) {
        if (clock->of[i] < other->of[i])
            clock->of[i] = other->of[i];
    }
}

/* What the vCPU does from here on is not ordered by what was released. */
static void tick(struct races *races, unsigned vcpu)
{
    races->vcpu[vcpu].of[vcpu]++;
}

/* Which of the `bytes` bytes from `start` on are in [gpa, gpa + size). */
static uint8_t mask_of(uint64_t gpa, uint64_t size, uint64_t start, unsigned bytes)
{
    unsigned mask = 0;
    for (unsigned i = 0; i < bytes; i++)
        mask |= (unsigned)(start + i - gpa < size) << i;
    return (uint8_t)mask;
}

/* ---- Synchronisation ------------------------------------------------------------------------- */

static void learn(struct races *races, const struct memory_access *memory)
{
    uint64_t last = (memory->gpa + memory->size - 1) / SYNC_BYTES;
    for (uint64_t key = memory->gpa / SYNC_BYTES; key <= last; key++) {
        struct entry *sync = make(&races->syncs, key);
        if (sync)
            sync->mask |= mask_of(memory->gpa, memory->size, key * SYNC_BYTES, SYNC_BYTES);
        else
            races->overflowed = true;
    }
}

static bool is_sync(const struct races *races, const struct memory_access *memory)
{
    uint64_t last = (memory->gpa + memory->size - 1) / SYNC_BYTES;
    for (uint64_t key = memory->gpa / SYNC_BYTES; key <= last; key++) {
        const struct entry *sync = find(&races->syncs, key);
        if (sync && (sync->mask & mask_of(memory->gpa, memory->size, key * SYNC_BYTES, SYNC_BYTES)))
            return true;
    }
    return false;
}

static void release(struct races *races, struct entry *sync, unsigned vcpu)
{
    if (!sync->clock)
        sync->clock = malloc(sizeof *sync->clock);
    if (sync->clock)
        *sync->clock = races->vcpu[vcpu];
    else
        races->overflowed = true;
}

static void synchronise(struct races *races, const struct timeline_access *access)
{
    const struct memory_access *memory = &access->memory;
    uint64_t first = memory->gpa / SYNC_BYTES;
    uint64_t last = (memory->gpa + memory->size - 1) / SYNC_BYTES;
    for (uint64_t key = first; key <= last; key++) {
        struct entry *sync = find(&races->syncs, key);
        if (sync && sync->clock && (memory->is_atomic || !memory->is_write))
            join(&races->vcpu[access->vcpu], sync->clock);
    }
    if (!memory->is_write)
        return;
    for (uint64_t key = first; key <= last; key++) {
        struct entry *sync = find(&races->syncs, key);
        if (sync)
            release(races, sync, access->vcpu);
    }
    tick(races, access->vcpu);
}

void races_send(struct races *races, unsigned vcpu, unsigned message)
{
    join(&races->message[message], &races->vcpu[vcpu]);
    tick(races, vcpu);
}

void races_receive(struct races *races, unsigned vcpu, unsigned message)
{
    join(&races->vcpu[vcpu], &races->message[message]);
}

void races_start(struct races *races, unsigned vcpu, unsigned started)
{
    join(&races->vcpu[started], &races->vcpu[vcpu]);
    tick(races, vcpu);
}

/* ---- Races ----------------------------------------------------------------------------------- */

static bool same_place(const struct timeline_access *a, const struct timeline_access *b)
{
    return a->memory.rip == b->memory.rip && a->memory.is_write == b->memory.is_write;
}

static bool same_pair(const struct race *race, const struct timeline_access *first,
    const struct timeline_access *second)
{
    return (same_place(&race->first, first) && same_place(&race->second, second)) ||
           (same_place(&race->first, second) && same_place(&race->second, first));
}

/* An access that races with several of one place counts once. */
static void found(
    struct races *races, const struct timeline_access *first, const struct timeline_access *second)
{
    for (unsigned i = 0; i < races->pair_count; i++) {
        struct pair *pair = &races->pairs[i];
        if (!same_pair(&pair->race, first, second))
            continue;
        pair->race.count += pair->counted != races->accesses;
        pair->counted = races->accesses;
        return;
    }
    if (races->pair_count == RACES_MAX_PAIRS)
        races->overflowed = true;
    else
        races->pairs[races->pair_count++] = (struct pair){{*first, *second, 1}, races->accesses};
}

static void keep(struct races *races, struct entry *cell, const struct record *record)
{
    const struct timeline_access *access = &record->access;
    for (unsigned i = 0; i < cell->count; i++) {
        struct record *old = &cell->records[i];
        if (old->access.vcpu == access->vcpu &&
            old->access.memory.is_write == access->memory.is_write &&
            !(old->mask & ~record->mask)) {
            *old = *record;
            return;
        }
    }
    if (cell->count == cell->capacity) {
        unsigned capacity = cell->capacity ? cell->capacity * 2 : 2;
        struct record *records =
            capacity <= CELL_RECORDS ? realloc(cell->records, capacity * sizeof *records) : NULL;
        if (!records) {
            races->overflowed = true;
            return;
        }
        cell->records = records;
        cell->capacity = capacity;
    }
    cell->records[cell->count++] = *record;
}

/* Against what others did to these bytes. */
static void check(struct races *races, struct entry *cell, const struct record *record)
{
    const struct timeline_access *access = &record->access;
    const struct vector_clock *now = &races->vcpu[access->vcpu];
    for (unsigned i = 0; i < cell->count; i++) {
        const struct record *old = &cell->records[i];
        const struct timeline_access *other = &old->access;
        if (other->vcpu != access->vcpu && (old->mask & record->mask) &&
            (other->memory.is_write || access->memory.is_write) && old->time > now->of[other->vcpu])
            found(races, other, access);
    }
}

static void look(
    struct races *races, const struct timeline_access *access, uint64_t gpa, uint64_t size)
{
    uint64_t last = (gpa + size - 1) / CELL_BYTES;
    for (uint64_t key = gpa / CELL_BYTES; key <= last; key++) {
        struct entry *cell = make(&races->cells, key);
        const struct record record = {.access = *access,
            .time = races->vcpu[access->vcpu].of[access->vcpu],
            .mask = mask_of(gpa, size, key * CELL_BYTES, CELL_BYTES)};
        if (!cell) {
            races->overflowed = true;
            return;
        }
        check(races, cell, &record);
        keep(races, cell, &record);
    }
}

void races_learn(struct races *races, const struct timeline_access *access)
{
    if (access->memory.is_atomic)
        learn(races, &access->memory);
}

/* The first range that ends after the address. */
static unsigned find_range(const struct races *races, uint64_t gpa)
{
    unsigned low = 0, high = races->range_count;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (races->ranges[middle].gpa + races->ranges[middle].length > gpa)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

void races_access(struct races *races, const struct timeline_access *access)
{
    const struct memory_access *memory = &access->memory;
    races_learn(races, access);
    bool ordering = is_sync(races, memory);
    for (unsigned i = find_range(races, memory->gpa); i < races->range_count; i++) {
        const struct races_range *range = &races->ranges[i];
        uint64_t start = memory->gpa > range->gpa ? memory->gpa : range->gpa;
        uint64_t end = memory->gpa + memory->size, range_end = range->gpa + range->length;
        end = end < range_end ? end : range_end;
        if (start >= end)
            break;
        races->accesses++;
        if (!ordering)
            look(races, access, start, end - start);
    }
    if (ordering)
        synchronise(races, access);
}

/* ---- The interface --------------------------------------------------------------------------- */

static int compare_ranges(const void *a, const void *b)
{
    const struct races_range *one = a, *other = b;
    return (one->gpa > other->gpa) - (one->gpa < other->gpa);
}

static void put_in_order(struct races *races)
{
    struct races_range *ranges = races->ranges;
    unsigned kept = 0;
    qsort(ranges, races->range_count, sizeof *ranges, compare_ranges);
    for (unsigned i = 0; i < races->range_count; i++) {
        struct races_range *last = kept ? &ranges[kept - 1] : NULL;
        uint64_t end = ranges[i].gpa + ranges[i].length;
        if (!last || ranges[i].gpa > last->gpa + last->length)
            ranges[kept++] = ranges[i];
        else if (end > last->gpa + last->length)
            last->length = end - last->gpa;
    }
    races->range_count = kept;
}

struct races *races_create(const struct races_range *ranges, unsigned count)
{
    struct races *races = calloc(1, sizeof *races);
    if (!races)
        return NULL;
    races->ranges = malloc((count ? count : 1) * sizeof *ranges);
    races->pairs = malloc(RACES_MAX_PAIRS * sizeof *races->pairs);
    if (!races->ranges || !races->pairs) {
        races_destroy(races);
        return NULL;
    }
    memcpy(races->ranges, ranges, count * sizeof *ranges);
    races->range_count = count;
    put_in_order(races);
    for (unsigned i = 0; i < RACES_VCPUS; i++)
        races->vcpu[i].of[i] = 1;
    return races;
}

void races_destroy(struct races *races)
{
    if (!races)
        return;
    free_table(&races->cells);
    free_table(&races->syncs);
    free(races->ranges);
    free(races->pairs);
    free(races);
}

/* Where a locked access was made only after a pair was found, the pair was synchronisation. */
const struct race *races_at(const struct races *races, unsigned number)
{
    for (unsigned i = 0; i < races->pair_count; i++) {
        const struct race *pair = &races->pairs[i].race;
        if (is_sync(races, &pair->first.memory) || is_sync(races, &pair->second.memory))
            continue;
        if (number-- == 0)
            return pair;
    }
    return NULL;
}

struct races_counts races_counts(const struct races *races)
{
    return (struct races_counts){races->accesses, races->syncs.used, races->overflowed};
}
