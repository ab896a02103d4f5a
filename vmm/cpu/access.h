/*
 * The inline hit path of memory accesses by linear address at the present CPL: one compare of the
 * last byte's page with the TLB entry of the first byte's covers the page, page crossing, and the
 * pages that must go the slow way. Segment and alignment checks come before (cpu_linear_checked).
 */
#ifndef VMM_CPU_ACCESS_H
#define VMM_CPU_ACCESS_H

#include <string.h>

#include "vmm/cpu/cpu.h"

/* The host address of [linear, linear + size) when it may be touched directly, else NULL. */
static inline uint8_t *cpu_direct(
    const struct cpu *cpu, enum access_kind kind, uint64_t linear, unsigned size)
{
    const struct tlb_entry *entry = &cpu->tlb[kind][linear / PAGE_SIZE % TLB_ENTRIES];
    if (__builtin_expect(((linear + size - 1) & ~(PAGE_SIZE - 1)) != entry->page, 0))
        return NULL;
    return (uint8_t *)(uintptr_t)(linear + entry->addend);
}

#define DEFINE_ACCESSORS(bits)                                                        \
    static inline uint64_t cpu_load##bits(struct cpu *cpu, uint64_t linear)           \
    {                                                                                 \
        const uint8_t *host = cpu_direct(cpu, ACCESS_READ, linear, bits / 8);         \
        uint##bits##_t value;                                                         \
        if (__builtin_expect(!host, 0))                                               \
            return cpu_load_slow(cpu, linear, bits / 8);                              \
        memcpy(&value, host, sizeof value);                                           \
        return value;                                                                 \
    }                                                                                 \
    static inline void cpu_store##bits(struct cpu *cpu, uint64_t linear, uint64_t to) \
    {                                                                                 \
        uint8_t *host = cpu_direct(cpu, ACCESS_WRITE, linear, bits / 8);              \
        uint##bits##_t value = (uint##bits##_t)to;                                    \
        if (__builtin_expect(!host, 0))                                               \
            cpu_store_slow(cpu, linear, bits / 8, to);                                \
        else                                                                          \
            memcpy(host, &value, sizeof value);                                       \
    }
DEFINE_ACCESSORS(8)
DEFINE_ACCESSORS(16)
DEFINE_ACCESSORS(32)
DEFINE_ACCESSORS(64)
#undef DEFINE_ACCESSORS

/* A size known only when running: 1, 2, 4 or 8. */
static inline uint64_t cpu_load(struct cpu *cpu, uint64_t linear, unsigned size)
{
    const uint8_t *host = cpu_direct(cpu, ACCESS_READ, linear, size);
    uint64_t value = 0;
    if (__builtin_expect(!host, 0))
        return cpu_load_slow(cpu, linear, size);
    memcpy(&value, host, size);
    return value;
}

static inline void cpu_store(struct cpu *cpu, uint64_t linear, unsigned size, uint64_t value)
{
    uint8_t *host = cpu_direct(cpu, ACCESS_WRITE, linear, size);
    if (__builtin_expect(!host, 0))
        cpu_store_slow(cpu, linear, size, value);
    else
        memcpy(host, &value, size);
}

#endif
