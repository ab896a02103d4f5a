/* Opens a trace: its chunks, settings and stored files. */
#include "traces/reader.h"
#include "traces/store.h"

#include <errno.h>
#include <fcntl.h>
#include <lz4.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

int chunk_damaged(const struct trace_chunk *chunk, struct error *error, const char *what)
{
    if (chunk->kind)
        error_set(error, "damaged trace: chunk %u (%s) at offset %llu: %s", chunk->sequence,
            trace_chunk_kind_name(chunk->kind), (unsigned long long)chunk->offset, what);
    else
        error_set(error, "damaged trace: chunk %u at offset %llu: %s", chunk->sequence,
            (unsigned long long)chunk->offset, what);
    return TRACE_DAMAGED;
}

int reader_read_at(const struct trace_reader *reader, uint64_t offset, void *data, size_t size,
    struct error *error)
{
    if (offset > reader->info.file_size || size > reader->info.file_size - offset) {
        error_set(error, "damaged trace: it ends before offset %llu",
            (unsigned long long)(offset + size));
        return TRACE_DAMAGED;
    }
    if (reader->fd < 0) {
        memcpy(data, reader->memory + offset, size);
        return TRACE_OK;
    }
    for (size_t done = 0; done < size;) {
        ssize_t count =
            pread(reader->fd, (uint8_t *)data + done, size - done, (off_t)(offset + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return error_set_errno(
                error, "cannot read the trace at offset %llu", (unsigned long long)(offset + done));
        if (!count) {
            error_set(error, "the trace became shorter while it was read, at offset %llu",
                (unsigned long long)(offset + done));
            return TRACE_DAMAGED;
        }
        done += (size_t)count;
    }
    return TRACE_OK;
}

static int unpack(const struct trace_chunk *chunk, const uint8_t *payload, struct buffer *raw,
    struct error *error)
{
    buffer_clear(raw);
    if (!chunk->raw_size)
        return TRACE_OK;
    uint8_t *target = buffer_extend(raw, chunk->raw_size);
    if (!target)
        return error_set(error, "no memory to read a chunk of the trace");
    if (!(chunk->flags & (CHUNK_COMPRESSED | CHUNK_ZSTD))) {
        memcpy(target, payload, chunk->raw_size);
        return TRACE_OK;
    }
    size_t size = chunk->flags & CHUNK_ZSTD
                      ? ZSTD_decompress(target, chunk->raw_size, payload, chunk->stored_size)
                      : (size_t)LZ4_decompress_safe((const char *)payload, (char *)target,
                            (int)chunk->stored_size, (int)chunk->raw_size);
    /* An error of either is a number beyond any size. */
    if (size != chunk->raw_size)
        return chunk_damaged(chunk, error, "its content does not decompress");
    return TRACE_OK;
}

int reader_load_chunk(const struct trace_reader *reader, const struct trace_chunk *chunk,
    struct buffer *raw, struct buffer *scratch, struct error *error)
{
    size_t size = CHUNK_HEADER_SIZE + (size_t)chunk->stored_size;
    buffer_clear(scratch);
    uint8_t *bytes = buffer_extend(scratch, size);
    if (!bytes)
        return error_set(error, "no memory to read a chunk of the trace");
    int result = reader_read_at(reader, chunk->offset, bytes, size, error);
    if (result)
        return result;
    struct trace_chunk found = {.offset = chunk->offset};
    if (!chunk_header_decode(&found, bytes))
        return chunk_damaged(chunk, error, "checksum error in its header");
    if (!chunk_equal(&found, chunk))
        return chunk_damaged(chunk, error, "its header is not what the index says");
    if (!chunk_payload_intact(bytes, bytes + CHUNK_HEADER_SIZE, chunk->stored_size))
        return chunk_damaged(chunk, error, "checksum error");
    return unpack(chunk, bytes + CHUNK_HEADER_SIZE, raw, error);
}

size_t reader_find_chunk(const struct trace_reader *reader, enum trace_chunk_kind kind, size_t from)
{
    while (from < reader->info.chunks && reader->chunks[from].kind != kind)
        from++;
    return from;
}

size_t reader_chunk_for(
    const struct trace_reader *reader, enum trace_chunk_kind kind, uint64_t event)
{
    /* first_event never goes down along the file, whatever the kind (end_event may). */
    size_t low = 0, high = reader->info.chunks;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (reader->chunks[middle].first_event > event)
            high = middle;
        else
            low = middle + 1;
    }
    while (low && reader->chunks[low - 1].kind != kind)
        low--;
    if (!low)
        return reader_find_chunk(reader, kind, 0);
    /* Parts of the same seal, and seals without events, begin at the same event. */
    size_t found = low - 1;
    for (size_t i = found;
         i && reader->chunks[i - 1].first_event == reader->chunks[found].first_event; i--) {
        if (reader->chunks[i - 1].kind == kind)
            found = i - 1;
    }
    return found;
}

int reader_end_of_stream(const struct trace_reader *reader, struct error *error)
{
    if (!reader->info.damaged)
        return 0;
    error_set(error, "%s", reader->info.damage.text);
    return TRACE_DAMAGED;
}

/* ---- Opening ---- */

static int load_config(struct trace_reader *reader, struct error *error)
{
    struct trace_info *info = &reader->info;
    if (!info->chunks) {
        if (info->damaged)
            return reader_end_of_stream(reader, error);
        error_set(error, "the trace ends inside its machine configuration: nothing was recorded");
        return TRACE_DAMAGED;
    }
    struct buffer raw = {0}, scratch = {0};
    int result = reader_load_chunk(reader, &reader->chunks[0], &raw, &scratch, error);
    if (!result) {
        result = trace_config_decode(&reader->config, &raw, reader->info.stored);
        if (result == TRACE_DAMAGED)
            chunk_damaged(&reader->chunks[0], error, "its content does not parse");
        else if (result)
            error_set(error, "no memory for the trace's machine configuration");
    }
    buffer_free(&raw);
    buffer_free(&scratch);
    return result;
}

/* The BLOB chunks are as many as the configuration says, and of the right sizes. */
static int match_blobs(struct trace_reader *reader, struct error *error)
{
    const struct trace_stored_config *config = &reader->config;
    reader->first_blob = 1;
    uint64_t found = 0;
    for (size_t i = 0; i < config->blob_count; i++) {
        uint64_t left = config->blobs[i].blob.size;
        for (uint64_t j = 0; j < config->blobs[i].pieces; j++, found++) {
            size_t number = 1 + (size_t)found;
            if (number >= reader->info.chunks) {
                if (reader->info.damaged)
                    return reader_end_of_stream(reader, error);
                error_set(error, "the trace ends inside its boot files: nothing was recorded");
                return TRACE_DAMAGED;
            }
            const struct trace_chunk *chunk = &reader->chunks[number];
            uint64_t size = left < BLOB_PIECE ? left : BLOB_PIECE;
            if (chunk->kind != TRACE_CHUNK_BLOB || chunk->raw_size != size || chunk->records != i)
                return chunk_damaged(chunk, error, "not the piece of a boot file expected here");
            left -= size;
        }
    }
    if (1 + found < reader->info.chunks && reader->chunks[1 + found].kind == TRACE_CHUNK_BLOB)
        return chunk_damaged(&reader->chunks[1 + found], error, "a boot file that is not listed");
    return TRACE_OK;
}

static int load(struct trace_reader *reader, struct error *error)
{
    struct trace_info *info = &reader->info;
    uint8_t bytes[FILE_HEADER_SIZE];
    struct file_header header;
    size_t size = info->file_size < sizeof bytes ? (size_t)info->file_size : sizeof bytes;
    int result = reader_read_at(reader, 0, bytes, size, error);
    if (!result)
        result = file_header_decode(&header, bytes, size, error);
    if (result)
        return result;
    info->version = header.version;
    info->architecture = header.architecture;
    info->has_checks = header.flags & FILE_HAS_CHECKS;
    info->stripped = header.flags & FILE_STRIPPED;
    info->counts_instructions = header.flags & FILE_COUNTS_INSTRUCTIONS;
    info->stored = header.flags & FILE_STORED;
    info->packed = header.flags & FILE_PACKED;
    info->first_event = header.first_event;
    result = reader_find_chunks(reader, info->has_checks, error);
    if (!result)
        result = load_config(reader, error);
    return result ? result : match_blobs(reader, error);
}

static struct trace_reader *new_reader(struct error *error)
{
    struct trace_reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        error_set(error, "no memory to open the trace");
    else
        reader->fd = -1;
    return reader;
}

static int finish_open(struct trace_reader **out, struct trace_reader *reader, struct error *error)
{
    int result = load(reader, error);
    if (result) {
        trace_reader_close(reader);
        return result;
    }
    *out = reader;
    return TRACE_OK;
}

int trace_reader_open_memory(
    struct trace_reader **reader, const void *data, size_t size, struct error *error)
{
    *reader = NULL;
    struct trace_reader *opened = new_reader(error);
    if (!opened)
        return TRACE_ERROR;
    opened->memory = data;
    opened->info.file_size = size;
    return finish_open(reader, opened, error);
}

static int open_file(struct trace_reader *reader, const char *path, struct error *error)
{
    /* O_NONBLOCK: a FIFO must not hang the open. */
    reader->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (reader->fd < 0)
        return error_set_errno(error, "cannot open the trace");
    struct stat status;
    if (fstat(reader->fd, &status))
        return error_set_errno(error, "cannot examine the trace");
    if (S_ISDIR(status.st_mode))
        return error_set(error, "is a directory, not a trace");
    if (!S_ISREG(status.st_mode))
        return error_set(error, "not a regular file; copy the trace to one");
    reader->info.file_size = (uint64_t)status.st_size;
    return TRACE_OK;
}

int trace_reader_open(struct trace_reader **reader, const char *path, struct error *error)
{
    *reader = NULL;
    struct trace_reader *opened = new_reader(error);
    if (!opened)
        return TRACE_ERROR;
    int result = open_file(opened, path, error);
    if (result)
        trace_reader_close(opened);
    else
        result = finish_open(reader, opened, error);
    if (result)
        error_prefix(error, "%s", path);
    return result;
}

void trace_reader_close(struct trace_reader *reader)
{
    if (!reader)
        return;
    if (reader->fd >= 0)
        close(reader->fd);
    free(reader->chunks);
    trace_stored_config_free(&reader->config);
    free(reader);
}

/* ---- What it holds ---- */

void trace_reader_info(const struct trace_reader *reader, struct trace_info *info)
{
    *info = reader->info;
}

bool trace_reader_chunk(const struct trace_reader *reader, size_t number, struct trace_chunk *out)
{
    if (number >= reader->info.chunks)
        return false;
    *out = reader->chunks[number];
    return true;
}

uint64_t trace_reader_event_at(const struct trace_reader *reader, uint64_t time)
{
    uint64_t event = reader->info.first_event;
    for (size_t i = 0; i < reader->info.chunks; i++) {
        const struct trace_chunk *chunk = &reader->chunks[i];
        if (chunk->kind == TRACE_CHUNK_INPUTS && chunk->first_time <= time)
            event = chunk->first_event;
    }
    return event;
}

const char *trace_reader_setting(const struct trace_reader *reader, const char *key)
{
    for (size_t i = 0; i < reader->config.setting_count; i++) {
        if (!strcmp(reader->config.settings[i].key, key))
            return reader->config.settings[i].value;
    }
    return NULL;
}

bool trace_reader_setting_at(
    const struct trace_reader *reader, size_t number, const char **key, const char **value)
{
    if (number >= reader->config.setting_count)
        return false;
    *key = reader->config.settings[number].key;
    *value = reader->config.settings[number].value;
    return true;
}

int trace_reader_find_blob(const struct trace_reader *reader, const char *name)
{
    for (size_t i = 0; i < reader->config.blob_count; i++) {
        if (!strcmp(reader->config.blobs[i].blob.name, name))
            return (int)i;
    }
    return -1;
}

bool trace_reader_blob_at(const struct trace_reader *reader, size_t number, struct trace_blob *out)
{
    if (number >= reader->config.blob_count)
        return false;
    *out = reader->config.blobs[number].blob;
    return true;
}

int trace_reader_blob(
    const struct trace_reader *reader, size_t number, void *data, struct error *error)
{
    if (number >= reader->config.blob_count)
        return error_set(error, "the trace has no boot file number %zu", number);
    const struct trace_stored_blob *blob = &reader->config.blobs[number];
    if (blob->blob.stored)
        return store_read(blob, data, error);
    struct buffer raw = {0}, scratch = {0};
    uint8_t *target = data;
    int result = TRACE_OK;
    for (uint64_t i = 0; i < blob->pieces && !result; i++) {
        size_t chunk = reader->first_blob + (size_t)(blob->first_piece + i);
        result = reader_load_chunk(reader, &reader->chunks[chunk], &raw, &scratch, error);
        if (!result) {
            memcpy(target, raw.data, raw.size);
            target += raw.size;
        }
    }
    buffer_free(&raw);
    buffer_free(&scratch);
    if (!result && digest64(data, (size_t)blob->blob.size) != blob->blob.digest) {
        error_set(error,
            "damaged trace: the boot file %s does not have its digest (chunk %zu at "
            "offset %llu)",
            blob->blob.name, reader->first_blob + (size_t)blob->first_piece,
            (unsigned long long)reader
                ->chunks[blob->pieces ? reader->first_blob + blob->first_piece : 0]
                .offset);
        result = TRACE_DAMAGED;
    }
    return result;
}
