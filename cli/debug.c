/* hindsight debug: the time-travel debugger on a terminal, or over a script. */
#include "cli/cli.h"
#include "cli/roles.h"

#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <readline/history.h>
#include <readline/readline.h>

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
static volatile sig_atomic_t pressed; /* Ctrl-C at the prompt */
/* readline's completion function takes no context. */
static struct {
    struct debugger *debugger;
    char **list;
    size_t count, capacity;
} completion;

static void on_interrupt(int number)
{
    (void)number;
    if (running)
        debugger_interrupt(running);
    else
        pressed = 1;
}

/* Ctrl-C at the prompt drops what was typed; a fresh prompt comes. */
static int drop_line(void)
{
    if (!pressed)
        return 0;
    pressed = 0;
    rl_point = rl_end;
    rl_redisplay();
    rl_crlf();
    rl_replace_line("", 1);
    rl_on_new_line();
    rl_redisplay();
    return 0;
}

static void write_out(void *context, struct buffer *output)
{
    (void)context;
    cli_print_shown(output);
    buffer_clear(output);
}

/* What was executed printed or failed: both are shown. */
static int execute(struct debugger *debugger, const struct script *script)
{
    struct error error = {""};
    running = debugger;
    int result = script->is_file ? debugger_source(debugger, script->text, &error)
                                 : debugger_execute(debugger, script->text, &error);
    running = NULL;
    write_out(NULL, debugger_output(debugger));
    if (result < 0) {
        text_make_visible(error.text, sizeof error.text);
        fprintf(stderr, "%s\n", error.text);
        fflush(stderr);
    }
    return result;
}

/* ---- The terminal ---- */

static void add_candidate(void *context, const char *candidate)
{
    (void)context;
    if (completion.count == completion.capacity) {
        size_t capacity = completion.capacity ? completion.capacity * 2 : 64;
        char **list = realloc(completion.list, capacity * sizeof *list);
        if (!list)
            return;
        completion.list = list;
        completion.capacity = capacity;
    }
    char *copy = strdup(candidate);
    if (copy)
        completion.list[completion.count++] = copy;
}

/* Hands over the strings one by one; readline frees them. */
static char *next_candidate(const char *text, int state)
{
    static size_t next;
    (void)text;
    if (state == 0)
        next = 0;
    return next < completion.count ? completion.list[next++] : NULL;
}

static char **complete(const char *text, int start, int end)
{
    (void)end;
    completion.count = 0;
    rl_attempted_completion_over = 1;
    if (!debugger_complete(
            completion.debugger, rl_line_buffer, (size_t)start, add_candidate, NULL)) {
        rl_attempted_completion_over = 0;
        return NULL;
    }
    if (completion.count == 0)
        return NULL;
    /* After "crash.c:" comes a line. */
    const char *first = completion.list[0];
    bool is_file = *first && first[strlen(first) - 1] == ':';
    rl_completion_append_character = is_file ? '\0' : ' ';
    return rl_completion_matches(text, next_candidate);
}

static bool history_path(char path[PATH_MAX])
{
    const char *home = getenv("HOME");
    return home && snprintf(path, PATH_MAX, "%s/.hindsight_history", home) < PATH_MAX;
}

/* In place: readline's own way makes other files beside it, which confinement does not allow. */
static void save_history(const char *path)
{
    FILE *file = fopen(path, "we");
    if (!file)
        return;
    for (int i = 0; i < history_length; i++) {
        const HIST_ENTRY *entry = history_get(history_base + i);
        if (entry)
            fprintf(file, "%s\n", entry->line);
    }
    fclose(file);
}

static void start_readline(struct debugger *debugger, char history[PATH_MAX])
{
    completion.debugger = debugger;
    rl_readline_name = "hindsight";
    /* The first at once; the second where the signal came between two reads. */
    rl_signal_event_hook = drop_line;
    rl_event_hook = drop_line;
    rl_attempted_completion_function = complete;
    rl_basic_word_break_characters = " \t\n\"'`@><=;|&{(+-*/,!~?:[";
    using_history();
    stifle_history(1000);
    if (history_path(history))
        read_history(history);
    else
        history[0] = '\0';
}

static char *read_line(struct debugger *debugger, bool terminal)
{
    char prompt[128];
    if (terminal) {
        debugger_prompt(debugger, prompt, sizeof prompt);
        return readline(prompt);
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

static void remember(const char *line)
{
    HIST_ENTRY *last = history_length ? history_get(history_base + history_length - 1) : NULL;
    if (!last || strcmp(last->line, line) != 0)
        add_history(line);
}

/* -1 when the commands could not be read to their end. */
static int interact(struct debugger *debugger)
{
    bool terminal = isatty(STDIN_FILENO);
    char history[PATH_MAX] = "", *last = NULL, *line;
    if (terminal)
        start_readline(debugger, history);
    while (!debugger_finished(debugger) && (line = read_line(debugger, terminal))) {
        if (terminal && *line)
            remember(line);
        if (*line || !terminal) {
            free(last);
            last = line;
        } else {
            free(line);
        }
        const struct script script = {false, last ? last : ""};
        bool repeated = !last || (!*last);
        execute(debugger, &script);
        if (!repeated && !debugger_repeats(last)) {
            free(last);
            last = NULL;
        }
    }
    if (terminal && !debugger_finished(debugger))
        putchar('\n');
    if (terminal && *history)
        save_history(history);
    free(last);
    free(completion.list);
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
    if (isatty(STDIN_FILENO) && history_path(history)) {
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
    debugger_set_flush(debugger, write_out, NULL);
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    sigaction(SIGINT, &action, NULL);
    if (batch)
        buffer_clear(debugger_output(debugger));
    write_out(NULL, debugger_output(debugger));
    int result = 0;
    for (unsigned i = 0; i < count && !debugger_finished(debugger); i++) {
        if (execute(debugger, &scripts[i]) < 0)
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
