/* The question `when CONDITION`: the stretches of the run in which it holds. */
#include "debugger/query.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { UNTIL = QUERY_OWN_COLUMNS, DURATION, INSTRUCTIONS };

static const struct column columns[] = {
    {"until", COLUMN_POSITION}, {"duration", COLUMN_TIME}, {"instructions", COLUMN_NUMBER}};

/* Operands in memory, and what may put other memory in their place: another CR3, paging. */
enum { OPERANDS = VIEW_LOG_MAX, SPACE = OPERANDS, PAGING, CONDITIONS };

struct watching {
    struct query *query;
    const char *text;
    bool is_known, was_known, holds;
    bool has_paging;     /* it is on; the guest need not have set it up yet */
    struct view_log log; /* what the condition reads */
    uint64_t row;        /* the stretch that it holds in now */
    uint64_t since_time, since_retired;
    struct error error; /* why it cannot be told, at last */
};

/* ---- What a condition may be ----------------------------------------------------------------- */

static bool is_assignment(const char *text, const char *at)
{
    if ((at[0] == '+' && at[1] == '+') || (at[0] == '-' && at[1] == '-'))
        return true;
    if (*at != '=' || at[1] == '=')
        return false;
    bool shifts = at - text >= 2 && (at[-1] == '<' || at[-1] == '>') && at[-2] == at[-1];
    return at == text || shifts || !strchr("=!<>", at[-1]);
}

/* "name(", but for what the language has itself. */
static bool is_call(const struct watching *watching, const char *text, const char *at)
{
    char name[128];
    const char *begin = at;
    if (*at != '(')
        return false;
    while (begin > text && (isalnum((unsigned char)begin[-1]) || begin[-1] == '_'))
        begin--;
    snprintf(name, sizeof name, "%.*s", (int)(at - begin), begin);
    const struct symbol *symbol =
        *name ? symbols_find(&watching->query->debugger->symbols, name) : NULL;
    return symbol && symbol->is_code;
}

static bool is_register(const struct watching *watching, const char *at)
{
    char name[32];
    uint64_t value;
    unsigned size;
    if (*at != '$')
        return false;
    size_t length =
        strspn(at + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
    snprintf(name, sizeof name, "%.*s", (int)length, at + 1);
    return view_register(&watching->query->debugger->view, name, &value, &size);
}

static int check(const struct watching *watching, struct error *error)
{
    const char *text = watching->text;
    bool quoted = false;
    for (const char *at = text; *at; at++) {
        if (*at == '"' || *at == '\'')
            quoted = !quoted;
        if (quoted)
            continue;
        if (is_assignment(text, at))
            return error_set(
                error, "when: '%.60s' would change something: a condition only looks", text);
        if (is_call(watching, text, at))
            return error_set(
                error, "when: '%.60s' calls a function of the guest: a condition only looks", text);
        if (is_register(watching, at))
            return error_set(error,
                "when: registers change with every instruction: ask about memory, or at a place "
                "with dprintf");
    }
    return 0;
}

/* ---- Looking --------------------------------------------------------------------------------- */

/* What the condition is now, and what it reads. */
static void evaluate(struct watching *watching)
{
    struct debugger *debugger = watching->query->debugger;
    struct expression_scope scope;
    struct view view;
    uint64_t value = 0;
    watching->log = (struct view_log){0};
    session_scope(debugger, &scope);
    scope.frame = NULL;
    scope.view = &view;
    watching->is_known = query_view(watching->query, &view);
    watching->has_paging = view.state.cr0 & CR0_PG;
    view.log = &watching->log;
    watching->is_known = watching->is_known &&
                         expression_number(&scope, watching->text, &value, &watching->error) == 0;
    watching->was_known |= watching->is_known;
    watching->holds = watching->is_known && value != 0;
}

static void end_stretch(struct watching *watching)
{
    struct query *query = watching->query;
    const struct timeline *timeline = query->debugger->timeline;
    table_set_position(&query->table, watching->row, UNTIL, timeline_position(timeline));
    table_set_number(
        &query->table, watching->row, DURATION, timeline_time(timeline) - watching->since_time);
    table_set_number(&query->table, watching->row, INSTRUCTIONS,
        timeline_retired(timeline) - watching->since_retired);
    watching->row = UINT64_MAX;
}

static void follow_value(struct watching *watching)
{
    struct query *query = watching->query;
    const struct timeline *timeline = query->debugger->timeline;
    struct view view;
    bool held = watching->row != UINT64_MAX;
    if (held && !watching->holds)
        end_stretch(watching);
    if (held || !watching->holds || !query_view(query, &view))
        return;
    watching->row = query_row(query, &view);
    watching->since_time = timeline_time(timeline);
    watching->since_retired = timeline_retired(timeline);
}

static bool on_write(void *context, struct timeline *timeline);

static void fill(struct watching *watching, struct timeline_condition *conditions)
{
    static const uint64_t nowhere[] = {UINT64_MAX};
    for (unsigned i = 0; i < OPERANDS; i++) {
        const struct view_piece *piece = &watching->log.pieces[i];
        conditions[i] = (struct timeline_condition){
            .kind = CONDITION_EXECUTE, .places = nowhere, .place_count = 1};
        if (i < watching->log.count)
            conditions[i] = (struct timeline_condition){.kind = CONDITION_WRITE,
                .address = piece->address,
                .length = piece->size,
                .accept = on_write,
                .context = watching};
    }
    conditions[SPACE] = (struct timeline_condition){
        .kind = CONDITION_SPACE, .accept = on_write, .context = watching};
    conditions[PAGING] =
        (struct timeline_condition){.kind = CONDITION_EXECUTE, .places = nowhere, .place_count = 1};
    if (!watching->has_paging)
        conditions[PAGING] = (struct timeline_condition){
            .kind = CONDITION_MODE, .accept = on_write, .context = watching};
}

static bool is_same_log(const struct view_log *a, const struct view_log *b)
{
    return a->count == b->count && a->overflowed == b->overflowed &&
           memcmp(a->pieces, b->pieces, a->count * sizeof *a->pieces) == 0;
}

/* An operand was written, or lies elsewhere: others may be operands now. */
static bool on_write(void *context, struct timeline *timeline)
{
    struct watching *watching = context;
    struct timeline_condition conditions[CONDITIONS];
    struct view_log before = watching->log;
    bool had_paging = watching->has_paging;
    (void)timeline;
    evaluate(watching);
    follow_value(watching);
    if (!is_same_log(&before, &watching->log) || had_paging != watching->has_paging) {
        fill(watching, conditions);
        query_rearm(watching->query, conditions, CONDITIONS);
    }
    return query_is_over(watching->query) || watching->log.overflowed;
}

static int arm(void *context, struct timeline_condition *conditions, struct error *error)
{
    struct watching *watching = context;
    (void)error;
    evaluate(watching);
    follow_value(watching);
    fill(watching, conditions);
    return watching->log.overflowed ? QUERY_FOUND : CONDITIONS;
}

QUESTION(when)
{
    struct watching watching = {.query = query, .text = text, .row = UINT64_MAX};
    const struct query_plan plan = {.arm = arm, .context = &watching, .follows = true};
    query_columns(query, columns, sizeof columns / sizeof columns[0]);
    if (check(&watching, error) < 0 || query_run(query, &plan, error) < 0)
        return -1;
    if (watching.log.overflowed)
        return error_set(error, "when: '%.60s' reads more than %d places", text, VIEW_LOG_MAX);
    if (!watching.was_known && !query_is_over(query))
        return error_set(error, "%s", watching.error.text);
    if (!watching.is_known)
        buffer_printf(
            &query->notes, "Where the look ended it cannot be told: %s\n", watching.error.text);
    if (watching.row != UINT64_MAX)
        buffer_printf(&query->notes, "It still holds where the look ended.\n");
    return 0;
}
