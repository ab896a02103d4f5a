/* Where values came from in small guests: through every kind of move to what computed them, or to
 * the input that brought them. */
#include "tests/unit/replay/recorded.h"

#include "debugger/debugger.h"

static struct debugger *debugger;

static void open_debugger(const char *guest, const char *command_line)
{
    struct error error = {""};
    bool damaged;
    const struct debugger_options options = {0};
    record(guest, command_line, UINT64_MAX);
    debugger = debugger_open(trace_path, &options, &damaged, &error);
    if (!debugger)
        fail_msg("%s", error.text);
}

static void close_debugger(void)
{
    debugger_close(debugger);
    debugger = NULL;
}

static const char *say(const char *line, int *result)
{
    static char text[1 << 16];
    struct error error = {""};
    struct buffer *out = debugger_output(debugger);
    buffer_clear(out);
    *result = debugger_execute(debugger, line, &error);
    snprintf(text, sizeof text, "%.*s%s", (int)out->size, out->size ? (char *)out->data : "",
        *result < 0 ? error.text : "");
    return text;
}

/* The parts in this order. */
static void prints(const char *line, const char *const *parts)
{
    int result;
    const char *text = say(line, &result), *at = text;
    if (result < 0)
        fail_msg("'%s' fails: %s", line, text);
    for (; *parts; parts++) {
        at = strstr(at, *parts);
        if (!at)
            fail_msg("'%s' does not print '%s' there: %s", line, *parts, text);
        at += strlen(*parts);
    }
}

#define PRINTS(line, ...) prints(line, (const char *const[]){__VA_ARGS__, NULL})

static void refuses(const char *line, const char *part)
{
    int result;
    const char *text = say(line, &result);
    if (result == 0 || !strstr(text, part))
        fail_msg("'%s' is not refused with '%s': %s", line, part, text);
}

static int open_moves(void **state)
{
    if (make_path(state) < 0)
        return -1;
    open_debugger("moves", "factor=5");
    PRINTS("break carried", "Breakpoint 1");
    PRINTS("continue", "carried");
    return 0;
}

static int close_moves(void **state)
{
    close_debugger();
    return remove_path(state);
}

static void what_was_computed_names_its_operands(void **state)
{
    (void)state;
    PRINTS("origin made", "8 bytes of phys:", "movq   %rax", "from rax", "imulq", "computed here",
        "#1: rax", "#2: ");
    PRINTS("origin #1", "8 bytes of rax", "from ");
    refuses("origin #1000", "there is no #1000");
}

static void moves_lead_to_the_multiplication(void **state)
{
    (void)state;
    PRINTS("origin copied", "rep movsb", "from phys:", "movq   %rax", "imulq", "computed here");
    PRINTS("origin pushed", "from rcx", "(1 time pushed and popped again)", "xchgq", "from rdx",
        "popq", "from phys:", "pushq", "from rax", "from phys:", "imulq");
    PRINTS("origin *(char *)&swapped", "from al", "bswapq", "movq", "imulq");
    PRINTS("origin chosen", "cmovneq", "from phys:", "imulq");
    PRINTS("origin overlapping[2]", "rep movsq", "rep movsq", "from rax", "imulq");
}

static void halves_are_followed_each(void **state)
{
    (void)state;
    PRINTS("origin joined", "byte 4-7: a constant of the instruction", "byte 0-3: from eax",
        "imulq", "byte 0-3: computed here");
}

static void what_nobody_wrote_was_there_at_the_start(void **state)
{
    (void)state;
    PRINTS("origin loaded", "the start of the run", "the boot file kernel, offset 0x");
    PRINTS("origin cleared", "memory that nobody has written");
    PRINTS("seek start", "");
    PRINTS("origin r12", "what the register held when the machine started");
    PRINTS("seek 0.1", "");
    PRINTS("origin r12", "what the register held when the machine started");
    PRINTS("continue", "carried");
}

static void devices_and_the_clock_are_named(void **state)
{
    (void)state;
    PRINTS("origin time_read", "rdtsc", "the clock: the time stamp counter");
    PRINTS("origin port_read", "inb", "the device uart0, read from port 0x3fd");
}

static void the_session_stands_where_it_stood(void **state)
{
    int result;
    char before[256];
    (void)state;
    snprintf(before, sizeof before, "%s", say("when", &result));
    PRINTS("origin made", "imulq");
    assert_string_equal(before, say("when", &result));
}

static void a_limit_of_steps_is_kept(void **state)
{
    (void)state;
    PRINTS("origin -limit 1 made", "movq", "Not at the end after 1 steps");
    refuses("origin -limit 0 made", "-limit needs");
    refuses("origin -fast made", "is no option");
}

static void programs_get_rows(void **state)
{
    (void)state;
    PRINTS("origin -json copied", "[", "\"step\": 1", "\"instruction\": \"rep movsb",
        "\"end\": \"goes on\"", "\"from\": \"phys:", "\"end\": \"computed\"",
        "\"end\": \"operand\"", "\"from\": \"rax\"", "\"follow\": ", "]");
}

static void what_cannot_be_followed_is_said(void **state)
{
    (void)state;
    refuses("origin", "give a variable");
    refuses("origin *0xffff800000000000", "is not mapped here");
    refuses("origin phys:0xfee00000", "is not RAM");
    refuses("origin nothing_like_it", "nothing_like_it");
    refuses("origin #x", "there is no #x");
    refuses("origin phys:0x1000 what", "is not understood");
}

/* ---- Patterns over the whole run ---------------------------------------------------------------
 */

static void a_pattern_is_found_to_the_instruction(void **state)
{
    (void)state;
    PRINTS("find 69 6c 74 7c 5a 5a 5a 5a -ever", "First at phys:", "movl   $0x5a5a5a5a",
        "Gone, last at phys:", "movq   $0");
    PRINTS("find 69 6c 74 7c 5a 5a 5a 5a -ever -json", "[", "\"what\": \"first\"",
        "\"position\": \"", "\"what\": \"gone\"", "\"phys\": ");
    PRINTS("find 88 77 66 55 44 33 22 11 -ever", "from the start", "at the end");
    PRINTS("find \"no such text anywhere\" -ever", "It stood nowhere");
    refuses("find 00 -ever", "in more than");
    refuses("find 5a -always", "-always");
}

/* ---- Other guests -------------------------------------------------------------------------------
 */

static void entropy_is_an_input(void **state)
{
    (void)state;
    open_debugger("entropy", "rounds=2");
    PRINTS("seek end", "");
    PRINTS("origin bytes[3]", "a device writes", "entropy: byte 3 of what event ");
    close_debugger();
}

static void sectors_are_inputs(void **state)
{
    char image[] = "/tmp/hindsight-origin-XXXXXX";
    int fd = mkstemp(image);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    close(fd);
    snprintf(disk_option, sizeof disk_option, "file=%s", image);
    open_debugger("disk", "passes=1 random=5");
    *disk_option = '\0';
    unlink(image);
    PRINTS("seek end", "");
    PRINTS("origin *(char *)&buffer[64]", "a device writes", "disk0, sector ", ", byte 0");
    close_debugger();
}

int main(void)
{
    const struct CMUnitTest moves[] = {
        cmocka_unit_test(what_was_computed_names_its_operands),
        cmocka_unit_test(moves_lead_to_the_multiplication),
        cmocka_unit_test(halves_are_followed_each),
        cmocka_unit_test(what_nobody_wrote_was_there_at_the_start),
        cmocka_unit_test(devices_and_the_clock_are_named),
        cmocka_unit_test(the_session_stands_where_it_stood),
        cmocka_unit_test(a_limit_of_steps_is_kept),
        cmocka_unit_test(programs_get_rows),
        cmocka_unit_test(what_cannot_be_followed_is_said),
        cmocka_unit_test(a_pattern_is_found_to_the_instruction),
    };
    const struct CMUnitTest others[] = {
        cmocka_unit_test_setup_teardown(entropy_is_an_input, make_path, remove_path),
        cmocka_unit_test_setup_teardown(sectors_are_inputs, make_path, remove_path),
    };
    int failed = cmocka_run_group_tests(moves, open_moves, close_moves);
    return failed + cmocka_run_group_tests(others, NULL, NULL);
}
