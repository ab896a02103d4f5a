/* hindsight gdb: a trace for stock gdb to attach to. */
#include "cli/cli.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "debugger/gdbstub.h"
#include "base/parse.h"
#include "vmm/host/confine.h"

static const char help[] =
    "Usage: hindsight gdb TRACE.hst [--listen HOST:PORT|unix:PATH] [--once] [-ex COMMAND]...\n"
    "                             [--cache SIZE]\n"
    "Let gdb attach to a recorded run: (gdb) target remote TRACE.hst.gdb\n"
    "gdb's reverse-step, reverse-continue and the like work; 'monitor COMMAND' reaches\n"
    "hindsight's own commands ('monitor help').\n\n"
    "  --listen unix:PATH|HOST:PORT  the socket TRACE.hst.gdb by default, for this user alone;\n"
    "                                over TCP (port 0 takes a free one) for whoever reaches it\n"
    "  --once                        end when the first gdb has gone\n"
    "  -ex, --eval-command COMMAND   execute it first: symbol files are read here, not by gdb's "
    "wish\n"
    "  --cache SIZE                  memory for checkpoints, 512M by default\n"
    "  --store DIR                   where its boot files are if it only names them\n"
    "  --memory-limit SIZE    RAM that the trace may ask for; three quarters of the host's by\n"
    "                         default\n"
    "  --any-version                 also when another version of the machine made the trace\n";

enum {
    OPTION_LISTEN = 1,
    OPTION_ONCE,
    OPTION_CACHE,
    OPTION_ANY_VERSION,
    OPTION_MEMORY_LIMIT,
    OPTION_STORE,
    OPTION_EX,
    MAX_COMMANDS = 64,
};

/* What is executed before gdb is served, which may read files. */
struct commands {
    const char *list[MAX_COMMANDS];
    unsigned count;
};

static struct gdbstub *volatile serving;
static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
    if (serving)
        gdbstub_stop(serving);
}

/* A socket that an earlier run left behind and nobody listens at; nothing else is removed. */
static void remove_stale(const struct sockaddr_un *address)
{
    struct stat status;
    if (lstat(address->sun_path, &status) < 0 || !S_ISSOCK(status.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 && errno == ECONNREFUSED)
        unlink(address->sun_path);
    close(fd);
}

static bool is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(
            &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
    const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)address;
    return ntohl(four->sin_addr.s_addr) >> 24 == 127;
}

static int listen_unix(const char *path, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return error_set(error, "--listen unix:%.100s...: the path is too long", path);
    strcpy(address.sun_path, path);
    remove_stale(&address);
    mode_t mask = umask(0177);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int bound = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&address, sizeof address);
    umask(mask);
    if (bound < 0 || listen(fd, 1) < 0) {
        error_set_errno(error, "--listen unix:%s", path);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    printf("waiting for gdb: target remote %s\n", path);
    return fd;
}

static int listen_tcp(const char *text, struct error *error)
{
    char host[256];
    const char *colon = strrchr(text, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    int on = 1;
    if (!colon || colon == text || colon - text >= (ptrdiff_t)sizeof host || !colon[1])
        return error_set(error,
            "--listen %.200s: give the address and the port (127.0.0.1:1234), or unix:PATH", text);
    snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
    int code = getaddrinfo(host, colon + 1, &hints, &found);
    if (code)
        return error_set(error, "--listen %s: %s", text, gai_strerror(code));
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    int result = fd < 0 ? -1 : bind(fd, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    if (result < 0 || listen(fd, 1) < 0 || getsockname(fd, (struct sockaddr *)&bound, &size) < 0) {
        error_set_errno(error, "--listen %s", text);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    unsigned port =
        ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&bound)->sin6_port
                                          : ((struct sockaddr_in *)(void *)&bound)->sin_port);
    printf("waiting for gdb: target remote %s:%u\n", host, port);
    if (!is_loopback(&bound))
        fprintf(
            stderr, "hindsight: whoever reaches port %u can read all of the recorded run\n", port);
    return fd;
}

/* Until somebody asks to be let in, or a signal came, however early. */
static void wait_for_gdb(int listener)
{
    struct pollfd fd = {.fd = listener, .events = POLLIN};
    sigset_t ends, before;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, &before);
    if (!stopping)
        ppoll(&fd, 1, NULL, &before);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static int serve(struct gdbstub *stub, int listener, bool once, struct error *error)
{
    int on = 1;
    for (;;) {
        wait_for_gdb(listener);
        if (stopping)
            break;
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0)
            return error_set_errno(error, "waiting for gdb");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        int result = gdbstub_serve(stub, fd, once ? -1 : listener, error);
        close(fd);
        if (result < 0)
            fprintf(stderr, "hindsight: %s\n", error->text);
        if (once)
            break;
    }
    return 0;
}

static void confine(const char *where)
{
    char folder[PATH_MAX] = "";
    bool is_unix = strncmp(where, "unix:", 5) == 0 && strlen(where) < sizeof folder;
    if (is_unix)
        strcpy(folder, where + 5);
    cli_confine(&(struct confine){.removes = is_unix ? dirname(folder) : NULL});
}

static int execute(struct debugger *debugger, const struct commands *commands, struct error *error)
{
    int result = 0;
    for (unsigned i = 0; i < commands->count && result == 0; i++) {
        result = debugger_execute(debugger, commands->list[i], error);
        cli_print_shown(debugger_output(debugger));
        buffer_clear(debugger_output(debugger));
    }
    return result;
}

static int run(const char *path, const char *where, const struct debugger_options *options,
    const struct commands *commands, bool once)
{
    struct error error = {""};
    bool damaged;
    struct debugger *debugger = debugger_open(path, options, &damaged, &error);
    if (!debugger)
        return cli_fail_open(path, options->store, options->any_version, damaged, &error);
    buffer_clear(debugger_output(debugger));
    struct gdbstub *stub =
        execute(debugger, commands, &error) < 0 ? NULL : gdbstub_create(debugger, &error);
    const struct sigaction action = {.sa_handler = on_signal};
    /* Before anybody is told that it waits. */
    serving = stub;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    int listener = !stub                             ? -1
                   : strncmp(where, "unix:", 5) == 0 ? listen_unix(where + 5, &error)
                                                     : listen_tcp(where, &error);
    int result = listener < 0 ? -1 : 0;
    if (result == 0) {
        confine(where);
        fflush(stdout);
        result = serve(stub, listener, once, &error);
        close(listener);
        if (strncmp(where, "unix:", 5) == 0)
            unlink(where + 5);
    }
    serving = NULL;
    gdbstub_destroy(stub);
    debugger_close(debugger);
    return result < 0 ? cli_fail(STATUS_ERROR, &error) : STATUS_OK;
}

int cli_gdb(int argc, char **argv)
{
    static const struct option options[] = {
        {"listen", required_argument, NULL, OPTION_LISTEN},
        {"once", no_argument, NULL, OPTION_ONCE},
        {"cache", required_argument, NULL, OPTION_CACHE},
        {"any-version", no_argument, NULL, OPTION_ANY_VERSION},
        {"memory-limit", required_argument, NULL, OPTION_MEMORY_LIMIT},
        {"store", required_argument, NULL, OPTION_STORE},
        {"ex", required_argument, NULL, OPTION_EX},
        {"eval-command", required_argument, NULL, OPTION_EX},
        {0},
    };
    const char *where = NULL;
    char beside[4096], room[PATH_MAX];
    struct debugger_options debug = {0};
    struct commands commands = {.count = 0};
    bool once = false;
    struct error error;
    int option;
    if (cli_wants_help(argc, argv))
        return cli_help(help);
    while ((option = getopt_long_only(argc, argv, "", options, NULL)) != -1) {
        if (option == OPTION_LISTEN)
            where = optarg;
        else if (option == OPTION_ONCE)
            once = true;
        else if (option == OPTION_MEMORY_LIMIT &&
                 parse_size(optarg, &debug.memory_limit, &error) < 0)
            return cli_usage("gdb", "--memory-limit: %s", error.text);
        else if (option == OPTION_MEMORY_LIMIT)
            continue;
        else if (option == OPTION_EX && commands.count == MAX_COMMANDS)
            return cli_usage("gdb", "at most %d commands with -ex", MAX_COMMANDS);
        else if (option == OPTION_EX)
            commands.list[commands.count++] = optarg;
        else if (option == OPTION_STORE)
            debug.store = optarg;
        else if (option == OPTION_ANY_VERSION)
            debug.any_version = true;
        else if (option != OPTION_CACHE)
            return cli_usage("gdb", "bad option");
        else if (parse_size(optarg, &debug.cache_bytes, &error) < 0)
            return cli_usage("gdb", "--cache %s", error.text);
    }
    if (optind + 1 != argc)
        return cli_usage("gdb", "give one trace");
    if (!where) {
        if (snprintf(beside, sizeof beside, "unix:%s.gdb", argv[optind]) >= (int)sizeof beside)
            return cli_usage("gdb", "the name of the trace is too long; give --listen");
        where = beside;
    }
    debug.store = cli_store_path(debug.store, room);
    return run(argv[optind], where, &debug, &commands, once);
}
