/* Confines the process by seccomp and Landlock. */
#include "vmm/host/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Sanitizers and coverage counters need calls that a confined process has no use for. */
#if defined(__SANITIZE_ADDRESS__) || defined(HINDSIGHT_COVERAGE)
#define INSTRUMENTED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define INSTRUMENTED 1
#endif
#endif
#ifndef INSTRUMENTED
#define INSTRUMENTED 0
#endif

/* ---- seccomp ---- */

enum { PROGRAM_MAX = 512, TIOCSTI_NUMBER = 0x5412, TIOCLINUX_NUMBER = 0x541c };

struct program {
    struct sock_filter code[PROGRAM_MAX];
    unsigned short length;
};

static void put(struct program *program, uint16_t code, uint32_t value, uint8_t yes, uint8_t no)
{
    if (program->length < PROGRAM_MAX)
        program->code[program->length++] =
            (struct sock_filter){.code = code, .jt = yes, .jf = no, .k = value};
}

static void load(struct program *program, size_t offset)
{
    put(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void end(struct program *program, uint32_t action)
{
    put(program, BPF_RET | BPF_K, action, 0, 0);
}

/* The low half of an argument: what the kernel looks at of flags and numbers of 32 bits. */
static void load_argument(struct program *program, unsigned number)
{
    load(program, offsetof(struct seccomp_data, args) + 8 * number);
}

static void allow(struct program *program, long call)
{
    put(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1);
    end(program, SECCOMP_RET_ALLOW);
}

/* Only while not all bits of `mask` are set in the argument. */
static void allow_without(struct program *program, long call, unsigned argument, uint32_t mask)
{
    put(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 5);
    load_argument(program, argument);
    put(program, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
    put(program, BPF_JMP | BPF_JEQ | BPF_K, mask, 1, 0);
    end(program, SECCOMP_RET_ALLOW);
    end(program, SECCOMP_RET_ERRNO | EPERM);
}

/* Only with exactly this value. */
static void allow_with(struct program *program, long call, unsigned argument, uint32_t value)
{
    put(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 4);
    load_argument(program, argument);
    put(program, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
    end(program, SECCOMP_RET_ALLOW);
    end(program, SECCOMP_RET_ERRNO | EPERM);
}

/* Only with one of these two values. */
static void allow_with_either(
    struct program *program, long call, unsigned argument, uint32_t value, uint32_t other)
{
    put(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 5);
    load_argument(program, argument);
    put(program, BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0);
    put(program, BPF_JMP | BPF_JEQ | BPF_K, other, 0, 1);
    end(program, SECCOMP_RET_ALLOW);
    end(program, SECCOMP_RET_ERRNO | EPERM);
}

static void deny(struct program *program, long call, int number)
{
    put(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1);
    end(program, SECCOMP_RET_ERRNO | (uint32_t)number);
}

static const long computing[] = {SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64,
    SYS_pwrite64, SYS_preadv, SYS_pwritev, SYS_lseek, SYS_close, SYS_fstat, SYS_newfstatat,
    SYS_statx, SYS_fsync, SYS_fdatasync, SYS_fallocate, SYS_ftruncate, SYS_flock, SYS_fcntl,
    SYS_dup, SYS_dup2, SYS_dup3, SYS_pipe, SYS_pipe2, SYS_eventfd2, SYS_poll, SYS_ppoll, SYS_select,
    SYS_pselect6, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_wait, SYS_epoll_pwait, SYS_munmap,
    SYS_mremap, SYS_madvise, SYS_brk, SYS_mincore, SYS_msync, SYS_memfd_create, SYS_futex,
    SYS_set_robust_list, SYS_rseq, SYS_exit, SYS_exit_group, SYS_sched_yield, SYS_sched_getaffinity,
    SYS_gettid, SYS_getpid, SYS_getppid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid,
    SYS_getpgrp, SYS_getpgid, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn,
    SYS_rt_sigtimedwait, SYS_rt_sigsuspend, SYS_sigaltstack, SYS_nanosleep, SYS_clock_nanosleep,
    SYS_clock_gettime, SYS_clock_getres, SYS_gettimeofday, SYS_time, SYS_timerfd_create,
    SYS_timerfd_settime, SYS_timerfd_gettime, SYS_restart_syscall, SYS_getrandom, SYS_uname,
    SYS_sysinfo, SYS_times, SYS_getrusage, SYS_getrlimit, SYS_umask, SYS_getcwd, SYS_wait4,
    SYS_membarrier, SYS_set_tid_address, SYS_arch_prctl};
/* On sockets that are there. */
static const long talking[] = {SYS_recvfrom, SYS_recvmsg, SYS_recvmmsg, SYS_sendto, SYS_sendmsg,
    SYS_sendmmsg, SYS_accept, SYS_accept4, SYS_getsockname, SYS_getpeername, SYS_setsockopt,
    SYS_getsockopt, SYS_shutdown};
/* By path: Landlock says which. */
static const long naming[] = {SYS_open, SYS_openat, SYS_access, SYS_faccessat, SYS_faccessat2,
    SYS_stat, SYS_lstat, SYS_readlink, SYS_readlinkat, SYS_getdents64, SYS_statfs, SYS_fstatfs,
    SYS_rename, SYS_renameat, SYS_renameat2, SYS_unlink, SYS_unlinkat, SYS_fchmod, SYS_linkat};

static void allow_all(struct program *program, const long *calls, size_t count)
{
    for (size_t i = 0; i < count; i++)
        allow(program, calls[i]);
}

static void build(struct program *program, const struct confine *confine)
{
    load(program, offsetof(struct seccomp_data, arch));
    put(program, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    end(program, SECCOMP_RET_KILL_PROCESS);
    load(program, offsetof(struct seccomp_data, nr));
    allow_all(program, computing, sizeof computing / sizeof *computing);
    allow_all(program, talking, sizeof talking / sizeof *talking);
    allow_all(program, naming, sizeof naming / sizeof *naming);
    allow_without(program, SYS_mmap, 2, PROT_WRITE | PROT_EXEC);
    allow_without(program, SYS_mprotect, 2, PROT_WRITE | PROT_EXEC);
    /* glibc then takes clone(), whose flags can be looked at. */
    deny(program, SYS_clone3, ENOSYS);
    put(program, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4);
    load_argument(program, 0);
    put(program, BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1);
    end(program, SECCOMP_RET_ALLOW);
    end(program, SECCOMP_RET_ERRNO | EPERM);
    /* Every control of a device that is open, but not what types for the user. */
    put(program, BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 5);
    load_argument(program, 1);
    put(program, BPF_JMP | BPF_JEQ | BPF_K, TIOCSTI_NUMBER, 2, 0);
    put(program, BPF_JMP | BPF_JEQ | BPF_K, TIOCLINUX_NUMBER, 1, 0);
    end(program, SECCOMP_RET_ALLOW);
    end(program, SECCOMP_RET_ERRNO | EPERM);
    /* Signals: to itself; limits: to be read. */
    allow_with(program, SYS_tgkill, 0, (uint32_t)getpid());
    if (confine->child)
        allow(program, SYS_kill);
    else
        allow_with(program, SYS_kill, 0, (uint32_t)getpid());
    allow_with(program, SYS_prlimit64, 2, 0);
    /* The kvm engine keeps this process, and so ring 3 of a guest, from RDTSC while it runs. */
    allow_with_either(program, SYS_prctl, 0, PR_SET_NAME, PR_SET_TSC);
    if (confine->makes_folders)
        allow(program, SYS_mkdirat);
    if (confine->reopens) {
        allow(program, SYS_socket);
        allow(program, SYS_connect);
    }
    end(program, SECCOMP_RET_ERRNO | EPERM);
}

static int filter_calls(const struct confine *confine, struct error *error)
{
    struct program program = {.length = 0};
    build(&program, confine);
    if (program.length >= PROGRAM_MAX)
        return error_set(error, "internal: the filter of system calls is too long");
    struct sock_fprog filter = {.len = program.length, .filter = program.code};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) != 0)
        return error_set_errno(error, "system calls cannot be filtered on this host");
    return 0;
}

/* ---- Landlock ---- */

enum {
    READING = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
    WRITING = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |
              LANDLOCK_ACCESS_FS_MAKE_REG,
    /* All that the first version of Landlock knows: later ones know more, which stays denied by
     * the filter of system calls. */
    EVERY_ACCESS = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1,
    OF_FILES =
        LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE,
};

static void permit(int ruleset, const char *path, uint64_t access)
{
    struct stat status;
    struct landlock_path_beneath_attr rule = {.allowed_access = access};
    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0)
        return; /* what is not there need not be permitted */
    if (fstat(rule.parent_fd, &status) == 0 && !S_ISDIR(status.st_mode))
        rule.allowed_access &= OF_FILES;
    syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    close(rule.parent_fd);
}

static void restrict_files(const struct confine *confine)
{
    struct landlock_ruleset_attr attributes = {.handled_access_fs = EVERY_ACCESS};
    int ruleset = (int)syscall(
        SYS_landlock_create_ruleset, &attributes, sizeof attributes.handled_access_fs, 0);
    if (ruleset < 0)
        return;
    permit(ruleset, "/proc/self", READING);
    permit(ruleset, "/dev/null", READING | LANDLOCK_ACCESS_FS_WRITE_FILE);
    /* Time zone, terminal descriptions: what the C library and readline look up late. */
    permit(ruleset, "/usr/share", READING);
    permit(ruleset, "/etc", LANDLOCK_ACCESS_FS_READ_DIR);
    if (confine->read_everything)
        permit(ruleset, "/", READING);
    for (unsigned i = 0; i < CONFINE_MAX_READABLE && confine->readable[i]; i++)
        permit(ruleset, confine->readable[i], READING);
    if (confine->reopens)
        permit(ruleset, "/", READING | LANDLOCK_ACCESS_FS_WRITE_FILE);
    if (confine->removes)
        permit(ruleset, confine->removes, LANDLOCK_ACCESS_FS_REMOVE_FILE);
    for (unsigned i = 0; i < confine->writable_count; i++)
        permit(ruleset, confine->writable[i],
            READING | WRITING | (confine->makes_folders ? LANDLOCK_ACCESS_FS_MAKE_DIR : 0));
    syscall(SYS_landlock_restrict_self, ruleset, 0);
    close(ruleset);
}

static int landlock_version(void)
{
    return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

/* ---- The whole ---- */

/* Root keeps its files, and, to make a trace in another's folder or read one, one capability. */
static void drop_capabilities(bool writes, bool reads)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}, {0}};
    if (writes || reads) {
        data[0].effective = data[0].permitted =
            1u << (writes ? CAP_DAC_OVERRIDE : CAP_DAC_READ_SEARCH);
        struct __user_cap_data_struct had[2];
        if (syscall(SYS_capget, &header, had) == 0)
            data[0].effective = data[0].permitted &= had[0].permitted;
    }
    syscall(SYS_capset, &header, data);
}

void confine_describe(char text[64])
{
    const uint32_t action = SECCOMP_RET_ERRNO;
    bool seccomp = syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
    int landlock = landlock_version();
    if (landlock > 0)
        snprintf(text, 64, "%s, Landlock ABI %d", seccomp ? "seccomp" : "no seccomp", landlock);
    else
        snprintf(text, 64, "%s, no Landlock", seccomp ? "seccomp" : "no seccomp");
}

int confine_process(const struct confine *confine, struct error *error)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_set_errno(error, "no_new_privs cannot be set");
    if (INSTRUMENTED)
        return 0;
    if (landlock_version() > 0)
        restrict_files(confine);
    drop_capabilities(confine->writable_count > 0, confine->readable[0] != NULL);
    return filter_calls(confine, error);
}
