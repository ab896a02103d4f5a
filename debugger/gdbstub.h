/*
 * gdb's remote serial protocol over a debugger: stock gdb attaches, moves in both directions,
 * looks, and may not write. Source: GDB manual, appendix E.
 */
#ifndef DEBUGGER_GDBSTUB_H
#define DEBUGGER_GDBSTUB_H

#include "debugger/debugger.h"

struct gdbstub;

struct gdbstub *gdbstub_create(struct debugger *debugger, struct error *error);
void gdbstub_destroy(struct gdbstub *gdbstub);

/*
 * Serves one connection until gdb detaches, kills or goes away; the timeline stays where it is, for
 * the next connection. 0, or -1 when the connection failed.
 */
int gdbstub_serve(struct gdbstub *gdbstub, int fd, struct error *error);

/* From a signal handler: what runs stops, and the connection ends. */
void gdbstub_stop(struct gdbstub *gdbstub);

#endif
