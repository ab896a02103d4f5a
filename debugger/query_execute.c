/* The questions about places in code: `executes` and `dprintf`. */
#include "debugger/query.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "debugger/printf.h"
#include "debugger/query_calls.h"

/* ---- executes RANGE -------------------------------------------------------------------------- */

enum { FIRST = QUERY_OWN_COLUMNS, LAST, COUNT };

static const struct column execute_columns[] = {
    {"first", COLUMN_PLACE}, {"last", COLUMN_PLACE}, {"instructions", COLUMN_NUMBER}};

struct code_range {
    uint64_t address, length;
};

struct executing {
    struct query *query;
    const char *text;
    struct code_range ranges[MAX_POINT_ADDRESSES];
    unsigned count;
    bool was_found;
    /* The stretch of instructions under way. */
    uint64_t row, next_retired;
};

static bool on_instruction(void *context, struct timeline *timeline)
{
    struct executing *executing = context;
    struct query *query = executing->query;
    uint64_t retired = timeline_retired(timeline);
    struct view view;
    if (!query_view(query, &view))
        return false;
    bool goes_on = executing->row != UINT64_MAX && retired == executing->next_retired;
    if (!goes_on) {
        executing->row = query_row(query, &view);
        query_place(query, executing->row, FIRST, view_pc(&view));
        table_set_number(&query->table, executing->row, COUNT, 0);
    }
    const struct cell *count = table_cell(&query->table, executing->row, COUNT);
    if (count)
        table_set_number(&query->table, executing->row, COUNT, count->number + 1);
    query_place(query, executing->row, LAST, view_pc(&view));
    executing->next_retired = retired + 1;
    return query_is_over(query);
}

static void add_range(struct executing *executing, uint64_t address, uint64_t length)
{
    if (executing->count < MAX_POINT_ADDRESSES && length)
        executing->ranges[executing->count++] = (struct code_range){address, length};
}

/* "ADDRESS,LENGTH"; false: it is something else. */
static bool find_numbered(struct executing *executing, int *status, struct error *error)
{
    char first[MAX_LINE];
    const char *comma = strrchr(executing->text, ',');
    uint64_t address, length;
    if (!comma)
        return false;
    snprintf(first, sizeof first, "%.*s", (int)(comma - executing->text), executing->text);
    struct debugger *debugger = executing->query->debugger;
    *status = session_number(debugger, first + (*first == '*'), &address, error);
    if (*status == 0)
        *status = session_number(debugger, comma + 1, &length, error);
    if (*status == 0 && (length == 0 || length > ~address))
        *status = error_set(error, "'%.60s' has no bytes to look at", executing->text);
    if (*status == 0)
        add_range(executing, address, length);
    return true;
}

/* A function by its name is all of it; FILE:LINE is the line's code; *ADDRESS one instruction. */
static int find_ranges(struct executing *executing, struct error *error)
{
    struct debugger *debugger = executing->query->debugger;
    uint64_t addresses[MAX_POINT_ADDRESSES];
    unsigned count = 0;
    int status = 0;
    executing->count = 0;
    if (find_numbered(executing, &status, error))
        return status;
    count = place_functions(debugger, executing->text, addresses, MAX_POINT_ADDRESSES);
    for (unsigned i = 0; i < count; i++) {
        const struct symbol *symbol = symbols_at(&debugger->symbols, addresses[i]);
        add_range(executing, addresses[i], symbol && symbol->size ? symbol->size : 1);
    }
    if (count)
        return 0;
    if (place_parse(debugger, executing->text, addresses, MAX_POINT_ADDRESSES, &count, error) < 0)
        return -1;
    for (unsigned i = 0; i < count; i++) {
        struct source_line line;
        bool is_line = *executing->text != '*' &&
                       symbols_line(&debugger->symbols, addresses[i], &line) &&
                       line.end > line.start;
        add_range(
            executing, is_line ? line.start : addresses[i], is_line ? line.end - line.start : 1);
    }
    return 0;
}

static int arm_execute(void *context, struct timeline_condition *conditions, struct error *error)
{
    struct executing *executing = context;
    (void)error;
    executing->was_found |= find_ranges(executing, NULL) == 0;
    for (unsigned i = 0; i < executing->count; i++)
        conditions[i] = (struct timeline_condition){.kind = CONDITION_EXECUTE,
            .address = executing->ranges[i].address,
            .length = executing->ranges[i].length,
            .accept = on_instruction,
            .context = executing};
    return (int)executing->count;
}

QUESTION(executes)
{
    struct executing executing = {.query = query, .text = text, .row = UINT64_MAX};
    const struct query_plan plan = {.arm = arm_execute, .context = &executing, .follows = true};
    query_columns(query, execute_columns, 3);
    if (!*text)
        return error_set(error, "executes: give a function, FILE:LINE, *ADDRESS or ADDRESS,LENGTH");
    bool by_name = !strpbrk(text, ",:*");
    if (by_name ? calls_check_name(query->debugger, text, error) < 0
                : find_ranges(&executing, error) < 0)
        return -1;
    int status = query_run(query, &plan, error);
    if (status == 0 && !executing.was_found)
        buffer_printf(&query->notes, "The code of '%.60s' was never in memory.\n", text);
    else if (status == 0 && executing.count)
        query_note_unmapped(query, executing.ranges[0].address, false);
    return status;
}

/* ---- dprintf LOCATION,"FORMAT",ARGUMENTS ----------------------------------------------------- */

enum { PLACE = QUERY_OWN_COLUMNS, TEXT };

static const struct column printf_columns[] = {{"place", COLUMN_PLACE}, {"text", COLUMN_TEXT}};

struct printing {
    struct query *query;
    char location[256];
    const char *format;
    uint64_t addresses[MAX_POINT_ADDRESSES];
    bool was_found;
};

static bool on_place(void *context, struct timeline *timeline)
{
    struct printing *printing = context;
    struct query *query = printing->query;
    struct buffer text = {0};
    struct error error;
    struct view view;
    (void)timeline;
    if (!query_view(query, &view))
        return false;
    uint64_t row = query_row(query, &view);
    query_place(query, row, PLACE, view_pc(&view));
    debugger_moved(query->debugger);
    if (row != UINT64_MAX && printf_format(query->debugger, printing->format, &text, &error) < 0)
        buffer_printf(&text, "<%.400s>", error.text);
    while (text.size && text.data[text.size - 1] == '\n')
        text.size--;
    buffer_put_u8(&text, 0);
    if (!text.failed)
        table_set_text(&query->table, row, TEXT, (const char *)text.data);
    buffer_free(&text);
    debugger_moved(query->debugger);
    return query_is_over(query);
}

static int find_places(struct printing *printing, unsigned *count, struct error *error)
{
    struct debugger *debugger = printing->query->debugger;
    size_t printed = debugger->out.size;
    int status = place_parse(
        debugger, printing->location, printing->addresses, MAX_POINT_ADDRESSES, count, error);
    debugger->out.size = printed;
    return status;
}

static int arm_printf(void *context, struct timeline_condition *conditions, struct error *error)
{
    struct printing *printing = context;
    unsigned count = 0;
    (void)error;
    if (find_places(printing, &count, NULL) < 0)
        return 0;
    printing->was_found = true;
    for (unsigned i = 0; i < count; i++)
        conditions[i] = (struct timeline_condition){.kind = CONDITION_EXECUTE,
            .address = printing->addresses[i],
            .length = 1,
            .accept = on_place,
            .context = printing};
    return (int)count;
}

QUESTION(dprintf)
{
    struct printing printing = {.query = query};
    const struct query_plan plan = {.arm = arm_printf, .context = &printing, .follows = true};
    const char *comma = strchr(text, ',');
    query_columns(query, printf_columns, 2);
    if (!comma || *skip_spaces(comma + 1) != '"')
        return error_set(error, "dprintf: as in dprintf main,\"%%d\\n\",argc");
    snprintf(printing.location, sizeof printing.location, "%.*s", (int)(comma - text), text);
    printing.format = skip_spaces(comma + 1);
    bool by_name = !strpbrk(printing.location, ":*");
    unsigned count;
    if (by_name ? calls_check_name(query->debugger, printing.location, error) < 0
                : find_places(&printing, &count, error) < 0)
        return -1;
    int status = query_run(query, &plan, error);
    if (status == 0 && !printing.was_found)
        buffer_printf(
            &query->notes, "The code of '%.60s' was never in memory.\n", printing.location);
    return status;
}
