/*
 * Growable byte buffers and bounds-checked readers: what trace chunks, checkpoints and device state
 * are written to and read from. Integers are little-endian; variable-length ones are LEB128.
 *
 * Failure is sticky: after an allocation failure (buffer) or a read past the end (reader) `failed`
 * is set, further calls do nothing and reads give 0. Check once at the end.
 */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer {
    uint8_t *data;
    size_t size;
    size_t capacity;
    bool failed;
};

struct reader {
    const uint8_t *data;
    size_t size;
    size_t position;
    bool failed;
};

/* A zeroed struct buffer is an empty buffer. */
void buffer_free(struct buffer *buffer);  /* releases the memory; the buffer is empty again */
void buffer_clear(struct buffer *buffer); /* empties it and keeps the memory; clears `failed` */
void buffer_put(struct buffer *buffer, const void *data, size_t size);
void buffer_put_u8(struct buffer *buffer, uint8_t value);
void buffer_put_u16(struct buffer *buffer, uint16_t value);
void buffer_put_u32(struct buffer *buffer, uint32_t value);
void buffer_put_u64(struct buffer *buffer, uint64_t value);
void buffer_put_varint(struct buffer *buffer, uint64_t value);       /* LEB128, 1 to 10 bytes */
void buffer_put_signed_varint(struct buffer *buffer, int64_t value); /* zigzag, then LEB128 */
/* Appends formatted text without its terminator; at most 511 characters a call. */
void buffer_printf(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Grows by `size` bytes of undefined content and returns them; NULL on failure. */
uint8_t *buffer_extend(struct buffer *buffer, size_t size);

void reader_init(struct reader *reader, const void *data, size_t size);
size_t reader_left(const struct reader *reader);
/* `size` bytes in place, or NULL (and failed) when fewer are left. */
const uint8_t *reader_take(struct reader *reader, size_t size);
void reader_get(struct reader *reader, void *data, size_t size); /* zeroes `data` on failure */
uint8_t reader_get_u8(struct reader *reader);
uint16_t reader_get_u16(struct reader *reader);
uint32_t reader_get_u32(struct reader *reader);
uint64_t reader_get_u64(struct reader *reader);
uint64_t reader_get_varint(struct reader *reader); /* more than 64 bits of value is a failure */
int64_t reader_get_signed_varint(struct reader *reader);

#endif
