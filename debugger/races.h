/*
 * Finds data races by happens-before: conflicting accesses of two vCPUs, one of them a write, that
 * nothing orders. Each vCPU has a vector clock (Lamport 1978, Mattern 1989); accesses are kept as
 * FastTrack does (Flanagan and Freund 2009), the last read and the last write of each vCPU.
 *
 * What orders: a locked access, and XCHG, releases and acquires what it touches; a plain store to
 * where one was made releases, a plain load of it acquires (x86 unlocks so, and waits so); a
 * message orders what its sender did before what its receiver does after taking it; starting a vCPU
 * likewise. Accesses to such addresses are synchronisation and race with nothing.
 */
#ifndef DEBUGGER_RACES_H
#define DEBUGGER_RACES_H

#include <stdbool.h>
#include <stddef.h>

#include "replay/accesses.h"

enum { RACES_VCPUS = 16, RACES_MAX_PAIRS = 4096 };

struct races;

/* A piece of guest-physical memory that is looked at. */
struct races_range {
    uint64_t gpa, length;
};

/* One pair of places in code, with the accesses of the first time. */
struct race {
    struct timeline_access first, second; /* in the order of the run */
    uint64_t count;
};

struct races_counts {
    uint64_t accesses; /* to the ranges */
    uint64_t atomics;  /* distinct addresses that order */
    bool overflowed;   /* there was no room for more addresses or pairs */
};

/* The ranges are copied; they may overlap. NULL: no memory. */
struct races *races_create(const struct races_range *ranges, unsigned count);
void races_destroy(struct races *races); /* NULL is fine */

/* Learns from an access whether its address orders; for a pass before the one that looks. */
void races_learn(struct races *races, const struct timeline_access *access);
void races_access(struct races *races, const struct timeline_access *access);
void races_send(struct races *races, unsigned vcpu, unsigned message);
void races_receive(struct races *races, unsigned vcpu, unsigned message);
void races_start(struct races *races, unsigned vcpu, unsigned started);

/* What was found, in the order of the run; NULL past the last. */
const struct race *races_at(const struct races *races, unsigned number);
struct races_counts races_counts(const struct races *races);

#endif
