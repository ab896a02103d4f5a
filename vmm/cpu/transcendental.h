/*
 * Sine, cosine, tangent, arc tangent, powers of two and binary logarithms of the numbers that the
 * x87 has, for any host the same: integers of 192 bits, no host floating point.
 *
 * Every function takes finite numbers other than 0 with at most 64 significant bits and returns the
 * exact value times 1 + e, |e| < 2^-TRANSCENDENTAL_ERROR. Where the exact value is so near to a
 * number of 64 significant bits that the error could hide it (the sine of a tiny number), the
 * result is on the same side of it as the exact value. Rounding the result to 64 bits is therefore
 * correct rounding, unless the exact value is within that error of a number or a midpoint of two;
 * none such is known (the nearest among 2^128 random pairs of operands would be at about 2^-192).
 *
 * Angles are measured as the x87 of every maker does it: pi is 3243F6A8885A308D3h * 2^-64, its
 * first 66 bits. The remainder by half of it is exact.
 */
#ifndef VMM_CPU_TRANSCENDENTAL_H
#define VMM_CPU_TRANSCENDENTAL_H

#include "vmm/cpu/wide.h"

enum { TRANSCENDENTAL_ERROR = 178 };

/* |x| < 2^63 */
struct real transcendental_sine(struct real x);
struct real transcendental_cosine(struct real x);
struct real transcendental_tangent(struct real x);
/* Of the point (x, y), from -pi to pi, by the real pi. */
struct real transcendental_arc_tangent(struct real y, struct real x);
struct real transcendental_power_less_1(struct real x); /* 2^x - 1; |x| < 1 */
struct real transcendental_logarithm(struct real x);    /* log2(x); x > 0; 0 for 1 */
struct real transcendental_logarithm_1(struct real x);  /* log2(1 + x); x > -1 */

/* transcendental_table.c. Coefficients count 2^-190, the first is for the power 0. */
enum { SERIES_SINE = 23, SERIES_COSINE = 24, SERIES_POWER = 24, SERIES_ODD = 18 };
extern const struct wide series_sine[SERIES_SINE];     /* 1 / (2k + 1)! */
extern const struct wide series_cosine[SERIES_COSINE]; /* 1 / (2k)! */
extern const struct wide series_power[SERIES_POWER];   /* 1 / (k + 1)! */
extern const struct wide series_odd[SERIES_ODD];       /* 1 / (2k + 1) */
extern const struct wide power_table[32];              /* 2^(j / 32), counts 2^-191 */
/* These count 2^-192. */
enum { ARC_STEPS = 32, LOGARITHM_FIRST = 45, LOGARITHM_LAST = 91, LOGARITHM_STEPS = 64 };
extern const struct wide arc_tangent_table[ARC_STEPS + 1]; /* atan(j / 32) */
/* |log2(j / 64)| */
extern const struct wide logarithm_table[LOGARITHM_LAST - LOGARITHM_FIRST + 1];
extern const struct real constant_pi, constant_ln2, constant_2_ln2; /* the last: 2 / ln(2) */

#endif
