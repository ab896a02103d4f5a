/*
 * The MACHINE part of a command line, and the host side of a live machine: kernel files, serial
 * back end, live source, signals.
 */
#ifndef CLI_MACHINE_H
#define CLI_MACHINE_H

#include <getopt.h>

#include "cli/console_watch.h"
#include "cli/roles.h"
#include "cli/rootfs.h"
#include "cli/share.h"
#include "vmm/machine/live.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/outcome.h"
#include "vmm/host/serial/serial_backend.h"

struct cli_machine {
    struct machine_config config;
    const char *engine;
    const char *ring0; /* with kvm, who executes it: "soft", "native"; NULL: whoever is exact */
    const char *kernel_path;
    const char *module_names[BOOT_MAX_MODULES]; /* --initrd, and as --module gives them */
    unsigned module_count;
    char *module_paths[BOOT_MAX_MODULES]; /* without the arguments */
    bool initrd_given;
    char *like_name; /* of the kernel that a trace gave (cli/like.h), or NULL */
    unsigned like_modules, like_disks, like_nets; /* that its machine had */
    bool like_keeps_nets; /* its networks are there, without links to the host */
    const char *serial;
    bool pace_given;
    char *memory_paths[MEMORY_MAX_BACKENDS];
    bool rules_given;
    bool start_given;
    struct rootfs rootfs; /* --root and what goes with it */
    struct share share;   /* where its results go */
    bool plain_status;    /* the guest's status is what it wrote to the debug-exit port */
    struct console_watch watch;
    bool fail_fast;        /* the run ends where the watch finds something */
    uint64_t report_event; /* where it was found */

    const char *trace_path; /* recording: what is written; else NULL */
    uint64_t max_size;      /* bytes of the trace; 0: no limit */

    struct boot_image kernel, modules[BOOT_MAX_MODULES];
    struct serial_backend *console;
    bool no_typing;           /* what is typed at the serial port is not for the guest */
    struct byte_sink printed; /* gets what the guest prints, too */
    uint8_t typed[16384];     /* taken from the console, not yet by the guest */
    size_t typed_count;
    struct live *live;
    struct machine *machine;
};

/* What in the guest's console is a failure. */
#define CLI_REPORT_OPTIONS                                 \
    {"fail-on", required_argument, NULL, CLI_FAIL_ON},     \
        {"no-fail-on", no_argument, NULL, CLI_NO_FAIL_ON}, \
    {                                                      \
        "fail-fast", no_argument, NULL, CLI_FAIL_FAST      \
    }

/* Long options for getopt_long; values start at 1000. A subcommand appends its own. */
#define CLI_MACHINE_OPTIONS                                                                        \
    {"engine", required_argument, NULL, CLI_ENGINE},                                               \
        {"ring0", required_argument, NULL, CLI_RING0},                                             \
        {"memory", required_argument, NULL, CLI_MEMORY},                                           \
        {"kernel", required_argument, NULL, CLI_KERNEL},                                           \
        {"initrd", required_argument, NULL, CLI_INITRD},                                           \
        {"module", required_argument, NULL, CLI_MODULE},                                           \
        {"append", required_argument, NULL, CLI_APPEND},                                           \
        {"boot", required_argument, NULL, CLI_BOOT},                                               \
        {"serial", required_argument, NULL, CLI_SERIAL},                                           \
        {"pace", required_argument, NULL, CLI_PACE},                                               \
        {"max-time", required_argument, NULL, CLI_MAX_TIME},                                       \
        {"cpus", required_argument, NULL, CLI_CPUS}, {"turn", required_argument, NULL, CLI_TURN},  \
        {"store-buffers", no_argument, NULL, CLI_STORE_BUFFERS},                                   \
        {"schedule", required_argument, NULL, CLI_SCHEDULE},                                       \
        {"start-time", required_argument, NULL, CLI_START_TIME},                                   \
        {"cpu-rules", required_argument, NULL, CLI_CPU_RULES},                                     \
        {"disk", required_argument, NULL, CLI_DISK},                                               \
        {"fault", required_argument, NULL, CLI_FAULT}, {"net", required_argument, NULL, CLI_NET},  \
        {"no-reboot", no_argument, NULL, CLI_NO_REBOOT},                                           \
        {"panic-exit", required_argument, NULL, CLI_PANIC_EXIT},                                   \
        {"chaos", no_argument, NULL, CLI_CHAOS}, {"hang", required_argument, NULL, CLI_HANG},      \
        CLI_REPORT_OPTIONS, ROOTFS_OPTIONS, {"plain-status", no_argument, NULL, CLI_PLAIN_STATUS}, \
    {                                                                                              \
        "seed", required_argument, NULL, CLI_SEED                                                  \
    }

enum {
    CLI_ENGINE = 1000,
    CLI_RING0,
    CLI_MEMORY,
    CLI_KERNEL,
    CLI_INITRD,
    CLI_MODULE,
    CLI_APPEND,
    CLI_BOOT,
    CLI_SERIAL,
    CLI_PACE,
    CLI_MAX_TIME,
    CLI_CPUS,
    CLI_TURN,
    CLI_STORE_BUFFERS,
    CLI_SCHEDULE,
    CLI_START_TIME,
    CLI_SEED,
    CLI_DISK,
    CLI_FAULT,
    CLI_PANIC_EXIT,
    CLI_NO_REBOOT,
    CLI_NET,
    CLI_CPU_RULES,
    CLI_HANG,
    CLI_CHAOS,
    CLI_FAIL_ON,
    CLI_NO_FAIL_ON,
    CLI_FAIL_FAST,
    CLI_PLAIN_STATUS,
};

extern const char cli_machine_help[];

int cli_machine_init(struct cli_machine *setup, struct error *error);
/* One parsed option; 1: taken, 0: not a machine option, -1: bad value. */
int cli_machine_option(
    struct cli_machine *setup, int option, const char *value, struct error *error);
/* What comes after the options: --root's command, or nothing. Checks what the options need. */
int cli_machine_command(struct cli_machine *setup, char *const *command, struct error *error);
/* Checks the whole, reads the files, resolves `auto`. */
int cli_machine_load(struct cli_machine *setup, struct error *error);
/* Adds every file that the machine is given. */
void cli_machine_roles(const struct cli_machine *setup, struct file_roles *roles);
/* Opens the serial back end and the live source. */
int cli_machine_open(struct cli_machine *setup, struct error *error);
/* The serial back end as a sink. */
struct byte_sink cli_machine_console(struct cli_machine *setup);
/* Builds the machine over `source` (the live one, or a recorder's) and starts the live source. */
/* All files are open: leaves what the back ends may still need, to the threads that are to come. */
void cli_machine_confine(const struct cli_machine *setup);
int cli_machine_create(struct cli_machine *setup, struct input_source *source, struct error *error);
/* Runs until the guest stops; SIGINT, SIGTERM and SIGHUP stop it. *signal receives which, or 0. */
int cli_machine_run(struct cli_machine *setup, int *signal, struct error *error);
/* After that: what --share copies out. */
int cli_machine_share(struct cli_machine *setup, struct error *error);
/* Closes everything and restores the terminal. */
void cli_machine_close(struct cli_machine *setup);
/* What became of the guest: how its machine stopped, or what its console showed before. `full`: it
 * was stopped for --max-size. */
struct outcome cli_machine_outcome(const struct cli_machine *setup, int signal, bool full);
/* In words, for the trace and for a person: a panic's or a report's own line; NULL for others. */
const char *cli_machine_outcome_text(const struct cli_machine *setup, struct outcome outcome);
/* Why it ended, for the last line that is printed. */
const char *cli_machine_end(const struct cli_machine *setup, struct outcome outcome, bool full);
/* The process's exit status for it, with a line on standard error where a person wants to know. */
int cli_machine_status(const struct cli_machine *setup, struct outcome outcome);

#endif
