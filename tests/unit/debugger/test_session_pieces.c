/* Structs that the compiler keeps in registers, in parts, or partly nowhere. */
#include "tests/unit/debugger/session.h"

static int record_values(void **state)
{
    (void)state;
    return record_guest("values", "");
}

static void a_struct_in_two_registers_has_members(void **state)
{
    (void)state;
    run("break weigh");
    prints("continue", "Breakpoint 1, weigh (pair=...)");
    prints("info args", "pair = {left = 1234605616436508552, right = {weight = 7, flags = 5, more "
                        "= 2748, kind = HEAVY}}");
    prints("print pair.right", " = {weight = 7, flags = 5, more = 2748, kind = HEAVY}\n");
    prints("print pair.right.more + pair.left", " = 1234605616436511300\n");
    prints("print/x pair.right", " = {weight = 0x7, flags = 0x5, more = 0xabc, kind = 0x1}\n");
    prints("ptype pair.right", "struct part {");
    refuses("print &pair", "not in memory has no address");
    refuses("print &pair.left", "not in memory has no address");
    refuses("watch pair.left", "");
    refuses("print pair.nothing", "has no member 'nothing'");
}

static void what_nothing_keeps_is_optimized_out(void **state)
{
    (void)state;
    run("break scale");
    run("continue");
    run("next");
    prints("info locals", "split = {left = 3703816849309533921, right = {weight = 33355, flags = "
                          "<optimized out>, more = <optimized out>, kind = <optimized out>}}");
    prints("print split.left", " = 3703816849309533921\n");
    prints("print split.right.weight", " = 33355\n");
    prints("print split.right.kind", " = <optimized out>\n");
    refuses("print split.right.kind + 1", "optimized out");
}

static void members_are_declared_as_in_c(void **state)
{
    (void)state;
    prints("ptype struct table", "    struct pair *rows[2]; /* offset 0 */\n"
                                 "    void (*visit)(struct pair); /* offset 16 */\n"
                                 "    char (*line)[8]; /* offset 24 */\n");
}

static void values_printed_before_keep_their_bytes(void **state)
{
    (void)state;
    run("break weigh");
    run("continue");
    run("print pair");
    run("seek start");
    prints("print $1.right.weight", " = 7\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_struct_in_two_registers_has_members),
        TEST(what_nothing_keeps_is_optimized_out),
        TEST(members_are_declared_as_in_c),
        TEST(values_printed_before_keep_their_bytes),
    };
    return cmocka_run_group_tests(tests, record_values, remove_recording);
}
