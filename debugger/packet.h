/*
 * Framing of gdb's remote serial protocol: $DATA#CHECKSUM, acknowledgements, escapes, the interrupt
 * byte. Source: GDB manual, appendix E, "Overview".
 */
#ifndef DEBUGGER_PACKET_H
#define DEBUGGER_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

enum { PACKET_MAX = 16384 }; /* bytes between '$' and '#' */

enum packet_event {
    PACKET_NOTHING,
    PACKET_READY,     /* a whole packet with a good checksum is in `data` */
    PACKET_BAD,       /* one with a wrong checksum, or too long: to be refused with '-' */
    PACKET_INTERRUPT, /* the byte 0x03 between packets */
    PACKET_FOREIGN,   /* a byte that the protocol does not have: this is not gdb */
    PACKET_REFUSED,   /* the other side did not understand: send again */
};

/* A zeroed reader is between packets. */
struct packet_reader {
    enum packet_state {
        PACKET_OUTSIDE,
        PACKET_INSIDE,
        PACKET_ESCAPED,
        PACKET_CHECKSUM_HIGH,
        PACKET_CHECKSUM_LOW
    } state;
    bool too_long;
    uint8_t sum, expected;
    size_t size;
    char data[PACKET_MAX + 1]; /* without escapes, terminated; may hold zero bytes */
};

enum packet_event packet_feed(struct packet_reader *reader, uint8_t byte);

/* Appends the framed form. */
void packet_frame(const void *data, size_t size, struct buffer *out);

/* Hexadecimal, two digits a byte. */
void packet_put_hex(const void *data, size_t size, struct buffer *out);
/* Decodes up to `max` bytes; returns how many; stops at what is not a pair of digits. */
size_t packet_get_hex(const char *text, void *data, size_t max);

#endif
