/* Encodes the checks of a trace. */
#include "traces/check_codec.h"

#include <stdlib.h>
#include <string.h>

void check_predictor_reset(struct check_predictor *predictor)
{
    predictor->site_count = 0;
    predictor->previous[0] = 0;
    predictor->previous[1] = 0;
    for (size_t i = 0; i < CHECK_CONTEXTS; i++)
        predictor->contexts[i] = (struct check_context){.site = CHECK_NO_SITE};
}

void check_predictor_free(struct check_predictor *predictor)
{
    free(predictor->sites);
    predictor->sites = NULL;
    predictor->site_count = 0;
    predictor->site_capacity = 0;
}

uint32_t check_predictor_add(struct check_predictor *predictor, const struct check_site *site)
{
    if (predictor->site_count == predictor->site_capacity) {
        size_t capacity = predictor->site_capacity ? predictor->site_capacity * 2 : 64;
        struct check_site *sites = realloc(predictor->sites, capacity * sizeof *sites);
        if (!sites)
            return CHECK_NO_SITE;
        predictor->sites = sites;
        predictor->site_capacity = capacity;
    }
    predictor->sites[predictor->site_count] = *site;
    return (uint32_t)predictor->site_count++;
}

struct check_context *check_predictor_context(struct check_predictor *predictor)
{
    uint32_t hash = predictor->previous[0] * 0x9e3779b1u + predictor->previous[1] * 0x85ebca6bu;
    return &predictor->contexts[hash >> 24];
}

int check_encoder_init(struct check_encoder *encoder, bool counts_instructions)
{
    memset(encoder, 0, sizeof *encoder);
    encoder->counts_instructions = counts_instructions;
    encoder->bucket_count = 256;
    encoder->buckets = calloc(encoder->bucket_count, sizeof *encoder->buckets);
    return encoder->buckets ? 0 : -1;
}

void check_encoder_free(struct check_encoder *encoder)
{
    check_predictor_free(&encoder->predictor);
    free(encoder->buckets);
    encoder->buckets = NULL;
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        buffer_free(&encoder->columns[i]);
}

void check_encoder_start(struct check_encoder *encoder, uint64_t first_event)
{
    check_predictor_reset(&encoder->predictor);
    memset(encoder->buckets, 0, encoder->bucket_count * sizeof *encoder->buckets);
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        buffer_clear(&encoder->columns[i]);
    encoder->seed = encoder->chain;
    encoder->last_event = first_event - 1;
    encoder->last_note_event = first_event;
    encoder->observed = 0;
    encoder->checks = 0;
    encoder->notes = 0;
}

static size_t site_hash(const struct check_site *site)
{
    uint64_t hash = site->address * 0x9e3779b97f4a7c15u;
    hash ^= (uint64_t)site->kind << 16 | (uint64_t)site->size << 8 | site->flags;
    hash *= 0xd6e8feb86659fd93u;
    return (size_t)(hash >> 32);
}

static bool site_is(const struct check_site *site, const struct trace_check *check)
{
    return site->address == check->address && site->kind == check->kind &&
           site->size == check->size && site->flags == check->flags;
}

static void put_in_bucket(struct check_encoder *encoder, uint32_t number)
{
    size_t mask = encoder->bucket_count - 1;
    size_t bucket = site_hash(&encoder->predictor.sites[number]) & mask;
    while (encoder->buckets[bucket])
        bucket = (bucket + 1) & mask;
    encoder->buckets[bucket] = number + 1;
}

static void grow_buckets(struct check_encoder *encoder)
{
    size_t count = encoder->bucket_count * 2;
    uint32_t *buckets = calloc(count, sizeof *buckets);
    if (!buckets) {
        encoder->failed = true;
        return;
    }
    free(encoder->buckets);
    encoder->buckets = buckets;
    encoder->bucket_count = count;
    for (size_t i = 0; i < encoder->predictor.site_count; i++)
        put_in_bucket(encoder, (uint32_t)i);
}

/* The number of the event's site, which is defined when it is new. */
static uint32_t find_site(struct check_encoder *encoder, const struct trace_check *check)
{
    struct check_predictor *predictor = &encoder->predictor;
    struct check_site site = {
        .address = check->address, .kind = check->kind, .size = check->size, .flags = check->flags};
    size_t mask = encoder->bucket_count - 1;
    for (size_t i = site_hash(&site) & mask; encoder->buckets[i]; i = (i + 1) & mask) {
        uint32_t number = encoder->buckets[i] - 1;
        if (site_is(&predictor->sites[number], check))
            return number;
    }
    uint32_t number = check_predictor_add(predictor, &site);
    if (number == CHECK_NO_SITE) {
        encoder->failed = true;
        return number;
    }
    if (predictor->site_count * 2 > encoder->bucket_count)
        grow_buckets(encoder);
    else
        put_in_bucket(encoder, number);
    struct buffer *definitions = &encoder->columns[COLUMN_DEFINITIONS];
    buffer_put_u8(definitions, check->kind);
    buffer_put_u8(definitions, check->size);
    buffer_put_u8(definitions, check->flags);
    buffer_put_varint(definitions, check->address);
    return number;
}

static inline void put_byte(struct buffer *column, uint8_t value)
{
    if (column->size < column->capacity && !column->failed)
        column->data[column->size++] = value;
    else
        buffer_put_u8(column, value);
}

static void observe(struct check_encoder *encoder, const struct trace_check *check)
{
    encoder->chain = trace_chain_step(encoder->chain, check);
    put_byte(&encoder->columns[COLUMN_LOWS], (uint8_t)encoder->chain);
    if (++encoder->observed % CHECK_WORD_INTERVAL == 0)
        buffer_put_u64(&encoder->columns[COLUMN_WORDS], encoder->chain);
}

static uint8_t put_value(struct check_encoder *encoder, const struct trace_check *check,
    uint64_t predicted, uint64_t last_value)
{
    if (check->value == predicted)
        return 0;
    if (check->size <= 1 && check->value <= UINT8_MAX) {
        put_byte(&encoder->columns[COLUMN_BYTES], (uint8_t)check->value);
        return CONTROL_BYTE;
    }
    buffer_put_signed_varint(
        &encoder->columns[COLUMN_VALUES], (int64_t)(check->value - last_value));
    return CONTROL_VALUE;
}

void check_encoder_check(struct check_encoder *encoder, const struct trace_check *check)
{
    struct check_predictor *predictor = &encoder->predictor;
    struct check_context *context = check_predictor_context(predictor);
    uint8_t control = 0;
    uint32_t site = context->site;
    if (site == CHECK_NO_SITE || !site_is(&predictor->sites[site], check)) {
        site = find_site(encoder, check);
        if (encoder->failed)
            return;
        control |= CONTROL_SITE;
        buffer_put_varint(&encoder->columns[COLUMN_SITES], site);
    }
    control |= put_value(encoder, check, check_predicted_value(predictor, context, site),
        predictor->sites[site].last_value);
    uint64_t insn_delta = encoder->counts_instructions ? check->insn_delta : 0;
    if (insn_delta != context->insn_delta) {
        control |= CONTROL_INSN;
        buffer_put_signed_varint(
            &encoder->columns[COLUMN_INSNS], (int64_t)(insn_delta - context->insn_delta));
    }
    if (check->event != encoder->last_event + 1) {
        control |= CONTROL_EVENT;
        buffer_put_varint(&encoder->columns[COLUMN_EVENTS], check->event - encoder->last_event);
    }
    encoder->last_event = check->event;
    check_predictor_update(predictor, context, site, check->value, insn_delta);
    if (check->observed)
        observe(encoder, check);
    else
        control |= CONTROL_UNOBSERVED;
    put_byte(&encoder->columns[COLUMN_CONTROL], control);
    encoder->checks++;
}

void check_encoder_note(
    struct check_encoder *encoder, uint64_t event, uint8_t kind, const void *payload, size_t size)
{
    struct buffer *notes = &encoder->columns[COLUMN_NOTES];
    buffer_put_signed_varint(notes, (int64_t)(event - encoder->last_note_event));
    buffer_put_u8(notes, kind);
    buffer_put_varint(notes, size);
    buffer_put(notes, payload, size);
    encoder->last_note_event = event;
    encoder->notes++;
}

size_t check_encoder_size(const struct check_encoder *encoder)
{
    size_t size = CHECKS_PREFIX_SIZE + 8;
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        size += encoder->columns[i].size;
    return size;
}

void check_encoder_finish(struct check_encoder *encoder, struct buffer *out)
{
    if (encoder->observed % CHECK_WORD_INTERVAL)
        buffer_put_u64(&encoder->columns[COLUMN_WORDS], encoder->chain);
    buffer_put_u64(out, encoder->seed);
    buffer_put_u32(out, encoder->checks);
    buffer_put_u32(out, encoder->notes);
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        buffer_put_u32(out, (uint32_t)encoder->columns[i].size);
        if (encoder->columns[i].failed)
            encoder->failed = true;
    }
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        buffer_put(out, encoder->columns[i].data, encoder->columns[i].size);
    if (out->failed)
        encoder->failed = true;
}

size_t check_notes_size(const uint8_t *raw, size_t size)
{
    struct reader in;
    if (size < CHECKS_PREFIX_SIZE)
        return 0;
    reader_init(&in, raw + 16 + 4 * COLUMN_NOTES, 4);
    return reader_get_u32(&in);
}
