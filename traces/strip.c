/* A copy of a trace without its checks. */
#include <string.h>
#include <sys/stat.h>

#include "traces/disk.h"
#include "traces/reader.h"

static int copy_end(const struct trace_reader *reader, struct trace_disk *disk, struct error *error)
{
    struct trace_totals totals = reader->totals;
    totals.configuration = disk->totals.configuration;
    totals.inputs = disk->totals.inputs;
    totals.checks = disk->totals.checks;
    memset(totals.check, 0, sizeof totals.check);
    memset(totals.note, 0, sizeof totals.note);
    totals.observed = 0;
    struct buffer raw = {0};
    end_encode(&reader->info.end, &totals, &raw);
    struct trace_chunk chunk = reader->chunks[reader->info.chunks - 1];
    int result = raw.failed ? error_set(error, "no memory to copy the trace")
                            : trace_disk_chunk(disk, &chunk, raw.data, raw.size, error);
    buffer_free(&raw);
    return result ? result : trace_disk_index(disk, error);
}

static int copy_chunks(
    const struct trace_reader *reader, struct trace_disk *disk, struct error *error)
{
    struct buffer raw = {0}, scratch = {0};
    int result = TRACE_OK;
    for (size_t i = 0; i < reader->info.chunks && !result; i++) {
        struct trace_chunk chunk = reader->chunks[i];
        if (chunk.kind == TRACE_CHUNK_CHECKS || chunk.kind == TRACE_CHUNK_END)
            continue;
        result = reader_load_chunk(reader, &chunk, &raw, &scratch, error);
        if (!result)
            result = trace_disk_chunk(disk, &chunk, raw.data, raw.size, error);
    }
    buffer_free(&raw);
    buffer_free(&scratch);
    return result ? result : reader_end_of_stream(reader, error);
}

static int copy(const struct trace_reader *reader, struct trace_disk *disk, struct error *error)
{
    const struct trace_info *info = &reader->info;
    struct file_header header = {.version = info->version,
        .architecture = info->architecture,
        .first_event = info->first_event};
    if (info->has_checks || info->stripped)
        header.flags |= FILE_STRIPPED;
    if (info->counts_instructions)
        header.flags |= FILE_COUNTS_INSTRUCTIONS;
    int result = trace_disk_begin(disk, &header, error);
    if (!result)
        result = copy_chunks(reader, disk, error);
    if (!result && info->complete)
        result = copy_end(reader, disk, error);
    else if (!result)
        result = trace_output_publish(&disk->output, error);
    return result;
}

static bool same_file(const char *a, const char *b)
{
    struct stat first, second;
    return !stat(a, &first) && !stat(b, &second) && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

int trace_strip(const char *in, const char *out, struct error *error)
{
    if (same_file(in, out))
        return error_set(error, "%s: cannot be stripped onto itself; name another file", in);
    struct trace_reader *reader;
    int result = trace_reader_open(&reader, in, error);
    if (result)
        return result;
    struct trace_disk disk;
    struct trace_writer_options options = {.path = out};
    result = trace_disk_open(&disk, &options, error);
    if (!result) {
        result = copy(reader, &disk, error);
        if (result == TRACE_DAMAGED)
            error_prefix(error, "%s", in);
        int closed = trace_disk_close(&disk, result ? NULL : error);
        if (!result)
            result = closed;
    }
    trace_reader_close(reader);
    return result;
}
