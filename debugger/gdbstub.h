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
 * the next connection. A byte that is not the protocol's ends it, as does silence when somebody
 * else waits at `listener` (-1: nobody can): two seconds without a first packet, a minute without a
 * further one. 0, or -1 when the connection failed.
 */
int gdbstub_serve(struct gdbstub *gdbstub, int fd, int listener, struct error *error);

/* How long a move may last before gdb gets a sign of life, again and again; ten seconds at first.
 */
void gdbstub_set_keep_alive(struct gdbstub *gdbstub, unsigned ms);

/* From a signal handler: what runs stops, and the connection ends. */
void gdbstub_stop(struct gdbstub *gdbstub);

#endif
