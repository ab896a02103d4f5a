/*
 * Digests of guest RAM that two runs of the same guest have in common on any engine: XXH3-64 over
 * pages, with the accessed and dirty bits of paging structures left out, because an MMU sets those
 * at moments of its own choosing.
 */
#ifndef VMM_DIGEST_H
#define VMM_DIGEST_H

#include "base/error.h"
#include "vmm/memory.h"
#include "vmm/vcpu.h"

/* Over the pages with these GPAs (page-aligned, RAM), in the order given. */
int digest_pages(const struct memory *memory, const struct vcpu_state *state, const uint64_t *pages,
    unsigned count, uint64_t *digest, struct error *error);

/* Over all of RAM. Pages of zeroes cost one read. */
int digest_memory(const struct memory *memory, const struct vcpu_state *state, uint64_t *digest,
    struct error *error);

#endif
