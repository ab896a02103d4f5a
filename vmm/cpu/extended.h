/*
 * The x87's numbers: extended precision, 80 bits (Intel SDM volume 1, 4.2.2 and 8.2), and rounding
 * to them.
 */
#ifndef VMM_CPU_EXTENDED_H
#define VMM_CPU_EXTENDED_H

#include <string.h>

#include "vmm/cpu/wide.h"

struct extended {
    uint64_t significand;
    uint16_t sign_exponent; /* bit 15: negative */
};

enum extended_class {
    EXTENDED_ZERO,
    EXTENDED_DENORMAL, /* and pseudo-denormal */
    EXTENDED_NORMAL,
    EXTENDED_INFINITY,
    EXTENDED_QUIET_NAN,
    EXTENDED_SIGNALING_NAN,
    EXTENDED_UNSUPPORTED, /* unnormal, pseudo-infinity, pseudo-NaN */
};

enum { EXTENDED_SIGN = 0x8000, EXTENDED_BIAS = 16383, EXTENDED_SPECIAL = 0x7fff };
#define EXTENDED_INTEGER (1ull << 63) /* of the significand */
#define EXTENDED_QUIET   (1ull << 62)

/* Exceptions, as bits of the status and (masks) control word. */
enum {
    X87_INVALID = 0x01,
    X87_DENORMAL = 0x02,
    X87_ZERO_DIVIDE = 0x04,
    X87_OVERFLOW = 0x08,
    X87_UNDERFLOW = 0x10,
    X87_PRECISION = 0x20,
    X87_STACK_FAULT = 0x40,
};

static inline struct extended extended_load(const void *bytes)
{
    struct extended value;
    memcpy(&value.significand, bytes, 8);
    memcpy(&value.sign_exponent, (const uint8_t *)bytes + 8, 2);
    return value;
}

static inline void extended_store(void *bytes, struct extended value)
{
    memcpy(bytes, &value.significand, 8);
    memcpy((uint8_t *)bytes + 8, &value.sign_exponent, 2);
}

static inline bool extended_negative(struct extended value)
{
    return value.sign_exponent & EXTENDED_SIGN;
}

enum extended_class extended_classify(struct extended value);
/* Of a denormal or normal number. */
struct real extended_to_real(struct extended value);
/* What an invalid operation makes where it is masked: the QNaN floating-point indefinite. */
struct extended extended_indefinite(void);
struct extended extended_zero(bool negative);
struct extended extended_one(void);
struct extended extended_infinity(bool negative);
/* The NaN that an operation with operands `a` and `b` makes, one of which is a NaN (SDM volume 1,
 * table 4-7). */
struct extended extended_nan(struct extended a, struct extended b);

struct extended_rounded {
    struct extended value;
    uint16_t raised; /* X87_OVERFLOW, X87_UNDERFLOW; X87_PRECISION with either */
    bool up;         /* away from 0 */
};

/*
 * Rounds an inexact number that is not 0 to 64 bits as the control word's rounding control says;
 * precision control does not apply. Overflow and underflow make what their masks in `control` ask
 * for: infinity, the largest number, a denormal, or (unmasked) the number with its exponent changed
 * by 24576.
 */
struct extended_rounded extended_round(struct real number, uint16_t control);

#endif
