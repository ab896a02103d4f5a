/* hindsight replay: run a trace again and compare. */
#include "cli/cli.h"
#include "cli/machine.h"

#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/position.h"
#include "base/parse.h"
#include "replay/replay.h"
#include "vmm/host/confine.h"

static const char help[] =
    "Usage: hindsight replay TRACE.hst [--engine kvm|soft] [--until POSITION] [--console]\n"
    "Run the trace again and compare every event with the recording.\n"
    "Exit status: 0 identical, 3 diverged, 4 damaged trace, 5 trace of another\n"
    "machine version, 6 a boot file is not in the store, 2 usage, 128 + N ended by signal N,\n"
    "1 other.\n\n"
    "  --engine kvm|soft      what executes; by default the engine that recorded\n"
    "  --until POSITION       stop there: EVENT, EVENT.INSN, end, 50%, t=2.5s\n"
    "  --console              print what the guest prints\n"
    "  --no-verify            do not compare\n"
    "  --store DIR            where a trace's boot files are if it only names them; by default\n"
    "                         ~/.local/share/hindsight\n"
    "  --memory-limit SIZE    RAM that the trace may ask for; three quarters of the host's by\n"
    "                         default\n"
    "  --any-version          also when another version of the machine made the trace\n";

enum {
    OPTION_ENGINE = 1,
    OPTION_UNTIL,
    OPTION_CONSOLE,
    OPTION_NO_VERIFY,
    OPTION_ANY_VERSION,
    OPTION_MEMORY_LIMIT,
    OPTION_STORE
};

static struct machine *volatile running;
static volatile sig_atomic_t caught_signal;

static void on_signal(int number)
{
    caught_signal = number;
    if (running)
        machine_request_stop(running);
}

static void put_console(void *context, const uint8_t *bytes, size_t count)
{
    (void)context;
    fwrite(bytes, 1, count, stdout);
}

/* How far a run has come, on a terminal, a few times a second. */
static int show_progress(
    void *context, struct machine *machine, const struct machine_event *event, struct error *error)
{
    const struct trace_info *info = context;
    (void)machine;
    (void)error;
    if (event->ordinal % 16384 == 0 && info->end_event > 1)
        fprintf(stderr, "\rreplaying %3" PRIu64 "%%", event->ordinal * 100 / info->end_event);
    return 0;
}

static int report(struct replay *replay, enum replay_outcome outcome)
{
    const struct machine *machine = replay_machine(replay);
    const struct trace_info *info = replay_info(replay);
    struct position at = machine_position(machine);
    if (outcome == REPLAY_DIVERGED) {
        struct buffer text = {0};
        replay_report(replay, &text);
        cli_print(&text);
        buffer_free(&text);
        return STATUS_DIVERGED;
    }
    if (machine_stopped(machine) == STOP_INTERRUPTED) {
        fprintf(stderr, "hindsight: interrupted at %" PRIu64 ".%" PRIu64 "%s\n", at.event, at.insn,
            outcome == REPLAY_UNCHECKED ? "" : ", identical so far");
        return caught_signal ? 128 + caught_signal : STATUS_ERROR;
    }
    if (outcome == REPLAY_STOPPED) {
        printf("stopped at %" PRIu64 ".%" PRIu64 ", identical so far\n", at.event, at.insn);
    } else if (outcome == REPLAY_UNCHECKED) {
        printf("replayed %" PRIu64 " events; the trace has no checks to compare with\n", at.event);
    } else {
        printf("identical: %" PRIu64 " events on %s%s\n", at.event, machine->home->ops->name,
            info->complete ? ""
            : info->end_event > info->checked_end
                ? "; the recording was cut off, and its last events have no checks"
                : "; the recording was cut off");
    }
    return STATUS_OK;
}

static int replay_trace_file(
    const char *path, const struct replay_options *options, const char *until)
{
    struct error error;
    bool damaged;
    struct replay *replay = replay_open(path, options, &damaged, &error);
    if (!replay)
        return cli_fail_open(path, options->store, options->any_version, damaged, &error);
    struct position position = POSITION_END;
    if (until && position_parse(until, replay_trace(replay), &position, &error) < 0) {
        replay_close(replay);
        return cli_usage("replay", "--until %s", error.text);
    }
    struct machine *machine = replay_machine(replay);
    struct trace_info info = *replay_info(replay);
    if (isatty(STDERR_FILENO) && !options->console.put) {
        const struct machine_observer observer = {.event = show_progress, .context = &info};
        machine_observe(machine, &observer, &error);
    }
    cli_confine(&(struct confine){0});
    struct sigaction action = {.sa_handler = on_signal};
    running = machine;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    enum replay_outcome outcome;
    int result = replay_run(replay, position, &outcome, &damaged, &error);
    running = NULL;
    if (isatty(STDERR_FILENO) && !options->console.put)
        fprintf(stderr, "\r%*s\r", 16, "");
    int status;
    if (result < 0) {
        error_prefix(&error, "%s: event %" PRIu64, path, machine->position.event);
        status = cli_fail(damaged ? STATUS_DAMAGED : STATUS_ERROR, &error);
    } else {
        status = report(replay, outcome);
    }
    replay_close(replay);
    return status;
}

int cli_replay(int argc, char **argv)
{
    static const struct option options[] = {
        {"engine", required_argument, NULL, OPTION_ENGINE},
        {"until", required_argument, NULL, OPTION_UNTIL},
        {"console", no_argument, NULL, OPTION_CONSOLE},
        {"no-verify", no_argument, NULL, OPTION_NO_VERIFY},
        {"any-version", no_argument, NULL, OPTION_ANY_VERSION},
        {"memory-limit", required_argument, NULL, OPTION_MEMORY_LIMIT},
        {"store", required_argument, NULL, OPTION_STORE},
        {0},
    };
    struct replay_options replay = {.verify = true};
    const char *until = NULL, *store = NULL;
    char room[PATH_MAX];
    struct error error;
    int option;
    if (cli_wants_help(argc, argv))
        return cli_help(help);
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case OPTION_ENGINE:
            if (strcmp(optarg, "kvm") != 0 && strcmp(optarg, "soft") != 0)
                return cli_usage("replay", "--engine %s: kvm or soft", optarg);
            replay.engine = optarg;
            break;
        case OPTION_UNTIL:
            until = optarg;
            break;
        case OPTION_CONSOLE:
            replay.console.put = put_console;
            break;
        case OPTION_NO_VERIFY:
            replay.verify = false;
            break;
        case OPTION_MEMORY_LIMIT:
            if (parse_size(optarg, &replay.memory_limit, &error) < 0)
                return cli_usage("replay", "--memory-limit: %s", error.text);
            break;
        case OPTION_STORE:
            store = optarg;
            break;
        case OPTION_ANY_VERSION:
            replay.any_version = true;
            break;
        default:
            return cli_usage("replay", "bad option");
        }
    }
    if (optind + 1 != argc)
        return cli_usage("replay", "give one trace");
    replay.store = cli_store_path(store, room);
    return replay_trace_file(argv[optind], &replay, until);
}
