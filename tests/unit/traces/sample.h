/* Sample traces, sinks that fail on purpose, and the logical content of a trace as bytes. */
#ifndef TESTS_UNIT_TRACES_SAMPLE_H
#define TESTS_UNIT_TRACES_SAMPLE_H

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "traces/trace.h"

/* A file in memory with the faults of a disk. */
struct memory_sink {
    struct buffer bytes;
    size_t limit;     /* from this size on writes fail; 0 = no limit */
    int error_number; /* with this errno */
    size_t piece;     /* at most so many bytes a call; 0 = no limit */
    bool cannot_truncate;
    unsigned interruptions; /* the next so many calls give EINTR */
};

static inline int64_t memory_write(void *context, const void *data, size_t size)
{
    struct memory_sink *sink = context;
    if (sink->interruptions) {
        sink->interruptions--;
        errno = EINTR;
        return -1;
    }
    if (sink->limit && sink->bytes.size >= sink->limit) {
        errno = sink->error_number;
        return -1;
    }
    if (sink->limit && size > sink->limit - sink->bytes.size)
        size = sink->limit - sink->bytes.size;
    if (sink->piece && size > sink->piece)
        size = sink->piece;
    buffer_put(&sink->bytes, data, size);
    return (int64_t)size;
}

static inline int memory_truncate(void *context, uint64_t size)
{
    struct memory_sink *sink = context;
    if (sink->cannot_truncate) {
        errno = ESPIPE;
        return -1;
    }
    if (size <= sink->bytes.size)
        sink->bytes.size = (size_t)size;
    return 0;
}

static inline struct trace_sink memory_sink_callbacks(struct memory_sink *sink)
{
    return (struct trace_sink){memory_write, memory_truncate, sink};
}

static inline uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* ---- Sample content: a function of the event's ordinal alone ---- */

#define SAMPLE_SEALS           4
#define SAMPLE_EVENTS_PER_SEAL 10
#define SAMPLE_EVENTS          (SAMPLE_SEALS * SAMPLE_EVENTS_PER_SEAL)

static inline struct trace_check sample_check(uint64_t event)
{
    uint64_t state = event;
    return (struct trace_check){.event = event,
        .kind = (uint8_t)(event % 3),
        .size = (uint8_t)(1u << event % 4),
        .flags = event % 7 == 0,
        .address = event % 2 ? 0x3fd : 0xfee00000,
        .value = next_random(&state) >> (64 - (8u << event % 4)),
        .insn_delta = 5 + event % 3,
        .observed = event % 5 != 2,
        .digest = next_random(&state)};
}

static inline void sample_event(struct trace_writer *writer, uint64_t event)
{
    if (event % 4 == 1) {
        struct trace_position at = {event ? event - 1 : 0, 3 + event};
        trace_writer_input(writer, 1, &at, "\x20", 1);
    }
    if (event % 3 == 0)
        trace_writer_input(writer, 2, NULL, &event, 1 + event % 4);
    struct trace_check check = sample_check(event);
    trace_writer_check(writer, &check);
    if (event % 6 == 0)
        trace_writer_note(writer, event, 9, "note of this event", 1 + event % 18);
}

static inline void sample_config(struct trace_config *config)
{
    static const char kernel[] = "a kernel, a kernel, a kernel, a kernel, and so on";
    trace_config_set(config, "engine", "soft");
    trace_config_set(config, "memory", "%d", 64);
    trace_config_set(config, "memory", "%d", 32);
    trace_config_set(config, "append", "console=ttyS0 a=b");
    trace_config_add_blob(config, "kernel", kernel, sizeof kernel);
    trace_config_add_blob(config, "initrd", NULL, 0);
}

static inline struct trace_end sample_end(uint64_t events)
{
    struct trace_end end = {.reason = TRACE_END_DEBUG_EXIT,
        .status = 7,
        .guest_status = 15,
        .events = events,
        .insn = 12,
        .virtual_time = events * 1000,
        .digest = {1, 2, 3, 4, 5, 6, 7, 8},
        .digest_size = 8,
        .text = "the guest asked for it"};
    return end;
}

static inline struct trace_writer *sample_writer(
    const struct trace_sink *sink, bool include_checks, struct error *error)
{
    struct trace_config config = {0};
    sample_config(&config);
    struct trace_writer_options options = {.sink = sink,
        .config = &config,
        .include_checks = include_checks,
        .counts_instructions = true};
    struct trace_writer *writer = trace_writer_create(&options, error);
    trace_config_free(&config);
    return writer;
}

/* Writes the sample until a seal fails; 0 when all went well, with an end record. */
static inline int write_sample(
    struct memory_sink *sink, bool include_checks, bool with_end, struct error *error)
{
    struct trace_sink callbacks = memory_sink_callbacks(sink);
    struct trace_writer *writer = sample_writer(&callbacks, include_checks, error);
    if (!writer)
        return -1;
    uint64_t event = 0;
    int result = 0;
    for (int seal = 0; seal < SAMPLE_SEALS && !result; seal++) {
        for (int i = 0; i < SAMPLE_EVENTS_PER_SEAL; i++)
            sample_event(writer, event++);
        result = trace_writer_seal(writer, event, event * 1000, error);
    }
    if (!with_end) {
        trace_writer_abandon(writer);
        return result;
    }
    struct trace_end end = sample_end(event);
    return trace_writer_finish(writer, &end, error);
}

/* ---- Logical content ---- */

struct content {
    struct buffer machine; /* settings, boot files */
    struct buffer inputs;
    struct buffer checks;
    struct buffer notes;
    struct buffer end;
    uint64_t input_count;
    uint64_t check_count;
    struct trace_info info;
};

static inline void content_free(struct content *content)
{
    buffer_free(&content->machine);
    buffer_free(&content->inputs);
    buffer_free(&content->checks);
    buffer_free(&content->notes);
    buffer_free(&content->end);
}

static inline int content_machine(
    const struct trace_reader *reader, struct buffer *out, struct error *error)
{
    const char *key, *value;
    for (size_t i = 0; trace_reader_setting_at(reader, i, &key, &value); i++)
        buffer_printf(out, "%s=%s\n", key, value);
    struct trace_blob blob;
    int result = 0;
    for (size_t i = 0; !result && trace_reader_blob_at(reader, i, &blob); i++) {
        buffer_printf(out, "%s %llu\n", blob.name, (unsigned long long)blob.size);
        uint8_t *data = buffer_extend(out, (size_t)blob.size + 1);
        if (!data)
            return TRACE_ERROR;
        data[blob.size] = '\n';
        result = trace_reader_blob(reader, i, data, error);
    }
    return result;
}

static inline int content_inputs(
    const struct trace_reader *reader, struct content *content, struct error *error)
{
    struct trace_inputs *inputs = trace_inputs_open(reader, error);
    if (!inputs)
        return TRACE_ERROR;
    struct trace_input input;
    int result;
    while ((result = trace_inputs_next(inputs, &input, error)) == 1) {
        struct buffer *out = &content->inputs;
        buffer_put_u8(out, input.kind);
        buffer_put_u8(out, input.has_position);
        buffer_put_u64(out, input.position.event);
        buffer_put_u64(out, input.position.insn);
        buffer_put_varint(out, input.size);
        buffer_put(out, input.payload, input.size);
        content->input_count++;
    }
    trace_inputs_close(inputs);
    return result;
}

static inline void put_check(struct buffer *out, const struct trace_check *check)
{
    buffer_put_u64(out, check->event);
    buffer_put_u8(out, check->kind);
    buffer_put_u8(out, check->size);
    buffer_put_u8(out, check->flags);
    buffer_put_u8(out, check->observed);
    buffer_put_u64(out, check->address);
    buffer_put_u64(out, check->value);
    buffer_put_u64(out, check->insn_delta);
    buffer_put_u8(out, check->chain_low);
    buffer_put_u8(out, check->has_chain);
    buffer_put_u8(out, check->starts_chunk);
    buffer_put_u64(out, check->chain);
    buffer_put_u64(out, check->seed);
}

static inline int content_checks(
    const struct trace_reader *reader, struct content *content, struct error *error)
{
    struct trace_checks *checks = trace_checks_open(reader, error);
    if (!checks)
        return TRACE_ERROR;
    struct trace_check check;
    int result;
    while ((result = trace_checks_next(checks, &check, error)) == 1) {
        put_check(&content->checks, &check);
        content->check_count++;
    }
    trace_checks_close(checks);
    return result;
}

static inline int content_notes(
    const struct trace_reader *reader, struct content *content, struct error *error)
{
    struct trace_notes *notes = trace_notes_open(reader, error);
    if (!notes)
        return TRACE_ERROR;
    struct trace_note note;
    int result;
    while ((result = trace_notes_next(notes, &note, error)) == 1) {
        struct buffer *out = &content->notes;
        buffer_put_u64(out, note.event);
        buffer_put_u8(out, note.kind);
        buffer_put_varint(out, note.size);
        buffer_put(out, note.payload, note.size);
    }
    trace_notes_close(notes);
    return result;
}

/* Reads all there is: 0, or the first error met. */
static inline int content_read(
    const void *data, size_t size, struct content *content, struct error *error)
{
    memset(content, 0, sizeof *content);
    struct trace_reader *reader;
    int result = trace_reader_open_memory(&reader, data, size, error);
    if (result)
        return result;
    trace_reader_info(reader, &content->info);
    if (content->info.complete)
        buffer_put(&content->end, &content->info.end, sizeof content->info.end);
    result = content_machine(reader, &content->machine, error);
    if (!result)
        result = content_inputs(reader, content, error);
    if (!result)
        result = content_checks(reader, content, error);
    if (!result)
        result = content_notes(reader, content, error);
    trace_reader_close(reader);
    return result;
}

static inline bool buffer_equal(const struct buffer *a, const struct buffer *b)
{
    return a->size == b->size && (!a->size || !memcmp(a->data, b->data, a->size));
}

static inline bool buffer_is_prefix(const struct buffer *a, const struct buffer *b)
{
    return a->size <= b->size && (!a->size || !memcmp(a->data, b->data, a->size));
}

static inline bool content_equal(const struct content *a, const struct content *b)
{
    return buffer_equal(&a->machine, &b->machine) && buffer_equal(&a->inputs, &b->inputs) &&
           buffer_equal(&a->checks, &b->checks) && buffer_equal(&a->notes, &b->notes) &&
           buffer_equal(&a->end, &b->end) && a->info.complete == b->info.complete &&
           a->info.end_event == b->info.end_event && a->info.checked_end == b->info.checked_end &&
           a->info.first_event == b->info.first_event && a->info.has_checks == b->info.has_checks &&
           a->info.stripped == b->info.stripped &&
           a->info.counts_instructions == b->info.counts_instructions;
}

#endif
