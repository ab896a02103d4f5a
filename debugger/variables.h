/* Variables of the program by name: locals and parameters in a frame, then globals. */
#ifndef DEBUGGER_VARIABLES_H
#define DEBUGGER_VARIABLES_H

#include "debugger/unwind.h"
#include "debugger/value.h"

enum variable_result {
    VARIABLE_FOUND,
    VARIABLE_NONE,    /* no variable of that name */
    VARIABLE_NOWHERE, /* there is one, but it has no place here: optimized out */
};

/* `frame` may be NULL: globals only. */
enum variable_result variables_find(const struct symbols *symbols, const struct view *view,
    const struct frame *frame, const char *name, struct value *value);

/* Of the frame's own, its blocks' and its parameters. */
enum variable_result variables_local(const struct symbols *symbols, const struct view *view,
    const struct frame *frame, const char *name, struct value *value);
/* A static variable inside a function. */
enum variable_result variables_static(const struct symbols *symbols, const struct view *view,
    const char *function, const char *name, struct value *value);
/* One of a file's own; `file` is the end of the path of what was compiled. */
enum variable_result variables_in_file(const struct symbols *symbols, const struct view *view,
    const char *file, const char *name, struct value *value);

/* Calls `visit` for each parameter (parameters true) or local variable of the frame's function,
 * innermost scopes first. `value` is NULL for one that is optimized out. */
void variables_each(const struct symbols *symbols, const struct view *view,
    const struct frame *frame, bool parameters,
    void (*visit)(void *context, const char *name, const struct value *value), void *context);

/*
 * Where the parameters of a function are as it is entered: calls `visit` for each in order, with
 * LOCATION_NONE where that is not told. *result receives the type that it returns. False where
 * there is no debugging information.
 */
bool variables_parameters(const struct symbols *symbols, const struct view *view, uint64_t entry,
    struct type *result,
    void (*visit)(
        void *context, const char *name, const struct type *type, const struct location *location),
    void *context);

#endif
