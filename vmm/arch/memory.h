/*
 * Guest physical memory: one contiguous range from GPA 0, made of one or more host backends joined
 * end to end (memory aggregation), mapped once in the host so that both engines and all devices use
 * the same bytes.
 *
 * Layout: RAM below 3 GiB sits at GPA 0; what is beyond continues at 4 GiB, leaving the hole for
 * MMIO as PCs do. Legacy VGA space 0xa0000-0xbffff is plain RAM here; firmware space too.
 */
#ifndef VMM_MEMORY_H
#define VMM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define PAGE_SIZE      4096ull
#define MEMORY_HOLE    0xc0000000ull  /* RAM below ends here at the latest */
#define MEMORY_ABOVE   0x100000000ull /* ... and continues here */
#define MEMORY_MINIMUM (1ull << 20)
#define MEMORY_MAXIMUM (1ull << 36)
enum { MEMORY_MAX_BACKENDS = 16 };

struct memory_backend {
    uint64_t size;    /* bytes, a multiple of 4096 */
    const char *path; /* NULL: anonymous; else the file whose pages back the range (MAP_SHARED) */
};

struct memory_region {
    uint64_t gpa;  /* first guest-physical address */
    uint64_t size; /* bytes; 0 when unused */
    uint8_t *host; /* where it is mapped */
};

struct memory {
    uint8_t *host;                  /* the whole of RAM, contiguous in the host */
    uint64_t size;                  /* bytes of RAM */
    struct memory_region region[2]; /* below the hole; above 4 GiB */
    bool anonymous;                 /* no backend is a file */
};

/*
 * Maps the backends in order. Total size from MEMORY_MINIMUM to MEMORY_MAXIMUM. File backends are
 * created or extended as needed. RAM starts zeroed: a file's old contents are discarded.
 */
int memory_create(struct memory *memory, const struct memory_backend *backends, unsigned count,
    struct error *error);
void memory_destroy(struct memory *memory);

static inline uint8_t *memory_region_at(
    const struct memory_region *region, uint64_t gpa, uint64_t size)
{
    uint64_t offset = gpa - region->gpa;
    if (offset < region->size && size <= region->size - offset)
        return region->host + offset;
    return NULL;
}

/* The host address of [gpa, gpa + size), or NULL when any of it is not RAM. */
static inline uint8_t *memory_at(const struct memory *memory, uint64_t gpa, uint64_t size)
{
    uint8_t *host = memory_region_at(&memory->region[0], gpa, size);
    return __builtin_expect(host != NULL, 1) ? host
                                             : memory_region_at(&memory->region[1], gpa, size);
}

/* Copies that cross regions; false (nothing done) when any byte is not RAM. */
bool memory_read(const struct memory *memory, uint64_t gpa, void *data, uint64_t size);
bool memory_write(struct memory *memory, uint64_t gpa, const void *data, uint64_t size);

/*
 * Walks the pages that may hold something else than zeros, in ascending order. Pages that were
 * never touched are passed over, by the kernel's own page tables where it can (PAGEMAP_SCAN,
 * Linux 6.7): 64 GiB that nobody wrote to cost nothing.
 */
struct memory_walk {
    const struct memory *memory;
    int pagemap;        /* descriptor; -1: every page is given */
    bool scans;         /* PAGEMAP_SCAN works */
    uint64_t next, end; /* offsets in `host` of what is known to be touched */
    uint64_t searched;  /* up to there */
};
void memory_walk_begin(struct memory_walk *walk, const struct memory *memory);
/* The offset in memory->host of the next such page; false after the last. */
bool memory_walk_next(struct memory_walk *walk, uint64_t *offset);
void memory_walk_end(struct memory_walk *walk);
/* The guest-physical address of an offset in memory->host. */
uint64_t memory_gpa(const struct memory *memory, uint64_t offset);

/* XXH3-64 over all of RAM, in GPA order. All-zero pages are cheap. */
uint64_t memory_digest(const struct memory *memory);

#endif
