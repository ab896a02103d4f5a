/*
 * Faults put into members on purpose, and how they are written on a command line:
 *
 *   disk0:member1:fail@t=2.5s         everything on the member fails from then on
 *   disk0:member1:eio@lba=4096        accesses that touch the sector fail
 *   disk0:member1:unreadable@lba=4096 reads that touch the sector fail, until it is written
 *   disk0:member1:corrupt@lba=4096    reads of the sector give one flipped bit, until it is written
 *
 * Conditions are joined with commas: `eio@lba=4096,t=1s`. Without a time a fault is there from the
 * start. Whoever runs the machine arms timed faults; this file knows no time.
 */
#ifndef DEVICES_RAID_FAULT_H
#define DEVICES_RAID_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "devices/block.h"

enum fault_kind { FAULT_FAIL, FAULT_EIO, FAULT_CORRUPT, FAULT_UNREADABLE };

struct fault {
    unsigned disk, member;
    enum fault_kind kind;
    uint64_t lba;  /* of the member; for all but FAIL */
    uint64_t time; /* virtual ns; 0: from the start */
};

int fault_parse(const char *text, struct fault *fault, struct error *error);
void fault_print(const struct fault *fault, struct buffer *out); /* as fault_parse reads it */

enum { FAULT_MAX = 32 };

/* A layer over a member that applies faults to it. Zero-initialize but for `below`. */
struct fault_layer {
    struct raid_member below;
    bool failed;
    unsigned count;
    struct {
        enum fault_kind kind;
        uint64_t lba;
        bool mended; /* CORRUPT, UNREADABLE: written since */
    } fault[FAULT_MAX];
};

struct raid_member fault_member(struct fault_layer *layer);
/* Makes a fault take effect. Fails when there are FAULT_MAX already. */
int fault_inject(struct fault_layer *layer, const struct fault *fault, struct error *error);
void fault_save(const struct fault_layer *layer, struct buffer *out);
void fault_restore(struct fault_layer *layer, struct reader *in);

#endif
