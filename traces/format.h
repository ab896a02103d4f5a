/*
 * The fixed parts of a trace file: file header, chunk header, tail. Inside traces/ only; the bytes
 * are described in docs/trace-format.md.
 */
#ifndef TRACES_FORMAT_H
#define TRACES_FORMAT_H

#include "traces/trace.h"

#define FILE_HEADER_SIZE  64
#define CHUNK_HEADER_SIZE 64
#define TAIL_SIZE         32
#define BLOB_PIECE        (1024 * 1024) /* raw bytes of every piece of a blob but the last */
#define INDEX_ENTRY_SIZE  48
#define INDEX_ENTRIES     65536 /* of one index chunk: 3 MiB */

enum { /* of the file header */
    FILE_HAS_CHECKS = 1,
    FILE_STRIPPED = 2,
    FILE_COUNTS_INSTRUCTIONS = 4,
    FILE_STORED = 8,  /* the boot files are in a store */
    FILE_PACKED = 16, /* chunks may be compressed with zstd */
    FILE_FLAGS = 31,
};

enum { /* of a chunk header */
    CHUNK_COMPRESSED = 1,
    CHUNK_CONTINUED = 2, /* INPUTS: more chunks of the same seal follow; certifies nothing */
    CHUNK_ZSTD = 4,      /* in place of CHUNK_COMPRESSED; in a file with FILE_PACKED */
    CHUNK_FLAGS = 7,
};

struct file_header {
    uint16_t version;
    uint16_t architecture;
    uint32_t flags;
    uint64_t first_event;
};

struct tail {
    uint64_t index_offset;
    uint32_t index_chunks;
};

void file_header_encode(const struct file_header *header, uint8_t bytes[FILE_HEADER_SIZE]);
/* `size` is what there is of the file, at most FILE_HEADER_SIZE. */
int file_header_decode(
    struct file_header *header, const uint8_t *bytes, size_t size, struct error *error);

/* `chunk->offset` is not part of the header. The payload is the stored one. */
void chunk_header_encode(
    const struct trace_chunk *chunk, const uint8_t *payload, uint8_t bytes[CHUNK_HEADER_SIZE]);
/* Fills all but `offset`. False when it is not an intact header with sizes in range. */
bool chunk_header_decode(struct trace_chunk *chunk, const uint8_t bytes[CHUNK_HEADER_SIZE]);
bool chunk_payload_intact(
    const uint8_t header[CHUNK_HEADER_SIZE], const uint8_t *payload, size_t size);

/*
 * Puts header and payload, compressed when that makes it smaller, at the end of `out`, and sets the
 * chunk's sizes and its flag of compression. raw_size is at most TRACE_CHUNK_MAX. `packed`: with
 * zstd, as small as it goes. -1: no memory.
 */
int chunk_encode(struct trace_chunk *chunk, const uint8_t *raw, size_t raw_size, bool packed,
    struct buffer *out);

void tail_encode(const struct tail *tail, uint8_t bytes[TAIL_SIZE]);
bool tail_decode(struct tail *tail, const uint8_t bytes[TAIL_SIZE]);

void index_entry_encode(const struct trace_chunk *chunk, struct buffer *out);
void index_entry_decode(struct trace_chunk *chunk, struct reader *in);

/* Same chunk, by everything a header says. */
bool chunk_equal(const struct trace_chunk *a, const struct trace_chunk *b);

void end_encode(const struct trace_end *end, const struct trace_totals *totals, struct buffer *out);
bool end_decode(struct trace_end *end, struct trace_totals *totals, struct reader *in);

/* Adds a chunk to the totals of its kind. */
void totals_add_chunk(struct trace_totals *totals, const struct trace_chunk *chunk);

enum { /* of the first byte of an input record, above the kind */
    INPUT_KIND = 31,
    INPUT_HAS_EVENT = 32,
    INPUT_HAS_INSN = 64,
    INPUT_HAS_PAYLOAD = 128,
};

uint64_t digest64(const void *data, size_t size);

#endif
