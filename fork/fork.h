/*
 * What if: a trace replayed up to a position and live from there, recorded into a trace of its own.
 * The new trace begins with the old one's inputs, so it replays alone, from power-on; the old one
 * is only read.
 *
 * Before the guest goes on it can be given an NMI, a break or a key on the serial line, another
 * value in a register or in memory: inputs of the new trace as any other.
 *
 * The machine runs on the software CPU. Sectors that the old run never read are not to be had: a
 * guest that reads one ends the fork with an error.
 */
#ifndef FORK_FORK_H
#define FORK_FORK_H

#include "recorder/recorder.h"
#include "replay/replay.h"
#include "vmm/machine/inject.h"

struct fork;

/* What is done to the machine once it is live, in order (vmm/machine/inject.h). */
struct fork_injection {
    enum { FORK_NMI, FORK_BREAK, FORK_KEY, FORK_REGISTER, FORK_MEMORY } kind;
    unsigned number;  /* of the vCPU, or of the register */
    uint8_t key;      /* FORK_KEY: a byte on the serial line */
    uint64_t value;   /* FORK_REGISTER */
    uint64_t address; /* FORK_MEMORY: linear, as the vCPU that runs has it, or physical */
    bool physical;
    uint8_t bytes[INJECT_BYTES];
    size_t size;
};

enum { FORK_INJECTIONS = 64 };

struct fork_options {
    const char *trace, *output;
    const char *position;      /* as text, for the new trace's header */
    struct input_source *live; /* borrowed; takes over at the position */
    bool include_checks;
    uint64_t max_size;        /* as in struct recorder_options */
    uint64_t memory_limit;    /* likewise */
    bool any_version;         /* as in struct replay_options */
    const char *store;        /* likewise */
    struct byte_sink console; /* from power-on: the caller decides what of it to show */
    void (*line_changed)(void *target, const struct uart_line *line);
    void *line_target;
    /* Changes of the machine from then on; the rest is the old trace's. */
    enum pace pace;
    /* Breaks and keys wait until the guest listens on the port. Borrowed until the fork ends. */
    const struct fork_injection *injections;
    unsigned injection_count;
};

struct fork *fork_open(const struct fork_options *options, bool *damaged, struct error *error);
struct machine *fork_machine(struct fork *fork);
const struct trace_reader *fork_trace(const struct fork *fork);

/* Replays up to the position (before the end of the trace), then puts the live source in charge. */
int fork_go_live(struct fork *fork, struct position position, bool *damaged, struct error *error);

/* As recorder_finish; frees everything. */
int fork_finish(struct fork *fork, struct outcome outcome, const char *text, struct error *error);
/* As recorder_is_full. */
bool fork_is_full(const struct fork *fork);
/* Gives up: before it went live, what has the output's name keeps it. NULL is allowed. */
void fork_abandon(struct fork *fork);

#endif
