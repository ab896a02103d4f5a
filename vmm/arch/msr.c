/* The model-specific registers that only keep what is written to them. */
#include "vmm/arch/msr.h"

#include <stddef.h>

enum { CONSTANT = -1 };

struct model_msr {
    uint32_t index;
    int place; /* in the vCPU's state; CONSTANT: it has none */
    const char *name;
    uint64_t value;    /* after reset */
    uint64_t writable; /* bits that keep what is written */
    uint64_t ignored;  /* bits that may be written and keep what they are; the rest raise #GP */
    bool read_only;    /* every write raises #GP */
};

#define ALL UINT64_MAX
/* The event, unit mask, levels, edge, interrupt, enable, inversion, count mask. */
#define PERF_CTL_BITS 0xfffd7fffffull
#define PERF_CTR_BITS 0xffffffffffffull
#define PERF_CTL(n)                                                                  \
    {                                                                                \
        0xc0010000u + (n), MSR_KEPT_PERF_CTL + (n), "PERF_CTL" #n, 0, PERF_CTL_BITS, \
            ~PERF_CTL_BITS, false                                                    \
    }
#define PERF_CTR(n)                                                                    \
    {                                                                                  \
        MSR_PERF_CTR0 + (n), MSR_KEPT_PERF_CTR + (n), "PERF_CTR" #n, 0, PERF_CTR_BITS, \
            ~PERF_CTR_BITS, false                                                      \
    }

static const struct model_msr table[] = {
    /* The patch that firmware loads into model 1 of the family. */
    {0x8b, CONSTANT, "PATCH_LEVEL", 0x05000029, 0, ALL, false},
    {0x179, CONSTANT, "MCG_CAP", 0, 0, 0, true},
    {0x17a, CONSTANT, "MCG_STATUS", 0, 0, 0, false},
    /* Fast strings; no branch trace, no event-based sampling. */
    {0x1a0, MSR_KEPT_MISC_ENABLE, "MISC_ENABLE", 0x1801, 0x400c50009ull, 0x1880, false},
    PERF_CTL(0),
    PERF_CTL(1),
    PERF_CTL(2),
    PERF_CTL(3),
    PERF_CTR(0),
    PERF_CTR(1),
    PERF_CTR(2),
    PERF_CTR(3),
    {0xc0010010u, MSR_KEPT_SYS_CFG, "SYS_CFG", 0, 0x7c0000, ALL, false},
    /* The TSC counts at the frequency of P-state 0. */
    {0xc0010015u, MSR_KEPT_HWCR, "HWCR", 1 << 24, 0x3040718, 0x40, false},
    {0xc001001fu, CONSTANT, "NB_CFG", 0, 0, ALL, false},
    {0xc0010055u, CONSTANT, "INTERRUPT_PENDING", 0, 0, ALL, false},
    {0xc0010058u, CONSTANT, "MMIO_CFG_BASE", 0, 0, ALL, false},
    {0xc0011020u, MSR_KEPT_LS_CFG, "LS_CFG", 0, ALL, 0, false},
    {0xc0011021u, MSR_KEPT_IC_CFG, "IC_CFG", 0, ALL, 0, false},
    {0xc0011022u, MSR_KEPT_DC_CFG, "DC_CFG", 0, ALL, 0, false},
    {0xc0011023u, MSR_KEPT_BU_CFG, "BU_CFG", 0, ALL, 0, false},
    {0xc0011029u, MSR_KEPT_DE_CFG, "DE_CFG", 0, ALL, 0, false},
};

enum { TABLE_SIZE = sizeof table / sizeof table[0] };

static const struct model_msr *find(uint32_t index)
{
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        if (table[i].index == index)
            return &table[i];
    }
    return NULL;
}

static const struct model_msr *find_place(unsigned place)
{
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        if (table[i].place == (int)place)
            return &table[i];
    }
    return NULL;
}

void msr_reset(uint64_t kept[MSR_KEPT_COUNT])
{
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        if (table[i].place != CONSTANT)
            kept[table[i].place] = table[i].value;
    }
}

bool msr_read(const uint64_t kept[MSR_KEPT_COUNT], uint32_t index, uint64_t *value)
{
    const struct model_msr *msr = find(index);
    if (!msr)
        return false;
    *value = msr->place == CONSTANT ? msr->value : kept[msr->place];
    return true;
}

bool msr_write(uint64_t kept[MSR_KEPT_COUNT], uint32_t index, uint64_t value)
{
    const struct model_msr *msr = find(index);
    if (!msr || msr->read_only || (value & ~(msr->writable | msr->ignored)))
        return false;
    if (msr->place != CONSTANT)
        kept[msr->place] = (kept[msr->place] & ~msr->writable) | (value & msr->writable);
    return true;
}

const char *msr_kept_name(unsigned place)
{
    const struct model_msr *msr = find_place(place);
    return msr ? msr->name : "?";
}

uint32_t msr_kept_index(unsigned place)
{
    const struct model_msr *msr = find_place(place);
    return msr ? msr->index : 0;
}
