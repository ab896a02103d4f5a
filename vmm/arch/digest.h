/*
 * Digests of guest RAM that two runs of the same guest have in common on any engine: XXH3-64 over
 * pages, with the accessed and dirty bits of paging structures left out, because an MMU sets those
 * at moments of its own choosing.
 */
#ifndef VMM_DIGEST_H
#define VMM_DIGEST_H

#include "base/error.h"
#include "vmm/arch/memory.h"
#include "vmm/arch/vcpu.h"

struct page_digest {
    uint64_t gpa; /* page-aligned, RAM */
    bool is_table;
    uint64_t digest;
};

/* Fills in is_table and digest of each, whose GPA is given. */
int digest_pages(const struct memory *memory, const struct vcpu_state *state,
    struct page_digest *pages, unsigned count, struct error *error);

/* Does the page have this digest, taken in a state with these control registers? False, too, when
 * it is not RAM. */
bool digest_page_matches(
    const struct memory *memory, const struct vcpu_state *state, const struct page_digest *page);

/* Over all of RAM. Pages of zeroes cost one read. */
int digest_memory(const struct memory *memory, const struct vcpu_state *state, uint64_t *digest,
    struct error *error);

#endif
