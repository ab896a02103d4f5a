/* Checkpoints of a replaying machine. */
#include "replay/checkpoint.h"

#include <lz4.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/storage/disk.h"
#include "vmm/storage/disk_store.h"
#include "vmm/machine/snapshot.h"

/* One content of one page, from a checkpoint on until the page's next version. */
struct version {
    struct version *older, *newer; /* of the same page */
    struct version *next;          /* of the same checkpoint */
    struct checkpoint *owner;
    uint64_t page; /* number in `newest` */
    uint16_t size; /* bytes in data; 0: a page of zeroes, PAGE_SIZE: not compressed */
    uint8_t data[];
};

struct checkpoint {
    struct checkpoint *previous, *next; /* by position */
    struct position position;
    uint64_t retired; /* instructions since the start: the distance between checkpoints */
    struct buffer state;
    struct trace_cursor cursor;
    uint64_t last_time;
    struct version *versions;
    bool pinned; /* the start */
};

/* Memory beside RAM that a checkpoint covers: what is known of a disk image. */
enum { CHECKPOINT_SPACES = CONFIG_MAX_DISKS * DISK_MAX_FILES };

struct space {
    struct disk_store *store;
    uint64_t first_page;
};

struct checkpoints {
    struct machine *machine;
    struct replay_source *source;
    uint64_t budget, used;
    struct checkpoint *first, *last;
    unsigned count;
    struct checkpoint *current; /* RAM = this one plus what was written since */
    struct version **newest;    /* for each page of RAM its newest version */
    uint64_t ram_pages;         /* these come first; the stores of disk images follow */
    uint64_t page_count;
    struct space space[CHECKPOINT_SPACES];
    unsigned space_count;
    uint8_t *dirty; /* a bit for each page: written since `current` */
    void (*written)(void *context, uint64_t page); /* NULL: nobody is told */
    void *written_context;
};

/* ---- Pages ---- */

static uint64_t page_number(const struct memory *memory, uint64_t gpa)
{
    const struct memory_region *low = &memory->region[0], *high = &memory->region[1];
    if (gpa < low->gpa + low->size)
        return (gpa - low->gpa) / PAGE_SIZE;
    return (low->size + gpa - high->gpa) / PAGE_SIZE;
}

static uint64_t page_gpa(const struct memory *memory, uint64_t number)
{
    const struct memory_region *low = &memory->region[0], *high = &memory->region[1];
    uint64_t offset = number * PAGE_SIZE;
    return offset < low->size ? low->gpa + offset : high->gpa + (offset - low->size);
}

static uint8_t *page_host(const struct checkpoints *checkpoints, uint64_t number)
{
    const struct memory *memory = &checkpoints->machine->memory;
    if (number < checkpoints->ram_pages)
        return memory_at(memory, page_gpa(memory, number), PAGE_SIZE);
    unsigned i = checkpoints->space_count - 1;
    while (number < checkpoints->space[i].first_page)
        i--;
    const struct space *space = &checkpoints->space[i];
    return space->store->host + (number - space->first_page) * PAGE_SIZE;
}

static bool is_zero(const uint8_t *page)
{
    return page[0] == 0 && memcmp(page, page + 1, PAGE_SIZE - 1) == 0;
}

static struct version *make_version(struct checkpoints *checkpoints, uint64_t number)
{
    const uint8_t *page = page_host(checkpoints, number);
    char packed[LZ4_COMPRESSBOUND(PAGE_SIZE)];
    size_t size = 0;
    const void *data = packed;
    if (!is_zero(page)) {
        int result =
            LZ4_compress_default((const char *)page, packed, (int)PAGE_SIZE, (int)sizeof packed);
        size = result > 0 && result < (int)PAGE_SIZE ? (size_t)result : PAGE_SIZE;
        if (size == PAGE_SIZE)
            data = page;
    }
    struct version *version = malloc(sizeof *version + size);
    if (!version)
        return NULL;
    *version = (struct version){.page = number, .size = (uint16_t)size};
    memcpy(version->data, data, size);
    checkpoints->used += sizeof *version + size;
    return version;
}

static void load_version(
    struct checkpoints *checkpoints, const struct version *version, uint64_t number)
{
    struct machine *machine = checkpoints->machine;
    uint8_t *page = page_host(checkpoints, number);
    if (number < checkpoints->ram_pages)
        engine_memory_changed(machine->engine, page_gpa(&machine->memory, number), PAGE_SIZE);
    if (!version || version->size == 0)
        memset(page, 0, PAGE_SIZE);
    else if (version->size == PAGE_SIZE)
        memcpy(page, version->data, PAGE_SIZE);
    else
        LZ4_decompress_safe(
            (const char *)version->data, (char *)page, version->size, (int)PAGE_SIZE);
}

static void free_version(struct checkpoints *checkpoints, struct version *version)
{
    checkpoints->used -= sizeof *version + version->size;
    free(version);
}

/* Puts the version into its page's list, which runs from newest to oldest by owner's position. */
static void link_version(struct checkpoints *checkpoints, struct version *version)
{
    struct version *newer = NULL, *older = checkpoints->newest[version->page];
    while (older && position_compare(older->owner->position, version->owner->position) > 0) {
        newer = older;
        older = older->older;
    }
    version->older = older;
    version->newer = newer;
    if (older)
        older->newer = version;
    if (newer)
        newer->older = version;
    else
        checkpoints->newest[version->page] = version;
}

static void unlink_version(struct checkpoints *checkpoints, struct version *version)
{
    if (version->newer)
        version->newer->older = version->older;
    else
        checkpoints->newest[version->page] = version->older;
    if (version->older)
        version->older->newer = version->newer;
}

/* What the page held at the checkpoint. */
static struct version *version_at(
    struct checkpoints *checkpoints, uint64_t number, const struct checkpoint *checkpoint)
{
    struct version *version = checkpoints->newest[number];
    while (version && position_compare(version->owner->position, checkpoint->position) > 0)
        version = version->older;
    return version;
}

/* ---- Written pages ---- */

static void mark_dirty(struct checkpoints *checkpoints, uint64_t number)
{
    checkpoints->dirty[number / 8] |= (uint8_t)(1u << (number % 8));
}

static void collect_space(struct checkpoints *checkpoints, const struct space *space)
{
    struct disk_store *store = space->store;
    uint64_t bytes = (store->size / PAGE_SIZE + 7) / 8;
    for (uint64_t i = 0; i < bytes; i++) {
        for (unsigned bits = store->written[i]; bits; bits &= bits - 1)
            mark_dirty(checkpoints, space->first_page + i * 8 + (unsigned)__builtin_ctz(bits));
        store->written[i] = 0;
    }
}

/* Moves the engine's log, and those of the disk images, into `dirty`. */
static int collect_dirty(struct checkpoints *checkpoints, struct error *error)
{
    struct machine *machine = checkpoints->machine;
    uint64_t *pages;
    unsigned count;
    if (engine_take_dirty_pages(machine->engine, &pages, &count, error) < 0)
        return -1;
    for (unsigned i = 0; i < count; i++) {
        uint64_t number = page_number(&machine->memory, pages[i]);
        mark_dirty(checkpoints, number);
        if (checkpoints->written)
            checkpoints->written(checkpoints->written_context, number);
    }
    free(pages);
    for (unsigned i = 0; i < checkpoints->space_count; i++)
        collect_space(checkpoints, &checkpoints->space[i]);
    return 0;
}

void checkpoints_tell(
    struct checkpoints *checkpoints, void (*written)(void *context, uint64_t page), void *context)
{
    checkpoints->written = written;
    checkpoints->written_context = context;
}

int checkpoints_collect(struct checkpoints *checkpoints, struct error *error)
{
    return collect_dirty(checkpoints, error);
}

static void each_dirty(struct checkpoints *checkpoints,
    void (*visit)(struct checkpoints *checkpoints, uint64_t number, void *context), void *context)
{
    uint64_t bytes = (checkpoints->page_count + 7) / 8;
    for (uint64_t i = 0; i < bytes; i++) {
        for (unsigned bits = checkpoints->dirty[i]; bits; bits &= bits - 1)
            visit(checkpoints, i * 8 + (unsigned)__builtin_ctz(bits), context);
    }
}

/* ---- The list ---- */

static struct checkpoint *last_before(
    const struct checkpoints *checkpoints, struct position at, bool strictly)
{
    for (struct checkpoint *c = checkpoints->last; c; c = c->previous) {
        int order = position_compare(c->position, at);
        if (order < 0 || (order == 0 && !strictly))
            return c;
    }
    return NULL;
}

static void insert(struct checkpoints *checkpoints, struct checkpoint *checkpoint)
{
    struct checkpoint *previous = last_before(checkpoints, checkpoint->position, true);
    checkpoint->previous = previous;
    checkpoint->next = previous ? previous->next : checkpoints->first;
    if (previous)
        previous->next = checkpoint;
    else
        checkpoints->first = checkpoint;
    if (checkpoint->next)
        checkpoint->next->previous = checkpoint;
    else
        checkpoints->last = checkpoint;
    checkpoints->count++;
}

static void unlink_checkpoint(struct checkpoints *checkpoints, struct checkpoint *checkpoint)
{
    if (checkpoint->previous)
        checkpoint->previous->next = checkpoint->next;
    else
        checkpoints->first = checkpoint->next;
    if (checkpoint->next)
        checkpoint->next->previous = checkpoint->previous;
    else
        checkpoints->last = checkpoint->previous;
    checkpoints->count--;
}

/*
 * Drops a checkpoint: its page versions pass to the next one, unless that has its own. Also needed
 * by pages written between it and `current`, so `current` is never dropped.
 */
static void drop(struct checkpoints *checkpoints, struct checkpoint *checkpoint)
{
    struct checkpoint *heir = checkpoint->next;
    for (struct version *version = checkpoint->versions, *next; version; version = next) {
        next = version->next;
        if (!heir || (version->newer && version->newer->owner == heir)) {
            unlink_version(checkpoints, version);
            free_version(checkpoints, version);
        } else {
            version->owner = heir;
            version->next = heir->versions;
            heir->versions = version;
        }
    }
    unlink_checkpoint(checkpoints, checkpoint);
    checkpoints->used -= sizeof *checkpoint + checkpoint->state.capacity;
    buffer_free(&checkpoint->state);
    free(checkpoint);
}

/* The one whose loss leaves the smallest gap, relative to how far it is from the machine. */
static struct checkpoint *least_useful(const struct checkpoints *checkpoints)
{
    struct checkpoint *best = NULL;
    double best_value = 0;
    uint64_t here = checkpoints->machine->engine->retired;
    for (struct checkpoint *c = checkpoints->first; c; c = c->next) {
        if (c->pinned || c == checkpoints->current || !c->next)
            continue;
        double gap = (double)(c->next->retired - c->previous->retired);
        double distance = 1e6 + (double)(here > c->retired ? here - c->retired : c->retired - here);
        if (!best || gap / distance < best_value) {
            best = c;
            best_value = gap / distance;
        }
    }
    return best;
}

static void thin_out(struct checkpoints *checkpoints)
{
    struct checkpoint *victim;
    while (checkpoints->used > checkpoints->budget && (victim = least_useful(checkpoints)))
        drop(checkpoints, victim);
}

/* ---- Public ---- */

/* Numbers the pages of the disk images' stores after RAM; returns how many pages there are. */
static uint64_t add_spaces(struct checkpoints *checkpoints, struct machine *machine)
{
    uint64_t pages = checkpoints->ram_pages;
    for (unsigned i = 0; i < machine->config->disk_count; i++) {
        struct disk_store *store;
        for (unsigned j = 0; (store = disk_image_store(machine->disk[i], j)); j++) {
            checkpoints->space[checkpoints->space_count++] = (struct space){store, pages};
            pages += store->size / PAGE_SIZE;
        }
    }
    return pages;
}

struct checkpoints *checkpoints_create(struct machine *machine, struct replay_source *source,
    uint64_t budget_bytes, struct error *error)
{
    struct checkpoints *checkpoints = calloc(1, sizeof *checkpoints);
    uint64_t pages = machine->memory.size / PAGE_SIZE;
    if (checkpoints) {
        checkpoints->ram_pages = pages;
        pages = add_spaces(checkpoints, machine);
        checkpoints->newest = calloc(pages, sizeof *checkpoints->newest);
        checkpoints->dirty = calloc(1, (pages + 7) / 8);
    }
    if (!checkpoints || !checkpoints->newest || !checkpoints->dirty) {
        checkpoints_destroy(checkpoints);
        error_set(error, "out of memory for checkpoints");
        return NULL;
    }
    checkpoints->machine = machine;
    checkpoints->source = source;
    checkpoints->budget = budget_bytes;
    checkpoints->page_count = pages;
    return checkpoints;
}

void checkpoints_destroy(struct checkpoints *checkpoints)
{
    if (!checkpoints)
        return;
    while (checkpoints->last)
        drop(checkpoints, checkpoints->last);
    free(checkpoints->newest);
    free(checkpoints->dirty);
    free(checkpoints);
}

struct take_context {
    struct checkpoint *checkpoint;
    bool failed;
};

static void take_page(struct checkpoints *checkpoints, uint64_t number, void *context)
{
    struct take_context *take = context;
    struct version *version = make_version(checkpoints, number);
    if (!version) {
        take->failed = true;
        return;
    }
    version->owner = take->checkpoint;
    version->next = take->checkpoint->versions;
    take->checkpoint->versions = version;
    link_version(checkpoints, version);
}

/*
 * A page written between the new checkpoint and one that follows it has a version there already; a
 * page not written there but written before the new one has its version in an earlier one. Both
 * stay right. But pages whose first version lies later in the list need the content they have now
 * only when they were written since `current`; those are the dirty ones.
 */
static int take_pages(
    struct checkpoints *checkpoints, struct checkpoint *checkpoint, struct error *error)
{
    struct take_context take = {.checkpoint = checkpoint};
    /* At the start RAM holds what the loader put there; disk images what assembly wrote, in the
     * log. */
    if (checkpoint->pinned) {
        struct memory_walk walk;
        uint64_t offset;
        memory_walk_begin(&walk, &checkpoints->machine->memory);
        while (memory_walk_next(&walk, &offset)) {
            if (!is_zero(checkpoints->machine->memory.host + offset))
                mark_dirty(checkpoints, offset / PAGE_SIZE);
        }
        memory_walk_end(&walk);
    }
    each_dirty(checkpoints, take_page, &take);
    return take.failed ? error_set(error, "out of memory for a checkpoint") : 0;
}

int checkpoints_take(struct checkpoints *checkpoints, struct error *error)
{
    struct machine *machine = checkpoints->machine;
    struct position here = machine_position(machine);
    if (machine->run.pending_more || engine_delivered(machine->engine))
        return 0;
    struct checkpoint *same = last_before(checkpoints, here, false);
    if (same && position_compare(same->position, here) == 0)
        return 0;
    if (collect_dirty(checkpoints, error) < 0)
        return -1;
    struct checkpoint *checkpoint = calloc(1, sizeof *checkpoint);
    if (!checkpoint)
        return error_set(error, "out of memory for a checkpoint");
    checkpoint->position = here;
    checkpoint->retired = machine->engine->retired;
    checkpoint->pinned = checkpoints->count == 0;
    checkpoint->last_time = checkpoints->source->last_time;
    trace_inputs_save(checkpoints->source->inputs, &checkpoint->cursor);
    if (snapshot_save(machine, &checkpoint->state, error) < 0) {
        buffer_free(&checkpoint->state);
        free(checkpoint);
        return -1;
    }
    checkpoints->used += sizeof *checkpoint + checkpoint->state.capacity;
    insert(checkpoints, checkpoint);
    if (take_pages(checkpoints, checkpoint, error) < 0) {
        drop(checkpoints, checkpoint);
        return -1;
    }
    checkpoints->current = checkpoint;
    memset(checkpoints->dirty, 0, (checkpoints->page_count + 7) / 8);
    thin_out(checkpoints);
    return 0;
}

bool checkpoints_find(
    const struct checkpoints *checkpoints, struct position at, bool before, struct position *found)
{
    const struct checkpoint *checkpoint = last_before(checkpoints, at, before);
    if (checkpoint)
        *found = checkpoint->position;
    return checkpoint != NULL;
}

bool checkpoints_find_retired(
    const struct checkpoints *checkpoints, uint64_t retired, struct position *found, uint64_t *at)
{
    for (const struct checkpoint *c = checkpoints->last; c; c = c->previous) {
        if (c->retired < retired || !c->previous) {
            *found = c->position;
            *at = c->retired;
            return true;
        }
    }
    return false;
}

static void restore_page(struct checkpoints *checkpoints, uint64_t number, void *context)
{
    load_version(checkpoints, version_at(checkpoints, number, context), number);
}

/* Pages that differ between two checkpoints: those with a version after the earlier, up to the
 * later. */
static void restore_between(
    struct checkpoints *checkpoints, const struct checkpoint *from, struct checkpoint *to)
{
    bool backward = position_compare(to->position, from->position) < 0;
    const struct checkpoint *first = backward ? to : from, *last = backward ? from : to;
    for (const struct checkpoint *c = last; c != first; c = c->previous) {
        for (const struct version *version = c->versions; version; version = version->next)
            restore_page(checkpoints, version->page, to);
    }
}

int checkpoints_restore(struct checkpoints *checkpoints, struct position at, struct error *error)
{
    struct machine *machine = checkpoints->machine;
    struct replay_source *source = checkpoints->source;
    struct checkpoint *checkpoint = last_before(checkpoints, at, false);
    if (!checkpoint || position_compare(checkpoint->position, at) != 0)
        return error_set(error, "there is no checkpoint at this position");
    if (collect_dirty(checkpoints, error) < 0)
        return -1;
    each_dirty(checkpoints, restore_page, checkpoint);
    restore_between(checkpoints, checkpoints->current, checkpoint);
    memset(checkpoints->dirty, 0, (checkpoints->page_count + 7) / 8);
    checkpoints->current = checkpoint;
    struct reader reader;
    reader_init(&reader, checkpoint->state.data, checkpoint->state.size);
    if (snapshot_restore(machine, &reader, error) < 0)
        return -1;
    source->last_time = checkpoint->last_time;
    source->landing_loaded = false;
    source->diverged = false;
    trace_inputs_restore(source->inputs, &checkpoint->cursor);
    if (position_compare(machine_position(machine), at) != 0 ||
        machine->engine->retired != checkpoint->retired)
        return error_set(error, "a checkpoint is damaged: it is of another position");
    /* What the restore itself wrote is not the guest's. */
    int result = collect_dirty(checkpoints, error);
    memset(checkpoints->dirty, 0, (checkpoints->page_count + 7) / 8);
    return result;
}

/* ---- As bytes ---- */

void checkpoints_encode(const struct checkpoints *checkpoints, unsigned number, struct buffer *out)
{
    const struct checkpoint *checkpoint = checkpoints->first;
    while (number-- > 0)
        checkpoint = checkpoint->next;
    buffer_put_u64(out, checkpoint->position.event);
    buffer_put_u64(out, checkpoint->position.insn);
    buffer_put_u64(out, checkpoint->retired);
    buffer_put_u64(out, checkpoint->last_time);
    buffer_put_u64(out, checkpoint->cursor.chunk);
    buffer_put_u64(out, checkpoint->cursor.offset);
    buffer_put_u64(out, checkpoint->cursor.position.event);
    buffer_put_u64(out, checkpoint->cursor.position.insn);
    buffer_put_u64(out, checkpoint->state.size);
    buffer_put(out, checkpoint->state.data, checkpoint->state.size);
    for (const struct version *version = checkpoint->versions; version; version = version->next) {
        buffer_put_u64(out, version->page);
        buffer_put_u16(out, version->size);
        buffer_put(out, version->data, version->size);
    }
}

static bool page_is_whole(const uint8_t *data, size_t size)
{
    char page[PAGE_SIZE];
    return size == 0 || size == PAGE_SIZE ||
           (size < PAGE_SIZE && LZ4_decompress_safe((const char *)data, page, (int)size,
                                    (int)PAGE_SIZE) == (int)PAGE_SIZE);
}

static bool decode_versions(
    struct checkpoints *checkpoints, struct checkpoint *checkpoint, struct reader *in)
{
    while (reader_left(in)) {
        uint64_t page = reader_get_u64(in);
        size_t size = reader_get_u16(in);
        const uint8_t *data = reader_take(in, size);
        if (in->failed || page >= checkpoints->page_count || !page_is_whole(data, size))
            return false;
        /* Twice the same page in one checkpoint would leave the order to chance. */
        const struct version *newest = checkpoints->newest[page];
        if (newest && newest->owner == checkpoint)
            return false;
        struct version *version = malloc(sizeof *version + size);
        if (!version)
            return false;
        *version = (struct version){.page = page, .size = (uint16_t)size, .owner = checkpoint};
        memcpy(version->data, data, size);
        checkpoints->used += sizeof *version + size;
        version->next = checkpoint->versions;
        checkpoint->versions = version;
        link_version(checkpoints, version);
    }
    return true;
}

static bool decode_state(struct checkpoint *checkpoint, struct reader *in)
{
    checkpoint->position.event = reader_get_u64(in);
    checkpoint->position.insn = reader_get_u64(in);
    checkpoint->retired = reader_get_u64(in);
    checkpoint->last_time = reader_get_u64(in);
    checkpoint->cursor.chunk = reader_get_u64(in);
    checkpoint->cursor.offset = reader_get_u64(in);
    checkpoint->cursor.position.event = reader_get_u64(in);
    checkpoint->cursor.position.insn = reader_get_u64(in);
    uint64_t size = reader_get_u64(in);
    const uint8_t *state = size <= reader_left(in) ? reader_take(in, (size_t)size) : NULL;
    if (state)
        buffer_put(&checkpoint->state, state, (size_t)size);
    return state && !in->failed && !checkpoint->state.failed;
}

int checkpoints_decode(
    struct checkpoints *checkpoints, const uint8_t *data, size_t size, struct error *error)
{
    struct reader in;
    struct checkpoint *checkpoint = calloc(1, sizeof *checkpoint), *last = checkpoints->last;
    if (!checkpoint)
        return error_set(error, "out of memory for a checkpoint");
    reader_init(&in, data, size);
    bool good = decode_state(checkpoint, &in) &&
                position_compare(checkpoint->position, last->position) > 0 &&
                checkpoint->retired >= last->retired &&
                checkpoint->position.event <= checkpoints->source->last_event;
    if (!good) {
        buffer_free(&checkpoint->state);
        free(checkpoint);
        return error_set(error, "a checkpoint in it cannot be one of this trace");
    }
    checkpoints->used += sizeof *checkpoint + checkpoint->state.capacity;
    insert(checkpoints, checkpoint);
    if (!decode_versions(checkpoints, checkpoint, &in)) {
        drop(checkpoints, checkpoint);
        return error_set(error, "a checkpoint in it has pages that this machine does not have");
    }
    thin_out(checkpoints);
    return 0;
}

bool checkpoints_is_start(const struct checkpoints *checkpoints, const uint8_t *data, size_t size)
{
    struct buffer own = {0};
    checkpoints_encode(checkpoints, 0, &own);
    bool same = !own.failed && own.size == size && memcmp(own.data, data, size) == 0;
    buffer_free(&own);
    return same;
}

unsigned checkpoints_count(const struct checkpoints *checkpoints)
{
    return checkpoints->count;
}

uint64_t checkpoints_bytes(const struct checkpoints *checkpoints)
{
    return checkpoints->used;
}
