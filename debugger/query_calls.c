/* The question `calls FUNCTION...`: arguments, results and how long they took. */
#include "debugger/query_calls.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FUNCTION = QUERY_OWN_COLUMNS,
    ARGUMENTS,
    RESULT,
    INSTRUCTIONS,
    DURATION,
    CALLER,
};

static const struct column columns[] = {{"function", COLUMN_TEXT}, {"arguments", COLUMN_TEXT},
    {"result", COLUMN_TEXT}, {"instructions", COLUMN_NUMBER}, {"duration", COLUMN_TIME},
    {"caller", COLUMN_PLACE}};

struct asking {
    struct query *query;
    char *words; /* the names, each with its terminator */
    const char *names[CALLS_MAX_FUNCTIONS];
    unsigned name_count;
    struct calls calls;
    struct position known; /* from where on the function was in memory */
    bool is_known;
};

static void put_value(struct query *query, const struct view *view, const struct type *type,
    uint64_t bits, struct buffer *out)
{
    struct value value = value_number(bits, type);
    struct error error;
    uint64_t size = type_size(type);
    const unsigned unused = size && size < 8 ? (unsigned)(64 - 8 * size) : 0;
    int64_t extended = (int64_t)(bits << unused) >> unused;
    switch (type_kind(type)) {
    case TYPE_POINTER:
    case TYPE_REFERENCE:
        buffer_printf(out, "0x%" PRIx64, bits);
        return;
    case TYPE_SIGNED:
        buffer_printf(out, "%" PRId64, extended);
        return;
    case TYPE_UNSIGNED:
        buffer_printf(out, "%" PRIu64, size < 8 ? bits & (((uint64_t)1 << 8 * size) - 1) : bits);
        return;
    default:
        if (value_format(view, &query->debugger->symbols, &value, 0, out, &error) < 0)
            buffer_put_u8(out, '?');
    }
}

static bool argument(
    const struct call_parameter *parameter, const struct view *view, uint64_t *bits)
{
    if (parameter->where == PARAMETER_REGISTER)
        *bits = unwind_register(view, parameter->number);
    else if (parameter->where == PARAMETER_STACK)
        return view_read_number(view, view->state.gpr[RSP] + 8 + 8 * parameter->number, 8, bits);
    return parameter->where != PARAMETER_UNKNOWN;
}

static void put_arguments(struct query *query, const struct called_function *function,
    const struct view *view, struct buffer *out)
{
    for (unsigned i = 0; i < function->parameter_count; i++) {
        const struct call_parameter *parameter = &function->parameters[i];
        uint64_t bits;
        buffer_printf(out, "%s%s=", i ? ", " : "", parameter->name);
        if (argument(parameter, view, &bits))
            put_value(query, view, &parameter->type, bits, out);
        else
            buffer_put_u8(out, '?');
    }
    buffer_put_u8(out, 0);
}

static uint64_t on_enter(void *context, const struct call *call, const struct view *view)
{
    struct asking *asking = context;
    struct query *query = asking->query;
    struct buffer text = {0};
    uint64_t row = query_row(query, view);
    if (row == UINT64_MAX)
        return row;
    put_arguments(query, call->function, view, &text);
    table_set_text(&query->table, row, FUNCTION, call->function->name);
    if (!text.failed)
        table_set_text(&query->table, row, ARGUMENTS, (const char *)text.data);
    query_place(query, row, CALLER, call->caller);
    buffer_free(&text);
    return row;
}

static void on_leave(void *context, const struct call *call, const struct view *view)
{
    const struct asking *asking = context;
    struct query *query = asking->query;
    const struct timeline *timeline = query->debugger->timeline;
    const struct called_function *function = call->function;
    struct type word = type_builtin(TYPE_POINTER, 8);
    struct buffer text = {0};
    table_set_number(
        &query->table, call->row, INSTRUCTIONS, timeline_retired(timeline) - call->retired);
    table_set_number(&query->table, call->row, DURATION, timeline_time(timeline) - call->time);
    if (function->has_types && type_kind(&function->result) == TYPE_VOID)
        return;
    put_value(
        query, view, function->has_types ? &function->result : &word, view->state.gpr[RAX], &text);
    buffer_put_u8(&text, 0);
    if (!text.failed)
        table_set_text(&query->table, call->row, RESULT, (const char *)text.data);
    buffer_free(&text);
}

static int arm(void *context, struct timeline_condition *conditions, struct error *error)
{
    struct asking *asking = context;
    calls_forget_functions(&asking->calls);
    for (unsigned i = 0; i < asking->name_count; i++)
        calls_add_functions(&asking->calls, asking->names[i]);
    if (asking->calls.function_count && !asking->is_known) {
        asking->is_known = true;
        asking->known = timeline_position(asking->query->debugger->timeline);
    }
    return calls_arm(&asking->calls, conditions, error);
}

static void note_known(struct asking *asking)
{
    struct query *query = asking->query;
    const struct calls *calls = &asking->calls;
    if (calls->function_count)
        query_note_unmapped(query, calls->functions[0].entry, false);
    if (!asking->is_known)
        buffer_printf(&query->notes, "The code of '%.60s' was never in memory.\n", query->question);
    else if (position_compare(asking->known, query->from) > 0)
        buffer_printf(&query->notes,
            "The code of '%.60s' is in memory from %" PRIu64 ".%" PRIu64 " on.\n", query->question,
            asking->known.event, asking->known.insn);
}

/* A name may have spaces in it, as "operator new"; else words are names. */
static int take_names(struct asking *asking, const char *text, struct error *error)
{
    const struct debugger *debugger = asking->query->debugger;
    char *rest;
    asking->words = strdup(text);
    if (!asking->words)
        return error_set(error, "out of memory");
    asking->names[asking->name_count++] = asking->words;
    if (calls_check_name(debugger, text, error) == 0)
        return 0;
    if (!strchr(text, ' '))
        return -1;
    asking->name_count = 0;
    for (char *word = strtok_r(asking->words, " ", &rest); word;
         word = strtok_r(NULL, " ", &rest)) {
        if (asking->name_count == CALLS_MAX_FUNCTIONS)
            return error_set(error, "calls: at most %d functions", CALLS_MAX_FUNCTIONS);
        if (calls_check_name(debugger, word, error) < 0)
            return -1;
        asking->names[asking->name_count++] = word;
    }
    return 0;
}

QUESTION(calls)
{
    struct asking *asking = calloc(1, sizeof *asking);
    if (!asking)
        return error_set(error, "out of memory");
    *asking = (struct asking){.query = query};
    asking->calls =
        (struct calls){.query = query, .enter = on_enter, .leave = on_leave, .context = asking};
    const struct query_plan plan = {.arm = arm, .context = asking, .follows = true};
    query_columns(query, columns, sizeof columns / sizeof columns[0]);
    int status = *text ? take_names(asking, text, error)
                       : error_set(error, "calls: give the name of a function");
    if (status == 0)
        status = query_run(query, &plan, error);
    if (status == 0)
        note_known(asking);
    calls_free(&asking->calls);
    free(asking->words);
    free(asking);
    return status;
}
