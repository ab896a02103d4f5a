/*
 * Preloaded into hindsight: when the process ends, and in every thread that makes a file durable,
 * it tries what a confined process may not do. What came of it goes to the file TRY_REPORT, a line
 * each: "main fork refused" or "main fork ALLOWED".
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int report_fd = -1;
static const char *folder; /* where nothing may be made */
static atomic_bool thread_tried;

/* Opened now: a confined process could not later. */
__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("TRY_REPORT");
    folder = getenv("TRY_FOLDER");
    report_fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    unsetenv("LD_PRELOAD");
}

static void tell(const char *who, const char *what, bool refused)
{
    dprintf(report_fd, "%s %s %s\n", who, what, refused ? "refused" : "ALLOWED");
}

static bool is_refusal(long result)
{
    return result < 0 && (errno == EPERM || errno == EACCES);
}

static void try_files(const char *who)
{
    char path[4096];
    tell(who, "reading", is_refusal(open("/etc/passwd", O_RDONLY | O_CLOEXEC)));
    snprintf(path, sizeof path, "%s/made", folder ? folder : "/tmp");
    tell(who, "writing", is_refusal(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)));
}

static void try_all(const char *who)
{
    char *const arguments[] = {(char *)(uintptr_t) "true", NULL};
    long child = syscall(SYS_fork);
    if (child == 0)
        _exit(0);
    tell(who, "fork", is_refusal(child));
    tell(who, "socket", is_refusal(socket(AF_INET, SOCK_STREAM, 0)));
    tell(who, "kill", is_refusal(kill(getppid(), 0)));
    errno = 0;
    void *page =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    tell(who, "writable code", page == MAP_FAILED && errno == EPERM);
    try_files(who);
    /* The last: were it allowed, there would be no report. */
    tell(who, "exec", is_refusal(execv("/bin/true", arguments)));
}

__attribute__((destructor)) static void end(void)
{
    if (report_fd >= 0)
        try_all("main");
}

static void try_in_thread(void)
{
    if (report_fd >= 0 && gettid() != getpid() && !atomic_exchange(&thread_tried, true))
        try_files("thread");
}

ssize_t write(int fd, const void *data, size_t size)
{
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    if (fd > 2 && fd != report_fd)
        try_in_thread();
    return real(fd, data, size);
}
