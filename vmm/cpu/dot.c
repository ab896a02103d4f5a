/*
 * DPPS, DPPD: the host's own instruction, but for which of several NaNs comes out, which depends on
 * the order of the additions and so on the maker. Where the sums are no NaNs they are the same on
 * all.
 */
#include "vmm/cpu/simd.h"

#include <emmintrin.h>

enum { LANES = 4, MXCSR_MASKS = 0x1f80 };

/* Numbers of one format in 64 bits. */
struct format {
    uint64_t sign, infinite, quiet;
    bool wide;
};

static const struct format single = {1ull << 31, 0x7f800000, 1ull << 22, false};
static const struct format wide = {1ull << 63, 0x7ff0000000000000, 1ull << 51, true};

static bool is_nan(const struct format *f, uint64_t x)
{
    return (x & ~f->sign) > f->infinite;
}

/* Of two NaNs the first, of one that one. */
static uint64_t quieted(const struct format *f, uint64_t a, uint64_t b)
{
    return (is_nan(f, a) ? a : b) | f->quiet;
}

/* Without NaNs products and sums are the same on all processors. They count, too: they overflow,
 * as MXCSR rounds, and infinities of both signs, or one and a zero, make a NaN that comes first. */
static uint64_t product(const struct format *f, uint64_t a, uint64_t b)
{
    if (is_nan(f, a) || is_nan(f, b))
        return quieted(f, a, b);
    __m128i x = _mm_cvtsi64_si128((int64_t)a), y = _mm_cvtsi64_si128((int64_t)b);
    if (f->wide)
        __asm__ volatile("mulsd %1, %0" : "+x"(x) : "x"(y));
    else
        __asm__ volatile("mulss %1, %0" : "+x"(x) : "x"(y));
    return (uint64_t)_mm_cvtsi128_si64(x);
}

static uint64_t sum(const struct format *f, uint64_t a, uint64_t b)
{
    if (is_nan(f, a) || is_nan(f, b))
        return quieted(f, a, b);
    __m128i x = _mm_cvtsi64_si128((int64_t)a), y = _mm_cvtsi64_si128((int64_t)b);
    if (f->wide)
        __asm__ volatile("addsd %1, %0" : "+x"(x) : "x"(y));
    else
        __asm__ volatile("addss %1, %0" : "+x"(x) : "x"(y));
    return (uint64_t)_mm_cvtsi128_si64(x);
}

/* Intel adds to each lane those of the others, AMD once for all. */
static uint32_t single_sum(bool intel, const uint64_t *terms, unsigned lane)
{
    const struct format *f = &single;
    if (!intel)
        return (uint32_t)sum(f, sum(f, terms[0], terms[1]), sum(f, terms[2], terms[3]));
    unsigned across = lane ^ 2;
    return (uint32_t)sum(
        f, sum(f, terms[lane ^ 1], terms[lane]), sum(f, terms[across ^ 1], terms[across]));
}

static void settle_singles(
    bool intel, unsigned immediate, const uint32_t *left, const uint32_t *right, uint32_t *result)
{
    uint64_t terms[LANES];
    for (unsigned i = 0; i < LANES; i++)
        terms[i] = immediate >> (4 + i) & 1 ? product(&single, left[i], right[i]) : 0;
    for (unsigned i = 0; i < LANES; i++) {
        uint32_t nan = single_sum(intel, terms, i);
        if (immediate >> i & 1 && is_nan(&single, result[i]) && is_nan(&single, nan))
            result[i] = nan;
    }
}

/* Both makers add the low product and the high one, in this order. */
static void settle_doubles(
    unsigned immediate, const uint64_t *left, const uint64_t *right, uint64_t *result)
{
    uint64_t terms[2];
    for (unsigned i = 0; i < 2; i++)
        terms[i] = immediate >> (4 + i) & 1 ? product(&wide, left[i], right[i]) : 0;
    uint64_t nan = sum(&wide, terms[0], terms[1]);
    for (unsigned i = 0; i < 2; i++) {
        if (immediate >> i & 1 && is_nan(&wide, result[i]) && is_nan(&wide, nan))
            result[i] = nan;
    }
}

void dot_product(struct cpu *cpu, const struct insn *insn)
{
    uint8_t buffer[16] __attribute__((aligned(16)));
    union {
        uint32_t singles[4];
        uint64_t doubles[2];
    } left, right, result;
    uint8_t *destination = cpu->s.fpu.xmm[insn->reg];
    sse_check(cpu);
    const struct simd_entry *entry = &cpu->simd->entry[simd_index(insn)];
    const void *source = cpu->s.fpu.xmm[insn->rm];
    if (insn->flags & INSN_MEMORY)
        source = simd_load(cpu, insn, 16, true, buffer);
    memcpy(&left, destination, sizeof left);
    memcpy(&right, source, sizeof right);
    simd_run_mxcsr(cpu, simd_entry_code(entry, insn), destination, source);
    memcpy(&result, destination, sizeof result);
    const uint32_t mxcsr = host_store_mxcsr();
    host_load_mxcsr((cpu->mxcsr_live ? mxcsr : cpu->s.fpu.mxcsr) | MXCSR_MASKS);
    unsigned immediate = (uint8_t)insn->immediate;
    if (insn->opcode == 0x40)
        settle_singles(cpu_is_intel(cpu), immediate, left.singles, right.singles, result.singles);
    else
        settle_doubles(immediate, left.doubles, right.doubles, result.doubles);
    host_load_mxcsr(mxcsr);
    memcpy(destination, &result, sizeof result);
}
