/* Choosing a back end, and the operations that most of them do not have. */
#include "vmm/host/serial/serial_backend.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "vmm/host/serial/internal.h"

static const struct {
    const char *name;
    bool has_argument;
    int (*open)(struct serial_backend *backend, const char *argument, struct error *error);
} kinds[] = {
    {"stdio", false, serial_stdio_open},
    {"pty", false, serial_pty_open},
    {"unix", true, serial_unix_open},
    {"tcp", true, serial_tcp_open},
    {"file", true, serial_file_open},
    {"dev", true, serial_device_open},
    {"exec", true, serial_exec_open},
    {"null", false, serial_null_open},
};

static int open_kind(struct serial_backend *backend, const char *spec, struct error *error)
{
    size_t length = strcspn(spec, ":");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strlen(kinds[i].name) != length || memcmp(kinds[i].name, spec, length) != 0)
            continue;
        const char *argument = spec[length] ? spec + length + 1 : "";
        if (kinds[i].has_argument && !argument[0])
            return error_set(error, "serial %s: nothing after \"%s:\"", spec, kinds[i].name);
        if (!kinds[i].has_argument && spec[length])
            return error_set(error, "serial %s: \"%s\" takes no argument", spec, kinds[i].name);
        return kinds[i].open(backend, argument, error);
    }
    return error_set(error,
        "serial %s: unknown kind; use stdio, pty, unix:PATH, tcp:HOST:PORT, file:PATH, "
        "dev:/dev/ttyX, exec:COMMAND or null",
        spec);
}

struct serial_backend *serial_open(const char *spec, struct error *error)
{
    struct serial_backend *backend = calloc(1, sizeof *backend);
    if (!backend) {
        error_set(error, "serial %s: out of memory", spec);
        return NULL;
    }
    backend->in_fd = backend->out_fd = backend->extra_fd = backend->ready_fd = -1;
    backend->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (backend->epoll_fd < 0) {
        error_set_errno(error, "serial %s: cannot create an epoll instance", spec);
        free(backend);
        return NULL;
    }
    if (open_kind(backend, spec, error) < 0) {
        serial_close(backend);
        return NULL;
    }
    return backend;
}

void serial_close(struct serial_backend *backend)
{
    if (!backend)
        return;
    stream_drain(backend, 1000);
    if (backend->ops && backend->ops->restore && backend->data)
        backend->ops->restore(backend);
    stream_detach(backend);
    stream_detach_extra(backend);
    if (backend->ops && backend->ops->close)
        backend->ops->close(backend);
    close(backend->epoll_fd);
    buffer_free(&backend->queue);
    free(backend);
}

const char *serial_description(const struct serial_backend *backend)
{
    return backend->description;
}

int serial_fd(const struct serial_backend *backend)
{
    return backend->epoll_fd;
}

bool serial_input_ended(const struct serial_backend *backend)
{
    return backend->input_ended;
}

bool serial_quit_requested(const struct serial_backend *backend)
{
    return backend->quit;
}

uint64_t serial_dropped(const struct serial_backend *backend)
{
    return backend->dropped;
}

bool serial_take_warning(struct serial_backend *backend, struct error *warning)
{
    if (!backend->warning.text[0])
        return false;
    *warning = backend->warning;
    backend->warning.text[0] = '\0';
    return true;
}

unsigned serial_modem_inputs(struct serial_backend *backend)
{
    if (backend->ops->modem_inputs)
        return backend->ops->modem_inputs(backend);
    return SERIAL_CTS | SERIAL_DSR | SERIAL_DCD;
}

void serial_set_line(struct serial_backend *backend, const struct uart_line *line)
{
    if (backend->ops->set_line)
        backend->ops->set_line(backend, line);
}
