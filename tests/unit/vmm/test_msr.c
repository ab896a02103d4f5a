/* The MSRs that keep what is written, register by register. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vmm/arch/msr.h"

static uint64_t kept[MSR_KEPT_COUNT];

static uint64_t read(uint32_t index)
{
    uint64_t value;
    if (!msr_read(kept, index, &value))
        fail_msg("MSR %x is not there", index);
    return value;
}

static void registers_read_as_after_firmware(void **state)
{
    (void)state;
    static const struct {
        uint32_t index;
        uint64_t value;
    } cases[] = {
        {0x8b, 0x05000029},
        {0x179, 0},
        {0x17a, 0},
        {0x1a0, 0x1801},
        {0xc0010000, 0},
        {0xc0010003, 0},
        {0xc0010004, 0},
        {0xc0010007, 0},
        {0xc0010010, 0},
        {0xc0010015, 1 << 24}, /* TscFreqSel */
        {0xc001001f, 0},
        {0xc0010055, 0},
        {0xc0010058, 0},
        {0xc0011020, 0},
        {0xc0011021, 0},
        {0xc0011022, 0},
        {0xc0011023, 0},
        {0xc0011029, 0},
    };
    msr_reset(kept);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(read(cases[i].index), cases[i].value);
}

static void writes_keep_the_fields_that_there_are(void **state)
{
    (void)state;
    static const struct {
        uint32_t index;
        uint64_t value, reads;
    } cases[] = {
        {0x8b, 7, 0x05000029},                        /* ignored */
        {0x1a0, 0x400c50809, 0x400c51809},            /* bits 7, 11, 12 are what they are */
        {0xc0010000, UINT64_MAX, 0x000000fffd7fffff}, /* 19, 21 and above 39: reserved */
        {0xc0010002, 0x430076, 0x430076},             /* cycles in both rings, enabled */
        {0xc0010004, UINT64_MAX, 0x0000ffffffffffff}, /* 48 bits */
        {0xc0010007, 0x1234, 0x1234},
        {0xc0010010, UINT64_MAX, 0x7c0000}, /* MtrrFixDramEn to Tom2ForceMemTypeWB */
        {0xc0010015, 1 << 24 | 1 << 18, 1 << 24 | 1 << 18}, /* McStatusWrEn */
        {0xc0010015, 0, 0},
        {0xc001001f, UINT64_MAX, 0},
        {0xc0011020, UINT64_MAX, UINT64_MAX},
        {0xc0011029, 2, 2}, /* LFENCE is dispatch serializing */
        {0x17a, 0, 0},
    };
    msr_reset(kept);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (!msr_write(kept, cases[i].index, cases[i].value))
            fail_msg("MSR %x refuses %llx", cases[i].index, (unsigned long long)cases[i].value);
        if (read(cases[i].index) != cases[i].reads)
            fail_msg("MSR %x reads %llx", cases[i].index, (unsigned long long)read(cases[i].index));
    }
}

static void what_is_reserved_or_missing_is_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t index;
        uint64_t value;
    } writes[] = {{0x179, 0}, {0x17a, 1}, {0x1a0, 2}, {0xc0010015, 1}, {0xc0010015, 1ull << 32}};
    static const uint32_t missing[] = {
        0, 0x48, 0x49, 0x17b, 0xfe, 0x200, 0x2ff, 0x400, 0x6e0, 0xc0010008, 0xc0010114, 0xc0010200};
    uint64_t value;
    msr_reset(kept);
    for (size_t i = 0; i < sizeof writes / sizeof writes[0]; i++)
        assert_false(msr_write(kept, writes[i].index, writes[i].value));
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++) {
        assert_false(msr_read(kept, missing[i], &value));
        assert_false(msr_write(kept, missing[i], 0));
    }
}

static void every_place_has_a_name_and_an_index(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MSR_KEPT_COUNT; i++) {
        assert_string_not_equal(msr_kept_name(i), "?");
        assert_int_not_equal(msr_kept_index(i), 0);
        for (unsigned j = 0; j < i; j++)
            assert_int_not_equal(msr_kept_index(i), msr_kept_index(j));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers_read_as_after_firmware),
        cmocka_unit_test(writes_keep_the_fields_that_there_are),
        cmocka_unit_test(what_is_reserved_or_missing_is_refused),
        cmocka_unit_test(every_place_has_a_name_and_an_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
