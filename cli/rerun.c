/* hindsight rerun: what a recorded run got as input, into a changed guest. */
#include "cli/cli.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/visible.h"
#include "cli/like.h"
#include "cli/recording.h"
#include "fork/again.h"
#include "vmm/machine/choices.h"

static const char help[] =
    "Usage: hindsight rerun TRACE.hst [--kernel NEW] [--initrd NEW] [MACHINE] [-o NEW.hst]\n"
    "Run a changed guest with what the recorded one got: its machine, seed and entropy, what was\n"
    "typed, each piece when what it followed on the console shows, and the frames that its NICs\n"
    "received, each when as many were sent. Says whether the failure is gone.\n"
    "Exit status: 0 it is gone (or there was none), 1 it is still there, 7 the guest fails in\n"
    "another way, 8 the inputs no longer fit, 108 it ran to its limit, 125 trouble, 128 + N\n"
    "signal N, 2 usage; 4, 5 and 6 as of replay.\n\n"
    "  -o FILE                records the new run\n"
    "  --json                 the verdict as JSON\n"
    "  --choices FILE         the seed's choices are these (see 'hindsight bisect')\n"
    "  --no-checks            the new trace has inputs alone\n"
    "  --store DIR            where the boot files are if the trace only names them; the new ones "
    "go\n"
    "                         there, too\n\n"
    "Options that a trace does not keep have to be given again: --disk, --fail-on, --fail-fast,\n"
    "--plain-status; of a command's run --root, with the changed program, stands for its --disk "
    "and\n"
    "--plain-status. Without a --max-time of its own the run ends after twice the recorded time "
    "and\n"
    "10 s. The console goes where --serial says, by default nowhere. On the software CPU, --pace "
    "fast.\n\n";

enum { OPTION_JSON = 1, OPTION_CHOICES, OPTION_NO_CHECKS, OPTION_STORE };

enum verdict { GONE, STILL_THERE, ANOTHER, UNFIT, LATE, VERDICT_COUNT };

static const struct {
    int status;
    const char *word, *text;
} verdicts[VERDICT_COUNT] = {
    [GONE] = {STATUS_OK, "gone", "the failure is gone"},
    [STILL_THERE] = {STATUS_ERROR, "still there", "the failure is still there"},
    [ANOTHER] = {STATUS_OTHER_FAILURE, "another failure", "the guest fails, in another way"},
    [UNFIT] = {STATUS_UNFIT, "no longer fits", "the inputs no longer fit"},
    [LATE] = {OUTCOME_STATUS_LIMIT, "undecided", "the guest ran on and on: see --max-time"},
};

/* How one of the two runs ended. */
struct end {
    struct outcome outcome;
    char text[CONSOLE_LINE_MAX + 1];
    uint64_t event, time;
};

struct rerun {
    const char *trace, *output, *choices;
    char store_room[PATH_MAX];
    const char *given_store, *store; /* as given; or else the user's own */
    bool json, include_checks;

    struct choices follow;
    struct typed_list typed;
    struct frame_list frames;
    struct again again;
    struct end recorded, now;
};

/* ---- The trace ---- */

static int read_end(struct rerun *rerun, const struct trace_reader *reader, struct error *error)
{
    struct trace_info info;
    trace_reader_info(reader, &info);
    if (!info.complete)
        return error_set(
            error, "%s: the recording was cut off: how it ended is not known", rerun->trace);
    rerun->recorded.outcome = outcome_of_end(&info.end);
    rerun->recorded.event = info.end_event ? info.end_event - 1 : 0;
    rerun->recorded.time = info.end.virtual_time;
    snprintf(rerun->recorded.text, sizeof rerun->recorded.text, "%s", info.end.text);
    return 0;
}

static int find_inputs(struct rerun *rerun, const struct trace_reader *reader)
{
    struct error error;
    struct trace_totals totals;
    bool damaged = false;
    const struct replay_options options = {.store = rerun->store};
    int result = trace_reader_totals(reader, &totals, &error);
    if (result < 0)
        damaged = result == TRACE_DAMAGED;
    else if (totals.input[INPUT_CONSOLE].records > 0)
        result = typed_find(&rerun->typed, rerun->trace, &options, &damaged, &error);
    if (result == 0 && totals.input[INPUT_PACKET].records > 0)
        result = frames_find(&rerun->frames, rerun->trace, &options, &damaged, &error);
    return result == 0 ? STATUS_OK : cli_fail(damaged ? STATUS_DAMAGED : STATUS_HOST, &error);
}

/* What there is to be given again, and to compare with. Returns the exit status. */
static int read_trace(struct rerun *rerun, struct cli_machine *setup)
{
    struct error error;
    struct trace_reader *reader;
    int result = trace_reader_open(&reader, rerun->trace, &error);
    if (result < 0)
        return cli_fail(result == TRACE_DAMAGED ? STATUS_DAMAGED : STATUS_HOST, &error);
    int status = STATUS_OK;
    if (read_end(rerun, reader, &error) < 0)
        status = cli_fail(STATUS_HOST, &error);
    if (status == STATUS_OK)
        status = find_inputs(rerun, reader);
    if (status == STATUS_OK) {
        result = again_init(
            &rerun->again, reader, &rerun->typed, &rerun->frames, live_source(setup->live), &error);
        if (result < 0)
            status = cli_fail(result == TRACE_DAMAGED ? STATUS_DAMAGED : STATUS_HOST, &error);
    }
    trace_reader_close(reader);
    return status;
}

/* ---- The verdict ---- */

static bool is_failure(const struct cli_machine *setup, struct outcome outcome)
{
    switch (outcome.kind) {
    case OUTCOME_PANIC:
    case OUTCOME_REPORT:
    case OUTCOME_HANG:
    case OUTCOME_SHUTDOWN:
        return true;
    case OUTCOME_STATUS: /* 1 is the status of a guest that wrote 0 */
        return outcome.number != 0 && (setup->plain_status || outcome.number != 1);
    default:
        return false;
    }
}

static enum verdict judge(const struct rerun *rerun, const struct cli_machine *setup)
{
    bool same =
        outcome_exit_status(rerun->now.outcome) == outcome_exit_status(rerun->recorded.outcome);
    if (is_failure(setup, rerun->now.outcome))
        return same && is_failure(setup, rerun->recorded.outcome) ? STILL_THERE : ANOTHER;
    if (!again_is_done(&rerun->again))
        return UNFIT;
    return rerun->now.outcome.kind == OUTCOME_LIMIT && !same ? LATE : GONE;
}

static void put_end(const char *label, const struct end *end, struct buffer *out)
{
    buffer_printf(out, "%s %s, exit status %d, at event %" PRIu64 ", %.6f s", label,
        outcome_name(end->outcome.kind), outcome_exit_status(end->outcome), end->event,
        (double)end->time / 1e9);
    buffer_printf(out, "%s%.400s\n", end->text[0] ? ": " : "", end->text);
}

/* Bytes in quotes, those that play with a terminal as escapes. */
static void put_quoted(struct buffer *out, const void *bytes, size_t size)
{
    const uint8_t *data = bytes;
    buffer_printf(out, "\"");
    for (size_t i = 0; i < size && i < 60; i++) {
        if (data[i] == '\n' || data[i] == '\r')
            buffer_printf(out, "%s", data[i] == '\n' ? "\\n" : "\\r");
        else if (data[i] < ' ' || data[i] >= 0x7f || data[i] == '"' || data[i] == '\\')
            buffer_printf(out, "\\x%02x", data[i]);
        else
            buffer_put_u8(out, data[i]);
    }
    buffer_printf(out, size > 60 ? "...\"" : "\"");
}

static void put_line(struct buffer *out, const struct cursor_line *line)
{
    const char *text = cursor_line_text(line);
    put_quoted(out, text, strlen(text));
}

/* From where on what was typed does not fit. */
static void put_unfit_typed(const struct rerun *rerun, struct buffer *out)
{
    const struct again *again = &rerun->again;
    const struct typed *piece = &rerun->typed.piece[again->next];
    buffer_printf(
        out, "what was typed fits up to piece %zu of %zu, ", again->next + 1, rerun->typed.count);
    put_quoted(out, piece->bytes.data, piece->bytes.size);
    buffer_printf(
        out, ", typed at event %" PRIu64 " (%.6f s)", piece->event, (double)piece->time / 1e9);
    if (piece->after) {
        buffer_printf(out, " after ");
        put_line(out, piece->after);
    }
    buffer_printf(out, "\n  here ");
    if (!again->ready)
        buffer_printf(out, "that does not show after event %" PRIu64 " (%.6f s): the last line is ",
            again->last_event, (double)again->last_time / 1e9);
    else
        buffer_printf(out, "the guest does not take it from %.6f s on: the last line is ",
            (double)again->due / 1e9);
    put_line(out, &again->line);
    buffer_printf(out, "\n");
}

/* ... and what was received. */
static void put_unfit_frame(const struct rerun *rerun, struct buffer *out)
{
    const struct again *again = &rerun->again;
    const struct frame *frame = &rerun->frames.frame[again->frame];
    buffer_printf(out,
        "what was received fits up to frame %zu of %zu, of net%u, received at event %" PRIu64
        " (%.6f s) after %" PRIu64 " were sent\n",
        again->frame + 1, rerun->frames.count, frame->net, frame->event, (double)frame->time / 1e9,
        frame->sent);
    if (again->sent < frame->sent)
        buffer_printf(out,
            "  here only %" PRIu64 " are sent, and it does not come after event %" PRIu64
            " (%.6f s)\n",
            again->sent, again->frame_event, (double)again->frame_time / 1e9);
    else
        buffer_printf(out, "  here the guest does not take it from %.6f s on\n",
            (double)(again->frame_time + frame->delay) / 1e9);
}

static void put_unfit(const struct rerun *rerun, struct buffer *out)
{
    if (!again_has_typed(&rerun->again))
        put_unfit_typed(rerun, out);
    if (!again_has_received(&rerun->again))
        put_unfit_frame(rerun, out);
}

static void put_text(const struct rerun *rerun, enum verdict verdict, struct buffer *out)
{
    const struct again *again = &rerun->again;
    bool failed = rerun->recorded.outcome.kind != OUTCOME_ENDED;
    put_end("recorded:", &rerun->recorded, out);
    put_end("rerun:   ", &rerun->now, out);
    put_unfit(rerun, out);
    if (again->entropy_drawn)
        buffer_printf(out,
            "the guest asked for more entropy than was recorded: %" PRIu64 " bytes are new\n",
            again->entropy_drawn);
    buffer_printf(out, "%s\n",
        verdict == GONE && !failed ? "no failure, then or now" : verdicts[verdict].text);
}

static void json_end(const char *name, const struct end *end, struct buffer *out)
{
    buffer_printf(out,
        ", \"%s\": {\"outcome\": \"%s\", \"exit_status\": %d, \"event\": %" PRIu64
        ", \"virtual_time_ns\": %" PRIu64 ", \"text\": ",
        name, outcome_name(end->outcome.kind), outcome_exit_status(end->outcome), end->event,
        end->time);
    json_string(out, end->text);
    buffer_printf(out, "}");
}

static void json_bytes(struct buffer *out, const void *bytes, size_t size)
{
    struct buffer text = {0};
    buffer_put(&text, bytes, size);
    buffer_put_u8(&text, 0);
    json_string(out, text.failed ? "" : (const char *)text.data);
    buffer_free(&text);
}

static void json_unfit_typed(const struct rerun *rerun, struct buffer *out)
{
    const struct again *again = &rerun->again;
    if (again_has_typed(again)) {
        buffer_printf(out, "null");
        return;
    }
    const struct typed *piece = &rerun->typed.piece[again->next];
    buffer_printf(
        out, "{\"piece\": %zu, \"event\": %" PRIu64 ", \"text\": ", again->next + 1, piece->event);
    json_bytes(out, piece->bytes.data, piece->bytes.size);
    buffer_printf(out, ", \"after\": ");
    json_string(out, piece->after ? cursor_line_text(piece->after) : "");
    buffer_printf(out, ", \"since_event\": %" PRIu64 ", \"last_line\": ", again->last_event);
    json_string(out, cursor_line_text(&again->line));
    buffer_printf(out, "}");
}

static void json_unfit_frame(const struct rerun *rerun, struct buffer *out)
{
    const struct again *again = &rerun->again;
    if (again_has_received(again)) {
        buffer_printf(out, "null");
        return;
    }
    const struct frame *frame = &rerun->frames.frame[again->frame];
    buffer_printf(out,
        "{\"frame\": %zu, \"net\": %u, \"event\": %" PRIu64 ", \"after_sent\": %" PRIu64
        ", \"sent\": %" PRIu64 ", \"since_event\": %" PRIu64 "}",
        again->frame + 1, frame->net, frame->event, frame->sent, again->sent, again->frame_event);
}

static void put_json(const struct rerun *rerun, enum verdict verdict, struct buffer *out)
{
    const struct again *again = &rerun->again;
    buffer_printf(out, "{\"verdict\": \"%s\", \"status\": %d", verdicts[verdict].word,
        verdicts[verdict].status);
    json_end("recorded", &rerun->recorded, out);
    json_end("rerun", &rerun->now, out);
    buffer_printf(out,
        ", \"typed\": %zu, \"given\": %zu, \"new_entropy_bytes\": %" PRIu64 ", \"unfit\": ",
        rerun->typed.count, again->next, again->entropy_drawn);
    json_unfit_typed(rerun, out);
    buffer_printf(out,
        ", \"frames\": %zu, \"received\": %zu, \"unfit_frame\": ", rerun->frames.count,
        again->frame);
    json_unfit_frame(rerun, out);
    buffer_printf(out, "}\n");
}

/* ---- The run ---- */

static int tell(struct rerun *rerun, const struct cli_machine *setup)
{
    struct buffer out = {0};
    enum verdict verdict = judge(rerun, setup);
    if (rerun->json)
        put_json(rerun, verdict, &out);
    else
        put_text(rerun, verdict, &out);
    bool printed = cli_print(&out);
    buffer_free(&out);
    return printed ? verdicts[verdict].status : STATUS_HOST;
}

static void note_end(
    struct rerun *rerun, const struct cli_machine *setup, const struct recording *recording)
{
    const struct machine *machine = setup->machine;
    const char *text = cli_machine_outcome_text(setup, recording->outcome);
    rerun->now = (struct end){.outcome = recording->outcome,
        .event = machine->position.event,
        .time = machine_time(machine)};
    snprintf(rerun->now.text, sizeof rerun->now.text, "%s", text ? text : recording->text);
}

static int run(struct rerun *rerun, struct cli_machine *setup)
{
    setup->printed = again_console(&rerun->again);
    struct recording recording = {
        .path = rerun->output,
        .store = rerun->given_store,
        .include_checks = rerun->include_checks,
        .source = &rerun->again.source,
        .late = &rerun->again.late,
    };
    if (recording_run(&recording, setup) < 0)
        return STATUS_HOST;
    note_end(rerun, setup, &recording);
    if (recording.outcome.kind == OUTCOME_INTERRUPTED && recording.outcome.number)
        return cli_machine_status(setup, recording.outcome);
    return tell(rerun, setup);
}

/* Not by the machine's own limit: that is a timer, whose being there would be another run. */
static void set_limit(struct rerun *rerun, const struct cli_machine *setup)
{
    const uint64_t second = 1000000000;
    if (setup->config.max_time == UINT64_MAX && rerun->recorded.time < UINT64_MAX / 4)
        rerun->again.limit = 2 * rerun->recorded.time + 10 * second;
}

static int prepare_choices(struct rerun *rerun, struct cli_machine *setup, struct error *error)
{
    if (!rerun->choices)
        return 0;
    if (!setup->config.seeded)
        return error_set(error, "choices are those of a seed, which this trace does not have");
    setup->config.chaos = false;
    live_choose(setup->live, NULL, &rerun->follow);
    return cli_read_choices(rerun->choices, &rerun->follow, error);
}

static int work(struct rerun *rerun, struct cli_machine *setup)
{
    struct error error;
    struct file_roles roles = {0};
    cli_machine_roles(setup, &roles);
    roles_add(&roles, "TRACE", rerun->trace, false);
    roles_add(&roles, "--choices", rerun->choices, false);
    roles_add(&roles, "-o", rerun->output, true);
    setup->trace_path = rerun->output;
    if (roles_check(&roles, &error) < 0)
        return cli_fail(STATUS_USAGE, &error);
    if (cli_machine_load(setup, &error) < 0 || cli_machine_open(setup, &error) < 0 ||
        prepare_choices(rerun, setup, &error) < 0)
        return cli_fail(STATUS_HOST, &error);
    int status = read_trace(rerun, setup);
    if (status != STATUS_OK)
        return status;
    set_limit(rerun, setup);
    return run(rerun, setup);
}

/* ---- The command line ---- */

static const struct option options[] = {CLI_MACHINE_OPTIONS,
    {"json", no_argument, NULL, OPTION_JSON}, {"choices", required_argument, NULL, OPTION_CHOICES},
    {"no-checks", no_argument, NULL, OPTION_NO_CHECKS},
    {"store", required_argument, NULL, OPTION_STORE}, {0}};

/* The trace's machine has to be known before options change it: those that name it come first. */
static int find_trace(struct rerun *rerun, int argc, char **argv)
{
    int option;
    while ((option = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
        if (option == '?')
            return cli_usage("rerun", "bad option");
        if (option == OPTION_STORE)
            rerun->given_store = optarg;
    }
    rerun->trace = argv[optind];
    if (!rerun->trace)
        return cli_usage("rerun", "give a trace");
    rerun->store = cli_store_path(rerun->given_store, rerun->store_room);
    optind = 0; /* from the beginning again */
    return STATUS_OK;
}

static int take_options(struct rerun *rerun, struct cli_machine *setup, int argc, char **argv)
{
    struct error error;
    int option;
    while ((option = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
        if (option == 'o')
            rerun->output = optarg;
        else if (option == OPTION_JSON)
            rerun->json = true;
        else if (option == OPTION_CHOICES)
            rerun->choices = optarg;
        else if (option == OPTION_NO_CHECKS)
            rerun->include_checks = false;
        else if (option != OPTION_STORE && cli_machine_option(setup, option, optarg, &error) < 0)
            return cli_usage("rerun", "%s", error.text);
    }
    if (strcmp(setup->engine, "soft") != 0 || setup->config.pace != PACE_FAST)
        return cli_usage("rerun", "a rerun is on --engine soft, with --pace fast");
    if (cli_machine_command(setup, argv + optind + 1, &error) < 0 ||
        cli_machine_like_check(setup, &error) < 0)
        return cli_usage("rerun", "%s", error.text);
    return STATUS_OK;
}

int cli_rerun(int argc, char **argv)
{
    struct cli_machine setup;
    struct error error;
    struct rerun rerun = {.include_checks = true};
    if (cli_wants_help(argc, argv)) {
        cli_help(help);
        return cli_help(cli_machine_help);
    }
    if (cli_machine_init(&setup, &error) < 0)
        return cli_fail(STATUS_HOST, &error);
    setup.serial = "null";
    setup.no_typing = true;
    setup.like_keeps_nets = true;
    int status = find_trace(&rerun, argc, argv);
    if (status == STATUS_OK)
        status = cli_machine_like(&setup, rerun.trace, rerun.store);
    if (status == STATUS_ERROR)
        status = STATUS_HOST;
    if (status == STATUS_OK)
        status = take_options(&rerun, &setup, argc, argv);
    if (status == STATUS_OK)
        status = work(&rerun, &setup);
    cli_machine_close(&setup);
    again_free(&rerun.again);
    typed_free(&rerun.typed);
    frames_free(&rerun.frames);
    choices_free(&rerun.follow);
    return status;
}
