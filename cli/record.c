/* hindsight record: a live machine, everything needed to have it again in a trace. */
#include "cli/cli.h"
#include "cli/machine.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "recorder/recorder.h"

static const char help[] =
    "Usage: hindsight record [MACHINE] -o TRACE.hst [--no-checks] [--max-size SIZE]\n"
    "       hindsight record --root DIR|TAR -o TRACE.hst [MACHINE] -- COMMAND...\n"
    "Run a guest, or a command in one, and record it. The exit status tells what became of it: the "
    "guest's own "
    "(debug-exit\n"
    "port), 100 a panic, 102 an oops or other report on the console, 104 a hang, 106 a triple "
    "fault,\n"
    "108 a limit, 125 trouble on the host, 128+N signal N, else 0.\n\n"
    "  -o FILE                the trace to write; an existing file is replaced once the guest "
    "runs\n"
    "  --max-size SIZE        stop before the trace is larger than this (500M, 2G)\n"
    "  --no-checks            inputs alone: replay works, unverified, from a smaller file\n"
    "  --store DIR            the boot files go into this folder (see 'hindsight unpack'), not "
    "into\n"
    "                         the trace\n\n";

enum { OPTION_NO_CHECKS = 1, OPTION_MAX_SIZE, OPTION_STORE };

struct request {
    const char *path, *store;
    bool include_checks;
};

static int finish(struct cli_machine *setup, struct recorder *recorder, const char *path, int run,
    int signal_number, struct error *failure)
{
    struct error error;
    bool full = recorder_is_full(recorder);
    struct outcome outcome = cli_machine_outcome(setup, signal_number, full);
    const char *text = run < 0 ? failure->text : cli_machine_outcome_text(setup, outcome);
    int shared = run < 0 ? 0 : cli_machine_share(setup, &error);
    if (shared < 0)
        cli_fail(STATUS_HOST, &error);
    int written = recorder_finish(recorder, setup->machine, outcome, text, &error);
    if (run < 0 || machine_stopped(setup->machine) == STOP_SHUTDOWN)
        cli_describe_failure(setup->machine);
    if (run < 0)
        return cli_fail(STATUS_HOST, failure);
    if (written < 0)
        return cli_fail(STATUS_HOST, &error);
    int status = cli_machine_status(setup, outcome);
    fprintf(stderr, "hindsight: %s: %llu events, %.3f s of virtual time: %s\n", path,
        (unsigned long long)setup->machine->position.event,
        (double)machine_time(setup->machine) / 1e9, cli_machine_end(setup, outcome, full));
    return status;
}

static int record(struct cli_machine *setup, const struct request *request)
{
    const char *path = request->path;
    struct error error;
    struct file_roles roles = {0};
    cli_machine_roles(setup, &roles);
    roles_add(&roles, "-o", path, true);
    setup->trace_path = path;
    if (roles_check(&roles, &error) < 0)
        return cli_fail(STATUS_USAGE, &error);
    if (cli_machine_load(setup, &error) < 0 || cli_machine_open(setup, &error) < 0)
        return cli_fail(STATUS_HOST, &error);
    struct trace_store *store =
        request->store ? trace_store_open(request->store, true, &error) : NULL;
    if (request->store && !store)
        return cli_fail(STATUS_HOST, &error);
    const struct recorder_options options = {
        .path = path,
        .config = &setup->config,
        .engine = setup->engine,
        .kernel = &setup->kernel,
        .modules = setup->modules,
        .module_count = setup->module_count,
        .live = live_source(setup->live),
        .store = store,
        .include_checks = request->include_checks,
        .max_size = setup->max_size,
        .counts = strcmp(setup->engine, "soft") == 0,
    };
    struct recorder *recorder = recorder_create(&options, &error);
    trace_store_close(store);
    if (!recorder)
        return cli_fail(STATUS_HOST, &error);
    if (cli_machine_create(setup, recorder_source(recorder), &error) < 0 ||
        recorder_attach(recorder, setup->machine, &error) < 0) {
        recorder_abandon(recorder);
        return cli_fail(STATUS_HOST, &error);
    }
    int signal_number;
    int run = cli_machine_run(setup, &signal_number, &error);
    return finish(setup, recorder, path, run, signal_number, &error);
}

int cli_record(int argc, char **argv)
{
    static const struct option options[] = {CLI_MACHINE_OPTIONS,
        {"no-checks", no_argument, NULL, OPTION_NO_CHECKS},
        {"max-size", required_argument, NULL, OPTION_MAX_SIZE},
        {"store", required_argument, NULL, OPTION_STORE}, {0}};
    struct cli_machine setup;
    struct error error;
    struct request request = {.include_checks = true};
    if (cli_wants_help(argc, argv)) {
        cli_help(help);
        cli_help(rootfs_help);
        return cli_help(cli_machine_help);
    }
    if (cli_machine_init(&setup, &error) < 0)
        return cli_fail(STATUS_HOST, &error);
    int option, status = STATUS_OK;
    while (status == STATUS_OK && (option = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
        if (option == 'o') {
            request.path = optarg;
        } else if (option == OPTION_NO_CHECKS) {
            request.include_checks = false;
        } else if (option == OPTION_STORE) {
            request.store = optarg;
        } else if (option == OPTION_MAX_SIZE) {
            if (parse_size(optarg, &setup.max_size, &error) < 0)
                status = cli_usage("record", "--max-size: %s", error.text);
        } else {
            int taken = option == '?' ? 0 : cli_machine_option(&setup, option, optarg, &error);
            if (taken <= 0)
                status = taken < 0 ? cli_usage("record", "%s", error.text)
                                   : cli_usage("record", "bad option");
        }
    }
    if (status == STATUS_OK && !request.path)
        status = cli_usage("record", "no trace to write: give one with -o FILE.hst");
    if (status == STATUS_OK && cli_machine_command(&setup, argv + optind, &error) < 0)
        status = cli_usage("record", "%s", error.text);
    if (status == STATUS_OK)
        status = record(&setup, &request);
    cli_machine_close(&setup);
    return status;
}
