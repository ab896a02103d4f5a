/*
 * Hostile bytes from whoever says to be gdb: framing and the parsing of requests. Whatever comes
 * in, a packet that is framed afterwards comes through whole.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/packet.h"
#include "debugger/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* The text of a request lies in its packet. */
static void parse(const char *packet, size_t size)
{
    /* An own allocation of the exact size, so that a sanitizer sees every read past the end. */
    char *copy = malloc(size + 1);
    struct request request;
    require(copy);
    memcpy(copy, packet, size);
    copy[size] = '\0';
    request_parse(copy, size, &request);
    require(
        !request.text || (request.text >= copy && request.text + request.text_size <= copy + size));
    require(request.kind != REQUEST_INSERT || request.type <= 4);
    char decoded[64];
    if (request.text)
        require(packet_get_hex(request.text, decoded, sizeof decoded) <= sizeof decoded);
    free(copy);
}

static void feed(struct packet_reader *reader, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (packet_feed(reader, data[i]) == PACKET_READY) {
            require(reader->size <= PACKET_MAX);
            parse(reader->data, reader->size);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct packet_reader *reader = calloc(1, sizeof *reader);
    struct buffer framed = {0};
    require(reader);
    parse((const char *)data, size);
    feed(reader, data, size);
    /* Ends whatever was begun: an escape, a packet, a checksum. */
    feed(reader, (const uint8_t *)"  #00", 5);
    packet_frame(data, size, &framed);
    bool ready = false;
    for (size_t i = 0; i < framed.size; i++)
        ready = packet_feed(reader, framed.data[i]) == PACKET_READY;
    require(ready == (size <= PACKET_MAX));
    require(!ready || (reader->size == size && memcmp(reader->data, data, size) == 0));
    buffer_free(&framed);
    free(reader);
    return 0;
}
