/* Keeps the rows of an answer, and prints them. */
#include "debugger/table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/visible.h"

void table_begin(struct table *table, const struct column *columns, unsigned width)
{
    *table = (struct table){.width = width};
    memcpy(table->columns, columns, width * sizeof *columns);
}

void table_free(struct table *table)
{
    for (uint64_t i = 0; i < table->texts.size; i++)
        free(table->texts.slots[i]);
    free(table->texts.slots);
    buffer_free(&table->shown);
    free(table->cells);
    *table = (struct table){0};
}

/* ---- Texts ----------------------------------------------------------------------------------- */

/* FNV-1a */
static uint64_t hash(const char *text)
{
    uint64_t value = 0xcbf29ce484222325;
    for (; *text; text++)
        value = (value ^ (uint8_t)*text) * 0x100000001b3;
    return value ^ value >> 32;
}

static char **find_text(const struct table_texts *texts, const char *text)
{
    uint64_t at = hash(text) & (texts->size - 1);
    while (texts->slots[at] && strcmp(texts->slots[at], text) != 0)
        at = (at + 1) & (texts->size - 1);
    return &texts->slots[at];
}

static bool grow_texts(struct table_texts *texts)
{
    struct table_texts grown = {
        .count = texts->count, .size = texts->size ? texts->size * 2 : 256, .bytes = texts->bytes};
    grown.slots = calloc(grown.size, sizeof *grown.slots);
    if (!grown.slots)
        return false;
    for (uint64_t i = 0; i < texts->size; i++) {
        if (texts->slots[i])
            *find_text(&grown, texts->slots[i]) = texts->slots[i];
    }
    free(texts->slots);
    *texts = grown;
    return true;
}

/* The table's copy; NULL: no memory. */
static const char *keep(struct table_texts *texts, const char *text)
{
    if ((texts->count + 1) * 2 > texts->size && !grow_texts(texts))
        return NULL;
    char **slot = find_text(texts, text);
    if (!*slot) {
        *slot = strdup(text);
        texts->count += *slot != NULL;
        texts->bytes += *slot ? strlen(text) + 1 : 0;
    }
    return *slot;
}

/* ---- Filling --------------------------------------------------------------------------------- */

static uint64_t next_capacity(const struct table *table)
{
    if (table->rows < table->capacity)
        return table->capacity;
    return table->capacity ? table->capacity * 2 : 64;
}

bool table_is_full(const struct table *table, uint64_t bytes)
{
    enum { OVERHEAD = 32 }; /* of a text: what the allocator adds, and its slots */
    return next_capacity(table) * table->width * sizeof *table->cells + table->texts.bytes +
               table->texts.count * OVERHEAD >
           bytes;
}

uint64_t table_add(struct table *table)
{
    if (table->rows == table->capacity) {
        uint64_t capacity = next_capacity(table);
        struct cell *cells =
            reallocarray(table->cells, capacity * table->width, sizeof *table->cells);
        if (!cells) {
            table->failed = true;
            return UINT64_MAX;
        }
        table->cells = cells;
        table->capacity = capacity;
    }
    memset(table->cells + table->rows * table->width, 0, table->width * sizeof *table->cells);
    return table->rows++;
}

static struct cell *cell_at(const struct table *table, uint64_t row, unsigned column)
{
    return row < table->rows && column < table->width ? &table->cells[row * table->width + column]
                                                      : NULL;
}

void table_set_number(struct table *table, uint64_t row, unsigned column, uint64_t number)
{
    struct cell *cell = cell_at(table, row, column);
    if (!cell)
        return;
    cell->known = true;
    cell->number = number;
}

void table_set_position(
    struct table *table, uint64_t row, unsigned column, struct position position)
{
    struct cell *cell = cell_at(table, row, column);
    if (!cell)
        return;
    cell->known = true;
    cell->number = position.event;
    cell->insn = position.insn;
}

/* A copy that can be shown. */
static const char *visible(struct table *table, const char *text)
{
    struct buffer *shown = &table->shown;
    buffer_clear(shown);
    buffer_put_visible(shown, text, strlen(text));
    buffer_put_u8(shown, 0);
    const char *kept = shown->failed ? NULL : keep(&table->texts, (const char *)shown->data);
    table->failed |= !kept;
    return kept;
}

void table_set_text(struct table *table, uint64_t row, unsigned column, const char *text)
{
    struct cell *cell = cell_at(table, row, column);
    if (!cell)
        return;
    cell->text = visible(table, text);
    cell->known = cell->text != NULL;
}

void table_set_place(
    struct table *table, uint64_t row, unsigned column, uint64_t address, const char *text)
{
    struct cell *cell = cell_at(table, row, column);
    if (cell)
        *cell = (struct cell){
            .known = true, .number = address, .text = text ? visible(table, text) : NULL};
}

void table_cut(struct table *table, uint64_t rows)
{
    if (rows < table->rows)
        table->rows = rows;
}

const struct cell *table_cell(const struct table *table, uint64_t row, unsigned column)
{
    return cell_at(table, row, column);
}

/* ---- Sorting --------------------------------------------------------------------------------- */

struct order {
    struct position position;
    uint64_t row;
};

static int by_position(const void *a, const void *b)
{
    const struct order *left = a, *right = b;
    int order = position_compare(left->position, right->position);
    return order ? order : (left->row > right->row) - (left->row < right->row);
}

void table_sort(struct table *table, unsigned column)
{
    struct order *order = calloc(table->rows + 1, sizeof *order);
    struct cell *cells = calloc(table->rows * table->width + 1, sizeof *cells);
    table->failed |= !order || !cells;
    for (uint64_t row = 0; row < table->rows && !table->failed; row++) {
        const struct cell *cell = cell_at(table, row, column);
        order[row] = (struct order){{cell->number, cell->insn}, row};
    }
    if (!table->failed) {
        qsort(order, table->rows, sizeof *order, by_position);
        for (uint64_t row = 0; row < table->rows; row++)
            memcpy(cells + row * table->width, table->cells + order[row].row * table->width,
                table->width * sizeof *cells);
        memcpy(table->cells, cells, table->rows * table->width * sizeof *cells);
    }
    free(order);
    free(cells);
}

/* ---- Printing -------------------------------------------------------------------------------- */

static bool is_right(enum column_kind kind)
{
    return kind == COLUMN_NUMBER || kind == COLUMN_TIME;
}

static void show_cell(const struct cell *cell, enum column_kind kind, struct buffer *out)
{
    if (!cell->known) {
        buffer_put_u8(out, '-');
        return;
    }
    switch (kind) {
    case COLUMN_POSITION:
        buffer_printf(out, "%" PRIu64 ".%" PRIu64, cell->number, cell->insn);
        break;
    case COLUMN_NUMBER:
        buffer_printf(out, "%" PRIu64, cell->number);
        break;
    case COLUMN_ADDRESS:
        buffer_printf(out, "0x%" PRIx64, cell->number);
        break;
    case COLUMN_PLACE:
        buffer_printf(out, "0x%" PRIx64, cell->number);
        if (cell->text)
            buffer_printf(out, " <%.400s>", cell->text);
        break;
    case COLUMN_TIME:
        buffer_printf(
            out, "%" PRIu64 ".%09" PRIu64, cell->number / 1000000000, cell->number % 1000000000);
        break;
    case COLUMN_TEXT:
        buffer_put(out, cell->text, strlen(cell->text));
        break;
    }
}

static void put_spaces(struct buffer *out, size_t count)
{
    while (count--)
        buffer_put_u8(out, ' ');
}

/* Of each column, 0 for one that is left out: nothing of it is known. */
static void find_widths(const struct table *table, size_t *widths)
{
    struct buffer text = {0};
    for (unsigned column = 0; column < table->width; column++) {
        bool any = false;
        widths[column] = strlen(table->columns[column].name);
        for (uint64_t row = 0; row < table->rows; row++) {
            const struct cell *cell = cell_at(table, row, column);
            any |= cell->known;
            buffer_clear(&text);
            show_cell(cell, table->columns[column].kind, &text);
            if (text.size > widths[column])
                widths[column] = text.size;
        }
        if (!any)
            widths[column] = 0;
    }
    buffer_free(&text);
}

/* The last one ends where it ends. */
static void put_padded(
    const struct buffer *text, size_t width, bool right, bool last, struct buffer *out)
{
    size_t room = width > text->size ? width - text->size : 0;
    if (right)
        put_spaces(out, room);
    buffer_put(out, text->data, text->size);
    if (!last)
        put_spaces(out, (right ? 0 : room) + 2);
}

/* `row` UINT64_MAX: the columns' names. */
static void put_line(const struct table *table, uint64_t row, const size_t *widths,
    struct buffer *text, struct buffer *out)
{
    unsigned last = table->width - 1;
    while (last && !widths[last])
        last--;
    for (unsigned column = 0; column <= last; column++) {
        const struct column *own = &table->columns[column];
        if (!widths[column])
            continue;
        buffer_clear(text);
        if (row == UINT64_MAX)
            buffer_put(text, own->name, strlen(own->name));
        else
            show_cell(cell_at(table, row, column), own->kind, text);
        put_padded(text, widths[column], is_right(own->kind), column == last, out);
    }
    buffer_put_u8(out, '\n');
}

void table_print_text(const struct table *table, struct buffer *out)
{
    size_t widths[TABLE_MAX_COLUMNS];
    struct buffer text = {0};
    if (table->rows == 0)
        return;
    find_widths(table, widths);
    put_line(table, UINT64_MAX, widths, &text, out);
    for (uint64_t row = 0; row < table->rows; row++)
        put_line(table, row, widths, &text, out);
    out->failed |= text.failed;
    buffer_free(&text);
}

/* Numbers that every reader of JSON has exactly are numbers, addresses are strings. */
static void put_json_cell(const struct cell *cell, const struct column *column, struct buffer *out)
{
    struct buffer text = {0};
    bool is_number = column->kind == COLUMN_NUMBER || column->kind == COLUMN_TIME;
    buffer_printf(out, "\"%s\": ", column->name);
    if (!cell->known) {
        buffer_printf(out, "null");
        return;
    }
    if (is_number) {
        buffer_printf(out, "%" PRIu64, cell->number);
        return;
    }
    show_cell(cell, column->kind == COLUMN_PLACE ? COLUMN_ADDRESS : column->kind, &text);
    buffer_put_u8(&text, 0);
    json_string(out, text.failed ? "" : (const char *)text.data);
    if (column->kind == COLUMN_PLACE && cell->text) {
        buffer_printf(out, ", \"%s_symbol\": ", column->name);
        json_string(out, cell->text);
    }
    out->failed |= text.failed;
    buffer_free(&text);
}

void table_print_json(const struct table *table, struct buffer *out)
{
    buffer_put_u8(out, '[');
    for (uint64_t row = 0; row < table->rows; row++) {
        buffer_printf(out, "%s\n    {", row ? "," : "");
        for (unsigned column = 0; column < table->width; column++) {
            buffer_printf(out, "%s", column ? ", " : "");
            put_json_cell(cell_at(table, row, column), &table->columns[column], out);
        }
        buffer_put_u8(out, '}');
    }
    buffer_printf(out, "%s]", table->rows ? "\n  " : "");
}
