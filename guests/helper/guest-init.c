/*
 * guest-init: the first process of a Linux guest that is there for one command. It mounts what
 * programs expect, loads modules, mounts a root disk, runs the command and ends the machine with
 * the command's status. Static, without a C library, so that it runs over any root.
 *
 * As /init of an initramfs it takes its orders from /job, which `hindsight record --root` writes:
 * records of a letter and a value, each ended by a zero byte, of these kinds:
 *   mPATH  load this module           dDEVICE  an ext4 file system that becomes /
 *   cDIR   working directory          eN=V     environment
 *   aWORD  the command, word by word  t        on a terminal: the command may be typed at
 * Without a /job the command is what the kernel's command line has after "--": kernels hand that to
 * the first process. Called by another process it does the same: guest-init COMMAND [WORD]...
 *
 * The machine ends by the debug-exit port, to which the status is written (128 + N for signal N,
 * 127 and 126 for a command that cannot be run). Where there is no such port, 0 switches the
 * machine off, and any other status is a panic, so that it cannot be taken for a success.
 */
#include "system.h"

enum { WORDS_MAX = 1024, JOB_MAX = 1 << 18, DEBUG_EXIT_PORT = 0xf4 };

struct job {
    char text[JOB_MAX];
    char *module[32];
    char *argument[WORDS_MAX + 1], *environment[WORDS_MAX + 1];
    char *device, *folder;
    unsigned modules, arguments, variables;
    bool terminal;
};

static struct job job;

static void say(const char *what, const char *name)
{
    static const char self[] = "guest-init: ", colon[] = ": ", end[] = "\n";
    system_write(2, self, sizeof self - 1);
    system_write(2, name, length(name));
    system_write(2, colon, sizeof colon - 1);
    system_write(2, what, length(what));
    system_write(2, end, sizeof end - 1);
}

/* ---- The orders ---- */

static void add_word(char **list, unsigned *count, char *word)
{
    if (*count < WORDS_MAX)
        list[(*count)++] = word;
}

static void take_order(char kind, char *value)
{
    switch (kind) {
    case 'm':
        if (job.modules < sizeof job.module / sizeof job.module[0])
            job.module[job.modules++] = value;
        break;
    case 'd':
        job.device = value;
        break;
    case 'c':
        job.folder = value;
        break;
    case 'e':
        add_word(job.environment, &job.variables, value);
        break;
    case 'a':
        add_word(job.argument, &job.arguments, value);
        break;
    case 't':
        job.terminal = true;
        break;
    default:
        break;
    }
}

static bool read_job(void)
{
    long fd = system_open("/job", O_RDONLY);
    if (fd < 0)
        return false;
    long size = 0, got = 1;
    while (size < JOB_MAX - 1 &&
           (got = system_read((int)fd, job.text + size, (size_t)(JOB_MAX - 1 - size))) > 0)
        size += got;
    system_close((int)fd);
    for (char *at = job.text; at < job.text + size; at += length(at) + 1)
        take_order(*at, at + 1);
    return true;
}

static void read_words(int count, char **words, char **variables)
{
    for (int i = 1; i < count; i++)
        add_word(job.argument, &job.arguments, words[i]);
    for (; *variables; variables++)
        add_word(job.environment, &job.variables, *variables);
}

/* ---- The machine as programs expect it ---- */

static void mount_kernel(void)
{
    system_mkdir("/proc", 0755);
    system_mkdir("/sys", 0755);
    system_mkdir("/dev", 0755);
    system_mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    system_mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    system_mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755");
}

static void mount_rest(void)
{
    system_mkdir("/dev/pts", 0755);
    system_mkdir("/dev/shm", 01777);
    system_mount(
        "devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666");
    system_mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
    system_mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755");
    system_symlink("/proc/self/fd", "/dev/fd");
    system_symlink("/proc/self/fd/0", "/dev/stdin");
    system_symlink("/proc/self/fd/1", "/dev/stdout");
    system_symlink("/proc/self/fd/2", "/dev/stderr");
}

static bool ends_with(const char *name, const char *end)
{
    size_t size = length(name), tail = length(end);
    return size > tail && same(name + size - tail, end);
}

static void load_module(const char *path)
{
    long fd = system_open(path, O_RDONLY);
    unsigned flags = ends_with(path, ".ko") ? 0 : MODULE_INIT_COMPRESSED_FILE;
    long result = fd < 0 ? fd : system_finit_module((int)fd, "", flags);
    if (fd >= 0)
        system_close((int)fd);
    if (result < 0 && result != -EEXIST)
        say("the module cannot be loaded", path);
}

/* A driver may still be looking at its device. */
static bool wait_for_device(const char *path)
{
    for (unsigned i = 0; i < 500; i++) {
        long fd = system_open(path, O_RDONLY);
        if (fd >= 0) {
            system_close((int)fd);
            return true;
        }
        system_sleep(10000000);
    }
    return false;
}

static bool enter_root(const char *device)
{
    system_mkdir("/root", 0755);
    if (!wait_for_device(device)) {
        say("there is no such disk", device);
        return false;
    }
    if (system_mount(device, "/root", "ext4", 0, "noinit_itable") < 0) {
        say("the disk cannot be mounted", device);
        return false;
    }
    system_mount("/proc", "/root/proc", NULL, MS_MOVE, NULL);
    system_mount("/sys", "/root/sys", NULL, MS_MOVE, NULL);
    system_mount("/dev", "/root/dev", NULL, MS_MOVE, NULL);
    return system_chdir("/root") == 0 && system_mount(".", "/", NULL, MS_MOVE, NULL) == 0 &&
           system_chroot(".") == 0;
}

static void start_network(void)
{
    static const char name[] = "hindsight";
    system_sethostname(name, sizeof name - 1);
    system_raise_loopback();
}

/* ---- The command ---- */

/*
 * The console is a wire: what is printed arrives byte for byte. Only for somebody at a terminal is
 * it a terminal.
 */
static void open_console(void)
{
    long console = system_open("/dev/ttyS0", O_RDWR | O_NOCTTY);
    if (console < 0)
        console = system_open("/dev/console", O_RDWR | O_NOCTTY);
    if (console < 0)
        return;
    for (int fd = 0; fd < 3; fd++)
        system_dup2((int)console, fd);
    if (console > 2)
        system_close((int)console);
    if (!job.terminal)
        system_make_raw(1);
}

static const char *variable(const char *name)
{
    size_t size = length(name);
    for (unsigned i = 0; i < job.variables; i++) {
        const char *at = job.environment[i];
        size_t same_bytes = 0;
        while (same_bytes < size && at[same_bytes] == name[same_bytes])
            same_bytes++;
        if (same_bytes == size && at[size] == '=')
            return at + size + 1;
    }
    return NULL;
}

/* Tries each folder of PATH; returns why none of them would do. */
static long search_and_execute(char *name)
{
    static char path[4096];
    const char *folders = variable("PATH");
    long worst = -ENOENT;
    size_t size = length(name);
    for (const char *at = folders ? folders : "/bin:/usr/bin"; *at;) {
        size_t folder = 0;
        while (at[folder] && at[folder] != ':')
            folder++;
        if (folder + size + 2 <= sizeof path) {
            copy(path, at, folder);
            path[folder] = '/';
            copy(path + folder + 1, name, size + 1);
            long result = system_execve(path, job.argument, job.environment);
            if (result != -ENOENT && result != -ENOTDIR)
                worst = result;
        }
        at += folder + (at[folder] == ':');
    }
    return worst;
}

__attribute__((noreturn)) static void become_command(void)
{
    system_setsid();
    if (job.terminal) {
        system_take_terminal(0);
    } else {
        long nothing = system_open("/dev/null", O_RDONLY);
        if (nothing >= 0)
            system_dup2((int)nothing, 0);
    }
    char *name = job.argument[0];
    bool has_folder = false;
    for (const char *at = name; *at; at++)
        has_folder |= *at == '/';
    long result = -ENOENT;
    if (job.folder && system_chdir(job.folder) < 0)
        say("there is no such folder to work in", job.folder);
    else
        result = has_folder ? system_execve(name, job.argument, job.environment)
                            : search_and_execute(name);
    bool missing = result == -ENOENT || result == -ENOTDIR;
    if (result)
        say(missing ? "no such command" : "the command cannot be executed", name);
    system_exit(missing ? 127 : 126);
}

/* The first process gets everybody's orphans. */
static int wait_for(long pid)
{
    for (;;) {
        int status = 0;
        long ended = system_wait(&status);
        if (ended == pid)
            return status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff;
        if (ended < 0 && ended != -EINTR)
            return 126;
    }
}

static int run_command(void)
{
    if (job.arguments == 0) {
        say("no command", "/job");
        return 127;
    }
    long pid = system_fork();
    if (pid == 0)
        become_command();
    return pid < 0 ? 126 : wait_for(pid);
}

/* ---- The end ---- */

__attribute__((noreturn)) static void end_machine(int status)
{
    bool first = system_getpid() == 1;
    if (first)
        system_kill_all();
    system_sync();
    /* The disk's summary of itself is written when it is mounted for reading again. */
    if (first)
        system_mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
    system_drain(1);
    if (system_take_port(DEBUG_EXIT_PORT) == 0)
        port_write(DEBUG_EXIT_PORT, (unsigned char)status);
    if (status == 0)
        system_power_off();
    system_exit(status);
}

__attribute__((noreturn)) void guest_init(long *stack);

void guest_init(long *stack)
{
    int count = (int)stack[0];
    char **words = (char **)(stack + 1), **variables = words + count + 1;
    mount_kernel();
    bool has_job = system_getpid() == 1 && read_job();
    if (!has_job)
        read_words(count, words, variables);
    if (system_getpid() == 1)
        open_console();
    for (unsigned i = 0; i < job.modules; i++)
        load_module(job.module[i]);
    if (job.device && !enter_root(job.device))
        end_machine(126);
    if (system_getpid() == 1) {
        mount_rest();
        start_network();
    }
    end_machine(run_command());
}
