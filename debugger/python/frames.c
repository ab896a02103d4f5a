/* hindsight.Frame: call frames, good at the position that they were taken at. */
#include "debugger/python/objects.h"

#include <string.h>

#include "debugger/scopes.h"

struct python_frame {
    PyObject_HEAD struct python_origin origin;
    struct position position;
    uint64_t delivered;
    struct frame frame;
    unsigned level;
};

static PyTypeObject *frame_class;

static PyObject *make(struct debugger *debugger, const struct frame *frame, unsigned level)
{
    struct python_frame *object = PyObject_New(struct python_frame, frame_class);
    if (!object)
        return NULL;
    object->origin = python_origin(debugger);
    object->position = timeline_position(debugger->timeline);
    object->delivered = timeline_delivered(debugger->timeline);
    object->frame = *frame;
    object->level = level;
    return (PyObject *)object;
}

static void free_frame(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_Free(self);
    Py_DECREF(type);
}

static struct debugger *look(PyObject *self)
{
    const struct python_frame *object = (struct python_frame *)self;
    struct debugger *debugger = python_debugger_of(&object->origin);
    struct error error = {""};
    if (!debugger)
        return NULL;
    if (position_compare(object->position, timeline_position(debugger->timeline)) != 0 ||
        object->delivered != timeline_delivered(debugger->timeline))
        error_set(&error, "the frame is of another position");
    else if (session_look(debugger, &error) == 0)
        return debugger;
    return python_fail(&error), NULL;
}

static PyObject *frame_name(PyObject *self, PyObject *none)
{
    const struct frame *frame = &((struct python_frame *)self)->frame;
    struct debugger *debugger = look(self);
    struct scopes scopes;
    struct buffer text = {0};
    (void)none;
    if (!debugger)
        return NULL;
    const struct symbol *symbol = symbols_at(&debugger->symbols, unwind_lookup_address(frame));
    if (!scopes_of(&debugger->symbols, frame, &scopes) || !scopes_inlined_name(&scopes, &text)) {
        buffer_free(&text);
        if (!symbol)
            Py_RETURN_NONE;
        return PyUnicode_DecodeUTF8(symbol->name, (Py_ssize_t)strlen(symbol->name), "replace");
    }
    PyObject *name = python_text(&text);
    buffer_free(&text);
    return name;
}

static PyObject *frame_pc(PyObject *self, PyObject *none)
{
    (void)none;
    return PyLong_FromUnsignedLongLong(((struct python_frame *)self)->frame.reg[DWARF_PC]);
}

static PyObject *frame_level(PyObject *self, PyObject *none)
{
    (void)none;
    return PyLong_FromUnsignedLong(((struct python_frame *)self)->level);
}

static PyObject *frame_older(PyObject *self, PyObject *none)
{
    const struct python_frame *object = (struct python_frame *)self;
    struct debugger *debugger = look(self);
    struct frame caller;
    (void)none;
    if (!debugger)
        return NULL;
    if (object->level + 1 >= MAX_FRAMES ||
        !unwind_next(&debugger->symbols, &debugger->view, &object->frame, &caller))
        Py_RETURN_NONE;
    return make(debugger, &caller, object->level + 1);
}

/* (FILE, LINE), or None. */
static PyObject *frame_source(PyObject *self, PyObject *none)
{
    struct debugger *debugger = look(self);
    struct source_line line;
    (void)none;
    if (!debugger)
        return NULL;
    if (!frame_line(&debugger->symbols, &((struct python_frame *)self)->frame, &line))
        Py_RETURN_NONE;
    PyObject *file = PyUnicode_DecodeUTF8(line.file, (Py_ssize_t)strlen(line.file), "replace");
    return file ? Py_BuildValue("(Ni)", file, line.line) : NULL;
}

static PyObject *evaluate(PyObject *self, const char *text)
{
    struct debugger *debugger = look(self);
    struct expression_scope scope;
    struct value value;
    struct error error = {""};
    if (!debugger)
        return NULL;
    session_scope(debugger, &scope);
    scope.frame = &((struct python_frame *)self)->frame;
    if (expression_evaluate(&scope, text, &value, &error) < 0)
        return python_fail(&error);
    return python_value(debugger, &value);
}

static PyObject *frame_read_var(PyObject *self, PyObject *name)
{
    const char *text = PyUnicode_AsUTF8(name);
    return text ? evaluate(self, text) : NULL;
}

static PyObject *frame_read_register(PyObject *self, PyObject *name)
{
    PyObject *text = PyUnicode_FromFormat("$%U", name);
    const char *expression = text ? PyUnicode_AsUTF8(text) : NULL;
    PyObject *value = expression ? evaluate(self, expression) : NULL;
    Py_XDECREF(text);
    return value;
}

PyObject *python_newest_frame(PyObject *module, PyObject *none)
{
    struct debugger *debugger = python_debugger();
    struct frame frame;
    struct error error = {""};
    (void)module;
    (void)none;
    if (!debugger)
        return NULL;
    if (session_frame(debugger, 0, &frame, &error) < 0)
        return python_fail(&error);
    return make(debugger, &frame, 0);
}

PyObject *python_selected_frame(PyObject *module, PyObject *none)
{
    struct debugger *debugger = python_debugger();
    struct error error = {""};
    (void)module;
    (void)none;
    if (!debugger)
        return NULL;
    if (session_look(debugger, &error) < 0)
        return python_fail(&error);
    return make(debugger, &debugger->frame, debugger->level);
}

static PyMethodDef methods[] = {
    {"name", frame_name, METH_NOARGS, "Its function; None where that is not known."},
    {"pc", frame_pc, METH_NOARGS, "Where it executes."},
    {"level", frame_level, METH_NOARGS, "0 is the newest."},
    {"older", frame_older, METH_NOARGS, "Its caller; None where there is none to be found."},
    {"source", frame_source, METH_NOARGS, "(FILE, LINE), or None."},
    {"read_var", frame_read_var, METH_O, "A variable by its name, or any expression, there."},
    {"read_register", frame_read_register, METH_O, "A register as it was there."},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_dealloc, free_frame},
    {Py_tp_methods, methods},
    {0},
};

int python_add_frames(PyObject *module)
{
    PyType_Spec spec = {.name = "hindsight.Frame",
        .basicsize = sizeof(struct python_frame),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = slots};
    frame_class = (PyTypeObject *)PyType_FromSpec(&spec);
    return frame_class ? PyModule_AddObjectRef(module, "Frame", (PyObject *)frame_class) : -1;
}
