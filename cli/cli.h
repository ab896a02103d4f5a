/*
 * What the subcommands share. Each subcommand is one file with one function of this shape: it
 * parses argv (argv[0] is its name), does the work, prints, and returns the exit status.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"

enum {
    STATUS_OK = 0,
    STATUS_ERROR = 1, /* something on the host failed */
    STATUS_USAGE = 2, /* the command line makes no sense */
    STATUS_DIVERGED = 3,
    STATUS_DAMAGED = 4,       /* the trace is damaged */
    STATUS_VERSION = 5,       /* the trace is of another version of the machine */
    STATUS_MISSING = 6,       /* a boot file that the trace names is not in the store */
    STATUS_OTHER_FAILURE = 7, /* rerun: the changed guest fails, in another way */
    STATUS_UNFIT = 8,         /* rerun: the inputs no longer fit */
    STATUS_HOST = 125,        /* STATUS_ERROR of what runs a guest, which may itself give 1 */
};

int cli_bisect(int argc, char **argv);
int cli_cat(int argc, char **argv);
int cli_console(int argc, char **argv);
int cli_debug(int argc, char **argv);
int cli_diff(int argc, char **argv);
int cli_dmesg(int argc, char **argv);
int cli_doctor(int argc, char **argv);
int cli_dump(int argc, char **argv);
int cli_extract(int argc, char **argv);
int cli_gdb(int argc, char **argv);
int cli_fork(int argc, char **argv);
int cli_hunt(int argc, char **argv);
int cli_info(int argc, char **argv);
int cli_pack(int argc, char **argv);
int cli_ps(int argc, char **argv);
int cli_query(int argc, char **argv);
int cli_raid(int argc, char **argv);
int cli_record(int argc, char **argv);
int cli_replay(int argc, char **argv);
int cli_report(int argc, char **argv);
int cli_rerun(int argc, char **argv);
int cli_run(int argc, char **argv);
int cli_strip(int argc, char **argv);
int cli_test(int argc, char **argv);
int cli_unpack(int argc, char **argv);
int cli_verify(int argc, char **argv);

/* "hindsight: TEXT" on standard error; returns `status`. */
int cli_fail(int status, const struct error *error);
/* The same for what is no failure. */
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* As cli_fail, for a trace that could not be opened to be replayed; returns which status it is. */
int cli_fail_open(
    const char *path, const char *store, bool any_version, bool damaged, const struct error *error);
/* A usage error: the text, and where to find help. Returns STATUS_USAGE. */
int cli_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints a help text to standard output; returns STATUS_OK. */
int cli_help(const char *text);
/* True for --help or -h anywhere before "--". */
bool cli_wants_help(int argc, char **argv);

/* Writes the text to standard output; false (and a message) when that fails. */
bool cli_print(const struct buffer *text);
/* The same for text that was made visible already, and may have colors. */
bool cli_print_shown(const struct buffer *text);

/* The folder of the store of boot files: `given`, or the user's own where that is NULL. `room` has
 * PATH_MAX bytes. NULL: the user has none, or the name is too long. */
const char *cli_store_path(const char *given, char *room);

struct confine;
/* Confines the process, its files being open. Where the host cannot, a line says so. */
void cli_confine(const struct confine *confine);
/* For what reads a trace by its path, and may make a file (or NULL) beside what `output` names. */
void cli_confine_to(const char *trace, const char *output);
/* The folder of what the path names, links resolved; `folder` has room for PATH_MAX. NULL: the path
 * is too long. */
char *cli_folder_of(const char *path, char *folder);

struct machine;
/* Registers and code of a guest that went wrong, on standard error. */
void cli_describe_failure(struct machine *machine);

#endif
