/*
 * The run as a trace in Chrome's JSON format, which ui.perfetto.dev and others open: a track for
 * each vCPU with what it ran, interrupts and disk requests as instants.
 */
#ifndef CLI_REPORT_PERFETTO_H
#define CLI_REPORT_PERFETTO_H

#include "vmm/machine/machine.h"

struct report_perfetto {
    struct buffer text; /* complete after report_perfetto_end() */
    uint64_t rows, left_out;
    unsigned current;
    int state[CONFIG_MAX_CPUS]; /* of the slice that is open on a vCPU's track; 0: none */
};

/* From here on sees the machine's events; `perfetto` is zeroed. */
int report_perfetto_attach(
    struct report_perfetto *perfetto, struct machine *machine, struct error *error);
/* The ring has changed between events. */
int report_perfetto_changed(
    struct report_perfetto *perfetto, struct machine *machine, struct error *error);
void report_perfetto_end(struct report_perfetto *perfetto, const struct machine *machine);
void report_perfetto_free(struct report_perfetto *perfetto);

#endif
