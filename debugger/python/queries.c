/* hindsight.query(): questions over the run, and hindsight.Rows, their answers. */
#include "debugger/python/objects.h"

#include <string.h>

#include "debugger/query.h"

/* The table's rows become dicts when they are asked for: there may be millions. */
struct python_rows {
    PyObject_HEAD struct table table;
    PyObject *names[TABLE_MAX_COLUMNS];
    struct position from, to;
    uint64_t instructions;
    const char *ended;
    PyObject *notes;
};

static PyTypeObject *rows_class;

static void free_rows(PyObject *self)
{
    struct python_rows *rows = (struct python_rows *)self;
    PyTypeObject *type = Py_TYPE(self);
    for (unsigned i = 0; i < TABLE_MAX_COLUMNS; i++)
        Py_XDECREF(rows->names[i]);
    Py_XDECREF(rows->notes);
    table_free(&rows->table);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *text_of(const char *text)
{
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

static PyObject *cell_object(const struct cell *cell, enum column_kind kind)
{
    if (!cell->known)
        Py_RETURN_NONE;
    if (kind == COLUMN_POSITION)
        return python_position((struct position){cell->number, cell->insn});
    return kind == COLUMN_TEXT ? text_of(cell->text) : PyLong_FromUnsignedLongLong(cell->number);
}

/* Takes over `value`. */
static bool put(PyObject *dict, PyObject *name, PyObject *value)
{
    bool done = value && PyDict_SetItem(dict, name, value) == 0;
    Py_XDECREF(value);
    return done;
}

/* As JSON has it: what symbol an address had is NAME_symbol. */
static bool put_symbol(PyObject *dict, PyObject *column, const struct cell *cell)
{
    PyObject *name = PyUnicode_FromFormat("%U_symbol", column);
    bool done = name && put(dict, name, cell->text ? text_of(cell->text) : Py_NewRef(Py_None));
    Py_XDECREF(name);
    return done;
}

static Py_ssize_t rows_length(PyObject *self)
{
    return (Py_ssize_t)((struct python_rows *)self)->table.rows;
}

static PyObject *rows_item(PyObject *self, Py_ssize_t row)
{
    const struct python_rows *rows = (struct python_rows *)self;
    const struct table *table = &rows->table;
    if (row < 0 || (uint64_t)row >= table->rows)
        return PyErr_Format(
            PyExc_IndexError, "there are %llu rows", (unsigned long long)table->rows);
    PyObject *dict = PyDict_New();
    for (unsigned i = 0; dict && i < table->width; i++) {
        const struct cell *cell = table_cell(table, (uint64_t)row, i);
        enum column_kind kind = table->columns[i].kind;
        if (!put(dict, rows->names[i], cell_object(cell, kind)) ||
            (kind == COLUMN_PLACE && !put_symbol(dict, rows->names[i], cell)))
            Py_CLEAR(dict);
    }
    return dict;
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static void receive(void *context, struct query *query)
{
    struct python_rows *rows = context;
    rows->table = query->table;
    query->table = (struct table){0};
    rows->from = query->from;
    rows->to = query->reached;
    rows->instructions = query->instructions;
    rows->ended = query_ended(query);
    rows->notes = python_text(&query->notes);
}

static bool name_columns(struct python_rows *rows)
{
    for (unsigned i = 0; i < rows->table.width; i++) {
        rows->names[i] = PyUnicode_InternFromString(rows->table.columns[i].name);
        if (!rows->names[i])
            return false;
    }
    return rows->notes != NULL;
}

static struct python_rows *make_rows(void)
{
    struct python_rows *rows = PyObject_New(struct python_rows, rows_class);
    if (rows)
        memset((char *)rows + sizeof(PyObject), 0, sizeof *rows - sizeof(PyObject));
    return rows;
}

static PyObject *ask(struct debugger *debugger, const char *text)
{
    struct error error = {""};
    struct python_rows *rows = make_rows();
    if (!rows)
        return NULL;
    if (query_answer(debugger, text, receive, rows, &error) < 0)
        python_fail(&error);
    else if (PyErr_CheckSignals() == 0 && name_columns(rows))
        return (PyObject *)rows;
    Py_DECREF(rows);
    return NULL;
}

/* query(QUESTION, limit=N, begin=POSITION, end=POSITION): as options before the question. */
PyObject *python_query(PyObject *module, PyObject *arguments, PyObject *names)
{
    static char *words[] = {"question", "limit", "begin", "end", NULL};
    PyObject *question, *begin = NULL, *end = NULL;
    unsigned long long limit = QUERY_LIMIT;
    struct debugger *debugger = python_mover();
    (void)module;
    if (!debugger || !PyArg_ParseTupleAndKeywords(
                         arguments, names, "U|KOO", words, &question, &limit, &begin, &end))
        return NULL;
    PyObject *text = PyUnicode_FromFormat("-limit %llu ", limit);
    if (text && begin && begin != Py_None)
        Py_SETREF(text, PyUnicode_FromFormat("%U-from %S ", text, begin));
    if (text && end && end != Py_None)
        Py_SETREF(text, PyUnicode_FromFormat("%U-to %S ", text, end));
    if (text)
        Py_SETREF(text, PyUnicode_FromFormat("%U%U", text, question));
    const char *line = text ? PyUnicode_AsUTF8(text) : NULL;
    PyObject *rows = line ? ask(debugger, line) : NULL;
    Py_XDECREF(text);
    return rows;
}

/* ---- What they say of themselves ------------------------------------------------------------- */

static PyObject *rows_begin(PyObject *self, void *none)
{
    (void)none;
    return python_position(((struct python_rows *)self)->from);
}

static PyObject *rows_end(PyObject *self, void *none)
{
    (void)none;
    return python_position(((struct python_rows *)self)->to);
}

static PyObject *rows_instructions(PyObject *self, void *none)
{
    (void)none;
    return PyLong_FromUnsignedLongLong(((struct python_rows *)self)->instructions);
}

static PyObject *rows_ended(PyObject *self, void *none)
{
    (void)none;
    return PyUnicode_FromString(((struct python_rows *)self)->ended);
}

static PyObject *rows_notes(PyObject *self, void *none)
{
    (void)none;
    return Py_NewRef(((struct python_rows *)self)->notes);
}

static PyGetSetDef attributes[] = {
    {.name = "begin", .get = rows_begin, .doc = "Where the question began to look,"},
    {.name = "end", .get = rows_end, .doc = "how far it came,"},
    {.name = "instructions", .get = rows_instructions, .doc = "how many that is,"},
    {.name = "ended",
        .get = rows_ended,
        .doc = "and why there: 'end', 'limit', 'memory', 'interrupted', 'cut-off'."},
    {.name = "notes", .get = rows_notes, .doc = "What is to be said about the answer."},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_dealloc, free_rows},
    {Py_tp_getset, attributes},
    {Py_sq_length, rows_length},
    {Py_sq_item, rows_item},
    {0},
};

int python_add_rows(PyObject *module)
{
    PyType_Spec spec = {.name = "hindsight.Rows",
        .basicsize = sizeof(struct python_rows),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_SEQUENCE,
        .slots = slots};
    rows_class = (PyTypeObject *)PyType_FromSpec(&spec);
    return rows_class ? PyModule_AddObjectRef(module, "Rows", (PyObject *)rows_class) : -1;
}
