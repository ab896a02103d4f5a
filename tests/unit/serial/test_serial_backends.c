/*
 * Each back end against its other side: the slave of a pty, a socket, a file, a command. Waits are
 * by poll on the back end's own descriptor, with a limit that only a broken one reaches.
 */
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "vmm/host/serial/serial_backend.h"

enum { LIMIT_MILLISECONDS = 20000 };

static char folder[] = "/tmp/hindsight-serial-XXXXXX";

static char *in_folder(char *path, size_t size, const char *format, const char *name)
{
    char full[200];
    snprintf(full, sizeof full, "%s/%s", folder, name);
    snprintf(path, size, format, full);
    return path;
}

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

static void wait_for_input_end(struct serial_backend *backend)
{
    char byte;
    while (!serial_input_ended(backend)) {
        assert_true(wait_for(serial_fd(backend), POLLIN));
        assert_int_equal(serial_read(backend, &byte, 1), 0);
    }
}

static int connect_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* More than fits in a socket's address: 108 bytes. */
#define FORTY    "0123456789012345678901234567890123456789"
#define TOO_LONG "unix:/tmp/" FORTY FORTY FORTY

static void bad_specs_are_refused(void **state)
{
    (void)state;
    static const char *const specs[] = {"", "stdi", "stdio:x", "pty:1",
        "null:", "file:", "unix:", "tcp:", "tcp:localhost",
        "tcp:localhost:", "tcp:localhost:1,loud", "exec:", "dev:", "dev:/dev/null",
        "dev:/nonexistent", "file:/nonexistent/file", "unix:/nonexistent/socket",
        "unix:/nonexistent/socket,server", TOO_LONG};
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        struct error error = {{0}};
        assert_null(serial_open(specs[i], &error));
        assert_true(strstr(error.text, "serial") == error.text);
        assert_null(strchr(error.text, '\n'));
    }
}

static void null_swallows(void **state)
{
    (void)state;
    struct serial_backend *backend = must_open("null");
    char byte;
    serial_write(backend, "abc", 3);
    assert_int_equal(serial_read(backend, &byte, 1), 0);
    assert_true(serial_input_ended(backend));
    assert_int_equal(serial_dropped(backend), 0);
    serial_close(backend);
}

static void file_keeps_everything(void **state)
{
    (void)state;
    enum { ROUNDS = 5000 };
    char spec[256], path[256];
    in_folder(spec, sizeof spec, "file:%s", "log");
    in_folder(path, sizeof path, "%s", "log");
    struct serial_backend *backend = must_open(spec);
    for (unsigned i = 0; i < ROUNDS; i++) {
        char line[101];
        snprintf(line, sizeof line, "%099u\n", i);
        serial_write(backend, line, 100);
    }
    assert_int_equal(serial_dropped(backend), 0);
    serial_close(backend);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, ROUNDS * 100);
}

static void full_disk_warns_once(void **state)
{
    (void)state;
    struct serial_backend *backend = must_open("file:/dev/full");
    struct error warning;
    serial_write(backend, "abc", 3);
    assert_true(serial_take_warning(backend, &warning));
    assert_non_null(strstr(warning.text, "No space left"));
    serial_write(backend, "def", 3);
    assert_int_equal(serial_dropped(backend), 6);
    serial_close(backend);
}

static int open_pty_slave(struct serial_backend *backend)
{
    const char *path = strchr(serial_description(backend), '/');
    assert_non_null(path);
    int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void pty_survives_its_users(void **state)
{
    (void)state;
    struct serial_backend *backend = must_open("pty");
    char byte;
    serial_write(backend, "early\r\n", 7); /* before anybody is there */
    for (unsigned i = 0; i < 3; i++) {
        int fd = open_pty_slave(backend);
        if (i == 0)
            expect_bytes(fd, "early\r\n");
        serial_write(backend, "out", 3);
        expect_bytes(fd, "out");
        send_bytes(fd, "\x01x\x03\x04in");
        expect_input(backend, "\x01x\x03\x04in");
        close(fd);
        assert_int_equal(serial_read(backend, &byte, 1), 0);
        assert_false(serial_input_ended(backend));
    }
    assert_false(serial_quit_requested(backend));
    serial_close(backend);
}

/* With nobody reading, writes return, the queue stops at its limit and the loss is counted. */
static void pty_without_a_reader_never_waits(void **state)
{
    (void)state;
    enum { CHUNK = 1000, CHUNKS = 1000 };
    struct serial_backend *backend = must_open("pty");
    char chunk[CHUNK];
    struct error warning;
    memset(chunk, 'z', sizeof chunk);
    for (unsigned i = 0; i < CHUNKS; i++)
        serial_write(backend, chunk, sizeof chunk);
    uint64_t dropped = serial_dropped(backend);
    assert_true(dropped > 0);
    assert_true(CHUNK * CHUNKS - dropped >= SERIAL_QUEUE_LIMIT);
    assert_true(serial_take_warning(backend, &warning));
    assert_false(serial_take_warning(backend, &warning));

    /* A reader gets all that was not dropped. */
    int fd = open_pty_slave(backend);
    uint64_t got = 0;
    while (got < CHUNK * CHUNKS - dropped) {
        char data[4096];
        serial_flush(backend);
        assert_true(wait_for(fd, POLLIN));
        ssize_t count = read(fd, data, sizeof data);
        assert_true(count > 0);
        got += (uint64_t)count;
    }
    assert_int_equal(got, CHUNK * CHUNKS - dropped);
    assert_int_equal(serial_dropped(backend), dropped);
    close(fd);
    serial_close(backend);
}

static void unix_server_takes_one_after_another(void **state)
{
    (void)state;
    char spec[256], path[256], byte;
    in_folder(spec, sizeof spec, "unix:%s,server,nowait", "socket");
    in_folder(path, sizeof path, "%s", "socket");
    struct serial_backend *backend = must_open(spec);
    assert_int_equal(serial_modem_inputs(backend), SERIAL_CTS);
    serial_write(backend, "boot", 4);
    for (unsigned i = 0; i < 3; i++) {
        int fd = connect_unix(path);
        assert_true(wait_for(serial_fd(backend), POLLIN));
        assert_int_equal(serial_read(backend, &byte, 1), 0);
        assert_int_equal(serial_modem_inputs(backend), SERIAL_CTS | SERIAL_DSR | SERIAL_DCD);
        if (i == 0)
            expect_bytes(fd, "boot");
        send_bytes(fd, "hello");
        expect_input(backend, "hello");
        serial_write(backend, "there", 5);
        expect_bytes(fd, "there");
        close(fd);
        while (serial_modem_inputs(backend) != SERIAL_CTS) {
            assert_true(wait_for(serial_fd(backend), POLLIN));
            assert_int_equal(serial_read(backend, &byte, 1), 0);
        }
        assert_false(serial_input_ended(backend));
    }
    serial_close(backend);
    assert_int_equal(access(path, F_OK), -1);
}

static void a_stale_socket_is_replaced_a_live_one_is_not(void **state)
{
    (void)state;
    char spec[256];
    in_folder(spec, sizeof spec, "unix:%s,server", "stale");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    in_folder(address.sun_path, sizeof address.sun_path, "%s", "stale");
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    struct serial_backend *backend = must_open(spec);
    struct error error;
    assert_null(serial_open(spec, &error));
    assert_non_null(strstr(error.text, "in use"));
    close(connect_unix(address.sun_path));
    serial_close(backend);
}

static void unix_client_stops_when_the_server_leaves(void **state)
{
    (void)state;
    char spec[256];
    in_folder(spec, sizeof spec, "unix:%s", "peer");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    in_folder(address.sun_path, sizeof address.sun_path, "%s", "peer");
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    struct serial_backend *backend = must_open(spec);
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    serial_write(backend, "ping", 4);
    expect_bytes(fd, "ping");
    send_bytes(fd, "last words");
    close(fd);
    close(listener);
    serial_write(backend, "to nobody", 9); /* fails; the input that waits is still ours */
    expect_input(backend, "last words");
    wait_for_input_end(backend);
    serial_write(backend, "to nobody", 9);
    assert_true(serial_dropped(backend) >= 9);
    serial_close(backend);
}

static void tcp_both_ways(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    char spec[64];
    snprintf(spec, sizeof spec, "tcp:127.0.0.1:%u", ntohs(address.sin_port));
    struct serial_backend *client = must_open(spec);
    int fd = accept(listener, NULL, NULL);
    serial_write(client, "to the server", 13);
    expect_bytes(fd, "to the server");
    send_bytes(fd, "to the client");
    expect_input(client, "to the client");
    /* A reset, not an orderly end. */
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    close(fd);
    wait_for_input_end(client);
    serial_close(client);
    close(listener);

    snprintf(spec, sizeof spec, "tcp:127.0.0.1:%u,server", ntohs(address.sin_port));
    struct serial_backend *server = must_open(spec);
    snprintf(spec, sizeof spec, "tcp:127.0.0.1:%u", ntohs(address.sin_port));
    client = must_open(spec);
    serial_write(client, "ping", 4);
    expect_input(server, "ping");
    serial_write(server, "pong", 4);
    expect_input(client, "pong");
    serial_close(client);
    serial_close(server);
}

static void exec_talks_to_a_command(void **state)
{
    (void)state;
    struct serial_backend *backend = must_open("exec:tr a-z A-Z; exit 3");
    serial_write(backend, "shout", 5);
    serial_close(backend); /* the command sees the end of its input; nothing is left behind */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);

    backend = must_open("exec:read line; echo \"got $line\"");
    serial_write(backend, "this\n", 5);
    expect_input(backend, "got this\n");
    wait_for_input_end(backend);
    serial_close(backend);
}

static void exec_kills_a_deaf_command(void **state)
{
    (void)state;
    struct serial_backend *backend = must_open("exec:exec sleep 1000");
    serial_close(backend);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static int make_folder(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[300];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_specs_are_refused),
        cmocka_unit_test(null_swallows),
        cmocka_unit_test(file_keeps_everything),
        cmocka_unit_test(full_disk_warns_once),
        cmocka_unit_test(pty_survives_its_users),
        cmocka_unit_test(pty_without_a_reader_never_waits),
        cmocka_unit_test(unix_server_takes_one_after_another),
        cmocka_unit_test(a_stale_socket_is_replaced_a_live_one_is_not),
        cmocka_unit_test(unix_client_stops_when_the_server_leaves),
        cmocka_unit_test(tcp_both_ways),
        cmocka_unit_test(exec_talks_to_a_command),
        cmocka_unit_test(exec_kills_a_deaf_command),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
