/* The vCPU's state: at power-on, canonical, saved, restored and compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "vmm/arch/vcpu.h"

/* APM volume 2, table 14-1. */
static void power_on(void **state)
{
    (void)state;
    struct vcpu_state s;
    vcpu_reset(&s);
    assert_true(s.segment[SEG_CS].base + s.rip == 0xfffffff0);
    assert_int_equal(s.segment[SEG_CS].selector, 0xf000);
    assert_int_equal(s.segment[SEG_CS].limit, 0xffff);
    assert_int_equal(s.rflags, 2);
    assert_true(s.cr0 == 0x60000010);
    assert_true(s.dr6 == 0xffff0ff0 && s.dr7 == 0x400);
    assert_int_equal(s.idt.limit, 0xffff);
    assert_int_equal(s.fpu.mxcsr, 0x1f80);
    assert_int_equal(s.fpu.control, 0x40);
    assert_int_equal(s.efer | s.cr4 | s.cr3, 0);
    assert_int_equal(vcpu_cpl(&s), 0);
    struct vcpu_state again = s;
    vcpu_canonicalize(&again);
    assert_memory_equal(&again, &s, sizeof s);
}

/* 64-bit mode at `cpl` with flat segments. */
static struct vcpu_state long_mode_state(unsigned cpl)
{
    struct vcpu_state s;
    vcpu_reset(&s);
    s.cr0 = CR0_PE | CR0_PG | CR0_ET;
    s.cr4 = CR4_PAE;
    s.efer = EFER_LME | EFER_LMA;
    s.segment[SEG_CS] =
        (struct segment){0, 0xffffffff, (uint16_t)(8 | cpl), (uint16_t)(0xa9b | cpl << 5)};
    for (unsigned i = 0; i < SEG_COUNT; i++)
        if (i != SEG_CS)
            s.segment[i] =
                (struct segment){0, 0xffffffff, (uint16_t)(16 | cpl), (uint16_t)(0xc93 | cpl << 5)};
    s.rip = 0x1000;
    return s;
}

static void what_cannot_be_observed_is_fixed(void **state)
{
    (void)state;
    struct vcpu_state a = long_mode_state(0), b;
    a.segment[SEG_DS] = (struct segment){0, 0, 0, 0};
    a.segment[SEG_GS] = (struct segment){0xffff800000000000, 0, 0, 0};
    vcpu_canonicalize(&a);
    b = a;
    b.segment[SEG_DS] = (struct segment){0x1234, 0xfffff, 0, 0xc13}; /* not present */
    b.segment[SEG_GS].limit = 99;
    b.segment[SEG_ES].attributes &= ~SEG_ACCESSED;
    b.tr.attributes &= ~2; /* a loaded TSS is busy even if the host says available */
    b.rflags |= 1 << 3 | 1 << 5 | 1ull << 40;
    b.rflags &= ~2ull;
    b.cr0 &= ~CR0_ET;
    b.dr6 = 0;
    b.dr7 = 0;
    b.fpu.opcode = 0xf800; /* above its 11 bits */
    b.fpu.mxcsr_mask = 0x2ffff;
    b.fpu.st[3][10] = 0xff;
    b.fpu.reserved1[40] = 1;
    b.fpu.reserved2[40] = 1;
    b.exception_vector = 14; /* none pending */
    b.exception_error = 5;
    assert_true(vcpu_digest_full(&a) != vcpu_digest_full(&b));
    vcpu_canonicalize(&b);
    struct buffer text = {0};
    unsigned differences = vcpu_compare(&a, &b, &text);
    if (differences)
        fail_msg("%.*s", (int)text.size, (const char *)text.data);
    assert_true(vcpu_digest_full(&a) == vcpu_digest_full(&b));
    assert_true(a.segment[SEG_GS].base == 0xffff800000000000);
    buffer_free(&text);
}

static void a_null_stack_segment_keeps_the_cpl(void **state)
{
    (void)state;
    struct vcpu_state s = long_mode_state(1);
    s.segment[SEG_SS] = (struct segment){77, 88, 1, 1 << SEG_DPL_SHIFT | 3};
    vcpu_canonicalize(&s);
    assert_int_equal(vcpu_cpl(&s), 1);
    assert_int_equal(s.segment[SEG_SS].attributes, 1 << SEG_DPL_SHIFT);
    assert_int_equal(s.segment[SEG_SS].base, 0);
}

static void x87_summary_bits_follow_the_flags(void **state)
{
    (void)state;
    struct vcpu_state s;
    vcpu_reset(&s);
    s.fpu.control = 0x37f;
    s.fpu.status = 0x8080 | 4; /* ZE masked: no summary */
    vcpu_canonicalize(&s);
    assert_int_equal(s.fpu.status, 4);
    s.fpu.control = 0x37b; /* unmasked */
    vcpu_canonicalize(&s);
    assert_int_equal(s.fpu.status, 0x8084);
}

static void the_core_digest_leaves_out_fpu_and_later_msrs(void **state)
{
    (void)state;
    struct vcpu_state a = long_mode_state(3), b;
    vcpu_canonicalize(&a);
    b = a;
    b.fpu.xmm[3][2] = 1;
    b.lstar = 1;
    b.tsc_offset = 1;
    assert_true(vcpu_digest_core(&a) == vcpu_digest_core(&b));
    assert_true(vcpu_digest_full(&a) != vcpu_digest_full(&b));
    b = a;
    b.apic_base ^= 0x1000;
    assert_true(vcpu_digest_core(&a) != vcpu_digest_core(&b));
}

static void both_digests_cover_every_flag(void **state)
{
    (void)state;
    struct vcpu_state a = long_mode_state(3), b;
    vcpu_canonicalize(&a);
    for (unsigned bit = 0; bit < 64; bit++) {
        b = a;
        b.rflags ^= 1ull << bit;
        struct vcpu_state canonical = b;
        vcpu_canonicalize(&canonical);
        if (canonical.rflags != b.rflags) /* not a flag */
            continue;
        assert_true(vcpu_digest_core(&a) != vcpu_digest_core(&b));
        assert_true(vcpu_digest_full(&a) != vcpu_digest_full(&b));
    }
    b = a;
    b.rflags ^= FLAG_RF;
    assert_true(vcpu_digest_core(&a) != vcpu_digest_core(&b));
    assert_true(vcpu_digest_full(&a) != vcpu_digest_full(&b));
}

/* Every byte of the saved form belongs to a field that the digest and the comparison see. */
static void every_saved_byte_counts(void **state)
{
    (void)state;
    struct vcpu_state s = long_mode_state(3);
    vcpu_canonicalize(&s);
    struct buffer saved = {0}, text = {0};
    vcpu_save(&s, &saved);
    unsigned accepted = 0;
    for (size_t i = 0; i < saved.size; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            struct vcpu_state back;
            struct reader in;
            saved.data[i] ^= (uint8_t)(1u << bit);
            reader_init(&in, saved.data, saved.size);
            vcpu_restore(&back, &in);
            saved.data[i] ^= (uint8_t)(1u << bit);
            if (in.failed)
                continue;
            accepted++;
            buffer_clear(&text);
            assert_int_equal(vcpu_compare(&s, &back, &text), 1);
            assert_true(vcpu_digest_full(&s) != vcpu_digest_full(&back));
        }
    }
    assert_true(accepted > 3000); /* registers, vectors, ... */
    buffer_free(&saved);
    buffer_free(&text);
}

static void save_and_restore_round_trip(void **state)
{
    (void)state;
    unsigned seed = 20240607;
    print_message("seed %u\n", seed);
    srand(seed);
    for (unsigned round = 0; round < 200; round++) {
        struct vcpu_state s = long_mode_state(round & 1 ? 3 : 0), back;
        for (unsigned i = 0; i < GPR_COUNT; i++)
            s.gpr[i] = (uint64_t)rand() << 33 ^ (uint64_t)rand();
        for (unsigned i = 0; i < sizeof s.fpu; i++)
            ((uint8_t *)&s.fpu)[i] = (uint8_t)rand();
        s.rflags = (uint64_t)rand() & ~FLAG_VM;
        s.halted = rand() & 1;
        s.sti_shadow = rand() & 1;
        vcpu_canonicalize(&s);
        struct buffer saved = {0};
        struct reader in;
        vcpu_save(&s, &saved);
        reader_init(&in, saved.data, saved.size);
        vcpu_restore(&back, &in);
        assert_false(in.failed);
        assert_int_equal(reader_left(&in), 0);
        assert_memory_equal(&back.fpu, &s.fpu, sizeof s.fpu);
        assert_true(vcpu_digest_full(&back) == vcpu_digest_full(&s));
        buffer_free(&saved);
    }
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 12; kind++) {
        struct vcpu_state s = long_mode_state(0), back;
        vcpu_canonicalize(&s);
        switch (kind) {
        case 0:
            s.rip = 0x800000000000;
            break;
        case 1:
            s.efer &= ~EFER_LMA;
            break;
        case 2:
            s.cr4 = 0;
            break;
        case 3:
            s.cr0 &= ~CR0_PE;
            break;
        case 4:
            s.cr4 |= CR4_SMEP; /* not in hs64-v1 */
            break;
        case 5:
            s.cr3 = 1ull << 40;
            break;
        case 6:
            s.segment[SEG_CS].attributes |= SEG_DB;
            break;
        case 7:
            s.segment[SEG_GS].base = 1ull << 47;
            break;
        case 8:
            s.rflags |= FLAG_VM;
            break;
        case 9:
            s.cr0 |= CR0_NW;
            break;
        case 10:
            s.kernel_gs_base = 1ull << 60;
            break;
        default:
            s.dr7 = 0;
        }
        struct buffer saved = {0};
        struct reader in;
        vcpu_save(&s, &saved);
        reader_init(&in, saved.data, saved.size);
        vcpu_restore(&back, &in);
        if (!in.failed)
            fail_msg("nonsense %u was accepted", kind);
        reader_init(&in, saved.data, saved.size - 1);
        vcpu_restore(&back, &in);
        assert_true(in.failed);
        buffer_free(&saved);
    }
}

static void differences_are_named(void **state)
{
    (void)state;
    struct vcpu_state a = long_mode_state(0), b;
    vcpu_canonicalize(&a);
    b = a;
    b.gpr[R9] = 0x1234;
    b.segment[SEG_FS].base = 0x5000;
    b.fpu.xmm[7][0] = 0xab;
    struct buffer out = {0};
    assert_int_equal(vcpu_compare(&a, &b, &out), 3);
    buffer_put_u8(&out, 0);
    const char *text = (const char *)out.data;
    assert_non_null(strstr(text, "r9  0x0  0x1234\n"));
    assert_non_null(strstr(text, "fs.base  0x0  0x5000\n"));
    assert_non_null(strstr(text, "xmm7  "));
    buffer_clear(&out);
    vcpu_describe(&a, &out);
    buffer_put_u8(&out, 0);
    text = (const char *)out.data;
    assert_non_null(strstr(text, "rip            0x1000"));
    assert_non_null(strstr(text, "cpl 0"));
    buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(power_on),
        cmocka_unit_test(what_cannot_be_observed_is_fixed),
        cmocka_unit_test(a_null_stack_segment_keeps_the_cpl),
        cmocka_unit_test(x87_summary_bits_follow_the_flags),
        cmocka_unit_test(the_core_digest_leaves_out_fpu_and_later_msrs),
        cmocka_unit_test(both_digests_cover_every_flag),
        cmocka_unit_test(every_saved_byte_counts),
        cmocka_unit_test(save_and_restore_round_trip),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(differences_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
