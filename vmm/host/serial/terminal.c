/*
 * Raw mode for the process's terminal, and its way back: on restore, at exit, and when a signal
 * kills the process. The terminal belongs to the process, not to a machine, so this is the one
 * place with static state.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/host/serial/internal.h"

static struct termios saved;
static volatile sig_atomic_t raw_fd = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool exit_handler_installed;

static const int fatal_signals[] = {
    SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGTERM, SIGSYS};

/* Only calls that are safe in a signal handler. */
void terminal_restore(void)
{
    int fd = raw_fd;
    if (fd < 0)
        return;
    raw_fd = -1;
    int number = errno;
    tcsetattr(fd, TCSANOW, &saved);
    errno = number;
}

/* SA_RESETHAND: raised again, the signal does what it would have done. */
static void restore_and_die(int number)
{
    terminal_restore();
    raise(number);
}

static void install_handlers(void)
{
    for (size_t i = 0; i < sizeof fatal_signals / sizeof fatal_signals[0]; i++) {
        struct sigaction old;
        if (sigaction(fatal_signals[i], NULL, &old) < 0 || old.sa_handler != SIG_DFL)
            continue; /* the program has its own way to end on this one */
        struct sigaction action = {.sa_handler = restore_and_die, .sa_flags = (int)SA_RESETHAND};
        sigemptyset(&action.sa_mask);
        sigaction(fatal_signals[i], &action, NULL);
    }
    if (!exit_handler_installed)
        exit_handler_installed = atexit(terminal_restore) == 0;
}

static int make_raw_locked(int fd, struct error *error)
{
    if (raw_fd >= 0)
        return error_set(error, "serial stdio: the terminal is already in use by another port");
    if (tcgetattr(fd, &saved) < 0)
        return error_set_errno(error, "serial stdio: cannot read the terminal's settings");
    struct termios raw = saved;
    cfmakeraw(&raw);
    install_handlers();
    if (tcsetattr(fd, TCSANOW, &raw) < 0)
        return error_set_errno(error, "serial stdio: cannot switch the terminal to raw mode");
    raw_fd = fd;
    return 0;
}

int terminal_make_raw(int fd, struct error *error)
{
    pthread_mutex_lock(&lock);
    int result = make_raw_locked(fd, error);
    pthread_mutex_unlock(&lock);
    return result;
}
