/* Transcendental x87 instructions: special operands, exceptions and rounding around
 * transcendental.h. */
#include "vmm/cpu/x87_function.h"

#include "vmm/cpu/transcendental.h"

/* One call's operands. */
struct operands {
    struct extended x, y;
    enum extended_class class_x, class_y;
    bool negative_x, negative_y;
    uint16_t control;
};

static bool is_number(enum extended_class class)
{
    return class == EXTENDED_DENORMAL || class == EXTENDED_NORMAL;
}

static void set(struct x87_outcome *outcome, struct extended value)
{
    outcome->result = value;
}

static void invalid(struct x87_outcome *outcome)
{
    outcome->raised = X87_INVALID; /* whatever else an operand would raise */
    outcome->result = extended_indefinite();
    outcome->pushed = outcome->result;
}

/* The processors say "inexact" of every number that is not 0, the few exact ones included. */
static void set_rounded(struct x87_outcome *outcome, struct real value, uint16_t control)
{
    struct extended_rounded rounded = extended_round(value, control);
    outcome->result = rounded.value;
    outcome->raised |= rounded.raised | X87_PRECISION;
    outcome->up = rounded.up;
}

/* NaNs and unsupported operands. */
static bool has_nan(const struct operands *o, struct x87_outcome *outcome)
{
    if (o->class_x == EXTENDED_UNSUPPORTED || o->class_y == EXTENDED_UNSUPPORTED) {
        invalid(outcome);
        return true;
    }
    if (o->class_x < EXTENDED_QUIET_NAN && o->class_y < EXTENDED_QUIET_NAN)
        return false;
    outcome->result = extended_nan(o->x, o->y);
    outcome->pushed = outcome->result;
    bool signaling = o->class_x == EXTENDED_SIGNALING_NAN || o->class_y == EXTENDED_SIGNALING_NAN;
    outcome->raised = signaling ? X87_INVALID : 0;
    return true;
}

/* ---- FSIN, FCOS, FSINCOS, FPTAN ------------------------------------------------------------- */

static void trigonometric_zero(
    enum x87_function function, const struct operands *o, struct x87_outcome *outcome)
{
    set(outcome, function == FCOS ? extended_one() : extended_zero(o->negative_x));
    outcome->pushed = extended_one();
}

static void trigonometric(
    enum x87_function function, const struct operands *o, struct x87_outcome *outcome)
{
    if (o->class_x == EXTENDED_INFINITY) {
        invalid(outcome);
        return;
    }
    if (o->class_x == EXTENDED_ZERO) {
        trigonometric_zero(function, o, outcome);
        return;
    }
    struct real x = extended_to_real(o->x);
    if (x.exponent > 63) {
        outcome->out_of_range = true;
        return;
    }
    switch (function) {
    case FSIN:
        set_rounded(outcome, transcendental_sine(x), o->control);
        break;
    case FCOS:
        set_rounded(outcome, transcendental_cosine(x), o->control);
        break;
    case FSINCOS:
        set_rounded(outcome, transcendental_cosine(x), o->control);
        outcome->pushed = outcome->result;
        set_rounded(outcome, transcendental_sine(x), o->control);
        break;
    default:
        set_rounded(outcome, transcendental_tangent(x), o->control);
        outcome->pushed = extended_one();
    }
}

/* ---- FPATAN --------------------------------------------------------------------------------- */

/* The angle is 0 to 4 quarters of pi, with the sign of y. */
static void set_quarters(struct x87_outcome *outcome, const struct operands *o, unsigned quarters)
{
    if (quarters == 0) {
        set(outcome, extended_zero(o->negative_y));
        return;
    }
    struct real angle = real_multiply(constant_pi, real_from_integer(o->negative_y, quarters, -2));
    set_rounded(outcome, angle, o->control);
}

/* SDM volume 2, table 3-30 */
static void arc_tangent(const struct operands *o, struct x87_outcome *outcome)
{
    bool infinite_x = o->class_x == EXTENDED_INFINITY, infinite_y = o->class_y == EXTENDED_INFINITY;
    if (infinite_x && infinite_y)
        set_quarters(outcome, o, o->negative_x ? 3 : 1);
    else if (infinite_x || o->class_y == EXTENDED_ZERO)
        set_quarters(outcome, o, o->negative_x ? 4 : 0);
    else if (infinite_y || o->class_x == EXTENDED_ZERO)
        set_quarters(outcome, o, 2);
    else
        set_rounded(outcome,
            transcendental_arc_tangent(extended_to_real(o->y), extended_to_real(o->x)), o->control);
}

/* ---- F2XM1, FYL2X, FYL2XP1 ------------------------------------------------------------------ */

/* Beyond -1 and 1, where the manuals define nothing, the operand stays. */
static void power(const struct operands *o, struct x87_outcome *outcome)
{
    set(outcome, o->x);
    if (o->class_x == EXTENDED_INFINITY && o->negative_x) {
        set(outcome, extended_one());
        outcome->result.sign_exponent |= EXTENDED_SIGN;
    }
    if (!is_number(o->class_x))
        return;
    outcome->raised |= X87_PRECISION;
    struct real x = extended_to_real(o->x);
    if (x.exponent <= 0)
        set_rounded(outcome, transcendental_power_less_1(x), o->control);
    else if (o->negative_x && o->x.significand == EXTENDED_INTEGER && x.exponent == 1)
        outcome->result.sign_exponent--; /* -1 becomes -1/2 */
}

/* y times a logarithm that is 0 or infinite or of which only the sign counts, as y is 0 or infinite
 */
static void special_product(const struct operands *o, bool negative_logarithm,
    bool infinite_logarithm, struct x87_outcome *outcome)
{
    bool negative = o->negative_y != negative_logarithm;
    bool infinite = infinite_logarithm || o->class_y == EXTENDED_INFINITY;
    set(outcome, infinite ? extended_infinity(negative) : extended_zero(negative));
}

/* SDM volume 2, table 3-52 */
static void logarithm(const struct operands *o, struct x87_outcome *outcome)
{
    bool zero_y = o->class_y == EXTENDED_ZERO;
    if (o->class_x == EXTENDED_ZERO) {
        if (zero_y) {
            invalid(outcome);
            return;
        }
        if (o->class_y != EXTENDED_INFINITY)
            outcome->raised = X87_ZERO_DIVIDE; /* and not what a denormal y raises */
        special_product(o, true, true, outcome);
        return;
    }
    if (o->negative_x || (o->class_x == EXTENDED_INFINITY && zero_y)) {
        invalid(outcome);
        return;
    }
    if (o->class_x == EXTENDED_INFINITY) {
        special_product(o, false, true, outcome);
        return;
    }
    struct real value = transcendental_logarithm(extended_to_real(o->x));
    bool is_zero = wide_is_zero(value.magnitude);
    if (is_zero && o->class_y == EXTENDED_INFINITY)
        invalid(outcome);
    else if (is_zero || !is_number(o->class_y))
        special_product(o, value.negative, false, outcome);
    else
        set_rounded(outcome, real_multiply(extended_to_real(o->y), value), o->control);
}

/* SDM volume 2, table 3-53. From -1 down, where the manuals define nothing, the result is x. */
static void logarithm_1(const struct operands *o, struct x87_outcome *outcome)
{
    bool infinite_y = o->class_y == EXTENDED_INFINITY;
    if (o->class_x == EXTENDED_INFINITY) {
        if (o->negative_x || o->class_y == EXTENDED_ZERO)
            invalid(outcome);
        else
            special_product(o, false, true, outcome);
    } else if (o->class_x == EXTENDED_ZERO && infinite_y) {
        invalid(outcome);
    } else if (o->class_x == EXTENDED_ZERO || !is_number(o->class_y)) {
        special_product(o, o->negative_x, false, outcome);
    } else if (o->negative_x && (o->x.sign_exponent & EXTENDED_SPECIAL) >= EXTENDED_BIAS) {
        set(outcome, o->x);
        outcome->raised |= X87_PRECISION;
    } else {
        struct real value = transcendental_logarithm_1(extended_to_real(o->x));
        set_rounded(outcome, real_multiply(extended_to_real(o->y), value), o->control);
    }
}

struct x87_outcome x87_function(
    enum x87_function function, struct extended x, struct extended y, uint16_t control)
{
    struct x87_outcome outcome = {0};
    bool both = x87_function_pops(function);
    struct operands o = {.x = x,
        .y = both ? y : extended_zero(false),
        .class_x = extended_classify(x),
        .class_y = both ? extended_classify(y) : EXTENDED_ZERO,
        .negative_x = extended_negative(x),
        .negative_y = both && extended_negative(y),
        .control = control};
    if (has_nan(&o, &outcome))
        return outcome;
    if (o.class_x == EXTENDED_DENORMAL || o.class_y == EXTENDED_DENORMAL)
        outcome.raised = X87_DENORMAL;
    switch (function) {
    case F2XM1:
        power(&o, &outcome);
        break;
    case FYL2X:
        logarithm(&o, &outcome);
        break;
    case FPATAN:
        arc_tangent(&o, &outcome);
        break;
    case FYL2XP1:
        logarithm_1(&o, &outcome);
        break;
    default:
        trigonometric(function, &o, &outcome);
    }
    const uint16_t first = X87_INVALID | X87_DENORMAL | X87_ZERO_DIVIDE;
    if (outcome.raised & first & ~control) { /* detected before there is a result */
        outcome.raised &= first;
        outcome.up = false;
    }
    return outcome;
}
