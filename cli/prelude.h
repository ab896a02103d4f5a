/* What the debuggers that a subcommand starts are told first, so that they name places. */
#ifndef CLI_PRELUDE_H
#define CLI_PRELUDE_H

#include <stdbool.h>

#include "base/error.h"

enum { PRELUDE_COMMANDS = 16 };

/* Zero is an empty one. */
struct prelude {
    char *command[PRELUDE_COMMANDS];
    unsigned count;
};

#define PRELUDE_HELP                                                                          \
    "  --symbols FILE         for the names of places: as add-symbol-file in 'hindsight\n"    \
    "                         debug'; repeatable\n"                                           \
    "  -ex COMMAND            a debugger command before places are named, as 'modules DIR'; " \
    "repeatable\n"

/* Takes a FILE of --symbols or a COMMAND of -ex; -1: too many. */
int prelude_symbols(struct prelude *prelude, const char *file, struct error *error);
int prelude_command(struct prelude *prelude, const char *command, struct error *error);
void prelude_free(struct prelude *prelude);

#endif
