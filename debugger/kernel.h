/*
 * Reading a Linux kernel's own structures at the position, with the types of its debugging
 * information.
 */
#ifndef DEBUGGER_KERNEL_H
#define DEBUGGER_KERNEL_H

#include "debugger/symbols.h"
#include "debugger/view.h"

/*
 * Where a member is in a structure: "module", "core_layout.base". False when this kernel has no
 * such member. `size` may be NULL.
 */
bool kernel_member(struct module *kernel, const char *structure, const char *path, uint64_t *offset,
    uint64_t *size);
/* Reads a member of the structure at `address`, up to 8 bytes, sign-extended never. */
bool kernel_read(struct module *kernel, const struct view *view, uint64_t address,
    const char *structure, const char *path, uint64_t *value);
/* The address of a variable; of a per-CPU one this CPU's. */
bool kernel_variable(
    const struct module *kernel, const struct view *view, const char *name, uint64_t *address);

#endif
