/* Growable byte buffers, and readers that check every bound. */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buffer_free(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}

void buffer_clear(struct buffer *buffer)
{
    buffer->size = 0;
    buffer->failed = false;
}

uint8_t *buffer_extend(struct buffer *buffer, size_t size)
{
    if (buffer->failed)
        return NULL;
    if (size > buffer->capacity - buffer->size) {
        size_t capacity = buffer->capacity ? buffer->capacity : 256;
        while (capacity - buffer->size < size) {
            if (capacity > SIZE_MAX / 2) {
                buffer->failed = true;
                return NULL;
            }
            capacity *= 2;
        }
        uint8_t *data = realloc(buffer->data, capacity);
        if (!data) {
            buffer->failed = true;
            return NULL;
        }
        buffer->data = data;
        buffer->capacity = capacity;
    }
    uint8_t *start = buffer->data + buffer->size;
    buffer->size += size;
    return start;
}

void buffer_put(struct buffer *buffer, const void *data, size_t size)
{
    if (!size)
        return;
    uint8_t *target = buffer_extend(buffer, size);
    if (target)
        memcpy(target, data, size);
}

static void put_little_endian(struct buffer *buffer, uint64_t value, size_t size)
{
    uint8_t *target = buffer_extend(buffer, size);
    if (!target)
        return;
    for (size_t i = 0; i < size; i++)
        target[i] = (uint8_t)(value >> (8 * i));
}

void buffer_put_u8(struct buffer *buffer, uint8_t value)
{
    put_little_endian(buffer, value, 1);
}

void buffer_put_u16(struct buffer *buffer, uint16_t value)
{
    put_little_endian(buffer, value, 2);
}

void buffer_put_u32(struct buffer *buffer, uint32_t value)
{
    put_little_endian(buffer, value, 4);
}

void buffer_put_u64(struct buffer *buffer, uint64_t value)
{
    put_little_endian(buffer, value, 8);
}

void buffer_put_varint(struct buffer *buffer, uint64_t value)
{
    uint8_t bytes[10];
    size_t count = 0;
    while (value >= 0x80) {
        bytes[count++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    bytes[count++] = (uint8_t)value;
    buffer_put(buffer, bytes, count);
}

void buffer_put_signed_varint(struct buffer *buffer, int64_t value)
{
    buffer_put_varint(buffer, ((uint64_t)value << 1) ^ (uint64_t)(value >> 63));
}

void buffer_printf(struct buffer *buffer, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length > 0)
        buffer_put(buffer, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

void reader_init(struct reader *reader, const void *data, size_t size)
{
    *reader = (struct reader){.data = data, .size = size};
}

size_t reader_left(const struct reader *reader)
{
    return reader->failed ? 0 : reader->size - reader->position;
}

const uint8_t *reader_take(struct reader *reader, size_t size)
{
    if (reader->failed || size > reader->size - reader->position) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *start = reader->data + reader->position;
    reader->position += size;
    return start;
}

void reader_get(struct reader *reader, void *data, size_t size)
{
    if (!size)
        return;
    const uint8_t *source = reader_take(reader, size);
    if (source)
        memcpy(data, source, size);
    else
        memset(data, 0, size);
}

static uint64_t get_little_endian(struct reader *reader, size_t size)
{
    const uint8_t *source = reader_take(reader, size);
    uint64_t value = 0;
    for (size_t i = 0; source && i < size; i++)
        value |= (uint64_t)source[i] << (8 * i);
    return value;
}

uint8_t reader_get_u8(struct reader *reader)
{
    return (uint8_t)get_little_endian(reader, 1);
}

uint16_t reader_get_u16(struct reader *reader)
{
    return (uint16_t)get_little_endian(reader, 2);
}

uint32_t reader_get_u32(struct reader *reader)
{
    return (uint32_t)get_little_endian(reader, 4);
}

uint64_t reader_get_u64(struct reader *reader)
{
    return get_little_endian(reader, 8);
}

uint64_t reader_get_varint(struct reader *reader)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t byte = reader_get_u8(reader);
        if (reader->failed)
            return 0;
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    reader->failed = true;
    return 0;
}

int64_t reader_get_signed_varint(struct reader *reader)
{
    uint64_t value = reader_get_varint(reader);
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}
