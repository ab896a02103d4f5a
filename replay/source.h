/* The replay input source: answers from the trace's inputs. Internal to replay/. */
#ifndef REPLAY_SOURCE_H
#define REPLAY_SOURCE_H

#include "traces/trace.h"
#include "vmm/machine/machine.h"

/* A landing that was searched by state, and where it was found. */
struct found_landing {
    uint64_t event; /* the last one before it */
    uint64_t insns; /* after that */
};

struct replay_source {
    struct input_source source; /* first */
    struct trace_inputs *inputs;
    uint64_t last_event; /* ordinal of the trace's last event */
    uint64_t clock_unit; /* ns in one unit of a clock sample */
    uint64_t last_time;
    struct landing landing; /* the one being run to */
    bool landing_loaded;
    struct found_landing *found; /* by event, ascending */
    size_t found_count, found_capacity;
    bool diverged; /* the guest asked for what the trace does not have */
    bool damaged;
    struct error why;
};

void replay_source_init(
    struct replay_source *source, struct trace_inputs *inputs, const struct trace_info *info);
void replay_source_free(struct replay_source *source);

#endif
