/*
 * Replay: an input source that answers from a trace, and an observer that compares every event with
 * the recorded one. Opens nothing but the trace.
 */
#ifndef REPLAY_REPLAY_H
#define REPLAY_REPLAY_H

#include "traces/trace.h"
#include "vmm/machine/machine.h"

struct replay;

struct replay_options {
    const char *
        engine; /* "kvm", "soft", or NULL: the one that recorded, soft on a host of another maker */
    struct byte_sink console; /* what the guest prints again */
    struct byte_sink debug_console;
    bool verify;           /* compare with the checks where there are some */
    uint64_t memory_limit; /* RAM that the trace may ask for; 0: three quarters of the host's */
    bool any_version;      /* also of a trace that another version of the machine made */
    const char *store;     /* folder of the boot files of traces that do not hold them; or NULL */
    /*
     * Puts a source between the machine and the replaying one (replay_inputs), before the machine
     * is made; NULL with the error set when it cannot. May be NULL.
     */
    struct input_source *(*wrap)(void *context, struct replay *replay, struct error *error);
    void *wrap_context;
    /* As in struct machine_options. */
    void (*line_changed)(void *target, const struct uart_line *line);
    void *line_target;
};

enum replay_outcome {
    REPLAY_IDENTICAL, /* every event and the final state are as recorded */
    REPLAY_UNCHECKED, /* the inputs led to the end; there were no checks to compare with */
    REPLAY_STOPPED, /* the position asked for was reached, or stopped by a signal: so far identical
                     */
    REPLAY_DIVERGED,
};

/* Is the trace of a machine version that this build makes, with CPU rules of a revision that it
 * knows? */
bool replay_follows(const struct trace_reader *trace);
/* The MACHINE_VERSION that made the trace; 0 when what it says is no version. */
unsigned replay_machine_version(const struct trace_reader *trace);

/*
 * Opens the trace and builds its machine at 0.0. NULL on failure; *damaged then tells a damaged
 * trace (exit status 4) from other failures.
 */
struct replay *replay_open(
    const char *path, const struct replay_options *options, bool *damaged, struct error *error);
void replay_close(struct replay *replay);

/* What the trace says of the machine, and its boot files (initrd: data NULL when there is none). */
struct machine_config *replay_config(struct replay *replay);
const struct boot_image *replay_kernel(const struct replay *replay);
const struct boot_image *replay_modules(const struct replay *replay);
unsigned replay_module_count(const struct replay *replay);
struct machine *replay_machine(struct replay *replay);
struct replay_source;
/* Internal to replay/: the input source, for checkpoints. */
struct replay_source *replay_inputs(struct replay *replay);
const struct trace_reader *replay_trace(const struct replay *replay);
const struct trace_info *replay_info(const struct replay *replay);

/* Runs to the position or the end. -1 with *damaged told apart when the trace cannot be read on. */
int replay_run(struct replay *replay, struct position until, enum replay_outcome *outcome,
    bool *damaged, struct error *error);

/* After REPLAY_DIVERGED: position, both sides, the last ten events; several lines. */
void replay_report(const struct replay *replay, struct buffer *out);

/* One event in a line: "1532 pio-out 0x3f8/1 = 0x41". */
void replay_format_event(const struct machine_event *event, struct buffer *out);

#endif
