/* The replay input source: answers from the trace's inputs. Internal to replay/. */
#ifndef REPLAY_SOURCE_H
#define REPLAY_SOURCE_H

#include "traces/trace.h"
#include "vmm/machine.h"

struct replay_source {
    struct input_source source; /* first */
    struct trace_inputs *inputs;
    uint64_t last_event; /* ordinal of the trace's last event */
    uint64_t clock_unit; /* ns in one unit of a clock sample */
    uint64_t last_time;
    struct landing landing; /* the one being run to */
    bool landing_loaded;
    bool diverged; /* the guest asked for what the trace does not have */
    bool damaged;
    struct error why;
};

void replay_source_init(
    struct replay_source *source, struct trace_inputs *inputs, const struct trace_info *info);
void replay_source_free(struct replay_source *source);

#endif
