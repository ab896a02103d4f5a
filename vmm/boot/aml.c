/* Writes ACPI machine language. */
#include "vmm/boot/aml.h"

#include <ctype.h>
#include <string.h>

enum {
    OP_NAME = 0x08,
    OP_BYTE = 0x0a,
    OP_WORD = 0x0b,
    OP_DWORD = 0x0c,
    OP_QWORD = 0x0e,
    OP_SCOPE = 0x10,
    OP_BUFFER = 0x11,
    OP_PACKAGE = 0x12,
    OP_EXTENDED = 0x5b,
    OP_DEVICE = 0x82,
    TAG_IRQ = 0x22,
    TAG_IO = 0x47,
    TAG_END = 0x79,
    TAG_MEMORY = 0x86,
    TAG_DWORD_RANGE = 0x87,
    TAG_WORD_RANGE = 0x88,
    RANGE_MEMORY = 0,
    RANGE_IO = 1,
    RANGE_BUS = 2,
};

static void put_name(struct buffer *out, const char *name)
{
    buffer_put(out, name, strlen(name));
}

size_t aml_begin_scope(struct buffer *out, const char *name)
{
    buffer_put_u8(out, OP_SCOPE);
    size_t start = out->size;
    put_name(out, name);
    return start;
}

size_t aml_begin_device(struct buffer *out, const char *name)
{
    buffer_put_u8(out, OP_EXTENDED);
    buffer_put_u8(out, OP_DEVICE);
    size_t start = out->size;
    put_name(out, name);
    return start;
}

size_t aml_begin_package(struct buffer *out, uint8_t elements)
{
    buffer_put_u8(out, OP_PACKAGE);
    size_t start = out->size;
    buffer_put_u8(out, elements);
    return start;
}

/* Puts the package length, which counts its own bytes, in front of what was written since. */
void aml_end(struct buffer *out, size_t start)
{
    uint8_t length[4];
    size_t bytes = 1, body = out->size - start;
    if (body + 1 > 0x3f)
        bytes = body + 2 <= 0xfff ? 2 : body + 3 <= 0xfffff ? 3 : 4;
    size_t total = body + bytes;
    length[0] = (uint8_t)(bytes == 1 ? total : (bytes - 1) << 6 | (total & 0xf));
    for (size_t i = 1; i < bytes; i++)
        length[i] = (uint8_t)(total >> (8 * i - 4));
    if (!buffer_extend(out, bytes))
        return;
    memmove(out->data + start + bytes, out->data + start, body);
    memcpy(out->data + start, length, bytes);
}

void aml_name(struct buffer *out, const char *name)
{
    buffer_put_u8(out, OP_NAME);
    put_name(out, name);
}

void aml_integer(struct buffer *out, uint64_t value)
{
    if (value <= 1) {
        buffer_put_u8(out, (uint8_t)value); /* ZeroOp, OneOp */
    } else if (value <= UINT8_MAX) {
        buffer_put_u8(out, OP_BYTE);
        buffer_put_u8(out, (uint8_t)value);
    } else if (value <= UINT16_MAX) {
        buffer_put_u8(out, OP_WORD);
        buffer_put_u16(out, (uint16_t)value);
    } else if (value <= UINT32_MAX) {
        buffer_put_u8(out, OP_DWORD);
        buffer_put_u32(out, (uint32_t)value);
    } else {
        buffer_put_u8(out, OP_QWORD);
        buffer_put_u64(out, value);
    }
}

/* Three letters of five bits and four hexadecimal digits, most significant byte first. */
void aml_eisa_id(struct buffer *out, const char *id)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < 3; i++)
        value = value << 5 | (uint32_t)(id[i] - '@');
    for (unsigned i = 3; i < 7; i++)
        value =
            value << 4 | (uint32_t)(isdigit((unsigned char)id[i]) ? id[i] - '0' : id[i] - 'A' + 10);
    buffer_put_u8(out, OP_DWORD);
    buffer_put_u32(out, __builtin_bswap32(value));
}

/* ---- Resources ---- */

size_t aml_begin_resources(struct buffer *out)
{
    buffer_put_u8(out, OP_BUFFER);
    size_t start = out->size;
    buffer_put_u8(out, OP_WORD); /* the buffer's size, set at the end */
    buffer_put_u16(out, 0);
    return start;
}

void aml_end_resources(struct buffer *out, size_t start)
{
    buffer_put_u8(out, TAG_END);
    buffer_put_u8(out, 0); /* no checksum */
    if (out->failed)
        return;
    size_t size = out->size - start - 3;
    out->data[start + 1] = (uint8_t)size;
    out->data[start + 2] = (uint8_t)(size >> 8);
    aml_end(out, start);
}

void aml_io(struct buffer *out, uint16_t base, uint8_t size)
{
    buffer_put_u8(out, TAG_IO);
    buffer_put_u8(out, 1); /* decodes 16 bits */
    buffer_put_u16(out, base);
    buffer_put_u16(out, base);
    buffer_put_u8(out, 1); /* alignment */
    buffer_put_u8(out, size);
}

void aml_irq(struct buffer *out, unsigned irq)
{
    buffer_put_u8(out, TAG_IRQ);
    buffer_put_u16(out, (uint16_t)(1u << irq));
}

static void begin_range(struct buffer *out, uint8_t tag, uint8_t kind, uint8_t flags)
{
    enum { FIXED = 0xc }; /* minimum and maximum are fixed, the producer decodes positively */
    buffer_put_u8(out, tag);
    buffer_put_u16(out, tag == TAG_WORD_RANGE ? 13 : 23);
    buffer_put_u8(out, kind);
    buffer_put_u8(out, FIXED);
    buffer_put_u8(out, flags);
}

static void put_words(struct buffer *out, uint16_t first, uint16_t last)
{
    buffer_put_u16(out, 0); /* granularity */
    buffer_put_u16(out, first);
    buffer_put_u16(out, last);
    buffer_put_u16(out, 0); /* translation */
    buffer_put_u16(out, (uint16_t)(last - first + 1));
}

void aml_bus_range(struct buffer *out, uint16_t first, uint16_t last)
{
    begin_range(out, TAG_WORD_RANGE, RANGE_BUS, 0);
    put_words(out, first, last);
}

void aml_io_window(struct buffer *out, uint16_t first, uint16_t last)
{
    begin_range(out, TAG_WORD_RANGE, RANGE_IO, 3); /* the entire range */
    put_words(out, first, last);
}

void aml_memory(struct buffer *out, uint32_t base, uint32_t size)
{
    enum { LENGTH = 9 };
    buffer_put_u8(out, TAG_MEMORY);
    buffer_put_u16(out, LENGTH);
    buffer_put_u8(out, 1);
    buffer_put_u32(out, base);
    buffer_put_u32(out, size);
}

void aml_memory_window(struct buffer *out, uint32_t first, uint32_t last)
{
    begin_range(out, TAG_DWORD_RANGE, RANGE_MEMORY, 1); /* not cacheable, read and write */
    buffer_put_u32(out, 0);
    buffer_put_u32(out, first);
    buffer_put_u32(out, last);
    buffer_put_u32(out, 0);
    buffer_put_u32(out, last - first + 1);
}
