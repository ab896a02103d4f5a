/*
 * Recording: an input source that asks a live one and appends every answer to a trace, and an
 * observer that appends every event as a check.
 *
 * Use: recorder_create, machine_create with recorder_source(), recorder_attach, machine_run,
 * recorder_finish. The vCPU thread never waits for the disk: the trace writer has a thread of its
 * own.
 */
#ifndef RECORDER_RECORDER_H
#define RECORDER_RECORDER_H

#include "traces/trace.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/outcome.h"

struct recorder;

struct recorder_options {
    const char *path; /* what is there is replaced once an event is recorded */
    const struct machine_config *config;
    const char *engine;              /* name, for the trace's header */
    const struct boot_image *kernel; /* embedded in the trace, with the modules */
    const struct boot_image *modules;
    unsigned module_count;
    const struct trace_store *store; /* boot files go there instead; or NULL */
    struct input_source *live;       /* borrowed */
    bool include_checks;
    bool provisional;  /* the file takes its name after recorder_publish() only */
    uint64_t max_size; /* bytes the file may have; the machine is asked to stop before. 0: any */
    bool counts;       /* the engine counts instructions */
    bool time_from_inputs;         /* the engine counts, but virtual time did not follow from it */
    const char *forked_at;         /* position in the trace that this one goes on from, or NULL */
    const struct trace_sink *sink; /* tests: instead of path */
};

struct recorder *recorder_create(const struct recorder_options *options, struct error *error);
struct input_source *recorder_source(struct recorder *recorder);
int recorder_attach(struct recorder *recorder, struct machine *machine, struct error *error);

/*
 * Writes the end record for how the machine stopped and what became of the guest, with a text for
 * a person (NULL: why the machine stopped), and closes the file. Frees the recorder in any case.
 */
int recorder_finish(struct recorder *recorder, struct machine *machine, struct outcome outcome,
    const char *text, struct error *error);
/* A provisional trace may have its name. */
void recorder_publish(struct recorder *recorder);
/* The machine was asked to stop because of max_size. */
bool recorder_is_full(const struct recorder *recorder);
/* For a machine that could not be made: what has the trace's name keeps it. NULL is allowed. */
void recorder_abandon(struct recorder *recorder);

#endif
