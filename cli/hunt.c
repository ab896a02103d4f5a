/* hindsight hunt: records a machine with one seed after the other until what is looked for shows.
 */
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

#include "cli/hunt_log.h"
#include "cli/pool.h"
#include "cli/progress.h"
#include "cli/rootfs.h"
#include "traces/trace.h"
#include "vmm/boot/boot.h"
#include "vmm/machine/outcome.h"

static const char help[] =
    "Usage: hindsight hunt [MACHINE] --runs N -o DIR [OPTION]...\n"
    "       hindsight hunt --root DIR|TAR --runs N -o DIR [OPTION]... -- COMMAND...\n"
    "       hindsight hunt --merge DIR...\n"
    "Record a machine again and again, each time with another seed, which varies entropy, the "
    "turns\n"
    "of vCPUs and when timers fire; keep the traces of runs that fail, and one that does not. A\n"
    "hunt that was stopped goes on. Exit status 0: nothing was found, 1: something was.\n\n"
    "  --runs N               seeds to try\n"
    "  -o DIR                 where traces, output and the list of runs go\n"
    "  --until CONDITION      what is looked for: failure (default: panic, report, hang, shutdown "
    "or\n"
    "                         a guest's own status but 0 and 1), panic, report, shutdown, "
    "status=N,\n"
    "                         hang=TIME, console=REGEX; repeatable\n"
    "  --stop-after K         end after so many finds; by default all seeds are tried\n"
    "  --keep K               traces of finds to keep, 10 by default\n"
    "  --jobs J               runs at once; by default one for each processor\n"
    "  --seed N               the first seed, 1 by default\n"
    "  --shard I/N            try every Nth seed from the Ith on: what one of N machines does\n"
    "  --json                 the summary as JSON\n"
    "  --merge                add up what hunts in these folders found\n\n"
    "All of record's options but --share can be given; runs are with --chaos --pace fast --serial\n"
    "null. Of a command (see 'hindsight record --help') any status but 0 is a failure, and its\n"
    "disk is made once.\n";

enum { CONDITIONS_MAX = 16, ARGUMENTS_MAX = 256 };

struct condition {
    bool any_failure;
    int status; /* of record */
};

struct hunt {
    const char *folder;
    uint64_t runs, first, keep, stop_after, shard, shards;
    unsigned jobs;
    bool json, merge;
    struct condition condition[CONDITIONS_MAX];
    unsigned conditions;
    const char *machine[ARGUMENTS_MAX]; /* what is passed on to record */
    unsigned machine_count;
    struct rootfs rootfs;
    const char *kernel, *append; /* what the user gave of these, with --root */
    bool has_memory;
    unsigned disks;
    char disk[PATH_MAX + 32], line[BOOT_COMMAND_LINE_MAX + 64];

    struct hunt_log log;
    uint64_t next, kept, found, done;
    bool has_pass;
    struct progress progress;
};

/* ---- What is looked for ---- */

static bool is_failure(const struct hunt *hunt, int status)
{
    if (hunt->rootfs.root)
        return status != 0 && status != OUTCOME_STATUS_LIMIT;
    switch (status) {
    case OUTCOME_STATUS_PANIC:
    case OUTCOME_STATUS_REPORT:
    case OUTCOME_STATUS_HANG:
    case OUTCOME_STATUS_SHUTDOWN:
        return true;
    default:
        return status % 2 == 1 && status != 1 && status != OUTCOME_STATUS_HOST;
    }
}

static bool is_found(const struct hunt *hunt, int status)
{
    for (unsigned i = 0; i < hunt->conditions; i++) {
        const struct condition *condition = &hunt->condition[i];
        if (condition->any_failure ? is_failure(hunt, status) : condition->status == status)
            return true;
    }
    return false;
}

static int pass_on(struct hunt *hunt, const char *argument, struct error *error)
{
    if (hunt->machine_count == ARGUMENTS_MAX)
        return error_set(error, "more than %d options", ARGUMENTS_MAX);
    hunt->machine[hunt->machine_count++] = argument;
    return 0;
}

static int parse_status(const char *text, int *status)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || errno || value > 255)
        return -1;
    *status = (int)value;
    return 0;
}

static int add_condition(struct hunt *hunt, const char *text, struct error *error)
{
    struct condition condition = {.status = -1};
    const char *value = strchr(text, '=');
    if (hunt->conditions == CONDITIONS_MAX)
        return error_set(error, "more than %d conditions", CONDITIONS_MAX);
    if (strcmp(text, "failure") == 0)
        condition.any_failure = true;
    else if (strcmp(text, "panic") == 0)
        condition.status = OUTCOME_STATUS_PANIC;
    else if (strcmp(text, "report") == 0)
        condition.status = OUTCOME_STATUS_REPORT;
    else if (strcmp(text, "shutdown") == 0)
        condition.status = OUTCOME_STATUS_SHUTDOWN;
    else if (strncmp(text, "status=", 7) == 0 && parse_status(value + 1, &condition.status) == 0)
        ;
    else if (strncmp(text, "hang=", 5) == 0) {
        condition.status = OUTCOME_STATUS_HANG;
        if (pass_on(hunt, "--hang", error) < 0 || pass_on(hunt, value + 1, error) < 0)
            return -1;
    } else if (strncmp(text, "console=", 8) == 0) {
        condition.status = OUTCOME_STATUS_REPORT;
        if (pass_on(hunt, "--no-fail-on", error) < 0 || pass_on(hunt, "--fail-fast", error) < 0 ||
            pass_on(hunt, "--fail-on", error) < 0 || pass_on(hunt, value + 1, error) < 0)
            return -1;
    } else {
        return error_set(error,
            "--until %s: failure, panic, report, shutdown, status=N, hang=TIME or console=REGEX",
            text);
    }
    hunt->condition[hunt->conditions++] = condition;
    return 0;
}

/* ---- One run ---- */

static void path_of(
    const struct hunt *hunt, const char *kind, uint64_t seed, const char *end, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s-%" PRIu64 "%s", hunt->folder, kind, seed, end);
}

static bool add_run_arguments(
    const struct hunt *hunt, char **argv, size_t room, uint64_t seed, const char *trace)
{
    char number[24];
    snprintf(number, sizeof number, "%" PRIu64, seed);
    const char *const fixed[] = {
        "hindsight", "record", "--pace", "fast", "--serial", "null", "--chaos"};
    const char *const own[] = {"--seed", number, "-o", trace};
    bool added = true;
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        added = added && pool_add(argv, room, fixed[i]);
    for (unsigned i = 0; i < hunt->machine_count; i++)
        added = added && pool_add(argv, room, hunt->machine[i]);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        added = added && pool_add(argv, room, own[i]);
    return added;
}

static bool is_over(const struct hunt *hunt)
{
    return hunt->next >= hunt->runs || (hunt->stop_after && hunt->found >= hunt->stop_after);
}

static int next_run(void *context, struct pool_run *run, struct error *error)
{
    struct hunt *hunt = context;
    enum { OWN_ARGUMENTS = 16 };
    while (!is_over(hunt) && (hunt->next % hunt->shards != hunt->shard ||
                                 hunt_log_has(&hunt->log, hunt->first + hunt->next)))
        hunt->next++;
    if (is_over(hunt))
        return 0;
    char trace[PATH_MAX], output[PATH_MAX];
    run->number = hunt->first + hunt->next++;
    path_of(hunt, "run", run->number, ".hst", trace);
    path_of(hunt, "run", run->number, ".log", output);
    size_t room = hunt->machine_count + OWN_ARGUMENTS;
    run->argv = pool_arguments(room);
    run->output = strdup(output);
    if (run->argv && run->output && add_run_arguments(hunt, run->argv, room, run->number, trace))
        return 1;
    pool_run_free(run);
    return error_set(error, "out of memory");
}

/* The last line that the run printed: why it could not be. */
static void last_line(const char *path, char *line, size_t size)
{
    FILE *file = fopen(path, "re");
    line[0] = '\0';
    while (file && fgets(line, (int)size, file))
        line[strcspn(line, "\n")] = '\0';
    if (file)
        fclose(file);
}

static void keep_or_drop(
    const struct hunt *hunt, uint64_t seed, const char *kind, const char *end, bool keep)
{
    char from[PATH_MAX], to[PATH_MAX];
    path_of(hunt, "run", seed, end, from);
    path_of(hunt, kind, seed, end, to);
    if (!keep || rename(from, to) < 0)
        unlink(from);
}

/* These are the recorder's own, unless the trace says that they are the command's. */
static bool could_not_be(const struct hunt *hunt, uint64_t seed, int status)
{
    char trace[PATH_MAX];
    struct trace_reader *reader;
    struct trace_info info = {0};
    if (status != STATUS_USAGE && status != OUTCOME_STATUS_HOST && status != 127)
        return false;
    path_of(hunt, "run", seed, ".hst", trace);
    if (!hunt->rootfs.root || trace_reader_open(&reader, trace, NULL) < 0)
        return true;
    trace_reader_info(reader, &info);
    trace_reader_close(reader);
    return !info.complete || outcome_of_end(&info.end).kind != OUTCOME_STATUS;
}

static int run_ended(void *context, const struct pool_run *run, int status, struct error *error)
{
    struct hunt *hunt = context;
    if (could_not_be(hunt, run->number, status)) {
        char line[256];
        last_line(run->output, line, sizeof line);
        const char *text = strncmp(line, "hindsight: ", 11) == 0 ? line + 11 : line;
        unlink(run->output);
        return error_set(error, "seed %" PRIu64 " cannot be recorded: %s", run->number, text);
    }
    const struct hunt_run entry = {run->number, status, is_found(hunt, status)};
    bool keep = entry.failed ? hunt->kept < hunt->keep : !hunt->has_pass;
    const char *kind = entry.failed ? "fail" : "pass";
    keep_or_drop(hunt, run->number, kind, ".hst", keep);
    keep_or_drop(hunt, run->number, kind, ".log", keep);
    hunt->kept += entry.failed && keep;
    hunt->found += entry.failed;
    hunt->has_pass |= !entry.failed;
    hunt->done++;
    progress_show(&hunt->progress, hunt->done, hunt->runs / hunt->shards);
    return hunt_log_add(&hunt->log, &entry, error);
}

/* ---- Summary ---- */

static const struct hunt_run *first_found(const struct hunt_log *log)
{
    for (size_t i = 0; i < log->count; i++) {
        if (log->run[i].failed)
            return &log->run[i];
    }
    return NULL;
}

static void print_statuses(const struct hunt_log *log, bool json, struct buffer *out)
{
    const char *separator = "";
    for (int status = 0; status < 256; status++) {
        uint64_t count = 0;
        for (size_t i = 0; i < log->count; i++)
            count += log->run[i].status == status;
        if (!count)
            continue;
        buffer_printf(
            out, json ? "%s\"%d\": %" PRIu64 : "%s%3d: %" PRIu64, separator, status, count);
        separator = json ? ", " : ", status ";
    }
}

static void print_json(const struct hunt_log *log, struct buffer *out)
{
    struct hunt_rate rate = hunt_rate(log);
    const struct hunt_run *first = first_found(log);
    buffer_printf(out,
        "{\"runs\": %" PRIu64 ", \"failed\": %" PRIu64
        ", \"rate\": %.6f, \"low\": %.6f, \"high\": %.6f, \"first_seed\": ",
        rate.runs, rate.failed, rate.rate, rate.low, rate.high);
    if (first)
        buffer_printf(out, "%" PRIu64, first->seed);
    else
        buffer_printf(out, "null");
    buffer_printf(out, ", \"statuses\": {");
    print_statuses(log, true, out);
    buffer_printf(out, "}}\n");
}

static void print_text(const struct hunt_log *log, const struct hunt *hunt, struct buffer *out)
{
    struct hunt_rate rate = hunt_rate(log);
    const struct hunt_run *first = first_found(log);
    buffer_printf(out,
        "%" PRIu64 " runs, %" PRIu64
        " found: %.2f %%, with 95 %% confidence between %.2f and %.2f %%\n",
        rate.runs, rate.failed, rate.rate * 100, rate.low * 100, rate.high * 100);
    if (rate.runs) {
        buffer_printf(out, "runs by exit status: status ");
        print_statuses(log, false, out);
        buffer_printf(out, "\n");
    }
    if (first && hunt->folder)
        buffer_printf(out, "the first is seed %" PRIu64 "; traces are %s/fail-SEED.hst\n",
            first->seed, hunt->folder);
}

static int summarize(const struct hunt *hunt, int signal_number)
{
    struct buffer out = {0};
    if (hunt->json)
        print_json(&hunt->log, &out);
    else
        print_text(&hunt->log, hunt, &out);
    bool printed = cli_print(&out);
    buffer_free(&out);
    if (signal_number)
        return 128 + signal_number;
    return printed ? first_found(&hunt->log) != NULL : STATUS_HOST;
}

/* ---- The command line ---- */

static int parse_count(
    const char *name, const char *text, uint64_t least, uint64_t *value, struct error *error)
{
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || errno || *value < least)
        return error_set(error, "%s %s: a number of at least %" PRIu64, name, text, least);
    return 0;
}

static int parse_shard(struct hunt *hunt, const char *text, struct error *error)
{
    int end = 0;
    uint64_t index, count;
    if (!isdigit((unsigned char)*text) ||
        sscanf(text, "%" SCNu64 "/%" SCNu64 "%n", &index, &count, &end) != 2 || text[end] ||
        index < 1 || index > count)
        return error_set(error, "--shard %s: I/N, with I from 1 to N", text);
    hunt->shard = index - 1;
    hunt->shards = count;
    return 0;
}

/* One of hunt's own options with a value: 1, or 0 for another's, or -1. */
static int own_option(struct hunt *hunt, const char *name, const char *value, struct error *error)
{
    uint64_t number = 0;
    int result;
    if (strcmp(name, "--runs") == 0)
        result = parse_count(name, value, 1, &hunt->runs, error);
    else if (strcmp(name, "--jobs") == 0)
        result = parse_count(name, value, 1, &number, error);
    else if (strcmp(name, "--seed") == 0)
        result = parse_count(name, value, 0, &hunt->first, error);
    else if (strcmp(name, "--keep") == 0)
        result = parse_count(name, value, 0, &hunt->keep, error);
    else if (strcmp(name, "--stop-after") == 0)
        result = parse_count(name, value, 1, &hunt->stop_after, error);
    else if (strcmp(name, "--until") == 0)
        result = add_condition(hunt, value, error);
    else if (strcmp(name, "--shard") == 0)
        result = parse_shard(hunt, value, error);
    else if (strcmp(name, "-o") == 0)
        hunt->folder = value, result = 0;
    else
        return 0;
    if (number > 4096)
        return error_set(error, "--jobs %s: at most 4096", value);
    if (number)
        hunt->jobs = (unsigned)number;
    return result < 0 ? -1 : 1;
}

static bool flag(struct hunt *hunt, const char *name)
{
    if (strcmp(name, "--json") == 0)
        hunt->json = true;
    else if (strcmp(name, "--merge") == 0)
        hunt->merge = true;
    else
        return false;
    return true;
}

/* One of --root's options, or what --root makes itself: 1, or 0 for another's, or -1. */
static int root_option(struct hunt *hunt, const char *name, const char *value, struct error *error)
{
    static const struct option options[] = {ROOTFS_OPTIONS, {0}};
    for (const struct option *option = options; option->name; option++) {
        if (strncmp(name, "--", 2) == 0 && strcmp(name + 2, option->name) == 0)
            return rootfs_option(&hunt->rootfs, option->val, value, error);
    }
    hunt->has_memory |= strcmp(name, "--memory") == 0;
    hunt->disks += strcmp(name, "--disk") == 0;
    if (strcmp(name, "--kernel") == 0)
        hunt->kernel = value;
    else if (strcmp(name, "--append") == 0)
        hunt->append = value;
    else
        return 0;
    return 1;
}

static int parse(struct hunt *hunt, int argc, char **argv, struct error *error)
{
    for (int i = 1; i < argc; i++) {
        if (flag(hunt, argv[i]))
            continue;
        if (strcmp(argv[i], "--") == 0) {
            hunt->rootfs.command = argv + i + 1;
            break;
        }
        char *equals = strncmp(argv[i], "--", 2) == 0 ? strchr(argv[i], '=') : NULL;
        const char *value = equals ? equals + 1 : i + 1 < argc ? argv[i + 1] : NULL;
        if (equals)
            *equals = '\0';
        int own = value ? own_option(hunt, argv[i], value, error) : 0;
        if (value && own == 0)
            own = root_option(hunt, argv[i], value, error);
        if (equals)
            *equals = '=';
        if (own < 0)
            return -1;
        if (own > 0)
            i += equals ? 0 : 1;
        else if (pass_on(hunt, argv[i], error) < 0)
            return -1;
    }
    return 0;
}

static int pass_on_pair(struct hunt *hunt, const char *name, const char *value, struct error *error)
{
    if (!value)
        return 0;
    return pass_on(hunt, name, error) < 0 || pass_on(hunt, value, error) < 0 ? -1 : 0;
}

/* The machine of all the runs: with --root its disk and its initramfs, which they share. */
static int make_machine(struct hunt *hunt, struct error *error)
{
    struct rootfs *rootfs = &hunt->rootfs;
    if (!rootfs->root)
        return pass_on_pair(hunt, "--kernel", hunt->kernel, error) < 0
                   ? -1
                   : pass_on_pair(hunt, "--append", hunt->append, error);
    if (rootfs_make(rootfs, hunt->disks, hunt->folder, error) < 0)
        return -1;
    rootfs_disk_option(rootfs, hunt->disk, sizeof hunt->disk);
    rootfs_command_line(hunt->append ? hunt->append : "", hunt->line, sizeof hunt->line);
    if (!hunt->has_memory && pass_on_pair(hunt, "--memory", ROOTFS_MEMORY, error) < 0)
        return -1;
    if (pass_on_pair(hunt, "--kernel", rootfs->kernel, error) < 0 ||
        pass_on_pair(hunt, "--initrd", rootfs->initrd, error) < 0 ||
        pass_on_pair(hunt, "--disk", hunt->disk, error) < 0 ||
        pass_on_pair(hunt, "--append", hunt->line, error) < 0)
        return -1;
    return pass_on(hunt, "--plain-status", error);
}

static int check_command(const struct hunt *hunt, struct rootfs *rootfs, struct error *error)
{
    if (rootfs->share)
        return error_set(error, "--share is for one run: record it again with its seed");
    if (!rootfs->root && rootfs->command && rootfs->command[0])
        return error_set(error, "'%s' is not understood", rootfs->command[0]);
    return rootfs_check(rootfs, hunt->kernel, error);
}

static int merge(struct hunt *hunt)
{
    struct error error;
    if (hunt->machine_count == 0)
        return cli_usage("hunt", "--merge: give folders of hunts");
    for (unsigned i = 0; i < hunt->machine_count; i++) {
        if (hunt_log_merge(&hunt->log, hunt->machine[i], &error) < 0) {
            hunt_log_close(&hunt->log);
            return cli_fail(STATUS_HOST, &error);
        }
    }
    int status = summarize(hunt, 0);
    hunt_log_close(&hunt->log);
    return status;
}

static int work(struct hunt *hunt)
{
    struct error error;
    if (mkdir(hunt->folder, 0777) < 0 && errno != EEXIST) {
        error_set_errno(&error, "%s", hunt->folder);
        return cli_fail(STATUS_HOST, &error);
    }
    if (hunt_log_open(&hunt->log, hunt->folder, true, &error) < 0) {
        hunt_log_close(&hunt->log);
        return cli_fail(STATUS_HOST, &error);
    }
    struct hunt_rate before = hunt_rate(&hunt->log);
    hunt->done = before.runs;
    hunt->found = hunt->kept = before.failed;
    hunt->has_pass = before.failed < before.runs;
    const struct pool pool = {
        .jobs = hunt->jobs, .next = next_run, .ended = run_ended, .context = hunt};
    int result = make_machine(hunt, &error);
    if (result == 0)
        result = pool_work(&pool, &error);
    rootfs_remove(&hunt->rootfs);
    progress_end(&hunt->progress);
    int status = result < 0 ? cli_fail(STATUS_HOST, &error) : summarize(hunt, result);
    hunt_log_close(&hunt->log);
    return status;
}

int cli_hunt(int argc, char **argv)
{
    struct error error;
    struct hunt hunt = {.first = 1, .keep = 10, .shards = 1, .progress = {.label = "hunting"}};
    if (cli_wants_help(argc, argv))
        return cli_help(help);
    if (parse(&hunt, argc, argv, &error) < 0)
        return cli_usage("hunt", "%s", error.text);
    if (hunt.merge)
        return merge(&hunt);
    if (!hunt.runs || !hunt.folder)
        return cli_usage("hunt", "give --runs N and -o DIR");
    if (check_command(&hunt, &hunt.rootfs, &error) < 0)
        return cli_usage("hunt", "%s", error.text);
    if (hunt.conditions == 0 && add_condition(&hunt, "failure", &error) < 0)
        return cli_usage("hunt", "%s", error.text);
    return work(&hunt);
}
