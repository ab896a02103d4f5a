/*
 * A machine as a trace has it: for `record --like`, and for what records a trace's run anew.
 */
#ifndef CLI_LIKE_H
#define CLI_LIKE_H

#include "cli/machine.h"

/*
 * Sets up the machine of the trace: its boot files, memory, processors, seed and so on, on the
 * software CPU with --pace fast; options that are parsed afterwards change it. Returns the exit
 * status, STATUS_OK or what cli_fail_open() says; everything is said already. Disks and networks
 * are not in a trace: disks have to be given again, networks cannot be, unless like_keeps_nets was
 * set before: then the NICs are those of the trace, and have no links to the host.
 */
int cli_machine_like(struct cli_machine *setup, const char *trace, const char *store);
/* After the options: is there what the trace's machine had? */
int cli_machine_like_check(const struct cli_machine *setup, struct error *error);

struct choices;
/* What --note-choices wrote; to be freed by choices_free() in any case. */
int cli_read_choices(const char *path, struct choices *choices, struct error *error);

#endif
