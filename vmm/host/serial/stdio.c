/*
 * Standard input and output. A terminal becomes raw and has the Ctrl-A commands; from a pipe or a
 * file the bytes are taken as they are, and their end only ends the input.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/host/serial/internal.h"

static const char help[] = "\r\nCtrl-A x  quit\r\n"
                           "Ctrl-A a  send Ctrl-A (also Ctrl-A Ctrl-A)\r\n"
                           "Ctrl-A h  this help\r\n";

static size_t filter(struct serial_backend *backend, uint8_t *data, size_t size)
{
    struct escape *escape = backend->data;
    size_t total = 0;
    if (!escape)
        return size;
    for (size_t start = 0; start < size && !backend->quit;) {
        size_t kept, consumed;
        enum escape_command command =
            escape_filter(escape, data + start, size - start, &kept, &consumed);
        memmove(data + total, data + start, kept);
        total += kept;
        start += consumed;
        if (command == ESCAPE_QUIT)
            backend->quit = true;
        else if (command == ESCAPE_HELP)
            serial_write(backend, help, sizeof help - 1);
    }
    return total;
}

static void close_stdio(struct serial_backend *backend)
{
    if (backend->data)
        terminal_restore();
    free(backend->data);
}

static const struct serial_ops ops = {.name = "stdio", .close = close_stdio, .filter = filter};

int serial_stdio_open(struct serial_backend *backend, const char *argument, struct error *error)
{
    (void)argument;
    backend->ops = &ops;
    snprintf(backend->description, sizeof backend->description, "stdio");
    /* The descriptions of 0 and 1 are shared with the shell: their flags stay as they are. */
    backend->blocking = true;
    int in_fd = fcntl(STDIN_FILENO, F_GETFD) < 0 ? -1 : STDIN_FILENO;
    int out_flags = fcntl(STDOUT_FILENO, F_GETFL);
    if (out_flags < 0 || (out_flags & O_ACCMODE) == O_RDONLY)
        return error_set(error, "serial stdio: standard output is closed, or not for writing; "
                                "--serial null wants none");
    int out_fd = STDOUT_FILENO;
    if (in_fd >= 0 && isatty(in_fd)) {
        /*
         * In the background the terminal is someone else's: reading it would stop the process. One
         * that does not control this session (-1) never does that.
         */
        pid_t owner = tcgetpgrp(in_fd);
        if (owner < 0 || owner == getpgrp()) {
            if (terminal_make_raw(in_fd, error) < 0)
                return -1;
            backend->data = calloc(1, sizeof(struct escape));
            if (!backend->data) {
                terminal_restore();
                return error_set(error, "serial stdio: out of memory");
            }
        } else {
            in_fd = -1;
        }
    }
    backend->input_ended = in_fd < 0;
    return stream_attach(backend, in_fd, out_fd, error);
}
