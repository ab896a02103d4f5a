/* The transcendental functions of the x87 against exact results and against each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/cpu/transcendental_exact.h"
#include "vmm/cpu/transcendental.h"

static const uint16_t roundings[4] = {0x037f, 0x077f, 0x0b7f, 0x0f7f}; /* nearest down up chop */

static uint64_t seed = 0x5eed;

static uint64_t random_bits(void)
{
    uint64_t z = (seed += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* 2^(low - 1) to 2^high, either sign where `sign` */
static struct real random_real(int low, int high, bool sign)
{
    struct real x = {.exponent = low + (int)(random_bits() % (unsigned)(high - low + 1))};
    x.magnitude.word[2] = random_bits() | 1ull << 63;
    if (random_bits() % 4 == 0) /* few bits */
        x.magnitude.word[2] &= ~(UINT64_MAX >> (1 + random_bits() % 63));
    x.negative = sign && random_bits() % 2;
    return x;
}

static struct real negative(struct real a)
{
    a.negative = !a.negative;
    return a;
}

/* Is a = b (1 + e) with |e| < 2^-bits? */
static bool agree(struct real a, struct real b, int bits)
{
    struct real difference = real_add(a, negative(b));
    return wide_is_zero(difference.magnitude) || difference.exponent <= b.exponent - bits - 1;
}

static struct real compute(const struct exact *e)
{
    struct real x = extended_to_real(e->x), y = extended_to_real(e->y);
    switch (e->function) {
    case F2XM1:
        return transcendental_power_less_1(x);
    case FYL2X:
        return real_multiply(y, transcendental_logarithm(x));
    case FYL2XP1:
        return real_multiply(y, transcendental_logarithm_1(x));
    case FPATAN:
        return transcendental_arc_tangent(y, x);
    case FPTAN:
        return transcendental_tangent(x);
    case FSIN:
        return transcendental_sine(x);
    default:
        return transcendental_cosine(x);
    }
}

static void values_are_exact_to_the_bound(void **state)
{
    (void)state;
    unsigned wrong = 0;
    for (unsigned i = 0; i < sizeof exact / sizeof exact[0]; i++) {
        struct real value = compute(&exact[i]);
        if (value.negative == exact[i].value.negative &&
            agree(value, exact[i].value, TRANSCENDENTAL_ERROR - 1))
            continue;
        fprintf(stderr, "case %u of function %d\n", i, exact[i].function);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

/* The magnitude's first 64 bits, plus one where it is rounded up. */
static struct extended expected(const struct exact *e, bool up)
{
    struct extended value = {e->value.magnitude.word[2],
        (uint16_t)((e->value.exponent - 1 + EXTENDED_BIAS) | (e->value.negative ? 0x8000 : 0))};
    if (up && ++value.significand == 0) {
        value.significand = EXTENDED_INTEGER;
        value.sign_exponent++;
    }
    return value;
}

static void results_are_correctly_rounded_in_every_direction(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof exact / sizeof exact[0]; i++) {
        const struct exact *e = &exact[i];
        const bool up[4] = {e->nearest_is_up, e->value.negative, !e->value.negative, false};
        for (unsigned rounding = 0; rounding < 4; rounding++) {
            struct x87_outcome outcome = x87_function(e->function, e->x, e->y, roundings[rounding]);
            struct extended wanted = expected(e, up[rounding]);
            assert_int_equal(outcome.result.significand, wanted.significand);
            assert_int_equal(outcome.result.sign_exponent, wanted.sign_exponent);
            assert_int_equal(outcome.up, up[rounding]);
            assert_int_equal(outcome.raised, X87_PRECISION);
        }
    }
}

/* 24 and 53 bits are for FADD and its like. */
static void precision_control_does_not_count(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof exact / sizeof exact[0]; i += 7) {
        const struct exact *e = &exact[i];
        struct x87_outcome wide = x87_function(e->function, e->x, e->y, 0x037f);
        struct x87_outcome narrow = x87_function(e->function, e->x, e->y, 0x007f);
        assert_memory_equal(&wide.result.significand, &narrow.result.significand, 8);
    }
}

/* ---- Properties of random operands ----------------------------------------------------------- */

enum { ROUNDS = 20000 };

static void squares_of_sine_and_cosine_make_1(void **state)
{
    (void)state;
    struct real one = real_from_integer(false, 1, 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct real x = random_real(-60, 63, true);
        struct real s = transcendental_sine(x), c = transcendental_cosine(x);
        assert_true(agree(real_add(real_multiply(s, s), real_multiply(c, c)), one, 175));
        assert_true(agree(transcendental_tangent(x), real_divide(s, c), 175));
    }
}

/* sin(x) cos(y) + cos(x) sin(y) = sin(x + y), without reduction */
static void the_sine_of_a_sum_is_that_of_its_parts(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct real x = random_real(-3, -3, false), y = random_real(-3, -3, false);
        x.magnitude.word[2] |= 1; /* so that the sum is not shorter by chance */
        struct real sum = real_add(real_multiply(transcendental_sine(x), transcendental_cosine(y)),
            real_multiply(transcendental_cosine(x), transcendental_sine(y)));
        assert_true(agree(transcendental_sine(real_add(x, y)), sum, 175));
    }
}

static void the_arc_tangent_undoes_the_tangent(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct real y = random_real(-40, 0, true), x = random_real(2, 3, false);
        struct real angle = transcendental_arc_tangent(y, x); /* less than 1/2: not reduced */
        assert_true(agree(transcendental_tangent(angle), real_divide(y, x), 175));
    }
}

static void arc_tangents_of_opposite_points_differ_by_pi(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct real y = random_real(-10, 10, false), x = random_real(-10, 10, true);
        struct real turn = real_add(transcendental_arc_tangent(y, x),
            negative(transcendental_arc_tangent(negative(y), negative(x))));
        assert_true(agree(turn, constant_pi, 175));
    }
}

static void the_logarithm_undoes_the_power(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct real x = random_real(-60, 0, true);
        struct real back = transcendental_logarithm_1(transcendental_power_less_1(x));
        assert_true(agree(back, x, 172));
    }
}

static void logarithms_of_products_are_sums(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct real x = random_real(20, 30, false), y = random_real(-20, -10, false);
        x.magnitude.word[2] &= ~0xffffffffull; /* so that the product has 64 bits */
        y.magnitude.word[2] &= ~0xffffffffull;
        struct real sum = real_add(transcendental_logarithm(x), transcendental_logarithm(y));
        struct real product = transcendental_logarithm(real_multiply(x, y));
        struct real difference = real_add(sum, negative(product));
        assert_true(wide_is_zero(difference.magnitude) || difference.exponent < -170);
    }
}

static struct extended random_extended(void)
{
    static const struct extended special[] = {{0, 0}, {0, 0x8000}, {1, 0},
        {0x7fffffffffffffff, 0x8000}, {EXTENDED_INTEGER, 0}, {EXTENDED_INTEGER, 1},
        {EXTENDED_INTEGER, 0x3fff}, {EXTENDED_INTEGER, 0xbfff}, {EXTENDED_INTEGER, 0x7fff},
        {EXTENDED_INTEGER, 0xffff}, {0xc000000000000000, 0x7fff}, {0x8000000000000001, 0xffff},
        {1, 0x3fff}, {UINT64_MAX, 0x7ffe}, {UINT64_MAX, 0x3ffe}, {EXTENDED_INTEGER, 0x403e}};
    uint64_t any = random_bits();
    if (any % 8 == 0)
        return special[any / 8 % (sizeof special / sizeof special[0])];
    if (any % 8 == 1)
        return (struct extended){random_bits(), (uint16_t)(any >> 16)};
    return (struct extended){random_bits() | EXTENDED_INTEGER,
        (uint16_t)((EXTENDED_BIAS - 70 + any / 8 % 140) | (any >> 48 & 0x8000))};
}

/* A number's place among all of its sign: neighbours differ by 1. */
static uint64_t place(struct extended value)
{
    unsigned __int128 place = ((unsigned __int128)(value.sign_exponent & 0x7fffu) << 63) +
                              (value.significand & (UINT64_MAX >> 1));
    return (uint64_t)place;
}

/* Down and up enclose the exact value, and nothing is between them; the others are one of the two.
 */
static void roundings_enclose_the_value(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++) {
        enum x87_function function = (enum x87_function)(i % 8);
        struct extended x = random_extended(), y = random_extended();
        struct x87_outcome o[4];
        for (unsigned k = 0; k < 4; k++)
            o[k] = x87_function(function, x, y, roundings[k]);
        uint64_t down = place(o[1].result), up = place(o[2].result);
        bool minus = extended_negative(o[3].result);
        uint64_t step = minus ? down - up : up - down;
        assert_true(step == 0 || (step == 1 && (o[0].raised & X87_PRECISION)));
        assert_int_equal(place(o[3].result), minus ? up : down);
        assert_true(place(o[0].result) == down || place(o[0].result) == up);
        if (step == 1) {
            assert_int_equal(o[1].up, minus);
            assert_int_equal(o[2].up, !minus);
            assert_false(o[3].up);
        }
    }
}

/* ---- Special operands (SDM volume 2, each instruction's table) ------------------------------- */

#define PLUS_0 \
    {          \
        0, 0   \
    }
#define MINUS_0   \
    {             \
        0, 0x8000 \
    }
#define PLUS_1                   \
    {                            \
        EXTENDED_INTEGER, 0x3fff \
    }
#define MINUS_1                  \
    {                            \
        EXTENDED_INTEGER, 0xbfff \
    }
#define PLUS_2                   \
    {                            \
        EXTENDED_INTEGER, 0x4000 \
    }
#define HALF                     \
    {                            \
        EXTENDED_INTEGER, 0x3ffe \
    }
#define INFINITE                 \
    {                            \
        EXTENDED_INTEGER, 0x7fff \
    }
#define MINUS_INFINITE           \
    {                            \
        EXTENDED_INTEGER, 0xffff \
    }
#define TINIEST \
    {           \
        1, 0    \
    }
#define INVALID_RESULT             \
    {                              \
        0xc000000000000000, 0xffff \
    }

static const struct special {
    enum x87_function function;
    struct extended x, y, result;
    uint16_t raised;
} specials[] = {
    {FSIN, MINUS_0, PLUS_0, MINUS_0, 0},
    {FCOS, MINUS_0, PLUS_0, PLUS_1, 0},
    {FPTAN, MINUS_0, PLUS_0, MINUS_0, 0},
    {FSIN, INFINITE, PLUS_0, INVALID_RESULT, X87_INVALID},
    {FSINCOS, MINUS_INFINITE, PLUS_0, INVALID_RESULT, X87_INVALID},
    {FSIN, TINIEST, PLUS_0, TINIEST, X87_DENORMAL | X87_UNDERFLOW | X87_PRECISION},
    {FCOS, TINIEST, PLUS_0, PLUS_1, X87_DENORMAL | X87_PRECISION},
    {F2XM1, MINUS_0, PLUS_0, MINUS_0, 0},
    {F2XM1, PLUS_1, PLUS_0, PLUS_1, X87_PRECISION},
    {F2XM1, MINUS_1, PLUS_0, {EXTENDED_INTEGER, 0xbffe}, X87_PRECISION},
    {F2XM1, PLUS_2, PLUS_0, PLUS_2, X87_PRECISION},
    {F2XM1, MINUS_INFINITE, PLUS_0, MINUS_1, 0},
    {F2XM1, INFINITE, PLUS_0, INFINITE, 0},
    {FYL2X, PLUS_0, PLUS_2, MINUS_INFINITE, X87_ZERO_DIVIDE},
    {FYL2X, MINUS_0, TINIEST, MINUS_INFINITE, X87_ZERO_DIVIDE},
    {FYL2X, PLUS_0, MINUS_INFINITE, INFINITE, 0},
    {FYL2X, PLUS_0, PLUS_0, INVALID_RESULT, X87_INVALID},
    {FYL2X, PLUS_1, INFINITE, INVALID_RESULT, X87_INVALID},
    {FYL2X, PLUS_1, MINUS_1, MINUS_0, 0},
    {FYL2X, MINUS_1, PLUS_1, INVALID_RESULT, X87_INVALID},
    {FYL2X, HALF, INFINITE, MINUS_INFINITE, 0},
    {FYL2X, HALF, PLUS_0, MINUS_0, 0},
    {FYL2X, INFINITE, MINUS_1, MINUS_INFINITE, 0},
    {FYL2X, INFINITE, PLUS_0, INVALID_RESULT, X87_INVALID},
    {FYL2X, PLUS_2, PLUS_2, PLUS_2, X87_PRECISION},
    {FYL2X, {EXTENDED_INTEGER, 0x403e}, {UINT64_MAX, 0x7ffe}, INFINITE,
        X87_OVERFLOW | X87_PRECISION},
    {FYL2XP1, MINUS_0, PLUS_2, MINUS_0, 0},
    {FYL2XP1, PLUS_0, INFINITE, INVALID_RESULT, X87_INVALID},
    {FYL2XP1, INFINITE, MINUS_1, MINUS_INFINITE, 0},
    {FYL2XP1, MINUS_INFINITE, PLUS_1, INVALID_RESULT, X87_INVALID},
    {FYL2XP1, MINUS_1, PLUS_2, MINUS_1, X87_PRECISION},
    {FYL2XP1, TINIEST, TINIEST, PLUS_0, X87_DENORMAL | X87_UNDERFLOW | X87_PRECISION},
    {FPATAN, PLUS_1, MINUS_0, MINUS_0, 0},
    {FPATAN, MINUS_0, PLUS_0, {0xc90fdaa22168c235, 0x4000}, X87_PRECISION},
    {FPATAN, PLUS_0, MINUS_1, {0xc90fdaa22168c235, 0xbfff}, X87_PRECISION},
    {FPATAN, INFINITE, PLUS_1, PLUS_0, 0},
    {FPATAN, INFINITE, INFINITE, {0xc90fdaa22168c235, 0x3ffe}, X87_PRECISION},
    {FPATAN, MINUS_INFINITE, MINUS_INFINITE, {0x96cbe3f9990e91a8, 0xc000}, X87_PRECISION},
    {FPATAN, MINUS_1, INFINITE, {0xc90fdaa22168c235, 0x3fff}, X87_PRECISION},
    /* of two NaNs the larger significand, of a quiet and a signaling one the quiet; unnormals */
    {FYL2X, {0xc000000000000001, 0x7fff}, {0xc000000000000002, 0xffff},
        {0xc000000000000002, 0xffff}, 0},
    {FPATAN, {0xbfffffffffffffff, 0x7fff}, {0xc000000000000002, 0x7fff},
        {0xc000000000000002, 0x7fff}, X87_INVALID},
    {FSIN, {0x8000000000000001, 0x7fff}, PLUS_0, {0xc000000000000001, 0x7fff}, X87_INVALID},
    {FPATAN, {0xc000000000000001, 0x7fff}, {1, 0x3fff}, INVALID_RESULT, X87_INVALID},
};

static void special_operands_give_what_the_manual_says(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof specials / sizeof specials[0]; i++) {
        const struct special *s = &specials[i];
        struct x87_outcome outcome = x87_function(s->function, s->x, s->y, 0x037f);
        if (outcome.result.significand != s->result.significand ||
            outcome.result.sign_exponent != s->result.sign_exponent || outcome.raised != s->raised)
            fail_msg("special case %u: %04x %016llx, raised %02x", i, outcome.result.sign_exponent,
                (unsigned long long)outcome.result.significand, outcome.raised);
    }
}

static void angles_from_2_to_the_63_on_are_out_of_range(void **state)
{
    (void)state;
    struct extended limit = {EXTENDED_INTEGER, 0x403e}, below = {UINT64_MAX, 0xc03d};
    for (enum x87_function f = FSINCOS; f <= FCOS; f++) {
        assert_true(x87_function(f, limit, limit, 0x037f).out_of_range);
        assert_int_equal(x87_function(f, limit, limit, 0x037f).raised, 0);
        assert_false(x87_function(f, below, below, 0x037f).out_of_range);
    }
}

/* Unmasked, the result has its exponent changed by 24576 (SDM volume 1, 8.5.4 and 8.5.5). */
static void unmasked_overflow_and_underflow_change_the_exponent(void **state)
{
    (void)state;
    struct extended big = {EXTENDED_INTEGER, 0x7ffe}, four = {EXTENDED_INTEGER, 0x4001};
    struct x87_outcome outcome = x87_function(FYL2X, four, big, 0x0377);
    assert_int_equal(outcome.raised, X87_OVERFLOW | X87_PRECISION);
    assert_int_equal(outcome.result.sign_exponent, 0x7fff - 24576);
    struct extended small = {EXTENDED_INTEGER, 1};
    outcome = x87_function(FSIN, small, small, 0x0f6f);
    assert_int_equal(outcome.raised, X87_UNDERFLOW | X87_PRECISION);
    assert_int_equal(outcome.result.sign_exponent, 24576);
    assert_int_equal(outcome.result.significand, UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_exact_to_the_bound),
        cmocka_unit_test(results_are_correctly_rounded_in_every_direction),
        cmocka_unit_test(precision_control_does_not_count),
        cmocka_unit_test(squares_of_sine_and_cosine_make_1),
        cmocka_unit_test(the_sine_of_a_sum_is_that_of_its_parts),
        cmocka_unit_test(the_arc_tangent_undoes_the_tangent),
        cmocka_unit_test(arc_tangents_of_opposite_points_differ_by_pi),
        cmocka_unit_test(the_logarithm_undoes_the_power),
        cmocka_unit_test(logarithms_of_products_are_sums),
        cmocka_unit_test(roundings_enclose_the_value),
        cmocka_unit_test(special_operands_give_what_the_manual_says),
        cmocka_unit_test(angles_from_2_to_the_63_on_are_out_of_range),
        cmocka_unit_test(unmasked_overflow_and_underflow_change_the_exponent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
