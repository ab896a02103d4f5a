/* hindsight fork: go live from a position of a trace. */
#include "cli/cli.h"
#include "cli/machine.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"
#include "cli/inject.h"
#include "cli/position.h"
#include "fork/fork.h"

static const char help[] =
    "Usage: hindsight fork TRACE.hst --at POSITION -o NEW.hst [--serial BACKEND] [--pace "
    "real|fast]\n"
    "Replay a trace up to a position, go live there, and record what happens into a trace of its "
    "own.\n"
    "The first trace is only read; the new one replays alone.\n\n"
    "  --at POSITION          EVENT, EVENT.INSN, 50%, t=2.5s\n"
    "  -o FILE                the trace to write; an existing file is replaced then\n"
    "  --max-size SIZE        as for record\n"
    "  --serial BACKEND       as for record; stdio by default\n"
    "  --pace real|fast       as for record\n"
    "  --inject WHAT          nmi[:VCPU], break, or sysrq:KEY (a break and a key on the serial\n"
    "                         line), first of all; may be given more than once\n"
    "  --set REGISTER=VALUE   first another value in a register: rax to r15, rip, rflags\n"
    "  --poke ADDRESS=BYTES   other bytes in memory, in hexadecimal; phys:ADDRESS is physical\n"
    "  --no-checks            inputs alone\n"
    "  --show                 show what had been printed before the position as well\n"
    "  --store DIR            where its boot files are if it only names them\n"
    "  --memory-limit SIZE    RAM that the trace may ask for; three quarters of the host's by\n"
    "                         default\n"
    "  --any-version          also when another version of the machine made the trace\n";

enum {
    OPTION_AT = 1,
    OPTION_NO_CHECKS,
    OPTION_SHOW,
    OPTION_ANY_VERSION,
    OPTION_MAX_SIZE,
    OPTION_MEMORY_LIMIT,
    OPTION_INJECT,
    OPTION_SET,
    OPTION_POKE,
    OPTION_STORE
};

struct request {
    const char *trace, *output, *at, *store;
    uint64_t memory_limit;
    bool include_checks, show, any_version;
    struct injections injections;
};

/* The serial port's output, held back until the machine is live. */
struct gate {
    struct byte_sink sink;
    bool open;
};

static void put_console(void *context, const uint8_t *bytes, size_t count)
{
    struct gate *gate = context;
    if (gate->open)
        sink_put(&gate->sink, bytes, count);
}

static int finish(struct cli_machine *setup, struct fork *fork, const struct request *request,
    int run, int signal_number, const struct error *failure)
{
    struct error error;
    struct machine *machine = fork_machine(fork);
    enum stop_reason stop = machine_stopped(machine);
    uint64_t event = machine->position.event, time = machine_time(machine);
    if (run < 0 || stop == STOP_SHUTDOWN)
        cli_describe_failure(machine);
    bool full = fork_is_full(fork);
    struct outcome outcome = cli_machine_outcome(setup, signal_number, full);
    const char *end = cli_machine_end(setup, outcome, full);
    int status = run < 0 ? STATUS_HOST : cli_machine_status(setup, outcome);
    const char *text = run < 0 ? failure->text : cli_machine_outcome_text(setup, outcome);
    int written = fork_finish(fork, outcome, text, &error);
    setup->machine = NULL;
    if (written < 0)
        return cli_fail(STATUS_HOST, &error);
    if (run < 0)
        return cli_fail(STATUS_HOST, failure);
    fprintf(stderr, "hindsight: %s: %" PRIu64 " events, %.3f s of virtual time: %s\n",
        request->output, event, (double)time / 1e9, end);
    return status;
}

static int go(
    struct cli_machine *setup, struct fork *fork, const struct request *request, struct gate *gate)
{
    struct error error;
    struct position position;
    bool damaged = false;
    int signal_number = 0;
    setup->machine = fork_machine(fork);
    if (position_parse(request->at, fork_trace(fork), &position, &error) < 0) {
        setup->machine = NULL;
        fork_abandon(fork);
        return cli_usage("fork", "--at %s", error.text);
    }
    if (fork_go_live(fork, position, &damaged, &error) < 0 ||
        live_attach(setup->live, setup->machine, &error) < 0) {
        setup->machine = NULL;
        fork_abandon(fork);
        return cli_fail(damaged ? STATUS_DAMAGED : STATUS_HOST, &error);
    }
    gate->open = true;
    fprintf(stderr, "hindsight: live from event %" PRIu64 "\n", setup->machine->position.event);
    int run = cli_machine_run(setup, &signal_number, &error);
    return finish(setup, fork, request, run, signal_number, &error);
}

static int fail_open(const struct request *request, bool damaged, const struct error *error)
{
    int status =
        cli_fail_open(request->trace, request->store, request->any_version, damaged, error);
    return status == STATUS_ERROR ? STATUS_HOST : status;
}

static int run_fork(struct cli_machine *setup, const struct request *request)
{
    struct error error;
    bool damaged;
    struct file_roles roles = {0};
    cli_machine_roles(setup, &roles);
    roles_add(&roles, "TRACE.hst", request->trace, false);
    roles_add(&roles, "-o", request->output, true);
    setup->trace_path = request->output;
    if (roles_check(&roles, &error) < 0)
        return cli_fail(STATUS_USAGE, &error);
    if (!setup->pace_given)
        setup->config.pace = isatty(STDIN_FILENO) ? PACE_REAL : PACE_FAST;
    if (cli_machine_open(setup, &error) < 0)
        return cli_fail(STATUS_HOST, &error);
    struct gate gate = {.sink = cli_machine_console(setup), .open = request->show};
    const struct fork_options options = {
        .trace = request->trace,
        .output = request->output,
        .position = request->at,
        .live = live_source(setup->live),
        .include_checks = request->include_checks,
        .max_size = setup->max_size,
        .memory_limit = request->memory_limit,
        .any_version = request->any_version,
        .store = request->store,
        .console = {.put = put_console, .target = &gate},
        .pace = setup->config.pace,
        .injections = request->injections.list,
        .injection_count = request->injections.count,
    };
    struct fork *fork = fork_open(&options, &damaged, &error);
    if (!fork)
        return fail_open(request, damaged, &error);
    cli_machine_confine(setup);
    return go(setup, fork, request, &gate);
}

static int take_injection(struct injections *injections, int option, const char *text)
{
    struct error error;
    int result = option == OPTION_INJECT ? injections_add_event(injections, text, &error)
                 : option == OPTION_SET  ? injections_add_register(injections, text, &error)
                                         : injections_add_memory(injections, text, &error);
    const char *name = option == OPTION_INJECT ? "--inject"
                       : option == OPTION_SET  ? "--set"
                                               : "--poke";
    return result < 0 ? cli_usage("fork", "%s %s: %s", name, text, error.text) : STATUS_OK;
}

int cli_fork(int argc, char **argv)
{
    static const struct option options[] = {
        {"at", required_argument, NULL, OPTION_AT},
        {"serial", required_argument, NULL, CLI_SERIAL},
        CLI_REPORT_OPTIONS,
        {"pace", required_argument, NULL, CLI_PACE},
        {"no-checks", no_argument, NULL, OPTION_NO_CHECKS},
        {"show", no_argument, NULL, OPTION_SHOW},
        {"any-version", no_argument, NULL, OPTION_ANY_VERSION},
        {"memory-limit", required_argument, NULL, OPTION_MEMORY_LIMIT},
        {"max-size", required_argument, NULL, OPTION_MAX_SIZE},
        {"store", required_argument, NULL, OPTION_STORE},
        {"inject", required_argument, NULL, OPTION_INJECT},
        {"set", required_argument, NULL, OPTION_SET},
        {"poke", required_argument, NULL, OPTION_POKE},
        {0},
    };
    struct cli_machine setup;
    struct request request = {.include_checks = true};
    char room[PATH_MAX];
    struct error error;
    if (cli_wants_help(argc, argv))
        return cli_help(help);
    if (cli_machine_init(&setup, &error) < 0)
        return cli_fail(STATUS_HOST, &error);
    int option, status = STATUS_OK;
    while (status == STATUS_OK && (option = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
        if (option == 'o')
            request.output = optarg;
        else if (option == OPTION_AT)
            request.at = optarg;
        else if (option == OPTION_NO_CHECKS)
            request.include_checks = false;
        else if (option == OPTION_SHOW)
            request.show = true;
        else if (option == OPTION_STORE)
            request.store = optarg;
        else if (option == OPTION_ANY_VERSION)
            request.any_version = true;
        else if (option == OPTION_MEMORY_LIMIT &&
                 parse_size(optarg, &request.memory_limit, &error) < 0)
            status = cli_usage("fork", "--memory-limit: %s", error.text);
        else if (option == OPTION_MEMORY_LIMIT)
            continue;
        else if (option == OPTION_MAX_SIZE && parse_size(optarg, &setup.max_size, &error) < 0)
            status = cli_usage("fork", "--max-size: %s", error.text);
        else if (option == OPTION_MAX_SIZE)
            continue;
        else if (option == OPTION_INJECT || option == OPTION_SET || option == OPTION_POKE)
            status = take_injection(&request.injections, option, optarg);
        else if (option == '?')
            status = STATUS_USAGE;
        else if (cli_machine_option(&setup, option, optarg, &error) < 0)
            status = cli_usage("fork", "%s", error.text);
    }
    if (status == STATUS_OK && optind + 1 != argc)
        status = cli_usage("fork", "give one trace");
    if (status == STATUS_OK && (!request.at || !request.output))
        status = cli_usage("fork", "give --at POSITION and -o FILE.hst");
    if (status == STATUS_OK) {
        request.trace = argv[optind];
        request.store = cli_store_path(request.store, room);
        status = run_fork(&setup, &request);
    }
    cli_machine_close(&setup);
    return status;
}
