/* hindsight.Breakpoint: breakpoints and watchpoints, which a script's class may decide about. */
#include "debugger/python/objects.h"
#include "debugger/python/python.h"

#include <stdio.h>
#include <string.h>

/* Known by its number: those of the session are moved about, and deleted by commands. */
struct python_breakpoint {
    PyObject_HEAD uint64_t session;
    unsigned number; /* 0: __init__() has made none */
};

/* As gdb has them. */
enum { BP_BREAKPOINT = 1, BP_WATCHPOINT = 6, WP_READ = 1, WP_WRITE = 2, WP_ACCESS = 3 };

static PyTypeObject *breakpoint_class;

/* NULL without an exception where it is gone. */
static struct point *find(PyObject *self, const struct debugger *debugger)
{
    const struct python_breakpoint *object = (struct python_breakpoint *)self;
    for (unsigned i = 0; i < debugger->point_count && object->session == debugger->python_session;
         i++) {
        if (debugger->points[i].number == object->number)
            return (struct point *)&debugger->points[i];
    }
    return NULL;
}

static struct point *point_of(PyObject *self, struct debugger **debugger)
{
    struct error error;
    *debugger = python_debugger();
    struct point *point = *debugger ? find(self, *debugger) : NULL;
    if (*debugger && !point) {
        error_set(&error, "breakpoint %u is deleted, or of another session",
            ((struct python_breakpoint *)self)->number);
        python_fail(&error);
    }
    return point;
}

/* ---- Making them ----------------------------------------------------------------------------- */

static const char *command_for(int type, int access, int temporary)
{
    if (type == BP_BREAKPOINT)
        return temporary ? "tbreak" : "break";
    if (type != BP_WATCHPOINT || temporary)
        return NULL;
    return access == WP_READ     ? "rwatch"
           : access == WP_WRITE  ? "watch"
           : access == WP_ACCESS ? "awatch"
                                 : NULL;
}

/* Breakpoint(SPEC, type=BP_BREAKPOINT, wp_class=WP_WRITE, temporary=False): as the commands. */
static int initialize(PyObject *self, PyObject *arguments, PyObject *names)
{
    static char *words[] = {"spec", "type", "wp_class", "temporary", NULL};
    struct python_breakpoint *object = (struct python_breakpoint *)self;
    const char *spec;
    int type = BP_BREAKPOINT, access = WP_WRITE, temporary = 0;
    char line[MAX_LINE];
    struct error error = {""};
    struct debugger *debugger = python_mover();
    if (!debugger || !PyArg_ParseTupleAndKeywords(
                         arguments, names, "s|iip", words, &spec, &type, &access, &temporary))
        return -1;
    const char *command = command_for(type, access, temporary);
    if (!command || object->number) {
        PyErr_SetString(PyExc_ValueError,
            command ? "it is a breakpoint already"
                    : "type: BP_BREAKPOINT, or BP_WATCHPOINT with a wp_class of WP_READ, WP_WRITE "
                      "or WP_ACCESS, which is not temporary");
        return -1;
    }
    const unsigned before = debugger->point_count;
    snprintf(line, sizeof line, "%s %s", command, spec);
    if (debugger_execute(debugger, line, &error) < 0)
        return python_fail(&error), -1;
    if (debugger->point_count == before) {
        PyErr_SetString(PyExc_ValueError, "it is no breakpoint");
        return -1;
    }
    struct point *point = &debugger->points[debugger->point_count - 1];
    point->script_object = Py_NewRef(self);
    object->session = debugger->python_session;
    object->number = point->number;
    return 0;
}

/* One that a command has made is known to Python from now on. */
static PyObject *wrap(const struct debugger *debugger, struct point *point)
{
    if (point->script_object)
        return Py_NewRef((PyObject *)point->script_object);
    struct python_breakpoint *object =
        (struct python_breakpoint *)breakpoint_class->tp_alloc(breakpoint_class, 0);
    if (!object)
        return NULL;
    object->session = debugger->python_session;
    object->number = point->number;
    return (PyObject *)object;
}

PyObject *python_breakpoints(PyObject *module, PyObject *none)
{
    struct debugger *debugger = python_debugger();
    (void)module;
    (void)none;
    PyObject *all = debugger ? PyTuple_New(debugger->point_count) : NULL;
    for (unsigned i = 0; all && i < debugger->point_count; i++) {
        PyObject *one = wrap(debugger, &debugger->points[i]);
        if (one)
            PyTuple_SET_ITEM(all, i, one);
        else
            Py_CLEAR(all);
    }
    return all;
}

/* ---- Asking ---------------------------------------------------------------------------------- */

void python_let_go(void *object)
{
    Py_XDECREF((PyObject *)object);
}

/* A class without `stop` has nothing to say. */
static int ask(PyObject *object)
{
    PyObject *method = PyObject_GetAttrString(object, "stop");
    if (!method && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        return 1;
    }
    PyObject *answer = method ? PyObject_CallNoArgs(method) : NULL;
    int stops = answer ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    Py_XDECREF(method);
    return stops;
}

int python_stops(struct debugger *debugger, void *object, bool *stops, struct error *error)
{
    struct debugger *outer = python_enter(debugger);
    int answer = ask(object);
    *stops = answer != 0;
    int status = answer < 0 ? python_say(error) : 0;
    python_leave(debugger, outer);
    return status;
}

/* ---- Attributes ------------------------------------------------------------------------------ */

/* `value` is NULL where an attribute is to be deleted. */
static struct point *point_to_set(PyObject *self, PyObject *value)
{
    struct debugger *debugger;
    if (value)
        return point_of(self, &debugger);
    PyErr_SetString(PyExc_TypeError, "a breakpoint's attributes cannot be deleted");
    return NULL;
}

static PyObject *get_number(PyObject *self, void *none)
{
    (void)none;
    return PyLong_FromUnsignedLong(((struct python_breakpoint *)self)->number);
}

static PyObject *get_location(PyObject *self, void *none)
{
    struct debugger *debugger;
    const struct point *point = point_of(self, &debugger);
    (void)none;
    return point ? PyUnicode_DecodeUTF8(point->text, (Py_ssize_t)strlen(point->text), "replace")
                 : NULL;
}

static PyObject *get_condition(PyObject *self, void *none)
{
    struct debugger *debugger;
    const struct point *point = point_of(self, &debugger);
    (void)none;
    if (!point)
        return NULL;
    if (!point->condition)
        Py_RETURN_NONE;
    return PyUnicode_DecodeUTF8(point->condition, (Py_ssize_t)strlen(point->condition), "replace");
}

static int set_condition(PyObject *self, PyObject *value, void *none)
{
    struct point *point = point_to_set(self, value);
    char *condition = NULL;
    (void)none;
    if (!point)
        return -1;
    if (value != Py_None) {
        const char *text = PyUnicode_AsUTF8(value);
        condition = text ? strdup(text) : NULL;
        if (text && !condition)
            PyErr_NoMemory();
        if (!condition)
            return -1;
    }
    free(point->condition);
    point->condition = condition;
    return 0;
}

static PyObject *get_enabled(PyObject *self, void *none)
{
    struct debugger *debugger;
    const struct point *point = point_of(self, &debugger);
    (void)none;
    return point ? PyBool_FromLong(point->enabled) : NULL;
}

static int set_enabled(PyObject *self, PyObject *value, void *none)
{
    struct point *point = point_to_set(self, value);
    int enabled = point ? PyObject_IsTrue(value) : -1;
    (void)none;
    if (enabled < 0)
        return -1;
    point->enabled = enabled;
    return 0;
}

static PyObject *get_temporary(PyObject *self, void *none)
{
    struct debugger *debugger;
    const struct point *point = point_of(self, &debugger);
    (void)none;
    return point ? PyBool_FromLong(point->temporary) : NULL;
}

/* Not in memory where it was last looked for. */
static PyObject *get_pending(PyObject *self, void *none)
{
    struct debugger *debugger;
    const struct point *point = point_of(self, &debugger);
    (void)none;
    return point ? PyBool_FromLong(point_by_address(point) && point->address_count == 0) : NULL;
}

static PyObject *get_hit_count(PyObject *self, void *none)
{
    struct debugger *debugger;
    const struct point *point = point_of(self, &debugger);
    (void)none;
    return point ? PyLong_FromUnsignedLongLong(point->hits) : NULL;
}

static bool take_count(PyObject *value, uint64_t *count)
{
    *count = PyLong_AsUnsignedLongLong(value);
    return !PyErr_Occurred();
}

static int set_hit_count(PyObject *self, PyObject *value, void *none)
{
    uint64_t count;
    struct point *point = point_to_set(self, value);
    (void)none;
    if (!point || !take_count(value, &count))
        return -1;
    if (count) {
        PyErr_SetString(PyExc_ValueError, "hit_count can be set to 0 alone");
        return -1;
    }
    point->hits = 0;
    return 0;
}

static PyObject *get_ignore_count(PyObject *self, void *none)
{
    struct debugger *debugger;
    const struct point *point = point_of(self, &debugger);
    (void)none;
    return point ? PyLong_FromUnsignedLongLong(point->ignore) : NULL;
}

static int set_ignore_count(PyObject *self, PyObject *value, void *none)
{
    uint64_t count;
    struct point *point = point_to_set(self, value);
    (void)none;
    if (!point || !take_count(value, &count))
        return -1;
    point->ignore = count;
    return 0;
}

static PyObject *delete (PyObject *self, PyObject *none)
{
    struct debugger *debugger = python_mover();
    struct point *point = debugger ? point_of(self, &debugger) : NULL;
    (void)none;
    if (!point)
        return NULL;
    point_remove(debugger, point);
    Py_RETURN_NONE;
}

static PyObject *is_valid(PyObject *self, PyObject *none)
{
    const struct debugger *debugger = python_debugger();
    (void)none;
    return debugger ? PyBool_FromLong(find(self, debugger) != NULL) : NULL;
}

static PyMethodDef methods[] = {
    {"delete", delete, METH_NOARGS, "Deletes it."},
    {"is_valid", is_valid, METH_NOARGS, "Is it there still?"},
    {0},
};

static PyGetSetDef attributes[] = {
    {.name = "number", .get = get_number, .doc = "As commands name it."},
    {.name = "location", .get = get_location, .doc = "Where, as it was asked for."},
    {.name = "condition",
        .get = get_condition,
        .set = set_condition,
        .doc = "An expression without which it does not stop, or None."},
    {.name = "enabled", .get = get_enabled, .set = set_enabled, .doc = "Does it stop?"},
    {.name = "temporary", .get = get_temporary, .doc = "Is it deleted when it is hit?"},
    {.name = "pending", .get = get_pending, .doc = "Is its place not in memory yet?"},
    {.name = "hit_count",
        .get = get_hit_count,
        .set = set_hit_count,
        .doc = "How often it was hit; may be set to 0."},
    {.name = "ignore_count",
        .get = get_ignore_count,
        .set = set_ignore_count,
        .doc = "How many hits are still to pass."},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, initialize},
    {Py_tp_methods, methods},
    {Py_tp_getset, attributes},
    {0},
};

int python_add_breakpoints(PyObject *module)
{
    PyType_Spec spec = {.name = "hindsight.Breakpoint",
        .basicsize = sizeof(struct python_breakpoint),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
        .slots = slots};
    breakpoint_class = (PyTypeObject *)PyType_FromSpec(&spec);
    if (!breakpoint_class ||
        PyModule_AddObjectRef(module, "Breakpoint", (PyObject *)breakpoint_class) < 0)
        return -1;
    return PyModule_AddIntMacro(module, BP_BREAKPOINT) < 0 ||
                   PyModule_AddIntMacro(module, BP_WATCHPOINT) < 0 ||
                   PyModule_AddIntMacro(module, WP_READ) < 0 ||
                   PyModule_AddIntMacro(module, WP_WRITE) < 0 ||
                   PyModule_AddIntMacro(module, WP_ACCESS) < 0
               ? -1
               : 0;
}
