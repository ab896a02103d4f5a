/*
 * A command's standard input and output, for example a port on another machine over ssh. One socket
 * pair serves both directions; when this process dies, the command sees the end of its input.
 */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vmm/host/serial/internal.h"

extern char **environ;

struct command {
    pid_t pid; /* 0 once it has been waited for */
};

/* Waits up to `milliseconds` for the command to end. */
static bool reap(struct command *command, int milliseconds, int *status)
{
    static const struct timespec pause = {.tv_nsec = 5000000};
    for (int waited = 0; command->pid; waited += 5) {
        pid_t pid = waitpid(command->pid, status, WNOHANG);
        if (pid == command->pid || (pid < 0 && errno == ECHILD))
            command->pid = 0;
        else if (waited >= milliseconds)
            return false;
        else
            nanosleep(&pause, NULL);
    }
    return true;
}

/* The socket is closed: a well-behaved command ends by itself. */
static void close_command(struct serial_backend *backend)
{
    struct command *command = backend->data;
    int status;
    if (!command)
        return;
    if (!reap(command, 500, &status)) {
        kill(command->pid, SIGTERM);
        if (!reap(command, 500, &status)) {
            kill(command->pid, SIGKILL);
            reap(command, 1000, &status);
        }
    }
    free(command);
}

static void hang_up(struct serial_backend *backend)
{
    struct command *command = backend->data;
    int status = 0;
    backend->input_ended = true;
    backend->output_gone = true;
    if (command->pid && waitpid(command->pid, &status, WNOHANG) == command->pid)
        command->pid = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        stream_warn(backend, "the command ended with status %d", WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        stream_warn(backend, "the command was killed by signal %d", WTERMSIG(status));
    else
        stream_warn(backend, "the command closed its end");
}

static const struct serial_ops ops = {.name = "exec", .close = close_command, .hang_up = hang_up};

static int spawn(pid_t *pid, int socket, const char *text)
{
    char *const arguments[] = {"sh", "-c", (char *)text, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    int number = posix_spawn_file_actions_init(&actions);
    if (number)
        return number;
    number = posix_spawnattr_init(&attributes);
    if (number) {
        posix_spawn_file_actions_destroy(&actions);
        return number;
    }
    /* The program ignores SIGPIPE and blocks others in its threads; the command starts clean. */
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    number = posix_spawn_file_actions_adddup2(&actions, socket, STDIN_FILENO);
    if (!number)
        number = posix_spawn_file_actions_adddup2(&actions, socket, STDOUT_FILENO);
    if (!number)
        number = posix_spawn(pid, "/bin/sh", &actions, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return number;
}

int serial_exec_open(struct serial_backend *backend, const char *argument, struct error *error)
{
    backend->ops = &ops;
    snprintf(backend->description, sizeof backend->description, "exec %.200s", argument);
    struct command *command = calloc(1, sizeof *command);
    if (!command)
        return error_set(error, "serial exec: out of memory");
    backend->data = command;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set_errno(error, "serial exec: cannot make a socket pair");
    backend->in_fd = backend->out_fd = pair[0]; /* owned from here on */
    int number = spawn(&command->pid, pair[1], argument);
    close(pair[1]);
    if (number) {
        command->pid = 0;
        errno = number;
        return error_set_errno(error, "serial exec: cannot start /bin/sh");
    }
    return stream_attach(backend, pair[0], pair[0], error);
}
