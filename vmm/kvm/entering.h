/*
 * Where ring 3 is to move to KVM: only where what it gains there pays for the way in and out.
 *
 * A place is an address space and a page of its code. Of each that was met lately it is known how
 * fast the software CPU runs it and how long it stayed on KVM; of a place that is not, what is
 * known of its address space stands in. Where nothing is known, or where the last stay did not pay,
 * a stay is tried when the software CPU has spent several times its cost there, ever more seldom
 * as tries fail, and all failures together cost no more than a small part of the time that the
 * software CPU spends in ring 3. So a guest that changes is followed, and one that wants to be slow
 * is hardly slower than on the software CPU.
 *
 * A pure function of what it was told; no clock is read here. Where code runs changes nothing but
 * speed, so the times may be those of the host.
 */
#ifndef VMM_KVM_ENTERING_H
#define VMM_KVM_ENTERING_H

#include <stdbool.h>
#include <stdint.h>

enum { ENTERING_SPACES = 64, ENTERING_PLACES = 512 };

struct entering_place {
    uint64_t space; /* CR3 */
    uint64_t page;  /* linear address / PAGE_SIZE */
};

struct entering_record {
    struct entering_place place; /* of an address space: page 0 */
    bool used;
    uint8_t failures; /* tries that did not pay, one after the other */
    uint32_t stays;
    uint64_t rate;     /* of the software CPU, in ps for an instruction; 0: not known */
    uint64_t spent_ns; /* by it, since the last stay */
    uint64_t stay_ns;  /* on KVM, a stay */
    uint64_t cost_ns;  /* of a stay beside that */
};

struct entering {
    struct entering_record space[ENTERING_SPACES];
    struct entering_record place[ENTERING_PLACES];
    uint64_t first_ns;  /* what the first stay of an address space costs, ... */
    uint64_t cost_ns;   /* ... and any other */
    uint64_t credit_ns; /* for stays that do not pay */
    uint64_t empty_ns;  /* what a run of KVM takes in which nothing is executed */
};

void entering_begin(struct entering *entering);
/* The software CPU has executed so many instructions of ring 3 there, in so many ns. */
void entering_note_soft(struct entering *entering, const struct entering_place *place,
    uint64_t instructions, uint64_t ns);
/* KVM ran once, of a stay that goes on, for `ns`: as much of it was execution. */
uint64_t entering_note_run(struct entering *entering, uint64_t ns);
/* Ring 3 moved to KVM there, executed for `ns`, and has come back, at a cost of `cost_ns`. */
void entering_note_stay(
    struct entering *entering, const struct entering_place *place, uint64_t ns, uint64_t cost_ns);
/* Shall it move there now? */
bool entering_pays(const struct entering *entering, const struct entering_place *place);
/* Has it paid there, so that it is to move as soon as it is back in ring 3? */
bool entering_has_paid(const struct entering *entering, const struct entering_place *place);

#endif
