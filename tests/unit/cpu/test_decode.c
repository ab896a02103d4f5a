/*
 * The decoder: lengths against capstone over random bytes, and encodings whose treatment the
 * manuals fix (APM volume 3, SDM volume 2).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <capstone/capstone.h>

#include "vmm/cpu/decode.h"

enum { ROUNDS = 400000 };

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Some prefixes, often 0F, then anything. */
static void random_bytes(uint64_t *seed, uint8_t bytes[16])
{
    static const uint8_t prefixes[] = {
        0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65, 0x48, 0x41, 0x44, 0x4f};
    unsigned at = 0;
    for (unsigned i = 0; i < 16; i++)
        bytes[i] = (uint8_t)next_random(seed);
    while (at < 3 && next_random(seed) % 4 == 0)
        bytes[at++] = prefixes[next_random(seed) % sizeof prefixes];
    if (next_random(seed) % 2)
        bytes[at] = 0x0f;
}

static bool is_prefix(uint8_t byte, bool code64)
{
    switch (byte) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65:
    case 0x66:
    case 0x67:
    case 0xf0:
    case 0xf2:
    case 0xf3:
        return true;
    default:
        return code64 && (byte & 0xf0) == 0x40;
    }
}

/*
 * Capstone forgets 66 on relative branches, RET and PUSH of an immediate when further prefixes come
 * along. Leaves of the prefixes only what counts for the length of these: 66 and the last REX.
 */
static unsigned without_idle_prefixes(const uint8_t *bytes, bool code64, uint8_t out[16])
{
    unsigned from = 0, to = 0;
    bool operand16 = false;
    while (is_prefix(bytes[from], code64))
        operand16 |= bytes[from++] == 0x66;
    uint8_t last = from ? bytes[from - 1] : 0;
    if (operand16)
        out[to++] = 0x66;
    if (code64 && (last & 0xf0) == 0x40)
        out[to++] = last;
    unsigned dropped = from - to;
    for (; to < 16 && from < 16; from++)
        out[to++] = bytes[from];
    memset(out + to, 0, 16 - to);
    return dropped;
}

static unsigned capstone_length(csh handle, cs_insn *insn, const uint8_t *bytes)
{
    const uint8_t *code = bytes;
    size_t size = 15;
    uint64_t address = 0;
    return cs_disasm_iter(handle, &code, &size, &address, insn) ? insn->size : 0;
}

/* These have neither ModRM nor anything else that a dropped prefix would change. */
static bool forgets_operand_size(const struct insn *insn)
{
    if (insn->map == MAP_0F)
        return (insn->opcode & 0xf0) == 0x80;
    switch (insn->opcode) {
    case 0x68:
    case 0x6a:
    case 0xc2:
    case 0xca:
    case 0xe8:
    case 0xe9:
        return true;
    default:
        return false;
    }
}

static void compare_lengths(cs_mode mode, bool code64, unsigned code_size, uint64_t seed)
{
    csh handle;
    unsigned compared = 0;

    printf("seed %llu\n", (unsigned long long)seed);
    assert_int_equal(cs_open(CS_ARCH_X86, mode, &handle), CS_ERR_OK);
    cs_insn *theirs = cs_malloc(handle);
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint8_t bytes[16], plain[16];
        struct insn insn;
        random_bytes(&seed, bytes);
        assert_int_equal(insn_decode(bytes, 15, code64, code_size, false, &insn), DECODE_OK);
        unsigned length = capstone_length(handle, theirs, bytes);
        /* What only capstone knows is AVX and other extensions; what it does not, reserved NOPs. */
        if (insn_is_undefined(&insn) || !length)
            continue;
        compared++;
        if (length != insn.length && forgets_operand_size(&insn)) {
            unsigned dropped = without_idle_prefixes(bytes, code64, plain);
            length = capstone_length(handle, theirs, plain) + dropped;
        }
        if (length != insn.length)
            fail_msg("%s %s: %u bytes, capstone says %u: %02x %02x %02x %02x %02x %02x %02x %02x",
                theirs->mnemonic, theirs->op_str, insn.length, length, bytes[0], bytes[1], bytes[2],
                bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]);
    }
    assert_true(compared > ROUNDS / 4);
    cs_free(theirs, 1);
    cs_close(&handle);
}

static void test_lengths_64(void **context)
{
    (void)context;
    compare_lengths(CS_MODE_64, true, 4, 64);
}

static void test_lengths_32(void **context)
{
    (void)context;
    compare_lengths(CS_MODE_32, false, 4, 32);
}

static void test_lengths_16(void **context)
{
    (void)context;
    compare_lengths(CS_MODE_16, false, 2, 16);
}

/* A prefix of an instruction asks for more, and never for more than 15 bytes. */
static void test_truncated(void **context)
{
    uint64_t seed = 7;
    (void)context;
    for (unsigned i = 0; i < ROUNDS / 10; i++) {
        uint8_t bytes[16];
        struct insn whole, part;
        random_bytes(&seed, bytes);
        insn_decode(bytes, 15, true, 4, false, &whole);
        for (unsigned n = 0; n < 15; n++) {
            enum decode_result result = insn_decode(bytes, n, true, 4, false, &part);
            assert_int_equal(result, n < whole.length ? DECODE_MORE : DECODE_OK);
            if (result == DECODE_OK)
                assert_memory_equal(&part, &whole, sizeof whole);
        }
    }
}

struct undefined_case {
    const char *what;
    uint8_t bytes[8];
    bool undefined64, undefined32;
};

static void test_undefined(void **context)
{
    static const struct undefined_case cases[] = {
        {"LOCK ADD r, r", {0xf0, 0x01, 0xc8}, true, true},
        {"LOCK ADD m, r", {0xf0, 0x01, 0x08}, false, false},
        {"LOCK ADD r, m", {0xf0, 0x03, 0x08}, true, true},
        {"LOCK CMP m, r", {0xf0, 0x39, 0x08}, true, true},
        {"LOCK CMP m, imm", {0xf0, 0x83, 0x38, 0x00}, true, true},
        {"LOCK MOV m, r", {0xf0, 0x89, 0x08}, true, true},
        {"LOCK BT m, r", {0xf0, 0x0f, 0xa3, 0x08}, true, true},
        {"LOCK BTS m, r", {0xf0, 0x0f, 0xab, 0x08}, false, false},
        {"LOCK XCHG m, r", {0xf0, 0x87, 0x08}, false, false},
        {"LOCK NOP", {0xf0, 0x90}, true, true},
        {"LOCK CMPXCHG8B", {0xf0, 0x0f, 0xc7, 0x08}, false, false},
        {"UD2", {0x0f, 0x0b}, true, true},
        {"UD1", {0x0f, 0xb9, 0xc0}, true, true},
        {"UD0", {0x0f, 0xff, 0xc0}, true, true},
        {"PUSH ES", {0x06}, true, false},
        {"DAA", {0x27}, true, false},
        {"PUSHA", {0x60}, true, false},
        {"BOUND m", {0x62, 0x08}, true, false},
        {"BOUND r, EVEX", {0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc0}, true, true},
        {"LES m", {0xc4, 0x08}, true, false},
        {"VEX VADDPS", {0xc5, 0xf8, 0x58, 0xc0}, true, true},
        {"group 1 alias 82", {0x82, 0xc0, 0x01}, true, false},
        {"far call direct", {0x9a, 0, 0, 0, 0, 8, 0}, true, false},
        {"INTO", {0xce}, true, false},
        {"AAM", {0xd4, 0x0a}, true, false},
        {"LEA r, r", {0x8d, 0xc1}, true, true},
        {"far jump register", {0xff, 0xe8}, true, true},
        {"group 5 /7", {0xff, 0xf8}, true, true},
        {"POP group /1 (XOP)", {0x8f, 0xc8, 0x00}, true, true},
        {"MOVBE", {0x0f, 0x38, 0xf0, 0x08}, true, true},
        {"CRC32", {0xf2, 0x0f, 0x38, 0xf0, 0xc8}, false, false},
        {"POPCNT", {0xf3, 0x0f, 0xb8, 0xc8}, false, false},
        {"JMPE", {0x0f, 0xb8, 0xc8}, true, true},
        {"RDRAND", {0x0f, 0xc7, 0xf0}, true, true},
        {"RSM", {0x0f, 0xaa}, true, true},
        {"XGETBV", {0x0f, 0x01, 0xd0}, true, true},
        {"VMMCALL", {0x0f, 0x01, 0xd9}, true, true},
        {"SGDT register form", {0x0f, 0x01, 0xc1}, true, true},
        {"CMPXCHG8B register", {0x0f, 0xc7, 0xc9}, true, true},
        {"ANDN (BMI)", {0xc4, 0xe2, 0x78, 0xf2, 0xc0}, true, true},
        {"RDFSBASE", {0xf3, 0x48, 0x0f, 0xae, 0xc0}, true, true},
    };
    struct insn insn;
    (void)context;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        insn_decode(cases[i].bytes, 8, true, 4, false, &insn);
        if (insn_is_undefined(&insn) != cases[i].undefined64)
            fail_msg("%s in 64-bit mode", cases[i].what);
        insn_decode(cases[i].bytes, 8, false, 4, false, &insn);
        if (cases[i].what[0] != 'R' && insn_is_undefined(&insn) != cases[i].undefined32)
            fail_msg("%s in 32-bit mode", cases[i].what);
    }
}

/* Sixteen bytes: #GP, whatever they would be. */
static void test_fifteen_bytes_at_most(void **context)
{
    uint8_t bytes[16];
    struct insn insn;
    (void)context;
    memset(bytes, 0x66, sizeof bytes);
    bytes[14] = 0x90;
    assert_int_equal(insn_decode(bytes, 15, true, 4, false, &insn), DECODE_OK);
    assert_int_equal(insn.length, 15);
    insn_handler nop = insn.handler;
    assert_false(insn.flags & INSN_ENDS_BLOCK);
    bytes[14] = 0x66;
    bytes[15] = 0x90;
    assert_int_equal(insn_decode(bytes, 16, true, 4, false, &insn), DECODE_OK);
    assert_ptr_not_equal(insn.handler, nop);
    assert_false(insn_is_undefined(&insn));
    assert_true(insn.flags & INSN_ENDS_BLOCK);
}

static void test_operands(void **context)
{
    struct insn insn;
    (void)context;

    /* mov r9d, fs:[r12 + r13*4 - 128] */
    static const uint8_t load[] = {0x64, 0x47, 0x8b, 0x4c, 0xac, 0x80};
    assert_int_equal(insn_decode(load, sizeof load, true, 4, false, &insn), DECODE_OK);
    assert_int_equal(insn.length, sizeof load);
    assert_int_equal(insn.reg, R9);
    assert_int_equal(insn.base, R12);
    assert_int_equal(insn.index, R13);
    assert_int_equal(insn.scale, 2);
    assert_int_equal(insn.displacement, -128);
    assert_int_equal(insn.segment, SEG_FS);
    assert_int_equal(insn.operand_size, 4);
    assert_int_equal(insn.address_size, 8);

    /* A REX that does not come last counts for nothing: inc dword [rip + 1] */
    static const uint8_t idle_rex[] = {0x48, 0x3e, 0xff, 0x05, 0x01, 0x00, 0x00, 0x00};
    assert_int_equal(insn_decode(idle_rex, sizeof idle_rex, true, 4, false, &insn), DECODE_OK);
    assert_int_equal(insn.rex, 0);
    assert_int_equal(insn.operand_size, 4);
    assert_true(insn.flags & INSN_RIP_RELATIVE);
    assert_int_equal(insn.segment, SEG_DS); /* 3E is ignored */

    /* 16-bit: add [bp + di + 0x1234], ax has SS */
    static const uint8_t legacy[] = {0x01, 0x83, 0x34, 0x12};
    assert_int_equal(insn_decode(legacy, sizeof legacy, false, 2, false, &insn), DECODE_OK);
    assert_int_equal(insn.base, RBP);
    assert_int_equal(insn.index, RDI);
    assert_int_equal(insn.displacement, 0x1234);
    assert_int_equal(insn.segment, SEG_SS);
    assert_int_equal(insn.operand_size, 2);

    /* mov rax, imm64; enter 0x1234, 5; push imm32 sign-extended to 64 bits */
    static const uint8_t wide[] = {0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 0x88};
    insn_decode(wide, sizeof wide, true, 4, false, &insn);
    assert_int_equal(insn.length, 10);
    assert_true(insn.immediate == 0x8807060504030201u);
    static const uint8_t enter[] = {0xc8, 0x34, 0x12, 0x05};
    insn_decode(enter, sizeof enter, true, 4, false, &insn);
    assert_int_equal(insn.immediate, 0x1234);
    assert_int_equal(insn.immediate2, 5);
    static const uint8_t push[] = {0x68, 0x00, 0x00, 0x00, 0x80};
    insn_decode(push, sizeof push, true, 4, false, &insn);
    assert_true(insn.immediate == 0xffffffff80000000u);
    assert_int_equal(insn.operand_size, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths_64),
        cmocka_unit_test(test_lengths_32),
        cmocka_unit_test(test_lengths_16),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_undefined),
        cmocka_unit_test(test_fifteen_bytes_at_most),
        cmocka_unit_test(test_operands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
