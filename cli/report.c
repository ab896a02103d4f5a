/* hindsight report: one page that shows a whole run, to be opened in a browser. */
#include "cli/cli.h"

#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/parse.h"
#include "cli/difference.h"
#include "cli/progress.h"
#include "cli/report_model.h"
#include "cli/report_page.h"
#include "cli/report_perfetto.h"
#include "cli/report_tasks.h"
#include "cli/roles.h"
#include "vmm/host/confine.h"
#include "vmm/machine/outcome.h"

static const char help[] =
    "Usage: hindsight report TRACE.hst [-o FILE.html] [--against OTHER.hst]\n"
    "                        [--symbols VMLINUX [--program FILE]] [--perfetto FILE.json]\n"
    "                        [--memory-limit SIZE]\n"
    "Replay the run and write a page that shows it: a timeline of vCPUs, interrupts, devices and\n"
    "disks, the console, what went wrong, and the commands that go to each place. The page needs\n"
    "no network and no server.\n\n"
    "  -o FILE.html           the page; TRACE.html by default\n"
    "  --symbols VMLINUX      show tasks and system calls of a Linux guest, too\n"
    "  --program FILE         and where threads of this program, run under its name, raced\n"
    "  --against OTHER.hst    mark where the run parts from this one\n"
    "  --perfetto FILE.json   also write the timeline as a Chrome trace, for ui.perfetto.dev\n"
    "  --memory-limit SIZE    RAM that the trace may ask for; three quarters of the host's by\n"
    "                         default\n"
    "  --store DIR            where a trace's boot files are if it only names them\n";

enum {
    OPTION_AGAINST = 1,
    OPTION_PERFETTO,
    OPTION_MEMORY_LIMIT,
    OPTION_STORE,
    OPTION_SYMBOLS,
    OPTION_PROGRAM
};

struct report {
    const char *path, *page, *against, *perfetto_path, *store, *symbols, *program;
    uint64_t memory_limit;
    char *default_page; /* owned */
    struct report_model *model;
    struct report_perfetto perfetto;
    struct report_tasks tasks;
    struct replay *replay;
    uint64_t parts; /* event from which the run differs from the other one; 0: none */
    struct progress progress;
};

static struct machine *volatile running;
static volatile sig_atomic_t caught_signal;

static void on_signal(int number)
{
    caught_signal = number;
    if (running)
        machine_request_stop(running);
}

static int show_progress(
    void *context, struct machine *machine, const struct machine_event *event, struct error *error)
{
    struct report *report = context;
    (void)machine;
    (void)error;
    if (event->ordinal % 16384 == 0)
        progress_show(&report->progress, event->ordinal, replay_info(report->replay)->end_event);
    return 0;
}

/* ---- The data ---- */

static bool outcome_failed(struct outcome outcome)
{
    return outcome.kind == OUTCOME_STATUS
               ? outcome.number > 1
               : outcome.kind != OUTCOME_ENDED && outcome.kind != OUTCOME_INTERRUPTED;
}

static void write_end(const struct report *report, struct buffer *out)
{
    const struct trace_info *info = replay_info(report->replay);
    struct outcome outcome = outcome_of_end(&info->end);
    buffer_printf(out, ",\n\"end\":{\"time\":%" PRIu64 ",\"failed\":%s,\"outcome\":",
        machine_time(replay_machine(report->replay)),
        info->complete && outcome_failed(outcome) ? "true" : "false");
    if (!info->complete) {
        report_string(out, "cut off");
    } else if (outcome.kind == OUTCOME_STATUS) {
        buffer_printf(out, "\"exit status %d\"", outcome.number);
    } else {
        report_string(out, outcome_name(outcome.kind));
    }
    buffer_printf(out, ",\"text\":");
    report_string(out, info->complete ? info->end.text : "");
    buffer_printf(out, "}");
}

static void write_settings(const struct report *report, struct buffer *out)
{
    const struct trace_reader *trace = replay_trace(report->replay);
    const char *key, *value;
    buffer_printf(out, ",\n\"settings\":[");
    for (size_t i = 0; trace_reader_setting_at(trace, i, &key, &value); i++) {
        buffer_printf(out, "%s[", i ? "," : "");
        report_string(out, key);
        buffer_put_u8(out, ',');
        report_string(out, value);
        buffer_put_u8(out, ']');
    }
    buffer_printf(out, "]");
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void write_tasks(const struct report_tasks *tasks, struct buffer *out)
{
    static const char *const names[REPORT_QUESTIONS] = {"switches", "syscalls", "conflicts"};
    for (unsigned i = 0; i < REPORT_QUESTIONS; i++) {
        if (tasks->answer[i].size == 0)
            continue;
        buffer_printf(out, ",\n\"%s\":", names[i]);
        buffer_put(out, tasks->answer[i].data, tasks->answer[i].size);
    }
}

/* The commands that make the debugger name places as the page does. */
static void write_symbols(const struct report *report, struct buffer *out)
{
    struct buffer text = {0};
    char name[16];
    if (!report->program)
        return;
    report_process_name(report->program, name);
    buffer_printf(&text, "-ex 'add-symbol-file %s' -ex 'add-symbol-file %s -process %s'",
        report->symbols, report->program, name);
    buffer_put_u8(&text, 0);
    buffer_printf(out, ",\n\"symbols\":");
    report_string(out, text.failed ? "" : (const char *)text.data);
    buffer_free(&text);
}

static void write_data(const struct report *report, struct buffer *out)
{
    buffer_printf(out, "{\"path\":");
    report_string(out, file_name(report->path));
    write_end(report, out);
    write_settings(report, out);
    if (report->against) {
        buffer_printf(out, ",\n\"against\":{\"event\":%" PRIu64 ",\"name\":", report->parts);
        report_string(out, file_name(report->against));
        buffer_printf(out, "}");
    }
    report_model_write(report->model, out);
    write_tasks(&report->tasks, out);
    write_symbols(report, out);
    buffer_printf(out, "}");
}

/* The page up to a word of it, and where it goes on. */
static const char *put_until(const char *page, const char *word, struct buffer *out)
{
    const char *at = strstr(page, word);
    buffer_put(out, page, (size_t)(at - page));
    return at + strlen(word);
}

static void write_page(const struct report *report, struct buffer *out)
{
    const char *rest = put_until(report_page_html, "@DATA@", out);
    write_data(report, out);
    rest = put_until(rest, "@SCRIPT@", out);
    buffer_put(out, report_page_js, strlen(report_page_js));
    buffer_put(out, rest, strlen(rest));
}

/* ---- Files ---- */

static int write_file(const char *path, const struct buffer *text, struct error *error)
{
    if (text->failed)
        return error_set(error, "no memory for %s", path);
    FILE *file = fopen(path, "we");
    if (!file)
        return error_set_errno(error, "%s", path);
    bool written = fwrite(text->data, 1, text->size, file) == text->size;
    written &= fflush(file) == 0;
    int result = written ? 0 : error_set_errno(error, "%s", path);
    struct stat status;
    bool regular = fstat(fileno(file), &status) == 0 && S_ISREG(status.st_mode);
    fclose(file);
    if (result < 0 && regular)
        unlink(path);
    return result;
}

static int write_files(struct report *report, struct error *error)
{
    struct buffer page = {0};
    if (report_model_failed(report->model))
        return error_set(error, "no memory for what the run shows");
    write_page(report, &page);
    int result = write_file(report->page, &page, error);
    if (result == 0)
        cli_say(
            "%s: %" PRIu64 " events, %zu bytes", report->page, report->model->events, page.size);
    buffer_free(&page);
    if (result == 0 && report->perfetto_path) {
        report_perfetto_end(&report->perfetto, replay_machine(report->replay));
        result = write_file(report->perfetto_path, &report->perfetto.text, error);
    }
    return result;
}

/* ---- The run ---- */

static int attach(struct report *report, struct error *error)
{
    struct machine *machine = replay_machine(report->replay);
    const struct machine_observer observer = {.event = show_progress, .context = report};
    if (report_model_attach(report->model, machine, error) < 0 ||
        machine_observe(machine, &observer, error) < 0)
        return -1;
    return report->perfetto_path ? report_perfetto_attach(&report->perfetto, machine, error) : 0;
}

static void confine(const struct report *report)
{
    char folder[2][PATH_MAX];
    struct confine confine = {.readable = {report->against}};
    confine.writable[0] = cli_folder_of(report->page, folder[0]);
    confine.writable_count = confine.writable[0] ? 1 : 0;
    if (report->perfetto_path) {
        confine.writable[confine.writable_count] = cli_folder_of(report->perfetto_path, folder[1]);
        confine.writable_count += confine.writable[confine.writable_count] ? 1 : 0;
    }
    cli_confine(&confine);
}

static void mark_end(struct report *report)
{
    const struct trace_end *end = &replay_info(report->replay)->end;
    if (replay_info(report->replay)->complete && !caught_signal &&
        outcome_failed(outcome_of_end(end)))
        report_model_mark(
            report->model, end->text[0] ? end->text : outcome_name(outcome_of_end(end).kind));
}

static int replay_all(struct report *report, bool *damaged, struct error *error)
{
    struct sigaction action = {.sa_handler = on_signal};
    enum replay_outcome outcome;
    struct machine *machine = replay_machine(report->replay);
    running = machine;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    int result;
    while ((result = replay_run(report->replay, POSITION_END, &outcome, damaged, error)) == 0 &&
           outcome == REPLAY_STOPPED && machine_stopped(machine) == STOP_BREAKPOINT) {
        result = report_model_changed(report->model, error);
        if (result == 0 && report->perfetto_path)
            result = report_perfetto_changed(&report->perfetto, machine, error);
        if (result < 0)
            break;
    }
    running = NULL;
    progress_end(&report->progress);
    if (result == 0 && outcome == REPLAY_DIVERGED)
        report_model_mark(report->model, "the replay diverges here from what was recorded");
    mark_end(report);
    report_model_end(report->model);
    return result;
}

/* Where the run parts from the other one. */
static int compare(struct report *report, bool *damaged, struct error *error)
{
    struct trace_reader *readers[2] = {NULL, NULL};
    struct difference_event first;
    int result = 0;
    *damaged = false;
    const char *const paths[2] = {report->path, report->against};
    for (unsigned i = 0; i < 2 && result == 0; i++)
        result = trace_reader_open(&readers[i], paths[i], error);
    if (result == 0)
        result = difference_first(readers, &first, error);
    if (result == 0)
        report->parts = first.event;
    *damaged = result == TRACE_DAMAGED;
    for (unsigned i = 0; i < 2; i++)
        trace_reader_close(readers[i]);
    return result < 0 ? -1 : 0;
}

static int report_run(struct report *report)
{
    struct error error = {""};
    bool damaged = false;
    const struct replay_options options = {.verify = true,
        .memory_limit = report->memory_limit,
        .store = report->store,
        .console = {.put = report_model_console, .target = report->model}};
    report->replay = replay_open(report->path, &options, &damaged, &error);
    if (!report->replay)
        return cli_fail_open(report->path, report->store, false, damaged, &error);
    const struct report_asked asked = {.trace = report->path,
        .store = report->store,
        .kernel = report->symbols,
        .program = report->program};
    if (report->symbols && report_tasks_ask(&report->tasks, &asked, &error) < 0)
        return cli_fail(STATUS_ERROR, &error);
    confine(report);
    if (attach(report, &error) < 0)
        return cli_fail(STATUS_ERROR, &error);
    if (report->against && compare(report, &damaged, &error) < 0)
        return cli_fail(damaged ? STATUS_DAMAGED : STATUS_ERROR, &error);
    if (replay_all(report, &damaged, &error) < 0)
        return cli_fail(damaged ? STATUS_DAMAGED : STATUS_ERROR, &error);
    if (caught_signal)
        cli_say("interrupted: the page shows the run up to event %" PRIu64,
            machine_position(replay_machine(report->replay)).event);
    if (write_files(report, &error) < 0)
        return cli_fail(STATUS_ERROR, &error);
    return caught_signal ? 128 + caught_signal : STATUS_OK;
}

/* TRACE.html beside TRACE.hst */
static char *default_page(const char *path)
{
    size_t length = strlen(path);
    if (length > 4 && strcmp(path + length - 4, ".hst") == 0)
        length -= 4;
    char *page = NULL;
    return asprintf(&page, "%.*s.html", (int)length, path) < 0 ? NULL : page;
}

static int report_open(struct report *report)
{
    struct error error = {""};
    if (!report->page)
        report->page = report->default_page = default_page(report->path);
    report->model = calloc(1, sizeof *report->model);
    if (!report->page || !report->model) {
        error_set(&error, "out of memory");
        return cli_fail(STATUS_ERROR, &error);
    }
    struct file_roles roles = {.count = 0};
    roles_add(&roles, "the trace", report->path, false);
    roles_add(&roles, "--against", report->against, false);
    roles_add(&roles, "--symbols", report->symbols, false);
    roles_add(&roles, "--program", report->program, false);
    roles_add(&roles, "-o", report->page, true);
    roles_add(&roles, "--perfetto", report->perfetto_path, true);
    if (roles_check(&roles, &error) < 0)
        return cli_usage("report", "%s", error.text);
    if (report_model_init(report->model, &error) < 0)
        return cli_fail(STATUS_ERROR, &error);
    return report_run(report);
}

static void report_close(struct report *report)
{
    if (report->replay)
        replay_close(report->replay);
    if (report->model)
        report_model_free(report->model);
    report_perfetto_free(&report->perfetto);
    report_tasks_free(&report->tasks);
    free(report->model);
    free(report->default_page);
}

int cli_report(int argc, char **argv)
{
    static const struct option options[] = {
        {"against", required_argument, NULL, OPTION_AGAINST},
        {"perfetto", required_argument, NULL, OPTION_PERFETTO},
        {"memory-limit", required_argument, NULL, OPTION_MEMORY_LIMIT},
        {"store", required_argument, NULL, OPTION_STORE},
        {"symbols", required_argument, NULL, OPTION_SYMBOLS},
        {"program", required_argument, NULL, OPTION_PROGRAM},
        {0},
    };
    struct report report = {.progress = {.label = "replaying"}};
    struct error error;
    int option;
    if (cli_wants_help(argc, argv))
        return cli_help(help);
    while ((option = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
        if (option == 'o')
            report.page = optarg;
        else if (option == OPTION_AGAINST)
            report.against = optarg;
        else if (option == OPTION_PERFETTO)
            report.perfetto_path = optarg;
        else if (option == OPTION_STORE)
            report.store = optarg;
        else if (option == OPTION_SYMBOLS)
            report.symbols = optarg;
        else if (option == OPTION_PROGRAM)
            report.program = optarg;
        else if (option != OPTION_MEMORY_LIMIT)
            return cli_usage("report", "bad option");
        else if (parse_size(optarg, &report.memory_limit, &error) < 0)
            return cli_usage("report", "--memory-limit: %s", error.text);
    }
    if (optind + 1 != argc)
        return cli_usage("report", "give one trace");
    if (report.program && !report.symbols)
        return cli_usage("report", "--program needs the kernel's --symbols, too");
    char room[PATH_MAX];
    report.path = argv[optind];
    report.store = cli_store_path(report.store, room);
    int status = report_open(&report);
    report_close(&report);
    return status;
}
