/*
 * Questions over a stretch of the run, answered by a table: what they share. A question runs
 * forward once from its first position to its last, with conditions (replay/timeline.h) or told
 * accesses (replay/accesses.h) that let the run pass, and puts what it sees into rows. It ends
 * early at the limit of rows and when it is interrupted, and says how far it came.
 *
 * Symbols are looked up where they are in memory: when a kernel, a module or a program comes or
 * goes, the question asks again where what it looks for is.
 */
#ifndef DEBUGGER_QUERY_H
#define DEBUGGER_QUERY_H

#include "debugger/session.h"
#include "debugger/table.h"

enum { QUERY_LIMIT = 10000, QUERY_MAX_CONDITIONS = 40 };

/* The columns that every question's table begins with. */
enum { QUERY_POSITION, QUERY_TIME, QUERY_VCPU, QUERY_PROCESS, QUERY_OWN_COLUMNS };

/* Where the running kernel keeps whose turn it is. */
struct query_kernel {
    const struct module *of;
    uint64_t bias;
    bool is_known;
    uint64_t current, pid, tgid, name; /* `current` in a CPU's area */
};

struct query {
    struct debugger *debugger;
    const char *name;     /* of the question */
    const char *question; /* what it was asked about */
    struct position from, to;
    uint64_t limit;  /* of rows, */
    uint64_t memory; /* and of bytes for them */
    bool json;
    /* Takes the answer in the place of printing it, table and all; NULL: it is printed. */
    void (*receive)(void *context, struct query *query);
    void *receive_context;
    struct table table;
    struct buffer notes; /* lines for the reader */
    struct query_kernel kernel;
    struct position here; /* where the session stood */
    size_t printed;       /* of the session's output, before */
    /* The run under way's: arm()'s first. */
    struct timeline_condition *conditions;
    unsigned condition_count;
    /* How far it came. */
    bool began, interrupted;
    bool limited, is_full; /* by the limit of rows; is_full: by that of bytes */
    struct position reached;
    uint64_t first_retired, instructions;
    struct position last_row;
    uint64_t last_row_retired;
};

/* ---- One question's life ---- */

/* Asks by name, with what a command has as its arguments. */
int query_ask(
    struct debugger *debugger, const char *name, const char *arguments, struct error *error);

/* Asks what the command `query` does, and hands over the answer, with the session back where it
 * stood. */
int query_answer(struct debugger *debugger, const char *arguments,
    void (*receive)(void *context, struct query *query), void *context, struct error *error);

/* Over the whole run. */
int query_open(struct query *query, struct debugger *debugger, struct error *error);
/* "[-from POSITION] [-to POSITION] [-limit N] [-json]" at the beginning of *arguments, moved past
 * it. */
int query_options(struct query *query, const char **arguments, struct error *error);
/* `columns` after those that every table has. */
void query_columns(struct query *query, const struct column *columns, unsigned count);
/* Goes back to where the session stood, prints the answer unless `status` is -1, and frees all.
 * Returns `status`, or -1 where that failed. */
int query_close(struct query *query, int status, struct error *error);

/* Why it looked no further: "end", "limit", "memory", "interrupted" or "cut-off". */
const char *query_ended(const struct query *query);

/* ---- Running ---- */

enum { QUERY_FOUND = 1000 };

struct query_plan {
    /*
     * The conditions where the run stands, at most QUERY_MAX_CONDITIONS; how many, or -1, or
     * QUERY_FOUND: the run is over. Asked at
     * the beginning and whenever what is in memory changes. Their `accept` looks, and returns
     * whether the question is over, as query_is_over() tells.
     */
    int (*arm)(void *context, struct timeline_condition *conditions, struct error *error);
    /* A condition without `accept`, or one that accepted, was hit; true: over. May be NULL. */
    bool (*stopped)(void *context, const struct timeline_stop *stop);
    void *context;
    bool follows; /* names: the places of what it looks for may change */
};

int query_run(struct query *query, const struct query_plan *plan, struct error *error);
/* From accept: `conditions` in the place of those that arm() gave, of the same number. */
int query_rearm(struct query *query, const struct timeline_condition *conditions, unsigned count);

struct accesses_watcher;
/* Tells the watcher of the accesses from `start`, a position of the question's stretch, on. */
int query_watch(struct query *query, struct position start, const struct accesses_watcher *watcher,
    struct error *error);

/* The limit is reached, or somebody has interrupted. */
bool query_is_over(const struct query *query);

/* ---- Rows ---- */

/* A row for where the timeline stands, its first columns filled in; UINT64_MAX and query->limited
 * when there is room for no more. */
uint64_t query_row(struct query *query, const struct view *view);
/* Registers without floating point at least, cheap enough for every hit. */
bool query_view(const struct query *query, struct view *view);
/* Formatted text into a cell. */
void query_text(struct query *query, uint64_t row, unsigned column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* An address with the symbol that it has now. */
void query_place(struct query *query, uint64_t row, unsigned column, uint64_t address);
/* "1234 name" of the task at an address, or of the one that runs; false: not known. */
bool query_task_name(
    struct query *query, const struct view *view, uint64_t task, char *name, size_t size);
bool query_current_task(struct query *query, const struct view *view, uint64_t *task);
/* Says of a place without rows that it is not mapped, or no RAM, where the look ended. */
void query_note_unmapped(struct query *query, uint64_t address, bool physical);
/* Appends the function and its callers, "f < g < h". The session looks here afterwards. */
void query_stack(struct query *query, unsigned most, struct buffer *out);

/* ---- The questions ---- */

/* Each parses its arguments and runs; the table is empty before. */
#define QUESTION(name) int query_##name(struct query *query, const char *text, struct error *error)
QUESTION(calls);
QUESTION(executes);
QUESTION(when);
QUESTION(writes);
QUESTION(reads);
QUESTION(irqs);
QUESTION(faults);
QUESTION(syscalls);
QUESTION(switches);
QUESTION(allocs);
QUESTION(dprintf);
QUESTION(conflicts);

#endif
