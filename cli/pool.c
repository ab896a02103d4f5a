/* Runs of this program beside each other, each a process of its own. */
#include "cli/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct slot {
    pid_t pid; /* 0: free */
    struct pool_run run;
};

char **pool_arguments(size_t count)
{
    return calloc(count + 1, sizeof(char *));
}

bool pool_add(char **argv, size_t room, const char *argument)
{
    size_t count = 0;
    while (argv[count])
        count++;
    if (count == room)
        return false;
    argv[count] = strdup(argument);
    return argv[count] != NULL;
}

void pool_run_free(struct pool_run *run)
{
    for (size_t i = 0; run->argv && run->argv[i]; i++)
        free(run->argv[i]);
    free(run->argv);
    free(run->output);
    run->argv = NULL;
    run->output = NULL;
}

/* In the child. It ends when its parent does, and takes no signal that a terminal gives the group:
 * the parent passes on what it is to have. */
__attribute__((noreturn)) static void become(const struct pool_run *run, const sigset_t *mask)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);
    int in = open("/dev/null", O_RDONLY);
    int out = open(run->output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (in < 0 || out < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        dup2(out, STDERR_FILENO) < 0)
        _exit(125);
    if (in > STDERR_FILENO)
        close(in);
    sigprocmask(SIG_SETMASK, mask, NULL);
    execv("/proc/self/exe", run->argv);
    _exit(125);
}

static int start(
    const struct pool *pool, struct slot *slot, const sigset_t *mask, struct error *error)
{
    int more = pool->next(pool->context, &slot->run, error);
    if (more <= 0)
        return more;
    slot->pid = fork();
    if (slot->pid == 0)
        become(&slot->run, mask);
    if (slot->pid > 0)
        return 1;
    slot->pid = 0;
    pool_run_free(&slot->run);
    return error_set_errno(error, "cannot start a process");
}

static int status_of(int wait_status)
{
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

/* Takes the runs that have ended off their slots. */
static int reap(const struct pool *pool, struct slot *slots, unsigned jobs, unsigned *running,
    bool tell, struct error *error)
{
    int result = 0;
    for (unsigned i = 0; i < jobs; i++) {
        int wait_status;
        if (!slots[i].pid || waitpid(slots[i].pid, &wait_status, WNOHANG) != slots[i].pid)
            continue;
        slots[i].pid = 0;
        --*running;
        if (tell && result == 0)
            result = pool->ended(pool->context, &slots[i].run, status_of(wait_status), error);
        pool_run_free(&slots[i].run);
    }
    return result;
}

static void kill_all(const struct slot *slots, unsigned jobs)
{
    for (unsigned i = 0; i < jobs; i++) {
        if (slots[i].pid)
            kill(slots[i].pid, SIGKILL);
    }
}

static void block_signals(sigset_t *watched, sigset_t *before)
{
    sigemptyset(watched);
    sigaddset(watched, SIGCHLD);
    sigaddset(watched, SIGINT);
    sigaddset(watched, SIGTERM);
    sigaddset(watched, SIGHUP);
    sigprocmask(SIG_BLOCK, watched, before);
}

static unsigned jobs_of(const struct pool *pool)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (pool->jobs)
        return pool->jobs;
    return processors > 0 ? (unsigned)processors : 1;
}

int pool_work(const struct pool *pool, struct error *error)
{
    unsigned jobs = jobs_of(pool), running = 0;
    struct slot *slots = calloc(jobs, sizeof *slots);
    if (!slots)
        return error_set(error, "out of memory");
    sigset_t watched, before;
    block_signals(&watched, &before);
    int result = 0, more = 1, signal_number = 0;
    while (running > 0 || (more > 0 && result == 0 && !signal_number)) {
        for (unsigned i = 0; i < jobs && more > 0 && result == 0 && !signal_number; i++) {
            if (slots[i].pid)
                continue;
            more = start(pool, &slots[i], &before, error);
            running += more > 0;
        }
        if (more < 0)
            result = -1;
        if (result < 0 || signal_number)
            kill_all(slots, jobs);
        if (running == 0)
            break;
        int caught = sigwaitinfo(&watched, NULL);
        if (caught > 0 && caught != SIGCHLD)
            signal_number = caught;
        if (reap(pool, slots, jobs, &running, result == 0 && !signal_number, error) < 0)
            result = -1;
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    free(slots);
    return result < 0 ? -1 : signal_number;
}
