/* hindsight run: a live machine, no trace. */
#include "cli/cli.h"
#include "cli/machine.h"

#include <stdio.h>

#include "base/visible.h"

static const char help[] = "Usage: hindsight run [MACHINE]\n"
                           "       hindsight run --root DIR|TAR [MACHINE] -- COMMAND...\n"
                           "Run a guest live, without a trace. The exit status tells what became "
                           "of it: see hindsight(1).\n\n";

/* Registers and code of a guest that went wrong. */
void cli_describe_failure(struct machine *machine)
{
    struct buffer text = {0};
    machine_describe(machine, &text);
    struct buffer shown = {0};
    buffer_put_visible(&shown, text.data, text.size);
    if (!text.failed && !shown.failed)
        fwrite(shown.data, 1, shown.size, stderr);
    buffer_free(&shown);
    buffer_free(&text);
}

static int run(struct cli_machine *setup)
{
    struct error error;
    int signal_number;
    struct file_roles roles = {0};
    cli_machine_roles(setup, &roles);
    if (roles_check(&roles, &error) < 0)
        return cli_fail(STATUS_USAGE, &error);
    if (cli_machine_load(setup, &error) < 0 || cli_machine_open(setup, &error) < 0 ||
        cli_machine_create(setup, live_source(setup->live), &error) < 0)
        return cli_fail(STATUS_HOST, &error);
    int status = cli_machine_run(setup, &signal_number, &error);
    if (status < 0 || machine_stopped(setup->machine) == STOP_SHUTDOWN)
        cli_describe_failure(setup->machine);
    if (status < 0)
        return cli_fail(STATUS_HOST, &error);
    status = cli_machine_status(setup, cli_machine_outcome(setup, signal_number, false));
    return cli_machine_share(setup, &error) < 0 ? cli_fail(STATUS_HOST, &error) : status;
}

int cli_run(int argc, char **argv)
{
    static const struct option options[] = {CLI_MACHINE_OPTIONS, {0}};
    struct cli_machine setup;
    struct error error;
    if (cli_wants_help(argc, argv)) {
        cli_help(help);
        cli_help(rootfs_help);
        return cli_help(cli_machine_help);
    }
    if (cli_machine_init(&setup, &error) < 0)
        return cli_fail(STATUS_HOST, &error);
    int option, status = STATUS_OK;
    while (status == STATUS_OK && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        int taken = option == '?' ? 0 : cli_machine_option(&setup, option, optarg, &error);
        if (taken <= 0)
            status =
                taken < 0 ? cli_usage("run", "%s", error.text) : cli_usage("run", "bad option");
    }
    if (status == STATUS_OK && cli_machine_command(&setup, argv + optind, &error) < 0)
        status = cli_usage("run", "%s", error.text);
    if (status == STATUS_OK)
        status = run(&setup);
    cli_machine_close(&setup);
    return status;
}
