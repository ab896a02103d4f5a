/*
 * Bytes in and out of one or two descriptors, without ever waiting: the queue, and the epoll
 * instance that makes one descriptor of everything.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "vmm/host/serial/internal.h"

/* A pipe or terminal that polls writable takes this much without blocking a writer for long. */
enum { BLOCKING_CHUNK = 256 };

void stream_warn(struct serial_backend *backend, const char *format, ...)
{
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    error_set(&backend->warning, "serial %.80s: %s", backend->description, text);
}

static int watch(struct serial_backend *backend, int operation, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    return epoll_ctl(backend->epoll_fd, operation, fd, &event);
}

static int set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int stream_attach(struct serial_backend *backend, int in_fd, int out_fd, struct error *error)
{
    backend->in_fd = in_fd;
    backend->out_fd = out_fd;
    backend->waits_for_out = false;
    if (!backend->blocking && ((in_fd >= 0 && set_nonblocking(in_fd) < 0) ||
                                  (out_fd >= 0 && set_nonblocking(out_fd) < 0)))
        return error_set_errno(
            error, "serial %s: cannot make it non-blocking", backend->description);
    if (in_fd < 0)
        return 0;
    if (watch(backend, EPOLL_CTL_ADD, in_fd, EPOLLIN) == 0)
        return 0;
    if (errno != EPERM)
        return error_set_errno(error, "serial %s: cannot poll it", backend->description);
    /* A regular file is always readable; an eventfd with a count says so in its place. */
    backend->ready_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    if (backend->ready_fd < 0 || watch(backend, EPOLL_CTL_ADD, backend->ready_fd, EPOLLIN) < 0)
        return error_set_errno(error, "serial %s: cannot poll it", backend->description);
    return 0;
}

int stream_attach_extra(struct serial_backend *backend, int fd, struct error *error)
{
    backend->extra_fd = fd;
    if (watch(backend, EPOLL_CTL_ADD, fd, EPOLLIN) < 0)
        return error_set_errno(error, "serial %s: cannot poll it", backend->description);
    return 0;
}

static void forget(struct serial_backend *backend, int *fd, bool close_it)
{
    if (*fd < 0)
        return;
    watch(backend, EPOLL_CTL_DEL, *fd, 0); /* fails harmlessly when it was not being watched */
    if (close_it)
        close(*fd);
    *fd = -1;
}

/* Input has ended; output, on a descriptor of its own, goes on. */
static void end_input(struct serial_backend *backend)
{
    forget(backend, &backend->in_fd, !backend->blocking);
    forget(backend, &backend->ready_fd, true);
    backend->input_ended = true;
}

void stream_detach(struct serial_backend *backend)
{
    if (backend->in_fd == backend->out_fd)
        backend->out_fd = -1;
    forget(backend, &backend->in_fd, !backend->blocking);
    forget(backend, &backend->out_fd, !backend->blocking);
    forget(backend, &backend->ready_fd, true);
    backend->waits_for_out = false;
}

void stream_watch_extra(struct serial_backend *backend, bool on)
{
    watch(backend, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, backend->extra_fd, EPOLLIN);
}

void stream_detach_extra(struct serial_backend *backend)
{
    forget(backend, &backend->extra_fd, true);
}

void stream_hang_up(struct serial_backend *backend)
{
    stream_detach(backend);
    if (backend->ops->hang_up) {
        backend->ops->hang_up(backend);
    } else {
        backend->input_ended = true;
        backend->output_gone = true;
    }
}

/* Registers or drops interest in output, when that changed. */
static void update_interest(struct serial_backend *backend)
{
    bool wanted = backend->out_fd >= 0 && backend->queue_start < backend->queue.size;
    if (wanted == backend->waits_for_out || backend->out_fd < 0)
        return;
    backend->waits_for_out = wanted;
    if (backend->out_fd == backend->in_fd)
        watch(backend, EPOLL_CTL_MOD, backend->out_fd, EPOLLIN | (wanted ? EPOLLOUT : 0u));
    else if (wanted)
        watch(backend, EPOLL_CTL_ADD, backend->out_fd, EPOLLOUT);
    else
        watch(backend, EPOLL_CTL_DEL, backend->out_fd, 0);
}

static bool writable_now(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    return poll(&poll_fd, 1, 0) == 1;
}

static bool readable_now(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) == 1;
}

/* Output failed. Input may still hold what the other side said before it left. */
static void end_output(struct serial_backend *backend, int number)
{
    if (backend->in_fd < 0) {
        stream_warn(backend, "cannot write: %s", strerrordesc_np(number));
        stream_hang_up(backend);
    } else if (backend->in_fd == backend->out_fd) {
        watch(backend, EPOLL_CTL_MOD, backend->in_fd, EPOLLIN);
        backend->out_fd = -1; /* serial_read will see the end and hang up */
        backend->waits_for_out = false;
    } else {
        stream_warn(backend, "cannot write: %s", strerrordesc_np(number));
        forget(backend, &backend->out_fd, !backend->blocking);
        backend->waits_for_out = false;
        backend->output_gone = true;
    }
}

/* What the host takes of the bytes now. */
static size_t write_some(struct serial_backend *backend, const uint8_t *data, size_t size)
{
    size_t done = 0;
    while (done < size && backend->out_fd >= 0) {
        size_t chunk = size - done;
        if (backend->blocking) {
            if (!writable_now(backend->out_fd))
                break;
            if (chunk > BLOCKING_CHUNK)
                chunk = BLOCKING_CHUNK;
        }
        ssize_t count = write(backend->out_fd, data + done, chunk);
        if (count >= 0) {
            done += (size_t)count;
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            end_output(backend, errno);
        }
    }
    return done;
}

static void drop(struct serial_backend *backend, size_t size)
{
    if (size && !backend->dropped && !backend->warning.text[0])
        stream_warn(backend, "output is being dropped: nobody takes it");
    backend->dropped += size;
}

static void drop_queue(struct serial_backend *backend)
{
    drop(backend, backend->queue.size - backend->queue_start);
    buffer_clear(&backend->queue);
    backend->queue_start = 0;
}

void stream_flush(struct serial_backend *backend)
{
    size_t left = backend->queue.size - backend->queue_start;
    if (left && backend->out_fd >= 0) {
        backend->queue_start +=
            write_some(backend, backend->queue.data + backend->queue_start, left);
        if (backend->queue_start == backend->queue.size) {
            buffer_clear(&backend->queue);
            backend->queue_start = 0;
        }
    }
    if (backend->output_gone)
        drop_queue(backend);
    update_interest(backend);
}

void stream_drain(struct serial_backend *backend, int milliseconds)
{
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (;;) {
        stream_flush(backend);
        clock_gettime(CLOCK_MONOTONIC, &now);
        int64_t passed =
            (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000;
        if (backend->out_fd < 0 || backend->queue.size == 0 || passed >= milliseconds)
            return;
        struct pollfd poll_fd = {.fd = backend->out_fd, .events = POLLOUT};
        poll(&poll_fd, 1, milliseconds - (int)passed);
    }
}

static void append(struct serial_backend *backend, const uint8_t *data, size_t size)
{
    struct buffer *queue = &backend->queue;
    size_t queued = queue->size - backend->queue_start;
    size_t accepted = size;
    if (!backend->ops->unlimited && size > SERIAL_QUEUE_LIMIT - queued)
        accepted = SERIAL_QUEUE_LIMIT - queued;
    if (backend->queue_start >= SERIAL_QUEUE_LIMIT) { /* keep the written part from growing */
        struct buffer fresh = {0};
        buffer_put(&fresh, queue->data + backend->queue_start, queued);
        if (!fresh.failed) {
            buffer_free(queue);
            *queue = fresh;
            backend->queue_start = 0;
        } else {
            buffer_free(&fresh);
        }
    }
    buffer_put(queue, data, accepted);
    if (queue->failed) {
        queue->failed = false;
        accepted = 0;
    }
    drop(backend, size - accepted);
}

void serial_write(struct serial_backend *backend, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    size_t done = 0;
    if (backend->ops->discards)
        return;
    stream_flush(backend);
    if (backend->queue.size == 0)
        done = write_some(backend, bytes, size);
    if (backend->output_gone) {
        drop(backend, size - done);
        return;
    }
    if (done < size)
        append(backend, bytes + done, size - done);
    update_interest(backend);
}

void serial_flush(struct serial_backend *backend)
{
    if (backend->extra_fd >= 0 && backend->ops->service && readable_now(backend->extra_fd))
        backend->ops->service(backend);
    stream_flush(backend);
}

size_t serial_read(struct serial_backend *backend, void *data, size_t size)
{
    serial_flush(backend);
    while (backend->in_fd >= 0 && size > 0) {
        if (backend->blocking && !readable_now(backend->in_fd))
            return 0;
        ssize_t count = read(backend->in_fd, data, size);
        if (count > 0) {
            size_t kept = (size_t)count;
            if (backend->ops->filter)
                kept = backend->ops->filter(backend, data, kept);
            if (kept || backend->quit)
                return kept;
        } else if (count < 0 && errno == EAGAIN) {
            return 0;
        } else if (count < 0 && errno == EINTR) {
            continue;
        } else if (backend->out_fd < 0 || backend->in_fd == backend->out_fd) {
            stream_hang_up(backend);
        } else {
            end_input(backend);
        }
    }
    return 0;
}
