/* The vCPUs of a machine: who runs, looking at another one, the list of turns. */
#include "debugger/command.h"
#include "debugger/session.h"
#include "debugger/source.h"
#include "debugger/threads.h"

#include <inttypes.h>
#include <string.h>

static void show_thread(struct debugger *debugger, unsigned thread)
{
    struct view view;
    struct frame frame;
    struct buffer text = {0};
    struct error error;
    threads_describe(debugger->timeline, thread, &text);
    print(debugger, "%c %-3u ", thread == debugger->thread ? '*' : ' ', thread);
    print_text(debugger, &text);
    buffer_free(&text);
    if (!timeline_machine(debugger->timeline)->vcpu[thread - 1].waiting &&
        threads_view(&view, debugger->timeline, thread, &error) == 0) {
        unwind_start(&debugger->symbols, &view, &frame);
        print(debugger, "  ");
        print_address(debugger, frame.reg[DWARF_PC]);
    }
    print(debugger, "\n");
}

void threads_show_switch(struct debugger *debugger)
{
    if (debugger->shown && debugger->shown != debugger->thread)
        print(debugger, "[Switching to thread %u (vCPU %u)]\n", debugger->thread,
            debugger->thread - 1);
    debugger->shown = debugger->thread;
}

int threads_list(struct debugger *debugger, struct error *error)
{
    if (session_look(debugger, error) < 0)
        return -1;
    for (unsigned i = 1; i <= threads_count(debugger->timeline); i++)
        show_thread(debugger, i);
    return 0;
}

COMMAND(thread)
{
    uint64_t number;
    if (session_look(debugger, error) < 0)
        return -1;
    if (!*arguments) {
        print(
            debugger, "[Current thread is %u (vCPU %u)]\n", debugger->thread, debugger->thread - 1);
        return 0;
    }
    if (session_number(debugger, arguments, &number, error) < 0)
        return -1;
    unsigned count = threads_count(debugger->timeline);
    if (number == 0 || number > count)
        return error_set(
            error, "there is no thread %" PRIu64 ": 1 to %u are the vCPUs", number, count);
    if (timeline_machine(debugger->timeline)->vcpu[number - 1].waiting)
        return error_set(error, "thread %" PRIu64 " (vCPU %" PRIu64 ") has not been started here",
            number, number - 1);
    if (session_select_thread(debugger, (unsigned)number, error) < 0)
        return -1;
    print(debugger, "[Switching to thread %" PRIu64 " (vCPU %" PRIu64 ")]\n", number, number - 1);
    return print_stop(debugger, error);
}

const struct command threads_commands[] = {
    {"Looking", "thread", "t", command_thread, "[NUMBER]",
        "Says which vCPU is looked at, or looks at another one: registers, memory, backtrace, and "
        "the "
        "one that steps move. After every move it is the one that runs. Thread N is vCPU N - 1; "
        "info "
        "threads lists them.",
        "thread 1", COMPLETE_NONE, false},
    {0},
};
