/*
 * Results that the manuals leave undefined and the makers' processors give differently, by formula:
 * shifts, rotates, multiplication, division, bit scans, what some prefixes do. Measured on AMD
 * family 25 model 17 and on Intel family 6 model 207; tests/differential/vectors holds what they
 * did.
 *
 * Flags are in the form that struct cpu keeps (flags_to_rflags() in cpu.h). Where `intel` and the
 * size are constants, little code is left.
 */
#ifndef VMM_CPU_VENDOR_H
#define VMM_CPU_VENDOR_H

#include "vmm/cpu/cpu.h"

enum {
    KEPT_OF = 1,
    KEPT_CF = FLAG_CF << 8,
    KEPT_PF = FLAG_PF << 8,
    KEPT_AF = FLAG_AF << 8,
    KEPT_ZF = FLAG_ZF << 8,
    KEPT_SF = FLAG_SF << 8,
};

/* Operations as in ModRM.reg of C0, C1, D0 to D3. */
enum {
    SHIFT_ROL,
    SHIFT_ROR,
    SHIFT_RCL,
    SHIFT_RCR,
    SHIFT_SHL,
    SHIFT_SHR,
    SHIFT_SHL_ALIAS,
    SHIFT_SAR
};

struct shifted {
    uint64_t value;
    uint16_t flags;
};

static inline unsigned vendor_bit(uint64_t value, unsigned number)
{
    return value >> number & 1;
}

/* PF, ZF, SF of a result that has no bits beyond its size. */
static inline unsigned vendor_result_flags(uint64_t value, unsigned bits)
{
    unsigned flags = __builtin_parity((unsigned)value & 0xff) ? 0 : KEPT_PF;
    flags |= value ? 0 : KEPT_ZF;
    return flags | vendor_bit(value, bits - 1) * KEPT_SF;
}

static inline unsigned shift_count(unsigned count, unsigned bits)
{
    return count & (bits == 64 ? 63 : 31);
}

/* OF after a rotation or shift to the left or to the right; AMD's is of the result alone. */
static inline unsigned vendor_overflow(
    bool intel, bool left, unsigned bits, uint64_t before, unsigned carry_in, struct shifted *after)
{
    unsigned top = bits - 1;
    if (!intel)
        return vendor_bit(after->value, top) ^
               (left ? (unsigned)!!(after->flags & KEPT_CF) : vendor_bit(after->value, top - 1));
    return vendor_bit(before, top) ^ (left ? vendor_bit(before, top - 1) : carry_in);
}

static inline struct shifted vendor_rotate(
    bool intel, bool left, unsigned bits, uint64_t value, unsigned count, uint16_t flags)
{
    unsigned by = count % bits;
    struct shifted result = {value, flags};
    if (by && left)
        result.value = value << by | value >> (bits - by);
    else if (by)
        result.value = value >> by | value << (bits - by);
    result.value &= UINT64_MAX >> (64 - bits);
    unsigned carry = vendor_bit(result.value, left ? 0 : bits - 1);
    result.flags = (uint16_t)((flags & ~(KEPT_CF | KEPT_OF)) | carry * KEPT_CF);
    result.flags |=
        (uint16_t)vendor_overflow(intel, left, bits, value, (unsigned)value & 1, &result);
    return result;
}

static inline struct shifted vendor_rotate_carry(
    bool intel, bool left, unsigned bits, uint64_t value, unsigned count, uint16_t flags)
{
    unsigned by = count % (bits + 1), carry = !!(flags & KEPT_CF);
    unsigned __int128 all = (unsigned __int128)carry << bits | value;
    struct shifted result = {value, flags};
    if (!by && intel)
        return result;
    if (by) {
        unsigned up = left ? by : bits + 1 - by;
        all = all << up | all >> (bits + 1 - up);
    }
    result.value = (uint64_t)all & (UINT64_MAX >> (64 - bits));
    result.flags =
        (uint16_t)((flags & ~(KEPT_CF | KEPT_OF)) | ((unsigned)(all >> bits) & 1) * KEPT_CF);
    result.flags |= (uint16_t)vendor_overflow(intel, left, bits, value, carry, &result);
    return result;
}

/* SHL, SHR, SAR: AF is 1 on AMD's, 0 on Intel's processors. */
static inline struct shifted vendor_shift(
    bool intel, unsigned operation, unsigned bits, uint64_t value, unsigned count)
{
    uint64_t mask = UINT64_MAX >> (64 - bits);
    bool left = operation == SHIFT_SHL;
    struct shifted result = {.value = 0};
    unsigned carry;
    if (operation == SHIFT_SAR) {
        int64_t extended = (int64_t)(value << (64 - bits)) >> (64 - bits);
        result.value = (uint64_t)(extended >> count) & mask;
        carry = vendor_bit((uint64_t)(extended >> (count - 1)), 0);
    } else if (left) {
        result.value = count < bits ? value << count & mask : 0;
        carry = count <= bits ? vendor_bit(value, bits - count) : 0;
    } else {
        result.value = count < bits ? value >> count : 0;
        carry = count <= bits ? vendor_bit(value, count - 1) : 0;
    }
    result.flags = (uint16_t)(vendor_result_flags(result.value, bits) | carry * KEPT_CF);
    if (operation != SHIFT_SAR)
        result.flags |= (uint16_t)vendor_overflow(intel, left, bits, value, 0, &result);
    result.flags |= intel ? 0 : KEPT_AF;
    return result;
}

/*
 * `value` has no bits beyond its size. `keeps_overflow`: C0 and C1 with a register, where Intel's
 * ROL and ROR by other counts than 1 leave OF alone.
 */
static inline struct shifted vendor_shift_rotate(bool intel, unsigned operation, unsigned bits,
    uint64_t value, unsigned count, bool keeps_overflow, uint16_t flags)
{
    struct shifted result;
    bool left = !(operation & 1);
    count = shift_count(count, bits);
    if (!count)
        return (struct shifted){value, flags};
    if (operation == SHIFT_SHL_ALIAS)
        operation = SHIFT_SHL;
    if (operation >= SHIFT_SHL)
        return vendor_shift(intel, operation, bits, value, count);
    if (operation >= SHIFT_RCL)
        return vendor_rotate_carry(intel, left, bits, value, count, flags);
    result = vendor_rotate(intel, left, bits, value, count, flags);
    if (intel && keeps_overflow && count != 1)
        result.flags = (uint16_t)((result.flags & ~KEPT_OF) | (flags & KEPT_OF));
    return result;
}

/*
 * SHLD, SHRD. With 16 bits and a count beyond 16 Intel shifts VALUE:RIGHT:VALUE (SHLD; SHRD:
 * VALUE:RIGHT:VALUE from the other end), AMD has RIGHT twice and clears CF.
 */
static inline struct shifted vendor_double_shift(bool intel, bool left, unsigned bits,
    uint64_t value, uint64_t right, unsigned count, uint16_t flags)
{
    struct shifted result = {value, flags};
    uint64_t mask = UINT64_MAX >> (64 - bits);
    unsigned carry;
    count = shift_count(count, bits);
    if (!count)
        return result;
    if (count > bits) {
        uint64_t fill = intel ? value : right;
        uint64_t all = left ? value << 32 | right << 16 | fill : fill << 32 | right << 16 | value;
        result.value = (left ? all << count >> 32 : all >> count) & mask;
        carry = intel ? vendor_bit(all, left ? 48 - count : count - 1) : 0;
    } else {
        uint64_t rest = count == bits ? 0 : left ? value << count : value >> count;
        result.value = (rest | (left ? right >> (bits - count) : right << (bits - count))) & mask;
        carry = vendor_bit(value, left ? bits - count : count - 1);
    }
    result.flags = (uint16_t)(vendor_result_flags(result.value, bits) | carry * KEPT_CF);
    if (!intel && left && count >= bits)
        result.flags |= (uint16_t)carry; /* OF; the sign does not count */
    else
        result.flags |=
            (uint16_t)vendor_overflow(intel, left, bits, value, (unsigned)right & 1, &result);
    result.flags |= intel ? 0 : KEPT_AF;
    return result;
}

/* MUL and IMUL: beyond CF and OF AMD's keep the flags, Intel's have SF and PF of the low half. */
static inline uint16_t vendor_multiply_flags(
    bool intel, uint64_t low, unsigned bits, bool overflow, uint16_t flags)
{
    unsigned rest = flags & (KEPT_PF | KEPT_AF | KEPT_ZF | KEPT_SF);
    if (intel)
        rest = vendor_result_flags(low & (UINT64_MAX >> (64 - bits)), bits) & ~(unsigned)KEPT_ZF;
    return (uint16_t)(rest | (overflow ? KEPT_CF | KEPT_OF : 0));
}

/* DIV and IDIV: Intel's keep all flags, AMD's CF and OF. */
static inline uint16_t vendor_divide_flags(bool intel, uint16_t flags)
{
    return intel ? flags : (uint16_t)((flags & (KEPT_CF | KEPT_OF)) | KEPT_AF);
}

/* BSF and BSR, the same on both: PF is of the index as a number. */
static inline uint16_t vendor_scan_flags(bool found, unsigned index)
{
    if (!found)
        return KEPT_ZF | KEPT_PF;
    return __builtin_parity(index) ? 0 : KEPT_PF;
}

/* BSF and BSR of zero, the same on both: all 64 bits of the destination stay. */
static inline uint64_t vendor_scan_of_zero(uint64_t destination, unsigned size)
{
    (void)size;
    return destination;
}

/* BSWAP of 16 bits, in a register of 64, the same on both. */
static inline uint64_t vendor_swap_word(uint64_t value)
{
    return value & ~0xffffull;
}

/* LOOPE (`while_zero`), LOOPNE: with AMD REP and REPNE stand for the condition, as in the string
 * instructions. */
static inline bool vendor_loop_while_zero(bool intel, bool while_zero, bool rep, bool repne)
{
    return intel || !(rep || repne) ? while_zero : rep;
}

#endif
