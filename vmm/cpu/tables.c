/* Notices accessed and dirty bits that are cleared in paging structures. */
#include "vmm/cpu/tables.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_FLUSH = 1 }; /* 0 says that a page was never walked */

int tables_create(struct cpu *cpu, struct error *error)
{
    struct cpu_tables *tables = &cpu->tables;
    tables->walked = calloc(cpu->memory->size / PAGE_SIZE, sizeof *tables->walked);
    if (!tables->walked)
        return error_set(error, "no memory for the software CPU");
    tables->flushes = tables->last_global = FIRST_FLUSH;
    return 0;
}

void tables_free(struct cpu *cpu)
{
    free(cpu->tables.walked);
}

static uint64_t *walked_at(struct cpu *cpu, const uint8_t *host)
{
    return &cpu->tables.walked[(uint64_t)(host - cpu->memory->host) / PAGE_SIZE];
}

/* May the TLB have a translation that came from there? */
static bool is_live(const struct cpu_tables *tables, uint64_t walked)
{
    uint64_t since = walked & 1 ? tables->last_global : tables->flushes;
    return walked / 2 >= since;
}

void tables_walked(struct cpu *cpu, const struct translation *translation)
{
    const struct cpu_tables *tables = &cpu->tables;
    const uint64_t now = tables->flushes * 2 + translation->global;
    if (!cpu->engine.exact_bits)
        return;
    for (unsigned i = 0; i < translation->count; i++) {
        const uint8_t *host = memory_at(cpu->memory, translation->entry[i], 1);
        if (!host)
            continue;
        uint64_t *walked = walked_at(cpu, host);
        if (!*walked)
            tlb_slow_writes(cpu, translation->entry[i]);
        /* A page that a living global translation came from stays one of those. */
        if (!(*walked & 1) || !is_live(tables, *walked))
            *walked = now;
    }
}

/* The block under way is left: where it goes on is fetched anew, too. */
static void forget_translations(struct cpu *cpu)
{
    tlb_flush_all(cpu);
    cpu->stop_requested = true;
}

/* The low half of an entry of 8 bytes, or one of 4. An upper half that looks like one that loses
 * bits costs a flush and changes nothing. */
static bool loses_bits(uint32_t old, uint32_t new)
{
    return (old & new &PTE_P) && (old & ~new &(PTE_A | PTE_D));
}

void tables_store(struct cpu *cpu, const uint8_t *host, const uint8_t *data, unsigned size)
{
    uint64_t *walked = walked_at(cpu, host);
    if (!*walked)
        return;
    if (!is_live(&cpu->tables, *walked)) {
        *walked = 0;
        tlb_flush_writes(cpu); /* direct stores again */
        return;
    }
    const uint64_t first = (uint64_t)(host - cpu->memory->host), last = first + size - 1;
    for (uint64_t at = first & ~3ull; at <= last; at += 4) {
        uint32_t old, new;
        memcpy(&old, cpu->memory->host + at, sizeof old);
        memcpy(&new, cpu->memory->host + at, sizeof new);
        for (uint64_t i = at; i < at + 4; i++)
            if (i >= first && i <= last)
                ((uint8_t *)&new)[i - at] = data[i - first];
        if (loses_bits(old, new)) {
            forget_translations(cpu);
            return;
        }
    }
}

void tables_changed(struct cpu *cpu, const uint8_t *host)
{
    if (*walked_at(cpu, host))
        forget_translations(cpu);
}
