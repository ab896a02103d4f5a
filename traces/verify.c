/* Reading a whole trace: its integrity, and its totals where the end record does not have them. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "traces/check_codec.h"
#include "traces/reader.h"

/* ---- Records of one chunk ---- */

static int count_inputs(const struct trace_reader *reader, size_t number,
    struct trace_inputs *inputs, struct trace_totals *totals, struct error *error)
{
    const struct trace_chunk *chunk = &reader->chunks[number];
    struct trace_cursor cursor = {
        .chunk = number, .position.event = chunk->first_event ? chunk->first_event - 1 : 0};
    trace_inputs_restore(inputs, &cursor);
    for (uint32_t i = 0; i < chunk->records; i++) {
        struct trace_input input;
        int result = trace_inputs_next(inputs, &input, error);
        if (result < 0)
            return result;
        trace_inputs_save(inputs, &cursor);
        if (!result || cursor.chunk != number)
            return chunk_damaged(chunk, error, "it has fewer records than its header says");
        totals->input[input.kind].records++;
        totals->input[input.kind].bytes += input.size;
    }
    if (cursor.offset != chunk->raw_size)
        return chunk_damaged(chunk, error, "it has more records than its header says");
    return TRACE_OK;
}

/* An INPUTS chunk without records is not loaded by a stream that has nothing to read in it. */
static int load_only(
    const struct trace_reader *reader, const struct trace_chunk *chunk, struct error *error)
{
    struct buffer raw = {0}, scratch = {0};
    int result = reader_load_chunk(reader, chunk, &raw, &scratch, error);
    buffer_free(&raw);
    buffer_free(&scratch);
    return result;
}

static int count_records(struct check_decoder *decoder, struct trace_totals *totals)
{
    struct trace_check check;
    struct trace_note note;
    int result;
    while ((result = check_decoder_next(decoder, &check)) == 1) {
        totals->check[check.kind].records++;
        totals->observed += check.observed;
    }
    if (result < 0)
        return result;
    while ((result = check_decoder_note(decoder, &note)) == 1) {
        totals->note[note.kind].records++;
        totals->note[note.kind].bytes += note.size;
    }
    if (result < 0)
        return result;
    return check_decoder_consumed(decoder) ? TRACE_OK : TRACE_DAMAGED;
}

static int count_checks(const struct trace_reader *reader, const struct trace_chunk *chunk,
    struct trace_totals *totals, struct error *error)
{
    struct buffer raw = {0}, scratch = {0};
    struct check_decoder *decoder = calloc(1, sizeof *decoder);
    int result = decoder ? reader_load_chunk(reader, chunk, &raw, &scratch, error)
                         : error_set(error, "no memory to read the trace's checks");
    if (!result) {
        bool parses = check_decoder_start(
            decoder, raw.data, raw.size, chunk, reader->info.counts_instructions);
        result = parses ? count_records(decoder, totals) : TRACE_DAMAGED;
        if (result == TRACE_DAMAGED)
            chunk_damaged(chunk, error, "its checks or notes do not parse");
        else if (result)
            error_set(error, "no memory to read the trace's checks");
    }
    if (decoder)
        check_decoder_free(decoder);
    free(decoder);
    buffer_free(&raw);
    buffer_free(&scratch);
    return result;
}

static int read_blob(const struct trace_reader *reader, size_t number, struct error *error)
{
    const struct trace_stored_blob *blob = &reader->config.blobs[number];
    struct buffer raw = {0}, scratch = {0};
    XXH3_state_t *state = XXH3_createState();
    int result = state ? TRACE_OK : error_set(error, "no memory to read a boot file");
    if (state)
        XXH3_64bits_reset(state);
    const struct trace_chunk *chunk = &reader->chunks[0];
    for (uint64_t i = 0; i < blob->pieces && !result; i++) {
        chunk = &reader->chunks[reader->first_blob + blob->first_piece + i];
        result = reader_load_chunk(reader, chunk, &raw, &scratch, error);
        if (!result)
            XXH3_64bits_update(state, raw.data, raw.size);
    }
    if (!result && XXH3_64bits_digest(state) != blob->blob.digest)
        result = chunk_damaged(chunk, error, "the boot file that ends here lacks its digest");
    XXH3_freeState(state);
    buffer_free(&raw);
    buffer_free(&scratch);
    return result;
}

struct progress {
    void (*report)(void *context, uint64_t done, uint64_t total);
    void *context;
};

static int read_records(const struct trace_reader *reader, struct trace_totals *totals,
    const struct progress *progress, struct error *error)
{
    struct trace_inputs *inputs = trace_inputs_open(reader, error);
    int result = inputs ? TRACE_OK : TRACE_ERROR;
    for (size_t i = 0; i < reader->info.chunks && !result; i++) {
        const struct trace_chunk *chunk = &reader->chunks[i];
        totals_add_chunk(totals, chunk);
        if (chunk->kind == TRACE_CHUNK_CHECKS)
            result = count_checks(reader, chunk, totals, error);
        else if (chunk->kind == TRACE_CHUNK_INPUTS && chunk->raw_size)
            result = count_inputs(reader, i, inputs, totals, error);
        else if (chunk->kind != TRACE_CHUNK_BLOB)
            result = load_only(reader, chunk, error);
        if (progress->report)
            progress->report(progress->context, chunk->offset, reader->info.file_size);
    }
    trace_inputs_close(inputs);
    return result ? result : reader_end_of_stream(reader, error);
}

int trace_reader_totals(
    const struct trace_reader *reader, struct trace_totals *totals, struct error *error)
{
    *totals = reader->totals;
    if (reader->info.complete)
        return TRACE_OK;
    memset(totals, 0, sizeof *totals);
    return read_records(reader, totals, &(struct progress){0}, error);
}

/* ---- The index ---- */

static int compare_entries(const struct trace_reader *reader, const struct trace_chunk *index,
    size_t first, struct error *error)
{
    struct buffer raw = {0}, scratch = {0};
    int result = reader_load_chunk(reader, index, &raw, &scratch, error);
    struct reader in;
    reader_init(&in, raw.data, raw.size);
    for (size_t i = 0; i < index->records && !result; i++) {
        struct trace_chunk entry = {.sequence = (uint32_t)(first + i)};
        index_entry_decode(&entry, &in);
        if (in.failed || first + i >= reader->info.chunks ||
            entry.offset != reader->chunks[first + i].offset ||
            !chunk_equal(&entry, &reader->chunks[first + i]))
            result = chunk_damaged(index, error, "it does not list the chunks that are there");
    }
    if (!result && reader_left(&in))
        result = chunk_damaged(index, error, "it is longer than its entries");
    buffer_free(&raw);
    buffer_free(&scratch);
    return result;
}

/* What follows the end record is the index and the tail, or the beginning of them. */
static int verify_index(const struct trace_reader *reader, struct error *error)
{
    const struct trace_info *info = &reader->info;
    const struct trace_chunk *end = &reader->chunks[info->chunks - 1];
    struct trace_chunk index = {.offset = end->offset + CHUNK_HEADER_SIZE + end->stored_size};
    index.sequence = (uint32_t)info->chunks;
    for (size_t first = 0; first < info->chunks; first += INDEX_ENTRIES) {
        uint8_t header[CHUNK_HEADER_SIZE];
        uint64_t left = info->file_size - index.offset;
        if (left < sizeof header)
            return TRACE_OK;
        int result = reader_read_at(reader, index.offset, header, sizeof header, error);
        if (result)
            return result;
        if (!chunk_header_decode(&index, header) || index.kind != TRACE_CHUNK_INDEX) {
            index.kind = TRACE_CHUNK_INDEX;
            return chunk_damaged(&index, error, "checksum error in its header");
        }
        if (index.stored_size > left - sizeof header)
            return TRACE_OK;
        result = compare_entries(reader, &index, first, error);
        if (result)
            return result;
        index.offset += CHUNK_HEADER_SIZE + index.stored_size;
        index.sequence++;
    }
    if (info->file_size - index.offset < TAIL_SIZE)
        return TRACE_OK;
    error_set(error, "damaged trace: the tail at offset %llu does not fit what precedes it",
        (unsigned long long)index.offset);
    return TRACE_DAMAGED;
}

/* ---- All ---- */

static bool same_kinds(
    const struct trace_kind_total *a, const struct trace_kind_total *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (a[i].records != b[i].records || a[i].bytes != b[i].bytes)
            return false;
    }
    return true;
}

static int verify_totals(
    const struct trace_reader *reader, const struct trace_totals *found, struct error *error)
{
    const struct trace_totals *said = &reader->totals;
    if (found->observed == said->observed && found->inputs.records == said->inputs.records &&
        found->checks.records == said->checks.records &&
        same_kinds(found->input, said->input, TRACE_INPUT_KINDS) &&
        same_kinds(found->check, said->check, 256) && same_kinds(found->note, said->note, 256))
        return TRACE_OK;
    return chunk_damaged(
        &reader->chunks[reader->info.chunks - 1], error, "its totals are not those of the records");
}

int trace_verify_reader(const struct trace_reader *reader,
    void (*progress)(void *context, uint64_t done, uint64_t total), void *context,
    struct error *error)
{
    struct progress report = {.report = progress, .context = context};
    struct trace_totals totals = {0};
    int result = TRACE_OK;
    for (size_t i = 0; i < reader->config.blob_count && !result; i++)
        result = reader->info.stored ? TRACE_OK : read_blob(reader, i, error);
    if (!result)
        result = read_records(reader, &totals, &report, error);
    if (!result && reader->info.complete)
        result = verify_totals(reader, &totals, error);
    if (!result && reader->info.complete && reader->info.rebuilt)
        result = verify_index(reader, error);
    if (!result && progress)
        progress(context, reader->info.file_size, reader->info.file_size);
    return result;
}

int trace_verify(const char *path, void (*progress)(void *context, uint64_t done, uint64_t total),
    void *context, struct error *error)
{
    struct trace_reader *reader;
    int result = trace_reader_open(&reader, path, error);
    if (result)
        return result;
    result = trace_verify_reader(reader, progress, context, error);
    trace_reader_close(reader);
    if (result)
        error_prefix(error, "%s", path);
    return result;
}
