/* Stepping by source lines and instructions, and out of functions, in both directions. */
#include "debugger/command.h"
#include "debugger/running.h"
#include "debugger/scopes.h"
#include "debugger/session.h"
#include "debugger/source.h"
#include "debugger/threads.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Where a step began or stands. */
struct spot {
    uint64_t pc, rsp;
    bool has_line;
    struct source_line line;
};

enum stepped {
    STEPPED,         /* one instruction, or a whole call */
    STEPPED_CALL,    /* into a function by a call (or, backward, by its return) */
    STEPPED_STOPPED, /* something else stopped it: *result tells */
};

static int stand(struct debugger *debugger, struct spot *spot, struct error *error)
{
    if (session_look(debugger, error) < 0)
        return -1;
    spot->pc = view_pc(&debugger->view);
    spot->rsp = debugger->view.state.gpr[RSP];
    spot->has_line = symbols_line(&debugger->symbols, spot->pc, &spot->line);
    return 0;
}

static bool same_line(const struct spot *a, const struct spot *b)
{
    return a->has_line && b->has_line && a->line.line == b->line.line &&
           strcmp(a->line.file, b->line.file) == 0;
}

/* ---- Conditions of its own ---- */

struct place {
    uint64_t pc, rsp;
};

static bool rsp_is(void *context, struct timeline *timeline)
{
    const struct place *place = context;
    struct view view;
    return view_take(&view, timeline, NULL) == 0 && view.state.gpr[RSP] == place->rsp;
}

/* An interrupt was delivered just now: did it interrupt this place? */
static bool interrupted_there(void *context, struct timeline *timeline)
{
    const struct place *place = context;
    struct view view;
    uint64_t frame[5];
    return view_take(&view, timeline, NULL) == 0 &&
           view_read(&view, view.state.gpr[RSP], frame, sizeof frame) && frame[0] == place->pc &&
           frame[3] == place->rsp;
}

static struct timeline_condition execute_at(const struct place *place)
{
    return (struct timeline_condition){.kind = CONDITION_EXECUTE,
        .address = place->pc,
        .length = 1,
        .accept = rsp_is,
        .context = (void *)place};
}

/* Forward to where execution goes on with this pc and stack. */
static int run_to_place(struct debugger *debugger, const struct place *place,
    struct run_result *result, struct error *error)
{
    const struct timeline_condition condition = execute_at(place);
    return run_go(debugger, FORWARD, &condition, 1, result, error);
}

/* Backward to the call that pushed `return_address` at `slot`. */
static int reverse_to_call(struct debugger *debugger, uint64_t return_address, uint64_t slot,
    struct run_result *result, struct error *error)
{
    struct timeline_condition conditions[6];
    struct place places[6];
    unsigned count = 0;
    for (unsigned size = 2; size <= 7; size++) {
        struct instruction instruction;
        if (!disassemble(&debugger->view, NULL, SYNTAX_ATT, return_address - size, &instruction) ||
            instruction.size != size || instruction.kind != INSTRUCTION_CALL)
            continue;
        places[count] = (struct place){return_address - size, slot + 8};
        conditions[count] = execute_at(&places[count]);
        count++;
    }
    if (count == 0)
        return error_set(error, "no call before 0x%" PRIx64, return_address);
    return run_go(debugger, BACKWARD, conditions, count, result, error);
}

/* Backward to before the interrupt or exception that found this pc and stack. */
static int reverse_to_interrupted(struct debugger *debugger, const struct place *place,
    struct run_result *result, struct error *error)
{
    const struct timeline_condition conditions[] = {
        execute_at(place),
        {.kind = CONDITION_EVENT,
            .event_kinds = 1u << EVENT_INTERRUPT,
            .accept = interrupted_there,
            .context = (void *)place},
    };
    return run_go(debugger, BACKWARD, conditions, 2, result, error);
}

/* ---- One instruction ---- */

/* Does the stack hold what the CPU pushed when it interrupted `from`? The handler may have pushed
 * one word since, and the CPU an error code. */
static bool was_interrupted(const struct debugger *debugger, const struct spot *from, uint16_t cs)
{
    const struct view *view = &debugger->view;
    uint64_t words[6];
    if (!view_read(view, view->state.gpr[RSP], words, sizeof words))
        return false;
    for (unsigned i = 0; i < 3; i++) {
        uint64_t old_rsp;
        if (words[i] == from->pc && words[i + 1] == cs &&
            view_read_number(view, view->state.gpr[RSP] + 8 * (i + 3), 8, &old_rsp) &&
            old_rsp == from->rsp)
            return true;
    }
    return false;
}

/* Of the thread looked at, unless the machine's own steps are asked for. */
static int step_thread(struct debugger *debugger, enum direction direction, uint64_t count,
    struct timeline_stop *stop, struct error *error)
{
    const unsigned thread = debugger->thread;
    int status = 0;
    if (threads_count(debugger->timeline) == 1 || debugger->machine_steps)
        return timeline_step(debugger->timeline, direction, count, stop, error);
    if (thread == 0)
        return session_look(debugger, error) < 0
                   ? -1
                   : step_thread(debugger, direction, count, stop, error);
    *stop = (struct timeline_stop){.why = TIMELINE_DONE};
    for (uint64_t i = 0; i < count && status == 0 && stop->why == TIMELINE_DONE; i++)
        status = threads_step(debugger->timeline, direction, thread, stop, error);
    return status;
}

static int raw_step(struct debugger *debugger, enum direction direction, uint64_t count,
    struct run_result *result, struct error *error)
{
    *result = (struct run_result){0};
    int status = step_thread(debugger, direction, count, &result->stop, error);
    debugger_moved(debugger);
    result->why = result->stop.why;
    if (atomic_load(&debugger->interrupted))
        result->why = TIMELINE_INTERRUPTED;
    return status;
}

/* An instruction forward. Interrupts and exceptions that come first are run through. */
static int forward_one(struct debugger *debugger, bool over_calls, enum stepped *how,
    struct run_result *result, struct error *error)
{
    struct spot from, now;
    struct instruction instruction;
    *how = STEPPED_STOPPED;
    for (;;) {
        uint64_t return_address;
        if (stand(debugger, &from, error) < 0)
            return -1;
        uint16_t cs = debugger->view.state.segment[SEG_CS].selector;
        bool decoded = disassemble(&debugger->view, NULL, SYNTAX_ATT, from.pc, &instruction);
        if (raw_step(debugger, FORWARD, 1, result, error) < 0)
            return -1;
        if (result->why != TIMELINE_DONE)
            return 0;
        if (stand(debugger, &now, error) < 0)
            return -1;
        const struct place next = {from.pc + instruction.size, from.rsp};
        bool called = decoded && instruction.kind == INSTRUCTION_CALL && now.rsp == from.rsp - 8 &&
                      view_read_number(&debugger->view, now.rsp, 8, &return_address) &&
                      return_address == next.pc;
        if (called) {
            *how = over_calls ? STEPPED : STEPPED_CALL;
            if (!over_calls)
                return 0;
            if (run_to_place(debugger, &next, result, error) < 0)
                return -1;
            *how = result->extra ? STEPPED : STEPPED_STOPPED;
            return 0;
        }
        if (!was_interrupted(debugger, &from, cs)) {
            *how = STEPPED;
            return 0;
        }
        const struct place back = {from.pc, from.rsp};
        if (run_to_place(debugger, &back, result, error) < 0)
            return -1;
        if (!result->extra)
            return 0;
    }
}

/* An instruction backward. Handlers of interrupts and exceptions are run through. */
static int backward_one(struct debugger *debugger, bool over_calls, enum stepped *how,
    struct run_result *result, struct error *error)
{
    struct spot from, now;
    struct instruction instruction;
    uint64_t words[4];
    *how = STEPPED_STOPPED;
    if (stand(debugger, &from, error) < 0 || raw_step(debugger, BACKWARD, 1, result, error) < 0)
        return -1;
    if (result->why != TIMELINE_DONE)
        return 0;
    if (stand(debugger, &now, error) < 0)
        return -1;
    *how = STEPPED;
    if (!disassemble(&debugger->view, NULL, SYNTAX_ATT, now.pc, &instruction) ||
        !view_read(&debugger->view, now.rsp, words, sizeof words) || words[0] != from.pc)
        return 0;
    if (instruction.kind == INSTRUCTION_INTERRUPT_RETURN) {
        const struct place place = {from.pc, from.rsp};
        if (reverse_to_interrupted(debugger, &place, result, error) < 0)
            return -1;
        *how = STEPPED_STOPPED;
        if (!result->extra)
            return 0;
        /* Stands where `from` stood, before the interrupt. */
        return backward_one(debugger, over_calls, how, result, error);
    }
    if (instruction.kind != INSTRUCTION_RETURN)
        return 0;
    if (!over_calls) {
        *how = STEPPED_CALL;
        return 0;
    }
    if (reverse_to_call(debugger, from.pc, now.rsp, result, error) < 0)
        return -1;
    *how = result->extra ? STEPPED : STEPPED_STOPPED;
    return 0;
}

/* ---- Lines forward ---- */

/* Just called: into a function with lines, past its prologue; else back out. */
static int enter_function(struct debugger *debugger, const struct spot *from, bool *entered,
    struct run_result *result, struct error *error)
{
    struct spot now;
    uint64_t return_address;
    if (stand(debugger, &now, error) < 0)
        return -1;
    *entered = now.has_line;
    struct place place = {symbols_after_prologue(&debugger->symbols, now.pc), 0};
    if (now.has_line) {
        const struct timeline_condition body = {
            .kind = CONDITION_EXECUTE, .address = place.pc, .length = 1};
        if (place.pc == now.pc) {
            result->why = TIMELINE_DONE;
            return 0;
        }
        return run_go(debugger, FORWARD, &body, 1, result, error);
    }
    if (!view_read_number(&debugger->view, now.rsp, 8, &return_address))
        return error_set(error, "the return address at 0x%" PRIx64 " is not mapped", now.rsp);
    place = (struct place){return_address, from->rsp};
    return run_to_place(debugger, &place, result, error);
}

/* Until another line begins. *done is false when something else stopped it. */
static int step_line(struct debugger *debugger, bool over_calls, bool *done,
    struct run_result *result, struct error *error)
{
    struct spot start, now;
    struct frame frame = {0};
    *done = false;
    if (stand(debugger, &start, error) < 0)
        return -1;
    unwind_start(&debugger->symbols, &debugger->view, &frame);
    bool bare = !start.has_line;
    for (;;) {
        enum stepped how;
        if (forward_one(debugger, over_calls || bare, &how, result, error) < 0)
            return -1;
        if (how == STEPPED_STOPPED)
            return 0;
        if (how == STEPPED_CALL) {
            bool entered;
            if (enter_function(debugger, &start, &entered, result, error) < 0)
                return -1;
            if (entered || !result->extra) {
                *done = entered && (result->extra || result->why == TIMELINE_DONE);
                return 0;
            }
        }
        if (stand(debugger, &now, error) < 0)
            return -1;
        bool left = frame.has_cfa && now.rsp >= frame.cfa;
        bool fresh = now.has_line && now.line.statement && now.line.start == now.pc;
        if ((left && now.has_line) || (fresh && !same_line(&start, &now))) {
            *done = true;
            return 0;
        }
    }
}

/* ---- Lines backward ---- */

/* To the beginning of the line that was being executed. */
static int reverse_step_line(struct debugger *debugger, bool over_calls, bool *done,
    struct run_result *result, struct error *error)
{
    struct spot start, line, now;
    enum stepped how;
    *done = false;
    if (stand(debugger, &start, error) < 0)
        return -1;
    bool at_beginning = !start.has_line || start.line.start == start.pc;
    line = start;
    for (bool first = true;; first = false) {
        struct position before = timeline_position(debugger->timeline);
        if (backward_one(debugger, over_calls, &how, result, error) < 0)
            return -1;
        if (how == STEPPED_STOPPED)
            return 0;
        if (stand(debugger, &now, error) < 0)
            return -1;
        /* Out of a function without lines again. */
        if (how == STEPPED_CALL && !now.has_line) {
            uint64_t return_address;
            if (!view_read_number(&debugger->view, now.rsp, 8, &return_address) ||
                reverse_to_call(debugger, return_address, now.rsp, result, error) < 0)
                return -1;
            if (!result->extra)
                return 0;
            if (stand(debugger, &now, error) < 0)
                return -1;
        }
        if (first && at_beginning) {
            line = now;
            continue;
        }
        if (how == STEPPED_CALL || !same_line(&line, &now)) {
            *done = true;
            if (!line.has_line)
                return 0;
            int status = timeline_seek(debugger->timeline, before, &result->stop, error);
            debugger_moved(debugger);
            return status;
        }
    }
}

/* ---- Commands ---- */

static int parse_count(
    struct debugger *debugger, const char *text, uint64_t *count, struct error *error)
{
    *count = 1;
    return *text ? session_number(debugger, text, count, error) : 0;
}

typedef int line_stepper(struct debugger *debugger, bool over_calls, bool *done,
    struct run_result *result, struct error *error);

static int step_lines(struct debugger *debugger, line_stepper *step, bool over_calls,
    const char *arguments, struct error *error)
{
    uint64_t count;
    struct run_result result = {.why = TIMELINE_DONE};
    if (parse_count(debugger, arguments, &count, error) < 0)
        return -1;
    bool done = true;
    points_look(debugger);
    for (uint64_t i = 0; i < count && done; i++) {
        if (step(debugger, over_calls, &done, &result, error) < 0)
            return -1;
    }
    if (done)
        result = (struct run_result){.why = TIMELINE_DONE};
    return run_report(debugger, &result, error);
}

COMMAND(step)
{
    return step_lines(debugger, step_line, false, arguments, error);
}

COMMAND(next)
{
    return step_lines(debugger, step_line, true, arguments, error);
}

COMMAND(reverse_step)
{
    return step_lines(debugger, reverse_step_line, false, arguments, error);
}

COMMAND(reverse_next)
{
    return step_lines(debugger, reverse_step_line, true, arguments, error);
}

static int step_instructions(
    struct debugger *debugger, enum direction direction, const char *arguments, struct error *error)
{
    uint64_t count;
    struct run_result result;
    if (parse_count(debugger, arguments, &count, error) < 0 ||
        raw_step(debugger, direction, count, &result, error) < 0)
        return -1;
    return run_report(debugger, &result, error);
}

COMMAND(stepi)
{
    return step_instructions(debugger, FORWARD, arguments, error);
}

COMMAND(reverse_stepi)
{
    return step_instructions(debugger, BACKWARD, arguments, error);
}

static int next_instructions(
    struct debugger *debugger, enum direction direction, const char *arguments, struct error *error)
{
    uint64_t count;
    enum stepped how = STEPPED;
    struct run_result result = {.why = TIMELINE_DONE};
    if (parse_count(debugger, arguments, &count, error) < 0)
        return -1;
    for (uint64_t i = 0; i < count && how == STEPPED; i++) {
        int status = direction == FORWARD ? forward_one(debugger, true, &how, &result, error)
                                          : backward_one(debugger, true, &how, &result, error);
        if (status < 0)
            return -1;
    }
    if (how == STEPPED)
        result = (struct run_result){.why = TIMELINE_DONE};
    return run_report(debugger, &result, error);
}

COMMAND(nexti)
{
    return next_instructions(debugger, FORWARD, arguments, error);
}

COMMAND(reverse_nexti)
{
    return next_instructions(debugger, BACKWARD, arguments, error);
}

static int caller_of_selected(struct debugger *debugger, struct frame *caller, struct error *error)
{
    if (session_look(debugger, error) < 0)
        return -1;
    if (!unwind_caller(&debugger->symbols, &debugger->view, &debugger->frame, caller))
        return error_set(error, "the selected frame is the outermost: there is no caller");
    return 0;
}

/* What the function at `address` returned, by its type, in RAX. */
static void print_returned(struct debugger *debugger, uint64_t address)
{
    const struct module *module;
    Dwarf_Die function;
    struct buffer text = {0};
    struct error error;
    if (!symbols_function(&debugger->symbols, address, &module, &function))
        return;
    struct type type = type_of(&function);
    enum type_kind kind = type_kind(&type);
    if ((!type_is_integer(&type) && kind != TYPE_POINTER) || session_look(debugger, NULL) < 0)
        return;
    struct value value = value_number(debugger->view.state.gpr[RAX], &type);
    if (session_format(debugger, &value, 0, &text, &error) == 0) {
        print(debugger, "Value returned is $%u = ", session_remember(debugger, &value));
        print_text(debugger, &text);
        print(debugger, "\n");
    }
    buffer_free(&text);
}

/* Steps out of the function that is inlined in the selected frame: by whole calls, until its code
 * is left. */
static int leave_inlined(struct debugger *debugger, enum direction direction, struct error *error)
{
    struct scopes scopes, now;
    struct run_result result = {.why = TIMELINE_DONE};
    enum stepped how = STEPPED;
    bool inside = scopes_of(&debugger->symbols, &debugger->frame, &scopes);
    Dwarf_Off wanted = inside ? dwarf_dieoffset(&scopes.list[scopes.begin]) : 0;
    while (inside && how == STEPPED) {
        int status = direction == FORWARD ? forward_one(debugger, true, &how, &result, error)
                                          : backward_one(debugger, true, &how, &result, error);
        if (status < 0 || session_look(debugger, error) < 0)
            return -1;
        inside = false;
        if (!scopes_at(&debugger->symbols, view_pc(&debugger->view), &now))
            break;
        for (unsigned i = 0; i < now.count; i++)
            inside |= dwarf_dieoffset(&now.list[i]) == wanted;
    }
    if (how == STEPPED)
        result = (struct run_result){.why = TIMELINE_DONE};
    return run_report(debugger, &result, error);
}

static void print_leaving(struct debugger *debugger, const char *what)
{
    print(debugger, "%s #%-3u", what, debugger->level);
    print_frame(debugger, &debugger->frame, true);
    print(debugger, "\n");
}

COMMAND(finish)
{
    struct frame caller;
    struct run_result result;
    (void)arguments;
    if (session_look(debugger, error) < 0)
        return -1;
    if (debugger->level == 0 && debugger->frame.inlined) {
        print_leaving(debugger, "Run till exit from");
        return leave_inlined(debugger, FORWARD, error);
    }
    if (caller_of_selected(debugger, &caller, error) < 0)
        return -1;
    uint64_t function = unwind_lookup_address(&debugger->frame);
    const struct place place = {caller.reg[DWARF_PC], caller.reg[DWARF_RSP]};
    print_leaving(debugger, "Run till exit from");
    if (run_to_place(debugger, &place, &result, error) < 0 ||
        run_report(debugger, &result, error) < 0)
        return -1;
    if (result.extra)
        print_returned(debugger, function);
    return 0;
}

COMMAND(reverse_finish)
{
    struct frame caller;
    struct run_result result;
    (void)arguments;
    if (session_look(debugger, error) < 0)
        return -1;
    if (debugger->level == 0 && debugger->frame.inlined) {
        print_leaving(debugger, "Run back to call of");
        return leave_inlined(debugger, BACKWARD, error);
    }
    if (caller_of_selected(debugger, &caller, error) < 0)
        return -1;
    const struct place place = {caller.reg[DWARF_PC], caller.reg[DWARF_RSP]};
    print_leaving(debugger, "Run back to call of");
    int status = caller.how == FRAME_INTERRUPT
                     ? reverse_to_interrupted(debugger, &place, &result, error)
                     : reverse_to_call(debugger, place.pc, place.rsp - 8, &result, error);
    return status < 0 ? -1 : run_report(debugger, &result, error);
}

static bool in_frame_or_outside(void *context, struct timeline *timeline)
{
    const struct place *place = context;
    struct view view;
    return view_take(&view, timeline, NULL) == 0 && view.state.gpr[RSP] >= place->rsp;
}

static int run_to_text(
    struct debugger *debugger, const char *text, bool in_frame, struct error *error)
{
    uint64_t addresses[MAX_POINT_ADDRESSES];
    unsigned count;
    struct timeline_condition conditions[MAX_POINT_ADDRESSES];
    struct run_result result;
    if (place_parse(debugger, text, addresses, MAX_POINT_ADDRESSES, &count, error) < 0)
        return -1;
    struct place place = {0, debugger->view.state.gpr[RSP]};
    for (unsigned i = 0; i < count; i++) {
        conditions[i] = (struct timeline_condition){.kind = CONDITION_EXECUTE,
            .address = addresses[i],
            .length = 1,
            .accept = in_frame ? in_frame_or_outside : NULL,
            .context = &place};
    }
    if (run_go(debugger, FORWARD, conditions, count, &result, error) < 0)
        return -1;
    return run_report(debugger, &result, error);
}

COMMAND(advance)
{
    if (!*arguments)
        return error_set(error, "advance: give a place, as in 'advance guest_main'");
    return run_to_text(debugger, arguments, false, error);
}

COMMAND(until)
{
    struct spot start, now;
    struct run_result result = {.why = TIMELINE_DONE};
    bool done = true;
    if (*arguments)
        return run_to_text(debugger, arguments, true, error);
    if (stand(debugger, &start, error) < 0)
        return -1;
    /* As next, but not back to the beginning of a loop. */
    do {
        if (step_line(debugger, true, &done, &result, error) < 0 ||
            stand(debugger, &now, error) < 0)
            return -1;
    } while (done && now.pc < start.pc && now.rsp <= start.rsp &&
             symbols_at(&debugger->symbols, now.pc) == symbols_at(&debugger->symbols, start.pc));
    if (done)
        result = (struct run_result){.why = TIMELINE_DONE};
    return run_report(debugger, &result, error);
}

const struct command step_commands[] = {
    {"Moving forward", "step", "s", command_step, "[COUNT]",
        "Goes on to the next source line, into functions that are called. Interrupts on the way "
        "are "
        "run through.",
        "step", COMPLETE_NONE, true},
    {"Moving forward", "next", "n", command_next, "[COUNT]",
        "Goes on to the next source line, over calls.", "next 3", COMPLETE_NONE, true},
    {"Moving forward", "stepi", "si", command_stepi, "[COUNT]",
        "Executes one instruction, or COUNT. Where an interrupt comes first, its handler's first.",
        "stepi 100", COMPLETE_NONE, true},
    {"Moving forward", "nexti", "ni", command_nexti, "[COUNT]",
        "Executes one instruction, over calls and interrupts.", "nexti", COMPLETE_NONE, true},
    {"Moving forward", "finish", "fin", command_finish, "",
        "Goes on until the selected frame returns, and prints the value returned.", "finish",
        COMPLETE_NONE, true},
    {"Moving forward", "until", "u", command_until, "[PLACE]",
        "Without PLACE as next, but not back to the start of a loop. With PLACE goes on to there "
        "in "
        "this frame or an outer one.",
        "until crash.c:120", COMPLETE_PLACE, true},
    {"Moving forward", "advance", "", command_advance, "PLACE",
        "Goes on to a place in code, in whatever frame.", "advance guest_panic", COMPLETE_PLACE,
        false},
    {"Moving backward", "reverse-step", "rs", command_reverse_step, "[COUNT]",
        "Goes back to the beginning of the line executed before, into functions from their end.",
        "reverse-step", COMPLETE_NONE, true},
    {"Moving backward", "reverse-next", "rn", command_reverse_next, "[COUNT]",
        "Goes back to the beginning of the line executed before, over calls.", "reverse-next",
        COMPLETE_NONE, true},
    {"Moving backward", "reverse-stepi", "rsi", command_reverse_stepi, "[COUNT]",
        "Undoes one instruction, or COUNT.", "reverse-stepi", COMPLETE_NONE, true},
    {"Moving backward", "reverse-nexti", "rni", command_reverse_nexti, "[COUNT]",
        "Undoes one instruction; a whole call or interrupt counts as one.", "reverse-nexti",
        COMPLETE_NONE, true},
    {"Moving backward", "reverse-finish", "rfin", command_reverse_finish, "",
        "Goes back to the call of the selected frame's function, or to before the interrupt.",
        "reverse-finish", COMPLETE_NONE, true},
    {0},
};
