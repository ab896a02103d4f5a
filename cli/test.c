/* hindsight test: replays kept traces, several at once, and says which are as they were recorded.
 */
#include "cli/cli.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/visible.h"
#include "cli/pool.h"
#include "cli/progress.h"

static const char help[] =
    "Usage: hindsight test DIR|TRACE.hst... [--jobs J] [--junit FILE]\n"
    "Replay the traces (of folders: all in them and below) and print as TAP which are identical "
    "to\n"
    "what was recorded. Beside NAME.hst there may be NAME.check, commands of the debugger that "
    "have\n"
    "to succeed, for example 'seek end' and 'assert nodes[30].owner == 1'. Exit status 0: all "
    "are,\n"
    "1: some are not.\n\n"
    "  --jobs J               traces at once; by default one for each processor\n"
    "  --junit FILE           the results as JUnit XML as well\n"
    "  --store DIR            where the boot files are of traces that only name them; by default\n"
    "                         ~/.local/share/hindsight\n";

enum { OPTION_JOBS = 1, OPTION_JUNIT, OPTION_STORE };

/* A trace is replayed first, and then looked at by its check. */
enum phase { PHASE_REPLAY, PHASE_CHECK, PHASE_COUNT };

struct test_case {
    char *trace, *check; /* check: NULL for none */
    int status;          /* of the first phase that failed, else 0 */
    enum phase phase;    /* of that */
    char *text;          /* what it printed; NULL for nothing */
    double started, seconds;
};

struct suite {
    struct test_case *test;
    size_t count, room, next, done;
    char folder[64];   /* for what the runs print */
    const char *store; /* NULL: the default one */
    struct progress progress;
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* ---- What there is to test ---- */

static bool ends_in(const char *text, const char *end)
{
    size_t length = strlen(text), wanted = strlen(end);
    return length > wanted && strcmp(text + length - wanted, end) == 0;
}

static char *check_of(const char *trace)
{
    char path[PATH_MAX];
    int stem = (int)(strlen(trace) - (ends_in(trace, ".hst") ? 4 : 0));
    snprintf(path, sizeof path, "%.*s.check", stem, trace);
    return access(path, F_OK) == 0 ? strdup(path) : NULL;
}

static int add_trace(struct suite *suite, const char *path, struct error *error)
{
    if (suite->count == suite->room) {
        size_t room = suite->room ? 2 * suite->room : 64;
        struct test_case *grown = realloc(suite->test, room * sizeof *grown);
        if (!grown)
            return error_set(error, "out of memory");
        suite->test = grown;
        suite->room = room;
    }
    struct test_case *test = &suite->test[suite->count++];
    *test = (struct test_case){.trace = strdup(path), .check = check_of(path)};
    return test->trace ? 0 : error_set(error, "out of memory");
}

static int add_path(struct suite *suite, const char *path, unsigned depth, struct error *error);

static int add_folder(struct suite *suite, const char *path, unsigned depth, struct error *error)
{
    enum { DEPTH_MAX = 16 };
    struct dirent **entries;
    if (depth == DEPTH_MAX)
        return error_set(error, "%s: folders more than %d deep", path, DEPTH_MAX);
    int count = scandir(path, &entries, NULL, alphasort), result = 0;
    if (count < 0)
        return error_set_errno(error, "%s", path);
    for (int i = 0; i < count; i++) {
        char below[PATH_MAX];
        snprintf(below, sizeof below, "%s/%s", path, entries[i]->d_name);
        struct stat info;
        if (result == 0 && entries[i]->d_name[0] != '.' && lstat(below, &info) == 0 &&
            (S_ISDIR(info.st_mode) || (S_ISREG(info.st_mode) && ends_in(below, ".hst"))))
            result = add_path(suite, below, depth + 1, error);
        free(entries[i]);
    }
    free(entries);
    return result;
}

static int add_path(struct suite *suite, const char *path, unsigned depth, struct error *error)
{
    struct stat info;
    if (stat(path, &info) < 0)
        return error_set_errno(error, "%s", path);
    return S_ISDIR(info.st_mode) ? add_folder(suite, path, depth, error)
                                 : add_trace(suite, path, error);
}

/* ---- The runs ---- */

static bool add_arguments(char **argv, size_t room, const struct suite *suite,
    const struct test_case *test, enum phase phase)
{
    bool replay = phase == PHASE_REPLAY;
    bool added = pool_add(argv, room, "hindsight") &&
                 pool_add(argv, room, replay ? "replay" : "debug") &&
                 pool_add(argv, room, test->trace);
    if (suite->store)
        added = added && pool_add(argv, room, "--store") && pool_add(argv, room, suite->store);
    if (replay)
        return added;
    return added && pool_add(argv, room, "--batch") && pool_add(argv, room, "-x") &&
           pool_add(argv, room, test->check);
}

/* The next trace, or the check of one that was replayed: `number` is twice the trace's and one for
 * the check. */
static int next_run(void *context, struct pool_run *run, struct error *error)
{
    struct suite *suite = context;
    enum { ROOM = 10 };
    while (suite->next < PHASE_COUNT * suite->count && suite->next % PHASE_COUNT == PHASE_CHECK &&
           !suite->test[suite->next / PHASE_COUNT].check)
        suite->next++;
    if (suite->next >= PHASE_COUNT * suite->count)
        return 0;
    run->number = suite->next++;
    struct test_case *test = &suite->test[run->number / PHASE_COUNT];
    enum phase phase = run->number % PHASE_COUNT;
    char output[128];
    snprintf(output, sizeof output, "%s/%" PRIu64, suite->folder, run->number);
    run->argv = pool_arguments(ROOM);
    run->output = strdup(output);
    if (phase == PHASE_REPLAY)
        test->started = now();
    if (run->argv && run->output && add_arguments(run->argv, ROOM, suite, test, phase))
        return 1;
    pool_run_free(run);
    return error_set(error, "out of memory");
}

/* The end of what was printed: that is where the reason stands. NULL for nothing. */
static char *read_end(const char *path)
{
    enum { MOST = 4000 };
    FILE *file = fopen(path, "re");
    if (!file)
        return NULL;
    char *text = calloc(1, MOST + 1);
    if (text && (fseek(file, -MOST, SEEK_END) == 0 || fseek(file, 0, SEEK_SET) == 0))
        text[fread(text, 1, MOST, file)] = '\0';
    fclose(file);
    return text;
}

static int run_ended(void *context, const struct pool_run *run, int status, struct error *error)
{
    struct suite *suite = context;
    struct test_case *test = &suite->test[run->number / PHASE_COUNT];
    (void)error;
    test->seconds = now() - test->started;
    if (status != 0 && test->status == 0) {
        test->status = status;
        test->phase = run->number % PHASE_COUNT;
        test->text = read_end(run->output);
    }
    unlink(run->output);
    progress_show(&suite->progress, ++suite->done, PHASE_COUNT * suite->count);
    return 0;
}

/* ---- Results ---- */

static const char *reason_of(const struct test_case *test)
{
    if (test->phase == PHASE_CHECK)
        return "its check fails";
    switch (test->status) {
    case STATUS_DIVERGED:
        return "the replay diverges";
    case STATUS_DAMAGED:
        return "the trace is damaged";
    case STATUS_MISSING:
        return "a boot file is not in the store";
    case STATUS_VERSION:
        return "the trace is of another version of the machine";
    default:
        return "it cannot be replayed";
    }
}

static void print_tap(const struct suite *suite, struct buffer *out)
{
    buffer_printf(out, "TAP version 13\n1..%zu\n", suite->count);
    for (size_t i = 0; i < suite->count; i++) {
        const struct test_case *test = &suite->test[i];
        buffer_printf(out, "%s %zu - %s\n", test->status ? "not ok" : "ok", i + 1, test->trace);
        if (!test->status)
            continue;
        buffer_printf(out, "# %s (status %d)\n", reason_of(test), test->status);
        for (char *rest = test->text, *line; rest && (line = strsep(&rest, "\n"));) {
            if (*line)
                buffer_printf(out, "# %s\n", line);
        }
    }
}

static void put_xml(struct buffer *out, const char *text)
{
    for (; text && *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (strchr("<>&\"'", byte))
            buffer_printf(out, "&#%u;", byte);
        else
            buffer_put_u8(
                out, (byte < 0x20 && byte != '\n' && byte != '\t') || byte > 0x7e ? '?' : byte);
    }
}

static void put_junit(const struct suite *suite, struct buffer *out)
{
    size_t failures = 0;
    double seconds = 0;
    for (size_t i = 0; i < suite->count; i++) {
        failures += suite->test[i].status != 0;
        seconds += suite->test[i].seconds;
    }
    buffer_printf(out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"hindsight\" tests=\"%zu\" "
        "failures=\"%zu\" time=\"%.3f\">\n",
        suite->count, failures, seconds);
    for (size_t i = 0; i < suite->count; i++) {
        const struct test_case *test = &suite->test[i];
        buffer_printf(out, "  <testcase classname=\"hindsight\" name=\"");
        put_xml(out, test->trace);
        buffer_printf(out, "\" time=\"%.3f\"", test->seconds);
        if (!test->status) {
            buffer_printf(out, "/>\n");
            continue;
        }
        buffer_printf(
            out, ">\n    <failure message=\"%s (status %d)\">", reason_of(test), test->status);
        put_xml(out, test->text);
        buffer_printf(out, "</failure>\n  </testcase>\n");
    }
    buffer_printf(out, "</testsuite>\n");
}

static int write_junit(const struct suite *suite, const char *path, struct error *error)
{
    struct buffer text = {0};
    put_junit(suite, &text);
    FILE *file = text.failed ? NULL : fopen(path, "we");
    bool written = file && fwrite(text.data, 1, text.size, file) == text.size;
    if (file && fclose(file) != 0)
        written = false;
    buffer_free(&text);
    return written ? 0 : error_set_errno(error, "%s", path);
}

static int report(const struct suite *suite, const char *junit)
{
    struct error error;
    struct buffer out = {0};
    print_tap(suite, &out);
    bool printed = cli_print(&out);
    buffer_free(&out);
    if (junit && write_junit(suite, junit, &error) < 0)
        return cli_fail(STATUS_HOST, &error);
    if (!printed)
        return STATUS_HOST;
    for (size_t i = 0; i < suite->count; i++) {
        if (suite->test[i].status)
            return STATUS_ERROR;
    }
    return STATUS_OK;
}

static int work(struct suite *suite, unsigned jobs, const char *junit)
{
    struct error error;
    snprintf(suite->folder, sizeof suite->folder, "/tmp/hindsight-test-XXXXXX");
    if (!mkdtemp(suite->folder)) {
        error_set_errno(&error, "%s", suite->folder);
        return cli_fail(STATUS_HOST, &error);
    }
    const struct pool pool = {.jobs = jobs, .next = next_run, .ended = run_ended, .context = suite};
    int result = pool_work(&pool, &error);
    progress_end(&suite->progress);
    rmdir(suite->folder);
    if (result < 0)
        return cli_fail(STATUS_HOST, &error);
    return result > 0 ? 128 + result : report(suite, junit);
}

static void free_suite(struct suite *suite)
{
    for (size_t i = 0; i < suite->count; i++) {
        free(suite->test[i].trace);
        free(suite->test[i].check);
        free(suite->test[i].text);
    }
    free(suite->test);
}

static int run_suite(char **paths, unsigned jobs, const char *junit, const char *store)
{
    struct error error;
    struct suite suite = {.store = store, .progress = {.label = "replaying"}};
    int status = STATUS_OK;
    for (; *paths && status == STATUS_OK; paths++) {
        if (add_path(&suite, *paths, 0, &error) < 0)
            status = cli_fail(STATUS_HOST, &error);
    }
    if (status == STATUS_OK && suite.count == 0)
        status = cli_usage("test", "there is no trace (*.hst) there");
    if (status == STATUS_OK)
        status = work(&suite, jobs, junit);
    free_suite(&suite);
    return status;
}

int cli_test(int argc, char **argv)
{
    static const struct option options[] = {{"jobs", required_argument, NULL, OPTION_JOBS},
        {"junit", required_argument, NULL, OPTION_JUNIT},
        {"store", required_argument, NULL, OPTION_STORE}, {0}};
    const char *junit = NULL, *store = NULL;
    unsigned long jobs = 0;
    int option;
    if (cli_wants_help(argc, argv))
        return cli_help(help);
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        char *end;
        if (option == OPTION_JUNIT) {
            junit = optarg;
        } else if (option == OPTION_STORE) {
            store = optarg;
        } else if (option == OPTION_JOBS) {
            jobs = strtoul(optarg, &end, 10);
            if (!isdigit((unsigned char)*optarg) || *end || jobs < 1 || jobs > 4096)
                return cli_usage("test", "--jobs %s: 1 to 4096", optarg);
        } else {
            return cli_usage("test", "bad option");
        }
    }
    if (optind == argc)
        return cli_usage("test", "give folders or traces");
    return run_suite(argv + optind, (unsigned)jobs, junit, store);
}
