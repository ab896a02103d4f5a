/* Copies of a trace: without its checks, with its boot files in a store or back in it. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "traces/disk.h"
#include "traces/reader.h"

struct copy {
    const struct trace_reader *reader;
    struct trace_disk *disk;
    const struct trace_copy_options *options;
    bool stored; /* the boot files of the copy are in a store */
};

/* ---- The machine: settings and boot files ---- */

/* One boot file's content, to be freed; NULL with the error set, and which error. */
static uint8_t *load_blob(const struct copy *copy, size_t i, int *result, struct error *error)
{
    const struct trace_stored_blob *blob = &copy->reader->config.blobs[i];
    uint8_t *data = malloc(blob->blob.size + 1);
    *result = data ? trace_reader_blob(copy->reader, i, data, error)
                   : error_set(error, "no memory to copy the boot file %.32s", blob->blob.name);
    if (*result) {
        free(data);
        return NULL;
    }
    return data;
}

static int write_config(const struct copy *copy, struct buffer *raw, struct error *error)
{
    struct trace_chunk chunk = copy->reader->chunks[0];
    if (raw->failed)
        return error_set(error, "no memory to copy the trace");
    return trace_disk_chunk(copy->disk, &chunk, raw->data, raw->size, error);
}

/* The same configuration, with hashes or without. The names and values stand as they were read,
 * a terminator each. */
static void encode_config(const struct copy *copy, const uint8_t *hashes, struct buffer *raw)
{
    const struct trace_stored_config *config = &copy->reader->config;
    buffer_put_u32(raw, (uint32_t)config->setting_count);
    buffer_put_u32(raw, (uint32_t)config->blob_count);
    for (size_t i = 0; i < config->setting_count; i++) {
        buffer_put(raw, config->settings[i].key, strlen(config->settings[i].key));
        buffer_put_u8(raw, '=');
        buffer_put(raw, config->settings[i].value, strlen(config->settings[i].value) + 1);
    }
    for (size_t i = 0; i < config->blob_count; i++) {
        const struct trace_blob *blob = &config->blobs[i].blob;
        buffer_put(raw, blob->name, strlen(blob->name) + 1);
        buffer_put_u64(raw, blob->size);
        buffer_put_u64(raw, blob->digest);
        if (hashes)
            buffer_put(raw, hashes + i * TRACE_HASH_SIZE, TRACE_HASH_SIZE);
    }
}

/* Puts the boot files into the store, and their hashes into the configuration. */
static int unpack_files(const struct copy *copy, struct error *error)
{
    const struct trace_stored_config *config = &copy->reader->config;
    uint8_t *hashes = calloc(config->blob_count + 1, TRACE_HASH_SIZE);
    int result = hashes ? TRACE_OK : error_set(error, "no memory to copy the trace");
    for (size_t i = 0; i < config->blob_count && !result; i++) {
        uint8_t *data = load_blob(copy, i, &result, error);
        if (data)
            result = trace_store_put(copy->options->store, data, config->blobs[i].blob.size,
                hashes + i * TRACE_HASH_SIZE, error);
        free(data);
    }
    struct buffer raw = {0};
    if (!result) {
        encode_config(copy, hashes, &raw);
        result = write_config(copy, &raw, error);
    }
    buffer_free(&raw);
    free(hashes);
    return result;
}

static int write_pieces(
    const struct copy *copy, size_t number, const uint8_t *data, uint64_t size, struct error *error)
{
    int result = TRACE_OK;
    for (uint64_t done = 0; done < size && !result; done += BLOB_PIECE) {
        size_t piece = (size_t)(size - done < BLOB_PIECE ? size - done : BLOB_PIECE);
        struct trace_chunk chunk = {.kind = TRACE_CHUNK_BLOB, .records = (uint32_t)number};
        result = trace_disk_chunk(copy->disk, &chunk, data + done, piece, error);
    }
    return result;
}

/* The boot files are in the store: they come after the configuration again. */
static int pack_files(const struct copy *copy, struct error *error)
{
    const struct trace_stored_config *config = &copy->reader->config;
    struct buffer raw = {0};
    encode_config(copy, NULL, &raw);
    int result = write_config(copy, &raw, error);
    buffer_free(&raw);
    for (size_t i = 0; i < config->blob_count && !result; i++) {
        uint8_t *data = load_blob(copy, i, &result, error);
        if (data)
            result = write_pieces(copy, i, data, config->blobs[i].blob.size, error);
        free(data);
    }
    return result;
}

/* ---- The run ---- */

static int copy_end(const struct copy *copy, struct error *error)
{
    const struct trace_reader *reader = copy->reader;
    struct trace_totals totals = reader->totals;
    totals.configuration = copy->disk->totals.configuration;
    totals.inputs = copy->disk->totals.inputs;
    totals.checks = copy->disk->totals.checks;
    if (copy->options->strip) {
        memset(totals.check, 0, sizeof totals.check);
        memset(totals.note, 0, sizeof totals.note);
        totals.observed = 0;
    }
    struct buffer raw = {0};
    end_encode(&reader->info.end, &totals, &raw);
    struct trace_chunk chunk = reader->chunks[reader->info.chunks - 1];
    int result = raw.failed ? error_set(error, "no memory to copy the trace")
                            : trace_disk_chunk(copy->disk, &chunk, raw.data, raw.size, error);
    buffer_free(&raw);
    return result ? result : trace_disk_index(copy->disk, error);
}

static int copy_chunks(const struct copy *copy, size_t from, struct error *error)
{
    const struct trace_reader *reader = copy->reader;
    struct buffer raw = {0}, scratch = {0};
    int result = TRACE_OK;
    for (size_t i = from; i < reader->info.chunks && !result; i++) {
        struct trace_chunk chunk = reader->chunks[i];
        if (chunk.kind == TRACE_CHUNK_END ||
            (chunk.kind == TRACE_CHUNK_CHECKS && copy->options->strip))
            continue;
        result = reader_load_chunk(reader, &chunk, &raw, &scratch, error);
        if (!result)
            result = trace_disk_chunk(copy->disk, &chunk, raw.data, raw.size, error);
    }
    buffer_free(&raw);
    buffer_free(&scratch);
    return result ? result : reader_end_of_stream(reader, error);
}

static int copy_header(const struct copy *copy, struct error *error)
{
    const struct trace_info *info = &copy->reader->info;
    struct file_header header = {.version = info->version,
        .architecture = info->architecture,
        .first_event = info->first_event};
    if (info->has_checks && !copy->options->strip)
        header.flags |= FILE_HAS_CHECKS;
    else if (info->has_checks || info->stripped)
        header.flags |= FILE_STRIPPED;
    if (info->counts_instructions)
        header.flags |= FILE_COUNTS_INSTRUCTIONS;
    if (copy->stored)
        header.flags |= FILE_STORED;
    if (copy->disk->packed)
        header.flags |= FILE_PACKED;
    return trace_disk_begin(copy->disk, &header, error);
}

/* What of the trace is configuration, when the copy has another one: chunks before the run. */
static size_t chunks_before_run(const struct copy *copy)
{
    return 1 + (size_t)copy->reader->config.pieces;
}

static int copy_all(const struct copy *copy, struct error *error)
{
    bool moves = copy->stored != copy->reader->info.stored;
    int result = copy_header(copy, error);
    if (!result && moves)
        result = copy->stored ? unpack_files(copy, error) : pack_files(copy, error);
    if (!result)
        result = copy_chunks(copy, moves ? chunks_before_run(copy) : 0, error);
    if (!result && copy->reader->info.complete)
        result = copy_end(copy, error);
    else if (!result)
        result = trace_output_publish(&copy->disk->output, error);
    return result;
}

/* ---- The files ---- */

static bool same_file(const char *a, const char *b)
{
    struct stat first, second;
    return !stat(a, &first) && !stat(b, &second) && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

static int copy_to(struct trace_reader *reader, const char *out,
    const struct trace_copy_options *options, struct error *error)
{
    struct trace_disk disk;
    const struct trace_writer_options file = {.path = out};
    int result = trace_disk_open(&disk, &file, error);
    if (result)
        return result;
    disk.packed = options->packed || reader->info.packed;
    const struct copy copy = {.reader = reader,
        .disk = &disk,
        .options = options,
        .stored = options->boot_files == TRACE_KEEP_BOOT_FILES
                      ? reader->info.stored
                      : options->boot_files == TRACE_UNPACK_BOOT_FILES};
    result = copy_all(&copy, error);
    int closed = trace_disk_close(&disk, result ? NULL : error);
    return result ? result : closed;
}

int trace_copy(
    const char *in, const char *out, const struct trace_copy_options *options, struct error *error)
{
    if (same_file(in, out))
        return error_set(error, "%s: cannot be copied onto itself; name another file", in);
    struct trace_reader *reader;
    int result = trace_reader_open(&reader, in, error);
    if (result)
        return result;
    if (options->boot_files == TRACE_PACK_BOOT_FILES && options->store)
        result = trace_reader_use_store(reader, options->store, error);
    if (!result)
        result = copy_to(reader, out, options, error);
    if (result == TRACE_DAMAGED || result == TRACE_MISSING)
        error_prefix(error, "%s", in);
    trace_reader_close(reader);
    return result;
}
