/* One run of a machine, recorded or not: what `record` and `rerun` have in common. */
#ifndef CLI_RECORDING_H
#define CLI_RECORDING_H

#include "cli/machine.h"

struct recording {
    const char *path; /* NULL: nothing is written */
    const char *store;
    bool include_checks;
    struct input_source *source; /* what the machine asks */
    const bool *late;            /* the source stopped the run for its length; or NULL */

    /* What became of it. */
    struct outcome outcome;
    const char *text; /* why it ended, for a person */
};

/*
 * Makes the machine, of which all is set up and open, and runs it to its end. -1 where that cannot
 * be done, or the trace not be written; everything is said then already.
 */
int recording_run(struct recording *recording, struct cli_machine *setup);

#endif
