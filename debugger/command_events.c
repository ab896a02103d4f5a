/* What happened in the run: events, exits, interrupts, the console, disks. */
#include "debugger/command.h"
#include "debugger/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "replay/replay.h"

enum { DEFAULT_EVENTS = 10, MAX_LISTED = 100000 };

#define EXITS                                                                                    \
    (1u << EVENT_PIO_IN | 1u << EVENT_PIO_OUT | 1u << EVENT_MMIO_READ | 1u << EVENT_MMIO_WRITE | \
        1u << EVENT_HLT | 1u << EVENT_SHUTDOWN)

static void name_place(struct debugger *debugger, const struct trace_check *check)
{
    struct machine *machine = timeline_machine(debugger->timeline);
    struct bus *bus = check->kind <= EVENT_PIO_OUT ? &machine->ports : &machine->mmio;
    if (check->kind > EVENT_MMIO_WRITE)
        return;
    const struct bus_range *range = bus_find(bus, check->address);
    if (range)
        print(debugger, "  %s+%" PRIu64, range->name, check->address - range->base);
}

static void show_event(
    struct debugger *debugger, const struct trace_check *check, uint64_t here, bool counted)
{
    const struct machine_event event = {.kind = check->kind,
        .size = check->size,
        .ordinal = check->event,
        .address = check->address,
        .value = check->value};
    struct buffer text = {0};
    replay_format_event(&event, &text);
    print(debugger, "%s ", check->event == here ? "=>" : "  ");
    print_text(debugger, &text);
    name_place(debugger, check);
    if (counted)
        print(debugger, "  (+%" PRIu64 " instructions)", check->insn_delta);
    print(debugger, "\n");
    buffer_free(&text);
}

/* Calls for events of some kinds, `count` of them, from `from` on. */
static int list_from(struct debugger *debugger, uint64_t from, uint64_t to, uint64_t count,
    uint32_t kinds, struct error *error)
{
    struct trace_info info;
    struct trace_check check;
    uint64_t here = timeline_position(debugger->timeline).event, shown = 0;
    trace_reader_info(timeline_trace(debugger->timeline), &info);
    if (!info.has_checks)
        return error_set(error, "the trace has no checks, so its events are not listed "
                                "(recorded with --no-checks, or stripped)");
    struct trace_checks *checks = trace_checks_open(timeline_trace(debugger->timeline), error);
    if (!checks)
        return -1;
    int result = trace_checks_seek(checks, from, error);
    while (result >= 0 && shown < count && !atomic_load(&debugger->interrupted) &&
           (result = trace_checks_next(checks, &check, error)) > 0 && check.event <= to) {
        if (check.kind >= 32 || !(kinds & (1u << check.kind)))
            continue;
        show_event(debugger, &check, here, info.counts_instructions);
        shown++;
    }
    trace_checks_close(checks);
    if (shown == 0 && result >= 0)
        print(debugger, "None.\n");
    return result < 0 ? -1 : 0;
}

/* "[FROM [COUNT]]"; by default around the position. */
static int list_events(
    struct debugger *debugger, const char *arguments, uint32_t kinds, struct error *error)
{
    char word[64];
    struct position from;
    uint64_t count = DEFAULT_EVENTS, here = timeline_position(debugger->timeline).event;
    bool given = next_word(&arguments, word, sizeof word);
    from = (struct position){here >= DEFAULT_EVENTS / 2 ? here - DEFAULT_EVENTS / 2 + 1 : 0, 0};
    if (given && position_from_text(debugger, word, &from, error) < 0)
        return -1;
    if (*arguments && session_number(debugger, arguments, &count, error) < 0)
        return -1;
    return list_from(
        debugger, from.event, UINT64_MAX, count < MAX_LISTED ? count : MAX_LISTED, kinds, error);
}

COMMAND(events)
{
    return list_events(debugger, arguments, UINT32_MAX, error);
}

COMMAND(exits)
{
    return list_events(debugger, arguments, EXITS, error);
}

COMMAND(irqs)
{
    return list_events(debugger, arguments, 1u << EVENT_INTERRUPT, error);
}

COMMAND(turns)
{
    if (timeline_machine(debugger->timeline)->config->cpus == 1)
        return error_set(error, "the recorded machine has one vCPU, which takes no turns");
    return list_events(debugger, arguments, 1u << EVENT_TURN, error);
}

COMMAND(console)
{
    struct buffer shown = {0};
    uint64_t lines = 0;
    size_t size, start = 0;
    if (*arguments && session_number(debugger, arguments, &lines, error) < 0)
        return -1;
    const uint8_t *text = timeline_console(debugger->timeline, &size);
    for (size_t at = size; lines && at > 0; at--) {
        if (text[at - 1] == '\n' && at < size && --lines == 0)
            start = at;
    }
    for (size_t i = start; i < size; i++) {
        /* Control characters other than line ends would play with the terminal. */
        if (text[i] != '\r')
            buffer_put_u8(&shown, text[i]);
    }
    print_text(debugger, &shown);
    buffer_free(&shown);
    if (size && text[size - 1] != '\n')
        print(debugger, "\n");
    if (size == 0)
        print(debugger, "Nothing was printed up to here.\n");
    return 0;
}

COMMAND(disk)
{
    uint32_t kinds = 1u << EVENT_DISK;
    struct machine *machine = timeline_machine(debugger->timeline);
    unsigned disks = 0;
    for (unsigned i = 0; i < machine->device_count; i++) {
        const struct device *device = &machine->devices[i];
        struct buffer text = {0};
        if (strncmp(device->name, "virtio", 6) != 0 && strncmp(device->name, "disk", 4) != 0 &&
            strncmp(device->name, "ata", 3) != 0)
            continue;
        disks++;
        print(debugger, "%s:\n", device->name);
        device->ops->describe(device->object, &text);
        print_text(debugger, &text);
        buffer_free(&text);
    }
    if (disks == 0)
        return error_set(error, "the recorded machine has no disk");
    return list_events(debugger, arguments, kinds, error);
}

const struct command events_commands[] = {
    {"The run", "events", "", command_events, "[POSITION [COUNT]]",
        "Events of the run, around here or from a position on.", "events 1000 5", COMPLETE_NONE,
        false},
    {"The run", "exits", "", command_exits, "[POSITION [COUNT]]",
        "Port and memory-mapped accesses, and halts.", "exits 1000 5", COMPLETE_NONE, false},
    {"The run", "turns", "", command_turns, "[POSITION [COUNT]]",
        "Where another vCPU began to run, and which.", "turns start 5", COMPLETE_NONE, false},
    {"The run", "irqs", "", command_irqs, "[POSITION [COUNT]]", "Interrupts that were delivered.",
        "irqs start 5", COMPLETE_NONE, false},
    {"The run", "console", "", command_console, "[LINES]",
        "What the guest had printed by now; the last LINES lines.", "console 5", COMPLETE_NONE,
        false},
    {"The run", "disk", "", command_disk, "[POSITION [COUNT]]",
        "The state of the disks, and their events.", "disk", COMPLETE_NONE, false},
    {0},
};
