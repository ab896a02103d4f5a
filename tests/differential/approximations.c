/* Compares the reciprocal approximations with the host's. */
#include "tests/differential/approximations.h"

#include <inttypes.h>
#include <stdio.h>
#include <xmmintrin.h>

#include "vmm/cpu/approximate.h"

enum { LANES = 4, SHOWN = 10 };

struct lanes {
    uint32_t value[LANES] __attribute__((aligned(16)));
};

#define HOST(name, text)                                                            \
    static struct lanes name(struct lanes in)                                       \
    {                                                                               \
        struct lanes out = in;                                                      \
        __asm__("movaps %1, %%xmm0\n\t" text " %%xmm0, %%xmm0\n\tmovaps %%xmm0, %0" \
                : "=m"(out)                                                         \
                : "m"(in)                                                           \
                : "xmm0");                                                          \
        return out;                                                                 \
    }

HOST(host_reciprocal, "rcpps")
HOST(host_root, "rsqrtps")
HOST(host_reciprocal_scalar, "rcpss")
HOST(host_root_scalar, "rsqrtss")

static uint64_t compare_one(
    const char *name, uint32_t x, uint32_t host, uint32_t soft, uint64_t differences)
{
    if (host == soft)
        return 0;
    if (differences < SHOWN)
        printf(
            "%s of %08" PRIx32 ": host %08" PRIx32 "  soft %08" PRIx32 "\n", name, x, host, soft);
    return 1;
}

/* MXCSR's rounding, flush and masks must not matter. */
static const unsigned controls[] = {0x1f80, 0x9fc0 | 0x6000, 0x0000, 0x8040 | 0x2000};
enum { CONTROLS = sizeof controls / sizeof *controls };

static uint64_t compare_lanes(struct lanes in, unsigned control, bool intel, uint64_t differences)
{
    uint64_t found = 0;
    _mm_setcsr(control);
    struct lanes reciprocal = host_reciprocal(in), root = host_root(in);
    struct lanes reciprocal_scalar = host_reciprocal_scalar(in), root_scalar = host_root_scalar(in);
    bool changed = _mm_getcsr() != control;
    _mm_setcsr(0x1f80);
    for (unsigned i = 0; i < LANES; i++) {
        uint32_t x = in.value[i];
        uint32_t soft_reciprocal = approximate_reciprocal(intel, x);
        uint32_t soft_root = approximate_root(intel, x);
        found += compare_one("rcpps", x, reciprocal.value[i], soft_reciprocal, differences);
        found += compare_one("rsqrtps", x, root.value[i], soft_root, differences);
        found += compare_one(
            "rcpss", x, reciprocal_scalar.value[i], i ? x : soft_reciprocal, differences);
        found += compare_one("rsqrtss", x, root_scalar.value[i], i ? x : soft_root, differences);
    }
    return found + changed;
}

int run_approximations(uint64_t count, bool intel)
{
    /* Odd, so that 2^32 steps meet every input. */
    const uint32_t stride = count >= 1ull << 32 ? 1 : 2654435761u;
    uint64_t differences = 0;
    uint32_t x = 0;
    for (uint64_t i = 0; i < count; i += LANES) {
        struct lanes in;
        for (unsigned lane = 0; lane < LANES; lane++, x += stride)
            in.value[lane] = x;
        differences += compare_lanes(in, controls[i / LANES % CONTROLS], intel, differences);
    }
    printf("cpu_differential: RCPPS and RSQRTPS of %" PRIu64 " inputs, %" PRIu64 " differences\n",
        count, differences);
    return differences != 0;
}
