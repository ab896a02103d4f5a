/*
 * In place of vmm/cpu/vendor.h for those files of the software CPU that are compiled for the lab:
 * what QEMU's TCG computes, in place of AMD's processors. tests/lab/flags.c shows it, and
 * cpu_differential_tcg checks it in the lab; Intel's rules stay. BT and its kin are not here: what
 * TCG leaves in OF and AF after them depends on the instructions before.
 */
#ifndef LAB_TCG_VENDOR_H
#define LAB_TCG_VENDOR_H

#include "../../../../../vmm/cpu/vendor.h"

/* CF and OF are of `last`, the value before its last bit was shifted, and of the result. */
static inline uint16_t tcg_shift_flags(bool left, unsigned bits, uint64_t last, uint64_t value)
{
    unsigned carry = vendor_bit(last, left ? bits - 1 : 0);
    return (uint16_t)(vendor_result_flags(value, bits) | carry * KEPT_CF |
                      vendor_bit(last ^ value, bits - 1));
}

static inline struct shifted tcg_shift(
    unsigned operation, unsigned bits, uint64_t value, unsigned count)
{
    const uint64_t mask = UINT64_MAX >> (64 - bits);
    const bool left = operation == SHIFT_SHL;
    uint64_t last;
    if (operation == SHIFT_SAR) {
        int64_t extended = (int64_t)(value << (64 - bits)) >> (64 - bits);
        last = (uint64_t)(extended >> (count - 1));
        value = (uint64_t)(extended >> count);
    } else {
        last = left ? value << (count - 1) : value >> (count - 1);
        value = left ? last << 1 : last >> 1;
    }
    value &= mask;
    return (struct shifted){value, tcg_shift_flags(left, bits, last, value)};
}

/* OF is of the operand before and of the result. */
static inline struct shifted tcg_rotate_carry(
    bool left, unsigned bits, uint64_t value, unsigned count, uint16_t flags)
{
    struct shifted result = {value, flags};
    if (count % (bits + 1)) {
        result = vendor_rotate_carry(false, left, bits, value, count, flags);
        result.flags =
            (uint16_t)((result.flags & ~KEPT_OF) | vendor_bit(value ^ result.value, bits - 1));
    }
    return result;
}

static inline struct shifted tcg_shift_rotate(bool intel, unsigned operation, unsigned bits,
    uint64_t value, unsigned count, bool keeps_overflow, uint16_t flags)
{
    unsigned by = shift_count(count, bits);
    if (intel || !by || operation < SHIFT_RCL)
        return vendor_shift_rotate(intel, operation, bits, value, count, keeps_overflow, flags);
    if (operation < SHIFT_SHL)
        return tcg_rotate_carry(!(operation & 1), bits, value, by, flags);
    return tcg_shift(
        operation == SHIFT_SHL_ALIAS ? (unsigned)SHIFT_SHL : operation, bits, value, by);
}

/* Counts beyond 16 shift as Intel's processors do; of 64 bits to the right, `last` is of the left
 * operand alone. */
static inline struct shifted tcg_double_shift(bool intel, bool left, unsigned bits, uint64_t value,
    uint64_t right, unsigned count, uint16_t flags)
{
    unsigned by = shift_count(count, bits);
    struct shifted result =
        vendor_double_shift(intel || by > bits, left, bits, value, right, count, flags);
    if (intel || !by)
        return result;
    struct shifted last = {value, 0};
    if (bits == 64 && !left)
        last.value = value >> (by - 1);
    else if (by > 1)
        last = vendor_double_shift(by - 1 > bits, left, bits, value, right, by - 1, flags);
    result.flags = tcg_shift_flags(left, bits, last.value, result.value);
    return result;
}

/* `low` is all of the product of bytes. */
static inline uint16_t tcg_multiply_flags(
    bool intel, uint64_t low, unsigned bits, bool overflow, uint16_t flags)
{
    if (intel)
        return vendor_multiply_flags(intel, low, bits, overflow, flags);
    return (uint16_t)(vendor_result_flags(low & (UINT64_MAX >> (64 - bits)), bits) |
                      (overflow ? KEPT_CF | KEPT_OF : 0));
}

static inline uint16_t tcg_divide_flags(bool intel, uint16_t flags)
{
    (void)intel;
    return flags;
}

static inline uint64_t tcg_scan_of_zero(uint64_t destination, unsigned size)
{
    return size == 4 ? (uint32_t)destination : destination;
}

static inline uint64_t tcg_swap_word(uint64_t value)
{
    return __builtin_bswap32((uint32_t)value);
}

/* Prefixes change nothing. */
static inline bool tcg_loop_while_zero(bool intel, bool while_zero, bool rep, bool repne)
{
    (void)intel;
    (void)rep;
    (void)repne;
    return while_zero;
}

#define vendor_shift_rotate    tcg_shift_rotate
#define vendor_double_shift    tcg_double_shift
#define vendor_multiply_flags  tcg_multiply_flags
#define vendor_divide_flags    tcg_divide_flags
#define vendor_scan_of_zero    tcg_scan_of_zero
#define vendor_swap_word       tcg_swap_word
#define vendor_loop_while_zero tcg_loop_while_zero
/* With the operand's size from where it is used. */
#define vendor_scan_flags(operand, number) \
    ((void)(number), (uint16_t)vendor_result_flags(operand, 8 * size))

#endif
