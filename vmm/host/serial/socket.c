/*
 * UNIX and TCP sockets: as a client, connected once when the port is opened; as a server
 * (",server"), listening for as long as the port is open, one client at a time.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/host/serial/internal.h"

enum { CONNECT_MILLISECONDS = 5000 };

struct socket_port {
    bool server;
    bool tcp;
    struct sockaddr_un unlink_address; /* server: the path to remove; empty otherwise */
};

static void close_socket(struct serial_backend *backend)
{
    struct socket_port *port = backend->data;
    if (port && port->unlink_address.sun_path[0])
        unlink(port->unlink_address.sun_path);
    free(port);
}

static unsigned modem_inputs(struct serial_backend *backend)
{
    return SERIAL_CTS | (backend->in_fd >= 0 ? SERIAL_DSR | SERIAL_DCD : 0u);
}

static void hang_up(struct serial_backend *backend)
{
    const struct socket_port *port = backend->data;
    if (port->server) {
        stream_watch_extra(backend, true);
        return;
    }
    stream_warn(backend, "the connection was closed");
    backend->input_ended = true;
    backend->output_gone = true;
}

/* A client at the door. Until it leaves, others wait in the listening socket's backlog. */
static void service(struct serial_backend *backend)
{
    const struct socket_port *port = backend->data;
    if (backend->in_fd >= 0)
        return;
    int fd = accept4(backend->extra_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return; /* it left again, or descriptors ran out: the next poll tells */
    if (port->tcp)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    struct error error;
    if (stream_attach(backend, fd, fd, &error) < 0) {
        backend->warning = error;
        stream_detach(backend);
        return;
    }
    stream_watch_extra(backend, false);
}

static const struct serial_ops unix_ops = {.name = "unix",
    .close = close_socket,
    .service = service,
    .hang_up = hang_up,
    .modem_inputs = modem_inputs};
static const struct serial_ops tcp_ops = {.name = "tcp",
    .close = close_socket,
    .service = service,
    .hang_up = hang_up,
    .modem_inputs = modem_inputs};

/* Splits "address,option,..." and notes the options. The address is the caller's to free. */
static char *parse_options(struct socket_port *port, const char *argument, struct error *error)
{
    char *copy = strdup(argument);
    if (!copy) {
        error_set(error, "serial: out of memory");
        return NULL;
    }
    char *rest = copy;
    strsep(&rest, ",");
    for (char *option; (option = strsep(&rest, ",")) != NULL;) {
        if (strcmp(option, "server") == 0 || strcmp(option, "server=on") == 0) {
            port->server = true;
        } else if (strcmp(option, "nowait") != 0 && strcmp(option, "wait=off") != 0) {
            error_set(error, "serial %s: unknown option \"%s\"; use server", argument, option);
            free(copy);
            return NULL;
        }
    }
    return copy;
}

/* connect(), for at most CONNECT_MILLISECONDS; the socket is non-blocking. 0 or an errno. */
static int connect_in_time(int fd, const struct sockaddr *address, socklen_t size)
{
    if (connect(fd, address, size) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return errno;
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    if (poll(&poll_fd, 1, CONNECT_MILLISECONDS) != 1)
        return ETIMEDOUT;
    int result = 0;
    socklen_t length = sizeof result;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &length) < 0)
        return errno;
    return result;
}

/* A connected or listening socket, or -1 with errno. */
static int open_address(
    const struct socket_port *port, int family, const struct sockaddr *address, socklen_t size)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int number = 0;
    if (port->server) {
        if (port->tcp)
            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
        if (bind(fd, address, size) < 0 || listen(fd, 4) < 0)
            number = errno;
    } else {
        number = connect_in_time(fd, address, size);
        if (!number && port->tcp)
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    }
    if (!number)
        return fd;
    close(fd);
    errno = number;
    return -1;
}

static int attach(struct serial_backend *backend, int fd, struct error *error)
{
    const struct socket_port *port = backend->data;
    return port->server ? stream_attach_extra(backend, fd, error)
                        : stream_attach(backend, fd, fd, error);
}

/* A socket file that nobody listens on is left over from a process that died. */
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

static int open_unix(struct serial_backend *backend, const char *path, struct error *error)
{
    struct socket_port *port = backend->data;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return error_set(error, "serial unix: the path %.80s... is longer than %zu bytes", path,
            sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (port->server)
        remove_stale(&address);
    int fd =
        open_address(port, AF_UNIX, (const struct sockaddr *)&address, (socklen_t)sizeof address);
    if (fd < 0)
        return error_set_errno(
            error, "serial unix: cannot %s %s", port->server ? "listen on" : "connect to", path);
    if (port->server)
        port->unlink_address = address;
    snprintf(backend->description, sizeof backend->description, "unix %s%s", path,
        port->server ? " (listening)" : "");
    return attach(backend, fd, error);
}

int serial_unix_open(struct serial_backend *backend, const char *argument, struct error *error)
{
    backend->ops = &unix_ops;
    struct socket_port *port = calloc(1, sizeof *port);
    if (!port)
        return error_set(error, "serial unix: out of memory");
    backend->data = port;
    char *path = parse_options(port, argument, error);
    if (!path)
        return -1;
    int result = open_unix(backend, path, error);
    free(path);
    return result;
}

static int open_tcp(struct serial_backend *backend, char *address, struct error *error)
{
    const struct socket_port *port = backend->data;
    char *colon = strrchr(address, ':');
    if (!colon || !colon[1])
        return error_set(error, "serial tcp:%s: no port; write tcp:HOST:PORT", address);
    snprintf(backend->description, sizeof backend->description, "tcp %.200s%s", address,
        port->server ? " (listening)" : "");
    *colon = '\0';
    char *host = address;
    if (host[0] == '[' && colon[-1] == ']') {
        host++;
        colon[-1] = '\0';
    }
    const struct addrinfo hints = {
        .ai_socktype = SOCK_STREAM, .ai_flags = port->server ? AI_PASSIVE : 0};
    struct addrinfo *list;
    int failure = getaddrinfo(host[0] ? host : NULL, colon + 1, &hints, &list);
    if (failure)
        return error_set(
            error, "serial %s: cannot find it: %s", backend->description, gai_strerror(failure));
    int fd = -1;
    for (const struct addrinfo *info = list; info && fd < 0; info = info->ai_next)
        fd = open_address(port, info->ai_family, info->ai_addr, info->ai_addrlen);
    int number = errno;
    freeaddrinfo(list);
    errno = number;
    if (fd < 0)
        return error_set_errno(error, "serial %s: cannot %s", backend->description,
            port->server ? "listen there" : "connect");
    return attach(backend, fd, error);
}

int serial_tcp_open(struct serial_backend *backend, const char *argument, struct error *error)
{
    backend->ops = &tcp_ops;
    struct socket_port *port = calloc(1, sizeof *port);
    if (!port)
        return error_set(error, "serial tcp: out of memory");
    port->tcp = true;
    backend->data = port;
    char *address = parse_options(port, argument, error);
    if (!address)
        return -1;
    int result = open_tcp(backend, address, error);
    free(address);
    return result;
}
