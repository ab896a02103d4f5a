/*
 * Files of the host that a debugger opens: regular ones only, so that no name can make it wait for
 * a FIFO or a device, and, where a name comes from debugging information, only those under a folder
 * that the user has named.
 */
#ifndef DEBUGGER_HOSTFILE_H
#define DEBUGGER_HOSTFILE_H

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"

/* For reading; NULL and the error. The caller closes it. */
FILE *hostfile_open(const char *path, struct error *error);
/*
 * `name` or, with ever fewer of its leading folders, what is left of it, under `folder`; links and
 * ".." do not lead out. NULL when there is none.
 */
FILE *hostfile_open_under(const char *folder, const char *name);

#endif
