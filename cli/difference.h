/* Where two recorded runs part, event by event. */
#ifndef CLI_DIFFERENCE_H
#define CLI_DIFFERENCE_H

#include "traces/trace.h"

struct difference_event {
    uint64_t event;              /* the first that is another; 0: none */
    struct trace_check check[2]; /* where there is one */
    bool there[2];
    bool counted; /* instructions were compared, too: both engines counted them */
};

/* Compares by what the events are, not by digests. 0, TRACE_DAMAGED or TRACE_ERROR. */
int difference_first(
    struct trace_reader *const readers[2], struct difference_event *first, struct error *error);

#endif
