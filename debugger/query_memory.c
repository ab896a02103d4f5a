/* The questions `writes` and `reads`: who touched a range of memory, or sectors of a disk. */
#include "debugger/query.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/processes.h"
#include "debugger/range.h"
#include "replay/accesses.h"
#include "vmm/arch/translate.h"

enum {
    KIND = QUERY_OWN_COLUMNS,
    ADDRESS,
    BYTES,
    BY,
    OLD,
    VALUE,
};

static const struct column columns[] = {{"kind", COLUMN_TEXT}, {"address", COLUMN_ADDRESS},
    {"bytes", COLUMN_NUMBER}, {"by", COLUMN_PLACE}, {"old", COLUMN_TEXT}, {"value", COLUMN_TEXT}};

enum { MAX_SHADOW = 1 << 20, MAX_SHOWN = 16 };

struct touching {
    struct query *query;
    bool writes;
    struct access_range range;
    uint64_t space;  /* the CR3 of the process whose memory it is; 0: any */
    uint8_t *shadow; /* what the range had, for devices' writes: they are told afterwards */
    /* Rows from here on are of the instruction under way, which may be abandoned. */
    uint64_t settled, retired;
    /* What is named may come to be in memory on the way. */
    const char *text;
    struct position start;
    bool is_known;
};

/* ---- Values ---------------------------------------------------------------------------------- */

static void put_bytes(
    struct query *query, uint64_t row, unsigned column, const uint8_t *data, uint64_t size)
{
    uint64_t number = 0;
    struct buffer text = {0};
    if (size <= 8) {
        memcpy(&number, data, size);
        query_text(query, row, column, "0x%" PRIx64, number);
        return;
    }
    for (uint64_t i = 0; i < size && i < MAX_SHOWN; i++)
        buffer_printf(&text, "%s%02x", i ? " " : "", data[i]);
    if (size > MAX_SHOWN)
        buffer_printf(&text, " ...");
    buffer_put_u8(&text, 0);
    if (!text.failed)
        table_set_text(&query->table, row, column, (const char *)text.data);
    buffer_free(&text);
}

static uint8_t *shadow_at(const struct touching *touching, uint64_t address, uint64_t *size)
{
    uint64_t offset = address - touching->range.address;
    if (!touching->shadow || offset >= touching->range.length)
        return NULL;
    if (*size > touching->range.length - offset)
        *size = touching->range.length - offset;
    return touching->shadow + offset;
}

/* The part of a write that lies in the range becomes what is known of it. */
static void remember(
    const struct touching *touching, uint64_t address, const uint8_t *data, uint64_t size)
{
    if (address < touching->range.address && touching->range.address - address < size) {
        uint64_t before = touching->range.address - address;
        address += before;
        data += before;
        size -= before;
    }
    uint8_t *shadow = shadow_at(touching, address, &size);
    if (shadow)
        memcpy(shadow, data, size);
}

/* ---- What is told ---------------------------------------------------------------------------- */

static bool is_other_process(const struct touching *touching, const struct view *view)
{
    return touching->space && (view->state.cr3 & ~(uint64_t)0x1fff) != touching->space;
}

static const char *kind_of(const struct memory_access *memory)
{
    if (memory->is_implicit)
        return memory->is_write ? "write (CPU)" : "read (CPU)";
    if (memory->is_atomic)
        return memory->is_write ? "write (atomic)" : "read (atomic)";
    return memory->is_write ? "write" : "read";
}

static void end_if_full(const struct touching *touching)
{
    if (query_is_over(touching->query))
        timeline_interrupt(touching->query->debugger->timeline);
}

static void add_access(
    struct touching *touching, const struct memory_access *memory, const struct view *view)
{
    struct query *query = touching->query;
    const uint8_t *now = memory_at(view->memory, memory->gpa, memory->size);
    uint64_t address = touching->range.physical ? memory->gpa : memory->linear;
    uint64_t row = query_row(query, view);
    query_text(query, row, KIND, "%s", kind_of(memory));
    table_set_number(&query->table, row, ADDRESS, address);
    table_set_number(&query->table, row, BYTES, memory->size);
    query_place(query, row, BY, memory->rip);
    if (memory->data)
        put_bytes(query, row, VALUE, memory->data, memory->size);
    if (now)
        put_bytes(query, row, memory->data ? OLD : VALUE, now, memory->size);
}

static void on_access(void *context, const struct timeline_access *access)
{
    struct touching *touching = context;
    const struct memory_access *memory = &access->memory;
    uint64_t retired = timeline_retired(touching->query->debugger->timeline);
    struct view view;
    if (touching->retired != retired)
        touching->settled = touching->query->table.rows;
    touching->retired = retired;
    if (memory->data)
        remember(touching, touching->range.physical ? memory->gpa : memory->linear, memory->data,
            memory->size);
    if (memory->is_write != touching->writes || query_is_over(touching->query) ||
        !query_view(touching->query, &view) || is_other_process(touching, &view))
        return;
    add_access(touching, memory, &view);
    /* What a delivery pushes comes after the instruction that it interrupts was abandoned. */
    if (memory->is_implicit)
        touching->settled = touching->query->table.rows;
    end_if_full(touching);
}

static void on_abandon(void *context)
{
    struct touching *touching = context;
    if (touching->retired == timeline_retired(touching->query->debugger->timeline))
        table_cut(&touching->query->table, touching->settled);
}

/* The first byte of the range that a change of physical memory is about. */
static bool find_changed(const struct touching *touching, const struct view *view, uint64_t gpa,
    uint64_t size, uint64_t *address, uint64_t *length)
{
    const struct access_range *range = &touching->range;
    for (uint64_t done = 0, room; done < range->length; done += room) {
        uint64_t at = range->address + done;
        struct translation translation = {.gpa = at};
        room = PAGE_SIZE - at % PAGE_SIZE;
        room = room < range->length - done ? room : range->length - done;
        if (!range->physical && !translate(view->memory, &view->state, at, &translation))
            continue;
        uint64_t from = gpa > translation.gpa ? gpa : translation.gpa;
        uint64_t to = gpa + size < translation.gpa + room ? gpa + size : translation.gpa + room;
        if (from >= to)
            continue;
        *address = at + (from - translation.gpa);
        *length = to - from;
        return true;
    }
    return false;
}

static void on_change(void *context, uint64_t gpa, uint64_t size, bool is_walk)
{
    struct touching *touching = context;
    struct query *query = touching->query;
    uint8_t now[MAX_SHADOW / 256];
    uint64_t address, length;
    struct view view;
    if (query_is_over(query) || !query_view(query, &view) ||
        !find_changed(touching, &view, gpa, size, &address, &length))
        return;
    if (length > sizeof now)
        length = sizeof now;
    uint64_t known = length;
    const uint8_t *shadow = shadow_at(touching, address, &known);
    uint64_t row = query_row(query, &view);
    query_text(query, row, KIND, is_walk ? "write (page walk)" : "write (device)");
    table_set_number(&query->table, row, ADDRESS, address);
    table_set_number(&query->table, row, BYTES, length);
    if (shadow && known == length)
        put_bytes(query, row, OLD, shadow, length);
    bool is_read = touching->range.physical ? memory_read(view.memory, address, now, length)
                                            : view_read(&view, address, now, length);
    if (is_read) {
        put_bytes(query, row, VALUE, now, length);
        remember(touching, address, now, length);
    }
    touching->settled = query->table.rows;
    end_if_full(touching);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

/* Where what is named is in memory first. */
static int look_for_range(void *context, struct timeline_condition *conditions, struct error *error)
{
    struct touching *touching = context;
    struct debugger *debugger = touching->query->debugger;
    (void)conditions;
    (void)error;
    if (range_parse(debugger, touching->text, 8, &touching->range, NULL) < 0)
        return 0;
    touching->is_known = true;
    touching->start = timeline_position(debugger->timeline);
    return QUERY_FOUND;
}

/* A position before which the place was not there is no mistake, if some later one has it. */
static int find_range(struct touching *touching, struct error *error)
{
    struct query *query = touching->query;
    const struct query_plan plan = {.arm = look_for_range, .context = touching, .follows = true};
    struct error first;
    touching->start = query->from;
    if (range_parse(query->debugger, touching->text, 8, &touching->range, &first) == 0) {
        touching->is_known = true;
        return 0;
    }
    if (!follow_kernel(query->debugger))
        return error_set(error, "%s", first.text);
    if (query_run(query, &plan, error) < 0)
        return -1;
    if (!touching->is_known && !query_is_over(query))
        return error_set(error, "%s", first.text);
    if (touching->is_known)
        buffer_printf(&query->notes, "'%.60s' is in memory from %" PRIu64 ".%" PRIu64 " on.\n",
            touching->text, touching->start.event, touching->start.insn);
    return 0;
}

/* User memory is that of the process that runs where the session stands. */
static void find_space(struct touching *touching)
{
    struct debugger *debugger = touching->query->debugger;
    struct view view;
    if (touching->range.physical || touching->range.address >> 47)
        return;
    uint64_t space = processes_space(debugger);
    if (space && processes_view(debugger, space, &view))
        touching->space = view.state.cr3 & ~(uint64_t)0x1fff;
}

static bool read_range(const struct touching *touching, uint64_t done, uint64_t size)
{
    struct view view;
    uint64_t address = touching->range.address + done;
    if (!query_view(touching->query, &view))
        return false;
    return touching->range.physical
               ? memory_read(view.memory, address, touching->shadow + done, size)
               : view_read(&view, address, touching->shadow + done, size);
}

static int begin_shadow(struct touching *touching, struct error *error)
{
    struct timeline *timeline = touching->query->debugger->timeline;
    const struct access_range *range = &touching->range;
    if (!touching->writes || range->length > MAX_SHADOW)
        return 0;
    touching->shadow = calloc(1, range->length);
    if (!touching->shadow)
        return error_set(error, "out of memory");
    if (timeline_seek(timeline, touching->start, NULL, error) < 0)
        return -1;
    for (uint64_t done = 0, size; done < range->length; done += size) {
        size = PAGE_SIZE - (range->address + done) % PAGE_SIZE;
        size = size < range->length - done ? size : range->length - done;
        read_range(touching, done, size);
    }
    return 0;
}

static int touch_memory(struct query *query, const char *text, bool writes, struct error *error)
{
    struct touching touching = {
        .query = query, .writes = writes, .text = text, .retired = UINT64_MAX};
    const struct accesses_watcher watcher = {.access = on_access,
        .ranges = &touching.range,
        .range_count = 1,
        .change = writes ? on_change : NULL,
        .abandon = on_abandon,
        .context = &touching};
    query_columns(query, columns, sizeof columns / sizeof columns[0]);
    int status = find_range(&touching, error);
    if (status == 0 && touching.is_known) {
        find_space(&touching);
        status = begin_shadow(&touching, error);
        if (status == 0)
            status = query_watch(query, touching.start, &watcher, error);
        if (status == 0)
            query_note_unmapped(query, touching.range.address, touching.range.physical);
    }
    free(touching.shadow);
    return status;
}

/* ---- Sectors --------------------------------------------------------------------------------- */

enum { SECTOR_KIND = QUERY_OWN_COLUMNS, SECTOR };

static const struct column sector_columns[] = {{"kind", COLUMN_TEXT}, {"sector", COLUMN_NUMBER}};

struct sectors {
    struct query *query;
    struct timeline_condition condition;
};

static int arm_sectors(void *context, struct timeline_condition *conditions, struct error *error)
{
    const struct sectors *sectors = context;
    (void)error;
    conditions[0] = sectors->condition;
    return 1;
}

static bool on_sectors(void *context, const struct timeline_stop *stop)
{
    const struct sectors *sectors = context;
    struct query *query = sectors->query;
    struct view view;
    if (!query_view(query, &view))
        return false;
    uint64_t row = query_row(query, &view);
    query_text(query, row, SECTOR_KIND, stop->is_write ? "write" : "read");
    table_set_number(&query->table, row, SECTOR, stop->address);
    return false;
}

static int touch_sectors(struct query *query, const char *text, bool writes, struct error *error)
{
    uint64_t sector, count, disk;
    struct sectors sectors = {.query = query};
    const struct query_plan plan = {
        .arm = arm_sectors, .stopped = on_sectors, .context = &sectors, .follows = true};
    query_columns(query, sector_columns, 2);
    if (place_parse_sectors(query->debugger, text, &sector, &count, &disk, error) < 0)
        return -1;
    sectors.condition = (struct timeline_condition){.kind = CONDITION_DISK,
        .address = sector,
        .length = count,
        .disk = (unsigned)disk,
        .member = TIMELINE_WHOLE_DISK,
        .disk_access = writes ? TIMELINE_DISK_WRITE : TIMELINE_DISK_READ};
    return query_run(query, &plan, error);
}

static int touch(struct query *query, const char *text, bool writes, struct error *error)
{
    if (!*text)
        return error_set(error, "give what to look at: a variable, ADDRESS,SIZE, phys:ADDRESS or "
                                "sector:LBA");
    if (strncmp(text, "sector:", 7) == 0)
        return touch_sectors(query, text + 7, writes, error);
    return touch_memory(query, text, writes, error);
}

QUESTION(writes)
{
    return touch(query, text, true, error);
}

QUESTION(reads)
{
    return touch(query, text, false, error);
}
