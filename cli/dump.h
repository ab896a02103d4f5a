/* What `hindsight dump` lists, from the trace alone or by a replay. */
#ifndef CLI_DUMP_H
#define CLI_DUMP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "traces/trace.h"
#include "vmm/machine/event.h"

struct dump_selection {
    bool events, inputs, disk, net;
    uint32_t kinds; /* of events, by bit */
    uint64_t from, to;
    bool json;
    /* Of events: those that touch [address, address + length); 0: all. */
    uint64_t address, length;
    const char *from_text, *to_text; /* as given, or NULL */
    /* What a replay tells. */
    const char *device;
    int cpu; /* -1: all */
    bool times, replays;
    uint64_t from_ns, to_ns;
};

/* What from_text and to_text mean in this trace; usage is told. */
int dump_take_range(struct dump_selection *selection, const struct trace_reader *reader);

bool dump_wants(const struct dump_selection *selection, const struct machine_event *event);
/* `vcpu` -1: neither it nor the time is known. */
void dump_event(const struct dump_selection *selection, const struct machine_event *event, int vcpu,
    uint64_t time, struct buffer *out);
/* Writes out what has gathered; false when standard output is gone. */
bool dump_flush(struct buffer *out, bool force);

/* Replays and lists; the exit status, with what failed said. */
int dump_replay(const char *path, const char *store, struct dump_selection *selection);

#endif
