/*
 * The breakpoints and watchpoints that gdb asked for, with the conditions that it wants evaluated
 * here: its agent expressions (agent.h). Source: GDB manual, appendix E, "Packets": Z0 to Z4.
 */
#ifndef DEBUGGER_GDBPOINTS_H
#define DEBUGGER_GDBPOINTS_H

#include "debugger/request.h"
#include "replay/timeline.h"

/* gdb's numbers of their types. */
enum gdbpoint_type {
    GDBPOINT_SOFTWARE,
    GDBPOINT_HARDWARE,
    GDBPOINT_WRITE,
    GDBPOINT_READ,
    GDBPOINT_ACCESS
};

struct gdbpoint {
    enum gdbpoint_type type;
    uint64_t address, length;
    struct buffer conditions; /* each: its size in two bytes, low one first, and its code */
};

/* A zeroed one is empty. */
struct gdbpoints {
    struct gdbpoint list[TIMELINE_MAX_CONDITIONS];
    unsigned count;
};

void gdbpoints_clear(struct gdbpoints *points);
/* REQUEST_INSERT; the conditions are in its text. One that is there gets these instead of its own.
 */
int gdbpoints_insert(struct gdbpoints *points, const struct request *request, struct error *error);
/* REQUEST_REMOVE; nothing where there is none. */
void gdbpoints_remove(struct gdbpoints *points, const struct request *request);
/* What to stop at; as many as `count`, and valid until the points change. */
void gdbpoints_arm(struct gdbpoints *points, struct timeline_condition *conditions);
/* "swbreak:;", "watch:1000;": the part of a stop reply that says why. */
void gdbpoints_describe(
    const struct gdbpoints *points, const struct timeline_stop *stop, struct buffer *out);

#endif
