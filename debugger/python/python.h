/*
 * Python in the debugger: CPython, embedded, with the module `hindsight` (docs/debugger.md). Where
 * the build has no libpython, all of this is absent.c.
 *
 * CPython is one per process and so is what belongs to it: it is started when it is first used, and
 * stays. Which debugger a script means is the one that executes a command, kept in a pointer that
 * is set for as long as that lasts; what a script keeps of a session (values, frames) says which
 * one it came from, and is refused in another and after the session's end. All calls but
 * python_interrupt() are made by one thread.
 */
#ifndef DEBUGGER_PYTHON_PYTHON_H
#define DEBUGGER_PYTHON_PYTHON_H

#include <stdbool.h>

struct debugger;
struct error;
struct printer;
struct value;

/* Was it built with Python? */
bool python_available(void);

/* Executes Python text. -1 and the error, an exception's last line, when it raised one; what comes
 * before that line in the traceback is in the output. */
int python_run(struct debugger *debugger, const char *code, struct error *error);
/* The same with a file of the host. */
int python_source(struct debugger *debugger, const char *path, struct error *error);
/* Asks a breakpoint's object (struct point) whether to stop there. -1: it raised an exception. */
int python_stops(struct debugger *debugger, void *object, bool *stops, struct error *error);
/* The breakpoint is gone, and so is its claim on the object; NULL: it had none. */
void python_let_go(void *object);
/* Are there pretty-printers? */
bool python_shows(const struct debugger *debugger);
/* For struct value_style, with the debugger as its context. */
int python_show(void *context, struct printer *printer, const struct value *value);
/* From a signal handler: a script that this debugger executes gets KeyboardInterrupt. */
void python_interrupt(const struct debugger *debugger);

#endif
