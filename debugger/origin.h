/*
 * Where a value came from: bytes followed backward through the run, from the instruction that wrote
 * them to what it read, until instructions computed all of them or inputs brought them. Memory is
 * guest-physical: it is followed across processes, the kernel and devices.
 */
#ifndef DEBUGGER_ORIGIN_H
#define DEBUGGER_ORIGIN_H

#include <stdatomic.h>

#include "debugger/flow.h"
#include "replay/timeline.h"

enum { ORIGIN_BYTES = 8, ORIGIN_TEXT = 240 };

struct origin_byte {
    struct flow_place place;
    uint8_t vcpu; /* of a register */
};

/* What to follow, as it stands at a place of the run. */
struct origin_value {
    struct position position;
    uint64_t delivered; /* faults at the position */
    unsigned count;
    struct origin_byte bytes[ORIGIN_BYTES];
};

enum origin_end {
    ORIGIN_GOES_ON,  /* from where the group's bytes are now followed */
    ORIGIN_CONSTANT, /* the instruction has it, or clears */
    ORIGIN_COMPUTED,
    ORIGIN_INPUT, /* `text` says which */
    ORIGIN_BOOT,  /* it was there at the start: `text` says from where */
};

/* Bytes of the value that come from one thing. */
struct origin_group {
    uint32_t bytes; /* by bit: those of the value */
    enum origin_end end;
    struct origin_byte from; /* ORIGIN_GOES_ON: of the first byte */
    char text[ORIGIN_TEXT];
};

enum origin_what {
    ORIGIN_INSTRUCTION,
    ORIGIN_DELIVERY, /* of an interrupt or exception, which pushed */
    ORIGIN_DEVICE,   /* which wrote */
    ORIGIN_START,    /* nothing wrote since: the timeline is not moved there */
};

/* One step; the timeline stands before it. */
struct origin_step {
    enum origin_what what;
    struct position position;
    uint64_t delivered, linear; /* of the instruction */
    unsigned vcpu;
    bool on_stack; /* a push or a pop */
    /* Pairs of a pop and its push that were left out before this one: they lead back to the same
     * register. */
    unsigned folded;
    unsigned group_count;
    struct origin_group groups[ORIGIN_BYTES];
    unsigned operand_count; /* of a computing instruction */
    struct flow_operand operands[FLOW_MAX_OPERANDS];
};

struct origin_asked {
    void (*step)(void *context, const struct origin_step *step);
    void *context;
    unsigned limit;                 /* steps at most */
    const atomic_bool *interrupted; /* asked for each step */
};

enum origin_result {
    ORIGIN_DONE,
    ORIGIN_LIMITED, /* asked.limit steps were not enough */
    ORIGIN_INTERRUPTED,
};

/* Leaves the timeline somewhere. */
int origin_follow(struct timeline *timeline, const struct origin_value *value,
    const struct origin_asked *asked, enum origin_result *result, struct error *error);

/* ---- origin_input.c: what inputs were ---- */

/* The instruction before which the timeline stands reads a port, or a register in memory. */
void origin_describe_port(
    struct timeline *timeline, const struct flow_step *step, char text[ORIGIN_TEXT]);
/* Access `index` of the stretch is a device's write, which brought the byte at `gpa`. */
void origin_describe_device(struct timeline *timeline, const struct stretch *stretch,
    uint32_t index, uint64_t gpa, char text[ORIGIN_TEXT]);
/* The byte at `gpa` was there before the first instruction; a register likewise. */
void origin_describe_boot(struct timeline *timeline, uint64_t gpa, char text[ORIGIN_TEXT]);

#endif
