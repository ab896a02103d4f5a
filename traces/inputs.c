/* The stream of inputs. */
#include <stdlib.h>

#include "traces/reader.h"

#define NOTHING_LOADED SIZE_MAX

struct trace_inputs {
    const struct trace_reader *reader;
    struct trace_cursor at;
    size_t loaded; /* chunk number whose content is in `raw` */
    struct buffer raw;
    struct buffer scratch;
};

static struct trace_cursor start_of(const struct trace_reader *reader, size_t chunk)
{
    uint64_t first = chunk < reader->info.chunks ? reader->chunks[chunk].first_event : 0;
    return (struct trace_cursor){.chunk = chunk, .position.event = first ? first - 1 : 0};
}

struct trace_inputs *trace_inputs_open(const struct trace_reader *reader, struct error *error)
{
    struct trace_inputs *inputs = calloc(1, sizeof *inputs);
    if (!inputs) {
        error_set(error, "no memory to read the trace's inputs");
        return NULL;
    }
    inputs->reader = reader;
    inputs->loaded = NOTHING_LOADED;
    inputs->at = start_of(reader, reader_find_chunk(reader, TRACE_CHUNK_INPUTS, 0));
    return inputs;
}

void trace_inputs_close(struct trace_inputs *inputs)
{
    if (!inputs)
        return;
    buffer_free(&inputs->raw);
    buffer_free(&inputs->scratch);
    free(inputs);
}

void trace_inputs_seek(struct trace_inputs *inputs, uint64_t event)
{
    inputs->at =
        start_of(inputs->reader, reader_chunk_for(inputs->reader, TRACE_CHUNK_INPUTS, event));
}

void trace_inputs_save(const struct trace_inputs *inputs, struct trace_cursor *cursor)
{
    *cursor = inputs->at;
}

void trace_inputs_restore(struct trace_inputs *inputs, const struct trace_cursor *cursor)
{
    inputs->at = *cursor;
}

/* Makes the chunk at the cursor the loaded one, passing those that are used up. 1, 0 or an error */
static int load_next(struct trace_inputs *inputs, struct error *error)
{
    const struct trace_reader *reader = inputs->reader;
    while (inputs->at.chunk < reader->info.chunks) {
        size_t number = (size_t)inputs->at.chunk;
        if (reader->chunks[number].kind != TRACE_CHUNK_INPUTS)
            return error_set(error, "internal: a place in the trace that is not in its inputs");
        if (inputs->loaded != number) {
            inputs->loaded = NOTHING_LOADED;
            int result = reader_load_chunk(
                reader, &reader->chunks[number], &inputs->raw, &inputs->scratch, error);
            if (result)
                return result;
            inputs->loaded = number;
        }
        if (inputs->at.offset < inputs->raw.size)
            return 1;
        inputs->at = start_of(reader, reader_find_chunk(reader, TRACE_CHUNK_INPUTS, number + 1));
    }
    return reader_end_of_stream(reader, error);
}

/* Advances the position by the record's deltas; false when it leaves 64 bits. */
static bool get_position(struct reader *in, uint8_t first, struct trace_position *position)
{
    uint64_t events = first & INPUT_HAS_EVENT ? reader_get_varint(in) : 0;
    uint64_t insns = first & INPUT_HAS_INSN ? reader_get_varint(in) : 0;
    if (events)
        position->insn = 0;
    return !__builtin_add_overflow(position->event, events, &position->event) &&
           !__builtin_add_overflow(position->insn, insns, &position->insn);
}

static int decode(struct trace_inputs *inputs, struct trace_input *out, struct trace_cursor *next,
    struct error *error)
{
    struct reader in;
    reader_init(&in, inputs->raw.data, inputs->raw.size);
    in.position = (size_t)inputs->at.offset;
    *next = inputs->at;
    uint8_t first = reader_get_u8(&in);
    *out = (struct trace_input){.kind = first & INPUT_KIND};
    bool good = true;
    if (first & (INPUT_HAS_EVENT | INPUT_HAS_INSN)) {
        good = get_position(&in, first, &next->position);
        out->has_position = true;
        out->position = next->position;
    }
    if (first & INPUT_HAS_PAYLOAD) {
        uint64_t size = reader_get_varint(&in);
        if (!size || size > TRACE_INPUT_MAX)
            good = false;
        else
            out->payload = reader_take(&in, (size_t)size);
        out->size = (size_t)size;
    }
    if (!good || in.failed)
        return chunk_damaged(
            &inputs->reader->chunks[inputs->loaded], error, "an input record does not parse");
    next->offset = in.position;
    return 1;
}

int trace_inputs_peek(struct trace_inputs *inputs, struct trace_input *out, struct error *error)
{
    struct trace_cursor next;
    int result = load_next(inputs, error);
    return result == 1 ? decode(inputs, out, &next, error) : result;
}

int trace_inputs_next(struct trace_inputs *inputs, struct trace_input *out, struct error *error)
{
    struct trace_cursor next;
    int result = load_next(inputs, error);
    if (result == 1)
        result = decode(inputs, out, &next, error);
    if (result == 1)
        inputs->at = next;
    return result;
}
