/* Runs another program of the host, before anything of a guest's is there. */
#ifndef CLI_TOOL_H
#define CLI_TOOL_H

#include "base/error.h"

/*
 * argv[0] is looked for in PATH and /sbin. Its output is dropped; where it fails the error has the
 * last line that it printed. `variables` (NULL-terminated, or NULL) are added to the environment.
 */
int tool_run(const char *const *argv, const char *const *variables, struct error *error);

#endif
