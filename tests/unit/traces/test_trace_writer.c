/* The writer against bad disks, deaths, and its own threads; strip and verify on real files. */
#include "tests/unit/traces/sample.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct content whole_sample(struct memory_sink *sink)
{
    struct error error;
    struct content content;
    assert_int_equal(write_sample(sink, true, true, &error), 0);
    assert_int_equal(content_read(sink->bytes.data, sink->bytes.size, &content, &error), 0);
    return content;
}

/* What a failed or killed writer left must be a good prefix of the whole run. */
static void expect_good_prefix(
    const struct memory_sink *sink, const struct content *whole, uint64_t at_least)
{
    struct content content;
    struct error error;
    int result = content_read(sink->bytes.data, sink->bytes.size, &content, &error);
    if (result)
        fail_msg("%zu bytes: %s", sink->bytes.size, error.text);
    assert_true(buffer_equal(&content.machine, &whole->machine));
    assert_true(buffer_is_prefix(&content.inputs, &whole->inputs));
    assert_true(buffer_is_prefix(&content.checks, &whole->checks));
    assert_true(buffer_is_prefix(&content.notes, &whole->notes));
    assert_true(content.info.end_event >= at_least);
    content_free(&content);
}

static void short_writes_and_interruptions(void **state)
{
    (void)state;
    struct memory_sink whole = {0};
    struct content content = whole_sample(&whole);
    for (size_t piece = 1; piece < 70; piece += 11) {
        struct memory_sink sink = {.piece = piece, .interruptions = 3};
        struct error error;
        assert_int_equal(write_sample(&sink, true, true, &error), 0);
        assert_true(buffer_equal(&sink.bytes, &whole.bytes));
        buffer_free(&sink.bytes);
    }
    content_free(&content);
    buffer_free(&whole.bytes);
}

/* The disk is full, or the pipe closed, at each byte in turn. */
static void disk_fails_at_each_byte(void **state)
{
    (void)state;
    struct memory_sink whole = {0};
    struct content content = whole_sample(&whole);
    struct trace_reader *reader;
    struct error error;
    assert_int_equal(
        trace_reader_open_memory(&reader, whole.bytes.data, whole.bytes.size, &error), 0);
    struct trace_chunk chunk;
    size_t recording = 0; /* where the first INPUTS chunk begins */
    while (trace_reader_chunk(reader, recording, &chunk) && chunk.kind != TRACE_CHUNK_INPUTS)
        recording++;
    trace_reader_close(reader);
    static const int numbers[] = {ENOSPC, EPIPE, EIO};
    for (size_t limit = 1; limit < whole.bytes.size; limit++) {
        bool pipe = limit % 3 == 1;
        struct memory_sink sink = {
            .limit = limit, .error_number = numbers[limit % 3], .cannot_truncate = pipe};
        int result = write_sample(&sink, true, true, &error);
        assert_int_equal(result, -1);
        if (!strstr(error.text, strerror(numbers[limit % 3])) || !strstr(error.text, "offset"))
            fail_msg("byte %zu: '%s'", limit, error.text);
        if (limit >= chunk.offset) {
            expect_good_prefix(&sink, &content, 0);
            struct content left;
            assert_int_equal(content_read(sink.bytes.data, sink.bytes.size, &left, &error), 0);
            if (!pipe)
                assert_int_equal(left.info.lost_bytes, 0);
            content_free(&left);
        }
        buffer_free(&sink.bytes);
    }
    content_free(&content);
    buffer_free(&whole.bytes);
}

static void nothing_written_takes_end(void **state)
{
    (void)state;
    struct memory_sink sink = {0};
    struct error error;
    assert_int_equal(write_sample(&sink, true, false, &error), 0);
    struct content content;
    assert_int_equal(content_read(sink.bytes.data, sink.bytes.size, &content, &error), 0);
    assert_false(content.info.complete);
    assert_int_equal(content.info.end_event, SAMPLE_EVENTS);
    assert_int_equal(content.info.checked_end, SAMPLE_EVENTS);
    content_free(&content);
    buffer_free(&sink.bytes);
}

/* A recorder killed at any byte: what a reader finds while the file grows is good at every size. */
struct growing {
    struct memory_sink sink;
    const struct content *whole;
    uint64_t recording; /* offset of the first INPUTS chunk */
};

static int64_t growing_write(void *context, const void *data, size_t size)
{
    struct growing *growing = context;
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++) {
        memory_write(&growing->sink, bytes + i, 1);
        if (growing->sink.bytes.size >= growing->recording)
            expect_good_prefix(&growing->sink, growing->whole, 0);
    }
    return (int64_t)size;
}

static void killed_at_each_byte(void **state)
{
    (void)state;
    struct memory_sink whole = {0};
    struct content content = whole_sample(&whole);
    struct trace_reader *reader;
    struct error error;
    assert_int_equal(
        trace_reader_open_memory(&reader, whole.bytes.data, whole.bytes.size, &error), 0);
    struct trace_chunk chunk;
    for (size_t i = 0; trace_reader_chunk(reader, i, &chunk); i++) {
        if (chunk.kind == TRACE_CHUNK_INPUTS)
            break;
    }
    trace_reader_close(reader);
    struct growing growing = {.whole = &content, .recording = chunk.offset};
    struct trace_sink callbacks = {growing_write, NULL, &growing};
    struct trace_writer *writer = sample_writer(&callbacks, true, &error);
    assert_non_null(writer);
    uint64_t event = 0;
    for (int seal = 0; seal < SAMPLE_SEALS; seal++) {
        for (int i = 0; i < SAMPLE_EVENTS_PER_SEAL; i++)
            sample_event(writer, event++);
        assert_int_equal(trace_writer_seal(writer, event, event * 1000, &error), 0);
    }
    struct trace_end end = sample_end(event);
    assert_int_equal(trace_writer_finish(writer, &end, &error), 0);
    assert_true(buffer_equal(&growing.sink.bytes, &whole.bytes));
    buffer_free(&growing.sink.bytes);
    content_free(&content);
    buffer_free(&whole.bytes);
}

/* ---- The queue ---- */

/* A disk that takes nothing more until it is let go. */
struct stuck {
    struct memory_sink sink;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool armed;
    bool released;
};

static int64_t stuck_write(void *context, const void *data, size_t size)
{
    struct stuck *stuck = context;
    pthread_mutex_lock(&stuck->lock);
    while (stuck->armed && !stuck->released)
        pthread_cond_wait(&stuck->wake, &stuck->lock);
    pthread_mutex_unlock(&stuck->lock);
    return memory_write(&stuck->sink, data, size);
}

static void set_stuck(struct stuck *stuck, bool armed)
{
    pthread_mutex_lock(&stuck->lock);
    stuck->armed = armed;
    stuck->released = !armed;
    pthread_cond_broadcast(&stuck->wake);
    pthread_mutex_unlock(&stuck->lock);
}

/* Seals never wait for a stuck disk (the test would hang), and say so when too much waits. */
static void stuck_disk_fails_the_seal(void **state)
{
    (void)state;
    struct stuck stuck = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
    struct trace_sink callbacks = {stuck_write, NULL, &stuck};
    struct trace_writer_options options = {
        .sink = &callbacks, .include_checks = true, .queue_bytes = 64 * 1024};
    struct error error;
    struct trace_writer *writer = trace_writer_create(&options, &error);
    assert_non_null(writer);
    set_stuck(&stuck, true);
    uint64_t event = 0;
    int result = 0;
    while (!result && event < 10000000) {
        struct trace_check check = sample_check(event);
        trace_writer_check(writer, &check);
        if (++event % 500 == 0)
            result = trace_writer_seal(writer, event, event, &error);
    }
    assert_int_equal(result, -1);
    assert_non_null(strstr(error.text, "disk is too slow"));
    uint64_t good = event - 500;
    set_stuck(&stuck, false);
    struct trace_end end = sample_end(event);
    assert_int_equal(trace_writer_finish(writer, &end, &error), -1);
    struct content content;
    result = content_read(stuck.sink.bytes.data, stuck.sink.bytes.size, &content, &error);
    if (result)
        fail_msg("%s", error.text);
    assert_true(content.info.complete);
    assert_int_equal(content.info.end.reason, TRACE_END_ERROR);
    assert_non_null(strstr(content.info.end.text, "disk is too slow"));
    assert_int_equal(content.info.end_event, good);
    assert_int_equal(content.check_count, good);
    content_free(&content);
    buffer_free(&stuck.sink.bytes);
}

struct recorder {
    uint64_t seed;
    struct memory_sink sink;
    int result;
};

static void *record(void *argument)
{
    struct recorder *recorder = argument;
    struct trace_sink callbacks = memory_sink_callbacks(&recorder->sink);
    struct error error;
    struct trace_writer *writer = sample_writer(&callbacks, true, &error);
    recorder->result = writer ? 0 : -1;
    uint64_t event = 0;
    while (!recorder->result && event < 50000) {
        sample_event(writer, event++);
        if (next_random(&recorder->seed) % 97 == 0) {
            recorder->result = trace_writer_seal(writer, event, event, &error);
            (void)trace_writer_written(writer);
        }
    }
    struct trace_end end = sample_end(event);
    if (writer && trace_writer_finish(writer, &end, &error))
        recorder->result = -1;
    return NULL;
}

/* Two machines in one process, and readers of one trace in two threads. */
static void *read_all(void *argument)
{
    struct recorder *recorder = argument;
    struct content content;
    struct error error;
    recorder->result =
        content_read(recorder->sink.bytes.data, recorder->sink.bytes.size, &content, &error);
    if (content.check_count != 50000)
        recorder->result = -1;
    content_free(&content);
    return NULL;
}

static void two_at_once(void **state)
{
    (void)state;
    struct recorder recorders[2] = {{.seed = 1}, {.seed = 2}};
    pthread_t threads[2];
    void *(*const steps[2])(void *) = {record, read_all};
    for (int step = 0; step < 2; step++) {
        for (int i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, steps[step], &recorders[i]), 0);
        for (int i = 0; i < 2; i++) {
            pthread_join(threads[i], NULL);
            assert_int_equal(recorders[i].result, 0);
        }
    }
    for (int i = 0; i < 2; i++)
        buffer_free(&recorders[i].sink.bytes);
}

/* ---- Files ---- */

static void make_file(char path[64])
{
    strcpy(path, "/tmp/test_trace_XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
}

static void write_file(const char *path, const struct buffer *bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes->data, 1, bytes->size, file), bytes->size);
    assert_int_equal(fclose(file), 0);
}

static void read_file(const char *path, struct buffer *bytes)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    int byte;
    while ((byte = fgetc(file)) != EOF)
        buffer_put_u8(bytes, (uint8_t)byte);
    fclose(file);
}

static void file_is_the_same_as_memory(void **state)
{
    (void)state;
    char path[64];
    make_file(path);
    struct memory_sink whole = {0};
    struct content content = whole_sample(&whole);
    struct trace_config config = {0};
    sample_config(&config);
    struct trace_writer_options options = {
        .path = path, .config = &config, .include_checks = true, .counts_instructions = true};
    struct error error;
    struct trace_writer *writer = trace_writer_create(&options, &error);
    assert_non_null(writer);
    trace_config_free(&config);
    uint64_t event = 0;
    for (int seal = 0; seal < SAMPLE_SEALS; seal++) {
        for (int i = 0; i < SAMPLE_EVENTS_PER_SEAL; i++)
            sample_event(writer, event++);
        assert_int_equal(trace_writer_seal(writer, event, event * 1000, &error), 0);
    }
    struct trace_end end = sample_end(event);
    assert_int_equal(trace_writer_finish(writer, &end, &error), 0);
    struct buffer bytes = {0};
    read_file(path, &bytes);
    assert_true(buffer_equal(&bytes, &whole.bytes));
    assert_int_equal(trace_verify(path, NULL, NULL, &error), 0);
    buffer_free(&bytes);
    content_free(&content);
    buffer_free(&whole.bytes);
    unlink(path);
}

static void unwritable_paths(void **state)
{
    (void)state;
    struct error error;
    struct trace_writer_options options = {.path = "/nonexistent/t.hst"};
    assert_null(trace_writer_create(&options, &error));
    assert_non_null(strstr(error.text, "/nonexistent/t.hst"));
    options.path = "/";
    assert_null(trace_writer_create(&options, &error));
    options.path = "/dev/full";
    if (!access("/dev/full", W_OK)) {
        assert_null(trace_writer_create(&options, &error));
        assert_non_null(strstr(error.text, "a file or a FIFO"));
    }
}

static const struct trace_copy_options strip = {.strip = true};

static void strip_keeps_all_but_checks(void **state)
{
    (void)state;
    char in[64], out[64];
    make_file(in);
    make_file(out);
    struct memory_sink whole = {0};
    struct content content = whole_sample(&whole);
    size_t full = whole.bytes.size;
    struct error error;
    for (int cut = 0; cut < 2; cut++) {
        /* With its end, and cut short before its last checks. */
        whole.bytes.size = cut ? full - 700 : full;
        write_file(in, &whole.bytes);
        struct content before, after;
        assert_int_equal(content_read(whole.bytes.data, whole.bytes.size, &before, &error), 0);
        assert_int_equal(trace_copy(in, out, &strip, &error), 0);
        struct buffer bytes = {0};
        read_file(out, &bytes);
        assert_int_equal(content_read(bytes.data, bytes.size, &after, &error), 0);
        assert_true(buffer_equal(&after.machine, &before.machine));
        assert_true(buffer_equal(&after.inputs, &before.inputs));
        assert_true(buffer_equal(&after.end, &before.end));
        assert_int_equal(after.checks.size + after.notes.size, 0);
        assert_int_equal(after.info.end_event, before.info.end_event);
        assert_true(after.info.stripped && !after.info.has_checks && !before.info.stripped);
        assert_int_equal(after.info.complete, !cut);
        assert_int_equal(trace_verify(out, NULL, NULL, &error), 0);
        content_free(&before);
        content_free(&after);
        buffer_free(&bytes);
    }
    whole.bytes.size = full;
    assert_int_equal(trace_copy(in, in, &strip, &error), -1);
    /* Damage in what is copied: the copy made before stays. */
    struct buffer old = {0}, now = {0};
    read_file(out, &old);
    struct trace_reader *reader;
    struct trace_chunk chunk;
    assert_int_equal(
        trace_reader_open_memory(&reader, whole.bytes.data, whole.bytes.size, &error), 0);
    for (size_t i = 0; trace_reader_chunk(reader, i, &chunk); i++) {
        if (chunk.kind == TRACE_CHUNK_INPUTS)
            break;
    }
    trace_reader_close(reader);
    whole.bytes.data[chunk.offset + 64] ^= 1;
    write_file(in, &whole.bytes);
    assert_int_equal(trace_copy(in, out, &strip, &error), TRACE_DAMAGED);
    assert_non_null(strstr(error.text, "(inputs)"));
    read_file(out, &now);
    assert_true(buffer_equal(&now, &old));
    buffer_free(&old);
    buffer_free(&now);
    content_free(&content);
    buffer_free(&whole.bytes);
    unlink(in);
    unlink(out);
}

struct progress {
    uint64_t last;
    unsigned calls;
};

static void on_progress(void *context, uint64_t done, uint64_t total)
{
    struct progress *progress = context;
    assert_true(done >= progress->last && done <= total);
    progress->last = done;
    progress->calls++;
}

static void verify_reports_progress(void **state)
{
    (void)state;
    struct memory_sink whole = {0};
    struct content content = whole_sample(&whole);
    struct trace_reader *reader;
    struct error error;
    assert_int_equal(
        trace_reader_open_memory(&reader, whole.bytes.data, whole.bytes.size, &error), 0);
    struct progress progress = {0};
    assert_int_equal(trace_verify_reader(reader, on_progress, &progress, &error), 0);
    assert_int_equal(progress.last, whole.bytes.size);
    assert_true(progress.calls > 5);
    trace_reader_close(reader);
    content_free(&content);
    buffer_free(&whole.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_writes_and_interruptions),
        cmocka_unit_test(disk_fails_at_each_byte),
        cmocka_unit_test(nothing_written_takes_end),
        cmocka_unit_test(killed_at_each_byte),
        cmocka_unit_test(stuck_disk_fails_the_seal),
        cmocka_unit_test(two_at_once),
        cmocka_unit_test(file_is_the_same_as_memory),
        cmocka_unit_test(unwritable_paths),
        cmocka_unit_test(strip_keeps_all_but_checks),
        cmocka_unit_test(verify_reports_progress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
