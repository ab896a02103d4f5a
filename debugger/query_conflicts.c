/* The question `conflicts PROCESS`: which places in a program race on the memory that it can write.
 */
#include "debugger/query.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/follow.h"
#include "debugger/place.h"
#include "debugger/processes.h"
#include "debugger/races_look.h"
#include "debugger/source.h"
#include "vmm/arch/translate.h"

enum {
    RACE = QUERY_OWN_COLUMNS,
    KIND,
    BYTES,
    ADDRESS,
    BY,
    LINE,
    STACK,
    TIMES,
};

static const struct column columns[] = {{"race", COLUMN_NUMBER}, {"kind", COLUMN_TEXT},
    {"bytes", COLUMN_NUMBER}, {"address", COLUMN_ADDRESS}, {"by", COLUMN_PLACE},
    {"line", COLUMN_TEXT}, {"stack", COLUMN_TEXT}, {"times", COLUMN_NUMBER}};

enum {
    MAX_PAGES = 1 << 20,  /* of writable memory */
    MAX_PIECES = 1 << 16, /* of physical memory, in one piece each */
    MAX_STACK = 6,
    LAST_INSTRUCTIONS = 100 * 1000 * 1000,
};

struct asking {
    struct query *query;
    const char *name;
    struct position begin, end, seen; /* of the process's life; `seen`: it runs from there on */
    uint64_t space;                   /* of the one that began last */
    bool is_known, has_ended;
    struct view view; /* by its page tables, at the end */
    struct races_range *pieces;
    unsigned piece_count, piece_room;
    uint64_t pages;
    bool overflowed;
};

/* ---- Its life -------------------------------------------------------------------------------- */

static struct module *find_program(const struct asking *asking)
{
    const struct symbols *symbols = &asking->query->debugger->symbols;
    for (unsigned i = 0; i < symbols->module_count; i++) {
        struct module *module = symbols->modules[i];
        if (module->kind == MODULE_PROCESS && module->owner &&
            strcmp(module->owner, asking->name) == 0)
            return module;
    }
    return NULL;
}

/* A thread of it ends: until the last one has, its memory is there. */
static bool on_thread_exit(void *context, struct timeline *timeline)
{
    struct asking *asking = context;
    struct process process;
    debugger_moved(asking->query->debugger);
    if (session_look(asking->query->debugger, NULL) == 0 &&
        processes_current(asking->query->debugger, &process) && asking->space &&
        process.space == asking->space) {
        asking->begin = asking->seen;
        asking->end = timeline_position(timeline);
        asking->has_ended = true;
    }
    return query_is_over(asking->query);
}

static int arm(void *context, struct timeline_condition *conditions, struct error *error)
{
    struct asking *asking = context;
    struct debugger *debugger = asking->query->debugger;
    const struct module *program = find_program(asking);
    uint64_t entry;
    (void)error;
    if (program && program->identity && program->identity != asking->space) {
        asking->space = program->identity;
        asking->seen = timeline_position(debugger->timeline);
        asking->is_known = true;
    }
    if (!place_functions(debugger, "do_exit", &entry, 1))
        return 0;
    conditions[0] = (struct timeline_condition){.kind = CONDITION_EXECUTE,
        .address = entry,
        .length = 1,
        .accept = on_thread_exit,
        .context = asking};
    return 1;
}

/* From its first instruction to its end, or to that of the question. */
static int find_life(struct asking *asking, struct error *error)
{
    struct query *query = asking->query;
    const struct query_plan plan = {.arm = arm, .context = asking, .follows = true};
    if (query_run(query, &plan, error) < 0)
        return -1;
    if (asking->is_known && !asking->has_ended) {
        asking->begin = asking->seen;
        asking->end = query->reached;
    }
    if (!asking->is_known)
        buffer_printf(
            &query->notes, "No process '%.60s' ran the file of that name.\n", asking->name);
    return 0;
}

/* ---- Its memory ------------------------------------------------------------------------------ */

static void add_page(struct asking *asking, uint64_t gpa)
{
    struct races_range *last =
        asking->piece_count ? &asking->pieces[asking->piece_count - 1] : NULL;
    if (last && last->gpa + last->length == gpa) {
        last->length += PAGE_SIZE;
        return;
    }
    if (asking->piece_count == asking->piece_room) {
        unsigned room = asking->piece_room ? 2 * asking->piece_room : 256;
        struct races_range *pieces =
            room <= MAX_PIECES ? realloc(asking->pieces, room * sizeof *pieces) : NULL;
        if (!pieces) {
            asking->overflowed = true;
            return;
        }
        asking->pieces = pieces;
        asking->piece_room = room;
    }
    asking->pieces[asking->piece_count++] = (struct races_range){gpa, PAGE_SIZE};
}

static bool add_map(void *context, const struct process_map *map)
{
    enum { MAY_WRITE_NOW = 2 }; /* VM_WRITE */
    struct asking *asking = context;
    if (!(map->flags & MAY_WRITE_NOW))
        return false;
    for (uint64_t at = map->start; at < map->end; at += PAGE_SIZE) {
        struct translation translation;
        if (asking->pages++ == MAX_PAGES) {
            asking->overflowed = true;
            return true;
        }
        if (translate(asking->view.memory, &asking->view.state, at, &translation))
            add_page(asking, translation.gpa & ~(uint64_t)(PAGE_SIZE - 1));
    }
    return false;
}

static int go_to(struct asking *asking, struct position position, struct error *error)
{
    struct debugger *debugger = asking->query->debugger;
    int status = timeline_seek(debugger->timeline, position, NULL, error);
    debugger_moved(debugger);
    return status < 0 ? -1 : session_look(debugger, error);
}

/* Also no more than its last instructions: looking costs time. */
static int find_memory(struct asking *asking, struct error *error)
{
    struct timeline *timeline = asking->query->debugger->timeline;
    if (go_to(asking, asking->end, error) < 0)
        return -1;
    uint64_t last = timeline_retired(timeline);
    if (processes_view(asking->query->debugger, asking->space, &asking->view))
        processes_each_map(asking->query->debugger, asking->space, add_map, asking);
    if (go_to(asking, asking->begin, error) < 0)
        return -1;
    if (last - timeline_retired(timeline) <= LAST_INSTRUCTIONS)
        return 0;
    if (timeline_seek_retired(timeline, last - LAST_INSTRUCTIONS, NULL, error) < 0)
        return -1;
    asking->begin = timeline_position(timeline);
    return 0;
}

/* ---- What is told ---------------------------------------------------------------------------- */

/* In the program's own code: of a library without debugging information there is nothing to say. */
static bool is_own(const struct asking *asking, const struct timeline_access *access)
{
    struct module *program = find_program(asking);
    struct source_line line;
    if (!program || !module_covers(program, access->memory.rip))
        return false;
    /* Another process may run here. */
    bool away = program->away;
    program->away = false;
    bool is = symbols_line(&asking->query->debugger->symbols, access->memory.rip, &line);
    program->away = away;
    return is;
}

static int add_access(struct asking *asking, unsigned number, const struct race *race,
    const struct timeline_access *access, struct error *error)
{
    struct query *query = asking->query;
    const struct memory_access *memory = &access->memory;
    struct buffer stack = {0};
    struct source_line line;
    struct view view;
    if (go_to(asking, access->position, error) < 0)
        return -1;
    uint64_t row = query_view(query, &view) ? query_row(query, &view) : UINT64_MAX;
    if (row == UINT64_MAX)
        return 0;
    table_set_number(&query->table, row, RACE, number);
    query_text(query, row, KIND, "%s", memory->is_write ? "write" : "read");
    table_set_number(&query->table, row, BYTES, memory->size);
    table_set_number(&query->table, row, ADDRESS, memory->linear);
    query_place(query, row, BY, memory->rip);
    if (symbols_line(&query->debugger->symbols, memory->rip, &line))
        query_text(query, row, LINE, "%s:%d", base_name(line.file), line.line);
    query_stack(query, MAX_STACK, &stack);
    buffer_put_u8(&stack, 0);
    if (!stack.failed)
        table_set_text(&query->table, row, STACK, (const char *)stack.data);
    table_set_number(&query->table, row, TIMES, race->count);
    buffer_free(&stack);
    return 0;
}

static int add_races(struct asking *asking, const struct races *races, struct error *error)
{
    struct query *query = asking->query;
    const struct race *race;
    unsigned shown = 0, others = 0;
    /* Where symbols of the program are in memory. */
    if (go_to(asking, asking->end, error) < 0)
        return -1;
    for (unsigned i = 0; (race = races_at(races, i)) && !query_is_over(query); i++) {
        if (!is_own(asking, &race->first) || !is_own(asking, &race->second)) {
            others++;
            continue;
        }
        shown++;
        if (add_access(asking, shown, race, &race->first, error) < 0 ||
            add_access(asking, shown, race, &race->second, error) < 0 ||
            go_to(asking, asking->end, error) < 0)
            return -1;
    }
    if (others)
        buffer_printf(&query->notes,
            "%u more pair%s of places with one outside its code with debugging information.\n",
            others, others == 1 ? "" : "s");
    return 0;
}

static void note_covered(struct asking *asking, const struct races *races)
{
    struct query *query = asking->query;
    struct races_counts counts = races_counts(races);
    buffer_printf(&query->notes, "%" PRIu64 " accesses to memory that '%.60s' may write.\n",
        counts.accesses, asking->name);
    if (asking->overflowed || counts.overflowed)
        buffer_printf(&query->notes, "There was no room for all of its memory.\n");
}

static int look(struct asking *asking, struct error *error)
{
    struct query *query = asking->query;
    struct races_covered covered = {0};
    struct races *races = races_create(asking->pieces, asking->piece_count);
    if (!races)
        return error_set(error, "out of memory");
    int status =
        races_look(query->debugger->timeline, asking->begin, asking->end, races, &covered, error);
    debugger_moved(query->debugger);
    query->from = asking->begin;
    query->reached = covered.reached;
    query->instructions = covered.instructions;
    query->began = covered.began;
    if (status == 0)
        status = add_races(asking, races, error);
    if (status == 0)
        note_covered(asking, races);
    races_destroy(races);
    return status;
}

QUESTION(conflicts)
{
    struct asking asking = {.query = query, .name = text};
    query_columns(query, columns, sizeof columns / sizeof columns[0]);
    if (!*text)
        return error_set(error, "conflicts: give the name of a process");
    if (!follow_kernel(query->debugger) || !find_program(&asking))
        return error_set(error,
            "conflicts: symbols are needed: 'add-symbol-file vmlinux' and then 'add-symbol-file "
            "FILE -process %.60s'",
            text);
    int status = find_life(&asking, error);
    if (status == 0 && asking.is_known && !query_is_over(query)) {
        status = find_memory(&asking, error);
        if (status == 0)
            status = look(&asking, error);
    }
    free(asking.pieces);
    return status;
}
