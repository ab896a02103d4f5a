/*
 * Pages of RAM that hold the paging structures of translations in the TLB.
 *
 * A processor need not look at an accessed or dirty bit that a guest has cleared while a
 * translation is in its TLB, and kernels clear accessed bits without INVLPG. When such a bit is set
 * again would then depend on what the TLB holds, which restoring a state empties, and on KVM's,
 * which is another. So a store that clears one empties the TLB: the next access sets it
 * (engine.exact_bits).
 */
#ifndef VMM_CPU_TABLES_H
#define VMM_CPU_TABLES_H

#include "vmm/cpu/paging.h"

int tables_create(struct cpu *cpu, struct error *error);
void tables_free(struct cpu *cpu);

/* The TLB was emptied, of all or of all but global translations. */
static inline void tables_flushed(struct cpu_tables *tables, bool global)
{
    tables->flushes++;
    if (global)
        tables->last_global = tables->flushes;
}

/* A translation goes into the TLB. */
void tables_walked(struct cpu *cpu, const struct translation *translation);

/* Have stores to this page of RAM (host address) to be told? */
static inline bool tables_on_page(const struct cpu *cpu, const uint8_t *host)
{
    return cpu->tables.walked[(uint64_t)(host - cpu->memory->host) / PAGE_SIZE] != 0;
}

/* RAM at [host, host + size), inside one page, is about to become `data`. */
void tables_store(struct cpu *cpu, const uint8_t *host, const uint8_t *data, unsigned size);
/* Something else wrote to this page. */
void tables_changed(struct cpu *cpu, const uint8_t *host);

#endif
