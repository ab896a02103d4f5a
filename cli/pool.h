/*
 * Runs of this program beside each other, each a process of its own: what `hunt` and `test` do with
 * many machines. SIGINT, SIGTERM and SIGHUP end all of them.
 */
#ifndef CLI_POOL_H
#define CLI_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct pool_run {
    uint64_t number; /* the caller's */
    char **argv;     /* arguments of this program, NULL at the end; freed by the pool, each too */
    char *output;    /* a file that gets what the run prints, both streams; freed by the pool */
};

struct pool {
    unsigned jobs; /* how many at once; 0: one for each processor */
    /* The next run; 0 when there is none (any more), -1 with the error to end. */
    int (*next)(void *context, struct pool_run *run, struct error *error);
    /* One has ended; `status` as a shell has it, 128 + N after signal N. -1 with the error to end.
     */
    int (*ended)(void *context, const struct pool_run *run, int status, struct error *error);
    void *context;
};

/* Until next() has no more and all have ended. 0, the signal that ended it, or -1. */
int pool_work(const struct pool *pool, struct error *error);
/* Room for `count` arguments and the NULL; NULL when there is no memory. */
char **pool_arguments(size_t count);
/* Adds a copy; false when there is no memory. */
bool pool_add(char **argv, size_t room, const char *argument);
void pool_run_free(struct pool_run *run);

#endif
