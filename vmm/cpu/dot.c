/*
 * DPPS: the host's own instruction, but for which of several NaNs comes out, which depends on the
 * order of the additions and so on the maker. Where the sums are no NaNs they are the same on all.
 */
#include "vmm/cpu/simd.h"

enum { LANES = 4 };
#define INFINITE   0x7f800000u
#define QUIET      0x00400000u
#define SIGN       0x80000000u
#define INDEFINITE 0xffc00000u

/* As far as NaNs depend on it: other numbers than infinities are 0. */
static bool is_nan(uint32_t x)
{
    return (x & ~SIGN) > INFINITE;
}

static bool is_infinite(uint32_t x)
{
    return (x & ~SIGN) == INFINITE;
}

static bool is_zero(uint32_t x)
{
    return !(x & ~SIGN);
}

static uint32_t product(uint32_t a, uint32_t b, bool zero_denormals)
{
    if (is_nan(a) || is_nan(b))
        return (is_nan(a) ? a : b) | QUIET;
    if (!is_infinite(a) && !is_infinite(b))
        return 0;
    uint32_t other = is_infinite(a) ? b : a;
    bool denormal = !(other & INFINITE);
    return is_zero(other) || (denormal && zero_denormals) ? INDEFINITE
                                                          : INFINITE | ((a ^ b) & SIGN);
}

static uint32_t sum(uint32_t a, uint32_t b)
{
    if (is_nan(a) || is_nan(b))
        return (is_nan(a) ? a : b) | QUIET;
    if (is_infinite(a) && is_infinite(b) && a != b)
        return INDEFINITE;
    return is_infinite(a) ? a : b;
}

/* Intel adds to each lane those of the others, AMD once for all. */
static uint32_t lane_sum(bool intel, const uint32_t *terms, unsigned lane)
{
    if (!intel)
        return sum(sum(terms[0], terms[1]), sum(terms[2], terms[3]));
    unsigned across = lane ^ 2;
    return sum(sum(terms[lane ^ 1], terms[lane]), sum(terms[across ^ 1], terms[across]));
}

void dot_product(struct cpu *cpu, const struct insn *insn)
{
    uint8_t buffer[16] __attribute__((aligned(16)));
    uint32_t left[LANES], right[LANES], terms[LANES], result[LANES];
    uint8_t *destination = cpu->s.fpu.xmm[insn->reg];
    sse_check(cpu);
    const struct simd_entry *entry = &cpu->simd->entry[simd_index(insn)];
    const void *source = cpu->s.fpu.xmm[insn->rm];
    if (insn->flags & INSN_MEMORY)
        source = simd_load(cpu, insn, 16, true, buffer);
    memcpy(left, destination, sizeof left);
    memcpy(right, source, sizeof right);
    simd_run_mxcsr(cpu, simd_entry_code(entry, insn), destination, source);
    memcpy(result, destination, sizeof result);
    bool zero_denormals = (cpu->mxcsr_live ? host_store_mxcsr() : cpu->s.fpu.mxcsr) & 1u << 6;
    for (unsigned i = 0; i < LANES; i++)
        terms[i] = insn->immediate >> (4 + i) & 1 ? product(left[i], right[i], zero_denormals) : 0;
    for (unsigned i = 0; i < LANES; i++) {
        uint32_t nan = lane_sum(cpu_is_intel(cpu), terms, i);
        if (insn->immediate >> i & 1 && is_nan(result[i]) && is_nan(nan))
            result[i] = nan;
    }
    memcpy(destination, result, sizeof result);
}
