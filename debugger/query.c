/* Runs a question over a stretch of the run, and prints what it found. */
#include "debugger/query.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/visible.h"
#include "debugger/changes.h"
#include "debugger/kernel.h"
#include "debugger/threads.h"
#include "replay/accesses.h"
#include "vmm/arch/translate.h"

/* ---- What was asked -------------------------------------------------------------------------- */

static int take_limit(struct query *query, const char *word, struct error *error)
{
    if (session_number(query->debugger, word, &query->limit, error) < 0)
        return error_prefix(error, "-limit");
    return query->limit ? 0 : error_set(error, "-limit: at least one row");
}

/* -1, 0: no option is next, 1. */
static int take_option(struct query *query, const char **arguments, struct error *error)
{
    char word[64], value[64] = "";
    const char *at = *arguments;
    int status;
    if (*at != '-' || !next_word(&at, word, sizeof word))
        return 0;
    const char *name = word + (word[1] == '-' ? 2 : 1);
    if (strcmp(name, "json") == 0) {
        query->json = true;
        *arguments = at;
        return 1;
    }
    if (strcmp(name, "from") != 0 && strcmp(name, "to") != 0 && strcmp(name, "limit") != 0)
        return 0;
    if (!next_word(&at, value, sizeof value))
        return error_set(error, "%s needs a value", word);
    if (strcmp(name, "limit") == 0)
        status = take_limit(query, value, error);
    else
        status = position_from_text(
            query->debugger, value, strcmp(name, "from") == 0 ? &query->from : &query->to, error);
    *arguments = at;
    return status < 0 ? -1 : 1;
}

int query_open(struct query *query, struct debugger *debugger, struct error *error)
{
    *query = (struct query){.debugger = debugger,
        .to = POSITION_END,
        .limit = QUERY_LIMIT,
        /* Printing takes about as much again. */
        .memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 4,
        .here = timeline_position(debugger->timeline),
        .printed = debugger->out.size};
    return session_look(debugger, error);
}

int query_options(struct query *query, const char **arguments, struct error *error)
{
    int status;
    while ((status = take_option(query, arguments, error)) > 0)
        ;
    if (status == 0 && position_compare(query->from, query->to) >= 0)
        return error_set(error, "the second position must be after the first");
    return status;
}

void query_columns(struct query *query, const struct column *columns, unsigned count)
{
    struct column all[TABLE_MAX_COLUMNS] = {
        [QUERY_POSITION] = {"position", COLUMN_POSITION},
        [QUERY_TIME] = {"time", COLUMN_TIME},
        [QUERY_VCPU] = {"vcpu", COLUMN_NUMBER},
        [QUERY_PROCESS] = {"process", COLUMN_TEXT},
    };
    memcpy(all + QUERY_OWN_COLUMNS, columns, count * sizeof *columns);
    table_begin(&query->table, all, QUERY_OWN_COLUMNS + count);
}

bool query_is_over(const struct query *query)
{
    return query->limited || query->table.failed || atomic_load(&query->debugger->interrupted);
}

/* ---- Running --------------------------------------------------------------------------------- */

static void show_progress(void *context, struct timeline *timeline)
{
    const struct query *query = context;
    const struct debugger *debugger = query->debugger;
    uint64_t last = timeline_last_event(timeline);
    uint64_t end = query->to.event < last ? query->to.event : last;
    uint64_t now = timeline_position(timeline).event;
    if (debugger->progress && end > query->from.event && now >= query->from.event)
        debugger->progress(
            debugger->progress_context, now - query->from.event, end - query->from.event);
}

/* A breakpoint that was reported where the run is to begin would not be told again there. */
static int go_to_start(struct query *query, struct timeline_stop *stop, struct error *error)
{
    struct timeline *timeline = query->debugger->timeline;
    if (position_compare(timeline_position(timeline), query->from) == 0 &&
        timeline_seek(timeline, (struct position){0, 0}, stop, error) < 0)
        return -1;
    int status = timeline_seek(timeline, query->from, stop, error);
    debugger_moved(query->debugger);
    query->first_retired = timeline_retired(timeline);
    query->reached = timeline_position(timeline);
    query->began = status == 0 && stop->why != TIMELINE_INTERRUPTED;
    return status;
}

static void note_end(struct query *query)
{
    struct timeline *timeline = query->debugger->timeline;
    uint64_t retired = timeline_retired(timeline);
    query->reached = timeline_position(timeline);
    /* Where accesses are told the run goes on a little after the last row. */
    if (query->limited && query->table.rows) {
        query->reached = query->last_row;
        retired = query->last_row_retired;
    }
    query->instructions = retired - query->first_retired;
    query->interrupted = atomic_load(&query->debugger->interrupted);
    if (query->debugger->progress)
        query->debugger->progress(query->debugger->progress_context, 0, 0);
}

static int ask_plan(struct query *query, const struct query_plan *plan, struct changes *changes,
    struct timeline_condition *conditions, unsigned *own, unsigned *count, struct error *error)
{
    struct debugger *debugger = query->debugger;
    debugger_moved(debugger);
    if (session_look(debugger, error) < 0)
        return -1;
    int armed = plan->arm(plan->context, conditions, error);
    if (armed < 0 || armed == QUERY_FOUND)
        return armed;
    *own = *count = (unsigned)armed;
    if (plan->follows)
        *count += changes_arm(changes, debugger, FORWARD, conditions + armed);
    return 0;
}

/* From one change of what is in memory to the next; *over: there is no more to ask. */
static int run_on(
    struct query *query, const struct query_plan *plan, bool *over, struct error *error)
{
    struct timeline_condition conditions[QUERY_MAX_CONDITIONS + CHANGES_MAX];
    struct changes changes;
    struct timeline_stop stop;
    unsigned own = 0, count = 0;
    int asked = ask_plan(query, plan, &changes, conditions, &own, &count, error);
    *over = asked == QUERY_FOUND;
    if (asked != 0)
        return asked < 0 ? -1 : 0;
    query->conditions = conditions;
    query->condition_count = count;
    do {
        if (timeline_run_to(query->debugger->timeline, query->to, conditions, count, &stop, error) <
            0)
            return -1;
        *over = stop.why != TIMELINE_CONDITION || query_is_over(query);
        if (!*over && stop.condition < own && plan->stopped)
            *over = plan->stopped(plan->context, &stop) || query_is_over(query);
    } while (!*over && stop.condition < own);
    return 0;
}

int query_run(struct query *query, const struct query_plan *plan, struct error *error)
{
    struct timeline *timeline = query->debugger->timeline;
    struct timeline_stop stop;
    bool over = false;
    int status = 0;
    timeline_set_pace(timeline, show_progress, query);
    if (go_to_start(query, &stop, error) < 0)
        status = -1;
    while (status == 0 && query->began && !over)
        status = run_on(query, plan, &over, error);
    note_end(query);
    timeline_set_pace(timeline, NULL, NULL);
    debugger_moved(query->debugger);
    return status;
}

int query_rearm(struct query *query, const struct timeline_condition *conditions, unsigned count)
{
    struct error error;
    memcpy(query->conditions, conditions, count * sizeof *conditions);
    int status = timeline_rearm(
        query->debugger->timeline, query->conditions, query->condition_count, &error);
    query->table.failed |= status < 0;
    return status;
}

int query_watch(struct query *query, struct position start, const struct accesses_watcher *watcher,
    struct error *error)
{
    struct timeline *timeline = query->debugger->timeline;
    struct timeline_stop stop;
    timeline_set_pace(timeline, show_progress, query);
    int status = go_to_start(query, &stop, error);
    if (status == 0 && query->began)
        status = accesses_watch(timeline, start, query->to, watcher, &query->began, &stop, error);
    note_end(query);
    timeline_set_pace(timeline, NULL, NULL);
    debugger_moved(query->debugger);
    return status;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

bool query_view(const struct query *query, struct view *view)
{
    struct machine *machine = timeline_machine(query->debugger->timeline);
    *view = (struct view){.memory = &machine->memory};
    if (engine_export_core(machine->engine, &view->state, NULL) < 0)
        return false;
    /* What a kernel's entry finds its own data by is not among the registers of every exit. */
    bool is_kernel = view->state.segment[SEG_GS].base >> 63;
    return is_kernel || engine_export_state(machine->engine, &view->state, NULL) == 0;
}

/* Looked up once for each kernel. */
static const struct query_kernel *find_kernel(struct query *query)
{
    struct query_kernel *found = &query->kernel;
    struct module *kernel = follow_kernel(query->debugger);
    if (!kernel || kernel->away || !kernel->dwarf)
        return NULL;
    if (found->of == kernel && found->bias == kernel->bias)
        return found->is_known ? found : NULL;
    *found = (struct query_kernel){.of = kernel, .bias = kernel->bias};
    /* Linux 6.2 moved it into pcpu_hot. */
    const struct symbol *current = module_find(kernel, "current_task");
    if (!current)
        current = module_find(kernel, "pcpu_hot");
    found->is_known = current && current->is_percpu &&
                      kernel_member(kernel, "task_struct", "pid", &found->pid, NULL) &&
                      kernel_member(kernel, "task_struct", "tgid", &found->tgid, NULL) &&
                      kernel_member(kernel, "task_struct", "comm", &found->name, NULL);
    if (found->is_known)
        found->current = current->address;
    return found->is_known ? found : NULL;
}

bool query_current_task(struct query *query, const struct view *view, uint64_t *task)
{
    const struct query_kernel *kernel = find_kernel(query);
    return kernel && view_read_number(view, kernel->current + view_percpu_base(view), 8, task) &&
           *task >> 63;
}

bool query_task_name(
    struct query *query, const struct view *view, uint64_t task, char *name, size_t size)
{
    const struct query_kernel *kernel = find_kernel(query);
    char text[17] = "";
    uint64_t pid;
    if (!kernel || !view_read_number(view, task + kernel->pid, 4, &pid) ||
        !view_read(view, task + kernel->name, text, 16))
        return false;
    snprintf(name, size, "%" PRIu64 " %s", pid, text);
    return true;
}

uint64_t query_row(struct query *query, const struct view *view)
{
    struct timeline *timeline = query->debugger->timeline;
    uint64_t task;
    char name[64];
    query->is_full |= table_is_full(&query->table, query->memory);
    if (query->table.rows >= query->limit || query->is_full) {
        query->limited = true;
        return UINT64_MAX;
    }
    uint64_t row = table_add(&query->table);
    query->last_row = timeline_position(timeline);
    query->last_row_retired = timeline_retired(timeline);
    table_set_position(&query->table, row, QUERY_POSITION, timeline_position(timeline));
    table_set_number(&query->table, row, QUERY_TIME, timeline_time(timeline));
    table_set_number(&query->table, row, QUERY_VCPU, threads_running(timeline) - 1);
    if (query_current_task(query, view, &task) &&
        query_task_name(query, view, task, name, sizeof name))
        table_set_text(&query->table, row, QUERY_PROCESS, name);
    return row;
}

void query_text(struct query *query, uint64_t row, unsigned column, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    table_set_text(&query->table, row, column, text);
}

void query_place(struct query *query, uint64_t row, unsigned column, uint64_t address)
{
    struct buffer text = {0};
    symbols_describe(&query->debugger->symbols, address, &text);
    if (text.size)
        text.data[text.size - 1] = 0; /* without the brackets */
    table_set_place(&query->table, row, column, address,
        text.size && !text.failed ? (const char *)text.data + 1 : NULL);
    buffer_free(&text);
}

void query_note_unmapped(struct query *query, uint64_t address, bool physical)
{
    struct translation translation = {.gpa = address};
    struct view view;
    if (query->table.rows || !query_view(query, &view))
        return;
    bool is_mapped = physical || translate(view.memory, &view.state, address, &translation);
    if (!is_mapped || !memory_at(view.memory, translation.gpa, 1))
        buffer_printf(&query->notes, "0x%" PRIx64 " is %s where the look ended.\n", address,
            is_mapped ? "no RAM" : "not mapped");
}

void query_stack(struct query *query, unsigned most, struct buffer *out)
{
    struct debugger *debugger = query->debugger;
    struct frame frame, caller;
    debugger_moved(debugger);
    if (session_look(debugger, NULL) < 0)
        return;
    unwind_start(&debugger->symbols, &debugger->view, &frame);
    for (unsigned level = 0; level < most; level++) {
        const struct symbol *symbol = symbols_at(&debugger->symbols, unwind_lookup_address(&frame));
        if (level)
            buffer_printf(out, " < ");
        if (symbol)
            buffer_printf(out, "%.100s", symbol->name);
        else
            buffer_printf(out, "0x%" PRIx64, frame.reg[DWARF_PC]);
        if (!unwind_caller(&debugger->symbols, &debugger->view, &frame, &caller))
            break;
        frame = caller;
    }
    debugger_moved(debugger);
}

/* ---- The answer ------------------------------------------------------------------------------ */

static bool is_whole(const struct query *query)
{
    return query->began && !query->limited && !query->interrupted;
}

static void say_covered(struct query *query, const struct trace_info *info)
{
    struct debugger *debugger = query->debugger;
    uint64_t last = timeline_last_event(debugger->timeline);
    uint64_t end = query->to.event < last ? query->to.event : last;
    uint64_t all = end - query->from.event, done = query->reached.event - query->from.event;
    print(debugger, "%" PRIu64 " row%s. ", query->table.rows, query->table.rows == 1 ? "" : "s");
    if (!query->began) {
        print(debugger, "Interrupted before anything was looked at.\n");
        return;
    }
    print(debugger,
        "Looked at %" PRIu64 ".%" PRIu64 " to %" PRIu64 ".%" PRIu64 ", %" PRIu64 " instructions.\n",
        query->from.event, query->from.insn, query->reached.event, query->reached.insn,
        query->instructions);
    if (!is_whole(query))
        print(debugger, "%s there, at %" PRIu64 "%% of the events that were asked for%s.\n",
            query->is_full   ? "There is no memory for more rows"
            : query->limited ? "The limit of rows was reached"
                             : "Interrupted",
            all ? done * 100 / all : 100,
            query->is_full   ? ": -from and -to ask about a part"
            : query->limited ? ": -limit allows more"
                             : "");
    if (!info->complete && query->reached.event >= last)
        print(debugger, "The recording was cut off there.\n");
}

static void put_position(struct buffer *out, const char *name, struct position position)
{
    buffer_printf(
        out, "\"%s\": \"%" PRIu64 ".%" PRIu64 "\", ", name, position.event, position.insn);
}

const char *query_ended(const struct query *query)
{
    struct trace_info info;
    trace_reader_info(timeline_trace(query->debugger->timeline), &info);
    if (query->limited)
        return query->is_full ? "memory" : "limit";
    if (query->interrupted)
        return "interrupted";
    return !info.complete && query->reached.event >= info.end_event - 1 ? "cut-off" : "end";
}

static void print_json(struct query *query)
{
    struct buffer *out = &query->debugger->out;
    buffer_printf(out, "{\n  \"question\": ");
    struct buffer question = {0};
    buffer_put_visible(&question, query->name, strlen(query->name));
    if (*query->question)
        buffer_put_u8(&question, ' ');
    buffer_put_visible(&question, query->question, strlen(query->question));
    buffer_put_u8(&question, 0);
    json_string(out, question.failed ? "" : (const char *)question.data);
    buffer_free(&question);
    buffer_printf(out, ",\n  \"rows\": ");
    table_print_json(&query->table, out);
    buffer_printf(out, ",\n  \"covered\": {");
    put_position(out, "from", query->from);
    put_position(out, "to", query->reached);
    buffer_printf(out, "\"instructions\": %" PRIu64 ", \"whole\": %s, \"ended\": \"%s\"},\n",
        query->instructions, is_whole(query) ? "true" : "false", query_ended(query));
    buffer_printf(out, "  \"notes\": ");
    buffer_put_u8(&query->notes, 0);
    json_string(out, query->notes.failed ? "" : (const char *)query->notes.data);
    buffer_printf(out, "\n}\n");
}

static void print_answer(struct query *query)
{
    struct debugger *debugger = query->debugger;
    struct buffer text = {0};
    struct trace_info info;
    trace_reader_info(timeline_trace(debugger->timeline), &info);
    if (query->json) {
        print_json(query);
        return;
    }
    table_print_text(&query->table, &text);
    print_text(debugger, &text);
    buffer_free(&text);
    print_text(debugger, &query->notes);
    say_covered(query, &info);
}

int query_close(struct query *query, int status, struct error *error)
{
    struct debugger *debugger = query->debugger;
    struct error ignored;
    if (timeline_seek(debugger->timeline, query->here, NULL, status < 0 ? &ignored : error) < 0)
        status = -1;
    debugger_moved(debugger);
    if (status == 0)
        status = session_look(debugger, error);
    /* What was said about places on the way is no part of the answer. */
    if (debugger->out.size > query->printed)
        debugger->out.size = query->printed;
    if (status == 0 && query->table.failed)
        status = error_set(
            error, "out of memory after %" PRIu64 " rows: take a lower limit", query->table.rows);
    if (status == 0 && query->receive)
        query->receive(query->receive_context, query);
    else if (status == 0)
        print_answer(query);
    table_free(&query->table);
    buffer_free(&query->notes);
    return status;
}
