/*
 * Where a serial port's bytes go on the host: a terminal, a pseudo-terminal, a socket, a file, a
 * real serial device, a command, or nowhere.
 *
 * A back end is used from one thread at a time, and no call waits: reads return what is there,
 * writes queue what the host does not take now. Losing the other side (a closed pty, a reset
 * socket, an unplugged adapter) is never an error for the machine: input stops, output queues, and
 * pty, dev and listening sockets carry on when the other side comes back.
 *
 * The program must ignore SIGPIPE. In the terminal of `stdio`, Ctrl-C is a byte for the guest;
 * Ctrl-A x asks to quit.
 */
#ifndef VMM_SERIAL_SERIAL_BACKEND_H
#define VMM_SERIAL_SERIAL_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "devices/uart.h"

struct serial_backend;

/*
 * Opens what `spec` names:
 *   stdio                  standard input and output; a terminal is switched to raw mode
 *   pty                    a new pseudo-terminal; serial_description() has its path
 *   unix:PATH[,server]     a UNIX socket: connects, or listens and takes one client at a time
 *   tcp:HOST:PORT[,server] the same over TCP; [HOST] for IPv6, an empty HOST listens everywhere
 *   file:PATH              output only, truncated; nothing is ever dropped
 *   dev:/dev/ttyX          a real or USB serial device; speed and format follow the UART's
 *   exec:COMMAND           standard input and output of /bin/sh -c COMMAND
 *   null                   no input, output vanishes
 * With `server`, `wait=off` and `nowait` are accepted and mean what happens anyway.
 */
struct serial_backend *serial_open(const char *spec, struct error *error);

/* Gives queued output a second to leave, closes, and restores the terminal's or device's settings.
 * NULL is allowed. */
void serial_close(struct serial_backend *backend);

/* For a person: "stdio", "pty /dev/pts/3", "tcp 127.0.0.1:4000 (listening)". */
const char *serial_description(const struct serial_backend *backend);

/* One descriptor, valid until serial_close: readable when serial_read or serial_flush has something
 * to do. Any thread may poll it. */
int serial_fd(const struct serial_backend *backend);

/* Up to `size` bytes of input; 0 when there is none now. Also does what serial_flush does. */
size_t serial_read(struct serial_backend *backend, void *data, size_t size);

/* Takes all bytes. What the host does not take now is queued, up to SERIAL_QUEUE_LIMIT (no limit
 * for file); beyond it new bytes are dropped and counted. */
void serial_write(struct serial_backend *backend, const void *data, size_t size);

enum { SERIAL_QUEUE_LIMIT = 256 * 1024 };

/* Writes queued output as far as the host takes it, accepts and reopens connections. */
void serial_flush(struct serial_backend *backend);

bool serial_input_ended(const struct serial_backend *backend);    /* no byte will ever come again */
bool serial_quit_requested(const struct serial_backend *backend); /* Ctrl-A x was typed */
uint64_t serial_dropped(const struct serial_backend *backend);    /* output bytes, so far */

/* A line worth telling the user (output dropped, connection lost): true and the text, once each. */
bool serial_take_warning(struct serial_backend *backend, struct error *warning);

/* Modem lines towards the guest, as the UART's modem status register has them (bits 4-7). */
enum { SERIAL_CTS = 0x10, SERIAL_DSR = 0x20, SERIAL_RI = 0x40, SERIAL_DCD = 0x80 };
/* Lines now. dev asks the device; a socket has DSR and DCD while someone is connected; elsewhere
 * CTS, DSR and DCD are on. Not an event: ask when the guest asks, or now and then. */
unsigned serial_modem_inputs(struct serial_backend *backend);

/* The guest's UART was programmed: speed, format, DTR, RTS and break. Only dev has a use for it. */
void serial_set_line(struct serial_backend *backend, const struct uart_line *line);

#endif
