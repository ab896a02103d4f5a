/* Decodes the checks of a trace. */
#include "traces/check_codec.h"

#include <string.h>

void check_decoder_free(struct check_decoder *decoder)
{
    check_predictor_free(&decoder->predictor);
}

bool check_decoder_start(struct check_decoder *decoder, const uint8_t *raw, size_t size,
    const struct trace_chunk *chunk, bool counts_instructions)
{
    check_predictor_reset(&decoder->predictor);
    struct reader in;
    reader_init(&in, raw, size);
    decoder->seed = reader_get_u64(&in);
    decoder->checks_left = reader_get_u32(&in);
    decoder->notes_left = reader_get_u32(&in);
    uint32_t sizes[COLUMN_COUNT];
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        sizes[i] = reader_get_u32(&in);
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        reader_init(&decoder->columns[i], reader_take(&in, sizes[i]), sizes[i]);
    if (in.failed || reader_left(&in) || decoder->checks_left != chunk->records ||
        decoder->checks_left != sizes[COLUMN_CONTROL])
        return false;
    uint32_t words = (sizes[COLUMN_LOWS] + CHECK_WORD_INTERVAL - 1) / CHECK_WORD_INTERVAL;
    if (sizes[COLUMN_WORDS] != words * 8)
        return false;
    decoder->counts_instructions = counts_instructions;
    decoder->first_event = chunk->first_event;
    decoder->end_event = chunk->end_event;
    decoder->last_event = chunk->first_event - 1;
    decoder->last_note_event = chunk->first_event;
    decoder->observed = 0;
    decoder->starts_chunk = true;
    return true;
}

static void get_observation(struct check_decoder *decoder, struct trace_check *out)
{
    struct reader *lows = &decoder->columns[COLUMN_LOWS];
    out->observed = true;
    out->chain_low = reader_get_u8(lows);
    if (++decoder->observed % CHECK_WORD_INTERVAL == 0 || !reader_left(lows)) {
        out->has_chain = true;
        out->chain = reader_get_u64(&decoder->columns[COLUMN_WORDS]);
        if ((uint8_t)out->chain != out->chain_low)
            lows->failed = true;
    }
}

/* The number of the site that is not the predicted one, or CHECK_NO_SITE. */
static uint32_t get_site(struct check_decoder *decoder, bool *no_memory)
{
    struct check_predictor *predictor = &decoder->predictor;
    uint64_t number = reader_get_varint(&decoder->columns[COLUMN_SITES]);
    if (number > predictor->site_count)
        return CHECK_NO_SITE;
    if (number < predictor->site_count)
        return (uint32_t)number;
    struct reader *definitions = &decoder->columns[COLUMN_DEFINITIONS];
    struct check_site site = {.kind = reader_get_u8(definitions)};
    site.size = reader_get_u8(definitions);
    site.flags = reader_get_u8(definitions);
    site.address = reader_get_varint(definitions);
    if (definitions->failed)
        return CHECK_NO_SITE;
    uint32_t added = check_predictor_add(predictor, &site);
    *no_memory = added == CHECK_NO_SITE;
    return added;
}

static bool columns_failed(const struct check_decoder *decoder)
{
    bool failed = false;
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        failed |= decoder->columns[i].failed;
    return failed;
}

static uint64_t get_value(
    struct check_decoder *decoder, uint8_t control, uint64_t predicted, uint64_t last_value)
{
    if (control & CONTROL_BYTE)
        return reader_get_u8(&decoder->columns[COLUMN_BYTES]);
    if (control & CONTROL_VALUE)
        return last_value + (uint64_t)reader_get_signed_varint(&decoder->columns[COLUMN_VALUES]);
    return predicted;
}

static bool get_event(struct check_decoder *decoder, uint8_t control, struct trace_check *out)
{
    uint64_t step = 1;
    if (control & CONTROL_EVENT)
        step = reader_get_varint(&decoder->columns[COLUMN_EVENTS]);
    out->event = decoder->last_event + step;
    /* Before the first event of chunk 0 the last one is -1, so that steps are compared by range. */
    if (out->event < decoder->first_event || out->event >= decoder->end_event ||
        (!decoder->starts_chunk && out->event < decoder->last_event))
        return false;
    decoder->last_event = out->event;
    return true;
}

int check_decoder_next(struct check_decoder *decoder, struct trace_check *out)
{
    if (!decoder->checks_left)
        return 0;
    struct check_predictor *predictor = &decoder->predictor;
    struct check_context *context = check_predictor_context(predictor);
    uint8_t control = reader_get_u8(&decoder->columns[COLUMN_CONTROL]);
    if ((control & ~CONTROL_BITS) || (control & CONTROL_BYTE && control & CONTROL_VALUE))
        return TRACE_DAMAGED;
    memset(out, 0, sizeof *out);
    uint32_t number = context->site;
    if (control & CONTROL_SITE) {
        bool no_memory = false;
        number = get_site(decoder, &no_memory);
        if (no_memory)
            return TRACE_ERROR;
    }
    if (number == CHECK_NO_SITE || !get_event(decoder, control, out))
        return TRACE_DAMAGED;
    const struct check_site *site = &predictor->sites[number];
    out->kind = site->kind;
    out->size = site->size;
    out->flags = site->flags;
    out->address = site->address;
    out->value = get_value(
        decoder, control, check_predicted_value(predictor, context, number), site->last_value);
    out->insn_delta = context->insn_delta;
    if (control & CONTROL_INSN)
        out->insn_delta += (uint64_t)reader_get_signed_varint(&decoder->columns[COLUMN_INSNS]);
    check_predictor_update(predictor, context, number, out->value, out->insn_delta);
    if (!(control & CONTROL_UNOBSERVED))
        get_observation(decoder, out);
    if (columns_failed(decoder) || (!decoder->counts_instructions && out->insn_delta))
        return TRACE_DAMAGED;
    out->starts_chunk = decoder->starts_chunk;
    out->seed = decoder->starts_chunk ? decoder->seed : 0;
    decoder->starts_chunk = false;
    decoder->checks_left--;
    return 1;
}

int check_decoder_note(struct check_decoder *decoder, struct trace_note *out)
{
    if (!decoder->notes_left)
        return 0;
    struct reader *notes = &decoder->columns[COLUMN_NOTES];
    out->event = decoder->last_note_event + (uint64_t)reader_get_signed_varint(notes);
    out->kind = reader_get_u8(notes);
    uint64_t size = reader_get_varint(notes);
    if (notes->failed || size > TRACE_NOTE_MAX)
        return TRACE_DAMAGED;
    out->size = (size_t)size;
    out->payload = reader_take(notes, out->size);
    if (notes->failed)
        return TRACE_DAMAGED;
    decoder->last_note_event = out->event;
    decoder->notes_left--;
    return 1;
}

bool check_decoder_consumed(const struct check_decoder *decoder)
{
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        if (reader_left(&decoder->columns[i]))
            return false;
    }
    return true;
}
