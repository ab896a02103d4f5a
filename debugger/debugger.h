/*
 * The time-travel debugger: commands over a timeline. A front end (cli/debug.c, the gdb stub's
 * `monitor`) gives it lines and takes what they print; it prints nothing itself.
 */
#ifndef DEBUGGER_DEBUGGER_H
#define DEBUGGER_DEBUGGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

struct debugger;
struct timeline;
struct symbols;

struct debugger_options {
    uint64_t cache_bytes;   /* for checkpoints; 0: the timeline's default */
    const char *cache_path; /* a file to keep them in from session to session; NULL: none */
    uint64_t memory_limit;  /* likewise */
    bool any_version;       /* as in struct replay_options */
    const char *store;      /* likewise */
    bool sparse;            /* likewise */
    bool color;             /* escape sequences in the output */
};

/*
 * Opens a trace at its start and loads the symbols of the kernel in it. *damaged tells a damaged
 * trace from other failures. NULL on failure. What there is to say about the trace is in the
 * output.
 */
struct debugger *debugger_open(
    const char *path, const struct debugger_options *options, bool *damaged, struct error *error);
/* Why the file at cache_path is not used: one line, or "". */
const char *debugger_cache_message(const struct debugger *debugger);
/* Writes that file; closing does it too, but says nothing when it fails. */
int debugger_keep_cache(struct debugger *debugger, struct error *error);
void debugger_close(struct debugger *debugger);

/*
 * Executes one line; what it prints is appended to debugger_output(). -1 and the error when the
 * command failed; the session goes on. An empty line does nothing (repeating is the front end's).
 */
int debugger_execute(struct debugger *debugger, const char *line, struct error *error);
/* The same for whoever speaks gdb's protocol: commands that read or write files of the host are
 * refused. */
int debugger_execute_remote(struct debugger *debugger, const char *line, struct error *error);
/* Executes a file's lines; stops at the first that fails. FILE.py is Python. */
int debugger_source(struct debugger *debugger, const char *path, struct error *error);
/*
 * Writes to a file of the host, for this user alone, what the machine was started with ("kernel",
 * "initrd") or, as far as it is known at the position, a disk ("disk", "disk1", "disk0.2" for the
 * third image of an array). Nothing is left of a file that could not be written whole.
 */
int debugger_extract(
    struct debugger *debugger, const char *what, const char *path, struct error *error);
/* What was printed since the caller last cleared it. */
struct buffer *debugger_output(struct debugger *debugger);
/* Called whenever a command that runs long has something to show; may be NULL. */
void debugger_set_flush(
    struct debugger *debugger, void (*flush)(void *context, struct buffer *output), void *context);

/* Called now and then by what looks at much of the run; `total` 0: it is over. May be NULL. */
void debugger_set_progress(struct debugger *debugger,
    void (*progress)(void *context, uint64_t done, uint64_t total), void *context);

/*
 * How long output is shown on a terminal of so many rows and columns: replaced by what was set. A
 * height of 0 has no end. False: not by pages.
 */
bool debugger_page(const struct debugger *debugger, unsigned *height, unsigned *width);
/* The next line is one of a block, `commands` or `python`, and no command. */
bool debugger_collects(const struct debugger *debugger);
/* "(hindsight 1532.87) ", or ">" while the lines of a block are collected. */
void debugger_prompt(const struct debugger *debugger, char *text, size_t size);
/* `quit` was executed. */
bool debugger_finished(const struct debugger *debugger);
/* From a signal handler: what runs stops where it is. */
void debugger_interrupt(struct debugger *debugger);
/* Should an empty line repeat this one? Moving and listing commands repeat. */
bool debugger_repeats(const char *line);
/* The timeline was moved by somebody else. */
void debugger_moved(struct debugger *debugger);
struct timeline *debugger_timeline(struct debugger *debugger);
const struct symbols *debugger_symbols(const struct debugger *debugger);

/*
 * The candidates for the word that ends at the end of `line` and begins at `start`: calls `add` for
 * each that continues it. False when file names are wanted: that is the front end's.
 */
bool debugger_complete(struct debugger *debugger, const char *line, size_t start,
    void (*add)(void *context, const char *candidate), void *context);

#endif
