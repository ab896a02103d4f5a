/*
 * Arithmetic on the host's own instructions, for those that define all of CF PF AF ZF SF OF, and
 * for AND, OR, XOR, TEST, whose AF the manuals leave open and every processor clears
 * (alu_logic_clears_adjust() looks). For the others see vendor.h. struct cpu keeps the flags as
 * LAHF and SETO deliver them (cpu.h), so handing them over costs two instructions, and loading them
 * (ADD of 127 to the OF byte, SAHF) another two.
 */
#ifndef VMM_CPU_FLAGS_H
#define VMM_CPU_FLAGS_H

#include "vmm/cpu/cpu.h"

#define LOAD_FLAGS  "addb $127, %%al\n\tsahf\n\t"
#define STORE_FLAGS "\n\tlahf\n\tseto %%al"

/*
 * result = OPERATION of `left` (in place, with `size` low bytes significant) and `right`, flags in
 * and out through `flags` (a uint32_t).
 */
#define HOST_BINARY_1(text, modifier, left, right, flags)                     \
    __asm__(LOAD_FLAGS text " %" modifier "[b], %" modifier "[a]" STORE_FLAGS \
            : [a] "+r"(left), "+a"(flags)                                     \
            : [b] "r"(right)                                                  \
            : "cc")
#define HOST_BINARY(text, size, left, right, flags)           \
    do {                                                      \
        switch (size) {                                       \
        case 1:                                               \
            HOST_BINARY_1(text "b", "b", left, right, flags); \
            break;                                            \
        case 2:                                               \
            HOST_BINARY_1(text "w", "w", left, right, flags); \
            break;                                            \
        case 4:                                               \
            HOST_BINARY_1(text "l", "k", left, right, flags); \
            break;                                            \
        default:                                              \
            HOST_BINARY_1(text "q", "q", left, right, flags); \
            break;                                            \
        }                                                     \
    } while (0)

#define HOST_UNARY_1(text, modifier, value, flags)          \
    __asm__(LOAD_FLAGS text " %" modifier "[a]" STORE_FLAGS \
            : [a] "+r"(value), "+a"(flags)                  \
            :                                               \
            : "c"                                           \
              "c")
#define HOST_UNARY(text, size, value, flags)           \
    do {                                               \
        switch (size) {                                \
        case 1:                                        \
            HOST_UNARY_1(text "b", "b", value, flags); \
            break;                                     \
        case 2:                                        \
            HOST_UNARY_1(text "w", "w", value, flags); \
            break;                                     \
        case 4:                                        \
            HOST_UNARY_1(text "l", "k", value, flags); \
            break;                                     \
        default:                                       \
            HOST_UNARY_1(text "q", "q", value, flags); \
            break;                                     \
        }                                              \
    } while (0)

/* Does condition code `condition` (0 to 15, as in Jcc) hold? */
static inline bool condition_holds(uint16_t flags, unsigned condition)
{
    bool overflow = flags & 1, sign = flags >> 15, holds;
    switch (condition >> 1) {
    case 0:
        holds = overflow;
        break;
    case 1:
        holds = flags & FLAG_CF << 8;
        break;
    case 2:
        holds = flags & FLAG_ZF << 8;
        break;
    case 3:
        holds = flags & (FLAG_CF | FLAG_ZF) << 8;
        break;
    case 4:
        holds = sign;
        break;
    case 5:
        holds = flags & FLAG_PF << 8;
        break;
    case 6:
        holds = sign != overflow;
        break;
    default:
        holds = sign != overflow || (flags & FLAG_ZF << 8);
        break;
    }
    return holds != (condition & 1);
}

#endif
