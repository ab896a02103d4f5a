/*
 * Finding the chunks of a trace: by its index, or chunk by chunk from the start when the index is
 * missing or damaged. What runs out of bytes at the end of the file was cut short by the
 * recorder's death; all else that does not fit is damage.
 */
#include <stdlib.h>
#include <string.h>

#include "traces/reader.h"

/* What the order of chunks allows next. */
struct chunk_order {
    bool has_checks;
    bool started; /* an INPUTS chunk was seen */
    bool ended;   /* the END chunk was seen */
    bool continued;
    uint64_t offset; /* where the next chunk begins */
    uint64_t inputs_end;
    uint64_t checks_end;
};

static struct chunk_order order_start(const struct trace_reader *reader, bool has_checks)
{
    return (struct chunk_order){.has_checks = has_checks,
        .offset = FILE_HEADER_SIZE,
        .inputs_end = reader->info.first_event,
        .checks_end = reader->info.first_event};
}

static const char *inputs_out_of_order(struct chunk_order *order, const struct trace_chunk *chunk)
{
    bool continued = chunk->flags & CHUNK_CONTINUED;
    if (chunk->first_event != order->inputs_end)
        return "its events do not follow those before";
    if (order->has_checks && order->checks_end != order->inputs_end)
        return "the checks before it are missing";
    if (continued && chunk->end_event != chunk->first_event)
        return "its range of events is impossible";
    order->started = true;
    order->continued = continued;
    order->inputs_end = chunk->end_event;
    return NULL;
}

static const char *checks_out_of_order(struct chunk_order *order, const struct trace_chunk *chunk)
{
    if (!order->has_checks || order->continued || !order->started)
        return "checks are not expected here";
    if (chunk->first_event != order->checks_end || chunk->end_event > order->inputs_end)
        return "its events do not follow those before";
    order->checks_end = chunk->end_event;
    return NULL;
}

/* Why the chunk cannot stand here, or NULL: it can, and `order` is past it. */
static const char *out_of_order(
    struct chunk_order *order, const struct trace_chunk *chunk, size_t number)
{
    const char *reason = NULL;
    if (chunk->sequence != number)
        return "its sequence number is not the expected one";
    if ((chunk->kind == TRACE_CHUNK_CONFIG) != (number == 0))
        return "the machine configuration is not where it belongs";
    if (chunk->kind != TRACE_CHUNK_INPUTS && chunk->flags & CHUNK_CONTINUED)
        return "its flags are impossible";
    if (chunk->kind == TRACE_CHUNK_BLOB && order->started)
        reason = "a boot file after the first inputs";
    else if (chunk->kind == TRACE_CHUNK_INPUTS)
        reason = inputs_out_of_order(order, chunk);
    else if (chunk->kind == TRACE_CHUNK_CHECKS)
        reason = checks_out_of_order(order, chunk);
    else if (chunk->kind == TRACE_CHUNK_INDEX)
        reason = "an index before the end record";
    else if (chunk->kind == TRACE_CHUNK_END)
        order->ended = true;
    if (!reason && order->ended &&
        (order->continued || (order->has_checks && order->checks_end != order->inputs_end) ||
            chunk->first_event != order->inputs_end || chunk->end_event != order->inputs_end))
        reason = "the end record does not fit the chunks before it";
    order->offset = chunk->offset + CHUNK_HEADER_SIZE + chunk->stored_size;
    return reason;
}

static int add_chunk(
    struct trace_reader *reader, const struct trace_chunk *chunk, struct error *error)
{
    if (reader->info.chunks == reader->capacity) {
        size_t capacity = reader->capacity ? reader->capacity * 2 : 64;
        struct trace_chunk *chunks = realloc(reader->chunks, capacity * sizeof *chunks);
        if (!chunks)
            return error_set(error, "no memory for the list of the trace's chunks");
        reader->chunks = chunks;
        reader->capacity = capacity;
    }
    reader->chunks[reader->info.chunks++] = *chunk;
    return TRACE_OK;
}

/* ---- By the index ---- */

static int read_index_entries(struct trace_reader *reader, struct chunk_order *order,
    const struct trace_chunk *index, struct reader *in, struct error *error)
{
    if (index->raw_size != (uint64_t)index->records * INDEX_ENTRY_SIZE)
        return TRACE_DAMAGED;
    for (uint32_t i = 0; i < index->records; i++) {
        struct trace_chunk chunk = {.sequence = (uint32_t)reader->info.chunks};
        index_entry_decode(&chunk, in);
        if (in->failed || order->ended || chunk.offset != order->offset ||
            out_of_order(order, &chunk, reader->info.chunks))
            return TRACE_DAMAGED;
        if (add_chunk(reader, &chunk, error))
            return TRACE_ERROR;
    }
    return TRACE_OK;
}

static int read_index_chunk(struct trace_reader *reader, struct chunk_order *order,
    uint64_t *offset, struct buffer buffers[2], struct error *error)
{
    uint8_t header[CHUNK_HEADER_SIZE];
    struct trace_chunk chunk = {.offset = *offset};
    uint64_t limit = reader->info.file_size - TAIL_SIZE;
    if (*offset > limit || limit - *offset < CHUNK_HEADER_SIZE)
        return TRACE_DAMAGED;
    int result = reader_read_at(reader, *offset, header, sizeof header, error);
    if (result)
        return result;
    if (!chunk_header_decode(&chunk, header) || chunk.kind != TRACE_CHUNK_INDEX ||
        chunk.stored_size > limit - *offset - CHUNK_HEADER_SIZE)
        return TRACE_DAMAGED;
    result = reader_load_chunk(reader, &chunk, &buffers[0], &buffers[1], error);
    if (result)
        return result;
    struct reader in;
    reader_init(&in, buffers[0].data, buffers[0].size);
    *offset += CHUNK_HEADER_SIZE + chunk.stored_size;
    return read_index_entries(reader, order, &chunk, &in, error);
}

/* TRACE_DAMAGED: there is none. */
static int read_tail(struct trace_reader *reader, struct tail *tail, struct error *error)
{
    uint8_t bytes[TAIL_SIZE];
    uint64_t size = reader->info.file_size;
    if (size < FILE_HEADER_SIZE + TAIL_SIZE)
        return TRACE_DAMAGED;
    int result = reader_read_at(reader, size - TAIL_SIZE, bytes, sizeof bytes, error);
    if (result)
        return result;
    return tail_decode(tail, bytes) ? TRACE_OK : TRACE_DAMAGED;
}

/* TRACE_DAMAGED: no index to go by. */
static int read_index(
    struct trace_reader *reader, const struct tail *tail, bool has_checks, struct error *error)
{
    struct chunk_order order = order_start(reader, has_checks);
    struct buffer buffers[2] = {{0}, {0}};
    uint64_t offset = tail->index_offset;
    int result = TRACE_OK;
    for (uint32_t i = 0; i < tail->index_chunks && !result; i++)
        result = read_index_chunk(reader, &order, &offset, buffers, error);
    buffer_free(&buffers[0]);
    buffer_free(&buffers[1]);
    if (!result && (!order.ended || order.offset != tail->index_offset ||
                       offset != reader->info.file_size - TAIL_SIZE))
        result = TRACE_DAMAGED;
    return result;
}

/* ---- By scanning ---- */

static void note_damage(
    struct trace_reader *reader, const struct trace_chunk *chunk, const char *what)
{
    reader->info.damaged = true;
    chunk_damaged(chunk, &reader->info.damage, what);
}

/* 1: a chunk was added; 0: there is no more. */
static int scan_chunk(struct trace_reader *reader, struct chunk_order *order, struct error *error)
{
    struct trace_chunk chunk = {.offset = order->offset, .sequence = (uint32_t)reader->info.chunks};
    uint64_t left = reader->info.file_size - order->offset;
    if (left < CHUNK_HEADER_SIZE) {
        reader->info.lost_bytes = left;
        return 0;
    }
    uint8_t header[CHUNK_HEADER_SIZE];
    int result = reader_read_at(reader, chunk.offset, header, sizeof header, error);
    if (result)
        return result;
    if (!chunk_header_decode(&chunk, header)) {
        chunk.kind = 0;
        note_damage(reader, &chunk, "checksum error in its header");
        return 0;
    }
    if (chunk.stored_size > left - CHUNK_HEADER_SIZE) {
        reader->info.lost_bytes = left;
        return 0;
    }
    const char *reason = out_of_order(order, &chunk, reader->info.chunks);
    if (reason) {
        note_damage(reader, &chunk, reason);
        return 0;
    }
    result = add_chunk(reader, &chunk, error);
    return result ? result : 1;
}

static int scan(struct trace_reader *reader, bool has_checks, bool has_tail, struct error *error)
{
    struct chunk_order order = order_start(reader, has_checks);
    reader->info.chunks = 0;
    reader->info.rebuilt = true;
    int result = 1;
    while (result == 1 && !order.ended)
        result = scan_chunk(reader, &order, error);
    if (result < 0)
        return result;
    if (has_tail && !order.ended && !reader->info.damaged) {
        /* The recorder came to its end, so that this is not its death. */
        struct trace_chunk chunk = {
            .offset = order.offset, .sequence = (uint32_t)reader->info.chunks};
        note_damage(reader, &chunk, "bytes are missing");
    }
    return TRACE_OK;
}

/* ---- The end ---- */

static int read_end(struct trace_reader *reader, struct error *error)
{
    struct trace_info *info = &reader->info;
    if (!info->chunks || reader->chunks[info->chunks - 1].kind != TRACE_CHUNK_END)
        return TRACE_OK;
    const struct trace_chunk *chunk = &reader->chunks[info->chunks - 1];
    struct buffer raw = {0}, scratch = {0};
    int result = reader_load_chunk(reader, chunk, &raw, &scratch, &info->damage);
    if (!result) {
        struct reader in;
        reader_init(&in, raw.data, raw.size);
        if (!end_decode(&info->end, &reader->totals, &in) || info->end.events != chunk->end_event)
            result = chunk_damaged(chunk, &info->damage, "its content is impossible");
    }
    buffer_free(&raw);
    buffer_free(&scratch);
    if (result == TRACE_ERROR) {
        error_set(error, "%s", info->damage.text);
        return result;
    }
    info->complete = result == TRACE_OK;
    info->damaged = !info->complete;
    if (info->damaged)
        info->chunks--;
    return TRACE_OK;
}

/* Chunks at the end that are parts of a seal whose last part is not there certify nothing. */
static void drop_unfinished_seal(struct trace_reader *reader)
{
    struct trace_info *info = &reader->info;
    while (info->chunks && reader->chunks[info->chunks - 1].flags & CHUNK_CONTINUED) {
        info->chunks--;
        info->lost_bytes += CHUNK_HEADER_SIZE + reader->chunks[info->chunks].stored_size;
    }
}

int reader_find_chunks(struct trace_reader *reader, bool has_checks, struct error *error)
{
    struct tail tail;
    int result = read_tail(reader, &tail, error);
    bool has_tail = !result;
    if (has_tail)
        result = read_index(reader, &tail, has_checks, error);
    if (result == TRACE_DAMAGED)
        result = scan(reader, has_checks, has_tail, error);
    if (!result)
        result = read_end(reader, error);
    if (result)
        return result;
    drop_unfinished_seal(reader);
    struct trace_info *info = &reader->info;
    info->end_event = info->first_event;
    info->checked_end = info->first_event;
    for (size_t i = 0; i < info->chunks; i++) {
        if (reader->chunks[i].kind == TRACE_CHUNK_INPUTS)
            info->end_event = reader->chunks[i].end_event;
        else if (reader->chunks[i].kind == TRACE_CHUNK_CHECKS)
            info->checked_end = reader->chunks[i].end_event;
    }
    return TRACE_OK;
}
