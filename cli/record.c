/* hindsight record: a live machine, everything needed to have it again in a trace. */
#include "cli/cli.h"
#include "cli/like.h"
#include "cli/machine.h"
#include "cli/recording.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "vmm/machine/choices.h"

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
    "  --like TRACE.hst       the machine of this trace, with its boot files and seed; other "
    "options\n"
    "                         change it\n"
    "  --note-choices FILE    with --seed: writes what the seed chose, a line each\n"
    "  --choices FILE         only what such a file has is chosen so: timers fire at their "
    "deadlines\n"
    "                         else, and vCPUs run until they wait (see 'hindsight bisect')\n"
    "  --store DIR            the boot files go into this folder (see 'hindsight unpack'), not "
    "into\n"
    "                         the trace\n\n";

enum {
    OPTION_NO_CHECKS = 1,
    OPTION_MAX_SIZE,
    OPTION_STORE,
    OPTION_LIKE,
    OPTION_CHOICES,
    OPTION_NOTE_CHOICES
};

struct request {
    const char *path, *store, *like, *choices, *note;
    bool include_checks;
    struct choices follow, noted;
};

/* ---- Choices ---- */

static int write_choices(const struct request *request, FILE *file, struct error *error)
{
    struct buffer text = {0};
    choices_write(&request->noted, &text);
    bool written = !text.failed && fwrite(text.data, 1, text.size, file) == text.size;
    buffer_free(&text);
    written = fflush(file) == 0 && written;
    return written ? 0 : error_set_errno(error, "%s", request->note);
}

/* Before the machine is there: what is followed is read, what is noted has its file. */
static int prepare_choices(
    struct cli_machine *setup, struct request *request, FILE **file, struct error *error)
{
    bool counts = strcmp(setup->engine, "soft") == 0;
    if ((request->choices || request->note) && !(counts && setup->config.seeded))
        return error_set(error, "choices are those of a seed on the software CPU: give --seed N "
                                "and --engine soft");
    if (request->choices && cli_read_choices(request->choices, &request->follow, error) < 0)
        return -1;
    if (request->choices)
        setup->config.chaos = false;
    if (request->note && !(*file = fopen(request->note, "we")))
        return error_set_errno(error, "%s", request->note);
    live_choose(setup->live, request->note ? &request->noted : NULL,
        request->choices ? &request->follow : NULL);
    return 0;
}

/* ---- The run ---- */

static int record_into(struct cli_machine *setup, struct request *request, FILE *note)
{
    struct error error;
    struct recording recording = {
        .path = request->path,
        .store = request->store,
        .include_checks = request->include_checks,
        .source = live_source(setup->live),
    };
    int result = recording_run(&recording, setup);
    int status = result < 0 ? STATUS_HOST : cli_machine_status(setup, recording.outcome);
    if (result == 0)
        fprintf(stderr, "hindsight: %s: %llu events, %.3f s of virtual time: %s\n", request->path,
            (unsigned long long)setup->machine->position.event,
            (double)machine_time(setup->machine) / 1e9, recording.text);
    if (note && write_choices(request, note, &error) < 0)
        return cli_fail(STATUS_HOST, &error);
    return status;
}

static int record(struct cli_machine *setup, struct request *request)
{
    struct error error;
    struct file_roles roles = {0};
    FILE *note = NULL;
    cli_machine_roles(setup, &roles);
    roles_add(&roles, "--like", request->like, false);
    roles_add(&roles, "--choices", request->choices, false);
    roles_add(&roles, "--note-choices", request->note, true);
    roles_add(&roles, "-o", request->path, true);
    setup->trace_path = request->path;
    if (roles_check(&roles, &error) < 0)
        return cli_fail(STATUS_USAGE, &error);
    if (cli_machine_load(setup, &error) < 0 || cli_machine_open(setup, &error) < 0 ||
        prepare_choices(setup, request, &note, &error) < 0)
        return cli_fail(STATUS_HOST, &error);
    int status = record_into(setup, request, note);
    if (note)
        fclose(note);
    return status;
}

/* The value of an option that has to be known before the others are parsed; or NULL. */
static const char *early_option(int argc, char **argv, const char *name)
{
    size_t length = strlen(name);
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], name) == 0)
            return i + 1 < argc ? argv[i + 1] : NULL;
        if (strncmp(argv[i], name, length) == 0 && argv[i][length] == '=')
            return argv[i] + length + 1;
    }
    return NULL;
}

static int set_up_like(struct cli_machine *setup, struct request *request, int argc, char **argv)
{
    char room[PATH_MAX];
    request->like = early_option(argc, argv, "--like");
    if (!request->like)
        return STATUS_OK;
    const char *store = cli_store_path(early_option(argc, argv, "--store"), room);
    int status = cli_machine_like(setup, request->like, store);
    return status == STATUS_ERROR ? STATUS_HOST : status;
}

int cli_record(int argc, char **argv)
{
    static const struct option options[] = {CLI_MACHINE_OPTIONS,
        {"no-checks", no_argument, NULL, OPTION_NO_CHECKS},
        {"max-size", required_argument, NULL, OPTION_MAX_SIZE},
        {"store", required_argument, NULL, OPTION_STORE},
        {"like", required_argument, NULL, OPTION_LIKE},
        {"choices", required_argument, NULL, OPTION_CHOICES},
        {"note-choices", required_argument, NULL, OPTION_NOTE_CHOICES}, {0}};
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
    int option, status = set_up_like(&setup, &request, argc, argv);
    while (status == STATUS_OK && (option = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
        if (option == 'o') {
            request.path = optarg;
        } else if (option == OPTION_NO_CHECKS) {
            request.include_checks = false;
        } else if (option == OPTION_STORE) {
            request.store = optarg;
        } else if (option == OPTION_CHOICES) {
            request.choices = optarg;
        } else if (option == OPTION_NOTE_CHOICES) {
            request.note = optarg;
        } else if (option == OPTION_LIKE) {
            continue; /* taken before */
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
    if (status == STATUS_OK && cli_machine_like_check(&setup, &error) < 0)
        status = cli_usage("record", "%s", error.text);
    if (status == STATUS_OK)
        status = record(&setup, &request);
    cli_machine_close(&setup);
    choices_free(&request.follow);
    choices_free(&request.noted);
    return status;
}
