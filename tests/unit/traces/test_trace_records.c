/* What goes into a trace comes out of it: inputs, checks, notes, seeking, the chain, totals. */
#include "tests/unit/traces/sample.h"

#include <stdlib.h>
#include <xxhash.h>

static struct trace_reader *open_sink(const struct memory_sink *sink)
{
    struct trace_reader *reader;
    struct error error;
    if (trace_reader_open_memory(&reader, sink->bytes.data, sink->bytes.size, &error))
        fail_msg("%s", error.text);
    return reader;
}

static void configuration_comes_back(void **state)
{
    (void)state;
    struct memory_sink sink = {0};
    struct error error;
    struct trace_config config = {0};
    size_t size = 2 * 1024 * 1024 + 77; /* three pieces */
    uint8_t *kernel = malloc(size), *copy = malloc(size);
    assert_true(kernel && copy);
    uint64_t seed = 5;
    for (size_t i = 0; i < size; i++)
        kernel[i] = i < size / 2 ? (uint8_t)next_random(&seed) : (uint8_t)(i / 999);
    trace_config_set(&config, "append", "a=b c=%s", "d");
    trace_config_set(&config, "disk", "1");
    trace_config_set(&config, "disk", "2");
    trace_config_add_blob(&config, "empty", NULL, 0);
    trace_config_add_blob(&config, "kernel", kernel, size);
    trace_config_add_blob(&config, "one", "x", 1);
    struct trace_sink callbacks = memory_sink_callbacks(&sink);
    struct trace_writer_options options = {.sink = &callbacks, .config = &config};
    struct trace_writer *writer = trace_writer_create(&options, &error);
    assert_non_null(writer);
    trace_config_free(&config);
    struct trace_end end = sample_end(0);
    assert_int_equal(trace_writer_finish(writer, &end, &error), 0);
    struct trace_reader *reader = open_sink(&sink);
    assert_string_equal(trace_reader_setting(reader, "append"), "a=b c=d");
    assert_string_equal(trace_reader_setting(reader, "disk"), "1");
    assert_null(trace_reader_setting(reader, "none"));
    const char *key, *value;
    assert_true(trace_reader_setting_at(reader, 2, &key, &value));
    assert_string_equal(value, "2");
    assert_false(trace_reader_setting_at(reader, 3, &key, &value));
    assert_int_equal(trace_reader_find_blob(reader, "kernel"), 1);
    assert_int_equal(trace_reader_find_blob(reader, "kerne"), -1);
    struct trace_blob blob;
    assert_true(trace_reader_blob_at(reader, 1, &blob));
    assert_int_equal(blob.size, size);
    assert_true(blob.digest == XXH3_64bits(kernel, size));
    assert_int_equal(trace_reader_blob(reader, 1, copy, &error), 0);
    assert_memory_equal(copy, kernel, size);
    assert_int_equal(trace_reader_blob(reader, 2, copy, &error), 0);
    assert_int_equal(copy[0], 'x');
    assert_int_equal(trace_verify_reader(reader, NULL, NULL, &error), 0);
    trace_reader_close(reader);
    free(kernel);
    free(copy);
    buffer_free(&sink.bytes);
}

static void unusable_key_is_refused(void **state)
{
    (void)state;
    struct memory_sink sink = {0};
    struct trace_sink callbacks = memory_sink_callbacks(&sink);
    struct trace_config config = {0};
    trace_config_set(&config, "a=b", "c");
    struct trace_writer_options options = {.sink = &callbacks, .config = &config};
    struct error error;
    assert_null(trace_writer_create(&options, &error));
    trace_config_free(&config);
    buffer_free(&sink.bytes);
}

/* ---- Inputs ---- */

struct expected_input {
    uint8_t kind;
    bool has_position;
    struct trace_position position;
    size_t size;
    uint64_t seed; /* of the payload */
};

static void fill(uint8_t *payload, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i++)
        payload[i] = (uint8_t)next_random(&seed);
}

static size_t random_size(uint64_t *seed)
{
    uint64_t choice = next_random(seed) % 1000;
    if (choice < 900)
        return next_random(seed) % 4;
    if (choice < 997)
        return next_random(seed) % 600;
    return next_random(seed) % (TRACE_INPUT_MAX + 1);
}

static void same_input(const struct trace_input *input, const struct expected_input *expected)
{
    static uint8_t payload[TRACE_INPUT_MAX];
    assert_int_equal(input->kind, expected->kind);
    assert_int_equal(input->has_position, expected->has_position);
    if (expected->has_position) {
        assert_true(input->position.event == expected->position.event);
        assert_true(input->position.insn == expected->position.insn);
    }
    assert_int_equal(input->size, expected->size);
    fill(payload, expected->size, expected->seed);
    if (expected->size)
        assert_memory_equal(input->payload, payload, expected->size);
}

#define INPUTS 4000

static void inputs_come_back(void **state)
{
    (void)state;
    static struct expected_input expected[INPUTS];
    static struct trace_cursor cursors[INPUTS];
    static uint8_t payload[TRACE_INPUT_MAX];
    uint64_t seed = 11;
    print_message("seed %llu\n", (unsigned long long)seed);
    struct memory_sink sink = {0};
    struct trace_sink callbacks = memory_sink_callbacks(&sink);
    struct error error;
    struct trace_writer *writer = sample_writer(&callbacks, false, &error);
    assert_non_null(writer);
    struct trace_position at = {0, 0};
    uint64_t sealed = 0;
    for (size_t i = 0; i < INPUTS; i++) {
        struct expected_input *input = &expected[i];
        input->kind = (uint8_t)(next_random(&seed) % TRACE_INPUT_KINDS);
        input->has_position = next_random(&seed) % 2;
        input->size = random_size(&seed);
        input->seed = next_random(&seed);
        if (next_random(&seed) % 3 == 0) {
            at.event += 1 + next_random(&seed) % 300;
            at.insn = next_random(&seed) % 3 ? next_random(&seed) >> (seed % 60) : 0;
        } else if (at.insn < UINT64_MAX / 2) {
            at.insn += next_random(&seed) % 3;
        }
        input->position = at;
        fill(payload, input->size, input->seed);
        trace_writer_input(
            writer, input->kind, input->has_position ? &at : NULL, payload, input->size);
        if (next_random(&seed) % 700 == 0) {
            /* The last event is done with; positions may go on in it (at.event, insn). */
            sealed = at.event + 1;
            assert_int_equal(trace_writer_seal(writer, sealed, sealed, &error), 0);
        }
    }
    struct trace_end end = sample_end(at.event + 1);
    if (trace_writer_finish(writer, &end, &error))
        fail_msg("%s", error.text);
    struct trace_reader *reader = open_sink(&sink);
    struct trace_inputs *inputs = trace_inputs_open(reader, &error);
    struct trace_input input, peeked;
    for (size_t i = 0; i < INPUTS; i++) {
        trace_inputs_save(inputs, &cursors[i]);
        assert_int_equal(trace_inputs_peek(inputs, &peeked, &error), 1);
        same_input(&peeked, &expected[i]);
        assert_int_equal(trace_inputs_next(inputs, &input, &error), 1);
        same_input(&input, &expected[i]);
    }
    assert_int_equal(trace_inputs_peek(inputs, &input, &error), 0);
    assert_int_equal(trace_inputs_next(inputs, &input, &error), 0);
    for (size_t i = 0; i < 300; i++) {
        size_t number = next_random(&seed) % INPUTS;
        trace_inputs_restore(inputs, &cursors[number]);
        for (size_t j = number; j < number + 3 && j < INPUTS; j++) {
            assert_int_equal(trace_inputs_next(inputs, &input, &error), 1);
            same_input(&input, &expected[j]);
        }
    }
    trace_inputs_close(inputs);
    assert_int_equal(trace_verify_reader(reader, NULL, NULL, &error), 0);
    trace_reader_close(reader);
    buffer_free(&sink.bytes);
}

/* A seal of more than a chunk's bytes becomes several chunks; the last of them certifies it. */
static void large_seal_is_split(void **state)
{
    (void)state;
    struct memory_sink sink = {0};
    struct trace_sink callbacks = memory_sink_callbacks(&sink);
    struct error error;
    struct trace_writer *writer = sample_writer(&callbacks, true, &error);
    uint8_t *payload = calloc(1, TRACE_INPUT_MAX);
    assert_true(writer && payload);
    sample_event(writer, 0);
    assert_int_equal(trace_writer_seal(writer, 1, 0, &error), 0);
    for (int i = 0; i < 9; i++) {
        payload[0] = (uint8_t)i;
        trace_writer_input(writer, 3, NULL, payload, TRACE_INPUT_MAX);
    }
    assert_true(trace_writer_wants_seal(writer));
    assert_int_equal(trace_writer_seal(writer, 2, 0, &error), 0);
    assert_false(trace_writer_wants_seal(writer));
    struct trace_end end = sample_end(2);
    assert_int_equal(trace_writer_finish(writer, &end, &error), 0);
    struct trace_reader *reader = open_sink(&sink);
    struct trace_inputs *inputs = trace_inputs_open(reader, &error);
    trace_inputs_seek(inputs, 1);
    struct trace_input input;
    for (int i = 0; i < 9; i++) {
        assert_int_equal(trace_inputs_next(inputs, &input, &error), 1);
        assert_int_equal(input.size, TRACE_INPUT_MAX);
        assert_int_equal(input.payload[0], i);
    }
    assert_int_equal(trace_inputs_next(inputs, &input, &error), 0);
    trace_inputs_close(inputs);
    /* Killed between the parts: the seal did not happen. */
    struct trace_chunk chunk, last = {0};
    size_t parts = 0;
    for (size_t i = 0; trace_reader_chunk(reader, i, &chunk); i++) {
        assert_true(chunk.raw_size <= TRACE_CHUNK_MAX);
        if (chunk.kind == TRACE_CHUNK_INPUTS && chunk.first_event == 1) {
            parts++;
            last = chunk;
        }
    }
    assert_true(parts > 2);
    trace_reader_close(reader);
    sink.bytes.size = (size_t)last.offset;
    reader = open_sink(&sink);
    struct trace_info info;
    trace_reader_info(reader, &info);
    assert_int_equal(info.end_event, 1);
    assert_true(info.lost_bytes > 0);
    inputs = trace_inputs_open(reader, &error);
    assert_int_equal(trace_inputs_next(inputs, &input, &error), 1); /* of event 0 */
    assert_int_equal(trace_inputs_next(inputs, &input, &error), 0);
    trace_inputs_close(inputs);
    trace_reader_close(reader);
    free(payload);
    buffer_free(&sink.bytes);
}

static void wrong_records_fail_the_seal(void **state)
{
    (void)state;
    for (int wrong = 0; wrong < 6; wrong++) {
        struct memory_sink sink = {0};
        struct trace_sink callbacks = memory_sink_callbacks(&sink);
        struct error error;
        struct trace_writer *writer = sample_writer(&callbacks, true, &error);
        assert_non_null(writer);
        for (uint64_t event = 0; event < 10; event++)
            sample_event(writer, event);
        assert_int_equal(trace_writer_seal(writer, 10, 0, &error), 0);
        struct trace_position back = {3, 0};
        struct trace_check check = sample_check(wrong == 3 ? 4 : 10);
        if (wrong == 0)
            trace_writer_input(writer, TRACE_INPUT_KINDS, NULL, NULL, 0);
        else if (wrong == 1)
            trace_writer_input(writer, 0, &back, NULL, 0);
        else if (wrong == 2)
            trace_writer_input(writer, 0, NULL, "", TRACE_INPUT_MAX + 1);
        else if (wrong == 4)
            trace_writer_note(writer, 3, 0, "", 1);
        else
            trace_writer_check(writer, &check);
        assert_int_equal(trace_writer_seal(writer, wrong == 5 ? 10 : 11, 0, &error), -1);
        assert_non_null(strstr(error.text, "internal"));
        struct trace_end end = sample_end(11);
        assert_int_equal(trace_writer_finish(writer, &end, &error), -1);
        struct trace_reader *reader = open_sink(&sink);
        struct trace_info info;
        trace_reader_info(reader, &info);
        assert_int_equal(info.end_event, 10);
        assert_true(info.complete);
        assert_int_equal(info.end.reason, TRACE_END_ERROR);
        assert_non_null(strstr(info.end.text, "internal"));
        assert_int_equal(trace_verify_reader(reader, NULL, NULL, &error), 0);
        trace_reader_close(reader);
        buffer_free(&sink.bytes);
    }
}

/* More chunks than one index chunk lists. */
static void long_index(void **state)
{
    (void)state;
    enum { SEALS = 70000 };
    struct memory_sink sink = {0};
    struct trace_sink callbacks = memory_sink_callbacks(&sink);
    struct error error;
    struct trace_writer *writer = sample_writer(&callbacks, true, &error);
    assert_non_null(writer);
    for (uint64_t event = 0; event < SEALS; event++) {
        trace_writer_input(writer, 5, NULL, &event, 4);
        int result = trace_writer_seal(writer, event + 1, event * 10, &error);
        if (result)
            fail_msg("%s", error.text);
    }
    struct trace_end end = sample_end(SEALS);
    assert_int_equal(trace_writer_finish(writer, &end, &error), 0);
    struct trace_reader *reader = open_sink(&sink);
    struct trace_info info;
    trace_reader_info(reader, &info);
    assert_false(info.rebuilt);
    assert_int_equal(info.chunks, 2 + 2 * SEALS + 1);
    struct trace_inputs *inputs = trace_inputs_open(reader, &error);
    struct trace_input input;
    for (uint64_t event = 0; event < SEALS; event += 997) {
        trace_inputs_seek(inputs, event);
        assert_int_equal(trace_inputs_next(inputs, &input, &error), 1);
        assert_memory_equal(input.payload, &event, 4);
    }
    trace_inputs_close(inputs);
    trace_reader_close(reader);
    /* Without the tail, the index chunks are compared with what the scan finds. */
    sink.bytes.size--;
    reader = open_sink(&sink);
    trace_reader_info(reader, &info);
    assert_true(info.rebuilt && info.complete);
    assert_int_equal(trace_verify_reader(reader, NULL, NULL, &error), 0);
    trace_reader_close(reader);
    buffer_free(&sink.bytes);
}

/* ---- Checks ---- */

#define CHECKS 30000

static void random_check(struct trace_check *check, uint64_t event, uint64_t *seed)
{
    uint64_t choice = next_random(seed);
    *check = (struct trace_check){.event = event,
        .kind = (uint8_t)(choice % 5),
        .size = (uint8_t)(choice >> 8 & 1 ? 1u << (choice >> 9) % 4 : choice >> 16),
        .flags = (uint8_t)(choice >> 24 & 3),
        .observed = choice >> 32 & 7,
        .digest = next_random(seed)};
    check->address = choice >> 40 & 1 ? 0x3f8 + (choice >> 41 & 7) : next_random(seed);
    check->value = choice >> 48 & 1 ? choice >> 49 & 3 : next_random(seed) >> (choice >> 50 & 63);
    check->insn_delta = choice >> 60 & 1 ? 7 : next_random(seed) >> (choice >> 55 & 63);
}

static void same_check(const struct trace_check *found, const struct trace_check *expected)
{
    assert_true(found->event == expected->event);
    assert_int_equal(found->kind, expected->kind);
    assert_int_equal(found->size, expected->size);
    assert_int_equal(found->flags, expected->flags);
    assert_int_equal(found->observed, expected->observed);
    assert_true(found->address == expected->address);
    assert_true(found->value == expected->value);
    assert_true(found->insn_delta == expected->insn_delta);
    assert_true(found->digest == 0);
}

static void write_checks(struct memory_sink *sink, struct trace_check *expected, uint64_t *seed)
{
    struct trace_sink callbacks = memory_sink_callbacks(sink);
    struct error error;
    struct trace_writer *writer = sample_writer(&callbacks, true, &error);
    assert_non_null(writer);
    uint64_t event = 0;
    for (size_t i = 0; i < CHECKS; i++) {
        uint64_t choice = next_random(seed) % 50;
        event += choice == 0 ? next_random(seed) % 1000 : choice == 1 ? 0 : 1;
        random_check(&expected[i], event, seed);
        trace_writer_check(writer, &expected[i]);
        if (i % 9 == 0)
            trace_writer_note(writer, event, (uint8_t)i, &event, i % 8);
        if (i % 3001 == 3000 && trace_writer_seal(writer, event + 1, event, &error))
            fail_msg("%s", error.text);
    }
    struct trace_end end = sample_end(event + 1);
    if (trace_writer_finish(writer, &end, &error))
        fail_msg("%s", error.text);
}

static void read_checks(const struct trace_reader *reader, const struct trace_check *expected)
{
    struct error error;
    struct trace_checks *checks = trace_checks_open(reader, &error);
    struct trace_chain chain = {0};
    struct trace_check check;
    for (size_t i = 0; i < CHECKS; i++) {
        int result = trace_checks_next(checks, &check, &error);
        if (result != 1)
            fail_msg("check %zu: %d %s", i, result, error.text);
        same_check(&check, &expected[i]);
        assert_int_equal(trace_check_compare(&check, &expected[i], true, &chain), 0);
    }
    assert_int_equal(trace_checks_next(checks, &check, &error), 0);
    trace_checks_close(checks);
}

static void checks_come_back(void **state)
{
    (void)state;
    static struct trace_check expected[CHECKS];
    uint64_t seed = 23;
    print_message("seed %llu\n", (unsigned long long)seed);
    struct memory_sink sink = {0};
    write_checks(&sink, expected, &seed);
    struct trace_reader *reader = open_sink(&sink);
    read_checks(reader, expected);
    struct error error;
    struct trace_notes *notes = trace_notes_open(reader, &error);
    struct trace_note note;
    for (size_t i = 0; i < CHECKS; i += 9) {
        assert_int_equal(trace_notes_next(notes, &note, &error), 1);
        assert_true(note.event == expected[i].event);
        assert_int_equal(note.kind, (uint8_t)i);
        assert_int_equal(note.size, i % 8);
        if (note.size)
            assert_memory_equal(note.payload, &expected[i].event, note.size);
    }
    assert_int_equal(trace_notes_next(notes, &note, &error), 0);
    struct trace_checks *checks = trace_checks_open(reader, &error);
    for (int i = 0; i < 60; i++) {
        size_t number = next_random(&seed) % CHECKS;
        uint64_t event = expected[number].event;
        while (number && expected[number - 1].event == event)
            number--;
        assert_int_equal(trace_checks_seek(checks, event, &error), 0);
        struct trace_check check;
        assert_int_equal(trace_checks_next(checks, &check, &error), 1);
        same_check(&check, &expected[number]);
        assert_int_equal(trace_notes_seek(notes, event, &error), 0);
        while (number < CHECKS && number % 9)
            number++;
        if (number < CHECKS) {
            assert_int_equal(trace_notes_next(notes, &note, &error), 1);
            assert_true(note.event == expected[number].event);
        }
    }
    assert_int_equal(trace_checks_seek(checks, UINT64_MAX, &error), 0);
    struct trace_check check;
    assert_int_equal(trace_checks_next(checks, &check, &error), 0);
    trace_checks_close(checks);
    trace_notes_close(notes);
    assert_int_equal(trace_verify_reader(reader, NULL, NULL, &error), 0);
    trace_reader_close(reader);
    buffer_free(&sink.bytes);
}

/* Without seals the writer starts new chunks by itself, between events. */
static void many_checks_in_one_seal(void **state)
{
    (void)state;
    enum { COUNT = 700000 };
    struct memory_sink sink = {0};
    struct trace_sink callbacks = memory_sink_callbacks(&sink);
    struct error error;
    struct trace_writer *writer = sample_writer(&callbacks, true, &error);
    assert_non_null(writer);
    uint64_t seed = 3;
    struct trace_check check;
    for (uint64_t event = 0; event < COUNT; event++) {
        random_check(&check, event, &seed);
        trace_writer_check(writer, &check);
    }
    struct trace_end end = sample_end(COUNT);
    assert_int_equal(trace_writer_finish(writer, &end, &error), 0);
    struct trace_reader *reader = open_sink(&sink);
    struct trace_info info;
    trace_reader_info(reader, &info);
    assert_int_equal(info.checked_end, COUNT);
    assert_true(info.chunks > 5);
    struct trace_checks *checks = trace_checks_open(reader, &error);
    struct trace_chain chain = {0};
    seed = 3;
    for (uint64_t event = 0; event < COUNT; event++) {
        struct trace_check expected;
        random_check(&expected, event, &seed);
        assert_int_equal(trace_checks_next(checks, &check, &error), 1);
        assert_int_equal(trace_check_compare(&check, &expected, true, &chain), 0);
    }
    assert_int_equal(trace_checks_seek(checks, COUNT / 2 + 1, &error), 0);
    assert_int_equal(trace_checks_next(checks, &check, &error), 1);
    assert_int_equal(check.event, COUNT / 2 + 1);
    trace_checks_close(checks);
    trace_reader_close(reader);
    buffer_free(&sink.bytes);
}

/* ---- The chain ---- */

/* docs/trace-format.md, "The chain", by hand. */
static void chain_is_as_documented(void **state)
{
    (void)state;
    struct trace_check check = {.kind = 3,
        .size = 2,
        .address = 0x1122334455667788,
        .value = 0x99aabbccddeeff00,
        .digest = 0x0123456789abcdef};
    static const uint8_t bytes[34] = {0x02, 0, 0, 0, 0, 0, 0, 0x80, 0xef, 0xcd, 0xab, 0x89, 0x67,
        0x45, 0x23, 0x01, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x00, 0xff, 0xee, 0xdd,
        0xcc, 0xbb, 0xaa, 0x99, 3, 2};
    assert_true(trace_chain_step(0x8000000000000002, &check) == XXH3_64bits(bytes, sizeof bytes));
}

/* Events of two runs that differ in state from event 1000 on; where it is seen. */
static void state_difference_is_seen(void **state)
{
    (void)state;
    enum { COUNT = 4000, FIRST = 1000 };
    struct memory_sink sink = {0};
    struct trace_sink callbacks = memory_sink_callbacks(&sink);
    struct error error;
    struct trace_writer *writer = sample_writer(&callbacks, true, &error);
    assert_non_null(writer);
    struct trace_check check = {.observed = true, .size = 1};
    for (check.event = 0; check.event < COUNT; check.event++) {
        check.digest = check.event * 77;
        trace_writer_check(writer, &check);
    }
    struct trace_end end = sample_end(COUNT);
    assert_int_equal(trace_writer_finish(writer, &end, &error), 0);
    struct trace_reader *reader = open_sink(&sink);
    unsigned at_once = 0;
    for (uint64_t variant = 1; variant <= 200; variant++) {
        struct trace_checks *checks = trace_checks_open(reader, &error);
        struct trace_chain chain = {0};
        uint64_t seen = 0;
        struct trace_check recorded;
        while (!seen && trace_checks_next(checks, &recorded, &error) == 1) {
            struct trace_check own = recorded;
            own.digest = recorded.event * 77 + (recorded.event >= FIRST ? variant : 0);
            unsigned difference = trace_check_compare(&recorded, &own, true, &chain);
            assert_int_equal(difference & ~(unsigned)TRACE_DIFFERS_STATE, 0);
            if (difference)
                seen = recorded.event;
        }
        trace_checks_close(checks);
        assert_true(seen >= FIRST && seen <= FIRST / 64 * 64 + 63);
        at_once += seen == FIRST;
    }
    /* 255 of 256 are expected; fewer than 190 of 200 would be a broken low byte. */
    assert_true(at_once > 190);
    trace_reader_close(reader);
    buffer_free(&sink.bytes);
}

/* A chain that is not known is picked up at the next full word, and then finds differences. */
static void chain_is_picked_up(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    struct memory_sink sink = {0};
    struct trace_sink callbacks = memory_sink_callbacks(&sink);
    struct error error;
    struct trace_writer *writer = sample_writer(&callbacks, true, &error);
    assert_non_null(writer);
    struct trace_check check = {.observed = true};
    for (check.event = 0; check.event < COUNT; check.event++)
        trace_writer_check(writer, &check);
    struct trace_end end = sample_end(COUNT);
    assert_int_equal(trace_writer_finish(writer, &end, &error), 0);
    struct trace_reader *reader = open_sink(&sink);
    struct trace_checks *checks = trace_checks_open(reader, &error);
    assert_int_equal(trace_checks_seek(checks, 10, &error), 0);
    struct trace_chain chain = {0};
    struct trace_check recorded;
    while (trace_checks_next(checks, &recorded, &error) == 1) {
        struct trace_check own = recorded;
        own.digest = recorded.event == 20 || recorded.event == 150;
        own.observed = recorded.event != 70;
        unsigned difference = trace_check_compare(&recorded, &own, true, &chain);
        bool known = (recorded.event >= 63 && recorded.event < 70) || recorded.event >= 127;
        assert_int_equal(chain.known, known);
        if (recorded.event == 150)
            assert_int_equal(difference, TRACE_DIFFERS_STATE);
        else if (recorded.event < 150)
            assert_int_equal(difference, 0);
    }
    trace_checks_close(checks);
    trace_reader_close(reader);
    buffer_free(&sink.bytes);
}

static void every_field_is_compared(void **state)
{
    (void)state;
    struct trace_check recorded = {.event = 1, .kind = 2, .size = 4, .address = 8, .value = 16};
    struct trace_chain chain = {0};
    struct trace_check own = recorded;
    assert_int_equal(trace_check_compare(&recorded, &own, true, &chain), 0);
    own.event++;
    assert_int_equal(trace_check_compare(&recorded, &own, true, &chain), TRACE_DIFFERS_EVENT);
    own.kind++;
    own.size++;
    own.flags++;
    own.address++;
    own.value++;
    own.insn_delta++;
    assert_int_equal(trace_check_compare(&recorded, &own, false, &chain),
        TRACE_DIFFERS_EVENT | TRACE_DIFFERS_KIND | TRACE_DIFFERS_SIZE | TRACE_DIFFERS_FLAGS |
            TRACE_DIFFERS_ADDRESS | TRACE_DIFFERS_VALUE);
    own = recorded;
    own.insn_delta = 9;
    assert_int_equal(trace_check_compare(&recorded, &own, true, &chain), TRACE_DIFFERS_INSN);
}

/* ---- The end and the totals ---- */

static void end_and_totals_come_back(void **state)
{
    (void)state;
    struct memory_sink sink = {0};
    struct error error;
    assert_int_equal(write_sample(&sink, true, true, &error), 0);
    struct trace_reader *reader = open_sink(&sink);
    struct trace_info info;
    trace_reader_info(reader, &info);
    struct trace_end expected = sample_end(SAMPLE_EVENTS);
    assert_int_equal(info.end.reason, expected.reason);
    assert_int_equal(info.end.status, expected.status);
    assert_int_equal(info.end.guest_status, expected.guest_status);
    assert_int_equal(info.end.events, expected.events);
    assert_int_equal(info.end.insn, expected.insn);
    assert_int_equal(info.end.virtual_time, expected.virtual_time);
    assert_int_equal(info.end.digest_size, expected.digest_size);
    assert_memory_equal(info.end.digest, expected.digest, sizeof expected.digest);
    assert_string_equal(info.end.text, expected.text);
    assert_true(info.complete && !info.rebuilt && info.has_checks && info.counts_instructions);
    assert_int_equal(info.lost_bytes, 0);
    struct trace_totals totals;
    assert_int_equal(trace_reader_totals(reader, &totals, &error), 0);
    uint64_t events_of[3] = {0}, async = 0, sync = 0, observed = 0, notes = 0;
    for (uint64_t event = 0; event < SAMPLE_EVENTS; event++) {
        events_of[event % 3]++;
        async += event % 4 == 1;
        sync += event % 3 == 0;
        observed += event % 5 != 2;
        notes += event % 6 == 0;
    }
    for (size_t kind = 0; kind < 3; kind++)
        assert_int_equal(totals.check[kind].records, events_of[kind]);
    assert_int_equal(totals.input[1].records, async);
    assert_int_equal(totals.input[1].bytes, async);
    assert_int_equal(totals.input[2].records, sync);
    assert_int_equal(totals.note[9].records, notes);
    assert_int_equal(totals.observed, observed);
    assert_int_equal(totals.inputs.chunks, SAMPLE_SEALS);
    assert_int_equal(totals.inputs.records, async + sync);
    assert_int_equal(totals.checks.records, SAMPLE_EVENTS);
    /* Without the end record they are counted, and are the same. */
    struct trace_chunk chunk;
    assert_true(trace_reader_chunk(reader, info.chunks - 1, &chunk));
    assert_int_equal(chunk.kind, TRACE_CHUNK_END);
    assert_int_equal(trace_reader_event_at(reader, 0), 0);
    assert_int_equal(trace_reader_event_at(reader, 10 * 1000 - 1), 0);
    assert_int_equal(trace_reader_event_at(reader, 10 * 1000), 10);
    assert_int_equal(trace_reader_event_at(reader, UINT64_MAX), 30);
    trace_reader_close(reader);
    sink.bytes.size = (size_t)chunk.offset;
    reader = open_sink(&sink);
    trace_reader_info(reader, &info);
    assert_true(!info.complete && info.rebuilt);
    struct trace_totals counted;
    assert_int_equal(trace_reader_totals(reader, &counted, &error), 0);
    assert_memory_equal(&counted, &totals, sizeof totals);
    trace_reader_close(reader);
    buffer_free(&sink.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configuration_comes_back),
        cmocka_unit_test(unusable_key_is_refused),
        cmocka_unit_test(inputs_come_back),
        cmocka_unit_test(large_seal_is_split),
        cmocka_unit_test(wrong_records_fail_the_seal),
        cmocka_unit_test(long_index),
        cmocka_unit_test(checks_come_back),
        cmocka_unit_test(many_checks_in_one_seal),
        cmocka_unit_test(chain_is_as_documented),
        cmocka_unit_test(state_difference_is_seen),
        cmocka_unit_test(chain_is_picked_up),
        cmocka_unit_test(every_field_is_compared),
        cmocka_unit_test(end_and_totals_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
