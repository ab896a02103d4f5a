/* hindsight.Type: the types of values. */
#include "debugger/python/objects.h"

#include <string.h>

struct python_type {
    PyObject_HEAD struct python_origin origin;
    struct type type;
};

static PyTypeObject *type_class;

PyObject *python_type(struct debugger *debugger, const struct type *type)
{
    struct python_type *object = PyObject_New(struct python_type, type_class);
    if (!object)
        return NULL;
    object->origin = python_origin(debugger);
    object->type = *type;
    return (PyObject *)object;
}

static void free_type(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_Free(self);
    Py_DECREF(type);
}

bool python_take_type(PyObject *object, struct debugger **debugger, struct type *type)
{
    const struct python_type *own = (struct python_type *)object;
    if (!Py_IS_TYPE(object, type_class)) {
        PyErr_SetString(PyExc_TypeError, "it is no hindsight.Type");
        return false;
    }
    *debugger = python_debugger_of(&own->origin);
    *type = own->type;
    return *debugger != NULL;
}

static PyObject *type_name(PyObject *self, void *none)
{
    struct debugger *debugger;
    struct type type;
    struct buffer text = {0};
    (void)none;
    if (!python_take_type(self, &debugger, &type))
        return NULL;
    type_describe(&type, &text);
    PyObject *result = python_text(&text);
    buffer_free(&text);
    return result;
}

static PyObject *type_str(PyObject *self)
{
    return type_name(self, NULL);
}

static PyObject *type_sizeof(PyObject *self, void *none)
{
    struct debugger *debugger;
    struct type type;
    (void)none;
    return python_take_type(self, &debugger, &type) ? PyLong_FromUnsignedLongLong(type_size(&type))
                                                    : NULL;
}

static PyObject *type_code(PyObject *self, void *none)
{
    static const char *const names[] = {
        [TYPE_VOID] = "void",
        [TYPE_SIGNED] = "int",
        [TYPE_UNSIGNED] = "int",
        [TYPE_CHAR] = "char",
        [TYPE_BOOL] = "bool",
        [TYPE_FLOAT] = "float",
        [TYPE_POINTER] = "pointer",
        [TYPE_REFERENCE] = "reference",
        [TYPE_STRUCT] = "struct",
        [TYPE_ARRAY] = "array",
        [TYPE_ENUM] = "enum",
        [TYPE_FUNCTION] = "function",
        [TYPE_VECTOR] = "vector",
        [TYPE_UNKNOWN] = "unknown",
    };
    struct debugger *debugger;
    struct type type;
    (void)none;
    return python_take_type(self, &debugger, &type) ? PyUnicode_FromString(names[type_kind(&type)])
                                                    : NULL;
}

static PyObject *type_pointer(PyObject *self, PyObject *none)
{
    struct debugger *debugger;
    struct type type;
    (void)none;
    if (!python_take_type(self, &debugger, &type))
        return NULL;
    type = type_pointer_to(&type);
    return python_type(debugger, &type);
}

static PyObject *type_target_(PyObject *self, PyObject *none)
{
    struct debugger *debugger;
    struct type type;
    (void)none;
    if (!python_take_type(self, &debugger, &type))
        return NULL;
    if (type_kind(&type) != TYPE_POINTER && type_kind(&type) != TYPE_ARRAY &&
        type_kind(&type) != TYPE_REFERENCE)
        return PyErr_Format(PyExc_TypeError, "it is of no other type");
    type = type_target(&type);
    type_complete(&debugger->symbols, &type);
    return python_type(debugger, &type);
}

/* (0, LAST), as gdb has it. */
static PyObject *type_range(PyObject *self, PyObject *none)
{
    struct debugger *debugger;
    struct type type;
    (void)none;
    if (!python_take_type(self, &debugger, &type))
        return NULL;
    if (type_kind(&type) != TYPE_ARRAY)
        return PyErr_Format(PyExc_TypeError, "it is no array");
    return Py_BuildValue("(iL)", 0, (long long)type_elements(&type) - 1);
}

struct listing {
    struct debugger *debugger;
    PyObject *list;
};

static bool add_field(void *context, const struct member *member)
{
    struct listing *listing = context;
    struct type own = member->type;
    type_complete(&listing->debugger->symbols, &own);
    PyObject *type = python_type(listing->debugger, &own);
    PyObject *field = type ? PyObject_CallFunction(python_class("Field"), "zOKIO", member->name,
                                 type, (unsigned long long)member->offset * 8 + member->shift,
                                 member->bits, member->is_base ? Py_True : Py_False)
                           : NULL;
    bool failed = !field || PyList_Append(listing->list, field) < 0;
    Py_XDECREF(field);
    Py_XDECREF(type);
    return failed;
}

static PyObject *type_fields(PyObject *self, PyObject *none)
{
    struct listing listing;
    struct type type;
    (void)none;
    if (!python_take_type(self, &listing.debugger, &type))
        return NULL;
    if (type_kind(&type) != TYPE_STRUCT)
        return PyErr_Format(PyExc_TypeError, "it has no members");
    listing.list = PyList_New(0);
    if (listing.list && type_each_member(&type, add_field, &listing))
        Py_CLEAR(listing.list);
    return listing.list;
}

PyObject *python_lookup_type(PyObject *module, PyObject *name)
{
    struct debugger *debugger = python_debugger();
    const char *text = PyUnicode_AsUTF8(name);
    const char *at = text;
    struct type type;
    struct error error = {""};
    (void)module;
    if (!debugger || !text)
        return NULL;
    if (session_look(debugger, &error) < 0)
        return python_fail(&error);
    if (type_parse(&debugger->symbols, &at, &type) && !*skip_spaces(at))
        return python_type(debugger, &type);
    error_set(&error, "there is no type '%.200s'", text);
    return python_fail(&error);
}

static PyMethodDef methods[] = {
    {"fields", type_fields, METH_NOARGS, "The members of a struct or union."},
    {"pointer", type_pointer, METH_NOARGS, "A pointer to it."},
    {"target", type_target_, METH_NOARGS, "What a pointer points to, or an array's elements are."},
    {"range", type_range, METH_NOARGS, "The first and last index of an array."},
    {0},
};

static PyGetSetDef attributes[] = {
    {.name = "name", .get = type_name, .doc = "As in C."},
    {.name = "sizeof", .get = type_sizeof, .doc = "Its size in bytes."},
    {.name = "code", .get = type_code, .doc = "What it is: 'struct', 'pointer', 'int', ..."},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_dealloc, free_type},
    {Py_tp_str, type_str},
    {Py_tp_repr, type_str},
    {Py_tp_methods, methods},
    {Py_tp_getset, attributes},
    {0},
};

int python_add_types(PyObject *module)
{
    PyType_Spec spec = {.name = "hindsight.Type",
        .basicsize = sizeof(struct python_type),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = slots};
    type_class = (PyTypeObject *)PyType_FromSpec(&spec);
    return type_class ? PyModule_AddObjectRef(module, "Type", (PyObject *)type_class) : -1;
}
