/* hindsight debug: the time-travel debugger on a terminal, or over a script. */
#include "cli/cli.h"
#include "cli/line_editor.h"
#include "cli/pager.h"
#include "cli/roles.h"

#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/visible.h"
#include "debugger/debugger.h"
#include "vmm/host/confine.h"
#include "base/parse.h"

static const char help[] =
    "Usage: hindsight debug TRACE.hst [-ex COMMAND]... [-x FILE]... [--batch] [--cache SIZE]\n"
    "                       [--warm | --cache-file FILE]\n"
    "Walk through a recorded run in both directions. 'help' inside lists the commands.\n\n"
    "  -ex, --eval-command COMMAND  execute it first; may be given more than once\n"
    "  -x, --command FILE           execute the file's commands first\n"
    "  --batch                      end after these; status 1 when one of them failed\n"
    "  --cache SIZE                 memory for checkpoints, 512M by default\n"
    "  --warm                       keep checkpoints in TRACE.hst.cache for the next session\n"
    "  --cache-file FILE            keep them in this file\n"
    "  --store DIR            where its boot files are if it only names them\n"
    "  --memory-limit SIZE    RAM that the trace may ask for; three quarters of the host's by\n"
    "                         default\n"
    "  --any-version                also when another version of the machine made the trace\n";

enum {
    OPTION_EX = 1,
    OPTION_X,
    OPTION_BATCH,
    OPTION_CACHE,
    OPTION_WARM,
    OPTION_CACHE_FILE,
    OPTION_ANY_VERSION,
    OPTION_MEMORY_LIMIT,
    OPTION_STORE
};
enum { MAX_SCRIPTS = 256 };

struct script {
    bool is_file;
    const char *text;
};

static struct debugger *volatile running;
static void on_interrupt(int number)
{
    (void)number;
    if (running)
        debugger_interrupt(running);
    else
        line_editor_interrupt();
}

/* By pages where there is a pager; what runs stops when the person wants no more. */
static void write_out(void *context, struct buffer *output)
{
    struct pager *pager = context;
    if (!pager || output->failed)
        cli_print_shown(output);
    else if (!pager_print(pager, output) && running)
        debugger_interrupt(running);
    buffer_clear(output);
}

/* What was executed printed or failed: both are shown. */
static int execute(struct debugger *debugger, const struct script *script, struct pager *pager)
{
    struct error error = {""};
    running = debugger;
    debugger_set_flush(debugger, write_out, pager);
    int result = script->is_file ? debugger_source(debugger, script->text, &error)
                                 : debugger_execute(debugger, script->text, &error);
    write_out(pager, debugger_output(debugger));
    running = NULL;
    if (pager && pager->quit) {
        fprintf(stderr, "Quit\n");
    } else if (result < 0) {
        text_make_visible(error.text, sizeof error.text);
        fprintf(stderr, "%s\n", error.text);
        fflush(stderr);
    }
    return result;
}

/* ---- The terminal ---- */

static char *read_line(struct debugger *debugger, bool terminal)
{
    char prompt[128];
    if (terminal) {
        debugger_prompt(debugger, prompt, sizeof prompt);
        return line_editor_read(prompt);
    }
    char *line = NULL;
    size_t size = 0;
    if (getline(&line, &size, stdin) < 0) {
        free(line);
        return NULL;
    }
    line[strcspn(line, "\n")] = '\0';
    return line;
}

/* Between prompts on a terminal; never for scripts and pipes. */
static struct pager *start_page(const struct debugger *debugger, struct pager *pager)
{
    struct winsize size = {0};
    if (!isatty(STDIN_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
        return NULL;
    unsigned height = size.ws_row, width = size.ws_col;
    if (!debugger_page(debugger, &height, &width))
        return NULL;
    pager_start(pager, height, width);
    return pager;
}

/* -1 when the commands could not be read to their end. */
static int interact(struct debugger *debugger)
{
    bool terminal = isatty(STDIN_FILENO);
    char *last = NULL, *line;
    struct pager pager;
    if (terminal)
        line_editor_start(debugger);
    while (!debugger_finished(debugger) && (line = read_line(debugger, terminal))) {
        if (terminal && *line)
            line_editor_remember(line);
        if (*line || !terminal) {
            free(last);
            last = line;
        } else {
            free(line);
        }
        const struct script script = {false, last ? last : ""};
        bool repeated = !last || (!*last);
        execute(debugger, &script, start_page(debugger, &pager));
        if (debugger_collects(debugger) || (!repeated && !debugger_repeats(last))) {
            free(last);
            last = NULL;
        }
    }
    if (terminal && !debugger_finished(debugger))
        putchar('\n');
    if (terminal)
        line_editor_end();
    free(last);
    if (terminal || debugger_finished(debugger) || feof(stdin))
        return 0;
    fprintf(stderr, "hindsight: standard input: no more of it can be read\n");
    return -1;
}

/* ---- The command ---- */

static void folder_of(const char *path, char folder[PATH_MAX], struct confine *confine)
{
    if (path && strlen(path) < PATH_MAX) {
        strcpy(folder, path);
        confine->writable[confine->writable_count++] = dirname(folder);
    }
}

/*
 * The user may name any file to be read. `save` and the checkpoints for next time are written to
 * the folder one is in, the trace's or the cache's, or for the time being.
 */
static void confine(const char *path, const struct debugger_options *options)
{
    char trace[PATH_MAX], cache[PATH_MAX], history[PATH_MAX];
    struct confine confine = {.read_everything = true, .writable = {".", "/tmp"}};
    confine.writable_count = 2;
    folder_of(path, trace, &confine);
    folder_of(options->cache_path, cache, &confine);
    if (isatty(STDIN_FILENO) && line_editor_history(history)) {
        /* The file itself; it has to be there to be named. */
        int fd = open(history, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0)
            close(fd);
        confine.writable[confine.writable_count++] = history;
    }
    cli_confine(&confine);
}

static int run(const char *path, const struct debugger_options *options,
    const struct script *scripts, unsigned count, bool batch)
{
    struct error error = {""};
    bool damaged;
    struct debugger *debugger = debugger_open(path, options, &damaged, &error);
    if (!debugger)
        return cli_fail_open(path, options->store, options->any_version, damaged, &error);
    if (*debugger_cache_message(debugger))
        fprintf(stderr, "%s\n", debugger_cache_message(debugger));
    confine(path, options);
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    sigaction(SIGINT, &action, NULL);
    if (batch)
        buffer_clear(debugger_output(debugger));
    write_out(NULL, debugger_output(debugger));
    int result = 0;
    for (unsigned i = 0; i < count && !debugger_finished(debugger); i++) {
        if (execute(debugger, &scripts[i], NULL) < 0)
            result = -1;
        if (result < 0 && batch)
            break;
    }
    if (!batch && !debugger_finished(debugger)) {
        result = interact(debugger);
    }
    if (debugger_keep_cache(debugger, &error) < 0) {
        text_make_visible(error.text, sizeof error.text);
        fprintf(stderr, "%s\n", error.text);
    }
    debugger_close(debugger);
    return result < 0 ? STATUS_ERROR : STATUS_OK;
}

/* On a terminal that knows escape sequences, unless the user wants none (no-color.org). */
static bool wants_color(void)
{
    const char *none = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(none && *none) && terminal && *terminal &&
           strcmp(terminal, "dumb") != 0;
}

int cli_debug(int argc, char **argv)
{
    static const struct option options[] = {
        {"ex", required_argument, NULL, OPTION_EX},
        {"eval-command", required_argument, NULL, OPTION_EX},
        {"x", required_argument, NULL, OPTION_X},
        {"command", required_argument, NULL, OPTION_X},
        {"batch", no_argument, NULL, OPTION_BATCH},
        {"cache", required_argument, NULL, OPTION_CACHE},
        {"warm", no_argument, NULL, OPTION_WARM},
        {"cache-file", required_argument, NULL, OPTION_CACHE_FILE},
        {"any-version", no_argument, NULL, OPTION_ANY_VERSION},
        {"memory-limit", required_argument, NULL, OPTION_MEMORY_LIMIT},
        {"store", required_argument, NULL, OPTION_STORE},
        {0},
    };
    struct script scripts[MAX_SCRIPTS];
    unsigned count = 0;
    bool batch = false, warm = false;
    char beside[4096], room[PATH_MAX];
    struct debugger_options debug = {.color = wants_color()};
    struct error error;
    int option;
    if (cli_wants_help(argc, argv))
        return cli_help(help);
    while ((option = getopt_long_only(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case OPTION_EX:
        case OPTION_X:
            if (count == MAX_SCRIPTS)
                return cli_usage("debug", "more than %d commands and files", MAX_SCRIPTS);
            scripts[count++] = (struct script){option == OPTION_X, optarg};
            break;
        case OPTION_BATCH:
            batch = true;
            break;
        case OPTION_CACHE:
            if (parse_size(optarg, &debug.cache_bytes, &error) < 0)
                return cli_usage("debug", "--cache %s", error.text);
            break;
        case OPTION_WARM:
            warm = true;
            break;
        case OPTION_CACHE_FILE:
            debug.cache_path = optarg;
            break;
        case OPTION_MEMORY_LIMIT:
            if (parse_size(optarg, &debug.memory_limit, &error) < 0)
                return cli_usage("debug", "--memory-limit: %s", error.text);
            break;
        case OPTION_STORE:
            debug.store = optarg;
            break;
        case OPTION_ANY_VERSION:
            debug.any_version = true;
            break;
        default:
            return cli_usage("debug", "bad option");
        }
    }
    if (optind + 1 != argc)
        return cli_usage("debug", "give one trace");
    if (warm && !debug.cache_path) {
        if (snprintf(beside, sizeof beside, "%s.cache", argv[optind]) >= (int)sizeof beside)
            return cli_usage("debug", "the name of the trace is too long");
        debug.cache_path = beside;
    }
    debug.store = cli_store_path(debug.store, room);
    struct file_roles roles = {0};
    roles_add(&roles, "TRACE.hst", argv[optind], false);
    roles_add(&roles, "--cache-file", debug.cache_path, true);
    for (unsigned i = 0; i < count; i++)
        roles_add(&roles, "-x", scripts[i].is_file ? scripts[i].text : NULL, false);
    if (roles_check(&roles, &error) < 0)
        return cli_fail(STATUS_USAGE, &error);
    return run(argv[optind], &debug, scripts, count, batch);
}
