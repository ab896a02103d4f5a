/*
 * The stdio back end in a child process of its own, on a pty or on pipes. The parent plays the
 * person at the terminal.
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
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/host/serial/serial_backend.h"

enum { LIMIT_MILLISECONDS = 20000, STATUS_QUIT = 10, STATUS_ENDED = 11, STATUS_LOST = 12 };

/*
 * The child: says "ready", then brackets every byte it gets ("<a>") until told to quit or the input
 * ends. '!' makes it die by `death`; 'E' makes it leave by exit() with the back end still open.
 */
static void run_child(int death)
{
    struct error error;
    signal(SIGPIPE, SIG_IGN);
    struct serial_backend *backend = serial_open("stdio", &error);
    if (!backend)
        _exit(STATUS_LOST);
    serial_write(backend, "ready", 5);
    while (!serial_quit_requested(backend) && !serial_input_ended(backend)) {
        char bytes[16];
        size_t count = serial_read(backend, bytes, sizeof bytes);
        for (size_t i = 0; i < count; i++) {
            char text[3] = {'<', bytes[i], '>'};
            if (bytes[i] == '!')
                raise(death);
            if (bytes[i] == 'E')
                exit(0);
            serial_write(backend, text, sizeof text);
        }
        if (count || serial_quit_requested(backend) || serial_input_ended(backend))
            continue;
        struct pollfd poll_fd = {.fd = serial_fd(backend), .events = POLLIN};
        if (poll(&poll_fd, 1, LIMIT_MILLISECONDS) == 0)
            _exit(STATUS_LOST);
    }
    int status = serial_quit_requested(backend) ? STATUS_QUIT : STATUS_ENDED;
    serial_close(backend);
    _exit(status);
}

struct session {
    int master;
    int slave; /* kept open so that the settings outlive the child */
    pid_t pid;
    struct termios before;
};

static void start(struct session *session, int death)
{
    session->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(session->master >= 0 && unlockpt(session->master) == 0);
    session->slave = open(ptsname(session->master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(session->slave >= 0);
    assert_int_equal(tcgetattr(session->slave, &session->before), 0);
    session->pid = fork();
    assert_true(session->pid >= 0);
    if (session->pid == 0) {
        setsid();
        if (ioctl(session->slave, TIOCSCTTY, 0) < 0)
            _exit(STATUS_LOST);
        dup2(session->slave, STDIN_FILENO);
        dup2(session->slave, STDOUT_FILENO);
        /* A sanitizer's own handlers would stand in for the default action under test. */
        signal(SIGSEGV, SIG_DFL);
        run_child(death);
    }
}

static void expect_bytes(int fd, const char *text)
{
    char got[512] = {0};
    size_t size = strlen(text), total = 0;
    while (total < size) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&poll_fd, 1, LIMIT_MILLISECONDS), 1);
        ssize_t count = read(fd, got + total, size - total);
        assert_true(count > 0);
        total += (size_t)count;
    }
    assert_string_equal(got, text);
}

static void type(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static int finish(struct session *session)
{
    int status;
    struct termios after;
    assert_int_equal(waitpid(session->pid, &status, 0), session->pid);
    assert_int_equal(tcgetattr(session->slave, &after), 0);
    assert_int_equal(after.c_iflag, session->before.c_iflag);
    assert_int_equal(after.c_oflag, session->before.c_oflag);
    assert_int_equal(after.c_lflag, session->before.c_lflag);
    close(session->slave);
    close(session->master);
    return status;
}

static void a_terminal_is_raw_and_ctrl_a_x_quits(void **state)
{
    (void)state;
    struct session session;
    start(&session, SIGTERM);
    expect_bytes(session.master, "ready");
    struct termios now;
    assert_int_equal(tcgetattr(session.slave, &now), 0);
    assert_int_equal(now.c_lflag & (ICANON | ECHO | ISIG), 0);
    type(session.master, "a\r\x03");
    expect_bytes(session.master, "<a><\r><\x03>");
    type(session.master, "\x01");
    type(session.master, "ab\x01\x01");
    expect_bytes(session.master, "<\x01><b><\x01>");
    type(session.master, "\x01h");
    expect_bytes(session.master, "\r\nCtrl-A x  quit\r\n");
    type(session.master, "\x01x");
    int status = finish(&session);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), STATUS_QUIT);
}

static void the_terminal_is_restored_when_a_signal_kills(void **state)
{
    (void)state;
    static const int deaths[] = {SIGTERM, SIGINT, SIGSEGV, SIGABRT};
    for (size_t i = 0; i < sizeof deaths / sizeof deaths[0]; i++) {
        struct session session;
        start(&session, deaths[i]);
        expect_bytes(session.master, "ready");
        type(session.master, "!");
        int status = finish(&session);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), deaths[i]);
    }
}

static void the_terminal_is_restored_at_exit(void **state)
{
    (void)state;
    struct session session;
    start(&session, SIGTERM);
    expect_bytes(session.master, "ready");
    type(session.master, "E");
    int status = finish(&session);
    assert_true(WIFEXITED(status));
}

static void run_on(const char *in_path, int in_fd, int out_fd, int *status)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int fd = in_path ? open(in_path, O_RDONLY) : in_fd;
        dup2(fd, STDIN_FILENO);
        dup2(out_fd, STDOUT_FILENO);
        run_child(SIGTERM);
    }
    assert_int_equal(waitpid(pid, status, 0), pid);
}

/* Not a terminal: Ctrl-A is a byte like others, and the end of the input ends only that. */
static void pipes_and_files_are_plain(void **state)
{
    (void)state;
    int in_pipe[2], out_pipe[2], status;
    assert_int_equal(pipe2(in_pipe, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out_pipe, O_CLOEXEC), 0);
    type(in_pipe[1], "a\x01xb");
    close(in_pipe[1]);
    run_on(NULL, in_pipe[0], out_pipe[1], &status);
    expect_bytes(out_pipe[0], "ready<a><\x01><x><b>");
    assert_int_equal(WEXITSTATUS(status), STATUS_ENDED);

    char path[] = "/tmp/hindsight-stdin-XXXXXX";
    int file = mkstemp(path);
    type(file, "file");
    close(file);
    run_on(path, -1, out_pipe[1], &status);
    unlink(path);
    expect_bytes(out_pipe[0], "ready<f><i><l><e>");
    assert_int_equal(WEXITSTATUS(status), STATUS_ENDED);

    run_on("/dev/null", -1, out_pipe[1], &status);
    expect_bytes(out_pipe[0], "ready");
    assert_int_equal(WEXITSTATUS(status), STATUS_ENDED);
    close(in_pipe[0]);
    close(out_pipe[0]);
    close(out_pipe[1]);
}

/* The reader of standard output went away: input goes on to its end. */
static void a_closed_output_pipe_is_survived(void **state)
{
    (void)state;
    int in_pipe[2], out_pipe[2], status;
    assert_int_equal(pipe2(in_pipe, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out_pipe, O_CLOEXEC), 0);
    close(out_pipe[0]);
    type(in_pipe[1], "abc");
    close(in_pipe[1]);
    run_on(NULL, in_pipe[0], out_pipe[1], &status);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), STATUS_ENDED);
    close(in_pipe[0]);
    close(out_pipe[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_terminal_is_raw_and_ctrl_a_x_quits),
        cmocka_unit_test(the_terminal_is_restored_when_a_signal_kills),
        cmocka_unit_test(the_terminal_is_restored_at_exit),
        cmocka_unit_test(pipes_and_files_are_plain),
        cmocka_unit_test(a_closed_output_pipe_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
