/*
 * Verified against the instructions for all 2^32 inputs: AMD's on family 25 model 17
 * (cpu_differential --approximations), Intel's on family 6 model 207.
 */
#include "vmm/cpu/approximate.h"

#define SIGN       0x80000000u
#define INFINITY_  0x7f800000u
#define QUIET      0x00400000u
#define HALF       0x3f000000u
#define INDEFINITE 0xffc00000u
enum { FRACTION_BITS = 23, BIAS = 127, EXPONENT_MAX = 255 };

/* Entry `fraction` >> 11 of AMD's tables: a sum of two, as the hardware has it. */
static uint32_t amd_entry(unsigned table, uint32_t fraction)
{
    unsigned coarse = fraction >> 15, fine = (fraction >> 15 & 0xf0) | (fraction >> 11 & 15);
    uint32_t entry = (uint32_t)approximate_coarse[table][coarse] - approximate_fine[table][fine];
    return HALF + (entry << 11);
}

/* 11 bits of the fraction: 2^25 / (4097 + 2i), rounded. */
static uint32_t intel_reciprocal(uint32_t fraction)
{
    uint32_t divisor = 4097 + 2 * (fraction >> 12);
    uint32_t rounded = ((1u << 26) / divisor + 1) / 2;
    return HALF | (rounded - 4096) << 11;
}

/*
 * 10 bits of the fraction: 8192 / sqrt(m), rounded, with m the middle of the interval. That is the
 * largest r with (2r - 1)^2 <= 2^39 / (2048 m).
 */
static uint32_t intel_root(bool of_twice, uint32_t fraction)
{
    uint64_t middle = (2049 + 2 * (fraction >> 13)) << of_twice, r = 4096;
    for (unsigned step = 2048; step; step /= 2) {
        uint64_t above = 2 * (r + step) - 1;
        if (above * above * middle <= 1ull << 39)
            r += step;
    }
    return HALF | (uint32_t)(r - 4096) << 11;
}

uint32_t approximate_reciprocal(bool intel, uint32_t x)
{
    uint32_t sign = x & SIGN, exponent = x >> FRACTION_BITS & EXPONENT_MAX;
    uint32_t fraction = x & ((1u << FRACTION_BITS) - 1);
    if (exponent == EXPONENT_MAX && fraction)
        return x | QUIET;
    if (exponent == 0)
        return sign | INFINITY_;
    if (exponent >= 2 * BIAS - 1)
        return sign;
    uint32_t one = intel ? intel_reciprocal(fraction) : amd_entry(APPROXIMATE_RECIPROCAL, fraction);
    return sign | (one - ((exponent - BIAS) << FRACTION_BITS));
}

uint32_t approximate_root(bool intel, uint32_t x)
{
    uint32_t exponent = x >> FRACTION_BITS & EXPONENT_MAX;
    uint32_t fraction = x & ((1u << FRACTION_BITS) - 1);
    if (exponent == EXPONENT_MAX && fraction)
        return x | QUIET;
    if (exponent == 0)
        return (x & SIGN) | INFINITY_;
    if (x & SIGN)
        return INDEFINITE;
    if (exponent == EXPONENT_MAX)
        return 0;
    bool of_twice = !(exponent & 1);
    uint32_t one =
        intel ? intel_root(of_twice, fraction) : amd_entry(APPROXIMATE_ROOT + of_twice, fraction);
    uint32_t half = (exponent - BIAS - of_twice) / 2; /* an even number, perhaps negative */
    if (exponent < (unsigned)BIAS + of_twice)
        half = 0u - (BIAS + of_twice - exponent) / 2;
    return one - (half << FRACTION_BITS);
}
