/* What CPUID answers: the model hs64-v1. */
#include "vmm/arch/cpuid.h"

#include <string.h>

/*
 * The vendor is AMD because its manual is the one followed where the two differ, and because
 * operating systems then assume neither Meltdown nor microcode services. Family 14h is chosen among
 * AMD's because Linux has no set-up of its own for it that reads model-specific registers
 * unguarded, and takes REP MOVS as fast.
 */
#define VENDOR_EBX 0x68747541u /* "Auth" */
#define VENDOR_EDX 0x69746e65u /* "enti" */
#define VENDOR_ECX 0x444d4163u /* "cAMD" */
#define SIGNATURE  0x00500f10u /* family 14h, model 1, stepping 0 */

enum {
    /* Leaf 1 EDX, and the same bits in 80000001 EDX */
    FEATURE_FPU = 1 << 0,
    FEATURE_DE = 1 << 2,
    FEATURE_PSE = 1 << 3,
    FEATURE_TSC = 1 << 4,
    FEATURE_MSR = 1 << 5,
    FEATURE_PAE = 1 << 6,
    FEATURE_CX8 = 1 << 8,
    FEATURE_APIC = 1 << 9,
    FEATURE_PGE = 1 << 13,
    FEATURE_CMOV = 1 << 15,
    FEATURE_PAT = 1 << 16,
    FEATURE_PSE36 = 1 << 17,
    FEATURE_MMX = 1 << 23,
    FEATURE_FXSR = 1 << 24,
    FEATURES_COMMON = FEATURE_FPU | FEATURE_DE | FEATURE_PSE | FEATURE_TSC | FEATURE_MSR |
                      FEATURE_PAE | FEATURE_CX8 | FEATURE_APIC | FEATURE_PGE | FEATURE_CMOV |
                      FEATURE_PAT | FEATURE_PSE36 | FEATURE_MMX | FEATURE_FXSR,
    /* Leaf 1 EDX only */
    FEATURE_SEP = 1 << 11,
    FEATURE_CLFLUSH = 1 << 19,
    FEATURE_SSE = 1 << 25,
    FEATURE_SSE2 = 1 << 26,
    /* Leaf 1 ECX */
    FEATURE_SSE3 = 1 << 0,
    FEATURE_SSSE3 = 1 << 9,
    FEATURE_CX16 = 1 << 13,
    FEATURE_SSE41 = 1 << 19,
    FEATURE_SSE42 = 1 << 20,
    FEATURE_POPCNT = 1 << 23,
    /* Leaf 7 EBX */
    FEATURE_NO_FCS_FDS = 1 << 13,
    /* 80000001 EDX only */
    FEATURE_SYSCALL = 1 << 11,
    FEATURE_NX = 1 << 20,
    FEATURE_PAGE1GB = 1 << 26,
    FEATURE_RDTSCP = 1 << 27,
    FEATURE_LM = 1 << 29,
    /* 80000001 ECX */
    FEATURE_LAHF = 1 << 0,
};

enum { MAX_BASIC = 7, LEAF_TOPOLOGY = 0xb };
#define MAX_EXTENDED 0x80000008u

/* "hindsight hs64-v1 virtual CPU", zero-padded to 48 bytes */
static const struct cpuid_leaf leaves[] = {
    {0, 0, MAX_BASIC, VENDOR_EBX, VENDOR_ECX, VENDOR_EDX},
    /* EBX: CLFLUSH of 8 quadwords, one logical processor, APIC id 0 */
    {1, 0, SIGNATURE, 0x00010800,
        FEATURE_SSE3 | FEATURE_SSSE3 | FEATURE_CX16 | FEATURE_SSE41 | FEATURE_SSE42 |
            FEATURE_POPCNT,
        FEATURES_COMMON | FEATURE_SEP | FEATURE_CLFLUSH | FEATURE_SSE | FEATURE_SSE2},
    {6, 0, 0, 0, 0, 0},
    {7, 0, 0, FEATURE_NO_FCS_FDS, 0, 0},
    {LEAF_TOPOLOGY, 0, 0, 0, 0, 0},
    {LEAF_TOPOLOGY, 1, 0, 0, 0, 0},
    {0x80000000, 0, MAX_EXTENDED, VENDOR_EBX, VENDOR_ECX, VENDOR_EDX},
    {0x80000001, 0, SIGNATURE, 0, FEATURE_LAHF,
        FEATURES_COMMON | FEATURE_SYSCALL | FEATURE_NX | FEATURE_PAGE1GB | FEATURE_RDTSCP |
            FEATURE_LM},
    {0x80000002, 0, 0x646e6968, 0x68676973, 0x73682074, 0x762d3436},
    {0x80000003, 0, 0x69762031, 0x61757472, 0x5043206c, 0x00000055},
    {0x80000004, 0, 0, 0, 0, 0},
    /* L1: 64 fully associative TLB entries of each kind; 32 KiB, 8 ways, 64-byte lines */
    {0x80000005, 0, 0xff40ff40, 0xff40ff40, 0x20080140, 0x20080140},
    /* L2: 512 KiB, 8 ways (encoded 6), 64-byte lines; no L2 TLB, no L3 */
    {0x80000006, 0, 0, 0, 0x02006140, 0},
    {0x80000007, 0, 0, 0, 0, 0},
    {0x80000008, 0, CPUID_PHYSICAL_BITS | 48 << 8, 0, 0, 0},
};

const struct cpuid_leaf *cpuid_leaves(unsigned *count)
{
    *count = sizeof leaves / sizeof leaves[0];
    return leaves;
}

void cpuid_query(uint32_t function, uint32_t index, uint32_t out[4])
{
    memset(out, 0, 4 * sizeof *out);
    for (size_t i = 0; i < sizeof leaves / sizeof leaves[0]; i++) {
        const struct cpuid_leaf *leaf = &leaves[i];
        if (leaf->function != function || (function == 7 && leaf->index != index))
            continue;
        out[0] = leaf->eax;
        out[1] = leaf->ebx;
        out[2] = leaf->ecx;
        out[3] = leaf->edx;
        return;
    }
}

uint32_t cpuid_absent(struct personality personality, uint32_t function)
{
    return function == 7 && personality_has(personality, MAKER_AMD, 2) ? FEATURE_NO_FCS_FDS : 0;
}

/* Extended topology: threads of a core, of which there is one, and of the package. */
static void put_topology(uint32_t index, const struct cpuid_vcpu *vcpu, uint32_t out[4])
{
    enum { THREADS = 1, CORES = 2, TYPE_SHIFT = 8 };
    const unsigned count = vcpu->count ? vcpu->count : 1;
    out[2] = index & 0xff;
    out[3] = vcpu->number;
    if (index == 0) {
        out[1] = 1;
        out[2] |= THREADS << TYPE_SHIFT;
    } else if (index == 1) {
        out[0] = count > 1 ? 32 - (unsigned)__builtin_clz(count - 1) : 0;
        out[1] = count;
        out[2] |= CORES << TYPE_SHIFT;
    }
}

static void put_extensions(
    uint32_t function, uint32_t index, const struct cpuid_vcpu *vcpu, uint32_t out[4])
{
    enum { ECX_X2APIC = 1 << 21, ECX_TSC_DEADLINE = 1 << 24 };
    enum { EAX_ARAT = 1 << 2, EDX_INVARIANT_TSC = 1 << 8 };
    if (function == 0)
        out[0] = LEAF_TOPOLOGY;
    else if (function == 1)
        out[2] |= ECX_X2APIC | ECX_TSC_DEADLINE;
    else if (function == 6)
        out[0] |= EAX_ARAT;
    else if (function == LEAF_TOPOLOGY)
        put_topology(index, vcpu, out);
    else if (function == 0x80000007)
        out[3] |= EDX_INVARIANT_TSC;
}

void cpuid_query_vcpu(
    uint32_t function, uint32_t index, const struct cpuid_vcpu *vcpu, uint32_t out[4])
{
    enum { EDX_HTT = 1 << 28, ECX_CMP_LEGACY = 1 << 1, ID_BITS_SHIFT = 12 };
    const unsigned count = vcpu->count;
    cpuid_query(function, index, out);
    out[1] &= ~cpuid_absent(vcpu->personality, function);
    if (vcpu->apic_extensions)
        put_extensions(function, index, vcpu, out);
    if (count <= 1)
        return;
    if (function == 1) {
        out[1] = (out[1] & 0xffff) | count << 16 | vcpu->number << 24;
        out[3] |= EDX_HTT;
    } else if (function == 0x80000001) {
        out[2] |= ECX_CMP_LEGACY;
    } else if (function == 0x80000008) {
        unsigned bits = 32 - (unsigned)__builtin_clz(count - 1);
        out[2] = (count - 1) | bits << ID_BITS_SHIFT;
    }
}
