/* Debugger commands over one recording of a guest with interrupts: places, frames, stepping and
 * running in both directions, and every command's own example. */
#include "tests/unit/debugger/session.h"

/* ---- Values ---- */

static void printf_has_the_conversions_of_c(void **state)
{
    (void)state;
    go_to_handler();
    prints("printf \"%d|%-4x|%c|%%|%.2f|%03u\\n\", 42, 255, 'A', 1.5, 7", "42|ff  |A|%|1.50|007\n");
    prints("printf \"%s at %p\\n\", free_list.name, 0x10", "free at 0x10\n");
    prints("printf \"no end of line\"", "no end of line");
    refuses("printf \"%d\"", "too few arguments");
    refuses("printf \"%d\", 1, 2", "more arguments");
    refuses("printf \"%n\", 1", "no conversion");
    refuses("printf \"%s\", 0x700000000000", "no string");
    refuses("printf 1", "as in printf");
}

static void members_have_lines_when_pretty(void **state)
{
    (void)state;
    go_to_handler();
    run("set print pretty on");
    prints("print nodes[0]@2",
        " = {{\n    next = 0x0,\n    owner = FREE,\n    value = 0\n  }, {\n    next = ");
    prints("print nodes[0]", " = {\n  next = 0x0,\n  owner = FREE,\n  value = 0\n}\n");
    run("set print pretty off");
    prints("print nodes[0]", " = {next = 0x0, owner = FREE, value = 0}\n");
    refuses("set print pretty", "set: ");
}

static void expressions_know_floats_vectors_and_structs_around_members(void **state)
{
    (void)state;
    go_to_handler();
    prints("print 1.5 * 3 + 1", " = 5.5\n");
    prints("print (int)(7.9)", " = 7\n");
    prints("print 1.5 < 2", " = 1\n");
    prints("print -2.5e2", " = -250\n");
    refuses("print 1.5 % 2", "not for floating point");
    prints("print $xmm0", "v4_float = {");
    prints("print sizeof($xmm0.v16_int8)", " = 16\n");
    prints("print $xmm0.v2_int64[0] == $xmm0.v2_int64[0]", " = 1\n");
    refuses("print $xmm0.v2_int64[2]", "no element");
    prints("print container_of(&nodes[3].owner, struct node, owner) == &nodes[3]", " = 1\n");
    refuses("print container_of(&nodes[3].owner, struct node, nothing)", "no member");
    prints("print &'crash.c'::free_list == &free_list", " = 1\n");
    refuses("print 'timers.c'::free_list", "no variable");
}

static void names_are_listed_by_expressions(void **state)
{
    (void)state;
    go_to_handler();
    prints("info types ^node$", "crash.c:\n26:\tstruct node;\n");
    prints("info types owner|list$", "enum owner;\n");
    prints("info variables ^free_", ":\tstatic struct list free_list;\n");
    prints("info functions ^handle_p.t$", "handle_pit");
    prints("info scope list_push", "Symbol node is an argument of type struct node *, length 8.\n");
    refuses("info types (", "'(': ");
    refuses("info scope", "give a place");
    refuses("info scope nowhere_at_all", "no function");
}

/* ---- Places in time ---- */

static void moves_are_undone_and_done_again(void **state)
{
    (void)state;
    struct position start = here();
    go_to_handler();
    struct position first = here();
    run("seek 50%");
    struct position second = here();
    run("seek -");
    is_at(first);
    run("seek -");
    is_at(start);
    refuses("seek -", "no place before");
    prints("info history", "* 0.0");
    run("seek +");
    is_at(first);
    run("seek +");
    is_at(second);
    refuses("seek +", "no place after");
    run("seek -");
    run("stepi");
    refuses("seek +", "no place after");
}

/* ---- Frames ---- */

static void a_full_backtrace_has_the_locals(void **state)
{
    (void)state;
    go_to_handler();
    const char *text = run("backtrace full");
    const char *frame = strstr(text, "sample (");
    if (!frame || !strstr(frame, "\n        sum = ") || !strstr(text, "        No locals.\n"))
        fail_msg("no locals of the frame in: %s", text);
    assert_null(strstr(run("backtrace full 1"), "#1"));
}

static void a_backtrace_leads_across_the_interrupt(void **state)
{
    (void)state;
    go_to_handler();
    const char *all = run("backtrace"), *text = all;
    static const char *const names[] = {"handle_pit", "guest_main", "boot_main", "start_common"};
    for (unsigned i = 0; i < 4; i++) {
        const char *found = strstr(text, names[i]);
        if (!found)
            fail_msg("no %s where it belongs in: %s", names[i], all);
        text = found;
    }
    prints("backtrace 1", "#0");
    assert_null(strstr(run("backtrace 1"), "#1"));
}

static void frames_are_walked_up_and_down(void **state)
{
    (void)state;
    go_to_handler();
    prints("frame 0", "handle_pit");
    prints("up", "#1");
    prints("info frame", "Frame 1");
    prints("down", "#0");
    refuses("down", "");
    refuses("frame 200", "the outermost is");
    refuses("up 200", "");
    prints("info args", "frame");
    run("info locals");
    prints("frame", "#0");
    prints("info registers rip", "rip");
    prints("info registers", "rsp");
}

static void finish_and_reverse_finish_leave_the_frame(void **state)
{
    (void)state;
    go_to_handler();
    struct position inside = here();
    run("finish");
    struct position after = here();
    assert_true(position_compare(after, inside) > 0);
    assert_null(strstr(run("backtrace 1"), "handle_pit"));
    run("seek start");
    go_to_handler();
    is_at(inside);
    run("reverse-finish");
    assert_true(position_compare(here(), inside) < 0);
    assert_null(strstr(run("backtrace 1"), "handle_pit"));
}

/* ---- Stepping ---- */

static void an_instruction_forward_and_back_is_where_it_was(void **state)
{
    (void)state;
    go_to_handler();
    struct position from = here();
    for (unsigned i = 0; i < 40; i++)
        run("stepi");
    run("reverse-stepi 40");
    is_at(from);
    run("nexti 10");
    for (unsigned i = 0; i < 10; i++)
        run("reverse-nexti");
    is_at(from);
}

static void lines_are_stepped_in_both_directions(void **state)
{
    (void)state;
    run("break check_lists");
    run("continue");
    run("delete");
    struct position from = here();
    run("next");
    struct position one = here();
    run("next");
    struct position two = here();
    assert_true(position_compare(one, from) > 0 && position_compare(two, one) > 0);
    run("reverse-next");
    assert_true(position_compare(here(), two) < 0);
    run("reverse-step");
    run("step 3");
    run("reverse-step 3");
    run("until");
    run("advance guest_panic");
    refuses("step 0x", "");
    refuses("next nothing", "");
}

/* ---- Running ---- */

/* Every stop forward is a stop backward, in the other order. */
static void stops_recur_backward(void **state)
{
    enum { STOPS = 6 };
    struct position stops[STOPS];
    (void)state;
    prints("break handle_pit", "Breakpoint 1");
    for (unsigned i = 0; i < STOPS; i++) {
        run("continue");
        stops[i] = here();
    }
    for (unsigned i = STOPS - 1; i-- > 0;) {
        run("reverse-continue");
        is_at(stops[i]);
    }
    prints("reverse-continue", "The start of the trace");
    prints("continue 3", "Breakpoint 1");
    is_at(stops[2]);
}

static void a_watchpoint_finds_the_write_from_both_sides(void **state)
{
    (void)state;
    prints("watch ticks", "atchpoint 1");
    run("continue 3");
    prints("print ticks", "= 3");
    prints("info watchpoints", "ticks");
    run("reverse-continue");
    prints("print ticks", "= 2");
    run("stepi");
    prints("print ticks", "= 3");
    run("delete 1");
    run("last-write ticks");
    prints("print ticks", "= 2");
}

static void conditions_ignores_and_scripts_are_held(void **state)
{
    (void)state;
    prints("tbreak guest_main", "Temporary");
    run("continue");
    prints("info breakpoints", "No breakpoints");
    run("break handle_pit if ticks == 5");
    run("commands");
    run("print ticks * 2");
    run("end");
    prints("continue", "= 10");
    prints("info breakpoints", "stop only if");
    run("condition 2");
    run("ignore 2 3");
    run("continue");
    prints("print ticks", "= 9");
    run("disable 2");
    prints("info breakpoints", " n ");
    run("enable 2");
    run("rwatch ticks");
    run("awatch ticks");
    run("continue");
    run("catch interrupt");
    run("continue");
    run("delete");
    refuses("delete 77", "77");
    refuses("condition 77 1", "77");
}

/* The value before the change that stops, not the one when the watchpoint was set. */
static void a_conditional_watchpoint_tells_the_last_change(void **state)
{
    (void)state;
    run("watch ticks if ticks == 5 || ticks == 9");
    prints("continue", "Old value = 4\nNew value = 5");
    prints("continue", "Old value = 8\nNew value = 9");
    prints("print ticks", "= 9");
    run("delete");
    run("seek end");
    run("watch ticks if ticks == 5 || ticks == 9");
    prints("reverse-continue", "Old value = 9\nNew value = 8");
    prints("reverse-continue", "Old value = 5\nNew value = 4");
    prints("reverse-continue", "The start of the trace");
}

static void a_location_is_watched_whatever_its_name_means_later(void **state)
{
    (void)state;
    go_to_handler();
    prints("watch -l frame->rip", "atchpoint 2: -location frame->rip");
    prints("rwatch -location ticks", "-location ticks");
    prints("awatch -l ticks if ticks > 3", "-location ticks");
    prints("info breakpoints", "-location frame->rip");
    prints("continue", "-location ticks");
    refuses("watch -l", "");
    refuses("watch -l 3 + 4", "not in memory");
}

static void a_logging_breakpoint_goes_on_by_itself(void **state)
{
    (void)state;
    run("break handle_pit if ticks < 3");
    run("commands");
    run("silent");
    run("print ticks");
    run("continue");
    run("echo never");
    run("end");
    const char *text = run("continue");
    assert_non_null(strstr(text, "$1 = 0\n$2 = 1\n$3 = 2\n\nThe end of the trace"));
    assert_null(strstr(text, "Breakpoint"));
    assert_null(strstr(text, "never"));
    assert_true(strncmp(text, "$1", 2) == 0);
    /* Backward, and to a breakpoint with commands of its own. */
    run("delete");
    run("break handle_pit if ticks == 7");
    run("commands $bpnum");
    run("reverse-continue");
    run("end");
    run("break handle_pit if ticks == 4");
    run("commands");
    run("echo four");
    run("end");
    text = run("reverse-continue");
    assert_non_null(strstr(text, "four\n"));
    prints("print ticks", "= 4");
    /* What fails ends it. */
    run("delete");
    run("tbreak handle_pit");
    run("commands");
    run("print nonsense");
    run("continue");
    run("end");
    refuses("continue", "nonsense");
    prints("print ticks", "= 5");
    prints("info breakpoints", "No breakpoints");
}

static void catchpoints_stop_at_their_kind_of_event(void **state)
{
    (void)state;
    run("watch console:\"ticks at\"");
    prints("continue", "ticks at");
    prints("console", "crash:");
    run("delete");
    run("catch pio-out 0x3f8");
    prints("continue", "pio-out");
    run("delete");
    run("catch hlt");
    run("continue");
    run("delete");
    run("catch exception");
    run("catch mode");
    run("continue");
    refuses("catch nonsense", "exception [VECTOR]");
    refuses("watch sector:3", "no disk");
}

/* ---- Places ---- */

static void places_in_code_have_names(void **state)
{
    (void)state;
    prints("break guest_main", "crash.c");
    prints("break crash.c:63", "line 63");
    run("tbreak *0x100000");
    run("break list_pop"); /* inlined: several places */
    refuses("break no_such_function", "no function");
    refuses("break nodes", "is data");
    refuses("break crash.c:99999", "no code");
    prints("info line guest_main", "crash.c");
    run("delete");
    run("seek start");
    run("tbreak crash.c:63");
    run("continue");
    prints("back 1", "#0  handle_pit");
    run("break +1");
    run("break -1");
    run("break 66");
    /* They are those lines also from elsewhere. */
    run("seek start");
    prints("continue", "Breakpoint ");
    prints("info breakpoints", "crash.c:64)");
    prints("info breakpoints", "crash.c:66)");
    refuses("break +99999", "no code");
    refuses("break -99999", "no such line");
    prints("info symbol guest_main", "guest_main");
    prints("info functions list_", "list_");
    prints("info files", "crash");
    prints("disassemble guest_main", "guest_main");
    prints("disassemble /r guest_main", "guest_main");
    run("x/3i guest_main");
    run("directory " TEST_SOURCES);
    prints("list guest_main", "boot_option");
    run("list");
}

static void places_in_time_have_names(void **state)
{
    (void)state;
    run("seek end");
    uint64_t all = timeline_retired(debugger_timeline(debugger));
    run("seek start");
    run("seek 50%");
    uint64_t retired = timeline_retired(debugger_timeline(debugger));
    assert_true(retired >= all / 2 - 1 && retired <= all / 2 + 1);
    run("seek 0%");
    is_at((struct position){0, 0});
    run("seek 100%");
    prints("when", "the end of the trace");
    run("bookmark third 33%");
    prints("when", "the end of the trace");
    run("seek third");
    retired = timeline_retired(debugger_timeline(debugger));
    assert_true(retired >= all * 33 / 100 - 1 && retired <= all * 33 / 100 + 1);
    refuses("seek 101%", "is not a position");
    run("seek 50%");
    struct position half = here();
    run("bookmark middle");
    prints("bookmark", "middle");
    run("seek end");
    prints("when", "the end of the trace");
    run("seek middle");
    is_at(half);
    run("seek start");
    is_at((struct position){0, 0});
    run("seek t=1ms");
    run("seek insn=5000");
    prints("when", "5000 instructions");
    struct position middle = here();
    char line[64];
    snprintf(line, sizeof line, "seek %" PRIu64 ".%" PRIu64, middle.event, middle.insn);
    run("seek end");
    run(line);
    is_at(middle);
    run("checkpoint");
    prints("info checkpoints", "checkpoints");
    run("diff 100 200");
    refuses("seek nowhere", "is not a position");
    refuses("seek 99999999", "past the end");
    prints("events 100 3", "100");
    run("exits start 5");
    run("irqs start 5");
    refuses("disk", "no disk");
}

/* ---- Values ---- */

static void values_are_printed_and_displayed(void **state)
{
    (void)state;
    go_to_handler();
    prints("print/x 17 + 4", "0x15");
    prints("print $1 + 1", "= 22");
    prints("ptype struct node", "owner");
    prints("print free_list", "head");
    prints("print &nodes[1]", "nodes");
    prints("print sizeof(struct list)", "=");
    run("set $n = nodes[3].owner");
    run("print $n");
    prints("display ticks", "1: ticks");
    prints("display/i $pc", "2: x/i");
    prints("info display", "ticks");
    run("stepi");
    run("undisplay 1");
    refuses("undisplay 9", "no display");
    run("delete display");
    run("x/4gx $rsp");
    run("x/2s 0x100000");
    run("x/4dw $rsp");
    prints("find \"ticks at\"", "0x");
    prints("echo here", "here");
    refuses("print nowhere", "nowhere");
    refuses("x/0x 1", "count");
    refuses("set color maybe", "");
    run("set disassembly-flavor intel");
    run("x/i $pc");
}

static void the_machine_is_described(void **state)
{
    (void)state;
    go_to_handler();
    prints("devices", "pic");
    run("devices pit");
    refuses("devices abacus", "abacus");
    run("pagetable $rip");
    run("gdt");
    run("idt");
    run("idt 32");
    run("msr");
    prints("cr", "CR0");
    prints("info trace", "seed");
}

/* ---- Linux ---- */

static void linux_commands_say_what_they_miss_in_another_guest(void **state)
{
    static const char *const lines[] = {"ps", "current", "dmesg", "dmesg 3"};
    (void)state;
    go_to_handler();
    for (unsigned i = 0; i < sizeof lines / sizeof lines[0]; i++)
        refuses(lines[i], "");
}

/* ---- The session ---- */

static void read_file(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

static void a_session_is_saved_and_brought_back(void **state)
{
    (void)state;
    run("seek 100");
    run("bookmark here");
    run("break handle_pit if ticks > 2");
    run("display ticks");
    run("save session.hs");
    close_session(NULL);
    open_session(NULL);
    run("source session.hs");
    is_at((struct position){100, 0});
    prints("info breakpoints", "ticks > 2");
    prints("bookmark", "here");
    refuses("source missing.hs", "missing.hs");
    /* All kinds of breakpoints, read and written again, are what they were. */
    static const char *const lines[] = {"tbreak guest_main", "break crash.c:80 if next->owner > 3",
        "commands", "silent", "print 1", "continue", "end", "ignore $bpnum 5", "watch ticks",
        "watch -l free_list.head if ticks > 1", "disable $bpnum", "rwatch free_list.head",
        "awatch *(long *)0x100000", "watch phys:0x100000", "watch console:\"survived\"",
        "catch exception 13", "catch interrupt 0x20", "catch mode", "catch pio-out 0x3f8", "break",
        "display/i $pc", "display ticks", "break handle_pit thread 1", NULL};
    for (unsigned i = 0; lines[i]; i++)
        run(lines[i]);
    static char first[4096], again[4096];
    run("save session.hs");
    read_file("session.hs", first, sizeof first);
    close_session(NULL);
    open_session(NULL);
    run("source session.hs");
    run("save session.hs");
    read_file("session.hs", again, sizeof again);
    assert_string_equal(first, again);
    assert_non_null(strstr(first, "handle_pit thread 1\n"));
    assert_non_null(strstr(first, "    continue\n  end\n"));
    run("save breakpoints session.hs");
    read_file("session.hs", again, sizeof again);
    assert_null(strstr(again, "seek"));
    assert_null(strstr(again, "display"));
    assert_string_equal(strstr(first, "break handle_pit"), again);
    FILE *file = fopen("lines.hs", "w");
    assert_non_null(file);
    fputs("echo one\nnonsense\n", file);
    fclose(file);
    refuses("source lines.hs", "lines.hs:2");
}

static void words_that_are_no_commands_are_refused_with_what_is_near(void **state)
{
    (void)state;
    refuses("stpe", "did you mean");
    refuses("qqqqqq", "is not a command");
    refuses("re", "could be");
    refuses("add-symbol-file missing", "missing");
    prints("directory", "Sources are also looked for");
    prints("help", "Moving forward");
    prints("help watch", "Example");
    refuses("help nonsense", "nonsense");
}

/* What help shows as an example is a line that the command understands: whatever it says of this
 * guest, it leaves a session that goes on. */
static void every_example_leaves_a_session_that_goes_on(void **state)
{
    const struct command *command;
    unsigned done = 0;
    (void)state;
    for (unsigned i = 0; (command = commands_at(i)); i++) {
        int result;
        if (strcmp(command->name, "quit") == 0)
            continue;
        run("seek 50%");
        const char *text = say(command->example, &result);
        if (strstr(text, "is not a command") || strstr(text, "could be"))
            fail_msg("%s: the example '%s': %s", command->name, command->example, text);
        say("end", &result); /* of `commands` */
        run("seek start");
        is_at((struct position){0, 0});
        run("delete");
        assert_true(debugger_repeats(command->name) == command->repeats);
        done++;
    }
    assert_true(done > 60);
    assert_false(debugger_finished(debugger));
    run("quit");
    assert_true(debugger_finished(debugger));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_backtrace_leads_across_the_interrupt),
        TEST(printf_has_the_conversions_of_c),
        TEST(members_have_lines_when_pretty),
        TEST(names_are_listed_by_expressions),
        TEST(expressions_know_floats_vectors_and_structs_around_members),
        TEST(moves_are_undone_and_done_again),
        TEST(a_full_backtrace_has_the_locals),
        TEST(frames_are_walked_up_and_down),
        TEST(finish_and_reverse_finish_leave_the_frame),
        TEST(an_instruction_forward_and_back_is_where_it_was),
        TEST(lines_are_stepped_in_both_directions),
        TEST(stops_recur_backward),
        TEST(a_watchpoint_finds_the_write_from_both_sides),
        TEST(conditions_ignores_and_scripts_are_held),
        TEST(a_conditional_watchpoint_tells_the_last_change),
        TEST(a_location_is_watched_whatever_its_name_means_later),
        TEST(a_logging_breakpoint_goes_on_by_itself),
        TEST(catchpoints_stop_at_their_kind_of_event),
        TEST(places_in_code_have_names),
        TEST(places_in_time_have_names),
        TEST(values_are_printed_and_displayed),
        TEST(the_machine_is_described),
        TEST(linux_commands_say_what_they_miss_in_another_guest),
        TEST(a_session_is_saved_and_brought_back),
        TEST(words_that_are_no_commands_are_refused_with_what_is_near),
        TEST(every_example_leaves_a_session_that_goes_on),
    };
    return cmocka_run_group_tests(tests, record_once, remove_recording);
}
