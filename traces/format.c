/* The fixed parts of a trace file. */
#include "traces/format.h"

#include <lz4.h>
#include <lz4hc.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "traces/check_codec.h"

#define PACKED_LEVEL   19 /* zstd's */
#define THOROUGH_LEVEL 6
#define THOROUGH_MAX   (256 * 1024) /* bytes of inputs */
#define THOROUGH_MIN   512          /* below, setting up costs more than it gains */
#define HASHED_HEADER  48           /* bytes of a chunk header before its two checksums */

static const uint8_t file_magic[8] = {0x89, 'H', 'S', 'T', '\r', '\n', 0x1a, '\n'};
static const uint8_t tail_magic[8] = {'H', 'S', 'T', 't', 'a', 'i', 'l', '\n'};
static const uint8_t chunk_magic[4] = {'H', 'S', 'c', 'k'};

uint64_t digest64(const void *data, size_t size)
{
    return XXH3_64bits(data, size);
}

static void put(uint8_t *bytes, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get(const uint8_t *bytes, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

void file_header_encode(const struct file_header *header, uint8_t bytes[FILE_HEADER_SIZE])
{
    memset(bytes, 0, FILE_HEADER_SIZE);
    memcpy(bytes, file_magic, sizeof file_magic);
    put(bytes + 8, header->version, 2);
    put(bytes + 10, header->architecture, 2);
    put(bytes + 12, header->flags, 4);
    put(bytes + 16, header->first_event, 8);
    put(bytes + 56, digest64(bytes, 56), 8);
}

static int damaged(struct error *error, const char *text)
{
    error_set(error, "%s", text);
    return TRACE_DAMAGED;
}

int file_header_decode(
    struct file_header *header, const uint8_t *bytes, size_t size, struct error *error)
{
    if (!size)
        return damaged(error, "the file is empty: nothing was recorded in it");
    size_t compared = size < sizeof file_magic ? size : sizeof file_magic;
    if (memcmp(bytes, file_magic, compared))
        return damaged(error, "not a hindsight trace (its first bytes are not a trace's)");
    if (size < FILE_HEADER_SIZE)
        return damaged(error, "the trace ends inside its file header: nothing was recorded");
    if (get(bytes + 56, 8) != digest64(bytes, 56))
        return damaged(error, "damaged trace: checksum error in the file header at offset 0");
    header->version = (uint16_t)get(bytes + 8, 2);
    header->architecture = (uint16_t)get(bytes + 10, 2);
    header->flags = (uint32_t)get(bytes + 12, 4);
    header->first_event = get(bytes + 16, 8);
    if (header->version != TRACE_VERSION) {
        error_set(error, "the trace has format version %u; this hindsight reads version %u",
            header->version, TRACE_VERSION);
        return TRACE_DAMAGED;
    }
    if (header->architecture != TRACE_ARCHITECTURE_X86_64) {
        error_set(error,
            "the trace is of a machine of architecture %u; this hindsight replays "
            "x86-64 (%u)",
            header->architecture, TRACE_ARCHITECTURE_X86_64);
        return TRACE_DAMAGED;
    }
    if (header->flags & ~(uint32_t)FILE_FLAGS)
        return damaged(error, "damaged trace: unknown flags in the file header at offset 12");
    return TRACE_OK;
}

/* Bound to the header, so that a payload under another chunk's header does not pass. */
static uint64_t payload_checksum(const uint8_t *header, const uint8_t *payload, size_t size)
{
    return XXH3_64bits_withSeed(payload, size, digest64(header, HASHED_HEADER));
}

void chunk_header_encode(
    const struct trace_chunk *chunk, const uint8_t *payload, uint8_t bytes[CHUNK_HEADER_SIZE])
{
    memcpy(bytes, chunk_magic, sizeof chunk_magic);
    bytes[4] = (uint8_t)chunk->kind;
    bytes[5] = chunk->flags;
    put(bytes + 6, 0, 2);
    put(bytes + 8, chunk->sequence, 4);
    put(bytes + 12, chunk->records, 4);
    put(bytes + 16, chunk->raw_size, 4);
    put(bytes + 20, chunk->stored_size, 4);
    put(bytes + 24, chunk->first_event, 8);
    put(bytes + 32, chunk->end_event, 8);
    put(bytes + 40, chunk->first_time, 8);
    put(bytes + 48, payload_checksum(bytes, payload, chunk->stored_size), 8);
    put(bytes + 56, digest64(bytes, 56), 8);
}

static bool chunk_plausible(const struct trace_chunk *chunk)
{
    if (chunk->kind < TRACE_CHUNK_CONFIG || chunk->kind > TRACE_CHUNK_INDEX)
        return false;
    if ((chunk->flags & ~CHUNK_FLAGS) || chunk->raw_size > TRACE_CHUNK_MAX)
        return false;
    unsigned compressed = chunk->flags & (CHUNK_COMPRESSED | CHUNK_ZSTD);
    if (compressed == (CHUNK_COMPRESSED | CHUNK_ZSTD))
        return false;
    if (compressed) {
        if (chunk->stored_size >= chunk->raw_size)
            return false;
    } else if (chunk->stored_size != chunk->raw_size) {
        return false;
    }
    return chunk->end_event >= chunk->first_event;
}

bool chunk_header_decode(struct trace_chunk *chunk, const uint8_t bytes[CHUNK_HEADER_SIZE])
{
    if (memcmp(bytes, chunk_magic, sizeof chunk_magic) || get(bytes + 56, 8) != digest64(bytes, 56))
        return false;
    chunk->kind = bytes[4];
    chunk->flags = bytes[5];
    chunk->sequence = (uint32_t)get(bytes + 8, 4);
    chunk->records = (uint32_t)get(bytes + 12, 4);
    chunk->raw_size = (uint32_t)get(bytes + 16, 4);
    chunk->stored_size = (uint32_t)get(bytes + 20, 4);
    chunk->first_event = get(bytes + 24, 8);
    chunk->end_event = get(bytes + 32, 8);
    chunk->first_time = get(bytes + 40, 8);
    return get(bytes + 6, 2) == 0 && chunk_plausible(chunk);
}

bool chunk_payload_intact(
    const uint8_t header[CHUNK_HEADER_SIZE], const uint8_t *payload, size_t size)
{
    return get(header + 48, 8) == payload_checksum(header, payload, size);
}

/*
 * Checks are compressed thoroughly: they are most of a trace, and the disk thread has the time (40
 * ns an event). Boot files and bulk data are not, so that sectors do not outrun the disk thread;
 * nor are notes when they are most of a chunk: digests do not compress, however long one searches.
 */
static int compress(enum trace_chunk_kind kind, const uint8_t *raw, uint8_t *out, int raw_size)
{
    size_t size = (size_t)raw_size;
    bool thorough = (kind == TRACE_CHUNK_CHECKS && check_notes_size(raw, size) <= size / 2) ||
                    (kind == TRACE_CHUNK_INPUTS && raw_size <= THOROUGH_MAX);
    if (thorough && raw_size >= THOROUGH_MIN)
        return LZ4_compress_HC(
            (const char *)raw, (char *)out, raw_size, raw_size - 1, THOROUGH_LEVEL);
    return LZ4_compress_default((const char *)raw, (char *)out, raw_size, raw_size - 1);
}

/* Bytes in `out`, which has room for one less than the content; 0: it does not become smaller. */
static size_t compress_packed(const uint8_t *raw, uint8_t *out, size_t raw_size)
{
    size_t size = ZSTD_compress(out, raw_size - 1, raw, raw_size, PACKED_LEVEL);
    return ZSTD_isError(size) ? 0 : size;
}

int chunk_encode(
    struct trace_chunk *chunk, const uint8_t *raw, size_t raw_size, bool packed, struct buffer *out)
{
    size_t start = out->size;
    if (!buffer_extend(out, CHUNK_HEADER_SIZE + raw_size))
        return -1;
    uint8_t *header = out->data + start;
    uint8_t *payload = header + CHUNK_HEADER_SIZE;
    chunk->raw_size = (uint32_t)raw_size;
    chunk->stored_size = (uint32_t)raw_size;
    chunk->flags &= (uint8_t) ~(CHUNK_COMPRESSED | CHUNK_ZSTD);
    size_t stored = 0;
    if (raw_size > 1 && packed)
        stored = compress_packed(raw, payload, raw_size);
    else if (raw_size > 1)
        stored = (size_t)compress(chunk->kind, raw, payload, (int)raw_size);
    if (stored > 0) {
        chunk->flags |= packed ? CHUNK_ZSTD : CHUNK_COMPRESSED;
        chunk->stored_size = (uint32_t)stored;
    } else if (raw_size) {
        memcpy(payload, raw, raw_size);
    }
    chunk_header_encode(chunk, payload, header);
    out->size = start + CHUNK_HEADER_SIZE + chunk->stored_size;
    return 0;
}

void tail_encode(const struct tail *tail, uint8_t bytes[TAIL_SIZE])
{
    memcpy(bytes, tail_magic, sizeof tail_magic);
    put(bytes + 8, tail->index_offset, 8);
    put(bytes + 16, tail->index_chunks, 4);
    put(bytes + 20, 0, 4);
    put(bytes + 24, digest64(bytes, 24), 8);
}

bool tail_decode(struct tail *tail, const uint8_t bytes[TAIL_SIZE])
{
    if (memcmp(bytes, tail_magic, sizeof tail_magic) || get(bytes + 20, 4) ||
        get(bytes + 24, 8) != digest64(bytes, 24))
        return false;
    tail->index_offset = get(bytes + 8, 8);
    tail->index_chunks = (uint32_t)get(bytes + 16, 4);
    return true;
}

void index_entry_encode(const struct trace_chunk *chunk, struct buffer *out)
{
    buffer_put_u64(out, chunk->offset);
    buffer_put_u8(out, (uint8_t)chunk->kind);
    buffer_put_u8(out, chunk->flags);
    buffer_put_u16(out, 0);
    buffer_put_u32(out, chunk->records);
    buffer_put_u32(out, chunk->raw_size);
    buffer_put_u32(out, chunk->stored_size);
    buffer_put_u64(out, chunk->first_event);
    buffer_put_u64(out, chunk->end_event);
    buffer_put_u64(out, chunk->first_time);
}

void index_entry_decode(struct trace_chunk *chunk, struct reader *in)
{
    chunk->offset = reader_get_u64(in);
    chunk->kind = reader_get_u8(in);
    chunk->flags = reader_get_u8(in);
    if (reader_get_u16(in))
        in->failed = true;
    chunk->records = reader_get_u32(in);
    chunk->raw_size = reader_get_u32(in);
    chunk->stored_size = reader_get_u32(in);
    chunk->first_event = reader_get_u64(in);
    chunk->end_event = reader_get_u64(in);
    chunk->first_time = reader_get_u64(in);
    if (!chunk_plausible(chunk))
        in->failed = true;
}

bool chunk_equal(const struct trace_chunk *a, const struct trace_chunk *b)
{
    return a->kind == b->kind && a->flags == b->flags && a->sequence == b->sequence &&
           a->records == b->records && a->raw_size == b->raw_size &&
           a->stored_size == b->stored_size && a->first_event == b->first_event &&
           a->end_event == b->end_event && a->first_time == b->first_time;
}
