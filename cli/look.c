/* hindsight ps, dmesg and console: what the debugger's commands show at one position. */
#include "cli/look.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"
#include "cli/cli.h"
#include "vmm/host/confine.h"

const char look_help[] =
    "  --at POSITION          EVENT, EVENT.INSN, 50%, t=2.5s; the end by default\n"
    "  --symbols FILE         the kernel's vmlinux with debugging information, repeatable; by\n"
    "                         default the one that 'scripts/fetch-linux.sh --debug' keeps\n"
    "  --memory-limit SIZE    RAM that the trace may ask for; three quarters of the host's by\n"
    "                         default\n"
    "  --store DIR            where its boot files are if it only names them\n"
    "  --any-version          also when another version of the machine made the trace\n";

int look_option(struct look *look, int option, const char *value, struct error *error)
{
    switch (option) {
    case LOOK_AT:
        look->at = value;
        return 1;
    case LOOK_SYMBOL:
        if (look->symbol_count == LOOK_SYMBOLS)
            return error_set(error, "--symbols: at most %d files", LOOK_SYMBOLS);
        look->symbols[look->symbol_count++] = value;
        return 1;
    case LOOK_LIMIT:
        if (parse_size(value, &look->options.memory_limit, error) == 0)
            return 1;
        error_prefix(error, "--memory-limit");
        return -1;
    case LOOK_STORE:
        look->options.store = value;
        return 1;
    case LOOK_ANY_VERSION:
        look->options.any_version = true;
        return 1;
    default:
        return 0;
    }
}

static int execute(
    struct look *look, const char *command, const char *argument, struct error *error)
{
    char line[PATH_MAX + 64];
    snprintf(line, sizeof line, "%s%s%s", command, *argument ? " " : "", argument);
    return debugger_execute(look->debugger, line, error);
}

/* What moving and symbols say is not what was asked for. */
static int move(struct look *look, struct error *error)
{
    for (unsigned i = 0; i < look->symbol_count; i++) {
        if (execute(look, "add-symbol-file", look->symbols[i], error) < 0)
            return error_prefix(error, "--symbols %s", look->symbols[i]);
    }
    int result = execute(look, "seek", look->at ? look->at : "end", error);
    buffer_clear(debugger_output(look->debugger));
    return result;
}

int look_open(struct look *look)
{
    struct error error;
    bool damaged;
    look->options.store = cli_store_path(look->options.store, look->room);
    look->debugger = debugger_open(look->trace, &look->options, &damaged, &error);
    if (!look->debugger)
        return cli_fail_open(
            look->trace, look->options.store, look->options.any_version, damaged, &error);
    /* The user's symbol files are read when they are needed. */
    cli_confine(&(struct confine){.read_everything = look->symbol_count > 0});
    return move(look, &error) < 0 ? cli_fail(STATUS_ERROR, &error) : STATUS_OK;
}

void look_close(struct look *look)
{
    debugger_close(look->debugger);
}

/* ---- ps, dmesg, console ---- */

enum { OPTION_LINES = 1 };

struct subject {
    const char *name, *help;
    bool has_lines, of_kernel;
};

/* Where scripts/fetch-linux.sh --debug keeps the symbols of its kernel. */
static void add_default_symbols(struct look *look, char path[PATH_MAX])
{
    const char *own = getenv("HINDSIGHT_CACHE"), *cache = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    if (own && *own)
        snprintf(path, PATH_MAX, "%s/debug/vmlinux", own);
    else if (cache && *cache)
        snprintf(path, PATH_MAX, "%s/hindsight/debug/vmlinux", cache);
    else
        snprintf(path, PATH_MAX, "%s/.cache/hindsight/debug/vmlinux", home ? home : "");
    if (look->symbol_count == 0 && access(path, R_OK) == 0)
        look->symbols[look->symbol_count++] = path;
}

static int show(struct look *look, const struct subject *subject, const char *lines)
{
    struct error error;
    char vmlinux[PATH_MAX];
    if (subject->of_kernel)
        add_default_symbols(look, vmlinux);
    int status = look_open(look);
    if (status == STATUS_OK && execute(look, subject->name, lines, &error) < 0)
        status = cli_fail(STATUS_ERROR, &error);
    if (status == STATUS_OK && !cli_print_shown(debugger_output(look->debugger)))
        status = STATUS_ERROR;
    look_close(look);
    return status;
}

static int look_at(int argc, char **argv, const struct subject *subject)
{
    static const struct option options[] = {
        LOOK_OPTIONS, {"lines", required_argument, NULL, OPTION_LINES}, {0}};
    struct look look = {.command = subject->name};
    struct error error;
    const char *lines = "";
    int option;
    if (cli_wants_help(argc, argv)) {
        cli_help(subject->help);
        return cli_help(look_help);
    }
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        int taken = option == '?' ? 0 : look_option(&look, option, optarg, &error);
        if (taken < 0)
            return cli_usage(subject->name, "%s", error.text);
        if (taken > 0)
            continue;
        if (option != OPTION_LINES || !subject->has_lines)
            return cli_usage(subject->name, "bad option");
        lines = optarg;
        if (!*lines || lines[strspn(lines, "0123456789")])
            return cli_usage(subject->name, "--lines %s: not a number", lines);
    }
    if (optind + 1 != argc)
        return cli_usage(subject->name, "give one trace");
    look.trace = argv[optind];
    return show(&look, subject, lines);
}

int cli_ps(int argc, char **argv)
{
    static const struct subject subject = {.name = "ps",
        .help = "Usage: hindsight ps TRACE.hst [--at POSITION] [--symbols VMLINUX]\n"
                "The tasks of a Linux guest at a position, with their command lines.\n\n",
        .of_kernel = true};
    return look_at(argc, argv, &subject);
}

int cli_dmesg(int argc, char **argv)
{
    static const struct subject subject = {.name = "dmesg",
        .help = "Usage: hindsight dmesg TRACE.hst [--at POSITION] [--symbols VMLINUX] [--lines N]\n"
                "The log of a Linux guest's kernel as it is in memory at a position.\n\n"
                "  --lines N              the last N records\n",
        .has_lines = true,
        .of_kernel = true};
    return look_at(argc, argv, &subject);
}

int cli_console(int argc, char **argv)
{
    static const struct subject subject = {.name = "console",
        .help = "Usage: hindsight console TRACE.hst [--at POSITION] [--lines N]\n"
                "What a guest had printed on its serial port up to a position.\n\n"
                "  --lines N              the last N lines\n",
        .has_lines = true};
    return look_at(argc, argv, &subject);
}
