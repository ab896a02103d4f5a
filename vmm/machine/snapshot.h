/*
 * Everything of a machine but its RAM, as bytes: vCPU, devices, clock, position. Together with the
 * RAM and a place in the trace's inputs it is a checkpoint.
 */
#ifndef VMM_SNAPSHOT_H
#define VMM_SNAPSHOT_H

#include "vmm/machine/machine.h"

/* The machine stands between instructions (no access is pending). */
int snapshot_save(struct machine *machine, struct buffer *out, struct error *error);
/* Onto the same machine, or one of the same configuration; RAM is the caller's. */
int snapshot_restore(struct machine *machine, struct reader *in, struct error *error);

#endif
