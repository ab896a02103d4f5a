/*
 * FSIN, FCOS, FSINCOS, FPTAN, FPATAN, F2XM1, FYL2X and FYL2XP1 as functions of their operands and
 * the control word (Intel SDM volume 2; what it leaves open is as AMD's and Intel's processors
 * agree to do it). The same on every host and for every maker; results are correctly rounded
 * (transcendental.h).
 */
#ifndef VMM_CPU_X87_FUNCTION_H
#define VMM_CPU_X87_FUNCTION_H

#include "vmm/cpu/extended.h"

enum x87_function { F2XM1, FYL2X, FPTAN, FPATAN, FYL2XP1, FSINCOS, FSIN, FCOS };

struct x87_outcome {
    struct extended result; /* takes the operand's place; the second's, where there are two */
    struct extended pushed; /* FPTAN: 1, FSINCOS: the cosine; NaN as the result */
    uint16_t raised;        /* exceptions; only of the operands where one of those is unmasked, and
                             * then there is no result */
    bool up;                /* C1: the result was rounded up */
    bool out_of_range;      /* C2: nothing happened, |x| is 2^63 or more */
};

static inline bool x87_function_pushes(enum x87_function function)
{
    return function == FPTAN || function == FSINCOS;
}

static inline bool x87_function_pops(enum x87_function function)
{
    return function == FYL2X || function == FPATAN || function == FYL2XP1;
}

/* x is ST(0), y is ST(1), which only those functions look at that pop. */
struct x87_outcome x87_function(
    enum x87_function function, struct extended x, struct extended y, uint16_t control);

#endif
