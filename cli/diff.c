/* hindsight diff: where two recorded runs part. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/difference.h"
#include "cli/pool.h"
#include "cli/prelude.h"
#include "replay/replay.h"
#include "traces/trace.h"
#include "vmm/host/confine.h"
#include "vmm/machine/inputs.h"

static const char help[] =
    "Usage: hindsight diff A.hst B.hst [OPTION]...\n"
    "Say where two recorded runs part: how their machines differ, the first input that is "
    "another,\n"
    "the first event that is another, the first line on the console that is another; then where\n"
    "each of them was at that event. Exit status 0: they are the same, 1: they are not.\n\n"
    "  --no-context           do not replay up to the event\n"
    "  --store DIR            where the boot files are of traces that only name "
    "them\n" PRELUDE_HELP;

enum {
    OPTION_NO_CONTEXT = 1,
    OPTION_STORE,
    OPTION_SYMBOLS,
    OPTION_EX,
    LINE_MAX_BYTES = 200,
};

/* One of the two. */
struct side {
    const char *path;
    struct trace_reader *reader;
    struct trace_info info;
};

struct difference {
    struct side side[2];
    const char *store; /* NULL: the default one */
    struct prelude prelude;
    struct buffer out;
    uint64_t event; /* the first that is another; 0: none */
    bool differs;
};

static const char names[2] = {'A', 'B'};

/* ---- The machines ---- */

/* What says how it was recorded and not what. */
static bool is_incidental(const char *key)
{
    return strcmp(key, "hindsight") == 0 || strcmp(key, "host") == 0 || strcmp(key, "machine") == 0;
}

static void compare_settings(struct difference *difference, unsigned from)
{
    const struct side *own = &difference->side[from], *other = &difference->side[!from];
    const char *key, *value;
    for (size_t i = 0; trace_reader_setting_at(own->reader, i, &key, &value); i++) {
        const char *theirs = trace_reader_setting(other->reader, key);
        if (is_incidental(key) || (theirs && (from == 1 || strcmp(value, theirs) == 0)))
            continue;
        if (theirs)
            buffer_printf(&difference->out, "setting     %s: A %s, B %s\n", key, value, theirs);
        else
            buffer_printf(&difference->out, "setting     %s: %c %s, %c none\n", key, names[from],
                value, names[!from]);
    }
}

static void compare_files(struct difference *difference)
{
    struct trace_blob a, b;
    for (size_t i = 0; trace_reader_blob_at(difference->side[0].reader, i, &a); i++) {
        int number = trace_reader_find_blob(difference->side[1].reader, a.name);
        if (number < 0 || !trace_reader_blob_at(difference->side[1].reader, (size_t)number, &b))
            buffer_printf(&difference->out, "boot file   %s: A has one, B has none\n", a.name);
        else if (a.digest != b.digest || a.size != b.size)
            buffer_printf(&difference->out,
                "boot file   %s: A %" PRIu64 " bytes, XXH3 %016" PRIx64 ", B %" PRIu64
                " bytes, XXH3 %016" PRIx64 "\n",
                a.name, a.size, a.digest, b.size, b.digest);
    }
}

/* ---- Inputs ---- */

static void put_input(struct buffer *out, const struct trace_input *input, int more)
{
    if (more <= 0) {
        buffer_printf(out, "no more");
        return;
    }
    buffer_printf(out, "%s", input_kind_name((enum input_kind)input->kind));
    if (input->has_position)
        buffer_printf(out, " at %" PRIu64 ".%" PRIu64, input->position.event, input->position.insn);
    if (!input->size)
        return;
    buffer_printf(out, ", ");
    for (size_t i = 0; i < input->size && i < 16; i++)
        buffer_printf(out, "%02x", input->payload[i]);
    buffer_printf(out, "%s", input->size > 16 ? "..." : "");
}

static bool same_input(const struct trace_input *a, const struct trace_input *b)
{
    return a->kind == b->kind && a->has_position == b->has_position && a->size == b->size &&
           (!a->has_position ||
               (a->position.event == b->position.event && a->position.insn == b->position.insn)) &&
           memcmp(a->payload, b->payload, a->size) == 0;
}

static int compare_inputs(struct difference *difference, struct error *error)
{
    struct trace_inputs *stream[2] = {NULL, NULL};
    struct trace_input input[2];
    int more[2] = {-1, -1};
    uint64_t count = 0;
    for (unsigned i = 0; i < 2; i++)
        stream[i] = trace_inputs_open(difference->side[i].reader, error);
    while (stream[0] && stream[1]) {
        for (unsigned i = 0; i < 2; i++)
            more[i] = trace_inputs_next(stream[i], &input[i], error);
        if (more[0] <= 0 || more[1] <= 0 || !same_input(&input[0], &input[1]))
            break;
        count++;
    }
    if (more[0] > 0 || more[1] > 0) {
        difference->differs = true;
        buffer_printf(&difference->out, "input       number %" PRIu64 ": A ", count + 1);
        put_input(&difference->out, &input[0], more[0]);
        buffer_printf(&difference->out, "; B ");
        put_input(&difference->out, &input[1], more[1]);
        buffer_printf(&difference->out, "\n");
    }
    for (unsigned i = 0; i < 2; i++)
        trace_inputs_close(stream[i]);
    return more[0] < 0 ? more[0] : more[1] < 0 ? more[1] : 0;
}

/* ---- Events and the console ---- */

/* The line that a run's serial port is at. */
struct console {
    char line[LINE_MAX_BYTES + 1];
    size_t length;
    uint64_t lines, begun; /* the event with which the line began */
    bool divisor;          /* the data port is the divisor's */
};

static void end_line(struct console *console)
{
    console->line[console->length] = '\0';
    console->length = 0;
    console->lines++;
}

/* True when the byte ends a line, which is then in console->line. */
static bool console_event(struct console *console, const struct trace_check *check)
{
    enum { DATA = 0x3f8, LINE_CONTROL = 0x3fb, DLAB = 0x80 };
    if (check->kind != EVENT_PIO_OUT || check->size != 1)
        return false;
    if (check->address == LINE_CONTROL)
        console->divisor = check->value & DLAB;
    if (check->address != DATA || console->divisor)
        return false;
    if (console->length == 0)
        console->begun = check->event;
    if (check->value == '\n') {
        end_line(console);
        return true;
    }
    if (check->value != '\r' && console->length < LINE_MAX_BYTES)
        console->line[console->length++] = (char)check->value;
    return false;
}

static void put_event(
    struct difference *difference, unsigned i, const struct trace_check *check, bool counted)
{
    const struct machine_event event = {.kind = (enum event_kind)check->kind,
        .size = check->size,
        .ordinal = check->event,
        .address = check->address,
        .value = check->value,
        .counted = counted,
        .insns = check->insn_delta};
    buffer_printf(&difference->out, "  %c         ", names[i]);
    replay_format_event(&event, &difference->out);
    buffer_printf(&difference->out, "\n");
}

static int compare_events(struct difference *difference, struct error *error)
{
    struct trace_reader *const readers[] = {difference->side[0].reader, difference->side[1].reader};
    struct difference_event first;
    int result = difference_first(readers, &first, error);
    if (result < 0 || first.event == 0)
        return result;
    difference->differs = true;
    difference->event = first.event;
    buffer_printf(
        &difference->out, "event       %" PRIu64 " is the first that differs\n", first.event);
    for (unsigned i = 0; i < 2; i++) {
        if (first.there[i])
            put_event(difference, i, &first.check[i], first.counted);
        else
            buffer_printf(&difference->out, "  %c         has ended\n", names[i]);
    }
    return 0;
}

/* The next line of a run, the last one though it may have no end; 0 past it. */
static int next_line(struct trace_checks *stream, struct console *console, struct error *error)
{
    struct trace_check check;
    int more;
    while ((more = trace_checks_next(stream, &check, error)) > 0) {
        if (console_event(console, &check))
            return 1;
    }
    if (more < 0 || console->length == 0)
        return more;
    end_line(console);
    return 1;
}

static int compare_consoles(struct difference *difference, struct error *error)
{
    struct trace_checks *stream[2] = {NULL, NULL};
    struct console console[2] = {0};
    int more[2] = {-1, -1};
    for (unsigned i = 0; i < 2; i++)
        stream[i] = trace_checks_open(difference->side[i].reader, error);
    while (stream[0] && stream[1]) {
        for (unsigned i = 0; i < 2; i++)
            more[i] = next_line(stream[i], &console[i], error);
        if (more[0] <= 0 || more[1] <= 0 || strcmp(console[0].line, console[1].line) != 0)
            break;
    }
    if (more[0] > 0 || more[1] > 0) {
        difference->differs = true;
        buffer_printf(&difference->out, "console     line %" PRIu64 " is the first that differs\n",
            console[more[0] > 0 ? 0 : 1].lines);
        for (unsigned i = 0; i < 2; i++) {
            if (more[i] > 0)
                buffer_printf(&difference->out, "  %c         from event %" PRIu64 ": %s\n",
                    names[i], console[i].begun, console[i].line);
            else
                buffer_printf(&difference->out, "  %c         prints no more\n", names[i]);
        }
    }
    for (unsigned i = 0; i < 2; i++)
        trace_checks_close(stream[i]);
    return more[0] < 0 ? more[0] : more[1] < 0 ? more[1] : 0;
}

/* ---- Where they were ---- */

/* Both are looked at by the debugger, beside each other. */
struct context {
    struct difference *difference;
    char output[2][32];
    unsigned next;
};

static int next_context(void *opaque, struct pool_run *run, struct error *error)
{
    struct context *context = opaque;
    enum { ROOM = 16 + 2 * PRELUDE_COMMANDS };
    const struct prelude *prelude = &context->difference->prelude;
    char seek[48];
    if (context->next == 2)
        return 0;
    unsigned i = context->next++;
    snprintf(seek, sizeof seek, "seek %" PRIu64, context->difference->event);
    const char *const opening[] = {
        "hindsight", "debug", context->difference->side[i].path, "--batch"};
    const char *const words[] = {"-ex", seek, "-ex", "backtrace 8"};
    const char *const store[] = {"--store", context->difference->store};
    run->number = i;
    run->argv = pool_arguments(ROOM);
    run->output = strdup(context->output[i]);
    bool added = run->argv && run->output;
    for (size_t word = 0; word < sizeof opening / sizeof opening[0]; word++)
        added = added && pool_add(run->argv, ROOM, opening[word]);
    for (unsigned command = 0; command < prelude->count; command++)
        added = added && pool_add(run->argv, ROOM, "-ex") &&
                pool_add(run->argv, ROOM, prelude->command[command]);
    for (size_t word = 0; word < sizeof words / sizeof words[0]; word++)
        added = added && pool_add(run->argv, ROOM, words[word]);
    for (size_t word = 0; store[1] && word < 2; word++)
        added = added && pool_add(run->argv, ROOM, store[word]);
    if (added)
        return 1;
    pool_run_free(run);
    return error_set(error, "out of memory");
}

static int context_ended(void *opaque, const struct pool_run *run, int status, struct error *error)
{
    (void)opaque;
    (void)run;
    (void)status;
    (void)error;
    return 0;
}

/* The frames, without what the debugger says when it opens a trace; or why there are none. */
static void put_context(struct difference *difference, unsigned i, const char *path)
{
    char line[512] = "";
    FILE *file = fopen(path, "re");
    bool any = false;
    buffer_printf(&difference->out, "%c was at\n", names[i]);
    while (file && fgets(line, sizeof line, file)) {
        if (line[0] != '#')
            continue;
        buffer_printf(&difference->out, "  %s", line);
        any = true;
    }
    if (!any)
        buffer_printf(&difference->out, "  %s%s", line, strchr(line, '\n') ? "" : "\n");
    if (file)
        fclose(file);
}

static int show_context(struct difference *difference, struct error *error)
{
    struct context context = {.difference = difference};
    int result = 0;
    for (unsigned i = 0; i < 2 && result == 0; i++) {
        strcpy(context.output[i], "/tmp/hindsight-diff-XXXXXX");
        int fd = mkstemp(context.output[i]);
        result = fd < 0 ? error_set_errno(error, "%s", context.output[i]) : close(fd);
    }
    const struct pool pool = {.next = next_context, .ended = context_ended, .context = &context};
    if (result == 0)
        result = pool_work(&pool, error);
    for (unsigned i = 0; i < 2; i++) {
        if (result == 0)
            put_context(difference, i, context.output[i]);
        unlink(context.output[i]);
    }
    return result < 0 ? -1 : 0;
}

static int compare(struct difference *difference, struct error *error)
{
    compare_settings(difference, 0);
    compare_settings(difference, 1);
    compare_files(difference);
    int result = compare_inputs(difference, error);
    bool checked = difference->side[0].info.has_checks && difference->side[1].info.has_checks;
    if (result == 0 && checked)
        result = compare_events(difference, error);
    if (result == 0 && checked)
        result = compare_consoles(difference, error);
    if (!checked)
        buffer_printf(&difference->out, "events      not compared: a trace has no checks\n");
    return result;
}

static int open_and_compare(struct difference *difference, struct error *error)
{
    int result = 0;
    for (unsigned i = 0; i < 2 && result == 0; i++) {
        struct side *side = &difference->side[i];
        result = trace_reader_open(&side->reader, side->path, error);
        if (result == 0)
            trace_reader_info(side->reader, &side->info);
    }
    if (result == 0)
        result = compare(difference, error);
    for (unsigned i = 0; i < 2; i++)
        trace_reader_close(difference->side[i].reader);
    return result;
}

/* ---- Confined ---- */

/*
 * Traces are read by a process of their own that can do nothing else; this one starts the debugger,
 * and does not look into a trace. What comes over the pipe is numbers and a text to print.
 */
struct verdict {
    int result;
    bool differs;
    uint64_t event, size;
    struct error error;
};

enum { TEXT_MAX = 1 << 20 };

static bool send_all(int fd, const void *data, size_t size)
{
    const uint8_t *at = data;
    while (size) {
        ssize_t count = write(fd, at, size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        at += count;
        size -= (size_t)count;
    }
    return true;
}

static bool receive_all(int fd, void *data, size_t size)
{
    uint8_t *at = data;
    while (size) {
        ssize_t count = read(fd, at, size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        at += count;
        size -= (size_t)count;
    }
    return true;
}

static _Noreturn void read_traces(struct difference *difference, int fd)
{
    struct verdict verdict = {.error = {""}};
    cli_confine(
        &(struct confine){.readable = {difference->side[0].path, difference->side[1].path}});
    verdict.result = open_and_compare(difference, &verdict.error);
    verdict.differs = difference->differs;
    verdict.event = difference->event;
    verdict.size = difference->out.failed ? 0 : difference->out.size;
    if (verdict.size > TEXT_MAX)
        verdict.size = TEXT_MAX;
    bool sent =
        send_all(fd, &verdict, sizeof verdict) && send_all(fd, difference->out.data, verdict.size);
    exit(sent ? 0 : 1);
}

static int take_verdict(struct difference *difference, int fd, struct error *error)
{
    struct verdict verdict;
    if (!receive_all(fd, &verdict, sizeof verdict) || verdict.size > TEXT_MAX)
        return error_set(error, "the process that reads the traces has died");
    uint8_t *text = buffer_extend(&difference->out, verdict.size);
    if ((verdict.size && !text) || !receive_all(fd, text, verdict.size))
        return error_set(error, "the process that reads the traces has died");
    verdict.error.text[sizeof verdict.error.text - 1] = '\0';
    *error = verdict.error;
    difference->differs = verdict.differs;
    difference->event = verdict.event;
    return verdict.result;
}

static int compare_confined(struct difference *difference, struct error *error)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set_errno(error, "cannot make a pipe");
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        read_traces(difference, ends[1]);
    }
    close(ends[1]);
    int result = child < 0 ? error_set_errno(error, "cannot start a process")
                           : take_verdict(difference, ends[0], error);
    close(ends[0]);
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    return result;
}

/* ---- The command ---- */

static int diff(struct difference *difference, bool with_context)
{
    struct error error;
    int result = compare_confined(difference, &error);
    if (result == 0 && difference->event && with_context)
        result = show_context(difference, &error);
    cli_confine(&(struct confine){0});
    if (result == 0 && !difference->differs)
        buffer_printf(&difference->out, "the runs are the same\n");
    bool printed = cli_print(&difference->out);
    buffer_free(&difference->out);
    prelude_free(&difference->prelude);
    if (result < 0)
        return cli_fail(result == TRACE_DAMAGED ? STATUS_DAMAGED : STATUS_HOST, &error);
    return printed ? difference->differs : STATUS_HOST;
}

int cli_diff(int argc, char **argv)
{
    static const struct option options[] = {{"no-context", no_argument, NULL, OPTION_NO_CONTEXT},
        {"store", required_argument, NULL, OPTION_STORE},
        {"symbols", required_argument, NULL, OPTION_SYMBOLS},
        {"ex", required_argument, NULL, OPTION_EX}, {0}};
    struct difference difference = {0};
    struct error error;
    bool with_context = true;
    int option, result = 0;
    if (cli_wants_help(argc, argv))
        return cli_help(help);
    while ((option = getopt_long_only(argc, argv, "", options, NULL)) != -1) {
        if (option == OPTION_SYMBOLS)
            result = prelude_symbols(&difference.prelude, optarg, &error);
        else if (option == OPTION_EX)
            result = prelude_command(&difference.prelude, optarg, &error);
        else if (option == OPTION_STORE)
            difference.store = optarg;
        else if (option == OPTION_NO_CONTEXT)
            with_context = false;
        else
            return cli_usage("diff", "bad option");
        if (result < 0)
            return cli_usage("diff", "%s", error.text);
    }
    if (optind + 2 != argc)
        return cli_usage("diff", "give two traces");
    for (unsigned i = 0; i < 2; i++)
        difference.side[i].path = argv[optind + (int)i];
    return diff(&difference, with_context);
}
