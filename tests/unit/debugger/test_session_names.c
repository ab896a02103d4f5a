/* What names stand for at the debugger's prompt: macros, and the candidates that TAB offers. */
#include "tests/unit/debugger/session.h"

/* ---- Macros ---- */

static void macros_are_told_and_expanded(void **state)
{
    (void)state;
    go_to_handler();
    prints("info macro BOOT_PVH", "lib/boot.h:8\n  included at ");
    prints("info macro BOOT_PVH", "crash.c:14\n#define BOOT_PVH 2\n");
#ifndef __clang__ /* what it has built in is not in its debugging information */
    prints("info macro UINT64_C", "#define UINT64_C(c) ");
    prints("info macro __STDC__", "-D__STDC__=1\n");
#endif
    prints("info macro NOWHERE", "`NOWHERE' has no definition");
    prints("info macros", "#define BOOT_MULTIBOOT 3\n");
#ifndef __clang__ /* what it has built in is not in its debugging information */
    prints("macro expand BOOT_PVH + UINT64_C(1)*BOOT_ELF64", "expands to: 2 + 1UL*1\n");
    prints("macro expand UINT64_C UINT64_C (x) \"BOOT_PVH\" $BOOT_PVH",
        "expands to: UINT64_C xUL \"BOOT_PVH\" $BOOT_PVH\n");
    prints("macro expand UINT64_C(1, 2)", "expands to: UINT64_C(1, 2)\n");
#endif
    refuses("macro", "as in");
    refuses("info macro", "give a macro's name");
}

static void macros_are_expanded_in_expressions(void **state)
{
    (void)state;
    go_to_handler();
    prints("print BOOT_PVH * 3", " = 6\n");
    prints("print nodes[BOOT_PVH].owner == nodes[2].owner", " = 1\n");
#ifndef __clang__ /* what it has built in is not in its debugging information */
    prints("printf \"%d %d|\", BOOT_PVH, BOOT_MULTIBOOT + UINT64_C(4)", "2 7|");
#endif
    prints("break handle_pit if ticks == BOOT_MULTIBOOT", "Breakpoint ");
    run("continue");
    prints("print ticks", " = 3\n");
    run("seek start");
    refuses("print BOOT_PVH", "no symbol");
    refuses("info macro BOOT_PVH", "no preprocessor macro information");
}

/* ---- Registers ---- */

static void float_and_vector_registers_have_gdbs_layout(void **state)
{
    (void)state;
    go_to_handler();
    prints("info float", "=>R0: Zero    0x00000000000000000000 +0\n");
    prints("info float", "Status Word:         0x0000 ");
    prints("info float", "PC: Single Precision (24-bits)\n");
    prints("info float", "Opcode:              0x0000\n");
    prints("info vector", "xmm15          {v4_float = {0x0, 0x0, 0x0, 0x0}, v2_double = ");
    prints("info vector", "mxcsr          0x1f80               [ IM DM ZM OM UM PM ]\n");
}

/* ---- Completion ---- */

static char offered[1 << 14];

static void note(void *context, const char *candidate)
{
    (void)context;
    size_t used = strlen(offered);
    snprintf(offered + used, sizeof offered - used, "%s ", candidate);
}

/* What TAB offers at the end of the line, from `start` on as readline splits it. */
static const char *offers(const char *line)
{
    const char *word = line + strlen(line);
    while (word > line && !strchr(" \t\n\"'`@><=;|&{(+-*/,!~?:[", word[-1]))
        word--;
    offered[0] = '\0';
    debugger_complete(debugger, line, (size_t)(word - line), note, NULL);
    return offered;
}

static void members_are_completed(void **state)
{
    (void)state;
    go_to_handler();
    assert_string_equal(
        offers("print free_list."), "free_list.head free_list.owner free_list.name ");
    assert_string_equal(offers("print free_list.head->ne"), "next ");
    assert_string_equal(offers("print free_list.head->next->"), "next owner value ");
    assert_string_equal(offers("print nodes[2].o"), "2].owner ");
    assert_string_equal(offers("print 1 + (&nodes[1])->v"), "value ");
    assert_string_equal(offers("print ticks->"), "");
    assert_string_equal(offers("print nothing->"), "");
    assert_string_equal(offers("print ->"), "");
}

static void tags_files_and_locals_are_completed(void **state)
{
    (void)state;
    go_to_handler();
    assert_string_equal(offers("print sizeof(struct lis"), "list ");
    assert_string_equal(offers("print (enum own"), "owner ");
    assert_non_null(strstr(offers("break cra"), "crash.c: "));
    assert_null(strstr(offers("print cra"), "crash.c: "));
    run("frame function guest_main");
    assert_non_null(strstr(offers("print rando"), "random "));
    assert_non_null(strstr(offers("print handle_p"), "handle_pit "));
    assert_non_null(strstr(offers("print $ri"), "$rip "));
    assert_non_null(strstr(offers("info vec"), "vector "));
    assert_string_equal(offers("macr"), "macro ");
}

/* Functions are looked for in one unit until all names are asked for; then in all. */
static void what_is_found_in_a_part_is_found_in_all(void **state)
{
    static const char *const lines[] = {"backtrace", "info args", "info locals", "up",
        "info locals", "down", "ptype struct node", "info symbol handle_pit"};
    enum { LINES = sizeof lines / sizeof lines[0] };
    char *before[LINES];
    (void)state;
    go_to_handler();
    for (unsigned i = 0; i < LINES; i++)
        before[i] = strdup(run(lines[i]));
    run("info types node");
    for (unsigned i = 0; i < LINES; i++) {
        assert_string_equal(run(lines[i]), before[i]);
        free(before[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(macros_are_told_and_expanded),
        TEST(what_is_found_in_a_part_is_found_in_all),
        TEST(macros_are_expanded_in_expressions),
        TEST(float_and_vector_registers_have_gdbs_layout),
        TEST(members_are_completed),
        TEST(tags_files_and_locals_are_completed),
    };
    return cmocka_run_group_tests(tests, record_once, remove_recording);
}
