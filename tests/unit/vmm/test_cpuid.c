/* What CPUID tells guests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "vmm/arch/cpuid.h"
#include "vmm/arch/vcpu.h"

/* Bit numbers from APM volume 3, appendix E. */
static void features_are_those_of_the_model(void **state)
{
    (void)state;
    static const struct {
        uint32_t function;
        unsigned reg, bit, value;
        const char *name;
    } cases[] = {
        {1, 3, 0, 1, "FPU"},
        {1, 3, 1, 0, "VME"},
        {1, 3, 2, 1, "DE"},
        {1, 3, 3, 1, "PSE"},
        {1, 3, 4, 1, "TSC"},
        {1, 3, 5, 1, "MSR"},
        {1, 3, 6, 1, "PAE"},
        {1, 3, 7, 0, "MCE"},
        {1, 3, 8, 1, "CMPXCHG8B"},
        {1, 3, 9, 1, "APIC"},
        {1, 3, 11, 1, "SEP"},
        {1, 3, 12, 0, "MTRR"},
        {1, 3, 13, 1, "PGE"},
        {1, 3, 15, 1, "CMOV"},
        {1, 3, 16, 1, "PAT"},
        {1, 3, 19, 1, "CLFSH"},
        {1, 3, 23, 1, "MMX"},
        {1, 3, 24, 1, "FXSR"},
        {1, 3, 25, 1, "SSE"},
        {1, 3, 26, 1, "SSE2"},
        {1, 2, 0, 1, "SSE3"},
        {1, 2, 1, 0, "PCLMULQDQ"},
        {1, 2, 3, 0, "MONITOR"},
        {1, 2, 9, 1, "SSSE3"},
        {1, 2, 12, 0, "FMA"},
        {1, 2, 13, 1, "CMPXCHG16B"},
        {1, 2, 17, 0, "PCID"},
        {1, 2, 19, 1, "SSE4.1"},
        {1, 2, 20, 1, "SSE4.2"},
        {1, 2, 21, 0, "x2APIC"},
        {1, 2, 22, 0, "MOVBE"},
        {1, 2, 23, 1, "POPCNT"},
        {1, 2, 24, 0, "TSC deadline"},
        {1, 2, 25, 0, "AES"},
        {1, 2, 26, 0, "XSAVE"},
        {1, 2, 27, 0, "OSXSAVE"},
        {1, 2, 28, 0, "AVX"},
        {1, 2, 30, 0, "RDRAND"},
        {1, 2, 31, 0, "hypervisor"},
        {7, 1, 0, 0, "FSGSBASE"},
        {7, 1, 7, 0, "SMEP"},
        {7, 1, 20, 0, "SMAP"},
        {0x80000001, 3, 11, 1, "SYSCALL"},
        {0x80000001, 3, 20, 1, "NX"},
        {0x80000001, 3, 26, 1, "1 GiB pages"},
        {0x80000001, 3, 27, 1, "RDTSCP"},
        {0x80000001, 3, 29, 1, "LM"},
        {0x80000001, 2, 0, 1, "LAHF"},
        {0x80000001, 2, 2, 0, "SVM"},
        {0x80000001, 2, 5, 0, "ABM"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t out[4];
        cpuid_query(cases[i].function, 0, out);
        if ((out[cases[i].reg] >> cases[i].bit & 1) != cases[i].value)
            fail_msg("%s is not %u", cases[i].name, cases[i].value);
    }
}

static void identity(void **state)
{
    (void)state;
    uint32_t out[4];
    cpuid_query(0, 0, out);
    assert_int_equal(out[0], 7);
    uint32_t vendor[3] = {out[1], out[3], out[2]};
    assert_memory_equal(vendor, "AuthenticAMD", 12);
    char brand[49] = "";
    for (uint32_t i = 0; i < 3; i++) {
        cpuid_query(0x80000002 + i, 0, out);
        memcpy(brand + 16 * i, out, 16);
    }
    assert_string_equal(brand, "hindsight hs64-v1 virtual CPU");
    cpuid_query(1, 0, out);
    assert_int_equal(out[1] >> 24, 0);              /* APIC id */
    assert_int_equal((out[1] >> 8 & 0xff) * 8, 64); /* CLFLUSH line */
    cpuid_query(0x80000008, 0, out);
    assert_int_equal(out[0] & 0xff, CPUID_PHYSICAL_BITS);
    assert_int_equal(out[0] >> 8 & 0xff, 48);
    assert_int_equal(out[2] & 0xff, 0); /* one core */
}

/* Beside what every machine has: x2APIC mode, the TSC-deadline timer, and what goes with them. */
static void extensions_of_the_apic_are_told(void **state)
{
    (void)state;
    const struct cpuid_vcpu plain = {.number = 2, .count = 3};
    const struct cpuid_vcpu extended = {.number = 2, .count = 3, .apic_extensions = true};
    static const struct {
        uint32_t function, index, expected[4]; /* differences */
    } cases[] = {
        {0, 0, {7 ^ 0xb, 0, 0, 0}}, {1, 0, {0, 0, 1 << 21 | 1 << 24, 0}},
        {6, 0, {1 << 2, 0, 0, 0}},                        /* the APIC timer always runs */
        {7, 0, {0, 0, 0, 0}}, {0xb, 0, {0, 1, 0x100, 2}}, /* one thread a core */
        {0xb, 1, {2, 3, 0x201, 2}},                       /* three of four */
        {0xb, 2, {0, 0, 2, 2}}, {0x80000001, 0, {0, 0, 0, 0}},
        {0x80000007, 0, {0, 0, 0, 1 << 8}}, /* the TSC is invariant */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t without[4], with[4];
        cpuid_query_vcpu(cases[i].function, cases[i].index, &plain, without);
        cpuid_query_vcpu(cases[i].function, cases[i].index, &extended, with);
        for (unsigned j = 0; j < 4; j++) {
            if ((with[j] ^ without[j]) != cases[i].expected[j])
                fail_msg("leaf %x.%u, register %u", cases[i].function, cases[i].index, j);
        }
    }
}

static void what_is_out_of_range_reads_zero(void **state)
{
    (void)state;
    static const uint32_t functions[] = {
        8, 0xd, 0x40000000, 0x7fffffff, 0x80000009, 0x8fffffff, 0xc0000000, UINT32_MAX};
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        uint32_t out[4] = {1, 2, 3, 4}, zero[4] = {0};
        cpuid_query(functions[i], 0, out);
        assert_memory_equal(out, zero, sizeof zero);
    }
}

/* FCS and FDS: AMD's rules have them since revision 2. */
static void leaf_7_says_whether_fcs_and_fds_are_kept(void **state)
{
    (void)state;
    static const struct {
        struct personality personality;
        uint32_t absent;
    } cases[] = {{{MAKER_AMD, 1}, 1}, {{MAKER_AMD, 2}, 0}, {{MAKER_INTEL, 2}, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct cpuid_vcpu vcpu = {0, 1, cases[i].personality, false};
        uint32_t out[4];
        cpuid_query_vcpu(7, 0, &vcpu, out);
        assert_int_equal(out[1] >> 13 & 1, cases[i].absent);
        cpuid_query_vcpu(1, 0, &vcpu, out);
        assert_int_equal(out[1], 0x00010800); /* that leaf alone */
    }
}

static void leaves_agree_with_queries(void **state)
{
    (void)state;
    unsigned count;
    const struct cpuid_leaf *leaves = cpuid_leaves(&count);
    assert_true(count > 8);
    for (unsigned i = 0; i < count; i++) {
        uint32_t out[4];
        cpuid_query(leaves[i].function, leaves[i].index, out);
        assert_int_equal(out[0], leaves[i].eax);
        assert_int_equal(out[1], leaves[i].ebx);
        assert_int_equal(out[2], leaves[i].ecx);
        assert_int_equal(out[3], leaves[i].edx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features_are_those_of_the_model),
        cmocka_unit_test(identity),
        cmocka_unit_test(extensions_of_the_apic_are_told),
        cmocka_unit_test(what_is_out_of_range_reads_zero),
        cmocka_unit_test(leaf_7_says_whether_fcs_and_fds_are_kept),
        cmocka_unit_test(leaves_agree_with_queries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
