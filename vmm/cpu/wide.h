/*
 * Numbers of 192 bits, for the x87's transcendental functions: computed with integers alone, they
 * are the same on every host.
 *
 * struct wide is an unsigned integer of three words, the least significant first; what it counts
 * (2^-192, 2^-190) is said where it is used. struct real is a floating-point number on top of it.
 */
#ifndef VMM_CPU_WIDE_H
#define VMM_CPU_WIDE_H

#include <stdbool.h>
#include <stdint.h>

typedef unsigned __int128 uint128;

enum { WIDE_WORDS = 3, WIDE_BITS = 192 };

struct wide {
    uint64_t word[WIDE_WORDS];
};

/* (-1)^negative * magnitude / 2^192 * 2^exponent. The top bit of the magnitude is set, but for the
 * number 0, whose magnitude is 0. */
struct real {
    struct wide magnitude;
    int32_t exponent;
    bool negative;
};

static inline bool wide_is_zero(struct wide a)
{
    return !(a.word[0] | a.word[1] | a.word[2]);
}

/* -1, 0 or 1 as a is less than, equal to or greater than b. */
static inline int wide_compare(struct wide a, struct wide b)
{
    for (int i = WIDE_WORDS - 1; i >= 0; i--) {
        if (a.word[i] != b.word[i])
            return a.word[i] < b.word[i] ? -1 : 1;
    }
    return 0;
}

/* Modulo 2^192. */
static inline struct wide wide_add(struct wide a, struct wide b)
{
    uint128 sum = (uint128)a.word[0] + b.word[0];
    struct wide r = {{(uint64_t)sum}};
    sum = (sum >> 64) + a.word[1] + b.word[1];
    r.word[1] = (uint64_t)sum;
    r.word[2] = (uint64_t)(sum >> 64) + a.word[2] + b.word[2];
    return r;
}

static inline struct wide wide_subtract(struct wide a, struct wide b)
{
    uint128 difference = (uint128)a.word[0] - b.word[0];
    struct wide r = {{(uint64_t)difference}};
    difference = (uint128)a.word[1] - b.word[1] - (difference >> 127);
    r.word[1] = (uint64_t)difference;
    r.word[2] = a.word[2] - b.word[2] - (uint64_t)(difference >> 127);
    return r;
}

struct wide wide_shift_left(struct wide a, unsigned count);  /* count up to 191 */
struct wide wide_shift_right(struct wide a, unsigned count); /* any count; drops bits */

/* The product / 2^192, rounded down. */
static inline struct wide wide_multiply(struct wide a, struct wide b)
{
    uint64_t product[2 * WIDE_WORDS] = {0};
    for (unsigned i = 0; i < WIDE_WORDS; i++) {
        uint64_t carry = 0;
        for (unsigned j = 0; j < WIDE_WORDS; j++) {
            uint128 sum = (uint128)a.word[i] * b.word[j] + product[i + j] + carry;
            product[i + j] = (uint64_t)sum;
            carry = (uint64_t)(sum >> 64);
        }
        product[i + WIDE_WORDS] = carry;
    }
    return (struct wide){{product[3], product[4], product[5]}};
}

/* Every operation is exact or rounds towards 0 in the last two bits of the magnitude. */
struct real real_from_integer(bool negative, uint128 value, int exponent); /* value * 2^exponent */
struct real real_from_wide(bool negative, struct wide value, int exponent);
struct real real_add(struct real a, struct real b);
struct real real_multiply(struct real a, struct real b);
struct real real_divide(struct real a, struct real b); /* b is not 0 */

/* value * 2^192 of a number from 0 on and less than 1. */
static inline struct wide real_fraction(struct real a)
{
    return wide_shift_right(a.magnitude, (unsigned)-a.exponent);
}

#endif
