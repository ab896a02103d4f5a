/* Questions over a run against what single steps, and the watcher of every access, say of it. */
#include "tests/unit/replay/recorded.h"

#include <inttypes.h>

#include "debugger/query.h"
#include "replay/accesses.h"

static struct debugger *debugger;
static struct timeline *timeline;
static char folder[] = "/tmp/hindsight-query-XXXXXX";

static int record_once(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    snprintf(trace_path, sizeof trace_path, "crash.hst");
    record("crash", "ticks=8 hz=1000", UINT64_MAX);
    return 0;
}

static int remove_recording(void **state)
{
    (void)state;
    unlink("crash.hst");
    return rmdir(folder);
}

static int open_session(void **state)
{
    struct error error = {""};
    bool damaged;
    const struct debugger_options options = {0};
    (void)state;
    debugger = debugger_open(trace_path, &options, &damaged, &error);
    if (!debugger)
        fail_msg("%s", error.text);
    timeline = debugger_timeline(debugger);
    return 0;
}

static int close_session(void **state)
{
    (void)state;
    debugger_close(debugger);
    return 0;
}

static void ask(struct query *query, const char *name,
    int (*question)(struct query *query, const char *text, struct error *error), const char *text)
{
    struct error error = {""};
    assert_int_equal(query_open(query, debugger, &error), 0);
    query->name = name;
    query->question = text;
    query->limit = UINT64_MAX;
    if (question(query, text, &error) < 0)
        fail_msg("%s %s: %s", name, text, error.text);
}

static void close_query(struct query *query)
{
    struct error error;
    assert_int_equal(query_close(query, 0, &error), 0);
    buffer_clear(debugger_output(debugger));
}

static struct position row_position(const struct query *query, uint64_t row)
{
    const struct cell *cell = table_cell(&query->table, row, QUERY_POSITION);
    assert_non_null(cell);
    return (struct position){cell->number, cell->insn};
}

static void restart(void)
{
    struct error error;
    assert_int_equal(timeline_seek(timeline, (struct position){0, 0}, NULL, &error), 0);
}

static bool step(void)
{
    struct timeline_stop stop;
    struct error error;
    if (timeline_step(timeline, FORWARD, 1, &stop, &error) < 0)
        fail_msg("%s", error.text);
    return stop.why == TIMELINE_DONE;
}

static void look(struct view *view)
{
    struct error error;
    assert_int_equal(view_take(view, timeline, &error), 0);
}

/* ---- calls ----------------------------------------------------------------------------------- */

enum {
    MAX_OPEN = 64,
    FUNCTION = QUERY_OWN_COLUMNS,
    ARGUMENTS,
    RESULT,
    INSTRUCTIONS,
    DURATION,
    CALLER
};

struct stepped {
    uint64_t slot, caller, row, retired, time;
};

/* Every call of a function, by stepping from the start to the end. */
static void calls_agree(const char *name)
{
    struct query query;
    struct view view;
    struct stepped open[MAX_OPEN];
    unsigned count = 0;
    uint64_t row = 0, returned = 0;
    ask(&query, "calls", query_calls, name);
    const struct symbol *symbol = symbols_find(debugger_symbols(debugger), name);
    assert_non_null(symbol);
    restart();
    do {
        look(&view);
        uint64_t rsp = view.state.gpr[RSP];
        for (unsigned i = 0; i < count; i++) {
            if (open[i].caller != view_pc(&view) || open[i].slot + 8 != rsp)
                continue;
            const struct cell *cell = table_cell(&query.table, open[i].row, INSTRUCTIONS);
            assert_true(cell->known);
            assert_int_equal(cell->number, timeline_retired(timeline) - open[i].retired);
            cell = table_cell(&query.table, open[i].row, DURATION);
            assert_int_equal(cell->number, timeline_time(timeline) - open[i].time);
            open[i--] = open[--count];
            returned++;
        }
        if (view_pc(&view) != symbol->address)
            continue;
        struct stepped call = {.slot = rsp,
            .row = row++,
            .retired = timeline_retired(timeline),
            .time = timeline_time(timeline)};
        assert_true(view_read_number(&view, rsp, 8, &call.caller));
        assert_true(call.row < query.table.rows);
        assert_int_equal(
            position_compare(row_position(&query, call.row), timeline_position(timeline)), 0);
        assert_int_equal(table_cell(&query.table, call.row, CALLER)->number, call.caller);
        assert_true(count < MAX_OPEN);
        open[count++] = call;
    } while (step());
    assert_int_equal(row, query.table.rows);
    assert_true(row > 0 && returned > 0);
    for (unsigned i = 0; i < count; i++)
        assert_false(table_cell(&query.table, open[i].row, INSTRUCTIONS)->known);
    close_query(&query);
}

static void calls_are_those_of_single_steps(void **state)
{
    (void)state;
    calls_agree("handle_pit");
    calls_agree("pit_count"); /* interrupted now and then */
    calls_agree("interrupt_dispatch");
}

/* ---- Bounds ---------------------------------------------------------------------------------- */

/* Every instruction makes rows of reads; a hundred million are asked for. */
static void memory_bounds_an_answer_that_the_limit_does_not(void **state)
{
    enum { ROOM = 1 << 20 };
    struct query query;
    struct error error = {""};
    (void)state;
    assert_int_equal(query_open(&query, debugger, &error), 0);
    query.name = "reads";
    query.question = "phys:0,0x1000000";
    query.limit = 100000000;
    query.memory = ROOM;
    assert_int_equal(query_reads(&query, query.question, &error), 0);
    assert_string_equal(query_ended(&query), "memory");
    assert_true(query.table.rows > 1000);
    assert_true(query.table.capacity * query.table.width * sizeof *query.table.cells <= ROOM);
    /* What was looked at ends with the last row. */
    const struct position last = row_position(&query, query.table.rows - 1);
    assert_int_equal(position_compare(query.reached, last), 0);
    assert_int_equal(query_close(&query, 0, &error), 0);
    const struct buffer *out = debugger_output(debugger);
    assert_non_null(
        memmem(out->data, out->size, "There is no memory for more rows there, at ", 43));
    buffer_clear(debugger_output(debugger));
}

/* ---- writes ---------------------------------------------------------------------------------- */

enum { KIND = QUERY_OWN_COLUMNS, ADDRESS, BYTES, BY, OLD, VALUE, MAX_BYTES = 16 };

/* The bytes that a cell shows: "0x12", or "12 34 56 ...". */
static void parse_bytes(const char *text, uint64_t size, uint8_t *data)
{
    assert_true(size <= MAX_BYTES);
    if (size <= 8) {
        uint64_t number = strtoull(text, NULL, 16);
        memcpy(data, &number, size);
        return;
    }
    for (uint64_t i = 0; i < size; i++)
        data[i] = (uint8_t)strtoul(text + 3 * i, NULL, 16);
}

static void apply(const struct query *query, uint64_t row, uint64_t base, uint8_t *memory)
{
    uint8_t old[MAX_BYTES], value[MAX_BYTES];
    uint64_t address = table_cell(&query->table, row, ADDRESS)->number;
    uint64_t size = table_cell(&query->table, row, BYTES)->number;
    parse_bytes(table_cell(&query->table, row, OLD)->text, size, old);
    parse_bytes(table_cell(&query->table, row, VALUE)->text, size, value);
    for (uint64_t i = 0; i < size; i++) {
        uint64_t at = address + i - base;
        if (at >= PAGE_SIZE)
            continue;
        assert_int_equal(memory[at], old[i]);
        memory[at] = value[i];
    }
}

/* What the rows say leads from what a page had at the start to what it has after every step. */
static void writes_agree(uint64_t page)
{
    struct query query;
    struct view view;
    uint8_t by_rows[PAGE_SIZE], now[PAGE_SIZE];
    uint64_t row = 0, changes = 0;
    char text[64];
    snprintf(text, sizeof text, "phys:0x%" PRIx64 ",0x1000", page);
    ask(&query, "writes", query_writes, text);
    restart();
    look(&view);
    assert_true(memory_read(view.memory, page, by_rows, sizeof by_rows));
    while (step()) {
        struct position here = timeline_position(timeline);
        while (row < query.table.rows && position_compare(row_position(&query, row), here) < 0)
            apply(&query, row++, page, by_rows);
        assert_true(memory_read(view.memory, page, now, sizeof now));
        assert_memory_equal(by_rows, now, sizeof now);
        changes = row;
    }
    assert_true(changes > 10);
    close_query(&query);
}

static uint64_t page_of(const char *name)
{
    const struct symbol *symbol = symbols_find(debugger_symbols(debugger), name);
    assert_non_null(symbol);
    return symbol->address & ~(uint64_t)(PAGE_SIZE - 1);
}

static void writes_are_those_of_single_steps(void **state)
{
    struct view view;
    struct error error;
    (void)state;
    assert_int_equal(timeline_seek(timeline, (struct position){2000, 0}, NULL, &error), 0);
    look(&view);
    uint64_t stack = view.state.gpr[RSP] & ~(uint64_t)(PAGE_SIZE - 1);
    writes_agree(page_of("ticks"));
    writes_agree(stack);
}

/* ---- Against the watcher of every access ----------------------------------------------------- */

struct counted {
    uint64_t page, reads, writes;
};

static void count_access(void *context, const struct timeline_access *access)
{
    struct counted *counted = context;
    if (access->memory.gpa + access->memory.size <= counted->page ||
        access->memory.gpa >= counted->page + PAGE_SIZE)
        return;
    if (access->memory.is_write)
        counted->writes++;
    else
        counted->reads++;
}

static void accesses_are_all_that_there_are(void **state)
{
    struct query query;
    struct timeline_stop stop;
    struct error error;
    struct counted counted = {.page = page_of("ticks")};
    const struct accesses_watcher watcher = {.access = count_access, .context = &counted};
    bool began;
    char text[64];
    (void)state;
    assert_int_equal(accesses_watch(timeline, (struct position){0, 0}, POSITION_END, &watcher,
                         &began, &stop, &error),
        0);
    snprintf(text, sizeof text, "phys:0x%" PRIx64 ",0x1000", counted.page);
    ask(&query, "writes", query_writes, text);
    assert_int_equal(query.table.rows, counted.writes);
    close_query(&query);
    ask(&query, "reads", query_reads, text);
    assert_int_equal(query.table.rows, counted.reads);
    assert_true(counted.reads > counted.writes && counted.writes > 10);
    close_query(&query);
}

/* ---- when and executes ----------------------------------------------------------------------- */

static uint64_t ticks(void)
{
    struct view view;
    uint64_t value;
    look(&view);
    const struct symbol *symbol = symbols_find(debugger_symbols(debugger), "ticks");
    assert_true(view_read_number(&view, symbol->address, 8, &value));
    return value;
}

static void conditions_hold_where_steps_say(void **state)
{
    enum { UNTIL = QUERY_OWN_COLUMNS };
    struct query query;
    uint64_t row = 0;
    bool held = false;
    (void)state;
    ask(&query, "when", query_when, "ticks % 3 == 1");
    restart();
    do {
        bool holds = ticks() % 3 == 1;
        if (holds && !held) {
            assert_true(row < query.table.rows);
            assert_int_equal(
                position_compare(row_position(&query, row), timeline_position(timeline)), 0);
        } else if (!holds && held) {
            const struct cell *until = table_cell(&query.table, row++, UNTIL);
            struct position end = {until->number, until->insn};
            assert_int_equal(position_compare(end, timeline_position(timeline)), 0);
        }
        held = holds;
    } while (step());
    assert_int_equal(row + held, query.table.rows);
    assert_true(row > 1);
    close_query(&query);
}

static void stretches_hold_all_instructions(void **state)
{
    enum { FIRST = QUERY_OWN_COLUMNS, LAST, COUNT };
    struct query query;
    struct view view;
    uint64_t all = 0, told = 0;
    (void)state;
    ask(&query, "executes", query_executes, "handle_pit");
    const struct symbol *symbol = symbols_find(debugger_symbols(debugger), "handle_pit");
    restart();
    do {
        look(&view);
        all += view_pc(&view) - symbol->address < symbol->size;
    } while (step());
    for (uint64_t row = 0; row < query.table.rows; row++)
        told += table_cell(&query.table, row, COUNT)->number;
    assert_int_equal(told, all);
    assert_true(query.table.rows > 1);
    close_query(&query);
}

/* ---- Bounds ---------------------------------------------------------------------------------- */

static void a_limit_ends_it_and_is_said(void **state)
{
    struct error error = {""};
    (void)state;
    assert_int_equal(debugger_execute(debugger, "query -limit 3 writes ticks", &error), 0);
    struct buffer *out = debugger_output(debugger);
    buffer_put_u8(out, 0);
    assert_non_null(strstr((char *)out->data, "3 rows. "));
    assert_non_null(strstr((char *)out->data, "The limit of rows was reached there"));
    struct position here = timeline_position(timeline);
    assert_int_equal(position_compare(here, (struct position){0, 0}), 0);
}

static void a_breakpoint_where_it_starts_counts(void **state)
{
    struct query query;
    struct error error = {""};
    struct position first;
    (void)state;
    assert_int_equal(debugger_execute(debugger, "break *handle_pit", &error), 0);
    assert_int_equal(debugger_execute(debugger, "continue", &error), 0);
    first = timeline_position(timeline);
    buffer_clear(debugger_output(debugger));
    assert_int_equal(query_open(&query, debugger, &error), 0);
    query.name = "calls";
    query.question = "handle_pit";
    query.from = first;
    assert_int_equal(query_calls(&query, "handle_pit", &error), 0);
    assert_int_equal(position_compare(row_position(&query, 0), first), 0);
    close_query(&query);
}

static void interrupt(void *context, uint64_t done, uint64_t total)
{
    unsigned *times = context;
    assert_true(done <= total);
    if (total)
        debugger_interrupt(debugger);
    *times += total != 0;
}

static int open_long(void **state)
{
    snprintf(trace_path, sizeof trace_path, "compute.hst");
    record("compute", "limit=20000", UINT64_MAX);
    return open_session(state);
}

static int close_long(void **state)
{
    close_session(state);
    unlink("compute.hst");
    snprintf(trace_path, sizeof trace_path, "crash.hst");
    return 0;
}

/* At the first progress that is shown; the next question is asked in full. */
static void an_interruption_ends_it_and_is_said(void **state)
{
    struct error error = {""};
    struct buffer *out = debugger_output(debugger);
    unsigned times = 0;
    (void)state;
    buffer_clear(out);
    debugger_set_progress(debugger, interrupt, &times);
    assert_int_equal(debugger_execute(debugger, "executes guest_main", &error), 0);
    assert_int_equal(times, 1);
    buffer_put_u8(out, 0);
    assert_non_null(strstr((char *)out->data, " rows. Looked at 0.0 to "));
    assert_non_null(strstr((char *)out->data, "Interrupted there, at "));
    buffer_clear(out);
    debugger_set_progress(debugger, NULL, NULL);
    assert_int_equal(debugger_execute(debugger, "executes guest_main", &error), 0);
    buffer_put_u8(out, 0);
    assert_null(strstr((char *)out->data, "Interrupted"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_session, close_session)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(calls_are_those_of_single_steps),
        TEST(memory_bounds_an_answer_that_the_limit_does_not),
        TEST(writes_are_those_of_single_steps),
        TEST(accesses_are_all_that_there_are),
        TEST(conditions_hold_where_steps_say),
        TEST(stretches_hold_all_instructions),
        TEST(a_limit_ends_it_and_is_said),
        TEST(a_breakpoint_where_it_starts_counts),
        cmocka_unit_test_setup_teardown(an_interruption_ends_it_and_is_said, open_long, close_long),
    };
    return cmocka_run_group_tests(tests, record_once, remove_recording);
}
