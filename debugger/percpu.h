/*
 * Per-CPU variables of a Linux kernel: each CPU has an area of its own, and a variable is at the
 * same offset in all of them. By name such a variable is that of the CPU at hand, by GS base.
 */
#ifndef DEBUGGER_PERCPU_H
#define DEBUGGER_PERCPU_H

#include "debugger/value.h"

/* Which CPU's is asked for. */
#define PERCPU_THIS UINT64_MAX

/* Makes the value, a per-CPU variable or what a per-CPU pointer points to, that of a CPU. */
int percpu_select(const struct symbols *symbols, const struct view *view, uint64_t cpu,
    struct value *value, struct error *error);

#endif
