/* Runs another program of the host. */
#include "cli/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_MAX_SHOWN = 256 };

__attribute__((noreturn)) static void become(
    const char *const *argv, const char *const *variables, int output)
{
    char path[4096];
    const char *old = getenv("PATH");
    int nothing = open("/dev/null", O_RDONLY);
    if (nothing >= 0)
        dup2(nothing, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    /* mke2fs is for root alone, some distributions think. */
    if (strlen(old ? old : "") < sizeof path - 64) {
        strcpy(path, old ? old : "/usr/bin:/bin");
        strcat(path, ":/usr/sbin:/sbin");
        setenv("PATH", path, 1);
    }
    setenv("LC_ALL", "C", 1);
    for (; variables && *variables; variables++)
        putenv((char *)(uintptr_t)*variables);
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(errno == ENOENT ? 127 : 126);
}

/* The last line that is not empty. */
static void read_last_line(int fd, char line[LINE_MAX_SHOWN])
{
    char byte, next[LINE_MAX_SHOWN];
    size_t size = 0;
    line[0] = '\0';
    for (;;) {
        ssize_t got = read(fd, &byte, 1);
        if (got < 0 && errno == EINTR)
            continue;
        bool ends = got <= 0 || byte == '\n';
        if (ends && size) {
            next[size] = '\0';
            memcpy(line, next, size + 1);
            size = 0;
        } else if (!ends && size < sizeof next - 1) {
            next[size++] = byte;
        }
        if (got <= 0)
            return;
    }
}

int tool_run(const char *const *argv, const char *const *variables, struct error *error)
{
    int output[2], status;
    char line[LINE_MAX_SHOWN];
    if (pipe2(output, O_CLOEXEC) < 0)
        return error_set_errno(error, "%s", argv[0]);
    pid_t pid = fork();
    if (pid == 0)
        become(argv, variables, output[1]);
    close(output[1]);
    if (pid < 0) {
        close(output[0]);
        return error_set_errno(error, "%s", argv[0]);
    }
    read_last_line(output[0], line);
    close(output[0]);
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return error_set_errno(error, "%s", argv[0]);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127 && !line[0])
        return error_set(error, "%s is not installed", argv[0]);
    return error_set(error, "%s failed%s%s", argv[0], line[0] ? ": " : "", line);
}
