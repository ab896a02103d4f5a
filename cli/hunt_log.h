/*
 * What a hunt has found so far: a line for each seed in the file `runs` of its folder, so that a
 * hunt goes on where it was stopped, and the parts of one that ran on several machines add up.
 */
#ifndef CLI_HUNT_LOG_H
#define CLI_HUNT_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

struct hunt_run {
    uint64_t seed;
    int status;  /* of `record` */
    bool failed; /* it is what was hunted for */
};

struct hunt_log {
    struct hunt_run *run; /* by seed */
    size_t count, room;
    FILE *file; /* NULL: only read */
};

/* Reads what is there; nothing is nothing yet. With `write` further runs are appended. */
int hunt_log_open(struct hunt_log *log, const char *folder, bool write, struct error *error);
/* Adds the runs of another folder; a seed that is there already counts once. */
int hunt_log_merge(struct hunt_log *log, const char *folder, struct error *error);
int hunt_log_add(struct hunt_log *log, const struct hunt_run *run, struct error *error);
bool hunt_log_has(const struct hunt_log *log, uint64_t seed);
void hunt_log_close(struct hunt_log *log);

struct hunt_rate {
    uint64_t runs, failed;
    double rate, low, high; /* 0 to 1; Wilson's interval at 95 % */
};
struct hunt_rate hunt_rate(const struct hunt_log *log);

#endif
