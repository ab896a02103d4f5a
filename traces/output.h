/*
 * The file that a trace is written to. It grows under a hidden name beside its target, which a file
 * that is there already keeps until there is something worth having in its place; then the new one
 * takes the name, at once and for good. Both are locked as long as somebody writes: a second
 * recorder is refused. A FIFO (or a pipe, as /dev/stdout may be) has nothing to keep and is written
 * directly; anything else that is not a regular file is refused untouched.
 */
#ifndef TRACES_OUTPUT_H
#define TRACES_OUTPUT_H

#include <stdbool.h>

#include "base/error.h"

struct trace_output {
    int fd;          /* what is being written; -1: not open */
    int folder;      /* the target's */
    int replaced;    /* the file that had the name, locked; -1: there was none */
    char *target;    /* file name in `folder` */
    char *temporary; /* likewise; NULL once published, and for a FIFO */
};

/* On failure nothing is left open and nothing was changed. */
int trace_output_open(struct trace_output *output, const char *path, struct error *error);
/* Waits until all that was written is on the disk. */
int trace_output_sync(struct trace_output *output, struct error *error);
/* Makes what was written durable and gives it the target's name. Does nothing the second time. */
int trace_output_publish(struct trace_output *output, struct error *error);
/* Removes what was not published. -1 when the file system reports a late error. */
int trace_output_close(struct trace_output *output, struct error *error);

#endif
