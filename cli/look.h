/* Subcommands that look at one moment of a trace: a debugger's session that says little. */
#ifndef CLI_LOOK_H
#define CLI_LOOK_H

#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "debugger/debugger.h"

enum { LOOK_SYMBOLS = 16 };

struct look {
    const char *command; /* for messages */
    const char *trace, *at;
    const char *symbols[LOOK_SYMBOLS];
    unsigned symbol_count;
    struct debugger_options options;
    char room[PATH_MAX];
    struct debugger *debugger;
};

#define LOOK_OPTIONS                                                                             \
    {"at", required_argument, NULL, LOOK_AT}, {"symbols", required_argument, NULL, LOOK_SYMBOL}, \
        {"memory-limit", required_argument, NULL, LOOK_LIMIT},                                   \
        {"store", required_argument, NULL, LOOK_STORE},                                          \
    {                                                                                            \
        "any-version", no_argument, NULL, LOOK_ANY_VERSION                                       \
    }
enum { LOOK_AT = 3000, LOOK_SYMBOL, LOOK_LIMIT, LOOK_STORE, LOOK_ANY_VERSION };

extern const char look_help[];

/* One parsed option; 1: taken, 0: not one of these, -1: bad value. */
int look_option(struct look *look, int option, const char *value, struct error *error);
/* Opens the trace, takes in the symbols, moves to the position, and confines the process. Returns
 * an exit status; what failed has been said. */
int look_open(struct look *look);
void look_close(struct look *look);

#endif
