/*
 * All accesses to memory that the vCPUs make in a stretch of a replay, in the order of the run, and
 * the messages between vCPUs among them: what a query over a run is built on. The software CPU runs
 * every instruction by its handler meanwhile, several times slower than a replay; not so where the
 * accesses to some ranges alone are wanted.
 */
#ifndef REPLAY_ACCESSES_H
#define REPLAY_ACCESSES_H

#include "replay/timeline.h"

struct timeline_access {
    struct memory_access memory;
    struct position position; /* before the instruction that makes it */
    unsigned vcpu;
};

struct timeline_instruction {
    uint64_t linear, gpa; /* of its first byte */
    struct position position;
    uint64_t retired, delivered;
    unsigned vcpu, bits; /* bits: 16, 32 or 64, of the code */
};

/* Messages by which one vCPU interrupts another: vectors, and this for NMI. */
enum { ACCESSES_NMI = 256, ACCESSES_MESSAGES };

/* Any may be NULL. They do not move the timeline. */
struct accesses_watcher {
    void (*access)(void *context, const struct timeline_access *access);
    /* With `access` only: an instruction begins; one that is abandoned retires nothing and may
     * begin again. `delivered` faults were delivered at the position before it. */
    void (*instruction)(void *context, const struct timeline_instruction *instruction);
    /* With `access` only: a device writes, in the event after the position's. */
    void (*device_write)(void *context, uint64_t gpa, uint64_t size);
    /* What the event under way did with disks and networks, as struct machine_observer has it. */
    void (*note)(void *context, uint8_t kind, const uint8_t *data, size_t size);
    /* As in struct access_observer. */
    const struct access_range *ranges;
    unsigned range_count;
    void (*change)(void *context, uint64_t gpa, uint64_t size, bool is_walk);
    void (*abandon)(void *context);
    /* A vCPU sends a message, or takes an interrupt that such a message, or a device, brought. */
    void (*send)(void *context, unsigned vcpu, unsigned message);
    void (*receive)(void *context, unsigned vcpu, unsigned message);
    /* A vCPU starts another one, which waited for it. */
    void (*start)(void *context, unsigned vcpu, unsigned started);
    void *context;
};

/*
 * Goes to `from` and runs to `to`, past the end means the end, telling the watcher what happens on
 * the way. stop->why is TIMELINE_DONE, TIMELINE_END or TIMELINE_INTERRUPTED; the timeline stands
 * where the watching ended, or where it was interrupted on the way to `from`: *began is then false.
 */
int accesses_watch(struct timeline *timeline, struct position from, struct position to,
    const struct accesses_watcher *watcher, bool *began, struct timeline_stop *stop,
    struct error *error);

#endif
