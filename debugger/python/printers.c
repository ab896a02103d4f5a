/* Values as a script's pretty-printers show them: gdb's protocol of to_string() and children(). */
#include "debugger/python/objects.h"
#include "debugger/python/python.h"

#include <string.h>

#include "debugger/printer.h"

enum { MAX_CHILDREN = 200, MAX_ASKING = 16 };

enum hint { HINT_NONE, HINT_STRING, HINT_ARRAY, HINT_MAP };

/* The first that takes the value; None where none does. */
static PyObject *find_printer(PyObject *value)
{
    PyObject *printers = PySequence_Fast(
        python_class("pretty_printers"), "hindsight.pretty_printers is no list of functions");
    PyObject *found = printers ? Py_NewRef(Py_None) : NULL;
    for (Py_ssize_t i = 0; found == Py_None && i < PySequence_Fast_GET_SIZE(printers); i++)
        Py_SETREF(found, PyObject_CallOneArg(PySequence_Fast_GET_ITEM(printers, i), value));
    Py_XDECREF(printers);
    return found;
}

/* What a method returns that a printer need not have: None. */
static PyObject *call_optional(PyObject *object, const char *name)
{
    PyObject *method = PyObject_GetAttrString(object, name);
    if (!method && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        return Py_NewRef(Py_None);
    }
    PyObject *result = method ? PyObject_CallNoArgs(method) : NULL;
    Py_XDECREF(method);
    return result;
}

static bool take_hint(PyObject *object, enum hint *hint)
{
    PyObject *word = call_optional(object, "display_hint");
    *hint = HINT_NONE;
    if (!word)
        return false;
    const char *text = PyUnicode_Check(word) ? PyUnicode_AsUTF8(word) : "";
    if (text)
        *hint = strcmp(text, "string") == 0  ? HINT_STRING
                : strcmp(text, "array") == 0 ? HINT_ARRAY
                : strcmp(text, "map") == 0   ? HINT_MAP
                                             : HINT_NONE;
    Py_DECREF(word);
    return text != NULL;
}

/* False: with an exception, or with the printer's error where memory cannot be read. */
static bool put_object(struct printer *printer, PyObject *object, bool quoted)
{
    const struct value *value = python_value_of(object);
    Py_ssize_t size;
    if (value)
        return printer_value(printer, value) == 0;
    PyObject *text = PyObject_Str(object);
    const char *bytes = text ? PyUnicode_AsUTF8AndSize(text, &size) : NULL;
    if (bytes && quoted)
        value_quote(bytes, (size_t)size, printer->out);
    else if (bytes)
        buffer_put(printer->out, bytes, (size_t)size);
    Py_XDECREF(text);
    return bytes != NULL;
}

/* "name = " before a member; of a map every other one is a key: "[key] = ". */
static bool put_child(
    struct printer *printer, PyObject *name, PyObject *child, enum hint hint, unsigned number)
{
    const bool is_key = hint == HINT_MAP && number % 2 == 0;
    if (hint != HINT_MAP || is_key) {
        printer->first = number == 0;
        printer_separate(printer);
    }
    if (hint == HINT_NONE || hint == HINT_STRING) {
        if (!put_object(printer, name, false))
            return false;
        printer_put(printer, " = ");
    }
    if (is_key)
        printer_put(printer, "[");
    const bool is_text = PyUnicode_Check(child);
    if (!put_object(printer, child, is_text))
        return false;
    if (is_key)
        printer_put(printer, "] = ");
    return true;
}

static bool put_each(struct printer *printer, PyObject *children, enum hint hint)
{
    PyObject *all = PyObject_GetIter(children), *pair = NULL;
    bool good = all != NULL;
    for (unsigned number = 0; good && (pair = PyIter_Next(all)); number++) {
        if (number == MAX_CHILDREN) {
            printer_put(printer, "...");
            Py_DECREF(pair);
            break;
        }
        if (PyTuple_Check(pair) && PyTuple_GET_SIZE(pair) == 2) {
            good = put_child(
                printer, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1), hint, number);
        } else {
            PyErr_SetString(PyExc_TypeError, "a child is a pair of its name and its value");
            good = false;
        }
        Py_DECREF(pair);
    }
    Py_XDECREF(all);
    return good && !PyErr_Occurred();
}

static bool put_children(struct printer *printer, PyObject *children, enum hint hint, bool alone)
{
    const struct value *of = printer->of;
    printer_put(printer, alone ? "{" : " {");
    printer->depth++;
    bool good = put_each(printer, children, hint);
    printer->of = of;
    if (good)
        printer_close(printer, "}");
    printer->depth--;
    return good;
}

static bool put_shown(struct printer *printer, PyObject *object)
{
    enum hint hint;
    PyObject *text = NULL, *children = NULL;
    bool good = take_hint(object, &hint) && (text = call_optional(object, "to_string")) &&
                (children = call_optional(object, "children"));
    const bool has_text = good && text != Py_None;
    if (has_text)
        good = put_object(printer, text, hint == HINT_STRING && PyUnicode_Check(text));
    if (good && children != Py_None && printer->style.is_summary)
        printer_put(printer, has_text ? "" : "{...}");
    else if (good && children != Py_None)
        good = put_children(printer, children, hint, !has_text);
    Py_XDECREF(text);
    Py_XDECREF(children);
    return good;
}

int python_show(void *context, struct printer *printer, const struct value *value)
{
    struct debugger *debugger = context;
    if (debugger->asking == MAX_ASKING) {
        error_set(printer->error, "pretty-printers ask each other without end");
        return -1;
    }
    struct debugger *outer = python_enter(debugger);
    PyObject *own = python_value(debugger, value);
    PyObject *object = own ? find_printer(own) : NULL;
    int result = object && object != Py_None;
    if (!object || (result && !put_shown(printer, object)))
        result = -1;
    if (result < 0 && PyErr_Occurred())
        python_say(printer->error);
    Py_XDECREF(object);
    Py_XDECREF(own);
    python_leave(debugger, outer);
    return result;
}
