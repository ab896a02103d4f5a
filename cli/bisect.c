/* hindsight bisect: which of the choices that a seed made decide how a run ends. */
#include "cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/parse.h"
#include "cli/child.h"
#include "cli/like.h"
#include "cli/prelude.h"
#include "cli/progress.h"
#include "cli/rootfs.h"
#include "cli/subset.h"
#include "traces/trace.h"
#include "vmm/machine/choices.h"
#include "vmm/machine/outcome.h"

static const char help[] =
    "Usage: hindsight bisect BAD.hst [GOOD.hst] -o DIR [OPTION]...\n"
    "Narrow a failure that a seed found (hunt, record --seed) to the choices of that seed that\n"
    "decide it: where timers fired early and where turns of vCPUs ended. The run is recorded anew\n"
    "with the later ones as without a seed: the last that cannot be missed decides. Then without "
    "as\n"
    "many of the earlier ones as possible. A run fails as BAD.hst does when it has its exit "
    "status\n"
    "within its time. GOOD.hst, another seed's run, has to end otherwise. Exit status 0: narrowed\n"
    "down, 1: the choices do not decide it, 125: trouble.\n\n"
    "  -o DIR                 gets bad.hst, with these choices alone, and good.hst, without the\n"
    "                         decisive one\n"
    "  --runs N               at most so many runs, 1000 by default\n"
    "  --max-time VT          a run is over then; by default after 1.02 times BAD's\n"
    "  --store DIR            where the boot files are if the trace only names them\n"
    "  --fail-on R, --no-fail-on, --fail-fast, --hang VT, --plain-status, --disk SPEC\n"
    "                         as BAD.hst was recorded with\n"
    "  --root DIR|TAR, --root-size SIZE  of a command's run: its disk is made again\n" PRELUDE_HELP;

enum { OPTIONS_MAX = 64, SHOWN = 12 };

struct bisect {
    const char *bad, *good, *folder, *store, *max_time;
    char own_max_time[32];
    uint64_t most;
    const char *option[OPTIONS_MAX]; /* passed on to record */
    unsigned option_count;
    struct prelude prelude;
    struct rootfs rootfs; /* its disk alone */
    char disk[PATH_MAX + 32];

    struct choices all;
    size_t decisive; /* number of the choice that decides */
    bool *without;   /* working memory of still_decides() */
    int wanted;      /* exit status of BAD */
    uint64_t runs;
    int interrupted;
    char choices[PATH_MAX], trace[PATH_MAX], output[PATH_MAX];
    struct progress progress;
    struct buffer out;
};

/* ---- Runs ---- */

static int write_kept(const struct bisect *bisect, const bool *kept, struct error *error)
{
    struct choices some = {0};
    struct buffer text = {0};
    for (size_t i = 0; i < bisect->all.count; i++) {
        if (kept[i])
            choices_add(&some, &bisect->all.list[i]);
    }
    choices_write(&some, &text);
    choices_free(&some);
    FILE *file = text.failed ? NULL : fopen(bisect->choices, "we");
    bool written = file && fwrite(text.data, 1, text.size, file) == text.size;
    if (file && fclose(file) != 0)
        written = false;
    buffer_free(&text);
    return written ? 0 : error_set_errno(error, "%s", bisect->choices);
}

static void add_record(const struct bisect *bisect, struct child *child, const char *trace)
{
    static const char *const first[] = {
        "hindsight", "record", "--pace", "fast", "--serial", "null"};
    for (size_t i = 0; i < sizeof first / sizeof first[0]; i++)
        child_add(child, first[i]);
    child_add(child, "--like");
    child_add(child, bisect->bad);
    if (bisect->store) {
        child_add(child, "--store");
        child_add(child, bisect->store);
    }
    for (unsigned i = 0; i < bisect->option_count; i++)
        child_add(child, bisect->option[i]);
    if (bisect->rootfs.root) {
        child_add(child, "--disk");
        child_add(child, bisect->disk);
        child_add(child, "--plain-status");
    }
    child_add(child, "-o");
    child_add(child, trace);
}

static int read_end(const char *path, struct trace_info *info, struct error *error)
{
    struct trace_reader *reader;
    int result = trace_reader_open(&reader, path, error);
    if (result < 0)
        return result;
    trace_reader_info(reader, info);
    trace_reader_close(reader);
    if (!info->complete)
        return error_set(error, "%s: the recording was cut off: how it ended is not known", path);
    return 0;
}

/* Exit status of a recording, as the trace tells it: a command may end with one of hindsight's own.
 * -1: it could not be made. */
static int run_record(
    struct bisect *bisect, struct child *child, const char *trace, struct error *error)
{
    struct trace_info info;
    struct error ignored;
    child->output = bisect->output;
    unlink(trace);
    if (child_run(child, &bisect->interrupted, error) < 0)
        return -1;
    if (read_end(trace, &info, &ignored) == 0 && outcome_of_end(&info.end).kind != OUTCOME_HOST)
        return info.end.guest_status;
    char line[300];
    child_last_line(child, line, sizeof line);
    return error_set(error, "%s: the run cannot be recorded anew: %s", bisect->bad, line);
}

/* The exit status of a run with these choices alone. `trace`, `note`: where it is kept, or NULL. */
static int run_with(struct bisect *bisect, const bool *kept, const char *trace, const char *note,
    struct error *error)
{
    struct child child = {0};
    if (write_kept(bisect, kept, error) < 0)
        return -1;
    add_record(bisect, &child, trace ? trace : bisect->trace);
    child_add(&child, "--max-time");
    child_add(&child, bisect->max_time);
    child_add(&child, "--choices");
    child_add(&child, bisect->choices);
    if (!trace)
        child_add(&child, "--no-checks");
    if (note) {
        child_add(&child, "--note-choices");
        child_add(&child, note);
    }
    bisect->runs++;
    progress_show(&bisect->progress, bisect->runs, bisect->most);
    return run_record(bisect, &child, trace ? trace : bisect->trace, error);
}

/* For the search: 1 when it ends as BAD does. */
static int still_fails(void *context, const bool *kept, struct error *error)
{
    struct bisect *bisect = context;
    if (bisect->runs >= bisect->most)
        return SUBSET_STOP;
    int status = run_with(bisect, kept, NULL, NULL, error);
    return status < 0 ? -1 : status == bisect->wanted;
}

/* 1 when it does, and not without the decisive choice: another failure, that an earlier choice
 * brings about by chance, is not what is looked for. */
static int still_decides(void *context, const bool *kept, struct error *error)
{
    struct bisect *bisect = context;
    int fails = still_fails(bisect, kept, error);
    if (fails != 1)
        return fails;
    memcpy(bisect->without, kept, bisect->all.count);
    bisect->without[bisect->decisive] = false;
    int other = still_fails(bisect, bisect->without, error);
    return other == 0 || other == 1 ? !other : other;
}

/* ---- What there is to narrow ---- */

/* The run again, by its seed: it has to be the same one. */
static int note_choices(struct bisect *bisect, struct error *error)
{
    struct trace_info bad, good, again;
    struct child child = {0};
    int result = read_end(bisect->bad, &bad, error);
    if (result == 0 && bisect->good)
        result = read_end(bisect->good, &good, error);
    if (result < 0)
        return -1;
    bisect->wanted = bad.end.guest_status;
    if (bisect->good && good.end.guest_status == bisect->wanted)
        return error_set(error, "%s and %s end the same: exit status %d", bisect->bad, bisect->good,
            bisect->wanted);
    snprintf(bisect->own_max_time, sizeof bisect->own_max_time, "%.9fs",
        1.02 * (double)bad.end.virtual_time / 1e9);
    if (!bisect->max_time)
        bisect->max_time = bisect->own_max_time;
    add_record(bisect, &child, bisect->trace);
    child_add(&child, "--note-choices");
    child_add(&child, bisect->choices);
    bisect->runs++;
    if (run_record(bisect, &child, bisect->trace, error) < 0 ||
        read_end(bisect->trace, &again, error) < 0)
        return -1;
    if (again.end.guest_status != bisect->wanted || again.end_event != bad.end_event ||
        again.end.digest_size != bad.end.digest_size ||
        memcmp(again.end.digest, bad.end.digest, bad.end.digest_size) != 0)
        return error_set(error,
            "%s: recorded anew from its seed the run is another (exit status %d at event %" PRIu64
            ", not %d at %" PRIu64 "): something else than the seed decides it, such as what was "
            "typed, or options that have to be given again",
            bisect->bad, again.end.guest_status, again.end_event - 1, bisect->wanted,
            bad.end_event - 1);
    return cli_read_choices(bisect->choices, &bisect->all, error);
}

/* ---- What is told ---- */

static void put_choice(struct bisect *bisect, const struct choice *choice)
{
    if (choice->kind == CHOICE_TIMER)
        buffer_printf(&bisect->out,
            "  a timer fires early after event %" PRIu64 ": vCPU %u has retired %" PRIu64
            " instructions\n",
            choice->event, choice->vcpu, choice->insns);
    else
        buffer_printf(&bisect->out,
            "  a turn ends after event %" PRIu64 ": vCPU %u has retired %" PRIu64
            " instructions, and vCPU %u runs\n",
            choice->event, choice->vcpu, choice->insns, choice->to);
}

/* What a process that names places is told besides. */
static void add_names(const struct bisect *bisect, struct child *child)
{
    if (bisect->store) {
        child_add(child, "--store");
        child_add(child, bisect->store);
    }
    for (unsigned i = 0; i < bisect->prelude.count; i++) {
        child_add(child, "-ex");
        child_add(child, bisect->prelude.command[i]);
    }
}

/* Where the vCPU was that a choice interrupted. */
static int put_place(
    struct bisect *bisect, const char *trace, const struct choice *choice, struct error *error)
{
    char seek[48];
    snprintf(seek, sizeof seek, "seek %" PRIu64, choice->event);
    struct child child = {
        .word = {"hindsight", "debug", trace, "--batch"}, .count = 4, .output = bisect->output};
    add_names(bisect, &child);
    child_add(&child, "-ex");
    child_add(&child, seek);
    child_add(&child, "-ex");
    child_add(&child, "backtrace 4");
    int status = child_run(&child, &bisect->interrupted, error);
    char line[300];
    if (status > 0) {
        child_last_line(&child, line, sizeof line);
        buffer_printf(&bisect->out, "    %s\n", line);
    } else if (status == 0) {
        child_put_lines(&child, "#", "    ", &bisect->out);
    }
    return status < 0 ? -1 : 0;
}

/* The one that decides, and those before it. */
static int put_choices(
    struct bisect *bisect, const char *trace, const char *note, struct error *error)
{
    struct choices made = {0};
    int result = cli_read_choices(note, &made, error);
    if (result == 0 && made.count == 0)
        result = error_set(error, "%s: no choice was made", note);
    if (result == 0) {
        buffer_printf(&bisect->out, "what decides:\n");
        put_choice(bisect, &made.list[made.count - 1]);
        result = put_place(bisect, trace, &made.list[made.count - 1], error);
    }
    if (made.count > 1)
        buffer_printf(&bisect->out, "what has to be before it, so that it comes where it does:\n");
    for (size_t i = 0; i + 1 < made.count && i < SHOWN && result == 0; i++)
        put_choice(bisect, &made.list[i]);
    if (made.count > SHOWN + 1)
        buffer_printf(&bisect->out, "  and %zu more\n", made.count - 1 - SHOWN);
    choices_free(&made);
    return result;
}

static int put_diff(struct bisect *bisect, const char *bad, const char *good, struct error *error)
{
    struct child child = {
        .word = {"hindsight", "diff", bad, good}, .count = 4, .output = bisect->output};
    add_names(bisect, &child);
    buffer_printf(&bisect->out, "where they part, A %s, B %s:\n", bad, good);
    int status = child_run(&child, &bisect->interrupted, error);
    if (status >= 0)
        child_put_lines(&child, NULL, "  ", &bisect->out);
    return status < 0 ? -1 : 0;
}

/* Records the two runs that are left and says what decides. */
static int tell(struct bisect *bisect, bool *kept, bool finished, struct error *error)
{
    char bad[PATH_MAX], good[PATH_MAX], note[PATH_MAX];
    size_t count = 0;
    for (size_t i = 0; i < bisect->all.count; i++)
        count += kept[i];
    snprintf(bad, sizeof bad, "%s/bad.hst", bisect->folder);
    snprintf(good, sizeof good, "%s/good.hst", bisect->folder);
    snprintf(note, sizeof note, "%s/choices", bisect->folder);
    int with = run_with(bisect, kept, bad, note, error);
    kept[bisect->decisive] = false;
    int without = with < 0 ? -1 : run_with(bisect, kept, good, NULL, error);
    if (with < 0 || without < 0)
        return -1;
    if (with != bisect->wanted || without == bisect->wanted) {
        buffer_printf(&bisect->out,
            "--runs ended the search before one choice was found: after %" PRIu64
            " runs the exit status is %d with the last one tried, %d without\n",
            bisect->runs, with, without);
        return 0;
    }
    buffer_printf(&bisect->out,
        "one choice decides it: with it exit status %d, without it %d; %zu of the %zu others have "
        "to be as the seed made them; found by %" PRIu64 " runs%s\n",
        with, without, count - 1, bisect->all.count - 1, bisect->runs,
        finished ? "" : " (--runs ended the search: fewer may do)");
    return put_choices(bisect, bad, note, error) < 0 || put_diff(bisect, bad, good, error) < 0 ? -1
                                                                                               : 1;
}

/* ---- The search ---- */

/* 1: narrowed down, 0: there is nothing to narrow, or not enough runs to, -1. */
static int narrow(struct bisect *bisect, bool *kept, struct error *error)
{
    const size_t count = bisect->all.count;
    int all = run_with(bisect, kept, NULL, NULL, error);
    memset(kept, false, count);
    int none = all < 0 ? -1 : run_with(bisect, kept, NULL, NULL, error);
    if (all < 0 || none < 0)
        return -1;
    buffer_printf(&bisect->out,
        "%s: exit status %d; the seed made %zu choices, and without any the exit status is %d%s\n",
        bisect->bad, bisect->wanted, count, none,
        none == OUTCOME_STATUS_LIMIT ? " (--max-time is reached)" : "");
    if (all != bisect->wanted) {
        buffer_printf(&bisect->out,
            "with all of them it is %d: what the seed decides besides them (entropy, store "
            "buffers, the order of what happens at once) decides this, too\n",
            all);
        return 0;
    }
    if (none == bisect->wanted) {
        buffer_printf(
            &bisect->out, "the choices do not decide it: it ends like this without them\n");
        return 0;
    }
    memset(kept, true, count);
    int finished = subset_cut_tail(kept, count, still_fails, bisect, error);
    while (bisect->decisive + 1 < count && kept[bisect->decisive + 1])
        bisect->decisive++;
    if (finished == 0)
        finished = subset_minimize(kept, bisect->decisive, count, still_decides, bisect, error);
    if (finished < 0)
        return -1;
    return tell(bisect, kept, finished == 1, error);
}

static int search(struct bisect *bisect, struct error *error)
{
    if (note_choices(bisect, error) < 0)
        return -1;
    bool *kept = malloc(bisect->all.count + 1);
    bisect->without = malloc(bisect->all.count + 1);
    int result = kept && bisect->without ? 0 : error_set(error, "out of memory");
    if (result == 0) {
        memset(kept, true, bisect->all.count);
        result = narrow(bisect, kept, error);
    }
    free(kept);
    free(bisect->without);
    return result;
}

/* The disk of a command's run: of the same folder the same. */
static int make_disk(struct bisect *bisect, struct error *error)
{
    if (!bisect->rootfs.root)
        return 0;
    if (rootfs_make_disk(&bisect->rootfs, bisect->folder, error) < 0)
        return -1;
    rootfs_disk_option(&bisect->rootfs, bisect->disk, sizeof bisect->disk);
    return 0;
}

static int work(struct bisect *bisect)
{
    struct error error;
    char folder[] = "/tmp/hindsight-bisect-XXXXXX";
    if ((mkdir(bisect->folder, 0777) < 0 && errno != EEXIST) || !mkdtemp(folder)) {
        error_set_errno(&error, "%s", bisect->folder);
        return cli_fail(STATUS_HOST, &error);
    }
    snprintf(bisect->choices, PATH_MAX, "%s/choices", folder);
    snprintf(bisect->trace, PATH_MAX, "%s/run.hst", folder);
    snprintf(bisect->output, PATH_MAX, "%s/output", folder);
    int result = make_disk(bisect, &error);
    if (result == 0)
        result = search(bisect, &error);
    rootfs_remove(&bisect->rootfs);
    progress_end(&bisect->progress);
    unlink(bisect->choices);
    unlink(bisect->trace);
    unlink(bisect->output);
    rmdir(folder);
    choices_free(&bisect->all);
    prelude_free(&bisect->prelude);
    bool printed = cli_print(&bisect->out);
    buffer_free(&bisect->out);
    if (bisect->interrupted)
        return 128 + bisect->interrupted;
    if (result < 0)
        return cli_fail(STATUS_HOST, &error);
    return !printed ? STATUS_HOST : result == 1 ? STATUS_OK : STATUS_ERROR;
}

/* ---- The command line ---- */

static int parse_runs(struct bisect *bisect, const char *text)
{
    char *end;
    bisect->most = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || bisect->most < 4)
        return cli_usage("bisect", "--runs %s: a number of at least 4", text);
    return STATUS_OK;
}

static int pass_on(struct bisect *bisect, const char *name, const char *value)
{
    if (bisect->option_count + 2 > OPTIONS_MAX)
        return cli_usage("bisect", "too many options");
    bisect->option[bisect->option_count++] = name;
    if (value)
        bisect->option[bisect->option_count++] = value;
    return STATUS_OK;
}

static bool is_flag(const char *name)
{
    return strcmp(name, "--no-fail-on") == 0 || strcmp(name, "--fail-fast") == 0 ||
           strcmp(name, "--plain-status") == 0;
}

static int take_size(struct bisect *bisect, const char *text)
{
    struct error error;
    return parse_size(text, &bisect->rootfs.size, &error) < 0
               ? cli_usage("bisect", "--root-size %s", error.text)
               : STATUS_OK;
}

static int take_name(struct bisect *bisect, const char *name, const char *value)
{
    struct error error;
    int result = strcmp(name, "-ex") == 0 ? prelude_command(&bisect->prelude, value, &error)
                                          : prelude_symbols(&bisect->prelude, value, &error);
    return result < 0 ? cli_usage("bisect", "%s", error.text) : STATUS_OK;
}

static int take_option(struct bisect *bisect, const char *name, const char *value)
{
    if (strcmp(name, "-o") == 0)
        bisect->folder = value;
    else if (strcmp(name, "--store") == 0)
        bisect->store = value;
    else if (strcmp(name, "--max-time") == 0)
        bisect->max_time = value;
    else if (strcmp(name, "--runs") == 0)
        return parse_runs(bisect, value);
    else if (strcmp(name, "--root") == 0)
        bisect->rootfs.root = value;
    else if (strcmp(name, "--root-size") == 0)
        return take_size(bisect, value);
    else if (strcmp(name, "--fail-on") == 0 || strcmp(name, "--hang") == 0 ||
             strcmp(name, "--disk") == 0)
        return pass_on(bisect, name, value);
    else if (strcmp(name, "--symbols") == 0 || strcmp(name, "-ex") == 0)
        return take_name(bisect, name, value);
    else
        return cli_usage("bisect", "'%s' is not understood", name);
    return STATUS_OK;
}

int cli_bisect(int argc, char **argv)
{
    struct bisect bisect = {.most = 1000, .progress = {.label = "narrowing"}};
    int status = STATUS_OK;
    if (cli_wants_help(argc, argv))
        return cli_help(help);
    for (int i = 1; i < argc && status == STATUS_OK; i++) {
        if (is_flag(argv[i]))
            status = pass_on(&bisect, argv[i], NULL);
        else if (argv[i][0] == '-' && i + 1 < argc)
            status = take_option(&bisect, argv[i], argv[i + 1]), i++;
        else if (argv[i][0] == '-' || bisect.good)
            status = cli_usage("bisect", "'%s' is not understood", argv[i]);
        else if (bisect.bad)
            bisect.good = argv[i];
        else
            bisect.bad = argv[i];
    }
    if (status == STATUS_OK && (!bisect.bad || !bisect.folder))
        status = cli_usage("bisect", "give the trace of a failure, and -o DIR");
    return status == STATUS_OK ? work(&bisect) : status;
}
