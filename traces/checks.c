/* The streams of checks and of notes. */
#include <stdlib.h>

#include "traces/check_codec.h"
#include "traces/reader.h"

#define NOTHING_LOADED SIZE_MAX

/* A walk over the CHECKS chunks. */
struct check_walk {
    const struct trace_reader *reader;
    size_t chunk;  /* the one being read, or to be read next */
    size_t loaded; /* the one that the decoder is in */
    struct buffer raw;
    struct buffer scratch;
    struct check_decoder decoder;
};

struct trace_checks {
    struct check_walk walk;
    bool has_peeked;
    struct trace_check peeked;
};

struct trace_notes {
    struct check_walk walk;
    bool has_peeked;
    struct trace_note peeked;
};

static void walk_to(struct check_walk *walk, size_t chunk)
{
    walk->chunk = chunk;
    walk->loaded = NOTHING_LOADED;
}

static void walk_start(struct check_walk *walk, const struct trace_reader *reader)
{
    walk->reader = reader;
    walk_to(walk, reader_find_chunk(reader, TRACE_CHUNK_CHECKS, 0));
}

static void walk_free(struct check_walk *walk)
{
    buffer_free(&walk->raw);
    buffer_free(&walk->scratch);
    check_decoder_free(&walk->decoder);
}

static void walk_next(struct check_walk *walk)
{
    walk_to(walk, reader_find_chunk(walk->reader, TRACE_CHUNK_CHECKS, walk->chunk + 1));
}

/* 1: the decoder is in a chunk. */
static int walk_load(struct check_walk *walk, struct error *error)
{
    const struct trace_reader *reader = walk->reader;
    if (walk->chunk >= reader->info.chunks)
        return reader_end_of_stream(reader, error);
    if (walk->loaded == walk->chunk)
        return 1;
    const struct trace_chunk *chunk = &reader->chunks[walk->chunk];
    int result = reader_load_chunk(reader, chunk, &walk->raw, &walk->scratch, error);
    if (result)
        return result;
    if (!check_decoder_start(&walk->decoder, walk->raw.data, walk->raw.size, chunk,
            reader->info.counts_instructions))
        return chunk_damaged(chunk, error, "its columns do not parse");
    walk->loaded = walk->chunk;
    return 1;
}

static int walk_failed(const struct check_walk *walk, int result, struct error *error)
{
    if (result == TRACE_DAMAGED)
        return chunk_damaged(
            &walk->reader->chunks[walk->chunk], error, "a check or note does not parse");
    return error_set(error, "no memory to read the trace's checks");
}

static int decode_check(struct check_walk *walk, struct trace_check *out, struct error *error)
{
    for (;;) {
        int result = walk_load(walk, error);
        if (result != 1)
            return result;
        result = check_decoder_next(&walk->decoder, out);
        if (result > 0)
            return result;
        if (result < 0)
            return walk_failed(walk, result, error);
        walk_next(walk);
    }
}

static int decode_note(struct check_walk *walk, struct trace_note *out, struct error *error)
{
    for (;;) {
        int result = walk_load(walk, error);
        if (result != 1)
            return result;
        result = check_decoder_note(&walk->decoder, out);
        if (result > 0)
            return result;
        if (result < 0)
            return walk_failed(walk, result, error);
        walk_next(walk);
    }
}

struct trace_checks *trace_checks_open(const struct trace_reader *reader, struct error *error)
{
    struct trace_checks *checks = calloc(1, sizeof *checks);
    if (!checks) {
        error_set(error, "no memory to read the trace's checks");
        return NULL;
    }
    walk_start(&checks->walk, reader);
    return checks;
}

void trace_checks_close(struct trace_checks *checks)
{
    if (!checks)
        return;
    walk_free(&checks->walk);
    free(checks);
}

int trace_checks_peek(struct trace_checks *checks, struct trace_check *out, struct error *error)
{
    if (!checks->has_peeked) {
        int result = decode_check(&checks->walk, &checks->peeked, error);
        if (result != 1)
            return result;
        checks->has_peeked = true;
    }
    *out = checks->peeked;
    return 1;
}

int trace_checks_next(struct trace_checks *checks, struct trace_check *out, struct error *error)
{
    if (!checks->has_peeked)
        return decode_check(&checks->walk, out, error);
    *out = checks->peeked;
    checks->has_peeked = false;
    return 1;
}

int trace_checks_seek(struct trace_checks *checks, uint64_t event, struct error *error)
{
    checks->has_peeked = false;
    walk_to(&checks->walk, reader_chunk_for(checks->walk.reader, TRACE_CHUNK_CHECKS, event));
    struct trace_check check;
    int result;
    while ((result = trace_checks_peek(checks, &check, error)) == 1 && check.event < event)
        checks->has_peeked = false;
    return result < 0 ? result : TRACE_OK;
}

struct trace_notes *trace_notes_open(const struct trace_reader *reader, struct error *error)
{
    struct trace_notes *notes = calloc(1, sizeof *notes);
    if (!notes) {
        error_set(error, "no memory to read the trace's notes");
        return NULL;
    }
    walk_start(&notes->walk, reader);
    return notes;
}

void trace_notes_close(struct trace_notes *notes)
{
    if (!notes)
        return;
    walk_free(&notes->walk);
    free(notes);
}

int trace_notes_peek(struct trace_notes *notes, struct trace_note *out, struct error *error)
{
    if (!notes->has_peeked) {
        int result = decode_note(&notes->walk, &notes->peeked, error);
        if (result != 1)
            return result;
        notes->has_peeked = true;
    }
    *out = notes->peeked;
    return 1;
}

int trace_notes_next(struct trace_notes *notes, struct trace_note *out, struct error *error)
{
    if (!notes->has_peeked)
        return decode_note(&notes->walk, out, error);
    *out = notes->peeked;
    notes->has_peeked = false;
    return 1;
}

int trace_notes_seek(struct trace_notes *notes, uint64_t event, struct error *error)
{
    notes->has_peeked = false;
    walk_to(&notes->walk, reader_chunk_for(notes->walk.reader, TRACE_CHUNK_CHECKS, event));
    struct trace_note note;
    int result;
    while ((result = trace_notes_peek(notes, &note, error)) == 1 && note.event < event)
        notes->has_peeked = false;
    return result < 0 ? result : TRACE_OK;
}
