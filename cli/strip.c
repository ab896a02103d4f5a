/* hindsight strip: a copy of a trace without its checks. */
#include "cli/cli.h"

#include <getopt.h>
#include <string.h>

#include "traces/trace.h"

static const char help[] = "Usage: hindsight strip TRACE.hst -o SMALLER.hst\n"
                           "Copy a trace without its checks: it replays as before, unverified.\n";

int cli_strip(int argc, char **argv)
{
    const char *output = NULL;
    int option;
    if (cli_wants_help(argc, argv))
        return cli_help(help);
    while ((option = getopt(argc, argv, "o:")) != -1) {
        if (option != 'o')
            return cli_usage("strip", "bad option");
        output = optarg;
    }
    if (optind + 1 != argc || !output)
        return cli_usage("strip", "give one trace, and -o FILE for the copy");
    struct error error;
    cli_confine_to(argv[optind], output);
    const struct trace_copy_options options = {.strip = true};
    int result = trace_copy(argv[optind], output, &options, &error);
    if (result == 0)
        return STATUS_OK;
    return cli_fail(result == TRACE_DAMAGED ? STATUS_DAMAGED : STATUS_ERROR, &error);
}
