/*
 * gdb's agent expressions over registers and memory made for the test. The codes of the operations
 * and what they do are the manual's (appendix F.2); the longer expressions are as gdb 13 compiles
 * them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "debugger/agent.h"
#include "debugger/packet.h"
#include "vmm/arch/memory.h"

static struct memory memory;
static struct view view;

static int set_up(void **state)
{
    const struct memory_backend backend = {.size = 1 << 20};
    const uint64_t word = 0x8899aabbccddeeff;
    struct error error;
    (void)state;
    if (memory_create(&memory, &backend, 1, &error) < 0)
        return -1;
    view = (struct view){.memory = &memory};
    vcpu_reset(&view.state);
    view.state.gpr[RAX] = 0xfedcba9876543210;
    view.state.gpr[RSP] = 0x2000;
    memory_write(&memory, 0x2000, &word, sizeof word);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    memory_destroy(&memory);
    return 0;
}

static int evaluate(const char *hex, uint64_t *value, struct error *error)
{
    uint8_t code[AGENT_MAX_SIZE];
    size_t size = packet_get_hex(hex, code, sizeof code);
    assert_int_equal(size * 2, strlen(hex));
    return agent_evaluate(code, size, &view, value, error);
}

static void operations(void **state)
{
    static const struct {
        const char *code;
        uint64_t value;
    } rows[] = {
        {"220722050227", 12},                                              /* 7 + 5 */
        {"220722050327", 2},                                               /* 7 - 5 */
        {"220522070327", (uint64_t)-2},                                    /* 5 - 7 */
        {"220722050427", 35},                                              /* 7 * 5 */
        {"22f9160822020527", (uint64_t)-3},                                /* -7 / 2 */
        {"22f9160822020627", 0x7ffffffffffffffc},                          /* the same unsigned */
        {"22f9160822020727", (uint64_t)-1},                                /* -7 % 2 */
        {"22f9160822020827", 1},                                           /* the same unsigned */
        {"258000000000000000220016402201030527", 0x8000000000000000},      /* the smallest / -1 */
        {"258000000000000000220016402201030727", 0}, {"220122040927", 16}, /* 1 << 4 */
        {"220122400927", 0},                                               /* 1 << 64 */
        {"22f0160822020a27", (uint64_t)-4},                                /* -16 >> 2 */
        {"22f0160822ff0a27", (uint64_t)-1},                                /* -16 >> 255 */
        {"22f0160822020b27", 0x3ffffffffffffffc},                          /* the same unsigned */
        {"22f0160822ff0b27", 0}, {"22000e27", 1},                          /* !0 */
        {"22070e27", 0},                                                   /* !7 */
        {"220c220a0f27", 8},                                               /* 12 & 10 */
        {"220c220a1027", 14},                                              /* 12 | 10 */
        {"220c220a1127", 6},                                               /* 12 ^ 10 */
        {"22001227", UINT64_MAX},                                          /* ~0 */
        {"220522051327", 1},                                               /* 5 == 5 */
        {"220522061327", 0},                                               /* 5 == 6 */
        {"22ff160822011427", 1},                                           /* -1 < 1 */
        {"22ff160822011527", 0},                                           /* the same unsigned */
        {"22ff22011527", 0},                                               /* 255 < 1 */
        {"22ff160827", UINT64_MAX},                                        /* ext 8 */
        {"227f160827", 0x7f}, {"2303ff160a27", UINT64_MAX},                /* ext 10 */
        {"25ffffffffffffffff2a0827", 0xff},                                /* zero_ext 8 */
        {"25ffffffffffffffff2a4027", UINT64_MAX},                          /* zero_ext 64 */
        {"2320001727", 0xff},                                              /* ref8 */
        {"2320001827", 0xeeff},                                            /* ref16 */
        {"2320001927", 0xccddeeff},                                        /* ref32 */
        {"2320001a27", 0x8899aabbccddeeff},                                /* ref64 */
        {"2220230102240102030425010203040506070827", 0x0102030405060708},  /* constants */
        {"26000027", 0xfedcba9876543210},                                  /* reg RAX */
        {"260007271a27", 0x2000},       /* reg RSP, and the end before the rest */
        {"220522062827", 6},            /* dup */
        {"220522062927", 5},            /* pop */
        {"220522062b27", 5},            /* swap */
        {"2205220622073201290227", 13}, /* pick 1, pop, add */
    };
    (void)state;
    struct error error = {""};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t value = 0;
        if (evaluate(rows[i].code, &value, &error) < 0 || value != rows[i].value)
            fail_msg("%s is 0x%llx, not 0x%llx %s", rows[i].code, (unsigned long long)value,
                (unsigned long long)rows[i].value, error.text);
    }
}

/* The top item becomes the third: 1 2 3 becomes 3 1 2. */
static void rot(void **state)
{
    struct error error = {""};
    uint64_t value;
    (void)state;
    assert_int_equal(evaluate("2201220222033327", &value, &error), 0);
    assert_int_equal(value, 2);
    assert_int_equal(evaluate("220122022203332927", &value, &error), 0);
    assert_int_equal(value, 1);
    assert_int_equal(evaluate("22012202220333292927", &value, &error), 0);
    assert_int_equal(value, 3);
}

static void jumps(void **state)
{
    struct error error = {""};
    uint64_t value;
    (void)state;
    /* goto 5; (end); const8 7; end */
    assert_int_equal(evaluate("2100042722072700", &value, &error), 0);
    assert_int_equal(value, 7);
    /* const8 N; if_goto 8; const8 1; end; const8 2; end */
    assert_int_equal(evaluate("2205200008220127220227", &value, &error), 0);
    assert_int_equal(value, 2);
    assert_int_equal(evaluate("2200200008220127220227", &value, &error), 0);
    assert_int_equal(value, 1);
    /* Counts down from 9: const8 9; const8 1; sub; dup; if_goto 2; end */
    assert_int_equal(evaluate("22092201032820000227", &value, &error), 0);
    assert_int_equal(value, 0);
}

/* Whatever it is, it ends, with the reason. */
static void what_is_wrong_is_told(void **state)
{
    static const struct {
        const char *code, *reason;
    } rows[] = {
        {"", "cut off"},
        {"2207", "cut off"},
        {"22", "cut off"},
        {"250102", "cut off"},
        {"27", "stack is empty"},
        {"02", "stack is empty"},
        {"22072927", "stack is empty"},
        {"2207320127", "stack is empty"},
        {"220728210002", "overflows"},
        {"210000", "does not end"},
        {"22012000ff", "jump out"},
        {"21000322", "cut off"},
        {"220722000527", "division by zero"},
        {"220722000827", "division by zero"},
        {"2207160027", "extension"},
        {"22072a4127", "extension"},
        {"247fffffff1a27", "not mapped"},
        {"26ffff27", "register"},
        {"01", "not for conditions"},
        {"0c", "not for conditions"},
        {"2c000127", "not for conditions"},
        {"34", "not for conditions"},
        {"ff", "not for conditions"},
        {"00", "not for conditions"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error error = {""};
        uint64_t value = 1;
        if (evaluate(rows[i].code, &value, &error) == 0 || !strstr(error.text, rows[i].reason))
            fail_msg("%s: '%s', not '%s'", rows[i].code, error.text, rows[i].reason);
        assert_int_equal(value, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations),
        cmocka_unit_test(rot),
        cmocka_unit_test(jumps),
        cmocka_unit_test(what_is_wrong_is_told),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
