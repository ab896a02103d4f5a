/* hindsight extract: files out of a trace, what the machine was started with and its disks. */
#include "cli/cli.h"
#include "cli/roles.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "debugger/debugger.h"

static const char help[] =
    "Usage: hindsight extract TRACE.hst kernel|initrd|disk[N[.IMAGE]] -o FILE [--at POS]\n"
    "Write what the recorded machine was started with, or the image of a disk as the guest left "
    "it:\n"
    "the sectors that it has read or written, zeros elsewhere.\n\n"
    "  -o FILE             the file to write\n"
    "  --at POS            of a disk: at this position and not at the end\n"
    "  --memory-limit SIZE RAM that the trace may ask for; three quarters of the host's by "
    "default\n"
    "  --store DIR         where its boot files are if it only names them\n"
    "  --any-version       also when another version of the machine made the trace\n";

enum { OPTION_AT = 1, OPTION_MEMORY_LIMIT, OPTION_ANY_VERSION, OPTION_STORE };

struct request {
    const char *trace, *what, *output, *at;
    struct debugger_options options;
};

/* Nothing runs for what a machine was started with. */
static bool is_disk(const struct request *request)
{
    return strncmp(request->what, "disk", 4) == 0;
}

static int extract(struct debugger *debugger, const struct request *request, struct error *error)
{
    char seek[128];
    snprintf(seek, sizeof seek, "seek %s", request->at ? request->at : "end");
    if (is_disk(request) && debugger_execute(debugger, seek, error) < 0)
        return -1;
    buffer_clear(debugger_output(debugger));
    return debugger_extract(debugger, request->what, request->output, error);
}

static int run(struct request *request)
{
    struct error error = {""};
    struct file_roles roles = {.count = 0};
    bool damaged;
    roles_add(&roles, "the trace", request->trace, false);
    roles_add(&roles, "-o", request->output, true);
    if (roles_check(&roles, &error) < 0)
        return cli_fail(STATUS_USAGE, &error);
    request->options.any_version |= !is_disk(request);
    struct debugger *debugger = debugger_open(request->trace, &request->options, &damaged, &error);
    if (!debugger)
        return cli_fail_open(
            request->trace, request->options.store, request->options.any_version, damaged, &error);
    cli_confine_to(request->trace, request->output);
    int result = extract(debugger, request, &error);
    bool printed = cli_print_shown(debugger_output(debugger));
    debugger_close(debugger);
    if (result < 0)
        return cli_fail(STATUS_ERROR, &error);
    return printed ? STATUS_OK : STATUS_ERROR;
}

int cli_extract(int argc, char **argv)
{
    static const struct option options[] = {{"at", required_argument, NULL, OPTION_AT},
        {"memory-limit", required_argument, NULL, OPTION_MEMORY_LIMIT},
        {"store", required_argument, NULL, OPTION_STORE},
        {"any-version", no_argument, NULL, OPTION_ANY_VERSION}, {0}};
    struct request request = {.trace = NULL};
    struct error error;
    char room[PATH_MAX];
    int option;
    if (cli_wants_help(argc, argv))
        return cli_help(help);
    while ((option = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
        switch (option) {
        case 'o':
            request.output = optarg;
            break;
        case OPTION_AT:
            request.at = optarg;
            break;
        case OPTION_MEMORY_LIMIT:
            if (parse_size(optarg, &request.options.memory_limit, &error) < 0)
                return cli_usage("extract", "--memory-limit: %s", error.text);
            break;
        case OPTION_STORE:
            request.options.store = optarg;
            break;
        case OPTION_ANY_VERSION:
            request.options.any_version = true;
            break;
        default:
            return cli_usage("extract", "bad option");
        }
    }
    if (optind + 2 != argc || !request.output)
        return cli_usage("extract", "give a trace, what to extract, and -o FILE");
    request.trace = argv[optind];
    request.what = argv[optind + 1];
    if (request.at && !is_disk(&request))
        return cli_usage(
            "extract", "--at is for disks: %s is the same at every position", request.what);
    request.options.store = cli_store_path(request.options.store, room);
    return run(&request);
}
