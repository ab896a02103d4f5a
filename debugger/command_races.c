/* Data races between vCPUs, found in a stretch of the run. */
#include "debugger/command.h"
#include "debugger/races_look.h"
#include "debugger/range.h"
#include "debugger/session.h"
#include "debugger/source.h"
#include "debugger/threads.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/arch/translate.h"

enum { MAX_EXCLUDED = 16, MAX_SHOWN = 50, MAX_STACKS = 10, MAX_CALLERS = 8, MAX_PIECES = 4096 };

/* What was asked for. */
struct question {
    struct position from, to;
    char excluded[MAX_EXCLUDED][128];
    unsigned excluded_count;
    const char *text; /* what names the range */
    bool physical;
    uint64_t address, length;
    struct races_range *pieces; /* of guest-physical memory, owned */
    unsigned piece_count;
};

/* ---- Understanding the question -------------------------------------------------------------- */

/* Two positions, if what follows them is not empty; else they are the range's beginning. */
static void take_interval(
    struct debugger *debugger, const char **arguments, struct question *question)
{
    char word[64];
    struct position from, to;
    struct error ignored;
    const char *at = *arguments;
    question->from = (struct position){0, 0};
    question->to = (struct position){UINT64_MAX, UINT64_MAX};
    if (!next_word(&at, word, sizeof word) ||
        position_from_text(debugger, word, &from, &ignored) < 0 ||
        !next_word(&at, word, sizeof word) ||
        position_from_text(debugger, word, &to, &ignored) < 0 || !*at)
        return;
    question->from = from;
    question->to = to;
    *arguments = at;
}

static int take_excluded(const char **arguments, struct question *question, struct error *error)
{
    while (strncmp(*arguments, "-exclude ", 9) == 0) {
        *arguments = skip_spaces(*arguments + 9);
        if (question->excluded_count == MAX_EXCLUDED)
            return error_set(error, "races: at most %d functions can be excluded", MAX_EXCLUDED);
        char *name = question->excluded[question->excluded_count++];
        if (!next_word(arguments, name, sizeof question->excluded[0]))
            return error_set(error, "races: -exclude needs the name of a function");
    }
    return 0;
}

static int take_range(struct debugger *debugger, struct question *question, struct error *error)
{
    struct access_range range;
    if (range_parse(debugger, question->text, 0, &range, error) < 0)
        return -1;
    question->physical = range.physical;
    question->address = range.address;
    question->length = range.length;
    return 0;
}

/* The memory that the range is at the present position: what is looked at however it is reached. */
static int find_pieces(struct debugger *debugger, struct question *question, struct error *error)
{
    uint64_t pages = (question->address % PAGE_SIZE + question->length - 1) / PAGE_SIZE + 1, size;
    if (!question->physical && pages > MAX_PIECES)
        return error_set(
            error, "races: a linear range of at most %d pages; phys: may be larger", MAX_PIECES);
    question->pieces = calloc(question->physical ? 1 : pages, sizeof *question->pieces);
    if (!question->pieces)
        return error_set(error, "out of memory");
    if (question->physical) {
        question->pieces[question->piece_count++] =
            (struct races_range){question->address, question->length};
        return 0;
    }
    for (uint64_t done = 0; done < question->length; done += size) {
        uint64_t linear = question->address + done, room = PAGE_SIZE - linear % PAGE_SIZE;
        struct translation translation;
        size = room < question->length - done ? room : question->length - done;
        if (!translate(debugger->view.memory, &debugger->view.state, linear, &translation))
            return error_set(error,
                "races: 0x%" PRIx64 " is not mapped here: seek to where it is, or give phys:",
                linear);
        question->pieces[question->piece_count++] = (struct races_range){translation.gpa, size};
    }
    return 0;
}

static int understand(struct debugger *debugger, const char *arguments, struct question *question,
    struct error *error)
{
    if (take_excluded(&arguments, question, error) < 0)
        return -1;
    take_interval(debugger, &arguments, question);
    if (take_excluded(&arguments, question, error) < 0)
        return -1;
    if (!*arguments)
        return error_set(
            error, "give what to look at: a variable, ADDRESS,SIZE or phys:ADDRESS,SIZE");
    if (position_compare(question->from, question->to) >= 0)
        return error_set(error, "races: the second position must be after the first");
    question->text = arguments;
    if (take_range(debugger, question, error) < 0)
        return -1;
    return find_pieces(debugger, question, error);
}

/* ---- Telling --------------------------------------------------------------------------------- */

static bool is_excluded(
    const struct debugger *debugger, const struct question *question, const struct race *race)
{
    const uint64_t places[] = {race->first.memory.rip, race->second.memory.rip};
    for (unsigned i = 0; i < 2; i++) {
        const struct symbol *symbol = symbols_at(&debugger->symbols, places[i]);
        for (unsigned j = 0; symbol && j < question->excluded_count; j++) {
            if (strcmp(symbol->name, question->excluded[j]) == 0)
                return true;
        }
    }
    return false;
}

static void show_access(struct debugger *debugger, const struct timeline_access *access)
{
    const struct memory_access *memory = &access->memory;
    struct source_line line;
    print(debugger, "  vCPU %u %s %u byte%s at %" PRIu64 ".%" PRIu64 " in ", access->vcpu,
        memory->is_write ? "writes" : "reads", memory->size, memory->size == 1 ? "" : "s",
        access->position.event, access->position.insn);
    print_address(debugger, memory->rip);
    if (symbols_line(&debugger->symbols, memory->rip, &line))
        print(debugger, " at %s:%d", base_name(line.file), line.line);
    if (memory->is_implicit)
        print(debugger, " (by the CPU itself)");
    print(debugger, "\n");
}

static int go_to(
    struct debugger *debugger, const struct timeline_access *access, struct error *error)
{
    int status = timeline_seek(debugger->timeline, access->position, NULL, error);
    debugger_moved(debugger);
    return status < 0 ? -1 : session_look(debugger, error);
}

/* What an exception's delivery separates from its position has no stack to show. */
static void show_callers(struct debugger *debugger, const struct timeline_access *access)
{
    struct frame frame, caller;
    if (view_pc(&debugger->view) != access->memory.rip)
        return;
    unwind_start(&debugger->symbols, &debugger->view, &frame);
    for (unsigned level = 1; level <= MAX_CALLERS; level++) {
        if (!unwind_next(&debugger->symbols, &debugger->view, &frame, &caller))
            return;
        frame = caller;
        print(debugger, "    #%-2u", level);
        print_frame(debugger, &frame, true);
        print(debugger, "\n");
    }
}

static int show_race(
    struct debugger *debugger, const struct race *race, bool with_stacks, struct error *error)
{
    const struct timeline_access *accesses[] = {&race->first, &race->second};
    for (unsigned i = 0; i < 2; i++) {
        bool with_stack = with_stacks && !atomic_load(&debugger->interrupted);
        if (with_stack && go_to(debugger, accesses[i], error) < 0)
            return -1;
        show_access(debugger, accesses[i]);
        if (with_stack)
            show_callers(debugger, accesses[i]);
    }
    session_flush(debugger);
    return 0;
}

static int show_races(struct debugger *debugger, const struct question *question,
    const struct races *races, struct error *error)
{
    const struct race *race;
    unsigned shown = 0, excluded = 0, more = 0;
    for (unsigned i = 0; (race = races_at(races, i)); i++) {
        if (is_excluded(debugger, question, race)) {
            excluded++;
            continue;
        }
        if (shown == MAX_SHOWN) {
            more++;
            continue;
        }
        shown++;
        print(debugger, "Race %u, %" PRIu64 " time%s, first on 0x%" PRIx64 ":\n", shown,
            race->count, race->count == 1 ? "" : "s", race->second.memory.linear);
        if (show_race(debugger, race, shown <= MAX_STACKS, error) < 0)
            return -1;
    }
    if (more)
        print(debugger, "%u more pairs of places race.\n", more);
    if (shown == 0)
        print(debugger, "No races%s.\n", excluded ? " but those excluded" : "");
    if (excluded)
        print(
            debugger, "%u pair%s with an excluded function.\n", excluded, excluded == 1 ? "" : "s");
    return 0;
}

static void show_covered(struct debugger *debugger, const struct question *question,
    const struct races *races, const struct races_covered *covered)
{
    struct races_counts counts = races_counts(races);
    uint64_t last = timeline_last_event(debugger->timeline);
    uint64_t end = question->to.event < last ? question->to.event : last;
    if (!covered->began) {
        print(debugger, "Interrupted before anything was looked at.\n");
        return;
    }
    print(debugger,
        "Looked at %" PRIu64 ".%" PRIu64 " to %" PRIu64 ".%" PRIu64 ", %" PRIu64
        " instructions: %" PRIu64 " accesses to %s; %" PRIu64
        " addresses are used for locks or atomics.\n",
        question->from.event, question->from.insn, covered->reached.event, covered->reached.insn,
        covered->instructions, counts.accesses, question->text, counts.atomics);
    if (covered->stop.why == TIMELINE_INTERRUPTED)
        print(debugger, "Interrupted: %" PRIu64 " of %" PRIu64 " events were looked at.\n",
            covered->reached.event - question->from.event, end - question->from.event);
    if (counts.overflowed)
        print(debugger, "There was no room for all addresses: take a smaller range or stretch.\n");
}

static int answer(struct debugger *debugger, const struct question *question, struct error *error)
{
    struct races_covered covered = {0};
    struct position here = timeline_position(debugger->timeline);
    struct error ignored;
    struct races *races = races_create(question->pieces, question->piece_count);
    if (!races)
        return error_set(error, "out of memory");
    int status =
        races_look(debugger->timeline, question->from, question->to, races, &covered, error);
    debugger_moved(debugger);
    if (status == 0)
        status = session_look(debugger, error);
    if (status == 0)
        status = show_races(debugger, question, races, error);
    if (status == 0)
        show_covered(debugger, question, races, &covered);
    /* Back to where it was, whatever happened. */
    if (timeline_seek(debugger->timeline, here, NULL, status < 0 ? &ignored : error) < 0)
        status = -1;
    debugger_moved(debugger);
    races_destroy(races);
    return status;
}

COMMAND(races)
{
    struct question question = {0};
    if (threads_count(debugger->timeline) == 1)
        return error_set(error, "the recorded machine has one vCPU, which races with nobody");
    if (session_look(debugger, error) < 0)
        return -1;
    int status = understand(debugger, arguments, &question, error);
    if (status == 0)
        status = answer(debugger, &question, error);
    free(question.pieces);
    return status;
}

const struct command races_commands[] = {
    {"The run", "races", "", command_races, "[-exclude FUNCTION]... [POSITION POSITION] RANGE",
        "Looks for data races on a variable, ADDRESS,SIZE or phys:ADDRESS,SIZE, in the whole run "
        "or "
        "between two positions: conflicting accesses of two vCPUs, one of them a write, that no "
        "lock, atomic, message or start of a vCPU orders. Each pair of places in code is shown "
        "once, with the first time and a count.",
        "races start end counter", COMPLETE_SYMBOL, false},
    {0},
};
