/* Output to a file or FIFO; no input. */
#include <fcntl.h>
#include <stdio.h>

#include "vmm/host/serial/internal.h"

static const struct serial_ops ops = {.name = "file", .unlimited = true};

int serial_file_open(struct serial_backend *backend, const char *argument, struct error *error)
{
    backend->ops = &ops;
    backend->input_ended = true;
    snprintf(backend->description, sizeof backend->description, "file %.200s", argument);
    int fd = open(argument, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0666);
    if (fd < 0)
        return error_set_errno(error, "serial file: cannot create %s", argument);
    return stream_attach(backend, -1, fd, error);
}
