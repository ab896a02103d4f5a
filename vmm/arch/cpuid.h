/*
 * The CPU that every guest sees, on every host and both engines: hs64-v1.
 *
 * x86-64-v2 without XSAVE: x87, MMX, SSE to SSE4.2, POPCNT, CMPXCHG16B, FXSR, SYSCALL, NX, LAHF in
 * long mode, RDTSCP, PGE, PSE, PAE, PAT, 4-level paging, 48 virtual and 40 physical address bits.
 * TSC-deadline timer and x2APIC where the machine has them (struct cpuid_vcpu), with an invariant
 * TSC and an APIC timer that always runs. No AVX, RDRAND, MOVBE, AES, MTRR, MCE, SMEP, SMAP, PCID,
 * hypervisor leaves.
 */
#ifndef VMM_CPUID_H
#define VMM_CPUID_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/arch/personality.h"

#define CPUID_MODEL "hs64-v1"

struct cpuid_leaf {
    uint32_t function, index;
    uint32_t eax, ebx, ecx, edx;
};

/* All leaves of the model; *count of them. EBX: see cpuid_absent(). */
const struct cpuid_leaf *cpuid_leaves(unsigned *count);

/* What CPUID returns for any input, out-of-range leaves included (they read as zero), on a machine
 * of one vCPU. */
void cpuid_query(uint32_t function, uint32_t index, uint32_t out[4]);
/* The bits of a leaf's EBX that are 0 under these rules: with FCS and FDS, "has none" (leaf 7). */
uint32_t cpuid_absent(struct personality personality, uint32_t function);

/* One vCPU of several, and whose rules it follows. */
struct cpuid_vcpu {
    unsigned number, count;
    struct personality personality;
    bool apic_extensions; /* see struct engine */
};

/* What this vCPU is told: the APIC ID and the number of cores are put in (APM volume 3, appendix
 * E), what its rules exclude is taken out, what its local APIC has beside xAPIC mode is there. */
void cpuid_query_vcpu(
    uint32_t function, uint32_t index, const struct cpuid_vcpu *vcpu, uint32_t out[4]);

/* CR4 bits and physical address width that the model allows. */
#define CPUID_CR4_ALLOWED \
    (CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT)
enum { CPUID_PHYSICAL_BITS = 40 };
/* Leaf 1: the only bit that changes, with the APIC's enable bit in its MSR. */
#define CPUID_1_EDX_APIC (1u << 9)

#endif
