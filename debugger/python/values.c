/* hindsight.Value: what an expression gives, with the operators of the program's language. */
#include "debugger/python/objects.h"

#include <stdio.h>
#include <string.h>

#include "debugger/floats.h"
#include "debugger/scopes.h"

enum { MAX_OPERATION = 512, MAX_STRING = 1 << 16 };

struct python_value {
    PyObject_HEAD struct python_origin origin;
    struct value value;
};

static PyTypeObject *value_class;

PyObject *python_value(struct debugger *debugger, const struct value *value)
{
    struct python_value *object = PyObject_New(struct python_value, value_class);
    if (!object)
        return NULL;
    object->origin = python_origin(debugger);
    object->value = *value;
    return (PyObject *)object;
}

const struct value *python_value_of(PyObject *object)
{
    return Py_IS_TYPE(object, value_class) ? &((struct python_value *)object)->value : NULL;
}

PyObject *python_text(const struct buffer *text)
{
    if (text->failed)
        return PyErr_NoMemory();
    return PyUnicode_DecodeUTF8((const char *)text->data, (Py_ssize_t)text->size, "replace");
}

static void free_value(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* The debugger it is of, which looks where it stands now; NULL with an exception. */
static struct debugger *look(PyObject *self)
{
    const struct python_value *object = (struct python_value *)self;
    struct debugger *debugger = python_debugger_of(&object->origin);
    struct error error = {""};
    if (debugger && session_look(debugger, &error) < 0)
        return python_fail(&error), NULL;
    return debugger;
}

/* ---- Operators ------------------------------------------------------------------------------- */

/* What stands for $left and $right in an operation's text. */
struct operands {
    struct convenience list[2];
    unsigned count;
};

static void add_operand(struct operands *operands, const char *name, const struct value *value)
{
    struct convenience *operand = &operands->list[operands->count++];
    snprintf(operand->name, sizeof operand->name, "%s", name);
    operand->value = *value;
}

/* As the expressions that a person types: one meaning for all. */
static PyObject *operate(
    struct debugger *debugger, const struct operands *operands, const char *text)
{
    struct expression_scope scope;
    struct value value;
    struct error error = {""};
    session_scope(debugger, &scope);
    scope.variables = operands->list;
    scope.variable_count = operands->count;
    if (expression_evaluate(&scope, text, &value, &error) < 0)
        return python_fail(&error);
    return python_value(debugger, &value);
}

static PyObject *operate_on(PyObject *self, const char *text)
{
    struct operands operands = {.count = 0};
    struct debugger *debugger = look(self);
    if (!debugger)
        return NULL;
    add_operand(&operands, "left", &((struct python_value *)self)->value);
    return operate(debugger, &operands, text);
}

/* 1: taken; 0: it is nothing that a program computes with; -1: an exception. */
static int take_number(PyObject *object, struct value *value)
{
    int overflow;
    if (PyFloat_Check(object)) {
        *value = floats_value(PyFloat_AS_DOUBLE(object));
        return 1;
    }
    if (!PyLong_Check(object))
        return 0;
    long long number = PyLong_AsLongLongAndOverflow(object, &overflow);
    const struct type type = type_builtin(overflow ? TYPE_UNSIGNED : TYPE_SIGNED, 8);
    *value = value_number(
        overflow ? PyLong_AsUnsignedLongLong(object) : (unsigned long long)number, &type);
    return PyErr_Occurred() ? -1 : 1;
}

static bool is_value(PyObject *object)
{
    return Py_IS_TYPE(object, value_class);
}

static int take_operand(PyObject *object, struct operands *operands, const char *name)
{
    struct value value;
    int taken = 1;
    if (!is_value(object))
        taken = take_number(object, &value);
    else if (look(object))
        value = ((struct python_value *)object)->value;
    else
        taken = -1;
    if (taken > 0)
        add_operand(operands, name, &value);
    return taken;
}

static PyObject *binary(PyObject *left, PyObject *right, const char *text)
{
    struct operands operands = {.count = 0};
    int taken = take_operand(left, &operands, "left");
    if (taken > 0)
        taken = take_operand(right, &operands, "right");
    if (taken < 0)
        return NULL;
    if (taken == 0)
        Py_RETURN_NOTIMPLEMENTED;
    struct debugger *debugger = look(is_value(left) ? left : right);
    return debugger ? operate(debugger, &operands, text) : NULL;
}

#define BINARY(name, operator)                                     \
    static PyObject *value_##name(PyObject *left, PyObject *right) \
    {                                                              \
        return binary(left, right, "$left " operator" $right");    \
    }

BINARY(add, "+")
BINARY(subtract, "-")
BINARY(multiply, "*")
BINARY(divide, "/")
BINARY(remainder, "%")
BINARY(and, "&")
BINARY(or, "|")
BINARY(xor, "^")
BINARY(shift_left, "<<")
BINARY(shift_right, ">>")

static PyObject *value_negative(PyObject *self)
{
    return operate_on(self, "-$left");
}

static PyObject *value_invert(PyObject *self)
{
    return operate_on(self, "~$left");
}

static int value_bool(PyObject *self)
{
    PyObject *truth = operate_on(self, "$left != 0");
    int result = truth ? ((struct python_value *)truth)->value.bits != 0 : -1;
    Py_XDECREF(truth);
    return result;
}

static PyObject *value_compare(PyObject *left, PyObject *right, int operation)
{
    static const char *const texts[] = {
        [Py_LT] = "$left < $right",
        [Py_LE] = "$left <= $right",
        [Py_EQ] = "$left == $right",
        [Py_NE] = "$left != $right",
        [Py_GT] = "$left > $right",
        [Py_GE] = "$left >= $right",
    };
    PyObject *truth = binary(left, right, texts[operation]);
    if (!truth || !is_value(truth))
        return truth;
    PyObject *result = PyBool_FromLong(((struct python_value *)truth)->value.bits != 0);
    Py_DECREF(truth);
    return result;
}

/* ---- Numbers and text ------------------------------------------------------------------------ */

static PyObject *number_of(struct debugger *debugger, const struct value *value)
{
    uint64_t bits;
    struct error error = {""};
    if (value_scalar(&debugger->view, value, &bits, &error) < 0)
        return python_fail(&error);
    return type_is_integer(&value->type) && type_is_signed(&value->type)
               ? PyLong_FromLongLong((int64_t)bits)
               : PyLong_FromUnsignedLongLong(bits);
}

static PyObject *value_float(PyObject *self)
{
    const struct python_value *object = (struct python_value *)self;
    struct debugger *debugger = look(self);
    long double number;
    struct error error = {""};
    if (!debugger)
        return NULL;
    if (floats_read(&debugger->view, &object->value, &number, &error) < 0)
        return python_fail(&error);
    return PyFloat_FromDouble((double)number);
}

static PyObject *value_index(PyObject *self)
{
    struct debugger *debugger = look(self);
    return debugger ? number_of(debugger, &((struct python_value *)self)->value) : NULL;
}

static PyObject *value_int(PyObject *self)
{
    if (!floats_is(&((struct python_value *)self)->value))
        return value_index(self);
    PyObject *number = value_float(self);
    PyObject *result = number ? PyNumber_Long(number) : NULL;
    Py_XDECREF(number);
    return result;
}

static PyObject *format(PyObject *self, char letter)
{
    struct debugger *debugger = look(self);
    struct buffer text = {0};
    struct error error = {""};
    if (!debugger)
        return NULL;
    int status =
        session_format(debugger, &((struct python_value *)self)->value, letter, &text, &error);
    PyObject *result = status < 0 ? python_fail(&error) : python_text(&text);
    buffer_free(&text);
    return result;
}

static PyObject *value_str(PyObject *self)
{
    return format(self, 0);
}

static PyObject *value_format_string(PyObject *self, PyObject *arguments, PyObject *names)
{
    static char *words[] = {"format", "raw", NULL};
    const char *letter = "";
    int raw = 0;
    if (!PyArg_ParseTupleAndKeywords(arguments, names, "|sp", words, &letter, &raw))
        return NULL;
    if (strlen(letter) > 1 || !strchr("xduotcasf", *letter))
        return PyErr_Format(PyExc_ValueError, "a format is one letter of xduotcasf");
    return format(self, raw && !*letter ? 'r' : *letter);
}

/* An array's bytes up to the first zero, or what a pointer points to. */
static PyObject *value_string(PyObject *self, PyObject *none)
{
    const struct value *value = &((struct python_value *)self)->value;
    struct debugger *debugger = look(self);
    bool is_array = type_kind(&value->type) == TYPE_ARRAY;
    uint64_t address = value->address, limit = is_array ? type_size(&value->type) : MAX_STRING - 1;
    struct error error = {""};
    (void)none;
    if (!debugger)
        return NULL;
    if (is_array && !value->in_memory)
        return PyErr_Format(PyExc_ValueError, "the array is not in memory");
    if (!is_array && value_scalar(&debugger->view, value, &address, &error) < 0)
        return python_fail(&error);
    if (limit >= MAX_STRING)
        limit = MAX_STRING - 1;
    char *text = malloc(limit + 1);
    if (!text)
        return PyErr_NoMemory();
    if (!view_read_string(&debugger->view, address, text, limit + 1)) {
        free(text);
        error_set(&error, "0x%llx is not mapped here", (unsigned long long)address);
        return python_fail(&error);
    }
    PyObject *result = PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
    free(text);
    return result;
}

/* ---- Parts ----------------------------------------------------------------------------------- */

static PyObject *member(PyObject *self, PyObject *key)
{
    char text[MAX_OPERATION];
    const char *name = PyUnicode_AsUTF8(key);
    if (!name)
        return NULL;
    for (const char *at = name; *at; at++) {
        if (!Py_ISALNUM(*at) && *at != '_')
            return PyErr_Format(PyExc_KeyError, "no member has the name '%s'", name);
    }
    bool is_pointer = type_kind(&((struct python_value *)self)->value.type) == TYPE_POINTER;
    snprintf(text, sizeof text, "$left%s%.400s", is_pointer ? "->" : ".", name);
    return operate_on(self, text);
}

static PyObject *value_subscript(PyObject *self, PyObject *key)
{
    return PyUnicode_Check(key) ? member(self, key) : binary(self, key, "$left[$right]");
}

static PyObject *value_dereference(PyObject *self, PyObject *none)
{
    (void)none;
    return operate_on(self, "*$left");
}

static PyObject *value_cast(PyObject *self, PyObject *to)
{
    struct debugger *debugger;
    struct type type;
    struct buffer text = {0};
    if (!python_take_type(to, &debugger, &type))
        return NULL;
    buffer_put_u8(&text, '(');
    type_describe(&type, &text);
    buffer_printf(&text, ") $left");
    buffer_put_u8(&text, 0);
    PyObject *result = text.failed ? PyErr_NoMemory() : operate_on(self, (const char *)text.data);
    buffer_free(&text);
    return result;
}

static PyObject *value_address(PyObject *self, void *none)
{
    (void)none;
    if (!((struct python_value *)self)->value.in_memory)
        Py_RETURN_NONE;
    return operate_on(self, "&$left");
}

static PyObject *value_type(PyObject *self, void *none)
{
    struct debugger *debugger = look(self);
    (void)none;
    return debugger ? python_type(debugger, &((struct python_value *)self)->value.type) : NULL;
}

static PyObject *value_is_lost_(PyObject *self, void *none)
{
    (void)none;
    return PyBool_FromLong(value_is_lost(&((struct python_value *)self)->value));
}

/* ---- Making them ----------------------------------------------------------------------------- */

/* Value(NUMBER) */
static PyObject *value_new(PyTypeObject *type, PyObject *arguments, PyObject *names)
{
    PyObject *number;
    struct value value;
    struct debugger *debugger = python_debugger();
    (void)type;
    (void)names;
    if (!debugger || !PyArg_ParseTuple(arguments, "O", &number))
        return NULL;
    if (is_value(number))
        return Py_NewRef(number);
    int taken = take_number(number, &value);
    if (taken == 0)
        PyErr_SetString(PyExc_TypeError, "a Value is made of a number");
    return taken > 0 ? python_value(debugger, &value) : NULL;
}

PyObject *python_parse_and_eval(PyObject *module, PyObject *text)
{
    struct debugger *debugger = python_debugger();
    const char *expression = PyUnicode_AsUTF8(text);
    struct value value;
    struct error error = {""};
    (void)module;
    if (!debugger || !expression)
        return NULL;
    if (session_evaluate(debugger, expression, &value, &error) < 0)
        return python_fail(&error);
    return python_value(debugger, &value);
}

static PyMethodDef methods[] = {
    {"dereference", value_dereference, METH_NOARGS, "What a pointer points to."},
    {"string", value_string, METH_NOARGS, "The text of a char array or pointer."},
    {"cast", value_cast, METH_O, "As another type."},
    {"format_string", (PyCFunction)(void (*)(void))value_format_string,
        METH_VARARGS | METH_KEYWORDS,
        "format_string(format='', raw=False): as print/FORMAT shows it; raw: not by a script."},
    {0},
};

static PyGetSetDef attributes[] = {
    {.name = "type", .get = value_type, .doc = "Its Type."},
    {.name = "address", .get = value_address, .doc = "A pointer to it; None where it has none."},
    {.name = "is_optimized_out", .get = value_is_lost_, .doc = "Is some of it nowhere?"},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_new, value_new},
    {Py_tp_dealloc, free_value},
    {Py_tp_str, value_str},
    {Py_tp_repr, value_str},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_tp_richcompare, value_compare},
    {Py_tp_methods, methods},
    {Py_tp_getset, attributes},
    {Py_mp_subscript, value_subscript},
    {Py_nb_int, value_int},
    {Py_nb_index, value_index},
    {Py_nb_float, value_float},
    {Py_nb_bool, value_bool},
    {Py_nb_add, value_add},
    {Py_nb_subtract, value_subtract},
    {Py_nb_multiply, value_multiply},
    {Py_nb_true_divide, value_divide},
    {Py_nb_floor_divide, value_divide},
    {Py_nb_remainder, value_remainder},
    {Py_nb_and, value_and},
    {Py_nb_or, value_or},
    {Py_nb_xor, value_xor},
    {Py_nb_lshift, value_shift_left},
    {Py_nb_rshift, value_shift_right},
    {Py_nb_negative, value_negative},
    {Py_nb_invert, value_invert},
    {0},
};

int python_add_values(PyObject *module)
{
    PyType_Spec spec = {.name = "hindsight.Value",
        .basicsize = sizeof(struct python_value),
        .flags = Py_TPFLAGS_DEFAULT,
        .slots = slots};
    value_class = (PyTypeObject *)PyType_FromSpec(&spec);
    return value_class ? PyModule_AddObjectRef(module, "Value", (PyObject *)value_class) : -1;
}
