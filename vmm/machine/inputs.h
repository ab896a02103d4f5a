/*
 * The input source: the one interface through which anything nondeterministic reaches the machine.
 *
 * Three implementations: live (vmm/machine/live.c: asks the host), record (recorder/: asks a live
 * source and appends to the trace), replay (replay/: reads the trace). The run loop
 * (vmm/machine/run.c) and the devices are the same code over all three.
 *
 * Two ways an input arrives:
 *  - a device asks while the machine handles an exit (clock, value): a *sync* input. It needs no
 * position, because the questions recur in the same order;
 *  - it is delivered without the guest asking (poll, wait): an *async* input, between two
 * instructions, after the event whose ordinal is machine->position.event. Each delivery is itself
 * an event.
 *
 * An async input in the middle of a stretch of instructions needs the machine to stop there first:
 * a *landing*, an event of its own. plan() tells the run loop how far the engine may go.
 */
#ifndef VMM_INPUTS_H
#define VMM_INPUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "vmm/arch/digest.h"
#include "vmm/arch/engine.h"
#include "vmm/host/services.h"

struct machine;

const char *input_kind_name(enum input_kind kind); /* "clock", ...; "?" out of range */

/* A clock sample is written in these units, ns: an engine that counts has exact time; the host's
 * clock is sampled no finer than an exit takes. */
enum { CLOCK_UNIT_COUNTED = 1, CLOCK_UNIT_HOST = 256 };
/* ... and for the time stamp counter in these, where they are finer. */
enum { CLOCK_UNIT_TSC = 16 };

enum { DELIVERY_MAX = 2048 };

/* One async delivery. */
struct delivery {
    enum input_kind kind;
    uint32_t device;  /* which port, disk, NIC: 0-based */
    bool at_deadline; /* TIME: to the next timer's deadline exactly; else to `time` */
    uint64_t time;    /* TIME, and TIME only: virtual ns */
    size_t size;      /* bytes in `data` */
    uint8_t data[DELIVERY_MAX];
};

/*
 * Where a landing is. The software CPU counts: `insns` after the last event. KVM cannot: then the
 * whole register state is kept, and digests of the pages written since `pages` was last cleared;
 * replay searches for the first boundary where both match. Having found it once in a session,
 * replay knows `insns` of such a landing, too; and a fork's trace holds both, because the state is
 * not all the count's (vmm/machine/landing.h says what is not).
 */
struct landing {
    bool counted;
    bool found;                /* not counted, but `insns` is known */
    uint64_t insns;            /* when counted or found */
    struct vcpu_state state;   /* when not counted */
    struct page_digest *pages; /* GPAs ascending; owned by whoever filled the struct */
    unsigned page_count;
    unsigned telling_page; /* the one that differed last while replay searched */
    /* Where replay came nearest: all general registers were equal, and perhaps the pages. */
    enum { NEAREST_NONE, NEAREST_REGISTERS, NEAREST_PAGES } nearest;
    uint64_t nearest_insns;
    uint64_t nearest_page;           /* NEAREST_REGISTERS: one that differed there */
    struct vcpu_state nearest_state; /* NEAREST_PAGES */
};

/* How far the engine may run before the source must be asked again. */
struct run_plan {
    uint64_t budget; /* instructions, for an engine that counts */
    bool stop_when_interruptible;
    uint8_t stop_below_cr8;  /* see struct run_request */
    bool stop_for_nmi;       /* likewise */
    bool stop_at_wait;       /* likewise */
    struct landing *landing; /* replay: the run ends there; NULL otherwise */
};

struct input_source;

struct input_source_ops {
    const char *name; /* "live", "record", "replay" */
    bool replays;     /* values come from a trace: nothing here may depend on the host */

    /* A device asks for virtual time; never before the last one given. Cannot fail by itself: a
     * replay that finds no answer marks the machine as diverged (machine_fail) and returns the
     * last. */
    uint64_t (*clock)(struct input_source *source, struct machine *machine);
    /* The same for the time stamp counter, in finer units. NULL: as clock(). */
    uint64_t (*time_stamp)(struct input_source *source, struct machine *machine);

    /* Async input due now, at the current event: 1 filled, 0 none, -1 error. */
    int (*poll)(struct input_source *source, struct machine *machine, struct delivery *delivery,
        struct error *error);
    /* The guest is halted and nothing is pending: as poll, but waits. 0 means that nothing can ever
     * come (or that a stop was requested). */
    int (*wait)(struct input_source *source, struct machine *machine, struct delivery *delivery,
        struct error *error);
    /* Before each stretch. */
    int (*plan)(struct input_source *source, struct machine *machine, struct run_plan *plan,
        struct error *error);
    /* The engine stopped in mid-stretch, for the plan's reason or a kick. 1: make it a landing
     * (the record source writes it), 0: go on without, -1: error. */
    int (*landing)(struct input_source *source, struct machine *machine,
        const struct vcpu_exit *exit, struct error *error);

    /*
     * A disk member did its `operation` (counted from 0 over all disks); `failed` is what the host
     * said, and is not looked at in a replay. Returns whether it failed in the recorded run.
     */
    bool (*member_failed)(
        struct input_source *source, struct machine *machine, uint64_t operation, bool failed);

    /* The plan's landing was reached, `insns` after the last event, and is to be the next one; 0
     * also where no count tells the place of a landing by state. NULL where plan() never gives one.
     */
    int (*landed)(struct input_source *source, struct machine *machine,
        const struct landing *landing, uint64_t insns, struct error *error);

    /* A device asks for a value; replay does not call question->produce. 0 or -1. */
    int (*value)(struct input_source *source, struct machine *machine,
        const struct input_question *question, struct input_answer *answer, struct error *error);
};

struct input_source {
    const struct input_source_ops *ops;
};

static inline uint64_t input_time_stamp(struct input_source *source, struct machine *machine)
{
    const struct input_source_ops *ops = source->ops;
    return ops->time_stamp ? ops->time_stamp(source, machine) : ops->clock(source, machine);
}

#endif
