/*
 * Expressions, values and DWARF location descriptions over registers and memory made for the test.
 * Arithmetic is checked against this compiler's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <dwarf.h>

#include "debugger/expression.h"
#include "vmm/arch/memory.h"

struct fixture {
    struct memory memory;
    struct view view;
    struct symbols symbols;
    struct value history[2];
    struct convenience variable;
    struct expression_scope scope;
};

/* Flat memory without paging; a symbol list gives names. */
static int set_up(void **state)
{
    static struct fixture fixture;
    static const char list[] = "0000000000001000 T function\n0000000000002000 D data\n"
                               "0000000000002010 d other\n";
    const struct memory_backend backend = {.size = 1 << 20};
    struct error error;
    fixture = (struct fixture){0};
    if (memory_create(&fixture.memory, &backend, 1, &error) < 0)
        return -1;
    char *image = strdup(list);
    if (!image || symbols_add_image(&fixture.symbols, "list", image, strlen(list), 0, &error) < 0)
        return -1;
    fixture.view.memory = &fixture.memory;
    vcpu_reset(&fixture.view.state);
    fixture.view.state.gpr[RAX] = 0xfedcba9876543210;
    fixture.view.state.gpr[R9] = 0x1122334455667788;
    fixture.view.state.cr3 = 0x5000;
    uint64_t word = 0x8899aabbccddeeff;
    memory_write(&fixture.memory, 0x2000, &word, sizeof word);
    memory_write(&fixture.memory, 0x3000, "text\n", 6);
    struct type type = type_builtin(TYPE_SIGNED, 4);
    fixture.history[0] = value_number(11, &type);
    fixture.history[1] = value_number(22, &type);
    fixture.variable = (struct convenience){"mine", value_number(33, &type)};
    fixture.scope = (struct expression_scope){.symbols = &fixture.symbols,
        .view = &fixture.view,
        .history = fixture.history,
        .history_count = 2,
        .variables = &fixture.variable,
        .variable_count = 1};
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    symbols_free(&fixture->symbols);
    memory_destroy(&fixture->memory);
    return 0;
}

static uint64_t number(struct fixture *fixture, const char *text)
{
    struct error error = {""};
    uint64_t value = 0;
    if (expression_number(&fixture->scope, text, &value, &error) < 0)
        fail_msg("%s: %s", text, error.text);
    return value;
}

#define SAME(expression) \
    assert_int_equal(number(fixture, #expression), (uint64_t)(int64_t)(expression))

static void test_arithmetic(void **state)
{
    struct fixture *fixture = *state;
    SAME(1 + 2 * 3 - 4);
    SAME((1 + 2) * 3);
    SAME(-7 / 2);
    SAME(-7 % 3);
    SAME(7 - -7);
    /* Precedence alone, which compilers would have parenthesized. */
    assert_int_equal(number(fixture, "1 << 4 | 3 & 6 ^ 1"), 19);
    assert_int_equal(number(fixture, "1 < 2 == 2 > 1"), 1);
    assert_int_equal(number(fixture, "3 >= 3 && 2 != 2 || 1"), 1);
    SAME(-1 < 0u);
    SAME(-1 < 0l);
    SAME(2147483647 + 0l + 1);
    SAME(0xffffffff + 1l);
    SAME(~5 & 0xff);
    SAME(!0 + !7);
    SAME(1 ? 2 : 3);
    SAME(0 ? 2 : 0 ? 3 : 4);
    SAME(-16 >> 2);
    SAME('a' + 1);
    SAME('\n');
    SAME((unsigned char)0x1ff);
    SAME((signed char)0xff);
    SAME((short)0x18000);
    SAME((long)(int)0xffffffff);
    SAME((unsigned)-1 / 2);
    SAME(sizeof(long) + sizeof(char *) + sizeof(short));
    SAME(0777 + 0x1F + 10);
}

static void test_operands(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(number(fixture, "$rax"), 0xfedcba9876543210);
    assert_int_equal(number(fixture, "$eax"), 0x76543210);
    assert_int_equal(number(fixture, "$ax"), 0x3210);
    assert_int_equal(number(fixture, "$al"), 0x10);
    assert_int_equal(number(fixture, "$ah"), 0x32);
    assert_int_equal(number(fixture, "$r9"), 0x1122334455667788);
    assert_int_equal(number(fixture, "$r9d"), 0x55667788);
    assert_int_equal(number(fixture, "$r9b"), 0x88);
    assert_int_equal(number(fixture, "$cr3 + 1"), 0x5001);
    assert_int_equal(number(fixture, "$pc"), 0xfffffff0); /* reset: CS base + 0xfff0 */
    assert_int_equal(number(fixture, "$1 + $2"), 33);
    assert_int_equal(number(fixture, "$"), 22);
    assert_int_equal(number(fixture, "$$"), 11);
    assert_int_equal(number(fixture, "$mine"), 33);
}

static void test_memory(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(number(fixture, "data"), 0x8899aabbccddeeff);
    assert_int_equal(number(fixture, "&data"), 0x2000);
    assert_int_equal(number(fixture, "&function"), 0x1000);
    assert_int_equal(number(fixture, "*(unsigned short *)(0x2000 + 2)"), 0xccdd);
    assert_int_equal(number(fixture, "((unsigned char *)&data)[7]"), 0x88);
    assert_int_equal(number(fixture, "((signed char *)&data)[7]"), (uint64_t)(int64_t)(int8_t)0x88);
    assert_int_equal(number(fixture, "*((uint32_t *)&data + 1)"), 0x8899aabb);
    assert_int_equal(number(fixture, "(int *)0x2010 - (int *)&data"), 4);
    /* What is not asked for is not looked at. */
    assert_int_equal(number(fixture, "0 && *(char *)0x70000000"), 0);
    assert_int_equal(number(fixture, "1 || *(char *)0x70000000"), 1);
    assert_int_equal(number(fixture, "1 ? 5 : *(char *)0x70000000"), 5);
}

static void test_refused(void **state)
{
    struct fixture *fixture = *state;
    static const char *const bad[] = {"", "1 +", "(1", "1)", "nothing", "$nothing", "$3", "1/0",
        "5 % 0", "1 2", "*(void *)1", "*(char *)0x70000000", "data.x", "5->x", "&5", "'a",
        "99999999999999999999", "0x", "1x", "1[2]", "(struct nothing *)1", "-", "#", "$rax @ 2",
        "data @ 0"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct error error = {""};
        uint64_t value;
        if (expression_number(&fixture->scope, bad[i], &value, &error) == 0)
            fail_msg("'%s' was taken for %lu", bad[i], (unsigned long)value);
        assert_true(error.text[0]);
    }
}

static void expect_text(
    struct fixture *fixture, const char *expression, char format, const char *expected)
{
    struct value value;
    struct buffer out = {0};
    struct error error = {""};
    if (expression_evaluate(&fixture->scope, expression, &value, &error) < 0 ||
        value_format(&fixture->view, &fixture->symbols, &value, format, &out, &error) < 0)
        fail_msg("%s: %s", expression, error.text);
    buffer_put_u8(&out, 0);
    assert_string_equal((const char *)out.data, expected);
    buffer_free(&out);
}

static void test_formats(void **state)
{
    struct fixture *fixture = *state;
    expect_text(fixture, "-1", 0, "-1");
    expect_text(fixture, "-1", 'x', "0xffffffff");
    expect_text(fixture, "(unsigned char)200", 'd', "-56");
    expect_text(fixture, "10", 't', "1010");
    expect_text(fixture, "0", 't', "0");
    expect_text(fixture, "8", 'o', "010");
    expect_text(fixture, "'A'", 0, "65 'A'");
    expect_text(fixture, "(char)10", 0, "10 '\\n'");
    expect_text(fixture, "(bool)5", 0, "true");
    expect_text(fixture, "0x2004", 'a', "0x2004 <data+4>");
    expect_text(fixture, "(char *)0x3000", 0, "0x3000 \"text\\n\"");
    expect_text(fixture, "(int *)&data", 0, "(int *) 0x2000 <data>");
    expect_text(fixture, "*(uint8_t *)&data @ 3", 'x', "{0xff, 0xee, 0xdd}");
    expect_text(fixture, "*(char *)0x3000 @ 4", 0, "\"text\"");
    /* As gdb 13: all but one zero byte at the end, and more than ten in a row are counted. */
    expect_text(fixture, "*(char *)0x3000 @ 6", 0, "\"text\\n\"");
    expect_text(fixture, "*(char *)0x3000 @ 16", 0,
        "\"text\\n\\000\\000\\000\\000\\000\\000\\000\\000\\000\\000\"");
    expect_text(fixture, "*(char *)0x3000 @ 48", 0, "\"text\\n\", '\\000' <repeats 42 times>");
    expect_text(fixture, "*(char *)0x2fe0 @ 36", 0, "'\\000' <repeats 32 times>, \"text\"");
    expect_text(fixture, "*(char *)0x8000 @ 1", 0, "\"\"");
    expect_text(fixture, "*(long *)0x8000 @ 30", 0,
        "{0, 0, 0, 0, 0, 0, 0, 0, 0, 0 <and more of the same>}");
}

static void test_symbols(void **state)
{
    struct fixture *fixture = *state;
    assert_string_equal(symbols_at(&fixture->symbols, 0x1234)->name, "function");
    assert_string_equal(symbols_at(&fixture->symbols, 0x2010)->name, "other");
    assert_null(symbols_at(&fixture->symbols, 0xfff));
    assert_int_equal(symbols_find(&fixture->symbols, "other")->address, 0x2010);
    symbols_move(fixture->symbols.modules[0], 0x100000);
    assert_int_equal(symbols_find(&fixture->symbols, "other")->address, 0x102010);
}

static bool evaluate(struct fixture *fixture, const Dwarf_Op *ops, size_t count,
    enum location_kind kind, uint64_t value)
{
    struct frame frame = {.known = 1u << DWARF_RBX | 1u << DWARF_RSP, .has_cfa = true};
    uint64_t base = 0x2100;
    struct location location;
    frame.reg[DWARF_RBX] = 0x2000;
    frame.reg[DWARF_RSP] = 0x9000;
    frame.cfa = 0x9010;
    return unwind_evaluate(&fixture->view, NULL, &frame, &base, ops, count, NULL, &location) &&
           location.kind == kind && location.value == value;
}

/* DWARF 5, section 2.5 and its examples. */
static void test_locations(void **state)
{
    struct fixture *fixture = *state;
    const Dwarf_Op in_register[] = {{.atom = DW_OP_reg3}};
    assert_true(evaluate(fixture, in_register, 1, LOCATION_REGISTER, DWARF_RBX));
    const Dwarf_Op based[] = {{.atom = DW_OP_breg7, .number = (Dwarf_Word)-8}};
    assert_true(evaluate(fixture, based, 1, LOCATION_ADDRESS, 0x8ff8));
    const Dwarf_Op frame_based[] = {{.atom = DW_OP_fbreg, .number = (Dwarf_Word)-0x100}};
    assert_true(evaluate(fixture, frame_based, 1, LOCATION_ADDRESS, 0x2000));
    const Dwarf_Op cfa[] = {
        {.atom = DW_OP_call_frame_cfa}, {.atom = DW_OP_plus_uconst, .number = 8}};
    assert_true(evaluate(fixture, cfa, 2, LOCATION_ADDRESS, 0x9018));
    const Dwarf_Op loaded[] = {{.atom = DW_OP_breg3}, {.atom = DW_OP_deref_size, .number = 2},
        {.atom = DW_OP_lit1}, {.atom = DW_OP_plus}, {.atom = DW_OP_stack_value}};
    assert_true(evaluate(fixture, loaded, 5, LOCATION_VALUE, 0xef00));
    /* 5 > 3 ? 7 : 9, by a branch over the 9 */
    const Dwarf_Op branch[] = {{.atom = DW_OP_lit7, .offset = 0}, {.atom = DW_OP_lit5, .offset = 1},
        {.atom = DW_OP_lit3, .offset = 2}, {.atom = DW_OP_gt, .offset = 3},
        {.atom = DW_OP_bra, .offset = 4, .number = 2}, {.atom = DW_OP_drop, .offset = 7},
        {.atom = DW_OP_lit9, .offset = 8}, {.atom = DW_OP_stack_value, .offset = 9}};
    assert_true(evaluate(fixture, branch, 8, LOCATION_VALUE, 7));
}

static void test_bad_locations(void **state)
{
    struct fixture *fixture = *state;
    struct location location;
    const Dwarf_Op unknown_register[] = {{.atom = DW_OP_breg0}}; /* RAX is not known */
    const Dwarf_Op underflow[] = {{.atom = DW_OP_plus}};
    const Dwarf_Op endless[] = {{.atom = DW_OP_skip, .offset = 0, .number = (Dwarf_Word)-3},
        {.atom = DW_OP_lit1, .offset = 3}};
    const Dwarf_Op division[] = {{.atom = DW_OP_lit1}, {.atom = DW_OP_lit0}, {.atom = DW_OP_div}};
    const Dwarf_Op unmapped[] = {
        {.atom = DW_OP_const8u, .number = 0x70000000}, {.atom = DW_OP_deref}};
    const Dwarf_Op nowhere[] = {{.atom = DW_OP_skip, .offset = 0, .number = 1},
        {.atom = DW_OP_const8u, .offset = 3}, {.atom = DW_OP_lit1, .offset = 12}};
    const struct {
        const Dwarf_Op *ops;
        size_t count;
    } bad[] = {{unknown_register, 1}, {underflow, 1}, {endless, 2}, {division, 3}, {unmapped, 2},
        {nowhere, 3}, {NULL, 0}};
    const struct frame frame = {.known = 0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(unwind_evaluate(
            &fixture->view, NULL, &frame, NULL, bad[i].ops, bad[i].count, NULL, &location));
    Dwarf_Op deep[40];
    for (size_t i = 0; i < 40; i++)
        deep[i] = (Dwarf_Op){.atom = DW_OP_lit1, .offset = i};
    assert_false(unwind_evaluate(&fixture->view, NULL, &frame, NULL, deep, 40, NULL, &location));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_arithmetic), TEST(test_operands),
        TEST(test_memory), TEST(test_refused), TEST(test_formats), TEST(test_symbols),
        TEST(test_locations), TEST(test_bad_locations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
