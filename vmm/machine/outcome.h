/*
 * What became of a guest, in one word and as the exit status of what ran it, so that a script can
 * tell a panic from a full disk. Unless it was asked for a plain status, a guest's own are odd
 * (QEMU's isa-debug-exit gives V << 1 | 1), the others but one even; that one, 125, is what env(1)
 * and timeout(1) give when they fail themselves.
 */
#ifndef VMM_OUTCOME_H
#define VMM_OUTCOME_H

#include <stdint.h>

enum outcome_kind {
    OUTCOME_ENDED,       /* halted for good, switched off, reset without --no-reboot's reboot */
    OUTCOME_STATUS,      /* the debug-exit port; `number` is what it gives */
    OUTCOME_PANIC,       /* a kernel panic on the console */
    OUTCOME_REPORT,      /* an oops, a BUG, what --fail-on looks for */
    OUTCOME_HANG,        /* silent for longer than --hang */
    OUTCOME_SHUTDOWN,    /* a triple fault */
    OUTCOME_LIMIT,       /* --max-time, --max-size */
    OUTCOME_INTERRUPTED, /* `number` is the signal, 0 for Ctrl-A x */
    OUTCOME_HOST,        /* the host or the engine failed */
    OUTCOME_COUNT
};

struct outcome {
    enum outcome_kind kind;
    int number;
};

enum {
    OUTCOME_STATUS_PANIC = 100,
    OUTCOME_STATUS_REPORT = 102,
    OUTCOME_STATUS_HANG = 104,
    OUTCOME_STATUS_SHUTDOWN = 106,
    OUTCOME_STATUS_LIMIT = 108,
    OUTCOME_STATUS_HOST = 125,
};

struct machine;
struct trace_end;
/* Of a machine that has stopped; `signal` is the one that stopped it, or 0. */
struct outcome outcome_of(const struct machine *machine, int signal);
/* 0 to 255. */
int outcome_exit_status(struct outcome outcome);
/* What a recorder wrote. */
struct outcome outcome_of_end(const struct trace_end *end);
/* "ended", "status", "panic", "report", "hang", "shutdown", "limit", "interrupted", "host". */
const char *outcome_name(enum outcome_kind kind);

#endif
