/* Every single-byte change and every truncation of a small trace. */
#include "tests/unit/traces/sample.h"

#include <stdlib.h>
#include <xxhash.h>

static const uint8_t patterns[] = {1, 2, 4, 8, 16, 32, 64, 128, 255, 0x55};

/* What the sample holds, found from its own list of chunks. */
struct layout {
    struct trace_chunk chunks[64];
    size_t count;
};

static void read_layout(const struct buffer *file, struct layout *layout)
{
    struct trace_reader *reader;
    struct error error;
    assert_int_equal(trace_reader_open_memory(&reader, file->data, file->size, &error), 0);
    layout->count = 0;
    while (trace_reader_chunk(reader, layout->count, &layout->chunks[layout->count]))
        assert_true(++layout->count < 64);
    trace_reader_close(reader);
}

static uint64_t chunk_end(const struct trace_chunk *chunk)
{
    return chunk->offset + 64 + chunk->stored_size;
}

/* All the flips of a file must give damage, named, or the same content. */
static void flip_all(struct buffer *file)
{
    struct content original;
    struct error error;
    assert_int_equal(content_read(file->data, file->size, &original, &error), 0);
    size_t same = 0, damaged = 0;
    for (size_t i = 0; i < file->size; i++) {
        for (size_t j = 0; j < sizeof patterns; j++) {
            file->data[i] ^= patterns[j];
            struct content content;
            error.text[0] = 0;
            int result = content_read(file->data, file->size, &content, &error);
            if (result == TRACE_DAMAGED) {
                damaged++;
                if (!strstr(error.text, "offset") && i >= 8)
                    fail_msg("byte %zu pattern %#x: '%s'", i, patterns[j], error.text);
            } else if (result || !content_equal(&content, &original)) {
                fail_msg("byte %zu of %zu pattern %#x: result %d and other content", i, file->size,
                    patterns[j], result);
            } else {
                same++;
            }
            content_free(&content);
            file->data[i] ^= patterns[j];
        }
    }
    print_message("%zu bytes: %zu flips found, %zu without effect\n", file->size, damaged, same);
    assert_true(damaged > same);
    content_free(&original);
}

static void flips_in_a_complete_trace(void **state)
{
    (void)state;
    for (int include_checks = 0; include_checks < 2; include_checks++) {
        struct memory_sink sink = {0};
        struct error error;
        assert_int_equal(write_sample(&sink, include_checks, true, &error), 0);
        flip_all(&sink.bytes);
        buffer_free(&sink.bytes);
    }
}

static void flips_in_cut_traces(void **state)
{
    (void)state;
    struct memory_sink sink = {0};
    struct error error;
    assert_int_equal(write_sample(&sink, true, true, &error), 0);
    struct layout layout;
    read_layout(&sink.bytes, &layout);
    size_t full = sink.bytes.size;
    const struct trace_chunk *last = &layout.chunks[layout.count - 3];
    assert_int_equal(last->kind, TRACE_CHUNK_INPUTS);
    const size_t cuts[] = {last->offset, last->offset + 1, last->offset + 63, last->offset + 64,
        last->offset + 65, chunk_end(last) - 1, chunk_end(last), chunk_end(last) + 70};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        sink.bytes.size = cuts[i];
        flip_all(&sink.bytes);
    }
    sink.bytes.size = full;
    buffer_free(&sink.bytes);
}

/* What verify says of a flip: whatever is not found by it must not change anything. */
static void verify_finds_every_flip(void **state)
{
    (void)state;
    struct memory_sink sink = {0};
    struct error error;
    assert_int_equal(write_sample(&sink, true, true, &error), 0);
    for (size_t i = 0; i < sink.bytes.size; i++) {
        sink.bytes.data[i] ^= 0x10;
        struct trace_reader *reader;
        int result = trace_reader_open_memory(&reader, sink.bytes.data, sink.bytes.size, &error);
        if (!result) {
            result = trace_verify_reader(reader, NULL, NULL, &error);
            trace_reader_close(reader);
        }
        if (result != TRACE_DAMAGED)
            fail_msg("byte %zu of %zu: verify gives %d", i, sink.bytes.size, result);
        sink.bytes.data[i] ^= 0x10;
    }
    buffer_free(&sink.bytes);
}

/* The records of the chunks of that kind that lie wholly before `size`. */
static uint64_t records_before(
    const struct layout *layout, enum trace_chunk_kind kind, uint64_t size)
{
    uint64_t records = 0;
    for (size_t i = 0; i < layout->count; i++) {
        if (layout->chunks[i].kind == kind && chunk_end(&layout->chunks[i]) <= size)
            records += layout->chunks[i].records;
    }
    return records;
}

static uint64_t end_event_before(
    const struct layout *layout, enum trace_chunk_kind kind, uint64_t size)
{
    uint64_t event = 0;
    for (size_t i = 0; i < layout->count; i++) {
        if (layout->chunks[i].kind == kind && chunk_end(&layout->chunks[i]) <= size)
            event = layout->chunks[i].end_event;
    }
    return event;
}

static void check_prefix(const struct buffer *file, size_t size, const struct layout *layout,
    const struct content *whole)
{
    /* An own allocation, so that a sanitizer sees a read past the end. */
    uint8_t *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, file->data, size);
    struct content content;
    struct error error;
    int result = content_read(copy, size, &content, &error);
    const struct trace_chunk *end = &layout->chunks[layout->count - 1];
    /* CONFIG is chunk 0, the only piece of a boot file chunk 1. */
    if (size < chunk_end(&layout->chunks[1])) {
        assert_int_equal(result, TRACE_DAMAGED);
    } else {
        if (result)
            fail_msg("cut at %zu: %s", size, error.text);
        assert_true(buffer_equal(&content.machine, &whole->machine));
        assert_true(buffer_is_prefix(&content.inputs, &whole->inputs));
        assert_true(buffer_is_prefix(&content.checks, &whole->checks));
        assert_true(buffer_is_prefix(&content.notes, &whole->notes));
        assert_int_equal(content.input_count, records_before(layout, TRACE_CHUNK_INPUTS, size));
        assert_int_equal(content.check_count, records_before(layout, TRACE_CHUNK_CHECKS, size));
        assert_int_equal(
            content.info.end_event, end_event_before(layout, TRACE_CHUNK_INPUTS, size));
        assert_int_equal(
            content.info.checked_end, end_event_before(layout, TRACE_CHUNK_CHECKS, size));
        assert_int_equal(content.info.complete, size >= chunk_end(end));
        assert_int_equal(content.info.rebuilt, size < file->size);
        assert_false(content.info.damaged);
    }
    content_free(&content);
    struct trace_reader *reader;
    if (!trace_reader_open_memory(&reader, copy, size, &error)) {
        assert_int_equal(trace_verify_reader(reader, NULL, NULL, &error), 0);
        trace_reader_close(reader);
    }
    free(copy);
}

static void every_truncation(void **state)
{
    (void)state;
    for (int include_checks = 0; include_checks < 2; include_checks++) {
        struct memory_sink sink = {0};
        struct error error;
        assert_int_equal(write_sample(&sink, include_checks, true, &error), 0);
        struct layout layout;
        read_layout(&sink.bytes, &layout);
        struct content whole;
        assert_int_equal(content_read(sink.bytes.data, sink.bytes.size, &whole, &error), 0);
        for (size_t size = 0; size <= sink.bytes.size; size++)
            check_prefix(&sink.bytes, size, &layout, &whole);
        content_free(&whole);
        buffer_free(&sink.bytes);
    }
}

/* Bytes taken out of the middle, doubled, or put at the end are never taken for a shorter run. */
static void missing_and_extra_bytes(void **state)
{
    (void)state;
    struct memory_sink sink = {0};
    struct error error;
    assert_int_equal(write_sample(&sink, true, true, &error), 0);
    struct content whole;
    assert_int_equal(content_read(sink.bytes.data, sink.bytes.size, &whole, &error), 0);
    size_t size = sink.bytes.size;
    uint8_t *copy = malloc(size);
    assert_non_null(copy);
    struct layout layout;
    read_layout(&sink.bytes, &layout);
    for (size_t i = 0; i < layout.count; i++) {
        uint64_t start = layout.chunks[i].offset, end = chunk_end(&layout.chunks[i]);
        memcpy(copy, sink.bytes.data, start);
        memcpy(copy + start, sink.bytes.data + end, size - end);
        struct content content;
        int result = content_read(copy, size - (end - start), &content, &error);
        assert_int_equal(result, TRACE_DAMAGED);
        assert_non_null(strstr(error.text, "offset"));
        content_free(&content);
    }
    for (size_t cut = 1; cut < size - 200; cut += 7) {
        /* Everything from `cut` to the tail is gone, but the tail is there. */
        memcpy(copy, sink.bytes.data, cut);
        memcpy(copy + cut, sink.bytes.data + size - 32, 32);
        struct content content;
        int result = content_read(copy, cut + 32, &content, &error);
        if (result != TRACE_DAMAGED)
            assert_true(!result && content_equal(&content, &whole));
        content_free(&content);
    }
    free(copy);
    content_free(&whole);
    buffer_free(&sink.bytes);
}

static void expect_open(const void *data, size_t size, int expected, const char *expected_text)
{
    struct trace_reader *reader;
    struct error error = {{0}};
    int result = trace_reader_open_memory(&reader, data, size, &error);
    assert_int_equal(result, expected);
    if (!strstr(error.text, expected_text))
        fail_msg("'%s' does not say '%s'", error.text, expected_text);
}

static void not_a_trace(void **state)
{
    (void)state;
    static const uint8_t zeros[4096];
    expect_open(zeros, 0, TRACE_DAMAGED, "empty");
    static const char other[] = "\x7f"
                                "ELF and more";
    expect_open(other, sizeof other, TRACE_DAMAGED, "not a hindsight trace");
    expect_open(zeros, sizeof zeros, TRACE_DAMAGED, "not a hindsight trace");
    struct trace_reader *reader;
    struct error error;
    assert_int_equal(trace_reader_open(&reader, "/nonexistent/t.hst", &error), TRACE_ERROR);
    assert_non_null(strstr(error.text, "/nonexistent/t.hst"));
    assert_int_equal(trace_reader_open(&reader, "/", &error), TRACE_ERROR);
    assert_non_null(strstr(error.text, "directory"));
    assert_int_equal(trace_reader_open(&reader, "/dev/zero", &error), TRACE_ERROR);
}

/* A changed header with its checksum made right: docs/trace-format.md, "File header". */
static void other_versions(void **state)
{
    (void)state;
    static const struct {
        size_t offset;
        uint8_t value;
        const char *text;
    } cases[] = {{8, 2, "version 2"}, {10, 183, "architecture 183"}, {15, 0x80, "flags"}};
    struct memory_sink sink = {0};
    struct error error;
    assert_int_equal(write_sample(&sink, true, true, &error), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t header[64];
        memcpy(header, sink.bytes.data, sizeof header);
        sink.bytes.data[cases[i].offset] = cases[i].value;
        uint64_t digest = XXH3_64bits(sink.bytes.data, 56);
        for (size_t j = 0; j < 8; j++)
            sink.bytes.data[56 + j] = (uint8_t)(digest >> (8 * j));
        expect_open(sink.bytes.data, sink.bytes.size, TRACE_DAMAGED, cases[i].text);
        memcpy(sink.bytes.data, header, sizeof header);
    }
    buffer_free(&sink.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flips_in_a_complete_trace),
        cmocka_unit_test(flips_in_cut_traces),
        cmocka_unit_test(verify_finds_every_flip),
        cmocka_unit_test(every_truncation),
        cmocka_unit_test(missing_and_extra_bytes),
        cmocka_unit_test(not_a_trace),
        cmocka_unit_test(other_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
