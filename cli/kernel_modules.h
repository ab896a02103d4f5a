/* The modules that a distribution's kernel needs before it can mount a disk of the machine. */
#ifndef CLI_KERNEL_MODULES_H
#define CLI_KERNEL_MODULES_H

#include <limits.h>
#include <stdbool.h>

#include "base/error.h"

enum { KERNEL_MODULES_MAX = 16 };

struct kernel_modules {
    char folder[PATH_MAX];
    char *path[KERNEL_MODULES_MAX]; /* in the order in which they are loaded */
    unsigned count;
};

/*
 * Looks in `folder`, or, if that is NULL, in modules/ beside the kernel (as scripts/fetch-linux.sh
 * keeps it), then in /lib/modules/RELEASE for the release that the kernel says it is. A module that
 * is not there is taken to be a part of the kernel; `folder` is empty when there was none.
 */
int kernel_modules_find(
    struct kernel_modules *modules, const char *kernel, const char *folder, struct error *error);
void kernel_modules_free(struct kernel_modules *modules);

#endif
