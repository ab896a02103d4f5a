/* Arithmetic with numbers of 192 bits. */
#include "vmm/cpu/wide.h"

struct wide wide_shift_left(struct wide a, unsigned count)
{
    for (; count >= 64; count -= 64)
        a = (struct wide){{0, a.word[0], a.word[1]}};
    if (count == 0)
        return a;
    return (struct wide){{a.word[0] << count, a.word[1] << count | a.word[0] >> (64 - count),
        a.word[2] << count | a.word[1] >> (64 - count)}};
}

struct wide wide_shift_right(struct wide a, unsigned count)
{
    if (count >= WIDE_BITS)
        return (struct wide){0};
    for (; count >= 64; count -= 64)
        a = (struct wide){{a.word[1], a.word[2], 0}};
    if (count == 0)
        return a;
    return (struct wide){{a.word[0] >> count | a.word[1] << (64 - count),
        a.word[1] >> count | a.word[2] << (64 - count), a.word[2] >> count}};
}

struct real real_from_wide(bool negative, struct wide value, int exponent)
{
    if (wide_is_zero(value))
        return (struct real){0};
    unsigned word = WIDE_WORDS - 1;
    while (value.word[word] == 0)
        word--;
    unsigned shift = (WIDE_WORDS - 1 - word) * 64 + (unsigned)__builtin_clzll(value.word[word]);
    return (struct real){.magnitude = wide_shift_left(value, shift),
        .exponent = exponent + WIDE_BITS - (int)shift,
        .negative = negative};
}

struct real real_from_integer(bool negative, uint128 value, int exponent)
{
    return real_from_wide(
        negative, (struct wide){{(uint64_t)value, (uint64_t)(value >> 64), 0}}, exponent);
}

struct real real_add(struct real a, struct real b)
{
    if (wide_is_zero(a.magnitude))
        return b;
    if (wide_is_zero(b.magnitude))
        return a;
    if (a.exponent < b.exponent) {
        struct real swapped = a;
        a = b;
        b = swapped;
    }
    /* One bit of room for the carry. */
    struct wide x = wide_shift_right(a.magnitude, 1);
    struct wide y = wide_shift_right(b.magnitude, 1 + (unsigned)(a.exponent - b.exponent));
    int exponent = a.exponent + 1 - WIDE_BITS;
    if (a.negative == b.negative)
        return real_from_wide(a.negative, wide_add(x, y), exponent);
    if (wide_compare(x, y) < 0)
        return real_from_wide(b.negative, wide_subtract(y, x), exponent);
    return real_from_wide(a.negative, wide_subtract(x, y), exponent);
}

struct real real_multiply(struct real a, struct real b)
{
    return real_from_wide(a.negative != b.negative, wide_multiply(a.magnitude, b.magnitude),
        a.exponent + b.exponent - WIDE_BITS);
}

/* Takes digit * divisor from the four words of `rest`; false, and rest is then 2^256 too large, if
 * that was more than it held. */
static bool take_multiple(uint64_t rest[4], uint64_t digit, const struct wide *divisor)
{
    uint64_t carry = 0, borrow = 0;
    for (unsigned i = 0; i < 4; i++) {
        uint128 product = (i < WIDE_WORDS ? (uint128)digit * divisor->word[i] : 0) + carry;
        carry = (uint64_t)(product >> 64);
        uint128 difference = (uint128)rest[i] - (uint64_t)product - borrow;
        rest[i] = (uint64_t)difference;
        borrow = (uint64_t)(difference >> 127);
    }
    return !borrow;
}

static void give_back(uint64_t rest[4], const struct wide *divisor)
{
    uint128 sum = 0;
    for (unsigned i = 0; i < 4; i++) {
        sum += (uint128)rest[i] + (i < WIDE_WORDS ? divisor->word[i] : 0);
        rest[i] = (uint64_t)sum;
        sum >>= 64;
    }
}

/* The next digit of the quotient, and what is left (Knuth, volume 2, 4.3.1, algorithm D). The top
 * three words of `rest` are less than the divisor, whose top bit is set. */
static uint64_t quotient_digit(uint64_t rest[4], const struct wide *divisor)
{
    uint64_t top = divisor->word[2];
    uint64_t digit =
        rest[3] >= top ? UINT64_MAX : (uint64_t)(((uint128)rest[3] << 64 | rest[2]) / top);
    if (take_multiple(rest, digit, divisor))
        return digit;
    /* The estimate is at most two too large. */
    do {
        digit--;
        give_back(rest, divisor);
    } while (rest[3] != 0);
    return digit;
}

struct real real_divide(struct real a, struct real b)
{
    bool negative = a.negative != b.negative;
    int exponent = a.exponent - b.exponent - WIDE_BITS;
    struct wide numerator = a.magnitude;
    if (wide_is_zero(numerator))
        return (struct real){0};
    uint64_t low = 0;
    if (wide_compare(numerator, b.magnitude) >= 0) {
        low = numerator.word[0] << 63;
        numerator = wide_shift_right(numerator, 1);
        exponent++;
    }
    uint64_t rest[4] = {low, numerator.word[0], numerator.word[1], numerator.word[2]};
    struct wide quotient;
    for (int i = WIDE_WORDS - 1; i >= 0; i--) {
        quotient.word[i] = quotient_digit(rest, &b.magnitude);
        for (unsigned k = 3; k > 0; k--)
            rest[k] = rest[k - 1];
        rest[0] = 0;
    }
    return real_from_wide(negative, quotient, exponent);
}
