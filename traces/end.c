/* The end record: how the recording ended, and the totals. */
#include "traces/format.h"

#include <string.h>

enum { TOTAL_INPUT, TOTAL_CHECK, TOTAL_NOTE };

void totals_add_chunk(struct trace_totals *totals, const struct trace_chunk *chunk)
{
    struct trace_chunk_total *total;
    if (chunk->kind == TRACE_CHUNK_CONFIG || chunk->kind == TRACE_CHUNK_BLOB)
        total = &totals->configuration;
    else if (chunk->kind == TRACE_CHUNK_INPUTS)
        total = &totals->inputs;
    else if (chunk->kind == TRACE_CHUNK_CHECKS)
        total = &totals->checks;
    else
        return;
    total->chunks++;
    if (total != &totals->configuration)
        total->records += chunk->records;
    total->raw_bytes += chunk->raw_size;
    total->stored_bytes += CHUNK_HEADER_SIZE + (uint64_t)chunk->stored_size;
}

static void put_chunk_total(struct buffer *out, const struct trace_chunk_total *total)
{
    buffer_put_u64(out, total->chunks);
    buffer_put_u64(out, total->records);
    buffer_put_u64(out, total->raw_bytes);
    buffer_put_u64(out, total->stored_bytes);
}

static void get_chunk_total(struct reader *in, struct trace_chunk_total *total)
{
    total->chunks = reader_get_u64(in);
    total->records = reader_get_u64(in);
    total->raw_bytes = reader_get_u64(in);
    total->stored_bytes = reader_get_u64(in);
}

static void put_kinds(
    struct buffer *out, uint8_t class, const struct trace_kind_total *totals, size_t count)
{
    for (size_t kind = 0; kind < count; kind++) {
        if (!totals[kind].records)
            continue;
        buffer_put_u8(out, class);
        buffer_put_u8(out, (uint8_t)kind);
        buffer_put_varint(out, totals[kind].records);
        buffer_put_varint(out, totals[kind].bytes);
    }
}

void end_encode(const struct trace_end *end, const struct trace_totals *totals, struct buffer *out)
{
    size_t digest_size = end->digest_size < TRACE_DIGEST_MAX ? end->digest_size : TRACE_DIGEST_MAX;
    size_t text_size = strnlen(end->text, sizeof end->text - 1);
    buffer_put_u8(out, (uint8_t)end->reason);
    buffer_put_u8(out, (uint8_t)digest_size);
    buffer_put_u16(out, (uint16_t)text_size);
    buffer_put_u32(out, (uint32_t)end->status);
    buffer_put_u32(out, (uint32_t)end->guest_status);
    buffer_put_u64(out, end->events);
    buffer_put_u64(out, end->insn);
    buffer_put_u64(out, end->virtual_time);
    buffer_put(out, end->digest, digest_size);
    buffer_put(out, end->text, text_size);
    put_chunk_total(out, &totals->configuration);
    put_chunk_total(out, &totals->inputs);
    put_chunk_total(out, &totals->checks);
    buffer_put_u64(out, totals->observed);
    put_kinds(out, TOTAL_INPUT, totals->input, TRACE_INPUT_KINDS);
    put_kinds(out, TOTAL_CHECK, totals->check, 256);
    put_kinds(out, TOTAL_NOTE, totals->note, 256);
}

static void get_kinds(struct reader *in, struct trace_totals *totals)
{
    while (reader_left(in)) {
        uint8_t class = reader_get_u8(in);
        uint8_t kind = reader_get_u8(in);
        struct trace_kind_total total = {.records = reader_get_varint(in)};
        total.bytes = reader_get_varint(in);
        if (class == TOTAL_INPUT && kind < TRACE_INPUT_KINDS)
            totals->input[kind] = total;
        else if (class == TOTAL_CHECK)
            totals->check[kind] = total;
        else if (class == TOTAL_NOTE)
            totals->note[kind] = total;
        else
            in->failed = true;
    }
}

bool end_decode(struct trace_end *end, struct trace_totals *totals, struct reader *in)
{
    memset(end, 0, sizeof *end);
    memset(totals, 0, sizeof *totals);
    uint8_t reason = reader_get_u8(in);
    end->digest_size = reader_get_u8(in);
    size_t text_size = reader_get_u16(in);
    if (reason >= TRACE_END_REASON_COUNT || end->digest_size > TRACE_DIGEST_MAX ||
        text_size >= sizeof end->text)
        return false;
    end->reason = reason;
    end->status = (int32_t)reader_get_u32(in);
    end->guest_status = (int32_t)reader_get_u32(in);
    end->events = reader_get_u64(in);
    end->insn = reader_get_u64(in);
    end->virtual_time = reader_get_u64(in);
    reader_get(in, end->digest, end->digest_size);
    reader_get(in, end->text, text_size);
    get_chunk_total(in, &totals->configuration);
    get_chunk_total(in, &totals->inputs);
    get_chunk_total(in, &totals->checks);
    totals->observed = reader_get_u64(in);
    get_kinds(in, totals);
    return !in->failed;
}

const char *trace_end_reason_name(enum trace_end_reason reason)
{
    static const char *const names[TRACE_END_REASON_COUNT] = {
        "complete", "interrupted by a signal", "guest shutdown", "debug exit", "error"};
    return (unsigned)reason < TRACE_END_REASON_COUNT ? names[reason] : "unknown";
}

const char *trace_chunk_kind_name(enum trace_chunk_kind kind)
{
    static const char *const names[] = {
        "none", "configuration", "blob", "inputs", "checks", "end", "index"};
    return (unsigned)kind < sizeof names / sizeof names[0] ? names[kind] : "unknown";
}
