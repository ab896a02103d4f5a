/*
 * Bytes per check on streams shaped like those of real guests. The digests are random, as real ones
 * look: one byte of each check is the chain's and cannot be compressed.
 */
#include "tests/unit/traces/sample.h"

#include <stdio.h>
#include <time.h>

#define EVENTS 200000

struct stream {
    struct trace_writer *writer;
    bool counts;
    uint64_t seed;
    uint64_t event;
};

enum { PIO_IN, PIO_OUT, HLT };

static void emit(
    struct stream *stream, uint8_t kind, uint64_t address, uint64_t value, uint64_t insn_delta)
{
    struct trace_check check = {.event = stream->event++,
        .kind = kind,
        .size = kind == HLT ? 0 : 1,
        .address = address,
        .value = value,
        .insn_delta = stream->counts ? insn_delta : 0,
        .observed = true,
        .digest = next_random(&stream->seed)};
    trace_writer_check(stream->writer, &check);
    if (trace_writer_wants_seal(stream->writer))
        trace_writer_seal(stream->writer, stream->event, stream->event, NULL);
}

/* A kernel log on a polled UART: wait for THRE in LSR, then write THR. */
static void polled_uart(struct stream *stream)
{
    static const char *const lines[] = {"[    %u.%06u] pci 0000:00:%02x.0: reg 0x10: [mem size]\n",
        "[    %u.%06u] Memory: %uK/65536K available\n",
        "[    %u.%06u] rcu: Hierarchical RCU implementation, %u CPUs\n"};
    char text[128];
    while (stream->event < EVENTS) {
        uint64_t random = next_random(&stream->seed);
        snprintf(text, sizeof text, lines[random % 3], (unsigned)(stream->event >> 12),
            (unsigned)(random >> 8) % 1000000, (unsigned)(random >> 40) % 32);
        for (const char *c = text; *c; c++) {
            unsigned polls = 1 + (next_random(&stream->seed) % 8 == 0);
            for (unsigned i = 0; i < polls; i++)
                emit(stream, PIO_IN, 0x3fd, i + 1 < polls ? 0x00 : 0x60, i ? 4 : 11);
            emit(stream, PIO_OUT, 0x3f8, (uint8_t)*c, 5);
        }
    }
}

/* A timer interrupt: latch and read the PIT, EOI to the PIC, halt. */
static void timer_ticks(struct stream *stream)
{
    uint64_t counter = 0;
    while (stream->event < EVENTS) {
        counter += 1193 + next_random(&stream->seed) % 8;
        emit(stream, PIO_OUT, 0x43, 0, 40);
        emit(stream, PIO_IN, 0x40, counter & 0xff, 2);
        emit(stream, PIO_IN, 0x40, counter >> 8 & 0xff, 2);
        emit(stream, PIO_OUT, 0x20, 0x20, 17);
        emit(stream, HLT, 0, 0, 9 + next_random(&stream->seed) % 2);
    }
}

/* Every register of a few devices in turn, with values that change now and then. */
static void device_registers(struct stream *stream)
{
    for (uint64_t round = 0; stream->event < EVENTS; round++) {
        for (uint64_t port = 0x3f8; port < 0x400; port++) {
            emit(stream, PIO_OUT, port, round & 0xff, 6);
            emit(stream, PIO_IN, port, (round * 3 + port) & 0x7f, 3);
        }
        for (uint64_t index = 0; index < 14; index++) {
            emit(stream, PIO_OUT, 0x70, index, 3);
            emit(stream, PIO_IN, 0x71, index * 9 + (index ? 0 : round & 0x3f), 3);
        }
    }
}

static double measure(const char *name, void (*generate)(struct stream *), bool counts)
{
    struct memory_sink sink = {0};
    struct trace_sink callbacks = memory_sink_callbacks(&sink);
    struct trace_writer_options options = {
        .sink = &callbacks, .include_checks = true, .counts_instructions = counts};
    struct error error;
    struct stream stream = {.counts = counts, .seed = 42};
    stream.writer = trace_writer_create(&options, &error);
    assert_non_null(stream.writer);
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    generate(&stream);
    clock_gettime(CLOCK_MONOTONIC, &after);
    struct trace_end end = {.events = stream.event};
    assert_int_equal(trace_writer_finish(stream.writer, &end, &error), 0);
    struct trace_reader *reader;
    assert_int_equal(
        trace_reader_open_memory(&reader, sink.bytes.data, sink.bytes.size, &error), 0);
    struct trace_totals totals;
    assert_int_equal(trace_reader_totals(reader, &totals, &error), 0);
    assert_int_equal(totals.checks.records, stream.event);
    double checks = (double)totals.checks.stored_bytes / (double)stream.event;
    double inputs = (double)totals.inputs.stored_bytes / (double)stream.event;
    double nanoseconds =
        (double)(after.tv_sec - before.tv_sec) * 1e9 + (double)(after.tv_nsec - before.tv_nsec);
    print_message("%-18s %-8s %.3f bytes a check, %.4f bytes of inputs an event, %.0f ns a check\n",
        name, counts ? "counted" : "kvm", checks, inputs, nanoseconds / (double)stream.event);
    trace_reader_close(reader);
    buffer_free(&sink.bytes);
    return checks;
}

static void under_two_bytes_a_check(void **state)
{
    (void)state;
    for (int counts = 0; counts < 2; counts++) {
        assert_true(measure("polled UART", polled_uart, counts) < 2);
        assert_true(measure("timer ticks", timer_ticks, counts) < 2);
        assert_true(measure("device registers", device_registers, counts) < 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(under_two_bytes_a_check)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
