/* The host side of a NIC, with the thread that listens. */
#include "vmm/host/net/network.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { FRAME_LEAST = 14, WAITING_MOST = 1024, HELLO_MS = (int)(BOND_HELLO_NS / 1000000) };

struct waiting_frame {
    uint16_t size;
    uint8_t link;
    uint8_t data[NETWORK_FRAME_MOST];
};

struct network {
    unsigned count;
    struct net_link *link[BOND_MAX_LINKS];
    int waiting_fd; /* eventfd: frames wait */
    int wake_fd;    /* eventfd: the thread looks again */
    pthread_t thread;
    bool thread_runs;
    atomic_bool quit;
    pthread_mutex_t lock; /* of everything below */
    struct bond bond;
    void (*arrived)(void *context);
    void *context;
    struct waiting_frame *ring;
    atomic_uint waiting;
    unsigned first;
};

static uint64_t host_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static void signal_fd(int fd)
{
    uint64_t one = 1;
    ssize_t written = write(fd, &one, sizeof one);
    (void)written; /* full means that it is readable already */
}

static void drain_fd(int fd)
{
    uint64_t count;
    ssize_t got = read(fd, &count, sizeof count);
    (void)got;
}

/* ---- The listening thread ---- */

/* Takes one frame from a link; false when there was none. */
static bool listen_to(struct network *network, unsigned index, bool *first)
{
    unsigned waiting = atomic_load(&network->waiting);
    struct waiting_frame *frame = &network->ring[(network->first + waiting) % WAITING_MOST];
    uint64_t now = host_ns();
    ssize_t got = net_link_receive(network->link[index], frame->data, sizeof frame->data);
    if (got < 0)
        bond_failed(&network->bond, index, now);
    if (got <= 0)
        return false;
    if (network->bond.link[index].down || got < FRAME_LEAST)
        return true;
    if (bond_heard(&network->bond, index, frame->data, (size_t)got, now))
        return true;
    frame->size = (uint16_t)got;
    frame->link = (uint8_t)index;
    atomic_store(&network->waiting, waiting + 1);
    if (waiting == 0) {
        *first = true;
        signal_fd(network->waiting_fd);
    }
    return true;
}

static void say_hello(struct network *network)
{
    uint8_t hello[BOND_HELLO_SIZE];
    bond_make_hello(hello);
    for (unsigned i = 0; i < network->count; i++) {
        pthread_mutex_lock(&network->lock);
        bool down = network->bond.link[i].down;
        pthread_mutex_unlock(&network->lock);
        if (!down)
            net_link_send(network->link[i], hello, sizeof hello);
    }
}

static void *listen_thread(void *context)
{
    struct network *network = context;
    uint64_t next_hello = 0;
    while (!atomic_load(&network->quit)) {
        struct pollfd fds[BOND_MAX_LINKS + 1] = {{.fd = network->wake_fd, .events = POLLIN}};
        bool full = atomic_load(&network->waiting) == WAITING_MOST;
        for (unsigned i = 0; i < network->count; i++)
            fds[i + 1] =
                (struct pollfd){.fd = full ? -1 : net_link_fd(network->link[i]), .events = POLLIN};
        poll(fds, network->count + 1, HELLO_MS);
        if (fds[0].revents)
            drain_fd(network->wake_fd);
        if (host_ns() >= next_hello) {
            say_hello(network);
            next_hello = host_ns() + BOND_HELLO_NS;
        }
        bool first = false;
        pthread_mutex_lock(&network->lock);
        if (full)
            bond_was_deaf(&network->bond, host_ns());
        for (unsigned i = 0; i < network->count && !full; i++) {
            while (fds[i + 1].revents && atomic_load(&network->waiting) < WAITING_MOST &&
                   listen_to(network, i, &first))
                ;
        }
        void (*arrived)(void *) = network->arrived;
        void *argument = network->context;
        pthread_mutex_unlock(&network->lock);
        if (first && arrived)
            arrived(argument);
    }
    return NULL;
}

/* ---- The machine's side ---- */

void network_listen(struct network *network, void (*arrived)(void *context), void *context)
{
    pthread_mutex_lock(&network->lock);
    network->arrived = arrived;
    network->context = context;
    pthread_mutex_unlock(&network->lock);
}

int network_fd(const struct network *network)
{
    return network->waiting_fd;
}

bool network_has_frame(const struct network *network)
{
    return atomic_load_explicit(&network->waiting, memory_order_relaxed) > 0;
}

size_t network_take(struct network *network, uint8_t frame[NETWORK_FRAME_MOST], unsigned *link)
{
    size_t size = 0;
    pthread_mutex_lock(&network->lock);
    unsigned waiting = atomic_load(&network->waiting);
    if (waiting) {
        const struct waiting_frame *oldest = &network->ring[network->first];
        size = oldest->size;
        *link = oldest->link;
        memcpy(frame, oldest->data, size);
        network->first = (network->first + 1) % WAITING_MOST;
        atomic_store(&network->waiting, waiting - 1);
        if (waiting == 1)
            drain_fd(network->waiting_fd);
        if (waiting == WAITING_MOST)
            signal_fd(network->wake_fd);
    }
    pthread_mutex_unlock(&network->lock);
    return size;
}

int network_send(struct network *network, const uint8_t *frame, size_t size, uint8_t *live)
{
    int link;
    pthread_mutex_lock(&network->lock);
    uint64_t now = host_ns();
    while ((link = bond_choose(&network->bond, frame, size, now)) >= 0) {
        if (net_link_send(network->link[link], frame, size)) {
            bond_sent(&network->bond, (unsigned)link);
            break;
        }
        bond_failed(&network->bond, (unsigned)link, now);
    }
    *live = 0;
    for (unsigned i = 0; i < network->count; i++)
        *live |= (uint8_t)(bond_is_live(&network->bond, i, now) << i);
    pthread_mutex_unlock(&network->lock);
    return link;
}

void network_set_link(struct network *network, unsigned link, bool up)
{
    pthread_mutex_lock(&network->lock);
    struct bond_link *state = &network->bond.link[link];
    if (state->down && up)
        *state = (struct bond_link){.sent = state->sent, .received = state->received};
    state->down = !up;
    pthread_mutex_unlock(&network->lock);
}

struct network *network_open(const struct net_config *config, struct error *error)
{
    struct network *network = calloc(1, sizeof *network);
    if (!network || !(network->ring = calloc(WAITING_MOST, sizeof *network->ring))) {
        free(network);
        error_set(error, "out of memory for a network");
        return NULL;
    }
    network->waiting_fd = network->wake_fd = -1;
    pthread_mutex_init(&network->lock, NULL);
    bond_init(&network->bond, config->mode, config->links);
    while (network->count < config->links) {
        struct net_link *link = net_link_open(config->link[network->count], error);
        if (!link) {
            network_close(network);
            return NULL;
        }
        network->link[network->count++] = link;
    }
    network->waiting_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    network->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    network->thread_runs = network->waiting_fd >= 0 && network->wake_fd >= 0 &&
                           pthread_create(&network->thread, NULL, listen_thread, network) == 0;
    if (!network->thread_runs) {
        error_set_errno(error, "cannot start a network's thread");
        network_close(network);
        return NULL;
    }
    return network;
}

void network_close(struct network *network)
{
    if (!network)
        return;
    if (network->thread_runs) {
        atomic_store(&network->quit, true);
        signal_fd(network->wake_fd);
        pthread_join(network->thread, NULL);
    }
    for (unsigned i = 0; i < network->count; i++)
        net_link_close(network->link[i]);
    if (network->waiting_fd >= 0)
        close(network->waiting_fd);
    if (network->wake_fd >= 0)
        close(network->wake_fd);
    pthread_mutex_destroy(&network->lock);
    free(network->ring);
    free(network);
}
