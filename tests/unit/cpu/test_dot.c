/* Which of several NaNs DPPS and DPPD give, by each maker's order of additions. The AMD order is
 * held against an AMD host by test_sse, Intel's of DPPS by golden vectors. */
#include "native.h"

#include "vmm/cpu/simd.h"

enum { OPCODE_DPPS = 0x40, OPCODE_DPPD = 0x41 };

static uint32_t mxcsr = 0x1f80;

static void run(struct personality personality, unsigned opcode, unsigned immediate,
    const void *left, const void *right, void *result)
{
    struct cpu *cpu = test.cpu;
    jmp_buf escape;
    struct insn insn = {.map = MAP_0F3A,
        .opcode = (uint8_t)opcode,
        .prefix = PREFIX_66,
        .modrm = 0xc1,
        .reg = 0,
        .rm = 1,
        .immediate = (int64_t)immediate};
    cpu->personality = personality;
    cpu->s.fpu.mxcsr = mxcsr;
    memcpy(cpu->s.fpu.xmm[0], left, 16);
    memcpy(cpu->s.fpu.xmm[1], right, 16);
    cpu->escape = &escape;
    assert_int_equal(setjmp(escape), 0);
    simd_handler (&insn)(cpu, &insn);
    simd_leave(cpu);
    memcpy(result, cpu->s.fpu.xmm[0], 16);
}

static void dppd_gives_the_first_nan(void **state)
{
    (void)state;
    const uint64_t left[2] = {0x7ff8000000000001, 0x7ff8000000000002};
    const uint64_t right[2] = {0x3ff0000000000000, 0x3ff0000000000000};
    const uint64_t infinite[2] = {0x7ff0000000000000, 0x7ff8000000000002};
    const uint64_t zero[2] = {0, 0x3ff0000000000000};
    for (unsigned i = 0; i < 2; i++) {
        const struct personality personality = {i ? MAKER_INTEL : MAKER_AMD, 2};
        uint64_t result[2];
        run(personality, OPCODE_DPPD, 0x33, left, right, result);
        assert_int_equal(result[0], left[0]);
        assert_int_equal(result[1], left[0]);
        run(personality, OPCODE_DPPD, 0x21, left, right, result);
        assert_int_equal(result[0], left[1]); /* a single NaN, a single lane */
        assert_int_equal(result[1], 0);
        run(personality, OPCODE_DPPD, 0x32, infinite, zero, result);
        assert_int_equal(result[0], 0);
        assert_int_equal(result[1], 0xfff8000000000000);
    }
}

static void each_lane_of_dpps_has_its_order_on_intel(void **state)
{
    (void)state;
    const uint32_t left[4] = {0x7fc00001, 0x7fc00002, 0x7fc00003, 0x7fc00004};
    const uint32_t right[4] = {0x3f800000, 0x3f800000, 0x3f800000, 0x3f800000};
    static const uint8_t expected[2][4] = {{1, 1, 1, 1}, {2, 1, 4, 3}};
    for (unsigned i = 0; i < 2; i++) {
        uint32_t result[4];
        run((struct personality){i ? MAKER_INTEL : MAKER_AMD, 2}, OPCODE_DPPS, 0xff, left, right,
            result);
        for (unsigned k = 0; k < 4; k++)
            assert_int_equal(result[k] & 0xff, expected[i][k]);
    }
}

/* Two products that overflow to infinities of both signs make a NaN of their own, before that of
 * an operand; with rounding to zero they stay finite. */
static void products_that_overflow_count(void **state)
{
    (void)state;
    enum { HUGE_SINGLE = 0x7f000000, TOWARD_ZERO = 0x6000 };
    const uint32_t left[4] = {HUGE_SINGLE, HUGE_SINGLE | 1u << 31, 0, 0x7fefffff};
    const uint32_t right[4] = {HUGE_SINGLE, HUGE_SINGLE, 0, 0x3f800000};
    for (unsigned i = 0; i < 2; i++) {
        const struct personality personality = {i ? MAKER_INTEL : MAKER_AMD, 2};
        uint32_t result[4];
        mxcsr = 0x1f80;
        run(personality, OPCODE_DPPS, 0xb1, left, right, result);
        assert_int_equal(result[0], 0xffc00000);
        mxcsr = 0x1f80 | TOWARD_ZERO;
        run(personality, OPCODE_DPPS, 0xb1, left, right, result);
        assert_int_equal(result[0], 0x7fefffff);
    }
    mxcsr = 0x1f80;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dppd_gives_the_first_nan),
        cmocka_unit_test(each_lane_of_dpps_has_its_order_on_intel),
        cmocka_unit_test(products_that_overflow_count),
    };
    return cmocka_run_group_tests(tests, native_setup, native_teardown);
}
