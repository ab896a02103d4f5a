/* hindsight unpack and pack: a trace's boot files into a store, and back into the trace. */
#include "cli/cli.h"

#include <getopt.h>
#include <limits.h>
#include <string.h>

#include "cli/roles.h"
#include "traces/trace.h"
#include "vmm/host/confine.h"

static const char unpack_help[] =
    "Usage: hindsight unpack TRACE.hst -o SMALL.hst [--store DIR]\n"
    "Copy a trace without its boot files: they go into a store, a folder that has each file once,\n"
    "under the SHA-256 of its content, and the copy names them. What is left is compressed as far "
    "as\n"
    "it goes. replay, debug, gdb, fork and test find the files there.\n\n"
    "  --store DIR            the store; by default $XDG_DATA_HOME/hindsight, or\n"
    "                         ~/.local/share/hindsight\n"
    "  --strip                without checks as well: it replays unverified\n";

static const char pack_help[] =
    "Usage: hindsight pack TRACE.hst -o WHOLE.hst [--store DIR]\n"
    "Copy a trace with its boot files in it, compressed as far as it goes: the one file to send.\n"
    "Exit status 6: a boot file is not in the store.\n\n"
    "  --store DIR            where they are if the trace only names them\n"
    "  --strip                without checks: it replays unverified\n";

enum { OPTION_STORE = 1, OPTION_STRIP };

struct request {
    const char *command, *trace, *output, *store;
    struct trace_copy_options copy;
};

static int parse(struct request *request, int argc, char **argv)
{
    static const struct option options[] = {{"store", required_argument, NULL, OPTION_STORE},
        {"strip", no_argument, NULL, OPTION_STRIP}, {0}};
    int option;
    while ((option = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
        if (option == 'o')
            request->output = optarg;
        else if (option == OPTION_STORE)
            request->store = optarg;
        else if (option == OPTION_STRIP)
            request->copy.strip = true;
        else
            return cli_usage(request->command, "bad option");
    }
    if (optind + 1 != argc || !request->output)
        return cli_usage(request->command, "give one trace, and -o FILE for the copy");
    request->trace = argv[optind];
    return STATUS_OK;
}

static int status_of(int result)
{
    switch (result) {
    case TRACE_OK:
        return STATUS_OK;
    case TRACE_DAMAGED:
        return STATUS_DAMAGED;
    case TRACE_MISSING:
        return STATUS_MISSING;
    default:
        return STATUS_ERROR;
    }
}

static int copy(struct request *request)
{
    struct error error;
    char room[PATH_MAX], folder[PATH_MAX];
    bool unpacks = request->copy.boot_files == TRACE_UNPACK_BOOT_FILES;
    const char *path = cli_store_path(request->store, room);
    if (!path && unpacks)
        return cli_usage(request->command, "there is no home folder: give --store DIR");
    struct file_roles roles = {0};
    roles_add(&roles, "TRACE.hst", request->trace, false);
    roles_add(&roles, "-o", request->output, true);
    if (roles_check(&roles, &error) < 0)
        return cli_fail(STATUS_USAGE, &error);
    /* One that packs may do without: most traces hold their files. */
    struct trace_store *store = path ? trace_store_open(path, unpacks, &error) : NULL;
    if (!store && (unpacks || request->store))
        return cli_fail(STATUS_ERROR, &error);
    struct confine confine = {.readable = {request->trace, store ? path : NULL}};
    if ((confine.writable[0] = cli_folder_of(request->output, folder)))
        confine.writable_count = 1;
    if (unpacks)
        confine.writable[confine.writable_count++] = path;
    cli_confine(&confine);
    request->copy.store = store;
    int result = trace_copy(request->trace, request->output, &request->copy, &error);
    trace_store_close(store);
    return result ? cli_fail(status_of(result), &error) : STATUS_OK;
}

static int run(struct request *request, const char *help, int argc, char **argv)
{
    if (cli_wants_help(argc, argv))
        return cli_help(help);
    int status = parse(request, argc, argv);
    return status == STATUS_OK ? copy(request) : status;
}

int cli_unpack(int argc, char **argv)
{
    struct request request = {
        .command = "unpack", .copy = {.packed = true, .boot_files = TRACE_UNPACK_BOOT_FILES}};
    return run(&request, unpack_help, argc, argv);
}

int cli_pack(int argc, char **argv)
{
    struct request request = {
        .command = "pack", .copy = {.packed = true, .boot_files = TRACE_PACK_BOOT_FILES}};
    return run(&request, pack_help, argc, argv);
}
