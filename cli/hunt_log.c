/* What a hunt has found so far. */
#include "cli/hunt_log.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t place_of(const struct hunt_log *log, uint64_t seed)
{
    size_t low = 0, high = log->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (log->run[middle].seed < seed)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool hunt_log_has(const struct hunt_log *log, uint64_t seed)
{
    size_t place = place_of(log, seed);
    return place < log->count && log->run[place].seed == seed;
}

static int insert(struct hunt_log *log, const struct hunt_run *run, struct error *error)
{
    size_t place = place_of(log, run->seed);
    if (place < log->count && log->run[place].seed == run->seed)
        return 0;
    if (log->count == log->room) {
        size_t room = log->room ? 2 * log->room : 256;
        struct hunt_run *grown = realloc(log->run, room * sizeof *grown);
        if (!grown)
            return error_set(error, "out of memory");
        log->run = grown;
        log->room = room;
    }
    memmove(log->run + place + 1, log->run + place, (log->count - place) * sizeof *log->run);
    log->run[place] = *run;
    log->count++;
    return 0;
}

/* A last line that was cut off by a crash is a run to be done again; *size is where it begins. */
static int read_runs(
    struct hunt_log *log, FILE *file, const char *path, long *size, struct error *error)
{
    char line[128];
    while ((*size = ftell(file)) >= 0 && fgets(line, sizeof line, file)) {
        struct hunt_run run;
        char what[8];
        if (!strchr(line, '\n'))
            return 0;
        if (sscanf(line, "%" SCNu64 " %d %7s", &run.seed, &run.status, what) != 3 ||
            (strcmp(what, "failed") && strcmp(what, "passed")))
            return error_set(error, "%s: '%s' is no line of a hunt", path, strtok(line, "\n"));
        run.failed = strcmp(what, "failed") == 0;
        if (insert(log, &run, error) < 0)
            return -1;
    }
    return 0;
}

static int read_file(struct hunt_log *log, const char *path, long *size, struct error *error)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set_errno(error, "%s", path);
    int result = read_runs(log, file, path, size, error);
    fclose(file);
    return result;
}

int hunt_log_merge(struct hunt_log *log, const char *folder, struct error *error)
{
    long size;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/runs", folder);
    return read_file(log, path, &size, error);
}

int hunt_log_open(struct hunt_log *log, const char *folder, bool write, struct error *error)
{
    *log = (struct hunt_log){0};
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/runs", folder);
    bool exists = access(path, F_OK) == 0;
    long size = 0;
    if ((!write || exists) && read_file(log, path, &size, error) < 0)
        return -1;
    if (!write)
        return 0;
    if (exists && truncate(path, size) < 0)
        return error_set_errno(error, "%s", path);
    log->file = fopen(path, "ae");
    return log->file ? 0 : error_set_errno(error, "%s", path);
}

int hunt_log_add(struct hunt_log *log, const struct hunt_run *run, struct error *error)
{
    if (insert(log, run, error) < 0)
        return -1;
    fprintf(log->file, "%" PRIu64 " %d %s\n", run->seed, run->status,
        run->failed ? "failed" : "passed");
    if (fflush(log->file) != 0)
        return error_set_errno(error, "the file 'runs' cannot be written");
    return 0;
}

void hunt_log_close(struct hunt_log *log)
{
    if (log->file)
        fclose(log->file);
    free(log->run);
    *log = (struct hunt_log){0};
}

struct hunt_rate hunt_rate(const struct hunt_log *log)
{
    struct hunt_rate rate = {.runs = log->count};
    for (size_t i = 0; i < log->count; i++)
        rate.failed += log->run[i].failed;
    if (rate.runs == 0)
        return rate;
    const double z = 1.959964;
    double n = (double)rate.runs, p = (double)rate.failed / n, zz = z * z;
    double middle = (p + zz / (2 * n)) / (1 + zz / n);
    double half = z / (1 + zz / n) * sqrt(p * (1 - p) / n + zz / (4 * n * n));
    rate.rate = p;
    rate.low = middle > half ? middle - half : 0;
    rate.high = middle + half < 1 ? middle + half : 1;
    return rate;
}
