/*
 * A stretch of the run, kept: every instruction that was executed, with its bytes and the memory
 * that it accessed, what deliveries pushed and devices wrote. For questions that go backward
 * through many instructions at a time. Some 60 bytes an instruction.
 */
#ifndef REPLAY_STRETCH_H
#define REPLAY_STRETCH_H

#include "replay/timeline.h"

enum { STRETCH_CODE_BYTES = 15, STRETCH_NOTE_BYTES = 64 };
#define STRETCH_NO_CODE UINT32_MAX

/* An instruction in memory; kept once however often it is executed. */
struct stretch_code {
    uint64_t gpa;
    uint8_t bytes[STRETCH_CODE_BYTES]; /* zeros where it could not be read */
    uint8_t bits;                      /* of the code: 16, 32, 64 */
    void *decoded;                     /* the user's; stretch_clear() gives it to `forget` */
};

/* One that began. What follows it until the next one is its own, or came right after it. */
struct stretch_insn {
    struct position position; /* before it */
    uint64_t retired, linear;
    uint32_t delivered; /* faults at the position before it */
    uint32_t code;      /* index; STRETCH_NO_CODE: of what comes before the first instruction */
    uint32_t access;    /* index of its first access */
    uint8_t vcpu;
};

enum stretch_kind {
    STRETCH_LOAD,
    STRETCH_STORE,
    STRETCH_IMPLICIT_LOAD, /* of descriptor tables and the like */
    STRETCH_DELIVERED,     /* pushed by the delivery of an interrupt or exception */
    STRETCH_DEVICE,        /* a device wrote */
};

struct stretch_access {
    uint64_t gpa;
    uint32_t size;
    uint32_t insn;   /* index */
    uint32_t origin; /* STRETCH_DEVICE: index into `origins` */
    uint8_t vcpu;
    uint8_t kind; /* enum stretch_kind */
};

/* What made a device write: an event and, if the guest's access to a device did, which. */
struct stretch_origin {
    uint64_t event;
    const char *device; /* NULL: it came by itself */
};

/* A detail of an event, as struct machine_observer has it. */
struct stretch_note {
    uint64_t event;
    uint32_t access; /* how many accesses came before it */
    uint8_t kind, size;
    uint8_t data[STRETCH_NOTE_BYTES];
};

struct stretch {
    uint64_t from, to;     /* retired instructions where it begins and ends */
    struct position begin; /* the first position with `from` */
    struct stretch_insn *insns;
    struct stretch_access *accesses;
    struct stretch_code *codes;
    struct stretch_note *notes;
    struct stretch_origin *origins;
    uint32_t insn_count, access_count, code_count, note_count, origin_count;
    uint32_t insn_room, access_room, code_room, note_room, origin_room;
    uint32_t *slots; /* a hash table of codes: 1 + index */
    uint32_t slot_count;
    const struct memory *memory; /* while it is filled */
    struct timeline *timeline;
    bool failed; /* no memory */
    void (*forget)(void *decoded);
};

/*
 * Fills an empty stretch, or one that was cleared, with what was executed from the first position
 * with `from` retired instructions on, before the position `to` with so many `delivered`. A
 * checkpoint is left at its beginning. *stop as accesses_watch() says; the stretch is whole unless
 * the run was interrupted.
 */
int stretch_fill(struct stretch *stretch, struct timeline *timeline, uint64_t from,
    struct position to, uint64_t delivered, struct timeline_stop *stop, struct error *error);
/* Was the instruction finished, with its iterations if it is repeated? Else it was abandoned, or
 * it faulted in an iteration. */
bool stretch_finished(const struct stretch *stretch, uint32_t insn);
/* One past the last of its accesses. */
uint32_t stretch_access_end(const struct stretch *stretch, uint32_t insn);
void stretch_clear(struct stretch *stretch);

#endif
