/* XOR of sectors. */
#include "devices/raid/parity.h"

#include <string.h>

/* Vectors of GCC and clang: compiled to whatever the target has, with no alignment asked for. */
typedef uint64_t lane __attribute__((vector_size(32), aligned(1), may_alias));
enum { BLOCK = 64 };

void parity_xor(uint8_t *target, const uint8_t *source, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += BLOCK) {
        lane *t = (lane *)(target + i);
        const lane *s = (const lane *)(source + i);
        t[0] ^= s[0];
        t[1] ^= s[1];
    }
}

static void xor2(uint8_t *target, const uint8_t *a, const uint8_t *b, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += BLOCK) {
        const lane *x = (const lane *)(a + i);
        const lane *y = (const lane *)(b + i);
        lane *t = (lane *)(target + i);
        t[0] = x[0] ^ y[0];
        t[1] = x[1] ^ y[1];
    }
}

static void xor3(
    uint8_t *target, const uint8_t *a, const uint8_t *b, const uint8_t *c, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += BLOCK) {
        const lane *x = (const lane *)(a + i);
        const lane *y = (const lane *)(b + i);
        const lane *z = (const lane *)(c + i);
        lane *t = (lane *)(target + i);
        t[0] = x[0] ^ y[0] ^ z[0];
        t[1] = x[1] ^ y[1] ^ z[1];
    }
}

static void accumulate2(uint8_t *target, const uint8_t *a, const uint8_t *b, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += BLOCK) {
        const lane *x = (const lane *)(a + i);
        const lane *y = (const lane *)(b + i);
        lane *t = (lane *)(target + i);
        t[0] ^= x[0] ^ y[0];
        t[1] ^= x[1] ^ y[1];
    }
}

void parity_compute(uint8_t *target, const uint8_t *const *sources, unsigned count, size_t bytes)
{
    /* In pieces that stay in the first-level cache, so that the target is not fetched again. */
    enum { PIECE = 8192 };
    for (size_t at = 0; at < bytes; at += PIECE) {
        size_t size = bytes - at < PIECE ? bytes - at : PIECE;
        uint8_t *out = target + at;
        unsigned done;
        if (count == 1) {
            memcpy(out, sources[0] + at, size);
            continue;
        }
        if (count == 2) {
            xor2(out, sources[0] + at, sources[1] + at, size);
            continue;
        }
        xor3(out, sources[0] + at, sources[1] + at, sources[2] + at, size);
        for (done = 3; done + 1 < count; done += 2)
            accumulate2(out, sources[done] + at, sources[done + 1] + at, size);
        if (done < count)
            parity_xor(out, sources[done] + at, size);
    }
}
