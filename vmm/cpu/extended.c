/* Numbers of the x87 and rounding to them. */
#include "vmm/cpu/extended.h"

enum extended_class extended_classify(struct extended value)
{
    unsigned exponent = value.sign_exponent & EXTENDED_SPECIAL;
    if (exponent == 0)
        return value.significand == 0 ? EXTENDED_ZERO : EXTENDED_DENORMAL;
    if (!(value.significand & EXTENDED_INTEGER))
        return EXTENDED_UNSUPPORTED;
    if (exponent != EXTENDED_SPECIAL)
        return EXTENDED_NORMAL;
    if (value.significand == EXTENDED_INTEGER)
        return EXTENDED_INFINITY;
    return value.significand & EXTENDED_QUIET ? EXTENDED_QUIET_NAN : EXTENDED_SIGNALING_NAN;
}

struct real extended_to_real(struct extended value)
{
    int exponent = value.sign_exponent & EXTENDED_SPECIAL;
    if (exponent == 0) /* denormals have the exponent of the smallest normal number */
        exponent = 1;
    return real_from_integer(
        extended_negative(value), value.significand, exponent - EXTENDED_BIAS - 63);
}

struct extended extended_indefinite(void)
{
    return (struct extended){EXTENDED_INTEGER | EXTENDED_QUIET, EXTENDED_SIGN | EXTENDED_SPECIAL};
}

struct extended extended_zero(bool negative)
{
    return (struct extended){0, negative ? EXTENDED_SIGN : 0};
}

struct extended extended_one(void)
{
    return (struct extended){EXTENDED_INTEGER, EXTENDED_BIAS};
}

struct extended extended_infinity(bool negative)
{
    return (struct extended){
        EXTENDED_INTEGER, (uint16_t)(EXTENDED_SPECIAL | (negative ? EXTENDED_SIGN : 0))};
}

struct extended extended_nan(struct extended a, struct extended b)
{
    enum extended_class class_a = extended_classify(a), class_b = extended_classify(b);
    bool nan_a = class_a == EXTENDED_QUIET_NAN || class_a == EXTENDED_SIGNALING_NAN;
    bool nan_b = class_b == EXTENDED_QUIET_NAN || class_b == EXTENDED_SIGNALING_NAN;
    bool take_b = !nan_a;
    if (nan_a && nan_b) {
        if (class_a != class_b) /* the quiet one */
            take_b = class_b == EXTENDED_QUIET_NAN;
        else if (a.significand != b.significand)
            take_b = b.significand > a.significand;
        else
            take_b = extended_negative(a);
    }
    struct extended nan = take_b ? b : a;
    nan.significand |= EXTENDED_QUIET;
    return nan;
}

enum rounding { TO_NEAREST, DOWN, UP, TOWARDS_0 };

static enum rounding rounding_of(uint16_t control)
{
    return control >> 10 & 3;
}

/* Does a magnitude round up whose next bits are `rest` / 2^192? */
static bool rounds_up(struct wide rest, bool odd, bool negative, enum rounding rounding)
{
    static const struct wide half = {{0, 0, 1ull << 63}};
    int order;
    switch (rounding) {
    case TO_NEAREST:
        order = wide_compare(rest, half);
        return order > 0 || (order == 0 && odd);
    case DOWN:
        return negative && !wide_is_zero(rest);
    case UP:
        return !negative && !wide_is_zero(rest);
    default:
        return false;
    }
}

/* The first `bits` bits (64 and less, also below 0) of the magnitude, rounded: may become 2^bits,
 * for 64 bits as 0. */
static uint64_t round_magnitude(
    const struct real *number, int bits, enum rounding rounding, bool *up)
{
    struct wide rest = number->magnitude;
    uint64_t kept = 0;
    if (bits > 0) {
        kept = rest.word[2] >> (64 - bits);
        rest = wide_shift_left(rest, (unsigned)bits);
    } else {
        rest = wide_shift_right(rest, (unsigned)-bits);
        rest.word[0] |= 1; /* something is always left */
    }
    *up = rounds_up(rest, kept & 1, number->negative, rounding);
    return kept + *up;
}

static struct extended_rounded overflow(const struct real *number, enum rounding rounding)
{
    struct extended_rounded result = {.raised = X87_OVERFLOW | X87_PRECISION, .up = true};
    result.value = extended_infinity(number->negative);
    if (rounding == TOWARDS_0 || rounding == (number->negative ? UP : DOWN)) {
        result.up = false;
        result.value.sign_exponent--;
        result.value.significand = UINT64_MAX;
    }
    return result;
}

enum { UNMASKED_ADJUSTMENT = 24576 };

struct extended_rounded extended_round(struct real number, uint16_t control)
{
    enum rounding rounding = rounding_of(control);
    struct extended_rounded result = {0};
    int exponent = number.exponent - 1 + EXTENDED_BIAS;
    uint16_t sign = number.negative ? EXTENDED_SIGN : 0;
    uint64_t kept = round_magnitude(&number, 64, rounding, &result.up);
    if (kept == 0) { /* 2^64 */
        kept = EXTENDED_INTEGER;
        exponent++;
    }
    if (exponent < 1) {
        result.raised = X87_UNDERFLOW | X87_PRECISION;
        if (control & X87_UNDERFLOW) {
            int lost = 1 - (number.exponent - 1 + EXTENDED_BIAS);
            kept = round_magnitude(&number, 64 - lost, rounding, &result.up);
            exponent = 0;
            if (kept & EXTENDED_INTEGER) /* the smallest normal number */
                exponent = 1;
        } else {
            exponent += UNMASKED_ADJUSTMENT;
        }
    } else if (exponent >= EXTENDED_SPECIAL) {
        if (control & X87_OVERFLOW)
            return overflow(&number, rounding);
        result.raised = X87_OVERFLOW | X87_PRECISION;
        exponent -= UNMASKED_ADJUSTMENT;
    }
    result.value = (struct extended){kept, (uint16_t)(exponent | sign)};
    return result;
}
