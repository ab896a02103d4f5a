/*
 * A new pseudo-terminal. The slave side is kept open here as well: so programs can come and go
 * without the master ever seeing a hang-up, and what was printed before the first one came is kept
 * for it by the kernel.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "vmm/host/serial/internal.h"

struct pty {
    int slave_fd;
};

/*
 * What a program has not read yet is lost when the master is closed: it gets a second. poll() also
 * sees what is still on its way through the kernel, which TIOCINQ does not.
 */
static void let_read(struct serial_backend *backend)
{
    const struct pty *pty = backend->data;
    const struct timespec pause = {.tv_nsec = 10000000};
    struct pollfd slave = {.fd = pty->slave_fd, .events = POLLIN};
    for (unsigned i = 0; i < 100 && poll(&slave, 1, 0) == 1 && (slave.revents & POLLIN); i++)
        nanosleep(&pause, NULL);
}

static void close_pty(struct serial_backend *backend)
{
    struct pty *pty = backend->data;
    if (pty && pty->slave_fd >= 0)
        close(pty->slave_fd);
    free(pty);
}

static const struct serial_ops ops = {.name = "pty", .close = close_pty, .restore = let_read};

static int open_slave(const char *path)
{
    int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios raw;
    if (fd < 0)
        return -1;
    if (tcgetattr(fd, &raw) == 0) {
        cfmakeraw(&raw);
        if (tcsetattr(fd, TCSANOW, &raw) == 0)
            return fd;
    }
    close(fd);
    return -1;
}

int serial_pty_open(struct serial_backend *backend, const char *argument, struct error *error)
{
    (void)argument;
    backend->ops = &ops;
    struct pty *pty = calloc(1, sizeof *pty);
    if (!pty)
        return error_set(error, "serial pty: out of memory");
    pty->slave_fd = -1;
    backend->data = pty;

    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0)
        return error_set_errno(error, "serial pty: cannot open a pseudo-terminal");
    backend->in_fd = backend->out_fd = master; /* owned from here on */
    char path[128];
    if (grantpt(master) < 0 || unlockpt(master) < 0 || ptsname_r(master, path, sizeof path) != 0)
        return error_set_errno(error, "serial pty: cannot prepare the pseudo-terminal");
    pty->slave_fd = open_slave(path);
    if (pty->slave_fd < 0)
        return error_set_errno(error, "serial pty: cannot open %s", path);
    snprintf(backend->description, sizeof backend->description, "pty %s", path);
    return stream_attach(backend, master, master, error);
}
