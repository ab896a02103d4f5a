/* hindsight verify: is a trace file intact? */
#include "cli/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "traces/trace.h"

static const char help[] = "Usage: hindsight verify TRACE.hst\n"
                           "Check every checksum and record of a trace, without running it.\n"
                           "Exit status: 0 intact, 4 damaged, 1 other.\n";

static void show_progress(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    if (total)
        fprintf(stderr, "\rverifying %3" PRIu64 "%%", done * 100 / total);
}

int cli_verify(int argc, char **argv)
{
    if (cli_wants_help(argc, argv))
        return cli_help(help);
    if (argc > 1 && argv[1][0] == '-')
        return cli_usage("verify", "'%s' is not understood", argv[1]);
    if (argc != 2)
        return cli_usage("verify", "give one trace");
    struct error error;
    bool terminal = isatty(STDERR_FILENO);
    cli_confine_to(argv[1], NULL);
    int result = trace_verify(argv[1], terminal ? show_progress : NULL, NULL, &error);
    if (terminal)
        fprintf(stderr, "\r%*s\r", 16, "");
    if (result < 0)
        return cli_fail(result == TRACE_DAMAGED ? STATUS_DAMAGED : STATUS_ERROR, &error);
    struct trace_reader *reader;
    result = trace_reader_open(&reader, argv[1], &error);
    if (result < 0)
        return cli_fail(result == TRACE_DAMAGED ? STATUS_DAMAGED : STATUS_ERROR, &error);
    struct trace_info info;
    trace_reader_info(reader, &info);
    printf("intact: %zu chunks, inputs up to event %" PRIu64 "%s\n", info.chunks,
        info.end_event ? info.end_event - 1 : 0,
        info.complete ? "" : "; the recording was cut off there");
    trace_reader_close(reader);
    return STATUS_OK;
}
