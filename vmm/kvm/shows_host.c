/* Looks through code for instructions that show the host. */
#include "vmm/kvm/shows_host.h"

#include <string.h>

enum { ESCAPE = 0x0f, PREFIX_F3 = 0xf3, OPCODE_BSF = 0xbc, OPCODE_BSR = 0xbd };

/* The opcode after 0F, and the byte after it. */
static bool shows(uint8_t opcode, uint8_t next)
{
    const bool is_register = next >= 0xc0;
    const unsigned reg = next >> 3 & 7;
    switch (opcode) {
    case 0x01: /* XGETBV, RDPKRU, RDPRU */
        return next == 0xd0 || next == 0xee || next == 0xfd;
    case 0x02: /* LAR */
    case 0x03: /* LSL */
        return next != 0;
    case 0xa2: /* CPUID */
        return true;
    case 0xae: /* RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE; FXSAVE, for its MXCSR_MASK */
        return is_register ? reg < 4 : reg == 0;
    case 0xc7: /* RDRAND, RDSEED, RDPID */
        return is_register && reg >= 6;
    default:
        return false;
    }
}

/* Of the last byte that there is. */
static bool may_begin_one(uint8_t opcode)
{
    return opcode <= 0x03 || opcode == 0xa2 || opcode == 0xae || opcode == 0xc7;
}

/* BSF or BSR at `at` with a prefix in front, or at the beginning, where one may be on the page
 * before: TZCNT and LZCNT where the host has them, which have other flags. */
static bool counts_zeros(const uint8_t *code, size_t at)
{
    if (at == 0)
        return true;
    const bool has_rex = (code[at - 1] & 0xf0) == 0x40;
    if (has_rex && at == 1)
        return true;
    return code[at - 1] == PREFIX_F3 || (has_rex && code[at - 2] == PREFIX_F3);
}

bool code_shows_host(const uint8_t *code, size_t size)
{
    const uint8_t *const end = code + size;
    const uint8_t *at = code;
    while (at < end && (at = memchr(at, ESCAPE, (size_t)(end - at)))) {
        const size_t left = (size_t)(end - ++at);
        if (left == 0 || (left == 1 && may_begin_one(at[0])) || (left > 1 && shows(at[0], at[1])))
            return true;
        if ((at[0] == OPCODE_BSF || at[0] == OPCODE_BSR) &&
            counts_zeros(code, (size_t)(at - 1 - code)))
            return true;
    }
    return false;
}
