/* hindsight dump: the events and inputs of a trace, a line each. */
#include "cli/dump.h"

#include <ctype.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "cli/cli.h"
#include "cli/position.h"
#include "replay/replay.h"
#include "traces/trace.h"
#include "vmm/machine/config.h"
#include "vmm/storage/disk.h"
#include "vmm/machine/inputs.h"
#include "vmm/host/net/note.h"

static const char help[] =
    "Usage: hindsight dump TRACE.hst [OPTION]...\n"
    "List what was recorded.\n\n"
    "  --kind KIND            'events', 'inputs' (both by default), 'disk', 'net', or one kind of\n"
    "                         event: pio-in, pio-out, mmio-read, mmio-write, hlt, shutdown,\n"
    "                         interrupt, landing, time, console, packet, turn, nmi, tsc,\n"
    "                         msr-write, msr-read; repeatable\n"
    "  --from POS, --to POS   a part of the run\n"
    "  --address A[,SIZE]     events at these ports, guest-physical addresses or MSRs\n"
    "  --json                 one object a line\n\n"
    "With these the trace is replayed, which says of each event what is not in the trace; times "
    "of\n"
    "--from and --to are then exact:\n\n"
    "  --device NAME          accesses to the registers of this device, as 'uart0'\n"
    "  --cpu N                events of this vCPU\n"
    "  --times                the vCPU and the virtual time of each event\n"
    "  --store DIR            where the boot files are if the trace only names them\n";

enum {
    OPTION_KIND = 1,
    OPTION_FROM,
    OPTION_TO,
    OPTION_JSON,
    OPTION_ADDRESS,
    OPTION_DEVICE,
    OPTION_CPU,
    OPTION_TIMES,
    OPTION_STORE,
};

static bool select_kind(struct dump_selection *selection, const char *name)
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
    const struct dump_selection *selection, const struct trace_input *input, struct buffer *out)
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

/* Of these kinds the address is one. */
static bool has_address(enum event_kind kind)
{
    switch (kind) {
    case EVENT_PIO_IN:
    case EVENT_PIO_OUT:
    case EVENT_MMIO_READ:
    case EVENT_MMIO_WRITE:
    case EVENT_MSR_READ:
    case EVENT_MSR_WRITE:
    case EVENT_MEMORY:
        return true;
    default:
        return false;
    }
}

static bool is_there(const struct dump_selection *selection, const struct machine_event *event)
{
    bool is_register = event->kind == EVENT_MSR_READ || event->kind == EVENT_MSR_WRITE;
    uint64_t size = is_register || event->size == 0 ? 1 : event->size;
    return has_address(event->kind) && (event->address - selection->address < selection->length ||
                                           selection->address - event->address < size);
}

bool dump_wants(const struct dump_selection *selection, const struct machine_event *event)
{
    return (event->kind >= 32 || selection->kinds & (1u << event->kind)) &&
           (!selection->length || is_there(selection, event));
}

void dump_event(const struct dump_selection *selection, const struct machine_event *event, int vcpu,
    uint64_t time, struct buffer *out)
{
    if (!selection->json) {
        replay_format_event(event, out);
        if (vcpu >= 0)
            buffer_printf(out, " vCPU %d t=%.9fs", vcpu, (double)time / 1e9);
        buffer_printf(out, "\n");
        return;
    }
    buffer_printf(out,
        "{\"event\": %" PRIu64 ", \"kind\": \"%s\", \"address\": %" PRIu64
        ", \"size\": %u, \"value\": %" PRIu64,
        event->ordinal, event_kind_name(event->kind), event->address, event->size, event->value);
    if (event->counted)
        buffer_printf(out, ", \"instructions\": %" PRIu64, event->insns);
    if (vcpu >= 0)
        buffer_printf(out, ", \"vcpu\": %d, \"virtual_ns\": %" PRIu64, vcpu, time);
    buffer_printf(out, "}\n");
}

static struct machine_event event_of(const struct trace_check *check, bool counted)
{
    return (struct machine_event){
        .kind = (enum event_kind)check->kind,
        .size = check->size,
        .ordinal = check->event,
        .address = check->address,
        .value = check->value,
        .counted = counted,
        .insns = check->insn_delta,
    };
}

/* Writes out what has gathered; false when standard output is gone. */
bool dump_flush(struct buffer *out, bool force)
{
    if (out->size < 65536 && !force)
        return true;
    bool printed = cli_print(out);
    buffer_clear(out);
    return printed;
}

static int dump_inputs(const struct trace_reader *reader, const struct dump_selection *selection,
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
        if (!dump_flush(out, false)) {
            result = TRACE_ERROR;
            break;
        }
    }
    trace_inputs_close(inputs);
    return result < 0 ? result : 0;
}

static int dump_checks(const struct trace_reader *reader, const struct dump_selection *selection,
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
        const struct machine_event event = event_of(&check, info.counts_instructions);
        if (!dump_wants(selection, &event))
            continue;
        dump_event(selection, &event, -1, 0, out);
        if (!dump_flush(out, false)) {
            result = TRACE_ERROR;
            break;
        }
    }
    trace_checks_close(checks);
    return result < 0 ? result : 0;
}

static void dump_note(
    const struct dump_selection *selection, const struct trace_note *note, struct buffer *out)
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

static int dump_notes(const struct trace_reader *reader, const struct dump_selection *selection,
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
        if (!dump_flush(out, false)) {
            result = TRACE_ERROR;
            break;
        }
    }
    trace_notes_close(notes);
    return result < 0 ? result : 0;
}

/* A replay knows when each event was; a trace knows when its chunks began. */
static int take_bound(const struct dump_selection *selection, const char *text,
    const struct trace_reader *reader, uint64_t *event, uint64_t *ns, struct error *error)
{
    struct position position;
    if (!text)
        return 0;
    if (selection->replays && strncmp(text, "t=", 2) == 0)
        return parse_time(text + 2, ns, error);
    if (position_parse(text, reader, &position, error) < 0)
        return -1;
    *event = position.event;
    return 0;
}

int dump_take_range(struct dump_selection *selection, const struct trace_reader *reader)
{
    struct error error;
    selection->to = selection->to_ns = UINT64_MAX;
    if (take_bound(selection, selection->from_text, reader, &selection->from, &selection->from_ns,
            &error) < 0)
        return cli_usage("dump", "--from: %s", error.text);
    if (take_bound(
            selection, selection->to_text, reader, &selection->to, &selection->to_ns, &error) < 0)
        return cli_usage("dump", "--to: %s", error.text);
    return STATUS_OK;
}

static int list(const struct trace_reader *reader, const struct dump_selection *selection)
{
    struct error error = {""};
    struct buffer out = {0};
    int result = 0;
    if (selection->inputs)
        result = dump_inputs(reader, selection, &out, &error);
    if (result == 0 && selection->events)
        result = dump_checks(reader, selection, &out, &error);
    if (result == 0 && (selection->disk || selection->net))
        result = dump_notes(reader, selection, &out, &error);
    if (!dump_flush(&out, true) && result == 0)
        result = TRACE_ERROR;
    buffer_free(&out);
    if (result == 0)
        return STATUS_OK;
    if (error.text[0])
        cli_fail(0, &error);
    return result == TRACE_DAMAGED ? STATUS_DAMAGED : STATUS_ERROR;
}

static int dump(const char *path, struct dump_selection *selection)
{
    struct error error = {""};
    struct trace_reader *reader;
    cli_confine_to(path, NULL);
    int result = trace_reader_open(&reader, path, &error);
    if (result < 0)
        return cli_fail(result == TRACE_DAMAGED ? STATUS_DAMAGED : STATUS_ERROR, &error);
    int status = dump_take_range(selection, reader);
    if (status == STATUS_OK)
        status = list(reader, selection);
    trace_reader_close(reader);
    return status;
}

static int take_address(struct dump_selection *selection, const char *text)
{
    char *end;
    selection->address = strtoull(text, &end, 0);
    selection->length = 1;
    if (isdigit((unsigned char)*text) && *end == ',' && isdigit((unsigned char)end[1]))
        selection->length = strtoull(end + 1, &end, 0);
    if (!isdigit((unsigned char)*text) || *end || selection->length == 0)
        return cli_usage("dump", "--address %s: an address, or ADDRESS,SIZE", text);
    return STATUS_OK;
}

static int take_cpu(struct dump_selection *selection, const char *text)
{
    char *end;
    unsigned long cpu = strtoul(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || cpu >= CONFIG_MAX_CPUS)
        return cli_usage("dump", "--cpu %s: a vCPU, 0 to %d", text, CONFIG_MAX_CPUS - 1);
    selection->cpu = (int)cpu;
    return STATUS_OK;
}

static int take_option(struct dump_selection *selection, int option, const char *value)
{
    switch (option) {
    case OPTION_KIND:
        return select_kind(selection, value) ? STATUS_OK
                                             : cli_usage("dump", "--kind %s: not a kind", value);
    case OPTION_ADDRESS:
        return take_address(selection, value);
    case OPTION_CPU:
        return take_cpu(selection, value);
    case OPTION_DEVICE:
        selection->device = value;
        return STATUS_OK;
    case OPTION_JSON:
        selection->json = true;
        return STATUS_OK;
    case OPTION_TIMES:
        selection->times = true;
        return STATUS_OK;
    case OPTION_FROM:
        selection->from_text = value;
        return STATUS_OK;
    case OPTION_TO:
        selection->to_text = value;
        return STATUS_OK;
    default:
        return cli_usage("dump", "bad option");
    }
}

/* Events and inputs where no kind is asked for. */
static int complete(struct dump_selection *selection)
{
    selection->replays = selection->device || selection->cpu >= 0 || selection->times;
    bool of_events = selection->replays || selection->length;
    if (of_events && (selection->inputs || selection->disk || selection->net))
        return cli_usage("dump", "--address, --device, --cpu and --times are about events");
    if (!selection->events && !selection->inputs && !selection->disk && !selection->net) {
        selection->events = true;
        selection->inputs = !of_events;
        selection->kinds = UINT32_MAX;
    }
    return STATUS_OK;
}

int cli_dump(int argc, char **argv)
{
    static const struct option options[] = {
        {"kind", required_argument, NULL, OPTION_KIND},
        {"from", required_argument, NULL, OPTION_FROM},
        {"to", required_argument, NULL, OPTION_TO},
        {"address", required_argument, NULL, OPTION_ADDRESS},
        {"device", required_argument, NULL, OPTION_DEVICE},
        {"cpu", required_argument, NULL, OPTION_CPU},
        {"times", no_argument, NULL, OPTION_TIMES},
        {"store", required_argument, NULL, OPTION_STORE},
        {"json", no_argument, NULL, OPTION_JSON},
        {0},
    };
    struct dump_selection selection = {.cpu = -1};
    const char *store = NULL;
    char room[PATH_MAX];
    int option, status = STATUS_OK;
    if (cli_wants_help(argc, argv))
        return cli_help(help);
    while (status == STATUS_OK && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == OPTION_STORE)
            store = optarg;
        else
            status = take_option(&selection, option, optarg);
    }
    if (status != STATUS_OK)
        return status;
    if (optind + 1 != argc)
        return cli_usage("dump", "give one trace");
    status = complete(&selection);
    if (status != STATUS_OK)
        return status;
    return selection.replays ? dump_replay(argv[optind], cli_store_path(store, room), &selection)
                             : dump(argv[optind], &selection);
}
