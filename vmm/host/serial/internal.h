/*
 * What the back ends share. Each is a byte stream over one or two descriptors (stream.c does
 * reading, queueing and polling) with a few operations of its own.
 */
#ifndef VMM_SERIAL_INTERNAL_H
#define VMM_SERIAL_INTERNAL_H

#include "vmm/host/serial/serial_backend.h"

#include <sys/types.h>

#include "base/buffer.h"

struct serial_ops {
    const char *name;
    bool unlimited; /* the output queue has no limit */
    bool discards;  /* output is meant to vanish */
    /* Before the streams are closed: puts back what was changed through them. */
    void (*restore)(struct serial_backend *backend);
    /* After the streams are closed: frees `data`. */
    void (*close)(struct serial_backend *backend);
    /* Something in `extra_fd` is readable: a connection waits, a timer ran out. */
    void (*service)(struct serial_backend *backend);
    /* The other side is gone; both descriptors have been closed. NULL: input has ended. */
    void (*hang_up)(struct serial_backend *backend);
    /* Takes out what is not for the guest, in place; the new size. */
    size_t (*filter)(struct serial_backend *backend, uint8_t *data, size_t size);
    unsigned (*modem_inputs)(struct serial_backend *backend);
    void (*set_line)(struct serial_backend *backend, const struct uart_line *line);
};

struct serial_backend {
    const struct serial_ops *ops; /* every operation may be NULL */
    void *data;                   /* the back end's own */
    char description[256];

    int epoll_fd;
    int in_fd;          /* -1: no input now */
    int out_fd;         /* -1: output queues; may be equal to in_fd */
    int extra_fd;       /* listening socket or timer; -1: none */
    int ready_fd;       /* stands in for an input that epoll does not take (a regular file) */
    bool blocking;      /* in_fd and out_fd are shared with others: O_NONBLOCK must not be set */
    bool output_gone;   /* nothing will ever take output again: it is dropped */
    bool waits_for_out; /* EPOLLOUT is registered */
    bool input_ended;
    bool quit;

    struct buffer queue;
    size_t queue_start; /* bytes of the queue that have been written */
    uint64_t dropped;
    struct error warning;
};

/* Back ends: fill in the streams of a backend that was zeroed, with all descriptors -1. */
int serial_stdio_open(struct serial_backend *backend, const char *argument, struct error *error);
int serial_pty_open(struct serial_backend *backend, const char *argument, struct error *error);
int serial_unix_open(struct serial_backend *backend, const char *argument, struct error *error);
int serial_tcp_open(struct serial_backend *backend, const char *argument, struct error *error);
int serial_file_open(struct serial_backend *backend, const char *argument, struct error *error);
int serial_device_open(struct serial_backend *backend, const char *argument, struct error *error);
int serial_exec_open(struct serial_backend *backend, const char *argument, struct error *error);
int serial_null_open(struct serial_backend *backend, const char *argument, struct error *error);

/* stream.c. The backend owns the descriptors afterwards, unless `blocking` is set. */
int stream_attach(struct serial_backend *backend, int in_fd, int out_fd, struct error *error);
int stream_attach_extra(struct serial_backend *backend, int fd, struct error *error);
void stream_watch_extra(struct serial_backend *backend, bool on); /* extra_fd stays open */
void stream_detach(struct serial_backend *backend);               /* closes both streams */
void stream_detach_extra(struct serial_backend *backend);         /* closes extra_fd */
void stream_flush(struct serial_backend *backend);
/* As stream_flush, waiting up to `milliseconds` for the host to take it all. */
void stream_drain(struct serial_backend *backend, int milliseconds);
void stream_hang_up(struct serial_backend *backend);
void stream_warn(struct serial_backend *backend, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* terminal.c: the terminal's settings, restored even when the process dies by a signal. One
 * terminal a process. */
int terminal_make_raw(int fd, struct error *error);
void terminal_restore(void);

/* escape.c: the Ctrl-A commands. */
struct escape {
    bool pending; /* the last byte was Ctrl-A */
};
enum escape_command { ESCAPE_NONE, ESCAPE_QUIT, ESCAPE_HELP };
/* Takes the commands out of data[0..*size); stops at the first command and returns it, with the
 * number of bytes consumed. */
enum escape_command escape_filter(
    struct escape *escape, uint8_t *data, size_t size, size_t *kept, size_t *consumed);

#endif
