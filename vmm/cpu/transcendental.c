/* Transcendental functions: reduction of the argument with tables, then Taylor series. */
#include "vmm/cpu/transcendental.h"

/* Half of the x87's pi, counting 2^-65. */
#define HALF_PI ((uint128)0x3 << 64 | 0x243f6a8885a308d3)

/* Below 2^-89 the second term of sine, cosine, tangent and arc tangent is less than 2^-178 of the
 * first, and not seen reliably in the result. */
enum { TINY = -89, NUDGE = 180 };

static const struct real real_1 = {.magnitude = {{0, 0, 1ull << 63}}, .exponent = 1};

static struct real negate(struct real a)
{
    a.negative = !a.negative;
    return a;
}

static struct real small(int value)
{
    const uint64_t magnitude = (uint64_t)(value < 0 ? -(int64_t)value : value);
    return real_from_integer(value < 0, magnitude, 0);
}

/* A little nearer to 0, or farther from it. */
static struct real nudge(struct real a, bool farther)
{
    struct real little = a;
    little.exponent -= NUDGE;
    return real_add(a, farther ? little : negate(little));
}

/* Sum of coefficient[k] * (+-argument)^k; `argument` counts 2^-192, the sum 2^-190. */
static struct wide series(
    const struct wide *coefficient, unsigned count, struct wide argument, bool alternating)
{
    /* So many terms as 192 bits can see; each gives as many bits as the argument has zeros. */
    unsigned zeros = argument.word[2] ? (unsigned)__builtin_clzll(argument.word[2]) : 64;
    if (zeros > 0 && WIDE_BITS / zeros + 1 < count)
        count = WIDE_BITS / zeros + 1;
    struct wide sum = coefficient[count - 1];
    while (--count > 0) {
        sum = wide_multiply(sum, argument);
        sum = alternating ? wide_subtract(coefficient[count - 1], sum)
                          : wide_add(coefficient[count - 1], sum);
    }
    return sum;
}

static struct real from_series(struct wide sum)
{
    return real_from_wide(false, sum, 2 - WIDE_BITS);
}

/* ---- Angles --------------------------------------------------------------------------------- */

struct angle {
    struct real rest; /* from -pi/4 to pi/4 */
    unsigned quarter; /* of a turn, to be added */
};

static struct angle reduce(struct real x)
{
    if (x.exponent < 0)
        return (struct angle){x, 0};
    uint128 number = (uint128)x.magnitude.word[2] << (x.exponent + 1);
    unsigned quarter = (unsigned)(number / HALF_PI) & 3;
    uint128 rest = number % HALF_PI;
    bool negative = false;
    if (rest > HALF_PI / 2) {
        rest = HALF_PI - rest;
        negative = true;
        quarter++;
    }
    if (x.negative) {
        negative = !negative;
        quarter = -quarter;
    }
    return (struct angle){real_from_integer(negative, rest, -65), quarter & 3};
}

/* From -pi/4 to pi/4 */
static struct real near_sine(struct real x)
{
    if (x.exponent <= TINY)
        return nudge(x, false);
    struct wide square = real_fraction(real_multiply(x, x));
    return real_multiply(x, from_series(series(series_sine, SERIES_SINE, square, true)));
}

static struct real near_cosine(struct real x)
{
    if (x.exponent <= TINY)
        return nudge(real_1, false);
    struct wide square = real_fraction(real_multiply(x, x));
    return from_series(series(series_cosine, SERIES_COSINE, square, true));
}

static struct real sine_of(struct angle angle)
{
    struct real value = angle.quarter & 1 ? near_cosine(angle.rest) : near_sine(angle.rest);
    return angle.quarter & 2 ? negate(value) : value;
}

struct real transcendental_sine(struct real x)
{
    return sine_of(reduce(x));
}

struct real transcendental_cosine(struct real x)
{
    struct angle angle = reduce(x);
    angle.quarter++;
    return sine_of(angle);
}

struct real transcendental_tangent(struct real x)
{
    struct angle angle = reduce(x);
    if (angle.rest.exponent <= TINY) /* not reduced then: quarter is 0 */
        return nudge(x, true);
    struct real sine = near_sine(angle.rest), cosine = near_cosine(angle.rest);
    return angle.quarter & 1 ? negate(real_divide(cosine, sine)) : real_divide(sine, cosine);
}

/* atan(t) = atan(j/32) + atan((t - j/32) / (1 + t j/32)), for t = a/b from 0 to 1 */
static struct real near_arc_tangent(struct real a, struct real b)
{
    unsigned step = 0;
    int difference = b.exponent - a.exponent;
    if (difference < 8) {
        uint128 top = (uint128)a.magnitude.word[2] << (8 - difference);
        step = (unsigned)((top / b.magnitude.word[2] + 4) >> 3);
    }
    struct real j = small((int)step), steps = small(ARC_STEPS);
    struct real z = real_divide(real_add(real_multiply(a, steps), negate(real_multiply(b, j))),
        real_add(real_multiply(b, steps), real_multiply(a, j)));
    if (step == 0 && z.exponent <= TINY)
        return nudge(z, false);
    struct wide square = real_fraction(real_multiply(z, z));
    z = real_multiply(z, from_series(series(series_odd, SERIES_ODD, square, true)));
    return real_add(real_from_wide(false, arc_tangent_table[step], -WIDE_BITS), z);
}

struct real transcendental_arc_tangent(struct real y, struct real x)
{
    bool negative = y.negative, left = x.negative;
    y.negative = false;
    x.negative = false;
    bool steep = y.exponent > x.exponent ||
                 (y.exponent == x.exponent && wide_compare(y.magnitude, x.magnitude) > 0);
    struct real angle = steep ? near_arc_tangent(x, y) : near_arc_tangent(y, x);
    struct real half_pi = constant_pi;
    half_pi.exponent--;
    if (steep)
        angle = real_add(left ? angle : negate(angle), half_pi);
    else if (left)
        angle = real_add(constant_pi, negate(angle));
    angle.negative = negative;
    return angle;
}

/* ---- Powers and logarithms ------------------------------------------------------------------ */

struct real transcendental_power_less_1(struct real x)
{
    bool near_0 = x.exponent <= -5;
    int step = 0;
    if (!near_0) { /* x = step/32 + what is left, from 0 on and less than 1/32 */
        step = (int)(x.magnitude.word[2] >> (59 - x.exponent));
        if (x.negative) {
            bool whole = x.magnitude.word[2] << (5 + x.exponent) == 0;
            step = -step - !whole;
        }
        struct real steps = small(-step);
        steps.exponent -= 5;
        x = real_add(x, steps);
    }
    struct real power = real_multiply(x, constant_ln2);
    struct wide sum = series(series_power, SERIES_POWER, real_fraction(power), power.negative);
    power = real_multiply(power, from_series(sum));
    if (near_0)
        return power;
    struct real factor =
        real_from_wide(false, power_table[step & 31], (step < 0 ? -1 : 0) + 1 - WIDE_BITS);
    return real_add(real_multiply(factor, power), real_add(factor, negate(real_1)));
}

/* log2((1 + s) / (1 - s)) */
static struct real double_area_tangent(struct real s)
{
    struct wide square = real_fraction(real_multiply(s, s));
    s = real_multiply(s, from_series(series(series_odd, SERIES_ODD, square, false)));
    return real_multiply(s, constant_2_ln2);
}

/* x = 2^k m, m from sqrt(1/2) to sqrt(2); log2(m) = log2(m j/64) - log2(j/64), where j/64 is about
 * 1/m. */
struct real transcendental_logarithm(struct real x)
{
    int k = x.exponent;
    uint64_t top = x.magnitude.word[2];
    x.exponent = 0;
    if (top < 0xb504f333f9de6484) {
        k--;
        x.exponent = 1;
    }
    unsigned step = (unsigned)((((uint128)1 << (72 - x.exponent)) / top + 2) >> 2);
    x = real_multiply(x, small((int)step));
    struct real unit = small(LOGARITHM_STEPS);
    struct real s = real_divide(real_add(x, negate(unit)), real_add(x, unit));
    struct real table =
        real_from_wide(step > LOGARITHM_STEPS, logarithm_table[step - LOGARITHM_FIRST], -WIDE_BITS);
    return real_add(real_add(table, double_area_tangent(s)), small(k));
}

struct real transcendental_logarithm_1(struct real x)
{
    if (x.exponent > -7)
        return transcendental_logarithm(real_add(x, real_1));
    return double_area_tangent(real_divide(x, real_add(x, small(2))));
}
