/*
 * The dev back end: a pty's slave stands for the serial device, and the master, through which its
 * settings can be read, for the cable.
 */
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/host/serial/serial_backend.h"

enum { LIMIT_MILLISECONDS = 20000 };

static bool wait_for(int fd, short events)
{
    struct pollfd poll_fd = {.fd = fd, .events = events};
    int result;
    do
        result = poll(&poll_fd, 1, LIMIT_MILLISECONDS);
    while (result < 0 && errno == EINTR);
    return result == 1;
}

static struct serial_backend *must_open(const char *spec)
{
    struct error error = {{0}};
    struct serial_backend *backend = serial_open(spec, &error);
    if (!backend)
        fail_msg("%s: %s", spec, error.text);
    return backend;
}

/* Reads exactly `size` bytes through the back end. */
static void expect_input(struct serial_backend *backend, const char *text)
{
    char got[256];
    size_t size = strlen(text), total = 0;
    while (total < size) {
        size_t count = serial_read(backend, got + total, sizeof got - total);
        total += count;
        if (!count)
            assert_true(wait_for(serial_fd(backend), POLLIN));
    }
    assert_int_equal(total, size);
    assert_memory_equal(got, text, size);
}

static void expect_bytes(int fd, const char *text)
{
    char got[256];
    size_t size = strlen(text), total = 0;
    while (total < size) {
        assert_true(wait_for(fd, POLLIN));
        ssize_t count = read(fd, got + total, size - total);
        assert_true(count > 0);
        total += (size_t)count;
    }
    assert_memory_equal(got, text, size);
}

static void send_bytes(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void device_follows_format_and_is_restored(void **state)
{
    (void)state;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    char spec[256];
    snprintf(spec, sizeof spec, "dev:%s", ptsname(master));
    struct termios2 before, now;
    assert_int_equal(ioctl(master, TCGETS2, &before), 0);

    struct serial_backend *backend = must_open(spec);
    assert_int_equal(ioctl(master, TCGETS2, &now), 0);
    assert_int_equal(now.c_lflag & (ICANON | ECHO | ISIG), 0);
    assert_int_equal(now.c_oflag & OPOST, 0);
    assert_int_equal(now.c_ospeed, 115200);
    /* Divisors as in the PC16550D data sheet's table III. */
    struct uart_line line = {
        .divisor = 12, .data_bits = 7, .stop_half_bits = 4, .parity = UART_EVEN, .dtr = true};
    serial_set_line(backend, &line);
    assert_int_equal(ioctl(master, TCGETS2, &now), 0);
    assert_int_equal(now.c_ospeed, 9600);
    assert_int_equal(now.c_cflag & CSTOPB, CSTOPB);
    /* A speed without a constant in termios. */
    line.divisor = 4;
    line.stop_half_bits = 2;
    serial_set_line(backend, &line);
    assert_int_equal(ioctl(master, TCGETS2, &now), 0);
    assert_int_equal(now.c_ospeed, 28800);
    assert_int_equal(now.c_cflag & CSTOPB, 0);
    serial_write(backend, "AT\r", 3);
    expect_bytes(master, "AT\r");
    send_bytes(master, "OK\r\n");
    expect_input(backend, "OK\r\n");
    serial_close(backend);
    assert_int_equal(ioctl(master, TCGETS2, &now), 0);
    assert_int_equal(now.c_lflag, before.c_lflag);
    assert_int_equal(now.c_oflag, before.c_oflag);
    assert_int_equal(now.c_ospeed, before.c_ospeed);
    close(master);
}

/* The name stays and leads to a new device later, as udev's links do for a USB adapter. */
static void device_comes_back(void **state)
{
    (void)state;
    char link[256], spec[256], byte;
    char folder[] = "/tmp/hindsight-tty-XXXXXX";
    assert_non_null(mkdtemp(folder));
    snprintf(link, sizeof link, "%s/ttyUSB", folder);
    snprintf(spec, sizeof spec, "dev:%s", link);
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(master >= 0 && unlockpt(master) == 0);
    assert_int_equal(symlink(ptsname(master), link), 0);
    struct serial_backend *backend = must_open(spec);
    close(master);
    while (serial_modem_inputs(backend) != 0) {
        assert_true(wait_for(serial_fd(backend), POLLIN));
        assert_int_equal(serial_read(backend, &byte, 1), 0);
    }
    assert_false(serial_input_ended(backend));
    serial_write(backend, "kept", 4);

    master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(master >= 0 && unlockpt(master) == 0);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink(ptsname(master), link), 0);
    while (serial_modem_inputs(backend) == 0) {
        assert_true(wait_for(serial_fd(backend), POLLIN));
        assert_int_equal(serial_read(backend, &byte, 1), 0);
    }
    expect_bytes(master, "kept");
    send_bytes(master, "back");
    expect_input(backend, "back");
    serial_close(backend);
    close(master);
    unlink(link);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(device_follows_format_and_is_restored),
        cmocka_unit_test(device_comes_back),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
