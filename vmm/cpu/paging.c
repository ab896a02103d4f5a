/* Walks the page tables. */
#include "vmm/cpu/paging.h"

#include <string.h>

#include "vmm/arch/cpuid.h"
#include "vmm/cpu/stores.h"

#define PTE_NX           (1ull << 63)
#define ADDRESS_BITS     ((1ull << CPUID_PHYSICAL_BITS) - 1)
#define PTE_ADDRESS      (ADDRESS_BITS & ~0xfffull)
#define RESERVED_ADDRESS (0x000fffffffffffffull & ~ADDRESS_BITS)
/* PAE without long mode: bits 62-52 are reserved, too, and so are 8-5 and 2-1 of a PDPTE. */
#define RESERVED_PAE   (0x7fffffffffffffffull & ~ADDRESS_BITS)
#define RESERVED_PDPTE (RESERVED_PAE | PTE_NX | 0x1e6)
#define RESERVED_2M    0x1fe000ull
#define RESERVED_1G    0x3fffe000ull

/* With what this vCPU has stored and others do not see yet. By value: an entry whose address is
 * taken would pass through memory at every level of a walk. */
static __attribute__((noinline)) uint64_t forwarded(
    const struct cpu *cpu, uint64_t gpa, uint64_t entry, unsigned size)
{
    stores_forward(cpu, gpa, (uint8_t *)&entry, size);
    return entry;
}

/* Where no RAM is, the bus reads as ones. */
static inline uint64_t read_entry(const struct cpu *cpu, uint64_t gpa, unsigned size)
{
    uint64_t entry = 0;
    const uint8_t *host = memory_at(cpu->memory, gpa, size);
    if (!host)
        return size == 4 ? UINT32_MAX : UINT64_MAX;
    memcpy(&entry, host, size);
    return cpu->stores ? forwarded(cpu, gpa, entry, size) : entry;
}

/* What the entries used have in common, and what any of them has. */
struct bits {
    uint64_t all, any;
};

static inline void add_entry(
    struct translation *translation, struct bits *bits, uint64_t gpa, uint64_t entry)
{
    translation->entry[translation->count++] = gpa;
    bits->all &= entry;
    bits->any |= entry;
}

static inline void set_rights(
    struct translation *translation, const struct bits *bits, uint64_t last_entry)
{
    translation->user = bits->all & PTE_US;
    translation->writable = bits->all & PTE_RW;
    translation->accessed = bits->all & PTE_A;
    translation->no_execute = bits->any & PTE_NX;
    translation->dirty = last_entry & PTE_D;
}

static bool global_page(const struct cpu *cpu, uint64_t entry)
{
    return (entry & PTE_G) && (cpu->s.cr4 & CR4_PGE);
}

static int walk_legacy(const struct cpu *cpu, uint64_t linear, struct translation *translation)
{
    struct bits bits = {UINT64_MAX, 0};
    translation->entry_size = 4;
    uint64_t at = (cpu->s.cr3 & 0xfffff000) + (linear >> 22 & 0x3ff) * 4;
    uint64_t entry = read_entry(cpu, at, 4);
    if (!(entry & PTE_P))
        return -1;
    if ((entry & PTE_PS) && (cpu->s.cr4 & CR4_PSE)) {
        if (entry & (1 << 21))
            return PF_PRESENT | PF_RESERVED;
        add_entry(translation, &bits, at, entry);
        set_rights(translation, &bits, entry);
        translation->gpa = (entry & 0xffc00000) | (entry >> 13 & 0xff) << 32 | (linear & 0x3ff000);
        translation->large = true;
        translation->global = global_page(cpu, entry);
        return 0;
    }
    add_entry(translation, &bits, at, entry);
    at = (entry & 0xfffff000) + (linear >> 12 & 0x3ff) * 4;
    entry = read_entry(cpu, at, 4);
    if (!(entry & PTE_P))
        return -1;
    add_entry(translation, &bits, at, entry);
    set_rights(translation, &bits, entry);
    translation->gpa = entry & 0xfffff000;
    translation->global = global_page(cpu, entry);
    return 0;
}

/* The levels that PAE and long mode share, from `shift` down; `table` is the first one's address.
 * Inlined, so that the compiler knows which level is which. */
static inline __attribute__((always_inline)) int walk_wide(const struct cpu *cpu, uint64_t linear,
    struct translation *translation, uint64_t table, unsigned shift, uint64_t reserved)
{
    struct bits bits = {UINT64_MAX, 0};
    for (;; shift -= 9) {
        uint64_t at = table + (linear >> shift & 0x1ff) * 8;
        uint64_t entry = read_entry(cpu, at, 8);
        if (!(entry & PTE_P))
            return -1;
        bool maps = shift == 12 || ((entry & PTE_PS) && shift <= 30);
        uint64_t forbidden = reserved;
        if (shift == 39)
            forbidden |= PTE_PS;
        if (maps && shift == 30)
            forbidden |= RESERVED_1G;
        if (maps && shift == 21)
            forbidden |= RESERVED_2M;
        if (entry & forbidden)
            return PF_PRESENT | PF_RESERVED;
        add_entry(translation, &bits, at, entry);
        if (!maps) {
            table = entry & PTE_ADDRESS;
            continue;
        }
        set_rights(translation, &bits, entry);
        uint64_t inside = (1ull << shift) - 1;
        translation->gpa = ((entry & PTE_ADDRESS & ~inside) | (linear & inside)) & ~0xfffull;
        translation->large = shift != 12;
        translation->gigantic = shift == 30;
        translation->global = global_page(cpu, entry);
        return 0;
    }
}

int paging_walk(const struct cpu *cpu, uint64_t linear, struct translation *translation)
{
    *translation =
        (struct translation){.user = true, .writable = true, .accessed = true, .entry_size = 8};
    uint64_t no_nx = cpu->s.efer & EFER_NXE ? 0 : PTE_NX;
    if (!(cpu->s.cr0 & CR0_PG)) {
        translation->gpa = linear & 0xfffff000;
        return 0;
    }
    if (cpu->s.efer & EFER_LMA)
        return walk_wide(
            cpu, linear, translation, cpu->s.cr3 & PTE_ADDRESS, 39, RESERVED_ADDRESS | no_nx);
    if (!(cpu->s.cr4 & CR4_PAE))
        return walk_legacy(cpu, linear, translation);
    /* As on AMD, a PDPTE is read when it is needed, not kept from the load of CR3. */
    uint64_t entry = read_entry(cpu, (cpu->s.cr3 & 0xffffffe0) + (linear >> 30 & 3) * 8, 8);
    if (!(entry & PTE_P))
        return -1;
    if (entry & RESERVED_PDPTE)
        return PF_PRESENT | PF_RESERVED;
    return walk_wide(cpu, linear, translation, entry & PTE_ADDRESS, 21, RESERVED_PAE | no_nx);
}

bool paging_pdptes_valid(const struct cpu *cpu, uint64_t cr3)
{
    for (unsigned i = 0; i < 4; i++) {
        uint64_t entry = read_entry(cpu, (cr3 & 0xffffffe0) + i * 8, 8);
        if ((entry & PTE_P) && (entry & RESERVED_PDPTE))
            return false;
    }
    return true;
}

uint32_t paging_check(const struct cpu *cpu, const struct translation *translation,
    enum access_kind kind, bool user, bool implicit)
{
    if (!(cpu->s.cr0 & CR0_PG))
        return 0;
    bool write = kind == ACCESS_WRITE;
    bool fetch = kind == ACCESS_EXECUTE;
    bool denied = user && !translation->user;
    denied |= write && !translation->writable && (user || (cpu->s.cr0 & CR0_WP));
    denied |= fetch && translation->no_execute;
    if (!user && translation->user) {
        denied |= fetch && (cpu->s.cr4 & CR4_SMEP);
        denied |= !fetch && (cpu->s.cr4 & CR4_SMAP) && (implicit || !(cpu->s.rflags & FLAG_AC));
    }
    return denied ? PF_PRESENT : 0;
}

static void set_bits(struct cpu *cpu, uint64_t gpa, uint8_t bits)
{
    uint8_t *host = memory_at(cpu->memory, gpa, 1);
    if (!host || (*host & bits) == bits)
        return;
    __atomic_fetch_or(host, bits, __ATOMIC_RELAXED);
    cpu_mark_written(cpu, host);
    blocks_memory_written(cpu, gpa, 1);
    watch_change(cpu, gpa, 1, true);
}

void paging_set_accessed(struct cpu *cpu, const struct translation *translation, bool dirty)
{
    if (translation->accessed && (translation->dirty || !dirty))
        return;
    for (unsigned i = 0; i < translation->count; i++) {
        bool last = i + 1 == translation->count;
        set_bits(cpu, translation->entry[i], last && dirty ? PTE_A | PTE_D : PTE_A);
    }
}
