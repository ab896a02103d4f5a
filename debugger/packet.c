/* Frames and unframes packets of gdb's remote serial protocol. */
#include "debugger/packet.h"

#include <string.h>

static int digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    return byte >= 'A' && byte <= 'F' ? byte - 'A' + 10 : -1;
}

static void start(struct packet_reader *reader)
{
    reader->state = PACKET_INSIDE;
    reader->too_long = false;
    reader->sum = 0;
    reader->size = 0;
}

static void keep(struct packet_reader *reader, uint8_t byte)
{
    if (reader->size == PACKET_MAX)
        reader->too_long = true;
    else
        reader->data[reader->size++] = (char)byte;
}

static enum packet_event outside(struct packet_reader *reader, uint8_t byte)
{
    switch (byte) {
    case '$':
        start(reader);
        return PACKET_NOTHING;
    case '+':
        return PACKET_NOTHING;
    case '-':
        return PACKET_REFUSED;
    case 0x03:
        return PACKET_INTERRUPT;
    default:
        return PACKET_FOREIGN;
    }
}

static enum packet_event inside(struct packet_reader *reader, uint8_t byte)
{
    if (byte == '$') {
        start(reader); /* the end of the one before was lost */
    } else if (byte == '#') {
        reader->state = PACKET_CHECKSUM_HIGH;
    } else {
        reader->sum = (uint8_t)(reader->sum + byte);
        if (byte == '}')
            reader->state = PACKET_ESCAPED;
        else
            keep(reader, byte);
    }
    return PACKET_NOTHING;
}

static enum packet_event finish(struct packet_reader *reader, int low)
{
    reader->state = PACKET_OUTSIDE;
    reader->data[reader->size] = '\0';
    bool good = low >= 0 && (reader->expected | low) == reader->sum && !reader->too_long;
    return good ? PACKET_READY : PACKET_BAD;
}

enum packet_event packet_feed(struct packet_reader *reader, uint8_t byte)
{
    switch (reader->state) {
    case PACKET_OUTSIDE:
        return outside(reader, byte);
    case PACKET_INSIDE:
        return inside(reader, byte);
    case PACKET_ESCAPED:
        reader->sum = (uint8_t)(reader->sum + byte);
        keep(reader, byte ^ 0x20);
        reader->state = PACKET_INSIDE;
        return PACKET_NOTHING;
    case PACKET_CHECKSUM_HIGH:
        if (digit(byte) < 0)
            return finish(reader, -1);
        reader->expected = (uint8_t)(digit(byte) << 4);
        reader->state = PACKET_CHECKSUM_LOW;
        return PACKET_NOTHING;
    default:
        return finish(reader, digit(byte));
    }
}

void packet_frame(const void *data, size_t size, struct buffer *out)
{
    const uint8_t *bytes = data;
    uint8_t sum = 0;
    buffer_put_u8(out, '$');
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = bytes[i];
        if (byte == '$' || byte == '#' || byte == '}' || byte == '*') {
            buffer_put_u8(out, '}');
            sum = (uint8_t)(sum + '}');
            byte ^= 0x20;
        }
        buffer_put_u8(out, byte);
        sum = (uint8_t)(sum + byte);
    }
    buffer_printf(out, "#%02x", sum);
}

void packet_put_hex(const void *data, size_t size, struct buffer *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++) {
        buffer_put_u8(out, (uint8_t)digits[bytes[i] >> 4]);
        buffer_put_u8(out, (uint8_t)digits[bytes[i] & 15]);
    }
}

size_t packet_get_hex(const char *text, void *data, size_t max)
{
    uint8_t *bytes = data;
    size_t count = 0;
    for (; count < max; count++, text += 2) {
        int high = digit((uint8_t)text[0]);
        int low = high < 0 ? -1 : digit((uint8_t)text[1]);
        if (low < 0)
            break;
        bytes[count] = (uint8_t)(high << 4 | low);
    }
    return count;
}
