/*
 * What the files of the module `hindsight` share. As in CPython, a function that returns an object
 * returns a new reference, or NULL with an exception set.
 */
#ifndef DEBUGGER_PYTHON_OBJECTS_H
#define DEBUGGER_PYTHON_OBJECTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "debugger/session.h"

/* Which session something is of, and which symbol files it may refer to. */
struct python_origin {
    uint64_t session;
    unsigned removals; /* of symbol files (symbols.h), when it was made */
};

/* ---- interpreter.c ---- */

/* The debugger that executes a command; NULL with an exception where there is none. */
struct debugger *python_debugger(void);
/* The same for what moves: not while a run is asking a script, which has an exception then; and an
 * interrupt that came before is an exception, too. */
struct debugger *python_mover(void);
/* A script is asked something and may look, not move; what python_leave() takes. */
struct debugger *python_enter(struct debugger *debugger);
void python_leave(struct debugger *debugger, struct debugger *outer);
/* The exception's last line as the error, -1. */
int python_say(struct error *error);
struct python_origin python_origin(const struct debugger *debugger);
/* The debugger that something came from, if it is the one at hand and has its symbol files still.
 */
struct debugger *python_debugger_of(const struct python_origin *origin);
/* hindsight.error, or KeyboardInterrupt where that was the reason. NULL always. */
PyObject *python_fail(const struct error *error);
/* Of the module's classes that are written in Python, by name; borrowed. */
PyObject *python_class(const char *name);

/* ---- values.c, types.c, frames.c ---- */

PyObject *python_value(struct debugger *debugger, const struct value *value);
/* What a Value holds; NULL: it is something else. */
const struct value *python_value_of(PyObject *object);
PyObject *python_type(struct debugger *debugger, const struct type *type);
PyObject *python_position(struct position position);
/* From a Value, a number or a string without special characters; false with an exception. */
bool python_take_type(PyObject *object, struct debugger **debugger, struct type *type);
/* Text without a terminator; broken UTF-8 is replaced. */
PyObject *python_text(const struct buffer *text);

/* ---- Functions of the module, by file ---- */

PyObject *python_parse_and_eval(PyObject *module, PyObject *text);
PyObject *python_lookup_type(PyObject *module, PyObject *name);
PyObject *python_newest_frame(PyObject *module, PyObject *none);
PyObject *python_selected_frame(PyObject *module, PyObject *none);
PyObject *python_query(PyObject *module, PyObject *arguments, PyObject *names);
PyObject *python_breakpoints(PyObject *module, PyObject *none);

/* Types that are made with the module. */
int python_add_values(PyObject *module);
int python_add_types(PyObject *module);
int python_add_frames(PyObject *module);
int python_add_rows(PyObject *module);
int python_add_breakpoints(PyObject *module);

PyMODINIT_FUNC python_module(void);

#endif
