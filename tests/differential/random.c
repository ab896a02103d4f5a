/* Random numbers that favour the values where arithmetic goes wrong. */
#include <string.h>

#include "tests/differential/case.h"

uint64_t random_next(struct random *random)
{
    uint64_t z = (random->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t random_address(struct random *random, bool calm)
{
    uint32_t pick = random_below(random, calm ? 94 : 100);
    uint64_t any = random_next(random);
    uint64_t inside = DATA_BASE + any % (DATA_SIZE - 576);
    if (pick < 50)
        return inside & ~15ull;
    if (pick < 58)
        return inside & ~7ull;
    if (pick < 80)
        return inside;
    if (pick < 86) /* around a page boundary */
        return DATA_BASE + PAGE * (1 + any % (DATA_PAGES - 1)) - 16 + (any >> 32) % 17;
    if (pick < 90)
        return LOW_BASE + 64 + any % (PAGE - 640);
    if (pick < 94) /* the read-only page, also entered from below */
        return DATA_BASE + DATA_SIZE - 16 * (calm ? 0 : any & 1) + (any >> 32) % 256;
    if (pick < 96) /* into what is not mapped, on both sides of the data */
        return any & 1 ? DATA_BASE + DATA_SIZE + PAGE - 8 + (any >> 32) % 16 : DATA_BASE - any % 16;
    if (pick < 97)
        return CODE_BASE + any % CODE_SIZE;
    if (pick < 98)
        return any % 0x30000000;
    if (pick < 99) /* around the end of the canonical range */
        return 0x7ffffffffff0ull + any % 32;
    return any;
}

uint64_t random_integer(struct random *random)
{
    static const uint64_t special[] = {0, 0, 1, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff,
        0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, UINT64_MAX,
        UINT64_MAX, UINT64_MAX - 1, 0xffffffff80000000, 0xffffffffffff8000, 0xffffffffffffff80,
        0x5555555555555555, 0xaaaaaaaaaaaaaaaa};
    uint64_t any = random_next(random);
    switch (random_below(random, 12)) {
    case 0:
    case 1:
        return special[any % (sizeof special / sizeof *special)];
    case 2:
        return any & 0xff;
    case 3:
        return any & 0xffff;
    case 4:
        return any & 0xffffffff;
    case 5:
        return -(any & 0xff);
    case 6:
        return 1ull << (any & 63);
    case 7:
        return random_address(random, true);
    case 8:
        return any & 7 ? any >> (any >> 58) : CODE_BASE + (any >> 32) % CODE_SIZE;
    default:
        return any;
    }
}

void random_extended(struct random *random, uint8_t bytes[10])
{
    static const uint64_t fractions[] = {0, 1, 0x8000000000000000, 0x8000000000000001,
        0xc000000000000000, 0xffffffffffffffff, 0x4000000000000000, 0x7fffffffffffffff,
        0xfffff80000000000, 0xfffffffffffff800, 0xffffff0000000000, 0xa000000000000000};
    uint64_t any = random_next(random);
    uint64_t fraction = any & 1 ? fractions[(any >> 8) % (sizeof fractions / sizeof *fractions)]
                                : random_next(random) | (any & 0x70 ? 0x8000000000000000 : 0);
    uint16_t exponent;
    switch (any >> 1 & 7) {
    case 0:
        exponent = (uint16_t)(any >> 16 & 1 ? 0 : 0x7fff);
        break;
    case 1: /* where single and double begin and end */
        exponent =
            (uint16_t)((any >> 16 & 1 ? 0x3fff - 1023 : 0x3fff + 1023) - 3 + (any >> 20 & 7));
        break;
    case 2:
        exponent = (uint16_t)((any >> 16 & 1 ? 0x3fff - 127 : 0x3fff + 127) - 3 + (any >> 20 & 7));
        break;
    case 3:
    case 4: /* about the size of integers */
        exponent = (uint16_t)(0x3fff - 4 + (any >> 16) % 72);
        break;
    case 5:
        exponent = (uint16_t)(0x3fff - 2 + (any >> 16) % 5);
        break;
    case 6:
        exponent = (uint16_t)(any >> 16 & 1 ? any >> 20 & 3 : 0x7ffe - (any >> 20 & 1));
        break;
    default:
        exponent = (uint16_t)(any >> 16 & 0x7fff);
    }
    if (any >> 40 & 1)
        exponent |= 0x8000;
    memcpy(bytes, &fraction, 8);
    memcpy(bytes + 8, &exponent, 2);
}

uint64_t random_double(struct random *random)
{
    static const uint64_t special[] = {0, 0x8000000000000000, 0x3ff0000000000000,
        0xbff0000000000000, 0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000,
        0xfff8000000000001, 0x7ff0000000000001, 0xfff7ffffffffffff, 1, 0x000fffffffffffff,
        0x0010000000000000, 0x7fefffffffffffff, 0xffefffffffffffff, 0x41dfffffffc00000,
        0x41e0000000000000, 0xc1e0000000000000, 0x43e0000000000000, 0xc3e0000000000000,
        0x3fe0000000000000, 0x4000000000000000, 0x380fffffffffffff, 0x47efffffffffffff};
    uint64_t any = random_next(random);
    switch (random_below(random, 6)) {
    case 0:
    case 1:
        return special[any % (sizeof special / sizeof *special)];
    case 2: { /* a small integer or a quarter */
        double value = (double)(int32_t)any / (double)(1 << (any >> 32 & 15));
        memcpy(&any, &value, 8);
        return any;
    }
    case 3: /* of moderate size, so that sums and products are ordinary */
        return (any & 0x800fffffffffffff) | (1023 - 16 + (any >> 54) % 80) << 52;
    default:
        return any;
    }
}

uint32_t random_single(struct random *random)
{
    static const uint32_t special[] = {0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000,
        0xff800000, 0x7fc00000, 0xffc00001, 0x7f800001, 0xffbfffff, 1, 0x007fffff, 0x00800000,
        0x7f7fffff, 0xff7fffff, 0x4effffff, 0x4f000000, 0xcf000000, 0x5f000000, 0xdf000000,
        0x3f000000, 0x40000000};
    uint64_t any = random_next(random);
    switch (random_below(random, 6)) {
    case 0:
    case 1:
        return special[any % (sizeof special / sizeof *special)];
    case 2: {
        float value = (float)(int16_t)any / (float)(1 << (any >> 32 & 15));
        uint32_t bits;
        memcpy(&bits, &value, 4);
        return bits;
    }
    case 3:
        return ((uint32_t)any & 0x807fffff) | (uint32_t)(127 - 16 + (any >> 54) % 48) << 23;
    default:
        return (uint32_t)any;
    }
}

static void random_slot(struct random *random, uint8_t *slot)
{
    uint64_t words[2] = {random_next(random), random_next(random)};
    switch (random_below(random, 10)) {
    case 0:
    case 1:
        words[0] = random_double(random);
        words[1] = random_double(random);
        break;
    case 2:
    case 3:
        words[0] = random_single(random) | (uint64_t)random_single(random) << 32;
        words[1] = random_single(random) | (uint64_t)random_single(random) << 32;
        break;
    case 4:
    case 5:
        words[0] = random_integer(random);
        words[1] = random_integer(random);
        break;
    case 6:
        memset(words, 0, sizeof words);
        random_extended(random, (uint8_t *)words);
        break;
    case 7: /* bytes that repeat, for comparisons and string instructions */
        words[0] &= 0x0301000203010002;
        words[1] &= 0x0301000203010002;
        break;
    default:
        break;
    }
    memcpy(slot, words, 16);
}

static uint16_t random_control(struct random *random)
{
    uint16_t any = (uint16_t)random_next(random);
    return any & 1 ? 0x37f : (uint16_t)((random_next(random) & 0xf3f) | 0x40);
}

static uint32_t random_mxcsr(struct random *random)
{
    uint64_t any = random_next(random);
    uint32_t mxcsr = (uint32_t)(any & 0xffff);
    if (any >> 16 & 3)
        mxcsr |= 0x1f80;
    if (any >> 18 & 1)
        mxcsr &= ~0x8040u;
    return mxcsr;
}

void random_fpu(struct random *random, struct fpu_state *fpu, bool calm)
{
    memset(fpu, 0, sizeof *fpu);
    uint64_t any = random_next(random);
    fpu->control = random_control(random);
    fpu->status = (uint16_t)(any & 0x7f00); /* TOP and condition codes */
    if (any >> 16 & 1)
        fpu->status |= any >> 20 & 0x7f;
    fpu->mxcsr = random_mxcsr(random);
    if (calm) {
        fpu->control |= 0x3f;
        fpu->mxcsr |= 0x1f80;
    }
    if (!(any >> 17 & 3) || calm) /* nothing pending */
        fpu->status &= (uint16_t) ~(~fpu->control & 0x3f);
    if (any >> 19 & 1) /* pending errors make all but a few instructions fault: mostly not */
        fpu->status &= (uint16_t) ~(~fpu->control & 0x3f);
    if (fpu->status & ~fpu->control & 0x3f)
        fpu->status |= 0x8080;
    fpu->tag = (uint8_t)(any >> 28 & 7 ? any >> 32 | any >> 40 : 0);
    if (any >> 48 & 1)
        fpu->tag = (uint8_t)(any >> 49 & 1 ? 0xff : 0xfe);
    for (int i = 0; i < 8; i++)
        random_extended(random, fpu->st[i]);
    for (int i = 0; i < 16; i++)
        random_slot(random, fpu->xmm[i]);
}

void random_memory(struct random *random, uint8_t *memory)
{
    for (int i = 0; i < MEMORY_SIZE; i += 16)
        random_slot(random, memory + i);
    for (int i = 0; i < IMAGES; i++) {
        struct fpu_state image;
        random_fpu(random, &image, i & 1);
        memcpy(memory + IMAGES_OFFSET + i * (int)sizeof image, &image, sizeof image);
    }
    for (uint32_t i = 0; i < COUNTERS; i++) {
        uint32_t count = 1 + random_below(random, i < 12 ? 4 : 100);
        memcpy(memory + LOW_OFFSET + COUNTERS_OFFSET + 4 * i, &count, 4);
    }
}
