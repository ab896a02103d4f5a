/* hindsight dump: the events and inputs of a trace, a line each. */
#include "cli/cli.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/position.h"
#include "replay/replay.h"
#include "traces/trace.h"
#include "vmm/storage/disk.h"
#include "vmm/machine/inputs.h"
#include "vmm/host/net/note.h"

static const char help[] =
    "Usage: hindsight dump TRACE.hst [--kind KIND]... [--from POS] [--to POS] [--json]\n"
    "List what was recorded. KIND is 'events', 'inputs' (both by default), 'disk', 'net', or one\n"
    "kind of event: pio-in, pio-out, mmio-read, mmio-write, hlt, shutdown, interrupt, landing,\n"
    "time, console, packet, turn, nmi, tsc, msr-write, msr-read. With --json, one object a line.\n";

enum { OPTION_KIND = 1, OPTION_FROM, OPTION_TO, OPTION_JSON };

struct selection {
    bool events, inputs, disk, net;
    uint32_t kinds; /* of events, by bit */
    uint64_t from, to;
    bool json;
};

static bool select_kind(struct selection *selection, const char *name)
{
    if (strcmp(name, "inputs") == 0) {
        selection->inputs = true;
        return true;
    }
    if (strcmp(name, "disk") == 0) {
        selection->disk = true;
        return true;
    }
    if (strcmp(name, "net") == 0) {
        selection->net = true;
        return true;
    }
    if (strcmp(name, "events") == 0) {
        selection->events = true;
        selection->kinds = UINT32_MAX;
        return true;
    }
    for (unsigned i = 1; i < EVENT_KIND_COUNT; i++) {
        if (strcmp(name, event_kind_name((enum event_kind)i)) == 0) {
            selection->events = true;
            selection->kinds |= 1u << i;
            return true;
        }
    }
    return false;
}

static void put_hex(struct buffer *out, const uint8_t *bytes, size_t size)
{
    enum { SHOWN = 64 };
    for (size_t i = 0; i < size && i < SHOWN; i++)
        buffer_printf(out, "%02x", bytes[i]);
    if (size > SHOWN)
        buffer_printf(out, "...");
}

static void dump_input(
    const struct selection *selection, const struct trace_input *input, struct buffer *out)
{
    const char *name = input_kind_name((enum input_kind)input->kind);
    if (selection->json) {
        buffer_printf(out, "{\"input\": \"%s\"", name);
        if (input->has_position)
            buffer_printf(out, ", \"event\": %" PRIu64 ", \"insn\": %" PRIu64,
                input->position.event, input->position.insn);
        buffer_printf(out, ", \"size\": %zu, \"data\": \"", input->size);
        put_hex(out, input->payload, input->size);
        buffer_printf(out, "\"}\n");
        return;
    }
    buffer_printf(out, "input %s", name);
    if (input->has_position)
        buffer_printf(out, " at %" PRIu64 ".%" PRIu64, input->position.event, input->position.insn);
    if (input->size) {
        buffer_printf(out, " %zu bytes ", input->size);
        put_hex(out, input->payload, input->size);
    }
    buffer_printf(out, "\n");
}

static void dump_check(const struct selection *selection, const struct trace_check *check,
    bool counted, struct buffer *out)
{
    const struct machine_event event = {
        .kind = (enum event_kind)check->kind,
        .size = check->size,
        .ordinal = check->event,
        .address = check->address,
        .value = check->value,
        .counted = counted,
        .insns = check->insn_delta,
    };
    if (!selection->json) {
        replay_format_event(&event, out);
        buffer_printf(out, "\n");
        return;
    }
    buffer_printf(out,
        "{\"event\": %" PRIu64 ", \"kind\": \"%s\", \"address\": %" PRIu64
        ", \"size\": %u, \"value\": %" PRIu64,
        check->event, event_kind_name(event.kind), check->address, check->size, check->value);
    if (counted)
        buffer_printf(out, ", \"instructions\": %" PRIu64, check->insn_delta);
    buffer_printf(out, "}\n");
}

/* Writes out what has gathered; false when standard output is gone. */
static bool flush(struct buffer *out, bool force)
{
    if (out->size < 65536 && !force)
        return true;
    bool printed = cli_print(out);
    buffer_clear(out);
    return printed;
}

static int dump_inputs(const struct trace_reader *reader, const struct selection *selection,
    struct buffer *out, struct error *error)
{
    struct trace_inputs *inputs = trace_inputs_open(reader, error);
    if (!inputs)
        return TRACE_ERROR;
    struct trace_input input;
    uint64_t event = 0;
    int result;
    while ((result = trace_inputs_next(inputs, &input, error)) > 0) {
        if (input.has_position)
            event = input.position.event;
        if (event > selection->to)
            break;
        if (event < selection->from)
            continue;
        dump_input(selection, &input, out);
        if (!flush(out, false)) {
            result = TRACE_ERROR;
            break;
        }
    }
    trace_inputs_close(inputs);
    return result < 0 ? result : 0;
}

static int dump_checks(const struct trace_reader *reader, const struct selection *selection,
    struct buffer *out, struct error *error)
{
    struct trace_info info;
    trace_reader_info(reader, &info);
    struct trace_checks *checks = trace_checks_open(reader, error);
    if (!checks)
        return TRACE_ERROR;
    struct trace_check check;
    int result = trace_checks_seek(checks, selection->from, error);
    while (result >= 0 && (result = trace_checks_next(checks, &check, error)) > 0) {
        if (check.event > selection->to)
            break;
        if (check.kind < 32 && !(selection->kinds & (1u << check.kind)))
            continue;
        dump_check(selection, &check, info.counts_instructions, out);
        if (!flush(out, false)) {
            result = TRACE_ERROR;
            break;
        }
    }
    trace_checks_close(checks);
    return result < 0 ? result : 0;
}

static void dump_note(
    const struct selection *selection, const struct trace_note *note, struct buffer *out)
{
    if (selection->disk && selection->json)
        note_print_json(note->event, note->kind, note->payload, note->size, out);
    else if (selection->disk)
        note_print_text(note->event, note->kind, note->payload, note->size, out);
    if (selection->net && selection->json)
        net_note_print_json(note->event, note->kind, note->payload, note->size, out);
    else if (selection->net)
        net_note_print_text(note->event, note->kind, note->payload, note->size, out);
}

static int dump_notes(const struct trace_reader *reader, const struct selection *selection,
    struct buffer *out, struct error *error)
{
    struct trace_notes *notes = trace_notes_open(reader, error);
    if (!notes)
        return TRACE_ERROR;
    struct trace_note note;
    int result = trace_notes_seek(notes, selection->from, error);
    while (result >= 0 && (result = trace_notes_next(notes, &note, error)) > 0) {
        if (note.event > selection->to)
            break;
        dump_note(selection, &note, out);
        if (!flush(out, false)) {
            result = TRACE_ERROR;
            break;
        }
    }
    trace_notes_close(notes);
    return result < 0 ? result : 0;
}

static int dump(const char *path, struct selection *selection, const char *from, const char *to)
{
    struct error error = {""};
    struct trace_reader *reader;
    cli_confine_to(path, NULL);
    int result = trace_reader_open(&reader, path, &error);
    if (result < 0)
        return cli_fail(result == TRACE_DAMAGED ? STATUS_DAMAGED : STATUS_ERROR, &error);
    struct position position;
    selection->to = UINT64_MAX;
    const char *wrong = NULL;
    if (from && position_parse(from, reader, &position, &error) < 0)
        wrong = "--from";
    else if (from)
        selection->from = position.event;
    if (!wrong && to && position_parse(to, reader, &position, &error) < 0)
        wrong = "--to";
    else if (!wrong && to)
        selection->to = position.event;
    if (wrong) {
        trace_reader_close(reader);
        return cli_usage("dump", "%s: %s", wrong, error.text);
    }
    struct buffer out = {0};
    if (selection->inputs)
        result = dump_inputs(reader, selection, &out, &error);
    if (result == 0 && selection->events)
        result = dump_checks(reader, selection, &out, &error);
    if (result == 0 && (selection->disk || selection->net))
        result = dump_notes(reader, selection, &out, &error);
    if (!flush(&out, true) && result == 0)
        result = TRACE_ERROR;
    buffer_free(&out);
    trace_reader_close(reader);
    if (result == 0)
        return STATUS_OK;
    if (error.text[0])
        cli_fail(0, &error);
    return result == TRACE_DAMAGED ? STATUS_DAMAGED : STATUS_ERROR;
}

int cli_dump(int argc, char **argv)
{
    static const struct option options[] = {
        {"kind", required_argument, NULL, OPTION_KIND},
        {"from", required_argument, NULL, OPTION_FROM},
        {"to", required_argument, NULL, OPTION_TO},
        {"json", no_argument, NULL, OPTION_JSON},
        {0},
    };
    struct selection selection = {0};
    const char *from = NULL, *to = NULL;
    int option;
    if (cli_wants_help(argc, argv))
        return cli_help(help);
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == OPTION_KIND) {
            if (!select_kind(&selection, optarg))
                return cli_usage("dump", "--kind %s: not a kind", optarg);
        } else if (option == OPTION_FROM) {
            from = optarg;
        } else if (option == OPTION_TO) {
            to = optarg;
        } else if (option == OPTION_JSON) {
            selection.json = true;
        } else {
            return cli_usage("dump", "bad option");
        }
    }
    if (optind + 1 != argc)
        return cli_usage("dump", "give one trace");
    if (!selection.events && !selection.inputs && !selection.disk && !selection.net) {
        selection.events = selection.inputs = true;
        selection.kinds = UINT32_MAX;
    }
    return dump(argv[optind], &selection, from, to);
}
