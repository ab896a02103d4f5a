/* Commands for the debuggers that a subcommand starts. */
#include "cli/prelude.h"

#include <stdio.h>
#include <stdlib.h>

static int add(struct prelude *prelude, const char *verb, const char *operand, struct error *error)
{
    if (prelude->count == PRELUDE_COMMANDS)
        return error_set(error, "--symbols, -ex: at most %d", PRELUDE_COMMANDS);
    if (asprintf(&prelude->command[prelude->count], "%s%s", verb, operand) < 0)
        return error_set(error, "out of memory");
    prelude->count++;
    return 0;
}

int prelude_symbols(struct prelude *prelude, const char *file, struct error *error)
{
    return add(prelude, "add-symbol-file ", file, error);
}

int prelude_command(struct prelude *prelude, const char *command, struct error *error)
{
    return add(prelude, "", command, error);
}

void prelude_free(struct prelude *prelude)
{
    for (unsigned i = 0; i < prelude->count; i++)
        free(prelude->command[i]);
    prelude->count = 0;
}
