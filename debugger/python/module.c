/* The module `hindsight`: commands, places in time, memory, registers and symbols. */
#include "debugger/python/objects.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/running.h"
#include "vmm/arch/memory.h"

enum { MAX_READ = 256 << 20 };

/* ---- Commands and output --------------------------------------------------------------------- */

/* A command for each line. */
static int execute_lines(struct debugger *debugger, char *lines, struct error *error)
{
    int result = 0;
    for (char *line = lines; line && result == 0;) {
        char *next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        result = debugger_execute(debugger, line, error);
        line = next;
    }
    return result;
}

/* What is printed is a string, as it would be in a file. */
static PyObject *capture(struct debugger *debugger, char *lines, struct error *error)
{
    const struct buffer out = debugger->out;
    const bool color = debugger->color;
    void (*flush)(void *, struct buffer *) = debugger->flush;
    debugger->out = (struct buffer){0};
    debugger->flush = NULL;
    debugger->color = false;
    int status = execute_lines(debugger, lines, error);
    PyObject *text = status < 0 ? python_fail(error) : python_text(&debugger->out);
    buffer_free(&debugger->out);
    debugger->out = out;
    debugger->flush = flush;
    debugger->color = color;
    return text;
}

static PyObject *execute(PyObject *module, PyObject *arguments, PyObject *names)
{
    static char *words[] = {"command", "to_string", NULL};
    const char *command;
    int to_string = 0;
    struct error error = {""};
    struct debugger *debugger = python_mover();
    PyObject *result = NULL;
    (void)module;
    if (!debugger ||
        !PyArg_ParseTupleAndKeywords(arguments, names, "s|p", words, &command, &to_string))
        return NULL;
    char *lines = strdup(command);
    if (!lines)
        return PyErr_NoMemory();
    if (to_string)
        result = capture(debugger, lines, &error);
    else if (execute_lines(debugger, lines, &error) < 0)
        python_fail(&error);
    else
        result = Py_NewRef(Py_None);
    free(lines);
    if (!to_string)
        session_flush(debugger);
    if (result && PyErr_CheckSignals() < 0)
        Py_CLEAR(result);
    return result;
}

static PyObject *write_text(PyObject *module, PyObject *text)
{
    Py_ssize_t size;
    struct debugger *debugger = python_debugger();
    const char *bytes = PyUnicode_AsUTF8AndSize(text, &size);
    (void)module;
    if (!debugger || !bytes)
        return NULL;
    const struct buffer piece = {.data = (uint8_t *)bytes, .size = (size_t)size};
    print_text(debugger, &piece);
    Py_RETURN_NONE;
}

static PyObject *flush_text(PyObject *module, PyObject *none)
{
    struct debugger *debugger = python_debugger();
    (void)module;
    (void)none;
    if (!debugger)
        return NULL;
    session_flush(debugger);
    Py_RETURN_NONE;
}

/* ---- Places in time -------------------------------------------------------------------------- */

PyObject *python_position(struct position position)
{
    return PyObject_CallFunction(python_class("Position"), "KK", (unsigned long long)position.event,
        (unsigned long long)position.insn);
}

static PyObject *get_position(PyObject *module, PyObject *none)
{
    struct debugger *debugger = python_debugger();
    (void)module;
    (void)none;
    return debugger ? python_position(timeline_position(debugger->timeline)) : NULL;
}

static PyObject *begin(PyObject *module, PyObject *none)
{
    (void)module;
    (void)none;
    return python_position((struct position){0, 0});
}

static PyObject *end(PyObject *module, PyObject *none)
{
    struct debugger *debugger = python_debugger();
    (void)module;
    (void)none;
    if (!debugger)
        return NULL;
    return python_position((struct position){timeline_last_event(debugger->timeline), 0});
}

/* To what `seek` takes; nothing is printed. */
static PyObject *seek(PyObject *module, PyObject *where)
{
    struct debugger *debugger = python_mover();
    struct timeline_stop stop;
    struct error error = {""};
    (void)module;
    PyObject *text = debugger ? PyObject_Str(where) : NULL;
    const char *place = text ? PyUnicode_AsUTF8(text) : NULL;
    if (!place) {
        Py_XDECREF(text);
        return NULL;
    }
    int status = position_seek(debugger, place, &stop, &error);
    debugger->has_moved = true;
    Py_DECREF(text);
    if (status < 0)
        return python_fail(&error);
    return PyErr_CheckSignals() < 0 ? NULL : python_position(timeline_position(debugger->timeline));
}

static PyObject *instructions(PyObject *module, PyObject *none)
{
    struct debugger *debugger = python_debugger();
    (void)module;
    (void)none;
    return debugger ? PyLong_FromUnsignedLongLong(timeline_retired(debugger->timeline)) : NULL;
}

static PyObject *virtual_time(PyObject *module, PyObject *none)
{
    struct debugger *debugger = python_debugger();
    (void)module;
    (void)none;
    return debugger ? PyLong_FromUnsignedLongLong(timeline_time(debugger->timeline)) : NULL;
}

/* ---- Memory and registers -------------------------------------------------------------------- */

static struct debugger *look(void)
{
    struct debugger *debugger = python_debugger();
    struct error error = {""};
    if (debugger && session_look(debugger, &error) < 0)
        return python_fail(&error), NULL;
    return debugger;
}

/* An int or a Value. */
static bool take_address(PyObject *object, uint64_t *address)
{
    PyObject *number = PyNumber_Index(object);
    *address = number ? PyLong_AsUnsignedLongLongMask(number) : 0;
    Py_XDECREF(number);
    return !PyErr_Occurred();
}

static PyObject *read_memory(PyObject *module, PyObject *arguments, PyObject *names)
{
    static char *words[] = {"address", "length", "physical", NULL};
    PyObject *place;
    Py_ssize_t length;
    uint64_t address;
    int physical = 0;
    struct error error;
    struct debugger *debugger = look();
    (void)module;
    if (!debugger ||
        !PyArg_ParseTupleAndKeywords(arguments, names, "On|p", words, &place, &length, &physical) ||
        !take_address(place, &address))
        return NULL;
    if (length < 0 || length > MAX_READ)
        return PyErr_Format(PyExc_ValueError, "0 to %d bytes can be read at once", MAX_READ);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, length);
    void *data = bytes ? PyBytes_AS_STRING(bytes) : NULL;
    if (!bytes || (physical ? memory_read(debugger->view.memory, address, data, (uint64_t)length)
                            : view_read(&debugger->view, address, data, (uint64_t)length)))
        return bytes;
    Py_DECREF(bytes);
    error_set(&error, "0x%" PRIx64 " is not %s here", address, physical ? "memory" : "mapped");
    return python_fail(&error);
}

static PyObject *read_register(PyObject *module, PyObject *name)
{
    const char *text = PyUnicode_AsUTF8(name);
    struct debugger *debugger = text ? look() : NULL;
    uint64_t number;
    unsigned size;
    struct error error;
    (void)module;
    if (!debugger)
        return NULL;
    if (view_register(&debugger->view, text + (*text == '$'), &number, &size))
        return PyLong_FromUnsignedLongLong(number);
    error_set(&error, "there is no register '%.40s'", text);
    return python_fail(&error);
}

/* ---- Symbols --------------------------------------------------------------------------------- */

static PyObject *make_symbol(const struct symbol *symbol)
{
    if (!symbol)
        Py_RETURN_NONE;
    PyObject *name =
        PyUnicode_DecodeUTF8(symbol->name, (Py_ssize_t)strlen(symbol->name), "replace");
    return name ? PyObject_CallFunction(python_class("Symbol"), "NKKO", name,
                      (unsigned long long)symbol->address, (unsigned long long)symbol->size,
                      symbol->kind == SYMBOL_FUNCTION ? Py_True : Py_False)
                : NULL;
}

static PyObject *lookup_symbol(PyObject *module, PyObject *name)
{
    const char *text = PyUnicode_AsUTF8(name);
    const struct debugger *debugger = text ? look() : NULL;
    (void)module;
    return debugger ? make_symbol(symbols_find(&debugger->symbols, text)) : NULL;
}

static PyObject *symbol_at(PyObject *module, PyObject *place)
{
    uint64_t address;
    const struct debugger *debugger = look();
    (void)module;
    return debugger && take_address(place, &address)
               ? make_symbol(symbols_at(&debugger->symbols, address))
               : NULL;
}

/* ---- The module ------------------------------------------------------------------------------ */

#define WITH_NAMES(function) (PyCFunction)(void (*)(void)) function

static PyMethodDef functions[] = {
    {"execute", WITH_NAMES(execute), METH_VARARGS | METH_KEYWORDS,
        "execute(command, to_string=False): a command of the debugger."},
    {"write", write_text, METH_O, "Prints."},
    {"flush", flush_text, METH_NOARGS, "Shows what was printed."},
    {"parse_and_eval", python_parse_and_eval, METH_O, "An expression's Value."},
    {"lookup_type", python_lookup_type, METH_O, "The Type of a name, as in a cast."},
    {"newest_frame", python_newest_frame, METH_NOARGS, "The innermost Frame."},
    {"selected_frame", python_selected_frame, METH_NOARGS, "The Frame that `frame` selected."},
    {"query", WITH_NAMES(python_query), METH_VARARGS | METH_KEYWORDS,
        "query(question, limit=10000, begin=None, end=None): the Rows of its answer."},
    {"breakpoints", python_breakpoints, METH_NOARGS, "A tuple of all Breakpoints."},
    {"position", get_position, METH_NOARGS, "Where the session stands."},
    {"seek", seek, METH_O, "Goes to a Position, or to what the command `seek` takes."},
    {"begin", begin, METH_NOARGS, "The first position."},
    {"end", end, METH_NOARGS, "The last event's position."},
    {"instructions", instructions, METH_NOARGS, "How many were executed up to here."},
    {"time", virtual_time, METH_NOARGS, "Virtual time, in ns."},
    {"read_memory", WITH_NAMES(read_memory), METH_VARARGS | METH_KEYWORDS,
        "read_memory(address, length, physical=False): bytes."},
    {"read_register", read_register, METH_O, "A register of the thread looked at, by name."},
    {"lookup_symbol", lookup_symbol, METH_O, "The Symbol of a name; None where there is none."},
    {"symbol_at", symbol_at, METH_O, "The Symbol that covers an address, or None."},
    {0},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "hindsight",
    .m_doc = "The debugger's session: commands, places in time, memory, symbols, questions.",
    .m_size = -1, .m_methods = functions};

static int add_error(PyObject *module)
{
    PyObject *error = PyErr_NewException("hindsight.error", PyExc_RuntimeError, NULL);
    int result = error ? PyModule_AddObjectRef(module, "error", error) : -1;
    Py_XDECREF(error);
    return result;
}

PyMODINIT_FUNC python_module(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module && (add_error(module) < 0 || python_add_values(module) < 0 ||
                      python_add_types(module) < 0 || python_add_frames(module) < 0 ||
                      python_add_rows(module) < 0 || python_add_breakpoints(module) < 0))
        Py_CLEAR(module);
    return module;
}
