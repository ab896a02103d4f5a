/* A progress bar on standard error while something long runs; nothing when that is no terminal. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *label;
    bool shown; /* something is on the line */
    unsigned percent;
};

/* `context` is a struct progress: usable as a callback. */
void progress_show(void *context, uint64_t done, uint64_t total);
/* Takes the bar away. */
void progress_end(struct progress *progress);

#endif
