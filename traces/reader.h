/* An open trace, shared by the files of traces/ that read. */
#ifndef TRACES_READER_H
#define TRACES_READER_H

#include "traces/config.h"

struct trace_reader {
    int fd; /* -1 when the bytes are in `memory` */
    const uint8_t *memory;
    struct trace_info info;
    struct trace_chunk *chunks; /* info.chunks of them */
    size_t capacity;
    struct trace_stored_config config;
    struct trace_totals totals; /* valid when info.complete */
    size_t first_blob;          /* chunk number of the first BLOB chunk, when there is one */
};

/* Chunk `chunk` does not read as it should: "damaged trace: chunk N (kind) at offset O: what". */
int chunk_damaged(const struct trace_chunk *chunk, struct error *error, const char *what);

int reader_read_at(const struct trace_reader *reader, uint64_t offset, void *data, size_t size,
    struct error *error);
/*
 * Replaces the content of `raw` by the chunk's uncompressed payload, checked; `scratch` is working
 * memory of the caller.
 */
int reader_load_chunk(const struct trace_reader *reader, const struct trace_chunk *chunk,
    struct buffer *raw, struct buffer *scratch, struct error *error);

/* The next chunk of that kind from number `from` on, or info.chunks. */
size_t reader_find_chunk(
    const struct trace_reader *reader, enum trace_chunk_kind kind, size_t from);
/* The chunk of that kind that covers `event`: the last that begins at or before it, or the first of
 * those that begin at the same event; the first one when none does; info.chunks when there is none.
 */
size_t reader_chunk_for(
    const struct trace_reader *reader, enum trace_chunk_kind kind, uint64_t event);
/* What a stream returns that came past the last chunk: 0 or the damage that is there. */
int reader_end_of_stream(const struct trace_reader *reader, struct error *error);

/* ---- Opening, scan.c ---- */

/* Finds the chunks, by the index or by scanning, and the end record. */
int reader_find_chunks(struct trace_reader *reader, bool has_checks, struct error *error);

#endif
