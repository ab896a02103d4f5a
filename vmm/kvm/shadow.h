/*
 * Shadow page tables: what ring 3 of a 64-bit guest runs on instead of the guest's own tables, so
 * that no processor sets accessed and dirty bits in those at a moment of its own choosing.
 *
 * They allow what the guest's tables allow ring 3 without a bit having to be set: a page is mapped
 * if it is RAM and accessed bits are set at each level, and writable if the dirty bit is set, too.
 * All else faults, and is for the software CPU to execute, which sets the bits as it does anywhere.
 *
 * With `may_execute` no page of 4 KiB is executable until it is executed, when it is asked whether
 * it may, and none is writable at the same time. Larger ones that are executable are mapped in
 * such.
 *
 * The tables are in memory of the caller's, of which they are a pure function: shadow_follow()
 * compares the guest's tables with what was copied from them, and drops what no longer follows.
 */
#ifndef VMM_KVM_SHADOW_H
#define VMM_KVM_SHADOW_H

#include "vmm/arch/memory.h"
#include "vmm/arch/vcpu.h"

enum { SHADOW_ENTRIES = 512, SHADOW_LEVELS = 4 };

/* Bits of entries, the guest's and ours. */
enum {
    SHADOW_PRESENT = 1 << 0,
    SHADOW_WRITABLE = 1 << 1,
    SHADOW_USER = 1 << 2,
    SHADOW_ACCESSED = 1 << 5,
    SHADOW_DIRTY = 1 << 6,
    SHADOW_LARGE = 1 << 7,
};
#define SHADOW_NX      (1ull << 63)
#define SHADOW_ADDRESS 0x000ffffffffff000ull

/* One table of the guest's that is shadowed. */
struct shadow_table {
    uint64_t guest; /* GPA */
    uint64_t large; /* the entry of a large page that this table has in small ones; 0: none */
    unsigned level; /* 4: the top; 0: free */
    unsigned next;  /* free: the next free one */
    uint64_t copy[SHADOW_ENTRIES];
};

/* An access that faulted: the bits of a page fault's error code that say what it was. */
enum { SHADOW_ACCESS_WRITE = 1 << 1, SHADOW_ACCESS_EXECUTE = 1 << 4 };

struct shadow {
    const struct memory *memory;         /* the guest's */
    uint64_t (*entries)[SHADOW_ENTRIES]; /* the caller's; the first one is the top */
    uint64_t gpa;                        /* of entries[0] in the machine that runs on them */
    unsigned count;                      /* of tables there is room for, at least SHADOW_LEVELS */
    struct shadow_table *tables;
    unsigned used;      /* those from here on were free since the top was made */
    unsigned free;      /* the first free one before; 0: none */
    unsigned own;       /* entry of the top table that is the caller's; 0: none */
    uint64_t own_entry; /* what is there */
    /* Of code at a host address, `size` bytes; NULL: all that the guest's tables let. */
    bool (*may_execute)(const uint8_t *code, size_t size);
    bool nxe;
    bool
        stale; /* a mapping that was there is gone: a TLB may have it, until somebody clears this */
};

/* -1: no memory. */
int shadow_create(struct shadow *shadow, const struct memory *memory, void *entries, uint64_t gpa,
    unsigned count, struct error *error);
void shadow_destroy(struct shadow *shadow);

/* Becomes the shadow of the tables that CR3 names, as they are now; long mode. */
void shadow_follow(struct shadow *shadow, const struct vcpu_state *state);
/* Maps what an access needs, if the guest's tables, as followed, allow it as they are. */
bool shadow_map(struct shadow *shadow, uint64_t linear, unsigned access);

/*
 * An entry of the top table, in the upper half, through which ring 3 of the guest reaches nothing;
 * 0: none. The one that is the caller's already is taken as long as it is one.
 */
unsigned shadow_unused(const struct shadow *shadow, const struct vcpu_state *state);
/* Puts an entry of the caller's there, which nothing of the guest's replaces. */
void shadow_set_own(struct shadow *shadow, unsigned index, uint64_t entry);

#endif
