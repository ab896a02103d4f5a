/* Positions as people write them: "1532", "1532.87", "end", "50%", "t=2.5s". */
#ifndef CLI_POSITION_H
#define CLI_POSITION_H

#include "traces/trace.h"
#include "vmm/machine/event.h"

/* t= gives the event at or before that time as far as the trace's chunks tell. */
int position_parse(const char *text, const struct trace_reader *trace, struct position *position,
    struct error *error);

#endif
