/* Moving through time as such: continue, seek, when, bookmarks, checkpoints, last-write. */
#include "debugger/command.h"
#include "debugger/query.h"
#include "debugger/running.h"
#include "debugger/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "vmm/arch/translate.h"

static int go_on(
    struct debugger *debugger, enum direction direction, const char *arguments, struct error *error)
{
    struct run_result result;
    uint64_t count = 1;
    if (*arguments && session_number(debugger, arguments, &count, error) < 0)
        return -1;
    do {
        if (run_go(debugger, direction, NULL, 0, &result, error) < 0)
            return -1;
    } while (result.point && --count > 0);
    return run_report(debugger, &result, error);
}

COMMAND(continue)
{
    return go_on(debugger, FORWARD, arguments, error);
}

COMMAND(reverse_continue)
{
    return go_on(debugger, BACKWARD, arguments, error);
}

int position_seek(
    struct debugger *debugger, const char *text, struct timeline_stop *stop, struct error *error)
{
    struct timeline *timeline = debugger->timeline;
    struct position position;
    uint64_t number;
    unsigned percent;
    int status;
    if (strncmp(text, "t=", 2) == 0) {
        if (parse_time(text + 2, &number, error) < 0)
            return -1;
        status = timeline_seek_time(timeline, number, stop, error);
    } else if (strncmp(text, "insn=", 5) == 0) {
        if (session_number(debugger, text + 5, &number, error) < 0)
            return -1;
        status = timeline_seek_retired(timeline, number, stop, error);
    } else if (strcmp(text, "-") == 0 || strcmp(text, "+") == 0) {
        if (!trail_step(&debugger->trail, *text == '-', &position))
            return error_set(error, "seek %s: there is no place %s this one (see 'info history')",
                text, *text == '-' ? "before" : "after");
        status = timeline_seek(timeline, position, stop, error);
    } else if (position_is_share(text, &percent)) {
        status = position_seek_share(debugger, percent, stop, error);
    } else {
        if (position_from_text(debugger, text, &position, error) < 0)
            return -1;
        status = timeline_seek(timeline, position, stop, error);
    }
    debugger_moved(debugger);
    if (status == 0)
        points_look(debugger);
    return status;
}

COMMAND(seek)
{
    struct run_result result = {.why = TIMELINE_DONE};
    if (!*arguments)
        return error_set(error, "seek: give a position: 1532, 1532.87, start, end, 50%%, t=2.5s, "
                                "insn=N or a bookmark");
    if (position_seek(debugger, arguments, &result.stop, error) < 0)
        return -1;
    if (result.stop.why == TIMELINE_INTERRUPTED)
        result.why = TIMELINE_INTERRUPTED;
    return run_report(debugger, &result, error);
}

void print_position(struct debugger *debugger)
{
    struct timeline *timeline = debugger->timeline;
    struct position at = timeline_position(timeline);
    print(debugger,
        "position %" PRIu64 ".%" PRIu64 " of %" PRIu64 ", %" PRIu64
        " instructions, virtual time %.9f s%s\n",
        at.event, at.insn, timeline_last_event(timeline), timeline_retired(timeline),
        (double)timeline_time(timeline) / 1e9,
        timeline_at_end(timeline) ? ", the end of the trace" : "");
}

COMMAND(when)
{
    if (*arguments)
        return query_ask(debugger, "when", arguments, error);
    print_position(debugger);
    return 0;
}

COMMAND(checkpoint)
{
    unsigned count;
    uint64_t bytes;
    (void)arguments;
    if (timeline_checkpoint(debugger->timeline, error) < 0)
        return -1;
    timeline_cache(debugger->timeline, &count, &bytes);
    print(debugger, "%u checkpoints, %" PRIu64 " bytes\n", count, bytes);
    return 0;
}

static int list_bookmarks(struct debugger *debugger)
{
    if (debugger->bookmark_count == 0)
        print(debugger, "No bookmarks.\n");
    for (unsigned i = 0; i < debugger->bookmark_count; i++) {
        const struct bookmark *bookmark = &debugger->bookmarks[i];
        print(debugger, "%-20s %" PRIu64 ".%" PRIu64 "\n", bookmark->name, bookmark->position.event,
            bookmark->position.insn);
    }
    return 0;
}

COMMAND(bookmark)
{
    struct bookmark *bookmark = NULL;
    struct position position = timeline_position(debugger->timeline), meaning;
    char name[sizeof bookmark->name];
    if (!next_word(&arguments, name, sizeof name))
        return list_bookmarks(debugger);
    if (*arguments && position_from_text(debugger, arguments, &position, error) < 0)
        return -1;
    for (unsigned i = 0; i < debugger->bookmark_count; i++) {
        if (strcmp(debugger->bookmarks[i].name, name) == 0)
            bookmark = &debugger->bookmarks[i];
    }
    if (!bookmark && position_from_text(debugger, name, &meaning, NULL) == 0)
        return error_set(error, "'%s' means a position already: take another name", name);
    if (!bookmark) {
        if (debugger->bookmark_count == MAX_BOOKMARKS)
            return error_set(error, "at most %d bookmarks", MAX_BOOKMARKS);
        bookmark = &debugger->bookmarks[debugger->bookmark_count++];
    }
    snprintf(bookmark->name, sizeof bookmark->name, "%s", name);
    bookmark->position = position;
    print(
        debugger, "Bookmark %s is %" PRIu64 ".%" PRIu64 ".\n", name, position.event, position.insn);
    return *arguments ? 0 : timeline_checkpoint(debugger->timeline, error);
}

/* Backward to the last write to [address, address + length), with no other stop. */
static int go_to_write(struct debugger *debugger, uint64_t address, uint64_t length, bool physical,
    struct error *error)
{
    const struct timeline_condition condition = {
        .kind = CONDITION_WRITE, .address = address, .length = length, .physical = physical};
    struct run_result result = {.why = TIMELINE_DONE};
    int status = timeline_run(debugger->timeline, BACKWARD, &condition, 1, &result.stop, error);
    debugger_moved(debugger);
    if (status < 0)
        return -1;
    if (result.stop.why == TIMELINE_START)
        print(
            debugger, "Nothing has written there since the start: the loader did, or a device.\n");
    else if (result.stop.why == TIMELINE_CONDITION)
        print(debugger, "About to be written at 0x%" PRIx64 " by:\n", result.stop.address);
    result.why = result.stop.why == TIMELINE_CONDITION ? TIMELINE_DONE : result.stop.why;
    return run_report(debugger, &result, error);
}

static int go_to_sector_write(struct debugger *debugger, const char *text, struct error *error)
{
    uint64_t sector, count, disk;
    struct run_result result = {.why = TIMELINE_DONE};
    if (place_parse_sectors(debugger, text, &sector, &count, &disk, error) < 0)
        return -1;
    const struct timeline_condition condition = {.kind = CONDITION_DISK,
        .address = sector,
        .length = count,
        .disk = (unsigned)disk,
        .member = TIMELINE_WHOLE_DISK,
        .disk_access = TIMELINE_DISK_WRITE};
    int status = timeline_run(debugger->timeline, BACKWARD, &condition, 1, &result.stop, error);
    debugger_moved(debugger);
    if (status < 0)
        return -1;
    if (result.stop.why == TIMELINE_CONDITION)
        print(debugger, "Written from sector %" PRIu64 " on by event %" PRIu64 ", after this:\n",
            result.stop.address, result.stop.event.ordinal);
    else if (result.stop.why == TIMELINE_START)
        print(debugger, "The guest has not written there since the start.\n");
    result.why = result.stop.why == TIMELINE_CONDITION ? TIMELINE_DONE : result.stop.why;
    return run_report(debugger, &result, error);
}

COMMAND(last_write)
{
    struct value value;
    uint64_t address, length = 8;
    if (!*arguments)
        return error_set(error, "last-write: give a variable or *ADDRESS");
    if (strncmp(arguments, "sector:", 7) == 0)
        return go_to_sector_write(debugger, arguments + 7, error);
    if (strncmp(arguments, "phys:", 5) == 0) {
        if (session_number(debugger, arguments + 5, &address, error) < 0)
            return -1;
        return go_to_write(debugger, address, length, true, error);
    }
    if (session_evaluate(debugger, *arguments == '*' ? arguments + 1 : arguments, &value, error) <
        0)
        return -1;
    /* "*ADDRESS" and a variable are places; a plain number is taken as the address. */
    if (*arguments == '*') {
        if (value_scalar(&debugger->view, &value, &address, error) < 0)
            return -1;
        struct type target = type_target(&value.type);
        if (type_kind(&value.type) == TYPE_POINTER && type_size(&target))
            length = type_size(&target);
    } else if (value.in_memory) {
        address = value.address;
        length = type_size(&value.type) ? type_size(&value.type) : 8;
    } else if (value_scalar(&debugger->view, &value, &address, error) < 0) {
        return -1;
    }
    struct translation translation;
    if (!translate(debugger->view.memory, &debugger->view.state, address, &translation))
        return error_set(error, "0x%" PRIx64 " is not mapped here", address);
    return go_to_write(debugger, address, length, false, error);
}

const struct command move_commands[] = {
    {"Moving forward", "continue", "c fg", command_continue, "[COUNT]",
        "Goes on to the next stop: a breakpoint, watchpoint, catchpoint or the end of the trace. "
        "With "
        "COUNT to the COUNT-th.",
        "continue", COMPLETE_NONE, true},
    {"Moving backward", "reverse-continue", "rc", command_reverse_continue, "[COUNT]",
        "Goes back to the last stop before here. A watchpoint stops before the write.",
        "reverse-continue", COMPLETE_NONE, true},
    {"Moving backward", "last-write", "lw", command_last_write,
        "VARIABLE|*ADDRESS|phys:ADDRESS|sector:LBA",
        "Goes back to the instruction that last wrote there, before it is executed.",
        "last-write free_list.head", COMPLETE_SYMBOL, false},
    {"Places in time", "seek", "goto run-to", command_seek, "POSITION",
        "Goes to a position: EVENT, EVENT.INSN, start, end, 50% (of the instructions), t=2.5s, "
        "insn=N or a bookmark; - is the place before the last move, + the one after it.",
        "seek 50%", COMPLETE_NONE, false},
    {"Places in time", "when", "", command_when,
        "[[-from POSITION] [-to POSITION] [-limit N] [-json] CONDITION]",
        "Tells the position, the instructions executed so far and the virtual time. With a "
        "condition over what is in memory: the stretches of the run in which it holds, as a table.",
        "when ticks == 5", COMPLETE_NONE, false},
    {"Places in time", "bookmark", "mark", command_bookmark, "[NAME [POSITION]]",
        "Gives this position (or another) a name for seek. Without NAME lists the bookmarks.",
        "bookmark corrupted", COMPLETE_NONE, false},
    {"Places in time", "checkpoint", "", command_checkpoint, "",
        "Keeps the whole machine here, so that coming back is fast.", "checkpoint", COMPLETE_NONE,
        false},
    {0},
};
