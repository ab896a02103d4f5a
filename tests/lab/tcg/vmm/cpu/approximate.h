/*
 * As vendor.h here, for RCPPS and RSQRTPS: in place of AMD's approximations TCG has the quotients,
 * rounded as MXCSR says, to the nearest here. tests/lab/float.c shows it; Intel's rules stay.
 */
#ifndef LAB_TCG_APPROXIMATE_H
#define LAB_TCG_APPROXIMATE_H

#include <string.h>
#include <xmmintrin.h>

#include "../../../../../vmm/cpu/approximate.h"

static inline __m128 tcg_number(uint32_t bits)
{
    float number;
    memcpy(&number, &bits, sizeof number);
    return _mm_set_ss(number);
}

static inline uint32_t tcg_inverse(__m128 x)
{
    uint32_t bits;
    float quotient = _mm_cvtss_f32(_mm_div_ss(_mm_set_ss(1), x));
    memcpy(&bits, &quotient, sizeof bits);
    return bits;
}

static inline uint32_t tcg_reciprocal(bool intel, uint32_t x)
{
    return intel ? approximate_reciprocal(intel, x) : tcg_inverse(tcg_number(x));
}

static inline uint32_t tcg_root(bool intel, uint32_t x)
{
    return intel ? approximate_root(intel, x) : tcg_inverse(_mm_sqrt_ss(tcg_number(x)));
}

#define approximate_reciprocal tcg_reciprocal
#define approximate_root       tcg_root

#endif
