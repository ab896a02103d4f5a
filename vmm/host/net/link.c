/* Opens host links of each kind, and carries frames over them. */
#include "vmm/host/net/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct net_link {
    char *name;
    int fd;
    bool is_tap;
    char *path;              /* a UNIX socket of ours, removed at the end */
    struct sockaddr_un peer; /* UNIX sockets: it may not be there yet */
    bool has_peer;
};

enum { SOCKET_BUFFER = 1 << 20 };

/* The part of the specification up to the next colon, or the rest; empty parts are refused. */
static char *next_part(char **rest)
{
    char *part = strsep(rest, ":");
    return part && *part ? part : NULL;
}

static bool parse_port(const char *text, uint16_t *port)
{
    char *end;
    unsigned long value = text ? strtoul(text, &end, 10) : 0;
    if (!text || *end || value == 0 || value > UINT16_MAX)
        return false;
    *port = htons((uint16_t)value);
    return true;
}

static int open_udp(struct net_link *link, char *rest, struct error *error)
{
    struct sockaddr_in own = {.sin_family = AF_INET}, peer = {.sin_family = AF_INET};
    const char *local = next_part(&rest), *host = next_part(&rest), *port = next_part(&rest);
    if (host && strcmp(host, "localhost") == 0)
        host = "127.0.0.1";
    if (rest || !host || !parse_port(local, &own.sin_port) || !parse_port(port, &peer.sin_port) ||
        inet_pton(AF_INET, host, &peer.sin_addr) != 1)
        return error_set(error,
            "--net: link '%s': give udp:LOCALPORT:HOST:PORT with a numeric HOST", link->name);
    /* What only talks to this host should not listen to others. */
    bool loopback = ntohl(peer.sin_addr.s_addr) >> 24 == 127;
    own.sin_addr.s_addr = htonl(loopback ? INADDR_LOOPBACK : INADDR_ANY);
    link->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd < 0 || bind(link->fd, (struct sockaddr *)&own, sizeof own) < 0 ||
        connect(link->fd, (struct sockaddr *)&peer, sizeof peer) < 0)
        return error_set_errno(error, "--net: link '%s' cannot be opened", link->name);
    return 0;
}

static bool set_path(struct sockaddr_un *address, const char *path)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (!path || strlen(path) >= sizeof address->sun_path)
        return false;
    strcpy(address->sun_path, path);
    return true;
}

static int open_unix(struct net_link *link, char *rest, struct error *error)
{
    struct sockaddr_un own;
    const char *local = next_part(&rest), *peer = next_part(&rest);
    if (rest || !set_path(&own, local) || !set_path(&link->peer, peer))
        return error_set(
            error, "--net: link '%s': give unix:LOCAL:PEER with two short paths", link->name);
    link->has_peer = true;
    link->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd < 0 || bind(link->fd, (struct sockaddr *)&own, sizeof own) < 0)
        return error_set_errno(error, "--net: link '%s' cannot be opened", link->name);
    link->path = strdup(local);
    return 0;
}

static int open_fd(struct net_link *link, char *rest, struct error *error)
{
    char *end;
    unsigned long number = rest ? strtoul(rest, &end, 10) : 0;
    int type;
    socklen_t size = sizeof type;
    if (!rest || !*rest || *end || number > INT_MAX)
        return error_set(error, "--net: link '%s': give fd:N", link->name);
    if (getsockopt((int)number, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
        return error_set_errno(error, "--net: link '%s'", link->name);
    if (type != SOCK_DGRAM && type != SOCK_SEQPACKET)
        return error_set(error, "--net: link '%s' is not a datagram socket", link->name);
    link->fd = fcntl((int)number, F_DUPFD_CLOEXEC, 3);
    if (link->fd < 0 || fcntl(link->fd, F_SETFL, O_NONBLOCK) < 0)
        return error_set_errno(error, "--net: link '%s'", link->name);
    return 0;
}

static int open_tap(struct net_link *link, char *rest, struct error *error)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    if (!rest || !*rest || strlen(rest) >= sizeof request.ifr_name)
        return error_set(error, "--net: link '%s': give tap:NAME", link->name);
    strcpy(request.ifr_name, rest);
    link->is_tap = true;
    link->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (link->fd < 0 || ioctl(link->fd, TUNSETIFF, &request) < 0)
        return error_set_errno(error,
            "--net: link '%s' cannot be opened; it needs CAP_NET_ADMIN, or an interface made with "
            "'ip tuntap add' for this user",
            link->name);
    return 0;
}

static int open_kind(struct net_link *link, char *rest, struct error *error)
{
    const char *kind = next_part(&rest);
    if (kind && strcmp(kind, "udp") == 0)
        return open_udp(link, rest, error);
    if (kind && strcmp(kind, "unix") == 0)
        return open_unix(link, rest, error);
    if (kind && strcmp(kind, "fd") == 0)
        return open_fd(link, rest, error);
    if (kind && strcmp(kind, "tap") == 0)
        return open_tap(link, rest, error);
    return error_set(error, "--net: link '%s': udp:, unix:, fd: or tap: are known", link->name);
}

struct net_link *net_link_open(const char *specification, struct error *error)
{
    struct net_link *link = calloc(1, sizeof *link);
    char *copy = strdup(specification);
    if (link) {
        link->fd = -1;
        link->name = strdup(specification);
    }
    int result = -1;
    if (!link || !link->name || !copy)
        error_set(error, "out of memory");
    else
        result = open_kind(link, copy, error);
    free(copy);
    if (result < 0) {
        net_link_close(link);
        return NULL;
    }
    int size = SOCKET_BUFFER;
    if (!link->is_tap)
        setsockopt(link->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    return link;
}

void net_link_close(struct net_link *link)
{
    if (!link)
        return;
    if (link->fd >= 0)
        close(link->fd);
    if (link->path)
        unlink(link->path);
    free(link->path);
    free(link->name);
    free(link);
}

const char *net_link_name(const struct net_link *link)
{
    return link->name;
}

int net_link_fd(const struct net_link *link)
{
    return link->fd;
}

bool net_link_send(struct net_link *link, const uint8_t *frame, size_t size)
{
    ssize_t sent;
    if (link->is_tap)
        sent = write(link->fd, frame, size);
    else if (link->has_peer)
        sent = sendto(link->fd, frame, size, MSG_NOSIGNAL, (const struct sockaddr *)&link->peer,
            sizeof link->peer);
    else
        sent = send(link->fd, frame, size, MSG_NOSIGNAL);
    return sent == (ssize_t)size ||
           (sent < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == EINTR));
}

ssize_t net_link_receive(struct net_link *link, uint8_t *frame, size_t capacity)
{
    ssize_t got =
        link->is_tap ? read(link->fd, frame, capacity) : recv(link->fd, frame, capacity, MSG_TRUNC);
    if (got > (ssize_t)capacity)
        return 0;
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    return got;
}
