/* Keeps checkpoints in a file, and reads them back with suspicion. */
#include "replay/cache.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static const char magic[8] = "HSTCACHE";
enum { FORMAT = MACHINE_VERSION << 8 | 2, PRINTED_BYTES = 9 };

/* A chunk's header has the checksum of its content. */
static void put_bytes_at(FILE *file, uint64_t offset, struct buffer *out)
{
    uint8_t head[64] = {0};
    if (fseeko(file, (off_t)offset, SEEK_SET) != 0 || fread(head, 1, sizeof head, file) == 0)
        memset(head, 0, sizeof head);
    buffer_put(out, head, sizeof head);
}

uint64_t cache_identity(const char *path, const struct trace_reader *trace)
{
    struct trace_info info;
    struct trace_chunk chunk;
    struct buffer all = {0};
    trace_reader_info(trace, &info);
    buffer_put_u64(&all, info.file_size);
    buffer_put_u64(&all, info.end_event);
    FILE *file = fopen(path, "rb");
    for (size_t i = 0; file && trace_reader_chunk(trace, i, &chunk); i++) {
        buffer_put_u64(&all, chunk.offset);
        put_bytes_at(file, chunk.offset, &all);
    }
    if (file)
        fclose(file);
    uint64_t identity = XXH3_64bits(all.data, all.size);
    buffer_free(&all);
    return identity;
}

/* ---- Writing ---- */

static bool write_block(FILE *file, const struct buffer *block)
{
    const uint64_t head[2] = {block->size, XXH3_64bits(block->data, block->size)};
    return !block->failed && fwrite(head, sizeof head, 1, file) == 1 &&
           fwrite(block->data, 1, block->size, file) == block->size;
}

static void encode_printed(const struct printed *printed, struct buffer *out)
{
    const struct printed_byte *list =
        (const struct printed_byte *)(const void *)printed->bytes.data;
    buffer_put_u64(out, printed->furthest_event);
    for (size_t i = 0; i < printed->bytes.size / sizeof *list; i++) {
        buffer_put_u64(out, list[i].event);
        buffer_put_u8(out, list[i].byte);
    }
}

static bool write_all(FILE *file, uint64_t identity, const struct checkpoints *checkpoints,
    const struct printed *printed)
{
    struct buffer block = {0};
    const uint64_t head[2] = {FORMAT, identity};
    bool good =
        fwrite(magic, sizeof magic, 1, file) == 1 && fwrite(head, sizeof head, 1, file) == 1;
    encode_printed(printed, &block);
    good = good && write_block(file, &block);
    for (unsigned i = 0; good && i < checkpoints_count(checkpoints); i++) {
        buffer_clear(&block);
        checkpoints_encode(checkpoints, i, &block);
        good = write_block(file, &block);
    }
    buffer_clear(&block);
    good = good && write_block(file, &block); /* the end */
    buffer_free(&block);
    return good;
}

int cache_save(const char *path, uint64_t identity, const struct checkpoints *checkpoints,
    const struct printed *printed, struct error *error)
{
    size_t size = strlen(path) + 16;
    char *temporary = malloc(size);
    if (!temporary)
        return error_set(error, "out of memory for %s", path);
    snprintf(temporary, size, "%s.XXXXXX", path);
    int fd = mkstemp(temporary);
    FILE *file = fd >= 0 ? fdopen(fd, "wb") : NULL;
    bool good = file && write_all(file, identity, checkpoints, printed);
    if (file && fclose(file) != 0)
        good = false;
    if (good && rename(temporary, path) != 0)
        good = false;
    int reason = errno;
    if (!good && fd >= 0)
        unlink(temporary);
    free(temporary);
    return good ? 0
                : error_set(error,
                      "checkpoints cannot be kept in %s: %s; the session is not affected", path,
                      strerror(reason));
}

/* ---- Reading ---- */

static const uint8_t *take_block(struct reader *in, size_t *size, struct error *error)
{
    uint64_t length = reader_get_u64(in), digest = reader_get_u64(in);
    const uint8_t *data = length <= reader_left(in) ? reader_take(in, (size_t)length) : NULL;
    if (!data || in->failed || XXH3_64bits(data, (size_t)length) != digest) {
        error_set(error, "it is damaged");
        return NULL;
    }
    *size = (size_t)length;
    return data;
}

/* Into `printed`, which is empty. */
static bool decode_printed(const uint8_t *data, size_t size, struct printed *printed)
{
    struct reader in;
    reader_init(&in, data, size);
    uint64_t furthest = reader_get_u64(&in), previous = 0;
    while (reader_left(&in) >= PRINTED_BYTES) {
        uint64_t event = reader_get_u64(&in);
        uint8_t byte = reader_get_u8(&in);
        if (event < previous || event > furthest || event == 0)
            return false;
        printed_add(printed, event, &byte, 1);
        previous = event;
    }
    printed->furthest_event = furthest;
    return !in.failed && reader_left(&in) == 0 && !printed->bytes.failed;
}

int cache_decode(const uint8_t *data, size_t size, uint64_t identity,
    struct checkpoints *checkpoints, struct printed *printed, struct error *error)
{
    struct reader in;
    size_t length;
    reader_init(&in, data, size);
    const uint8_t *start = reader_take(&in, sizeof magic);
    if (!start || memcmp(start, magic, sizeof magic) != 0)
        return error_set(error, "it is no file of checkpoints");
    if (reader_get_u64(&in) != FORMAT)
        return error_set(error, "another version of hindsight wrote it");
    if (reader_get_u64(&in) != identity)
        return error_set(error, "it belongs to another trace");
    const uint8_t *text = take_block(&in, &length, error);
    size_t text_length = length;
    const uint8_t *block = text ? take_block(&in, &length, error) : NULL;
    if (!block)
        return -1;
    if (!checkpoints_is_start(checkpoints, block, length))
        return error_set(error, "another version of hindsight wrote it");
    struct printed all = {0};
    if (!decode_printed(text, text_length, &all)) {
        printed_free(&all);
        return error_set(error, "it is damaged");
    }
    printed_free(printed);
    *printed = all;
    for (;;) {
        block = take_block(&in, &length, error);
        if (block && length == 0)
            return 0;
        if (!block || checkpoints_decode(checkpoints, block, length, error) < 0)
            return -1;
    }
}

static int read_file(FILE *file, struct buffer *out)
{
    enum { PIECE = 1 << 20 };
    size_t count = PIECE;
    while (count == PIECE) {
        uint8_t *piece = buffer_extend(out, PIECE);
        if (!piece)
            return -1;
        count = fread(piece, 1, PIECE, file);
        out->size -= PIECE - count;
    }
    return ferror(file) ? -1 : 0;
}

int cache_load(const char *path, uint64_t identity, struct checkpoints *checkpoints,
    struct printed *printed, struct error *error)
{
    FILE *file = fopen(path, "rb");
    if (!file && errno == ENOENT)
        return 0;
    struct buffer content = {0};
    int result = -1;
    if (!file || read_file(file, &content) < 0)
        error_set(error, "it cannot be read");
    else
        result = cache_decode(content.data, content.size, identity, checkpoints, printed, error);
    if (file)
        fclose(file);
    buffer_free(&content);
    if (result < 0)
        error_prefix(error, "checkpoints in %s are not used", path);
    return result;
}
