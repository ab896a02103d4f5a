/*
 * Hostile trace files. Some inputs are the file itself or what follows the first chunks of a good
 * trace; half of them are instructions to change the uncompressed content and the header fields of
 * a good trace's chunks, whose checksums are then made right, so that the code after the checksums
 * is reached.
 */
#include "tests/unit/traces/sample.h"

#include <stdlib.h>

#include "traces/format.h"
#include "traces/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void expect_code(int result)
{
    require(result == 0 || result == TRACE_ERROR || result == TRACE_DAMAGED);
}

static void seek_about(const struct trace_reader *reader, uint64_t event)
{
    struct error error;
    struct trace_input input;
    struct trace_check check;
    struct trace_note note;
    struct trace_inputs *inputs = trace_inputs_open(reader, &error);
    struct trace_checks *checks = trace_checks_open(reader, &error);
    struct trace_notes *notes = trace_notes_open(reader, &error);
    require(inputs && checks && notes);
    trace_inputs_seek(inputs, event);
    trace_inputs_next(inputs, &input, &error);
    /* A cursor of another trace: any chunk, any offset. */
    struct trace_cursor cursor = {.chunk = event % 20, .offset = event};
    trace_inputs_restore(inputs, &cursor);
    trace_inputs_next(inputs, &input, &error);
    if (!trace_checks_seek(checks, event, &error) && trace_checks_next(checks, &check, &error) == 1)
        require(check.event >= event);
    if (!trace_notes_seek(notes, event, &error))
        trace_notes_next(notes, &note, &error);
    trace_inputs_close(inputs);
    trace_checks_close(checks);
    trace_notes_close(notes);
}

static void read_everything(const uint8_t *data, size_t size)
{
    struct content content;
    struct error error;
    int result = content_read(data, size, &content, &error);
    expect_code(result);
    content_free(&content);
    struct trace_reader *reader;
    if (trace_reader_open_memory(&reader, data, size, &error))
        return;
    int verified = trace_verify_reader(reader, NULL, NULL, &error);
    expect_code(verified);
    require(verified || !result); /* what verify accepts can be read */
    struct trace_totals totals;
    expect_code(trace_reader_totals(reader, &totals, &error));
    seek_about(reader, 0);
    seek_about(reader, SAMPLE_EVENTS / 2);
    seek_about(reader, size);
    seek_about(reader, UINT64_MAX);
    trace_reader_close(reader);
}

/* ---- Changed traces with right checksums ---- */

struct raw_chunk {
    struct trace_chunk header;
    struct buffer raw;
};

static struct raw_chunk chunks[32];
static size_t chunk_count;
static uint8_t file_header[FILE_HEADER_SIZE];

static void take_sample_apart(void)
{
    struct memory_sink sink = {0};
    struct error error;
    struct trace_reader *reader;
    struct buffer scratch = {0};
    require(!write_sample(&sink, true, true, &error));
    require(!trace_reader_open_memory(&reader, sink.bytes.data, sink.bytes.size, &error));
    memcpy(file_header, sink.bytes.data, sizeof file_header);
    while (trace_reader_chunk(reader, chunk_count, &chunks[chunk_count].header)) {
        struct raw_chunk *chunk = &chunks[chunk_count++];
        require(!reader_load_chunk(reader, &chunk->header, &chunk->raw, &scratch, &error));
    }
    trace_reader_close(reader);
    buffer_free(&scratch);
    buffer_free(&sink.bytes);
}

static uint64_t small_or_huge(struct reader *in)
{
    uint8_t byte = reader_get_u8(in);
    return byte < 200 ? byte : byte < 230 ? UINT64_MAX - byte : 1ull << (byte % 64);
}

static void change_header(struct trace_chunk *header, struct reader *in)
{
    uint64_t value = small_or_huge(in);
    switch (reader_get_u8(in) % 8) {
    case 0:
        header->kind = (uint8_t)value;
        break;
    case 1:
        header->flags ^= (uint8_t)(value & ~(uint64_t)CHUNK_COMPRESSED);
        break;
    case 2:
        header->sequence = (uint32_t)value;
        break;
    case 3:
        header->records = (uint32_t)value;
        break;
    case 4:
        header->first_event = value;
        break;
    case 5:
        header->end_event = value;
        break;
    case 6:
        header->first_time = value;
        break;
    default:
        header->first_event += value;
        header->end_event += value;
        break;
    }
}

static void change_content(struct buffer *raw, struct reader *in)
{
    uint8_t how = reader_get_u8(in);
    size_t at = reader_get_u16(in);
    at = raw->size ? at % raw->size : 0;
    if (how % 4 == 0 && raw->size) {
        raw->data[at] = reader_get_u8(in);
    } else if (how % 4 == 1 && raw->size) {
        raw->size = at;
    } else if (how % 4 == 2) {
        uint64_t value = small_or_huge(in);
        for (size_t i = 0; i < 1u << how / 4 % 4 && at + i < raw->size; i++)
            raw->data[at + i] = (uint8_t)(value >> 8 * i);
    } else {
        buffer_put_varint(raw, small_or_huge(in));
    }
}

static void append_index(struct buffer *file, const struct buffer *entries, uint32_t count)
{
    struct tail tail = {.index_offset = file->size, .index_chunks = 1};
    struct trace_chunk chunk = {.kind = TRACE_CHUNK_INDEX, .sequence = count, .records = count};
    require(!chunk_encode(&chunk, entries->data, entries->size, false, file));
    uint8_t bytes[TAIL_SIZE];
    tail_encode(&tail, bytes);
    buffer_put(file, bytes, sizeof bytes);
}

static void change_trace(struct reader *in)
{
    struct buffer file = {0}, raw = {0}, entries = {0};
    uint8_t which = reader_get_u8(in);
    uint8_t changes = reader_get_u8(in) % 8;
    bool with_index = reader_get_u8(in) & 1;
    buffer_put(&file, file_header, sizeof file_header);
    for (size_t i = 0; i < chunk_count; i++) {
        struct trace_chunk header = chunks[i].header;
        buffer_clear(&raw);
        buffer_put(&raw, chunks[i].raw.data, chunks[i].raw.size);
        if (i == which % chunk_count) {
            for (uint8_t j = 0; j < changes; j++) {
                if (reader_get_u8(in) % 4 == 0)
                    change_header(&header, in);
                else
                    change_content(&raw, in);
            }
        }
        header.offset = file.size;
        require(!chunk_encode(&header, raw.data, raw.size, header.flags & CHUNK_ZSTD, &file));
        index_entry_encode(&header, &entries);
    }
    if (with_index)
        append_index(&file, &entries, (uint32_t)chunk_count);
    /* An own allocation of the exact size, so that a sanitizer sees every read past the end. */
    uint8_t *copy = malloc(file.size);
    require(copy);
    memcpy(copy, file.data, file.size);
    read_everything(copy, file.size);
    free(copy);
    buffer_free(&file);
    buffer_free(&raw);
    buffer_free(&entries);
}

/* The beginning of a good trace, then whatever comes. */
static void continue_trace(const uint8_t *data, size_t size)
{
    struct buffer file = {0};
    buffer_put(&file, file_header, sizeof file_header);
    for (size_t i = 0; i < chunk_count / 2; i++) {
        struct trace_chunk header = chunks[i].header;
        require(!chunk_encode(&header, chunks[i].raw.data, chunks[i].raw.size, false, &file));
    }
    buffer_put(&file, data, size);
    read_everything(file.data, file.size);
    buffer_free(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!chunk_count)
        take_sample_apart();
    if (!size)
        return 0;
    struct reader in;
    reader_init(&in, data + 1, size - 1);
    if (data[0] & 1)
        change_trace(&in);
    else if (data[0] & 2)
        continue_trace(data + 1, size - 1);
    else
        read_everything(data + 1, size - 1);
    return 0;
}
