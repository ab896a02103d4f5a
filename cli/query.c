/* hindsight query: one question over the whole run, answered by a table. */
#include "cli/cli.h"

#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/visible.h"
#include "cli/progress.h"
#include "debugger/debugger.h"
#include "vmm/host/confine.h"

static const char help[] =
    "Usage: hindsight query TRACE.hst [OPTION]... 'QUESTION'\n"
    "Ask about every moment of a recorded run; the answer is a table with positions to go to.\n\n"
    "Questions: calls FUNCTION, executes PLACE, when CONDITION, writes RANGE, reads RANGE, irqs,\n"
    "faults, syscalls [NAME], switches, allocs ADDRESS, dprintf PLACE,\"FORMAT\",VALUE...,\n"
    "conflicts PROCESS\n\n"
    "  --json                 for programs\n"
    "  --limit N              at most N rows; 10000 by default\n"
    "  --from POS, --to POS   a part of the run\n"
    "  --symbols FILE         as add-symbol-file in 'hindsight debug'; may be given more than "
    "once\n"
    "  -ex COMMAND            a debugger command before the question, as 'seek' to where its "
    "names\n"
    "                         mean something; may be given more than once\n"
    "  --cache SIZE           memory for checkpoints, 512M by default\n"
    "  --cache-file FILE      keep them in this file, for the next question\n"
    "  --store DIR            where its boot files are if it only names them\n"
    "  --memory-limit SIZE    RAM that the trace may ask for\n"
    "  --any-version          also when another version of the machine made the trace\n";

enum { MAX_COMMANDS = 64, MAX_TEXT = 4000 };

static struct debugger *volatile running;

struct asked {
    struct debugger_options options;
    char commands[MAX_COMMANDS][256];
    unsigned count;
    char line[MAX_TEXT + 200];
};

static void on_interrupt(int number)
{
    (void)number;
    if (running)
        debugger_interrupt(running);
}

static int execute(struct debugger *debugger, const char *line, bool shown)
{
    struct error error = {""};
    int result = debugger_execute(debugger, line, &error);
    if (shown && !cli_print_shown(debugger_output(debugger)))
        result = -1;
    buffer_clear(debugger_output(debugger));
    if (*error.text) {
        text_make_visible(error.text, sizeof error.text);
        fprintf(stderr, "hindsight: %s\n", error.text);
    }
    return result;
}

static int run(const char *path, const struct asked *asked)
{
    struct progress progress = {.label = "looking"};
    struct error error = {""};
    bool damaged;
    struct debugger *debugger = debugger_open(path, &asked->options, &damaged, &error);
    if (!debugger)
        return cli_fail_open(
            path, asked->options.store, asked->options.any_version, damaged, &error);
    const char *cache = asked->options.cache_path;
    struct confine confine = {.read_everything = true};
    char folder[4096];
    if (cache && (confine.writable[0] = cli_folder_of(cache, folder)))
        confine.writable_count = 1;
    cli_confine(&confine);
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    sigaction(SIGINT, &action, NULL);
    buffer_clear(debugger_output(debugger));
    int result = 0;
    running = debugger;
    for (unsigned i = 0; i < asked->count && result == 0; i++)
        result = execute(debugger, asked->commands[i], false);
    debugger_set_progress(debugger, progress_show, &progress);
    if (result == 0)
        result = execute(debugger, asked->line, true);
    running = NULL;
    progress_end(&progress);
    debugger_close(debugger);
    return result < 0 ? STATUS_ERROR : STATUS_OK;
}

static bool add_command(struct asked *asked, const char *before, const char *text)
{
    if (asked->count == MAX_COMMANDS)
        return false;
    char *command = asked->commands[asked->count++];
    size_t size = sizeof asked->commands[0];
    return (size_t)snprintf(command, size, "%s%s", before, text) < size;
}

static bool add_option(struct asked *asked, const char *name, const char *value)
{
    size_t used = strlen(asked->line), room = 200 - used;
    return used < 200 && (size_t)snprintf(asked->line + used, room, " %s %s", name, value) < room;
}

int cli_query(int argc, char **argv)
{
    enum {
        SYMBOLS = 1,
        EX,
        JSON,
        LIMIT,
        FROM,
        TO,
        CACHE,
        CACHE_FILE,
        MEMORY_LIMIT,
        ANY_VERSION,
        STORE
    };
    static const struct option options[] = {
        {"symbols", required_argument, NULL, SYMBOLS},
        {"ex", required_argument, NULL, EX},
        {"json", no_argument, NULL, JSON},
        {"limit", required_argument, NULL, LIMIT},
        {"from", required_argument, NULL, FROM},
        {"to", required_argument, NULL, TO},
        {"cache", required_argument, NULL, CACHE},
        {"cache-file", required_argument, NULL, CACHE_FILE},
        {"memory-limit", required_argument, NULL, MEMORY_LIMIT},
        {"any-version", no_argument, NULL, ANY_VERSION},
        {"store", required_argument, NULL, STORE},
        {0},
    };
    static struct asked asked;
    char room[PATH_MAX];
    struct error error;
    int option;
    bool fits = true;
    if (cli_wants_help(argc, argv))
        return cli_help(help);
    asked = (struct asked){.line = "query"};
    while ((option = getopt_long_only(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case SYMBOLS:
            fits &= add_command(&asked, "add-symbol-file ", optarg);
            break;
        case EX:
            fits &= add_command(&asked, "", optarg);
            break;
        case JSON:
            fits &= add_option(&asked, "-json", "");
            break;
        case LIMIT:
            fits &= add_option(&asked, "-limit", optarg);
            break;
        case FROM:
            fits &= add_option(&asked, "-from", optarg);
            break;
        case TO:
            fits &= add_option(&asked, "-to", optarg);
            break;
        case CACHE:
            if (parse_size(optarg, &asked.options.cache_bytes, &error) < 0)
                return cli_usage("query", "--cache %s", error.text);
            break;
        case CACHE_FILE:
            asked.options.cache_path = optarg;
            break;
        case MEMORY_LIMIT:
            if (parse_size(optarg, &asked.options.memory_limit, &error) < 0)
                return cli_usage("query", "--memory-limit: %s", error.text);
            break;
        case STORE:
            asked.options.store = optarg;
            break;
        case ANY_VERSION:
            asked.options.any_version = true;
            break;
        default:
            return cli_usage("query", "bad option");
        }
    }
    if (optind + 2 != argc)
        return cli_usage("query", "give one trace and one question");
    if (!fits || strlen(argv[optind + 1]) >= MAX_TEXT)
        return cli_usage("query", "too many or too long options");
    /* One question goes forward, and no session comes after it. */
    asked.options.sparse = !asked.options.cache_path;
    asked.options.store = cli_store_path(asked.options.store, room);
    strcat(asked.line, " ");
    strcat(asked.line, argv[optind + 1]);
    return run(argv[optind], &asked);
}
