/*
 * Tables: the answers of questions over a run, with a position in each row to go to. Printed as
 * text or JSON here and nowhere else.
 */
#ifndef DEBUGGER_TABLE_H
#define DEBUGGER_TABLE_H

#include <stdarg.h>
#include <stdbool.h>

#include "base/buffer.h"
#include "vmm/machine/event.h"

enum column_kind {
    COLUMN_POSITION,
    COLUMN_NUMBER,  /* decimal */
    COLUMN_ADDRESS, /* hexadecimal */
    COLUMN_PLACE,   /* an address and what symbol it had; JSON has it as NAME_symbol */
    COLUMN_TIME,    /* ns, shown in seconds; JSON has ns */
    COLUMN_TEXT,
};

struct column {
    const char *name; /* one word, as JSON has it */
    enum column_kind kind;
};

enum { TABLE_MAX_COLUMNS = 12 };

struct cell {
    bool known;
    uint64_t number; /* of a position its event */
    uint64_t insn;
    const char *text; /* the table's */
};

/* Texts, each kept once: many rows have the same. */
struct table_texts {
    char **slots; /* a hash table; its size is a power of two */
    uint64_t count, size;
    uint64_t bytes; /* of the texts themselves */
};

struct table {
    struct column columns[TABLE_MAX_COLUMNS];
    unsigned width;
    struct cell *cells;
    uint64_t rows, capacity;
    struct table_texts texts;
    struct buffer shown; /* for the text that is being set */
    bool failed;         /* out of memory: some is missing */
};

void table_begin(struct table *table, const struct column *columns, unsigned width);
void table_free(struct table *table);
/* Would another row take more than so many bytes for all? */
bool table_is_full(const struct table *table, uint64_t bytes);
/* A row of unknown cells; its number stays its own. */
uint64_t table_add(struct table *table);
void table_set_number(struct table *table, uint64_t row, unsigned column, uint64_t number);
void table_set_position(
    struct table *table, uint64_t row, unsigned column, struct position position);
/* Of COLUMN_PLACE; `text` NULL: there is no symbol. */
void table_set_place(
    struct table *table, uint64_t row, unsigned column, uint64_t address, const char *text);
/* Rows from `rows` on are taken out again. */
void table_cut(struct table *table, uint64_t rows);
/* Made visible: what a guest wrote may be in it. */
void table_set_text(struct table *table, uint64_t row, unsigned column, const char *text);
/* By the positions in a column; rows of one position stay in their order. */
void table_sort(struct table *table, unsigned column);
const struct cell *table_cell(const struct table *table, uint64_t row, unsigned column);

/* Rows below each other under the columns' names, without columns of which nothing is known; or one
 * JSON array of objects. */
void table_print_text(const struct table *table, struct buffer *out);
void table_print_json(const struct table *table, struct buffer *out);

#endif
