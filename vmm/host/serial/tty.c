/*
 * A real or USB serial device. Speed, format, modem lines and break follow the guest's UART. When
 * an adapter is unplugged the device is tried again every second. Its settings are put back on
 * close.
 *
 * The kernel's own termios2 is used, not <termios.h>: it takes any speed, as the UART's divisor
 * does.
 */
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "vmm/host/serial/internal.h"

struct tty {
    char *path;
    struct termios2 saved; /* as the device was found */
    struct uart_line line; /* as last set; reapplied when reopened */
};

static unsigned baud_of(const struct uart_line *line)
{
    return UART_CLOCK_HZ / 16 / (line->divisor ? line->divisor : 1u);
}

static tcflag_t format_flags(const struct uart_line *line)
{
    static const tcflag_t sizes[] = {CS5, CS6, CS7, CS8};
    static const tcflag_t parities[] = {
        [UART_NONE] = 0,
        [UART_ODD] = PARENB | PARODD,
        [UART_EVEN] = PARENB,
        [UART_MARK] = PARENB | CMSPAR | PARODD,
        [UART_SPACE] = PARENB | CMSPAR,
    };
    return sizes[(line->data_bits - 5) & 3] | parities[line->parity] |
           (line->stop_half_bits > 2 ? CSTOPB : 0u);
}

/* 0, or an errno. */
static int apply_format(int fd, const struct uart_line *line)
{
    struct termios2 settings;
    if (ioctl(fd, TCGETS2, &settings) < 0)
        return errno;
    settings.c_iflag = 0;
    settings.c_oflag = 0;
    settings.c_lflag = 0;
    settings.c_cflag = CREAD | CLOCAL | BOTHER | BOTHER << IBSHIFT | format_flags(line);
    settings.c_ispeed = settings.c_ospeed = baud_of(line);
    settings.c_cc[VMIN] = 1;
    settings.c_cc[VTIME] = 0;
    return ioctl(fd, TCSETS2, &settings) < 0 ? errno : 0;
}

/* Devices without modem lines refuse, and that is all right. */
static void apply_outputs(int fd, const struct uart_line *line)
{
    int on = (line->dtr ? TIOCM_DTR : 0) | (line->rts ? TIOCM_RTS : 0);
    int off = (TIOCM_DTR | TIOCM_RTS) & ~on;
    ioctl(fd, TIOCMBIS, &on);
    ioctl(fd, TIOCMBIC, &off);
    ioctl(fd, line->sends_break ? TIOCSBRK : TIOCCBRK);
}

static void warn_of_other_speed(struct serial_backend *backend, unsigned baud)
{
    struct termios2 now;
    if (ioctl(backend->in_fd, TCGETS2, &now) == 0 &&
        (now.c_ospeed > baud + baud / 32 || now.c_ospeed < baud - baud / 32))
        stream_warn(backend, "the device runs at %u baud instead of %u", now.c_ospeed, baud);
}

static void set_line(struct serial_backend *backend, const struct uart_line *line)
{
    struct tty *tty = backend->data;
    struct uart_line old = tty->line;
    tty->line = *line;
    if (backend->in_fd < 0)
        return;
    if (baud_of(&old) != baud_of(line) || format_flags(&old) != format_flags(line)) {
        int number = apply_format(backend->in_fd, line);
        if (number)
            stream_warn(backend, "cannot set %u baud: %s", baud_of(line), strerrordesc_np(number));
        else
            warn_of_other_speed(backend, baud_of(line));
    }
    apply_outputs(backend->in_fd, line);
}

static unsigned modem_inputs(struct serial_backend *backend)
{
    int lines;
    if (backend->in_fd < 0)
        return 0;
    if (ioctl(backend->in_fd, TIOCMGET, &lines) < 0)
        return SERIAL_CTS | SERIAL_DSR | SERIAL_DCD;
    return (lines & TIOCM_CTS ? SERIAL_CTS : 0u) | (lines & TIOCM_DSR ? SERIAL_DSR : 0u) |
           (lines & TIOCM_RI ? SERIAL_RI : 0u) | (lines & TIOCM_CD ? SERIAL_DCD : 0u);
}

static int open_device(struct serial_backend *backend, struct error *error)
{
    struct tty *tty = backend->data;
    int fd = open(tty->path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(error, "serial dev: cannot open %s", tty->path);
    if (ioctl(fd, TCGETS2, &tty->saved) < 0) {
        close(fd);
        return error_set(error, "serial dev: %s is not a serial device", tty->path);
    }
    int number = apply_format(fd, &tty->line);
    if (number) {
        close(fd);
        errno = number;
        return error_set_errno(error, "serial dev: cannot set up %s", tty->path);
    }
    if (stream_attach(backend, fd, fd, error) < 0) {
        stream_detach(backend);
        return -1;
    }
    apply_outputs(fd, &tty->line);
    return 0;
}

static void hang_up(struct serial_backend *backend)
{
    static const struct itimerspec every_second = {
        .it_interval = {.tv_sec = 1}, .it_value = {.tv_sec = 1}};
    stream_warn(backend, "the device is gone; waiting for it to come back");
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (timer >= 0 && timerfd_settime(timer, 0, &every_second, NULL) == 0 &&
        stream_attach_extra(backend, timer, NULL) == 0)
        return;
    if (timer >= 0 && backend->extra_fd != timer)
        close(timer);
    stream_detach_extra(backend);
    backend->input_ended = true;
    backend->output_gone = true;
}

static void service(struct serial_backend *backend)
{
    uint64_t expirations;
    if (read(backend->extra_fd, &expirations, sizeof expirations) < 0)
        return;
    if (open_device(backend, NULL) == 0)
        stream_detach_extra(backend);
}

/* Before the descriptor is closed: it is what the settings go back through. */
static void restore(struct serial_backend *backend)
{
    const struct tty *tty = backend->data;
    if (backend->in_fd >= 0)
        ioctl(backend->in_fd, TCSETS2, &tty->saved);
}

static void close_device(struct serial_backend *backend)
{
    struct tty *tty = backend->data;
    if (tty)
        free(tty->path);
    free(tty);
}

static const struct serial_ops ops = {
    .name = "dev",
    .restore = restore,
    .close = close_device,
    .service = service,
    .hang_up = hang_up,
    .modem_inputs = modem_inputs,
    .set_line = set_line,
};

int serial_device_open(struct serial_backend *backend, const char *argument, struct error *error)
{
    backend->ops = &ops;
    snprintf(backend->description, sizeof backend->description, "dev %.200s", argument);
    struct tty *tty = calloc(1, sizeof *tty);
    if (!tty)
        return error_set(error, "serial dev: out of memory");
    backend->data = tty;
    tty->path = strdup(argument);
    if (!tty->path)
        return error_set(error, "serial dev: out of memory");
    tty->line = (struct uart_line){
        .divisor = 1, .data_bits = 8, .stop_half_bits = 2, .dtr = true, .rts = true};
    return open_device(backend, error);
}
