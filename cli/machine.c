/* The options that describe a machine, and the machine made from them with its host side. */
#include "cli/cli.h"
#include "cli/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/parse.h"
#include "cli/files.h"
#include "devices/raid/raid.h"
#include "devices/uart.h"
#include "vmm/storage/disk.h"
#include "vmm/host/confine.h"
#include "vmm/machine/panic.h"
#include "vmm/machine/engines.h"
#include "vmm/machine/probe.h"

const char cli_machine_help[] =
    "Machine:\n"
    "  --kernel FILE          Linux bzImage, or ELF kernel: Multiboot, PVH or 64-bit entry\n"
    "  --initrd FILE          initial RAM disk, the first module\n"
    "  --module 'FILE ARGS'   a further module and its command line, repeatable\n"
    "  --append STR           kernel command line\n"
    "  --memory SIZE          RAM, 128M by default; repeatable: the parts are joined end to end.\n"
    "                         Also file=PATH,size=SIZE: RAM backed by a file\n"
    "  --engine auto|kvm|soft what executes the guest; auto takes kvm where it is usable and fast\n"
    "  --ring0 soft|native    with --engine kvm: who executes the guest's kernel. soft, the "
    "default\n"
    "                         where the host can: exact; native: KVM, but RDTSC is not replayed\n"
    "  --serial BACKEND       serial port: stdio (default), pty, unix:PATH, tcp:HOST:PORT,\n"
    "                         file:PATH, dev:/dev/ttyX, exec:COMMAND, null. Ctrl-A x quits stdio\n"
    "  --pace real|fast       real: a halted guest waits in real time (default on a terminal and\n"
    "                         with --net); fast: idle time is skipped\n"
    "  --disk file=A | raid=0|1|5,file=A,file=B,...[,chunk=64K][,spare=F][,snapshot=on]\n"
    "                         a disk, or an array made by 'hindsight raid create'; repeatable\n"
    "  --net link=L[,link=L]...[,bond=rr|hash|backup][,mac=M]\n"
    "                         a NIC over host links, repeatable. L: udp:LOCALPORT:HOST:PORT,\n"
    "                         unix:LOCAL:PEER, fd:N, tap:NAME\n"
    "  --fault disk0:member1:fail@t=2.5s   a fault on purpose; also eio@lba=N, corrupt@lba=N,\n"
    "                         unreadable@lba=N (until written);\n"
    "          net0:link1:down@t=2.5s      and net0:link1:up@t=4s for links of a network\n"
    "  --max-time TIME        stop after this much virtual time (2.5s, 10ms; 5 is 5 seconds)\n"
    "  --start-time SECONDS   the guest's clock at power-on, since 1970 UTC; the host's by "
    "default\n"
    "  --cpus N               vCPUs, 1 to 16; they run in turns on one host thread\n"
    "  --turn LEAST..MOST     instructions that one runs before another may (1K..100K)\n"
    "  --cpu-rules amd|intel  whose undefined results the guest gets: with --engine soft AMD's by\n"
    "                         default, with kvm always those of the host\n"
    "  --schedule S           who runs when: random (default), pct:DEPTH[,LENGTH],\n"
    "                         every-access:[phys:]ADDRESS+SIZE\n"
    "  --store-buffers        with --cpus: stores become visible to other vCPUs later, so that a\n"
    "                         missing fence shows; slower\n"
    "  --seed N               what would be random or the host's follows from this: turns, "
    "entropy,\n"
    "                         the date; on soft without input two runs are the same\n"
    "  --chaos                the seed also varies when timers fire, so that races show\n"
    "  --no-reboot            a reset ends the run instead of starting the guest again\n"
    "  --panic-exit on|off    a Linux kernel panic on the serial port ends the run with status\n"
    "                         100 (on by default)\n"
    "  --hang TIME            a serial console silent for this much virtual time ends it with 104\n"
    "  --fail-on REGEX        a line on the console that is a failure, status 102; repeatable,\n"
    "                         beside Linux's oopses, BUGs and lockups, which --no-fail-on drops\n"
    "  --fail-fast            such a line ends the run\n"
    "  --plain-status         V written to port 0xf4 is status V, not V << 1 | 1\n"
    "  --boot auto|elf64|pvh|multiboot|multiboot2|linux   which entry of the kernel to use\n";

int cli_machine_init(struct cli_machine *setup, struct error *error)
{
    *setup = (struct cli_machine){.engine = "auto", .serial = "stdio", .share.folder = -1};
    config_defaults(&setup->config);
    setup->config.memory_count = 0;
    setup->config.start_time = (int64_t)time(NULL);
    return console_watch_init(&setup->watch, error);
}

static int parse_integer(const char *name, const char *text, uint64_t *value, struct error *error)
{
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 0);
    if (errno || end == text || *end || text[0] == '-')
        return error_set(error, "%s %s: not a number", name, text);
    return 0;
}

static int parse_cpus(const char *text, struct machine_config *config, struct error *error)
{
    uint64_t count;
    if (parse_integer("--cpus", text, &count, error) < 0)
        return -1;
    if (count == 0 || count > CONFIG_MAX_CPUS)
        return error_set(error, "--cpus %s: a machine has 1 to %d", text, CONFIG_MAX_CPUS);
    config->cpus = (unsigned)count;
    return 0;
}

static int add_memory(struct cli_machine *setup, const char *value, struct error *error)
{
    struct machine_config *config = &setup->config;
    if (config->memory_count == MEMORY_MAX_BACKENDS)
        return error_set(error, "--memory: at most %d parts can be joined", MEMORY_MAX_BACKENDS);
    unsigned i = config->memory_count;
    if (config_parse_memory(value, &config->memory[i], &setup->memory_paths[i], error) < 0) {
        error_prefix(error, "--memory");
        return -1;
    }
    config->memory_count++;
    return 0;
}

static int set_pace(struct cli_machine *setup, const char *value, struct error *error)
{
    setup->pace_given = true;
    setup->config.pace = strcmp(value, "fast") == 0 ? PACE_FAST : PACE_REAL;
    if (setup->config.pace == PACE_REAL && strcmp(value, "real") != 0)
        return error_set(error, "--pace %s: real or fast", value);
    return 0;
}

/* `value` is a path, for --module with arguments after a space. The initrd is the first module. */
/* Modules that are given take the place of a trace's. */
static void drop_like_modules(struct cli_machine *setup)
{
    for (unsigned i = 0; i < setup->like_modules; i++) {
        free((void *)(uintptr_t)setup->modules[i].data);
        free(setup->module_paths[i]);
        setup->modules[i] = (struct boot_image){0};
        setup->module_paths[i] = NULL;
    }
    if (setup->like_modules)
        setup->module_count = setup->like_modules = 0;
}

static int add_module(
    struct cli_machine *setup, const char *value, bool is_initrd, struct error *error)
{
    if (is_initrd && setup->initrd_given)
        return error_set(error, "--initrd is given twice; further modules are given by --module");
    drop_like_modules(setup);
    if (setup->module_count == BOOT_MAX_MODULES)
        return error_set(error, "at most %d modules are possible", BOOT_MAX_MODULES);
    const char *space = is_initrd ? NULL : strchr(value, ' ');
    char *path = space ? strndup(value, (size_t)(space - value)) : strdup(value);
    if (!path)
        return error_set(error, "out of memory");
    unsigned at = setup->module_count++;
    for (; is_initrd && at > 0; at--) {
        setup->module_names[at] = setup->module_names[at - 1];
        setup->module_paths[at] = setup->module_paths[at - 1];
    }
    setup->module_names[at] = value;
    setup->module_paths[at] = path;
    setup->initrd_given |= is_initrd;
    return 0;
}

static int set_command_line(struct cli_machine *setup, const char *value, struct error *error)
{
    if (strlen(value) > BOOT_COMMAND_LINE_MAX)
        return error_set(error, "--append: the command line has %zu bytes; at most %d are possible",
            strlen(value), BOOT_COMMAND_LINE_MAX);
    if (strchr(value, '\n'))
        return error_set(error, "--append: a command line is one line");
    strcpy(setup->config.command_line, value);
    return 0;
}

static int set_engine(struct cli_machine *setup, const char *value, struct error *error)
{
    setup->engine = value;
    if (strcmp(value, "auto") && strcmp(value, "kvm") && strcmp(value, "soft"))
        return error_set(error, "--engine %s: auto, kvm or soft", value);
    return 0;
}

/* What the host would decide follows from the seed, the date too. */
static void set_seeded(struct cli_machine *setup)
{
    enum { NEW_YEAR_2025 = 1735689600 };
    setup->config.seeded = true;
    if (!setup->start_given)
        setup->config.start_time = NEW_YEAR_2025;
}

static int set_hang(struct cli_machine *setup, const char *value, struct error *error)
{
    if (parse_time(value, &setup->config.hang, error) < 0) {
        error_prefix(error, "--hang");
        return -1;
    }
    return setup->config.hang ? 0 : error_set(error, "--hang 0: a time is needed");
}

static int set_cpu_rules(struct cli_machine *setup, const char *value, struct error *error)
{
    setup->rules_given = true;
    if (!personality_named(value, &setup->config.personality))
        return error_set(error, "--cpu-rules %s: amd or intel", value);
    return 0;
}

/* Two machines on one wire need two addresses: where none is given it is drawn. */
static int add_net(struct cli_machine *setup, const char *value, struct error *error)
{
    struct machine_config *config = &setup->config;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t drawn = (uint64_t)now.tv_nsec / 64 + (uint64_t)getpid() * 977 + config->net_count;
    if (config->net_count == CONFIG_MAX_NICS)
        return error_set(error, "--net: at most %d NICs are possible", CONFIG_MAX_NICS);
    if (net_config_parse(value, drawn, &config->net[config->net_count], error) < 0)
        return -1;
    config->net_count++;
    return 0;
}

static int add_disk(struct cli_machine *setup, const char *value, struct error *error)
{
    struct machine_config *config = &setup->config;
    if (config->disk_count == CONFIG_MAX_DISKS)
        return error_set(error, "--disk: at most %d disks are possible", CONFIG_MAX_DISKS);
    if (disk_config_parse(value, &config->disk[config->disk_count], error) < 0)
        return -1;
    config->disk_count++;
    return 0;
}

static int add_net_fault(struct machine_config *config, const char *value, struct error *error)
{
    if (config->net_fault_count == NET_FAULT_MAX)
        return error_set(
            error, "--fault: at most %d faults of networks are possible", NET_FAULT_MAX);
    if (net_fault_parse(value, &config->net_fault[config->net_fault_count], error) < 0)
        return -1;
    config->net_fault_count++;
    return 0;
}

static int add_fault(struct cli_machine *setup, const char *value, struct error *error)
{
    struct machine_config *config = &setup->config;
    if (net_fault_is(value))
        return add_net_fault(config, value, error);
    if (config->fault_count == FAULT_MAX)
        return error_set(error, "--fault: at most %d faults are possible", FAULT_MAX);
    if (fault_parse(value, &config->fault[config->fault_count], error) < 0)
        return -1;
    config->fault_count++;
    return 0;
}

int cli_machine_option(
    struct cli_machine *setup, int option, const char *value, struct error *error)
{
    uint64_t number = 0;
    int result = 0;
    switch (option) {
    case CLI_ENGINE:
        result = set_engine(setup, value, error);
        break;
    case CLI_RING0:
        setup->ring0 = value;
        if (strcmp(value, "soft") && strcmp(value, "native"))
            result = error_set(error, "--ring0 %s: soft or native", value);
        break;
    case CLI_MEMORY:
        result = add_memory(setup, value, error);
        break;
    case CLI_KERNEL:
        setup->kernel_path = value;
        break;
    case CLI_INITRD:
        result = add_module(setup, value, true, error);
        break;
    case CLI_MODULE:
        result = add_module(setup, value, false, error);
        break;
    case CLI_APPEND:
        result = set_command_line(setup, value, error);
        break;
    case CLI_BOOT:
        if (!boot_protocol_parse(value, &setup->config.boot))
            result = error_set(
                error, "--boot %s: auto, elf64, pvh, multiboot, multiboot2 or linux", value);
        break;
    case CLI_SERIAL:
        setup->serial = value;
        break;
    case CLI_PACE:
        result = set_pace(setup, value, error);
        break;
    case CLI_MAX_TIME:
        result = parse_time(value, &setup->config.max_time, error);
        if (result < 0)
            error_prefix(error, "--max-time");
        break;
    case CLI_START_TIME:
        result = parse_integer("--start-time", value, &number, error);
        setup->config.start_time = (int64_t)(number & INT64_MAX);
        setup->start_given = true;
        break;
    case CLI_NET:
        result = add_net(setup, value, error);
        break;
    case CLI_NO_REBOOT:
        setup->config.reboot = false;
        break;
    case CLI_PANIC_EXIT:
        setup->config.panic_exit = strcmp(value, "on") == 0;
        if (!setup->config.panic_exit && strcmp(value, "off") != 0)
            result = error_set(error, "--panic-exit %s: on or off", value);
        break;
    case CLI_CHAOS:
        setup->config.chaos = true;
        set_seeded(setup);
        break;
    case CLI_HANG:
        result = set_hang(setup, value, error);
        break;
    case CLI_FAIL_ON:
        result = console_watch_add(&setup->watch, value, error);
        if (result < 0)
            error_prefix(error, "--fail-on");
        break;
    case CLI_NO_FAIL_ON:
        console_watch_clear(&setup->watch);
        break;
    case CLI_FAIL_FAST:
        setup->fail_fast = true;
        break;
    case CLI_PLAIN_STATUS:
        setup->plain_status = true;
        break;
    case CLI_CPUS:
        result = parse_cpus(value, &setup->config, error);
        break;
    case CLI_TURN:
        result = config_parse_turn(value, setup->config.turn, error);
        break;
    case CLI_CPU_RULES:
        result = set_cpu_rules(setup, value, error);
        break;
    case CLI_SCHEDULE:
        result = config_set_schedule(&setup->config, value, error);
        break;
    case CLI_STORE_BUFFERS:
        setup->config.store_buffers = true;
        break;
    case CLI_SEED:
        result = parse_integer("--seed", value, &setup->config.seed, error);
        set_seeded(setup);
        break;
    case CLI_DISK:
        result = add_disk(setup, value, error);
        break;
    case CLI_FAULT:
        result = add_fault(setup, value, error);
        break;
    default:
        return rootfs_option(&setup->rootfs, option, value, error);
    }
    return result < 0 ? -1 : 1;
}

static int load_file(const char *path, struct boot_image *image, struct error *error)
{
    struct buffer content = {0};
    int result = files_read(path, &content, error);
    if (result == 0 && content.size == 0)
        result = error_set(error, "%s: the file is empty", path);
    if (result < 0)
        buffer_free(&content);
    image->name = path;
    image->data = content.data;
    image->size = content.size;
    return result;
}

/* Of a command's machine as a trace has it: the trace has all but the disk. */
static int add_command_disk(struct cli_machine *setup, struct error *error)
{
    char disk[PATH_MAX + 32];
    if (rootfs_make_disk(&setup->rootfs, NULL, error) < 0)
        return -1;
    rootfs_disk_option(&setup->rootfs, disk, sizeof disk);
    setup->plain_status = true;
    return add_disk(setup, disk, error);
}

/* The machine that runs a command: the disk is the last of those that are given. */
static int add_command(struct cli_machine *setup, struct error *error)
{
    struct rootfs *rootfs = &setup->rootfs;
    char disk[PATH_MAX + 32], line[BOOT_COMMAND_LINE_MAX + 64];
    rootfs->terminal = isatty(STDIN_FILENO) && strncmp(setup->serial, "stdio", 5) == 0;
    if (rootfs->share && share_open(&setup->share, rootfs->share, error) < 0)
        return -1;
    if (rootfs_make(rootfs, setup->config.disk_count, NULL, error) < 0)
        return -1;
    rootfs_disk_option(rootfs, disk, sizeof disk);
    rootfs_command_line(setup->config.command_line, line, sizeof line);
    setup->kernel_path = rootfs->kernel;
    setup->plain_status = true;
    if (setup->config.memory_count == 0 && add_memory(setup, ROOTFS_MEMORY, error) < 0)
        return -1;
    if (add_disk(setup, disk, error) < 0 || add_module(setup, rootfs->initrd, true, error) < 0)
        return -1;
    setup->module_names[0] = "root.cpio"; /* where it was is of no interest */
    return set_command_line(setup, line, error);
}

int cli_machine_command(struct cli_machine *setup, char *const *command, struct error *error)
{
    const struct rootfs *rootfs = &setup->rootfs;
    bool runs = rootfs->root && !setup->like_name;
    if (runs)
        setup->rootfs.command = command;
    else if (*command)
        return error_set(error, "'%s' is not understood", *command);
    if (setup->like_name &&
        (rootfs->share || rootfs->folder || rootfs->variables || rootfs->modules))
        return error_set(error, "the command is the trace's: --share, --env, --chdir and --modules "
                                "are for a new one");
    if (setup->like_name && rootfs->root)
        return 0;
    if (rootfs_check(&setup->rootfs, setup->kernel_path, error) < 0)
        return -1;
    if (setup->rootfs.root && setup->initrd_given)
        return error_set(error, "--root has an initrd of its own");
    return setup->kernel_path || setup->rootfs.root || setup->like_name
               ? 0
               : error_set(error, "no kernel: give one with --kernel FILE");
}

/* Whether the software CPU executes ring 0 beside KVM: as asked for, or where the host can. */
static int choose_ring0(struct cli_machine *setup, struct error *error)
{
    const bool native = setup->ring0 && strcmp(setup->ring0, "native") == 0;
    if (native && !probe_ring0_exact())
        return error_set(error, "--ring0 native: this host's KVM emulates ring 0, and not exactly");
    setup->config.tsc_is_input = !native && engines_kvm_sees_tsc();
    if (setup->ring0 && !native && !setup->config.tsc_is_input)
        return error_set(error, "--ring0 soft: this host's KVM cannot run ring 3 alone");
    return 0;
}

/* KVM has the host's rules and no others; so have traces recorded on it. */
static int choose_engine(struct cli_machine *setup, struct error *error)
{
    struct machine_config *config = &setup->config;
    host_cpu_identify(&config->host);
    struct personality own = host_cpu_personality(&config->host);
    bool other_rules = setup->rules_given && config->personality.maker != own.maker;
    if (setup->ring0 && strcmp(setup->engine, "soft") == 0)
        return error_set(error, "--ring0 is for --engine kvm");
    if (strcmp(setup->engine, "auto") == 0)
        setup->engine = other_rules || config->cpus > 1 ? "soft" : probe_auto_engine();
    bool on_kvm = strcmp(setup->engine, "kvm") == 0;
    if (on_kvm && !setup->rules_given)
        config->personality = own;
    config->tsc_is_input = false;
    if (on_kvm && choose_ring0(setup, error) < 0)
        return -1;
    config->plain_apic = on_kvm && !config->tsc_is_input;
    config->host_functions = on_kvm;
    return 0;
}

void cli_machine_roles(const struct cli_machine *setup, struct file_roles *roles)
{
    roles_add(roles, "--kernel", setup->kernel_path, false);
    for (unsigned i = setup->like_modules; i < setup->module_count; i++)
        roles_add(roles, i == 0 && setup->initrd_given ? "--initrd" : "--module",
            setup->module_paths[i], false);
    if (strncmp(setup->serial, "file:", 5) == 0)
        roles_add(roles, "--serial", setup->serial + 5, true);
    for (unsigned i = 0; i < setup->config.memory_count; i++)
        roles_add(roles, "--memory", setup->memory_paths[i], true);
    for (unsigned i = 0; i < setup->config.disk_count; i++) {
        const struct disk_config *disk = &setup->config.disk[i];
        for (unsigned j = 0; j < DISK_MAX_FILES; j++)
            roles_add(roles, "--disk", disk->path[j], !disk->snapshot);
    }
}

int cli_machine_load(struct cli_machine *setup, struct error *error)
{
    if (setup->config.store_buffers && setup->config.cpus == 1)
        return error_set(error, "--store-buffers is for several vCPUs: give --cpus N");
    if (setup->rootfs.root && (setup->like_name ? add_command_disk : add_command)(setup, error) < 0)
        return -1;
    if (setup->config.memory_count == 0 && add_memory(setup, "128M", error) < 0)
        return -1;
    if (!setup->pace_given)
        setup->config.pace =
            isatty(STDIN_FILENO) || setup->config.net_count ? PACE_REAL : PACE_FAST;
    if (setup->kernel_path) {
        free((void *)(uintptr_t)setup->kernel.data);
        setup->kernel = (struct boot_image){0};
        if (load_file(setup->kernel_path, &setup->kernel, error) < 0)
            return -1;
    }
    for (unsigned i = setup->like_modules; i < setup->module_count; i++) {
        if (load_file(setup->module_paths[i], &setup->modules[i], error) < 0)
            return -1;
        setup->modules[i].name = setup->module_names[i];
    }
    for (unsigned i = 0; i < setup->config.disk_count; i++) {
        if (disk_config_measure(&setup->config.disk[i], error) < 0)
            return -1;
    }
    return choose_engine(setup, error);
}

/* ---- The serial port ---- */

static int console_fd(void *context)
{
    return serial_fd(context);
}

static ssize_t console_read(void *context, uint8_t *data, size_t size)
{
    struct cli_machine *setup = context;
    size_t room = sizeof setup->typed - setup->typed_count;
    if (room)
        setup->typed_count += serial_read(setup->console, setup->typed + setup->typed_count, room);
    if (serial_quit_requested(setup->console))
        machine_request_stop(setup->machine);
    size_t got = setup->typed_count < size ? setup->typed_count : size;
    if (got == 0) {
        errno = EAGAIN;
        return -1;
    }
    memcpy(data, setup->typed, got);
    setup->typed_count -= got;
    memmove(setup->typed, setup->typed + got, setup->typed_count);
    return (ssize_t)got;
}

static int console_fd_of(void *context)
{
    struct cli_machine *setup = context;
    return console_fd(setup->console);
}

static bool console_ended(void *context)
{
    struct cli_machine *setup = context;
    return setup->typed_count == 0 && serial_input_ended(setup->console);
}

static void console_put(void *context, const uint8_t *bytes, size_t count)
{
    struct cli_machine *setup = context;
    serial_write(setup->console, bytes, count);
    sink_put(&setup->printed, bytes, count);
    if (console_watch_put(&setup->watch, bytes, count) && setup->machine) {
        setup->report_event = setup->machine->position.event;
        if (setup->fail_fast)
            machine_request_stop(setup->machine);
    }
}

static void line_changed(void *context, const struct uart_line *line)
{
    struct cli_machine *setup = context;
    if (setup->console)
        serial_set_line(setup->console, line);
}

int cli_machine_open(struct cli_machine *setup, struct error *error)
{
    /* A closed pipe and a file at its size limit are errors of a write, to be reported as such. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    setup->console = serial_open(setup->serial, error);
    if (!setup->console)
        return -1;
    if (strncmp(setup->serial, "stdio", 5) != 0 && strcmp(setup->serial, "null") != 0)
        fprintf(stderr, "hindsight: serial port: %s\n", serial_description(setup->console));
    const struct live_console console = {
        .fd = console_fd_of, .read = console_read, .ended = console_ended, .context = setup};
    setup->live = live_create(setup->no_typing ? NULL : &console, setup->config.pace, error);
    return setup->live ? 0 : -1;
}

/* The terminal is a person's again before anything else is said. */
static void close_console(struct cli_machine *setup)
{
    struct error warning;
    struct serial_backend *console = setup->console;
    setup->console = NULL; /* the UART's destruction may still report its lines */
    if (!console)
        return;
    serial_flush(console);
    bool quit = serial_quit_requested(console), warned = serial_take_warning(console, &warning);
    serial_close(console);
    if (quit)
        fputc('\n', stderr);
    if (warned)
        fprintf(stderr, "hindsight: %s\n", warning.text);
}

struct byte_sink cli_machine_console(struct cli_machine *setup)
{
    return (struct byte_sink){.put = console_put, .target = setup};
}

/* Arrays that begin without one of their members go on, but not without a word. */
static void tell_degraded(const struct machine *machine, const struct machine_config *config)
{
    for (unsigned i = 0; i < config->disk_count; i++) {
        struct raid_array *array = machine->disk[i] ? disk_array(machine->disk[i]) : NULL;
        if (!array || !raid_degraded(array))
            continue;
        const struct raid_superblock *status = raid_status(array);
        for (unsigned member = 0; member < status->geometry.members; member++) {
            if (status->member[member].state != RAID_MEMBER_ACTIVE)
                fprintf(stderr,
                    "hindsight: disk%u: RAID %u begins without member %u: see 'hindsight raid "
                    "status', rebuild it soon\n",
                    i, (unsigned)status->geometry.level, member);
        }
    }
}

/* What --boot auto chose. */
static void tell_boot(const struct cli_machine *setup)
{
    const struct boot_choice *choice = &setup->machine->boot_choice;
    if (setup->config.boot == BOOT_AUTO && !setup->rootfs.root)
        cli_say("%s: started by --boot %s: %s", setup->kernel.name,
            boot_protocol_name(choice->protocol), choice->reason);
}

/* What a recording cannot promise. */
static void tell_ring0(const struct cli_machine *setup)
{
    if (strcmp(setup->engine, "kvm") == 0 && !setup->config.tsc_is_input)
        fprintf(stderr,
            "hindsight: KVM executes ring 0: a guest whose kernel reads the time stamp counter "
            "(RDTSC, as Linux does) will not replay; --%s has it exact\n",
            setup->ring0 ? "ring0 soft" : "engine soft");
}

void cli_machine_confine(const struct cli_machine *setup)
{
    char folder[PATH_MAX], socket[PATH_MAX] = "";
    struct confine wanted = {
        .reopens = strncmp(setup->serial, "dev:", 4) == 0 || strstr(setup->serial, ",server"),
        .child = strncmp(setup->serial, "exec:", 5) == 0,
    };
    if (strncmp(setup->serial, "unix:", 5) == 0 && strstr(setup->serial, ",server")) {
        snprintf(socket, sizeof socket, "%s", setup->serial + 5);
        *strchrnul(socket, ',') = '\0';
        wanted.removes = dirname(socket);
    }
    if (setup->trace_path && (wanted.writable[0] = cli_folder_of(setup->trace_path, folder)))
        wanted.writable_count = 1;
    if (setup->rootfs.share) {
        wanted.writable[wanted.writable_count++] = setup->rootfs.share;
        wanted.makes_folders = true;
    }
    cli_confine(&wanted);
}

int cli_machine_create(struct cli_machine *setup, struct input_source *source, struct error *error)
{
    const struct machine_options options = {
        .config = &setup->config,
        .engine = setup->engine,
        .kernel = &setup->kernel,
        .modules = setup->modules,
        .module_count = setup->module_count,
        .source = source,
        .console = {.put = console_put, .target = setup},
        .line_changed = line_changed,
        .line_target = setup,
    };
    setup->machine = machine_create(&options, error);
    rootfs_remove(&setup->rootfs); /* the machine has opened them */
    if (setup->machine)
        cli_machine_confine(setup);
    if (setup->machine && live_attach(setup->live, setup->machine, error) == 0) {
        tell_boot(setup);
        tell_ring0(setup);
        tell_degraded(setup->machine, &setup->config);
        return 0;
    }
    close_console(setup);
    return -1;
}

/* ---- Signals: the one thing that a process has one of ---- */

static struct machine *volatile signalled_machine;
static volatile sig_atomic_t caught_signal;

static void on_signal(int number)
{
    caught_signal = number;
    if (signalled_machine)
        machine_request_stop(signalled_machine);
}

int cli_machine_run(struct cli_machine *setup, int *signal_number, struct error *error)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal}, old[3];
    caught_signal = 0;
    signalled_machine = setup->machine;
    for (unsigned i = 0; i < 3; i++)
        sigaction(signals[i], &action, &old[i]);
    int result = machine_run(setup->machine, POSITION_END, error);
    live_detach(setup->live);
    close_console(setup);
    for (unsigned i = 0; i < 3; i++)
        sigaction(signals[i], &old[i], NULL);
    signalled_machine = NULL;
    *signal_number = caught_signal;
    return result;
}

int cli_machine_share(struct cli_machine *setup, struct error *error)
{
    struct share *share = &setup->share;
    const struct machine_config *config = &setup->config;
    if (!setup->rootfs.share || !setup->machine)
        return 0;
    if (share_copy(share, setup->machine->disk[config->disk_count - 1], ROOTFS_SHARED, error) < 0)
        return -1;
    if (share->left_out)
        cli_say("--share %s: %u left out, '%s' among them: links, devices, sockets and names with "
                "control characters are not copied",
            share->path, share->left_out, share->example);
    return 0;
}

void cli_machine_close(struct cli_machine *setup)
{
    share_close(&setup->share);
    console_watch_clear(&setup->watch);
    rootfs_remove(&setup->rootfs);
    live_destroy(setup->live);
    close_console(setup);
    machine_destroy(setup->machine);
    free(setup->like_name);
    free((void *)(uintptr_t)setup->kernel.data);
    for (unsigned i = 0; i < setup->module_count; i++) {
        free((void *)(uintptr_t)setup->modules[i].data);
        free(setup->module_paths[i]);
    }
    for (unsigned i = 0; i < MEMORY_MAX_BACKENDS; i++)
        free(setup->memory_paths[i]);
    for (unsigned i = 0; i < setup->config.net_count; i++)
        net_config_free(&setup->config.net[i]);
    for (unsigned i = 0; i < setup->config.disk_count; i++)
        disk_config_free(&setup->config.disk[i]);
}

struct outcome cli_machine_outcome(const struct cli_machine *setup, int signal, bool full)
{
    struct outcome outcome = outcome_of(setup->machine, signal);
    if (outcome.kind == OUTCOME_STATUS && setup->plain_status)
        outcome.number = setup->machine->run.status >> 1 & 0xff;
    bool stopped_by_watch = setup->watch.found[0] && setup->fail_fast && signal == 0;
    if (full)
        outcome = (struct outcome){.kind = OUTCOME_LIMIT};
    if (setup->watch.found[0] &&
        (outcome.kind == OUTCOME_ENDED || outcome.kind == OUTCOME_STATUS || stopped_by_watch))
        outcome = (struct outcome){.kind = OUTCOME_REPORT};
    return outcome;
}

const char *cli_machine_outcome_text(const struct cli_machine *setup, struct outcome outcome)
{
    if (outcome.kind == OUTCOME_PANIC)
        return panic_watch_text(setup->machine->panic);
    return outcome.kind == OUTCOME_REPORT ? setup->watch.found : NULL;
}

const char *cli_machine_end(const struct cli_machine *setup, struct outcome outcome, bool full)
{
    if (full)
        return "as large as --max-size allows";
    if (outcome.kind == OUTCOME_REPORT && setup->fail_fast)
        return "stopped at what the console reports";
    return stop_reason_name(machine_stopped(setup->machine));
}

/* Why CI is red, and where to look. */
static void tell_event(const char *what, uint64_t event, const char *text)
{
    struct error line;
    error_set(&line, "%s at event %llu%s%s", what, (unsigned long long)event, text ? ": " : "",
        text ? text : "");
    cli_fail(STATUS_OK, &line);
}

int cli_machine_status(const struct cli_machine *setup, struct outcome outcome)
{
    const struct machine *machine = setup->machine;
    const char *text = cli_machine_outcome_text(setup, outcome);
    switch (outcome.kind) {
    case OUTCOME_REPORT:
        tell_event("the console reports a failure", setup->report_event, text);
        break;
    case OUTCOME_INTERRUPTED:
    case OUTCOME_PANIC:
    case OUTCOME_HANG:
    case OUTCOME_SHUTDOWN:
        tell_event(stop_reason_name(machine_stopped(machine)), machine->position.event, text);
        break;
    default:
        break;
    }
    return outcome_exit_status(outcome);
}
