/* What became of a guest, as a word and as an exit status. */
#include "vmm/machine/outcome.h"

#include "traces/trace.h"
#include "vmm/machine/machine.h"

static const struct {
    const char *name;
    int status;
} kinds[OUTCOME_COUNT] = {
    [OUTCOME_ENDED] = {"ended", 0},
    [OUTCOME_STATUS] = {"status", 0},
    [OUTCOME_PANIC] = {"panic", OUTCOME_STATUS_PANIC},
    [OUTCOME_REPORT] = {"report", OUTCOME_STATUS_REPORT},
    [OUTCOME_HANG] = {"hang", OUTCOME_STATUS_HANG},
    [OUTCOME_SHUTDOWN] = {"shutdown", OUTCOME_STATUS_SHUTDOWN},
    [OUTCOME_LIMIT] = {"limit", OUTCOME_STATUS_LIMIT},
    [OUTCOME_INTERRUPTED] = {"interrupted", 128},
    [OUTCOME_HOST] = {"host", OUTCOME_STATUS_HOST},
};

struct outcome outcome_of(const struct machine *machine, int signal)
{
    switch (machine_stopped(machine)) {
    case STOP_DEBUG_EXIT:
        return (struct outcome){OUTCOME_STATUS, (int)(machine->run.status & 0xff)};
    case STOP_PANIC:
        return (struct outcome){.kind = OUTCOME_PANIC};
    case STOP_HANG:
        return (struct outcome){.kind = OUTCOME_HANG};
    case STOP_SHUTDOWN:
        return (struct outcome){.kind = OUTCOME_SHUTDOWN};
    case STOP_MAX_TIME:
        return (struct outcome){.kind = OUTCOME_LIMIT};
    case STOP_INTERRUPTED:
        return (struct outcome){OUTCOME_INTERRUPTED, signal};
    case STOP_FAILED:
        return (struct outcome){.kind = OUTCOME_HOST};
    default:
        return (struct outcome){.kind = OUTCOME_ENDED};
    }
}

/* Who quits by Ctrl-A x knows it: that is no failure. */
int outcome_exit_status(struct outcome outcome)
{
    if (outcome.kind == OUTCOME_STATUS)
        return outcome.number & 0xff;
    if (outcome.kind == OUTCOME_INTERRUPTED)
        return outcome.number ? 128 + (outcome.number & 0x7f) : 0;
    return kinds[outcome.kind].status;
}

struct outcome outcome_of_end(const struct trace_end *end)
{
    int status = end->guest_status;
    if (end->reason == TRACE_END_DEBUG_EXIT && status == (end->status & 0xff))
        return (struct outcome){OUTCOME_STATUS, status};
    for (unsigned kind = OUTCOME_PANIC; kind < OUTCOME_COUNT; kind++) {
        if (kinds[kind].status == status && kind != OUTCOME_INTERRUPTED)
            return (struct outcome){.kind = (enum outcome_kind)kind};
    }
    if (status > 128)
        return (struct outcome){OUTCOME_INTERRUPTED, status - 128};
    return (struct outcome){.kind = OUTCOME_ENDED};
}

const char *outcome_name(enum outcome_kind kind)
{
    return kinds[kind].name;
}
