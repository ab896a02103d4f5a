/*
 * The columns of a CHECKS chunk. Encoder and decoder keep the same predictor and feed it the same
 * events, so that an event that goes as predicted costs a control byte of 0, which LZ4 then
 * removes, and the low byte of the chain, which nothing can. docs/trace-format.md has the bytes.
 */
#ifndef TRACES_CHECK_CODEC_H
#define TRACES_CHECK_CODEC_H

#include "traces/trace.h"

#define CHECK_WORD_INTERVAL 64 /* observed events from one full chain word to the next */
#define CHECK_CONTEXTS      256
#define CHECK_NO_SITE       UINT32_MAX
#define CHECKS_PREFIX_SIZE  (8 + 4 + 4 + 4 * COLUMN_COUNT)

enum {                       /* bits of a control byte */
    CONTROL_SITE = 1,        /* not the predicted site: its number is in COLUMN_SITES */
    CONTROL_BYTE = 2,        /* not the predicted value: it is the byte in COLUMN_BYTES */
    CONTROL_VALUE = 4,       /* not the predicted value: the difference is in COLUMN_VALUES */
    CONTROL_INSN = 8,        /* not the predicted delta: the difference is in COLUMN_INSNS */
    CONTROL_UNOBSERVED = 16, /* no digest */
    CONTROL_EVENT = 32,      /* not the next event: the step is in COLUMN_EVENTS */
    CONTROL_BITS = 63,
};

enum check_column {
    COLUMN_CONTROL,
    COLUMN_EVENTS,
    COLUMN_SITES,
    COLUMN_DEFINITIONS,
    COLUMN_BYTES,
    COLUMN_VALUES,
    COLUMN_INSNS,
    COLUMN_LOWS,
    COLUMN_WORDS,
    COLUMN_NOTES,
    COLUMN_COUNT
};

/* What was accessed how. Numbered in order of first appearance in the chunk. */
struct check_site {
    uint64_t address;
    uint64_t last_value;
    uint8_t kind;
    uint8_t size;
    uint8_t flags;
};

/* What followed the last two sites when they last occurred in this order. */
struct check_context {
    uint32_t site;
    uint64_t value;
    uint64_t insn_delta;
};

struct check_predictor {
    struct check_site *sites;
    size_t site_count;
    size_t site_capacity;
    uint32_t previous[2]; /* sites of the last event and of the one before */
    struct check_context contexts[CHECK_CONTEXTS];
};

struct check_prediction {
    struct check_context *context;
    uint64_t value;
    uint64_t insn_delta;
};

void check_predictor_reset(struct check_predictor *predictor);
void check_predictor_free(struct check_predictor *predictor);
/* The number of the new site, or CHECK_NO_SITE when there is no memory. */
uint32_t check_predictor_add(struct check_predictor *predictor, const struct check_site *site);
struct check_context *check_predictor_context(struct check_predictor *predictor);

static inline uint64_t check_predicted_value(
    const struct check_predictor *predictor, const struct check_context *context, uint32_t site)
{
    return context->site == site ? context->value : predictor->sites[site].last_value;
}

static inline void check_predictor_update(struct check_predictor *predictor,
    struct check_context *context, uint32_t site, uint64_t value, uint64_t insn_delta)
{
    *context = (struct check_context){.site = site, .value = value, .insn_delta = insn_delta};
    predictor->sites[site].last_value = value;
    predictor->previous[1] = predictor->previous[0];
    predictor->previous[0] = site;
}

/* ---- Encoder ---- */

struct check_encoder {
    struct check_predictor predictor;
    uint32_t *buckets; /* open addressing over sites: number + 1, 0 = free; a power of two */
    size_t bucket_count;
    struct buffer columns[COLUMN_COUNT];
    bool counts_instructions;
    bool failed; /* no memory */
    uint64_t seed;
    uint64_t chain;
    uint64_t last_event; /* of the last check of the chunk; before the first: base_event */
    uint64_t last_note_event;
    uint64_t observed;
    uint32_t checks;
    uint32_t notes;
};

int check_encoder_init(struct check_encoder *encoder, bool counts_instructions);
void check_encoder_free(struct check_encoder *encoder);
/* Starts a chunk whose first event is `first_event`; the chain goes on. */
void check_encoder_start(struct check_encoder *encoder, uint64_t first_event);
/* Events do not go backwards; the caller has checked that. */
void check_encoder_check(struct check_encoder *encoder, const struct trace_check *check);
void check_encoder_note(
    struct check_encoder *encoder, uint64_t event, uint8_t kind, const void *payload, size_t size);
/* Bytes of the raw payload as it stands. */
size_t check_encoder_size(const struct check_encoder *encoder);
/* Appends the raw payload to `out`; the encoder is to be started anew. */
void check_encoder_finish(struct check_encoder *encoder, struct buffer *out);
/* Bytes of notes in a raw payload that an encoder has finished. */
size_t check_notes_size(const uint8_t *raw, size_t size);

/* ---- Decoder ---- */

struct check_decoder {
    struct check_predictor predictor;
    struct reader columns[COLUMN_COUNT];
    bool counts_instructions;
    uint64_t first_event;
    uint64_t end_event;
    uint64_t last_event;
    uint64_t last_note_event;
    uint64_t seed;
    uint64_t observed;
    uint32_t checks_left;
    uint32_t notes_left;
    bool starts_chunk;
};

void check_decoder_free(struct check_decoder *decoder);
/* `raw` is borrowed until the next start. False: the payload does not parse. */
bool check_decoder_start(struct check_decoder *decoder, const uint8_t *raw, size_t size,
    const struct trace_chunk *chunk, bool counts_instructions);
/* 1, 0 at the end, TRACE_DAMAGED, TRACE_ERROR for no memory. */
int check_decoder_next(struct check_decoder *decoder, struct trace_check *out);
int check_decoder_note(struct check_decoder *decoder, struct trace_note *out);
/* After both came to their end: every column was used up. */
bool check_decoder_consumed(const struct check_decoder *decoder);

#endif
