/*
 * The timeline: a trace as a place to walk in, both ways. The debugger and the gdb stub talk to
 * this and to nothing below it for moving.
 *
 * The machine runs on the software CPU, which counts, whichever engine recorded. Going backward is
 * restoring a checkpoint, running forward and stopping early. The state at a position is the same
 * however it was reached.
 *
 * Positions are EVENT.INSN. Several positions share a count of retired instructions when something
 * was delivered between two instructions; stepping stops at the first of them. The delivery of a
 * fault is no event and retires nothing: the place after it, the first instruction of the handler,
 * has the position of the instruction that faulted. A run stops there when a condition holds there;
 * seeking to that position, and stepping back from there, leads to the faulting instruction.
 */
#ifndef REPLAY_TIMELINE_H
#define REPLAY_TIMELINE_H

#include <limits.h>

#include "traces/trace.h"
#include "vmm/machine/machine.h"

struct timeline;

struct timeline_options {
    /* For checkpoints; 0: 512 MiB. The one at the start and the last one are kept in any case:
     * twice what the guest's RAM compresses to. */
    uint64_t cache_bytes;
    const char *cache_path; /* a file to keep them in from session to session; NULL: none */
    uint64_t memory_limit;  /* likewise */
    bool any_version;       /* as in struct replay_options */
    const char *store;      /* likewise */
    bool sparse;            /* few checkpoints, for who goes back seldom: they cost a tenth */
};

/* *damaged tells a damaged trace (exit status 4) from other failures. */
struct timeline *timeline_open(
    const char *path, const struct timeline_options *options, bool *damaged, struct error *error);
/* Writes the file of checkpoints as timeline_keep() does. */
void timeline_close(struct timeline *timeline);
/* Why the file of checkpoints, or a part of it, is not used: one line, "" when it is. */
const char *timeline_cache_message(const struct timeline *timeline);
/* Writes the checkpoints into their file now if there are new ones, and if there is a file. */
int timeline_keep(struct timeline *timeline, struct error *error);

/* For reading state: registers through engine_export_state(), memory, devices. */
struct machine *timeline_machine(struct timeline *timeline);
const struct trace_reader *timeline_trace(const struct timeline *timeline);

struct position timeline_position(const struct timeline *timeline);
/* How many faults were delivered since the position, with no instruction retired; mostly 0. */
uint64_t timeline_delivered(const struct timeline *timeline);
/* Instructions retired since the start; the timeline's finer clock. */
uint64_t timeline_retired(const struct timeline *timeline);
/* Virtual time at the position, ns. */
uint64_t timeline_time(const struct timeline *timeline);
/* Of the last event; the end is reached when position.event is this. */
uint64_t timeline_last_event(const struct timeline *timeline);
bool timeline_at_end(const struct timeline *timeline);

enum direction { FORWARD, BACKWARD };

enum timeline_why {
    TIMELINE_DONE,        /* the seek or the count of steps is complete */
    TIMELINE_CONDITION,   /* stop.condition says which */
    TIMELINE_START,       /* 0.0 was reached going backward */
    TIMELINE_END,         /* the end of the trace */
    TIMELINE_INTERRUPTED, /* timeline_interrupt() */
};

enum condition_kind {
    CONDITION_EXECUTE, /* about to execute at `address` (linear), in [address, address + length), or
                          at one of `places` */
    CONDITION_WRITE,   /* [address, address + length) written */
    CONDITION_READ,
    CONDITION_ACCESS,
    CONDITION_EVENT,     /* an event whose kind is in `event_kinds`, at `address` if match_address,
                            with `value` if match_value (the vector of an interrupt) */
    CONDITION_CONSOLE,   /* the guest has just printed `text` */
    CONDITION_EXCEPTION, /* an exception was delivered; vector `address` if match_address */
    CONDITION_MODE,      /* CPL, protected mode, paging, long mode or 64-bit code changed */
    CONDITION_SPACE,     /* CR3 was given another value, or the machine is about to be reset */
    CONDITION_DISK,      /* [address, address + length), in sectors, of a disk was accessed */
};

/* CONDITION_DISK: what the guest asked of the disk, not of one of its members. */
#define TIMELINE_WHOLE_DISK UINT_MAX

enum timeline_disk_access { TIMELINE_DISK_ANY, TIMELINE_DISK_READ, TIMELINE_DISK_WRITE };

/*
 * What to stop at. For CONDITION_EXECUTE the stop is before the instruction, either way. For the
 * others it is going forward after what happened, the instruction, event or delivery, going
 * backward before it: the value is then the one from before the write.
 *
 * Writes are all changes of RAM: also what is pushed when interrupts and exceptions are delivered,
 * what devices write, and the bits that address translation sets in page tables. Linear ranges are
 * translated by the page tables of the moment. Reads are those of the CPU.
 */
struct timeline_condition {
    enum condition_kind kind;
    bool physical; /* READ, WRITE, ACCESS: a guest-physical range */
    uint64_t address, length;
    const uint64_t *places; /* EXECUTE: as struct breakpoint has them */
    unsigned place_count;
    uint32_t event_kinds; /* by bit: 1 << EVENT_PIO_OUT */
    bool match_address;
    bool match_value;
    uint64_t value;
    unsigned disk, member; /* DISK: by number; member TIMELINE_WHOLE_DISK: the disk itself */
    enum timeline_disk_access disk_access; /* zeroing and discarding write */
    const char *text;
    /* Asked at every hit, with the machine standing there (going forward's place); false: not a
     * stop. May be NULL. */
    bool (*accept)(void *context, struct timeline *timeline);
    /* Called where a search backward begins a stretch, which it does forward: stretches come last
     * first. May be NULL. */
    void (*begin)(void *context, struct timeline *timeline);
    void *context;
};

struct timeline_stop {
    enum timeline_why why;
    unsigned condition;         /* index into the list given */
    uint64_t address;           /* of the access, for READ, WRITE, ACCESS; DISK: first sector */
    bool is_write;              /* READ, WRITE, ACCESS, DISK */
    struct machine_event event; /* for EVENT, CONSOLE and DISK */
    uint8_t vector;             /* EXCEPTION: of the one delivered, */
    uint32_t error;             /* its error code, 0 when it has none, */
    uint64_t rip;               /* and RIP as pushed: of the instruction that faulted */
};

enum { TIMELINE_MAX_CONDITIONS = 60 };

/* To a position; past the end means the end. A position inside an instruction that makes several
 * accesses means the end of that instruction. */
int timeline_seek(struct timeline *timeline, struct position position, struct timeline_stop *stop,
    struct error *error);
/* The same, to after so many faults that were delivered there. */
int timeline_seek_delivered(struct timeline *timeline, struct position position, uint64_t delivered,
    struct timeline_stop *stop, struct error *error);
/* To the first position with that many retired instructions. */
int timeline_seek_retired(
    struct timeline *timeline, uint64_t retired, struct timeline_stop *stop, struct error *error);
/* To the position where virtual time reaches `time`, to the event. */
int timeline_seek_time(
    struct timeline *timeline, uint64_t time, struct timeline_stop *stop, struct error *error);
/* `count` instructions; a step back from between two instructions first undoes what was delivered.
 */
int timeline_step(struct timeline *timeline, enum direction direction, uint64_t count,
    struct timeline_stop *stop, struct error *error);
/*
 * Runs until a condition holds, strictly after (or before) where it stands. When nothing is hit the
 * timeline stands at the end (or start), or where it was interrupted.
 */
int timeline_run(struct timeline *timeline, enum direction direction,
    const struct timeline_condition *conditions, unsigned count, struct timeline_stop *stop,
    struct error *error);

/*
 * Runs forward to `until`, or to a condition that holds on the way, which it also may where it
 * stands: what asks about a stretch of the run, by conditions whose `accept` looks and lets pass.
 */
int timeline_run_to(struct timeline *timeline, struct position until,
    const struct timeline_condition *conditions, unsigned count, struct timeline_stop *stop,
    struct error *error);
/* From `accept`: other conditions from here on, in the place of those that the run began with. */
int timeline_rearm(struct timeline *timeline, const struct timeline_condition *conditions,
    unsigned count, struct error *error);
/* Called every few million instructions that a move executes; NULL: nothing is. */
void timeline_set_pace(struct timeline *timeline,
    void (*pace)(void *context, struct timeline *timeline), void *context);

/* From a signal handler or another thread: the run under way stops where it is. */
void timeline_interrupt(struct timeline *timeline);

/* What the guest had printed on the serial port up to the position; valid until the next move. */
const uint8_t *timeline_console(struct timeline *timeline, size_t *size);

/* XXH3-64 over vCPU, RAM and devices at the position. */
int timeline_digest(struct timeline *timeline, uint64_t *digest, struct error *error);

/* Keeps a checkpoint here. */
int timeline_checkpoint(struct timeline *timeline, struct error *error);
void timeline_cache(const struct timeline *timeline, unsigned *checkpoints, uint64_t *bytes);

#endif
