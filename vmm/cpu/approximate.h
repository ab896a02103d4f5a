/*
 * RCPPS and RSQRTPS: approximations that each maker's processors have their own of, the same on all
 * inputs with every MXCSR, which they neither read nor write.
 */
#ifndef VMM_CPU_APPROXIMATE_H
#define VMM_CPU_APPROXIMATE_H

#include <stdbool.h>
#include <stdint.h>

/* Single-precision bits of about 1/x and 1/sqrt(x). */
uint32_t approximate_reciprocal(bool intel, uint32_t x);
uint32_t approximate_root(bool intel, uint32_t x);

/*
 * AMD's tables (approximate_table.c), for x from 1 to 2: of 1/x, of 1/sqrt(x), of 1/sqrt(2x). An
 * entry of 4096 is coarse[upper 8 bits of 12] - fine[upper 4, lower 4], in units of 2^-13 above
 * 1/2.
 */
enum { APPROXIMATE_RECIPROCAL, APPROXIMATE_ROOT, APPROXIMATE_ROOT_OF_TWICE };
extern const uint16_t approximate_coarse[3][256];
extern const uint8_t approximate_fine[3][256];

#endif
