/* Which values APIC_BASE takes and which registers of x2APIC mode there are: Intel SDM volume 3,
 * tables 11-5 and 11-6, AMD64 APM volume 2, 16.9 and 16.11. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vmm/arch/apic_msr.h"

enum { OFF = 0xfee00100, XAPIC = 0xfee00900 };
#define X2APIC 0xfee00d00ull

static void modes_follow_one_another(void **state)
{
    (void)state;
    static const struct {
        uint64_t old, value;
        bool extended, plain; /* allowed where there are extensions, and where not */
    } cases[] = {
        {XAPIC, XAPIC, true, true},
        {XAPIC, OFF, true, true},
        {OFF, XAPIC, true, true},
        {OFF, OFF, true, true},
        {XAPIC, X2APIC, true, false},
        {X2APIC, X2APIC, true, false},
        {X2APIC, OFF, true, true},
        {X2APIC, XAPIC, false, false},
        {OFF, X2APIC, false, false},
        {XAPIC, 0xfee00500, false, false}, /* x2APIC mode of a disabled one */
        {OFF, 0xfee00500, false, false},
        {XAPIC, XAPIC + 0x100000, true, true}, /* elsewhere */
        {XAPIC, XAPIC | 1, false, false},
        {XAPIC, XAPIC | 0x200, false, false},
        {XAPIC, XAPIC | 1ull << 40, false, false}, /* beyond physical memory */
        {XAPIC, XAPIC | 1ull << 39, true, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool is_plain = cases[i].old == X2APIC;
        if (apic_base_allowed(cases[i].old, cases[i].value, true) != cases[i].extended ||
            (!is_plain && apic_base_allowed(cases[i].old, cases[i].value, false) != cases[i].plain))
            fail_msg("case %zu", i);
    }
}

static void registers_are_there_in_x2apic_mode_alone(void **state)
{
    (void)state;
    static const struct {
        uint32_t index;
        bool readable, writable; /* with 0 */
        uint64_t widest;         /* all bits that may be written */
    } cases[] = {
        {0x800, false, false, 0},
        {0x802, true, false, 0},
        {0x803, true, false, 0},
        {0x808, true, true, 0xff},
        {0x809, false, false, 0}, /* no APR */
        {0x80a, true, false, 0},
        {0x80b, false, true, 0},
        {0x80d, true, false, 0},
        {0x80e, false, false, 0}, /* no DFR */
        {0x80f, true, true, 0x1ff},
        {0x810, true, false, 0},
        {0x827, true, false, 0},
        {0x828, true, true, 0},
        {0x82f, false, false, 0}, /* no CMCI */
        {0x830, true, true, 0xffffffff000ccfff},
        {0x831, false, false, 0},
        {0x832, true, true, 0x710ff},
        {0x834, true, true, 0x117ff},
        {0x836, true, true, 0x1f7ff},
        {0x837, true, true, 0x110ff},
        {0x838, true, true, 0xffffffff},
        {0x839, true, false, 0},
        {0x83e, true, true, 0xb},
        {0x83f, false, true, 0xff},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t index = cases[i].index;
        bool is_right = apic_msr_is(index) &&
                        apic_msr_readable(X2APIC, index) == cases[i].readable &&
                        apic_msr_writable(X2APIC, index, 0) == cases[i].writable &&
                        !apic_msr_readable(XAPIC, index) && !apic_msr_writable(XAPIC, index, 0) &&
                        !apic_msr_readable(OFF, index);
        for (unsigned bit = 0; bit < 64 && cases[i].writable; bit++)
            is_right &=
                apic_msr_writable(X2APIC, index, 1ull << bit) == (cases[i].widest >> bit & 1);
        if (!is_right)
            fail_msg("MSR %x", index);
    }
    assert_false(apic_msr_is(0x7ff) || apic_msr_is(0x840));
    assert_false(apic_msr_readable(X2APIC, 0x840));
    assert_true(apic_msr_is(0x6e0) && apic_msr_readable(XAPIC, 0x6e0));
    assert_true(apic_msr_writable(OFF, 0x6e0, UINT64_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modes_follow_one_another),
        cmocka_unit_test(registers_are_there_in_x2apic_mode_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
