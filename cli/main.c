/* hindsight: finds the subcommand and runs it. */
#include "cli/cli.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
};

static const struct command commands[] = {
    {"doctor", cli_doctor, "what this host can do, and which engine 'auto' takes"},
    {"run", cli_run, "run a guest live, without a trace"},
    {"record", cli_record, "run a guest and record it"},
    {"replay", cli_replay, "run a trace again and compare"},
    {"debug", cli_debug, "walk through a trace in both directions"},
    {"query", cli_query, "ask about every moment of a trace"},
    {"gdb", cli_gdb, "let stock gdb attach to a trace"},
    {"fork", cli_fork, "go live from a position of a trace, into a trace of its own"},
    {"hunt", cli_hunt, "record with many seeds, keep what fails"},
    {"bisect", cli_bisect, "which of a seed's choices decide how a run ends"},
    {"rerun", cli_rerun, "what a recorded run got, into a changed guest: is its failure gone?"},
    {"diff", cli_diff, "where two recorded runs part"},
    {"report", cli_report, "a page that shows a whole run, for a browser"},
    {"info", cli_info, "what a trace holds"},
    {"dump", cli_dump, "the events and inputs of a trace"},
    {"cat", cli_cat, "a file of the guest's as it was at a position"},
    {"ps", cli_ps, "the tasks of a Linux guest at a position"},
    {"dmesg", cli_dmesg, "the log of a Linux guest's kernel at a position"},
    {"console", cli_console, "what a guest had printed by a position"},
    {"extract", cli_extract, "a trace's kernel, initrd or disks as files"},
    {"test", cli_test, "replay kept traces and say which are as recorded"},
    {"verify", cli_verify, "check that a trace file is intact"},
    {"strip", cli_strip, "copy a trace without its checks"},
    {"unpack", cli_unpack, "a copy of a trace whose boot files are in a store"},
    {"pack", cli_pack, "a copy of a trace that has all in it, as small as it goes"},
    {"raid", cli_raid, "create, inspect, scrub and rebuild disk arrays"},
};

static void print_help(FILE *out)
{
    fputs("Usage: hindsight COMMAND [OPTION]...\n"
          "Record a virtual machine, replay it exactly, walk through it in both directions.\n\n",
        out);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
    fputs("\n'hindsight COMMAND --help' tells more; so does the manual page hindsight(1).\n", out);
}

/*
 * A closed standard descriptor would be the number of the next file opened, which then got what is
 * printed. In its place comes one that has no input, and takes no output.
 */
static bool fill_closed_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != fd)
            return false;
    }
    return true;
}

/* What was printed has arrived, or the status says that it has not. */
static int finish(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    perror("hindsight: standard output");
    return status == STATUS_OK ? STATUS_ERROR : status;
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return STATUS_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help(stdout);
        return STATUS_OK;
    }
    if (strcmp(name, "--version") == 0) {
        puts("hindsight " HINDSIGHT_VERSION HINDSIGHT_COMMIT);
        return STATUS_OK;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    fprintf(stderr, "hindsight: '%s' is not a command (see 'hindsight --help')\n", name);
    return STATUS_USAGE;
}

int main(int argc, char **argv)
{
    return fill_closed_descriptors() ? finish(run(argc, argv)) : STATUS_ERROR;
}
