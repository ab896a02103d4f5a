/* Running to what a session stops at, and telling why it stopped. */
#ifndef DEBUGGER_RUNNING_H
#define DEBUGGER_RUNNING_H

#include <stdbool.h>

#include "replay/timeline.h"

struct debugger;
struct error;
struct point;

struct run_result {
    enum timeline_why why;
    struct point *point; /* what stopped it, or NULL */
    bool extra;          /* one of the caller's own conditions did */
    unsigned which;      /* ... its index */
    struct timeline_stop stop;
};

/* Runs to a breakpoint or watchpoint of the user, or to one of `extras`. */
int run_go(struct debugger *debugger, enum direction direction,
    const struct timeline_condition *extras, unsigned extra_count, struct run_result *result,
    struct error *error);
/* Says why it stopped, where it stands, and executes a breakpoint's commands. */
int run_report(struct debugger *debugger, const struct run_result *result, struct error *error);

#endif
