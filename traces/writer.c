/* Writes a trace. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "traces/check_codec.h"
#include "traces/config.h"
#include "traces/disk.h"

#define DEFAULT_SEAL      ((size_t)256 * 1024)
#define PART_SIZE         ((size_t)2 * 1024 * 1024)
#define INPUT_FRAMING_MAX 31 /* header byte and three varints */

struct trace_writer {
    struct trace_disk disk;
    size_t seal_bytes;
    bool include_checks;
    bool failed; /* a record or a seal; sticky */
    struct error error;

    uint64_t first_event; /* of what is not yet sealed */
    uint64_t first_time;

    struct buffer inputs;
    struct trace_part_list input_parts; /* those that are full */
    size_t input_part_start;
    uint32_t input_records; /* of the part being filled, as the two below */
    struct trace_position base;
    struct trace_position last; /* of any asynchronous input so far */

    struct check_encoder encoder;
    struct buffer checks; /* parts that are full */
    struct trace_part_list check_parts;
    uint64_t check_part_first;
    uint64_t last_check; /* event of the last check or note so far */
    bool has_check;      /* there was one */

    struct trace_totals totals;        /* records by kind */
    struct trace_totals sealed_totals; /* as of the last seal */
};

static void fail(struct trace_writer *writer, const char *text)
{
    if (!writer->failed)
        error_set(&writer->error, "%s", text);
    writer->failed = true;
}

/* ---- Creation ---- */

static int write_settings(struct trace_writer *writer, const struct trace_config *config,
    const uint8_t *hashes, struct error *error)
{
    struct buffer raw = {0};
    trace_config_encode(config, hashes, &raw);
    struct trace_chunk chunk = {
        .kind = TRACE_CHUNK_CONFIG, .records = (uint32_t)config->setting_count};
    int result;
    if (raw.failed)
        result = error_set(error, "the machine configuration has an unusable key, or no memory");
    else if (raw.size > TRACE_CHUNK_MAX)
        result = error_set(error, "the machine configuration is too large for a trace");
    else
        result = trace_disk_chunk(&writer->disk, &chunk, raw.data, raw.size, error);
    buffer_free(&raw);
    return result;
}

/* The configuration, with the boot files in the store. */
static int write_stored_config(struct trace_writer *writer, const struct trace_config *config,
    const struct trace_store *store, struct error *error)
{
    uint8_t *hashes = calloc(config->blob_count + 1, TRACE_HASH_SIZE);
    int result = hashes ? 0 : error_set(error, "no memory for the trace writer");
    for (size_t i = 0; i < config->blob_count && !result; i++)
        result = trace_store_put(store, config->blobs[i].data, config->blobs[i].size,
            hashes + i * TRACE_HASH_SIZE, error);
    if (!result)
        result = write_settings(writer, config, hashes, error);
    free(hashes);
    return result;
}

/* The configuration, and the boot files after it. */
static int write_config(
    struct trace_writer *writer, const struct trace_config *config, struct error *error)
{
    int result = write_settings(writer, config, NULL, error);
    for (size_t i = 0; i < config->blob_count; i++) {
        const struct trace_blob_source *blob = &config->blobs[i];
        const uint8_t *data = blob->data;
        for (size_t done = 0; done < blob->size && !result; done += BLOB_PIECE) {
            size_t size = blob->size - done < BLOB_PIECE ? blob->size - done : BLOB_PIECE;
            struct trace_chunk chunk = {.kind = TRACE_CHUNK_BLOB, .records = (uint32_t)i};
            result = trace_disk_chunk(&writer->disk, &chunk, data + done, size, error);
        }
    }
    return result;
}

static void start_stretch(struct trace_writer *writer, uint64_t first_event, uint64_t first_time)
{
    assert(first_event >= writer->first_event);
    writer->first_event = first_event;
    writer->first_time = first_time;
    writer->input_part_start = 0;
    writer->input_records = 0;
    writer->base = (struct trace_position){.event = first_event ? first_event - 1 : 0};
    if (writer->include_checks) {
        writer->check_part_first = first_event;
        check_encoder_start(&writer->encoder, first_event);
    }
}

static int begin_file(
    struct trace_writer *writer, const struct trace_writer_options *options, struct error *error)
{
    static const struct trace_config empty;
    struct file_header header = {.version = TRACE_VERSION,
        .architecture = TRACE_ARCHITECTURE_X86_64,
        .flags = (options->include_checks ? FILE_HAS_CHECKS : 0u) |
                 (options->counts_instructions ? FILE_COUNTS_INSTRUCTIONS : 0u) |
                 (options->store ? FILE_STORED : 0u),
        .first_event = options->first_event};
    if (options->include_checks &&
        check_encoder_init(&writer->encoder, options->counts_instructions))
        return error_set(error, "no memory for the trace writer");
    if (trace_disk_begin(&writer->disk, &header, error))
        return -1;
    const struct trace_config *config = options->config ? options->config : &empty;
    return options->store ? write_stored_config(writer, config, options->store, error)
                          : write_config(writer, config, error);
}

static int free_writer(struct trace_writer *writer, struct error *error)
{
    int result = trace_disk_close(&writer->disk, error);
    check_encoder_free(&writer->encoder);
    buffer_free(&writer->inputs);
    buffer_free(&writer->checks);
    free(writer->input_parts.parts);
    free(writer->check_parts.parts);
    free(writer);
    return result;
}

struct trace_writer *trace_writer_create(
    const struct trace_writer_options *options, struct error *error)
{
    struct trace_writer *writer = calloc(1, sizeof *writer);
    if (!writer) {
        error_set(error, "no memory for the trace writer");
        return NULL;
    }
    writer->include_checks = options->include_checks;
    writer->seal_bytes = options->seal_bytes ? options->seal_bytes : DEFAULT_SEAL;
    if (trace_disk_open(&writer->disk, options, error)) {
        free(writer);
        return NULL;
    }
    if (begin_file(writer, options, error)) {
        free_writer(writer, NULL);
        return NULL;
    }
    start_stretch(writer, options->first_event, 0);
    return writer;
}

/* ---- Inputs ---- */

static bool is_before(const struct trace_position *a, const struct trace_position *b)
{
    return a->event < b->event || (a->event == b->event && a->insn < b->insn);
}

/* Ends the part being filled: more of the same seal follows it. */
static void split_inputs(struct trace_writer *writer)
{
    struct trace_part part = {.size = writer->inputs.size - writer->input_part_start,
        .records = writer->input_records,
        .flags = CHUNK_CONTINUED,
        .first_event = writer->first_event,
        .end_event = writer->first_event,
        .first_time = writer->first_time};
    if (trace_part_add(&writer->input_parts, &part)) {
        fail(writer, "no memory to record inputs");
        return;
    }
    writer->input_part_start = writer->inputs.size;
    writer->input_records = 0;
    writer->base =
        (struct trace_position){.event = writer->first_event ? writer->first_event - 1 : 0};
}

static size_t put_varint(uint8_t *bytes, uint64_t value)
{
    size_t count = 0;
    while (value >= 0x80) {
        bytes[count++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    bytes[count++] = (uint8_t)value;
    return count;
}

/* The position's two deltas; gives the flags that say which are there. */
static uint8_t put_position(
    struct trace_writer *writer, const struct trace_position *at, uint8_t *bytes, size_t *count)
{
    uint64_t events = at->event - writer->base.event;
    uint64_t insns = events ? at->insn : at->insn - writer->base.insn;
    uint8_t flags = 0;
    if (events || !insns) {
        flags |= INPUT_HAS_EVENT;
        *count += put_varint(bytes + *count, events);
    }
    if (insns) {
        flags |= INPUT_HAS_INSN;
        *count += put_varint(bytes + *count, insns);
    }
    writer->base = *at;
    writer->last = *at;
    return flags;
}

void trace_writer_input(struct trace_writer *writer, uint8_t kind, const struct trace_position *at,
    const void *payload, size_t size)
{
    if (writer->failed)
        return;
    if (kind >= TRACE_INPUT_KINDS || size > TRACE_INPUT_MAX) {
        fail(writer, "internal: an input record has a kind or size that the trace cannot hold");
        return;
    }
    if (writer->inputs.size - writer->input_part_start + INPUT_FRAMING_MAX + size > PART_SIZE)
        split_inputs(writer);
    if (at && (is_before(at, &writer->base) || is_before(at, &writer->last))) {
        fail(writer, "internal: the position of an input record goes backwards");
        return;
    }
    uint8_t bytes[INPUT_FRAMING_MAX];
    size_t count = 1;
    bytes[0] = kind;
    if (at)
        bytes[0] |= put_position(writer, at, bytes, &count);
    if (size) {
        bytes[0] |= INPUT_HAS_PAYLOAD;
        count += put_varint(bytes + count, size);
    }
    buffer_put(&writer->inputs, bytes, count);
    buffer_put(&writer->inputs, payload, size);
    if (writer->inputs.failed)
        fail(writer, "no memory to record inputs");
    writer->input_records++;
    writer->totals.input[kind].records++;
    writer->totals.input[kind].bytes += size;
}

void trace_writer_input_buffer(struct trace_writer *writer, uint8_t kind,
    const struct trace_position *at, const struct buffer *payload)
{
    if (payload->failed)
        fail(writer, "no memory to record inputs");
    else
        trace_writer_input(writer, kind, at, payload->data, payload->size);
}

/* ---- Checks ---- */

/* Turns what the encoder holds into a part that covers the events up to `end_event`. */
static void finish_check_part(struct trace_writer *writer, uint64_t end_event)
{
    struct trace_part part = {.records = writer->encoder.checks,
        .first_event = writer->check_part_first,
        .end_event = end_event,
        .first_time = writer->first_time};
    size_t start = writer->checks.size;
    check_encoder_finish(&writer->encoder, &writer->checks);
    part.size = writer->checks.size - start;
    if (writer->encoder.failed || trace_part_add(&writer->check_parts, &part))
        fail(writer, "no memory to record checks");
    else if (part.size > TRACE_CHUNK_MAX)
        fail(writer, "internal: one event has more checks and notes than a chunk can hold");
    writer->check_part_first = end_event;
    check_encoder_start(&writer->encoder, end_event);
}

/* True when a check or note at `event` can be taken. */
static bool admit_event(struct trace_writer *writer, uint64_t event)
{
    if (writer->failed)
        return false;
    if (writer->has_check && event < writer->last_check) {
        fail(writer, "internal: the events of the checks go backwards");
        return false;
    }
    if (event > writer->last_check && event > writer->check_part_first &&
        check_encoder_size(&writer->encoder) > PART_SIZE)
        finish_check_part(writer, event);
    writer->last_check = event;
    writer->has_check = true;
    return !writer->failed;
}

void trace_writer_check(struct trace_writer *writer, const struct trace_check *check)
{
    if (!writer->include_checks)
        return;
    if (check->event < writer->first_event) {
        fail(writer, "internal: a check is for an event that is already sealed");
        return;
    }
    if (!admit_event(writer, check->event))
        return;
    check_encoder_check(&writer->encoder, check);
    writer->totals.check[check->kind].records++;
    writer->totals.observed += check->observed;
}

void trace_writer_note(
    struct trace_writer *writer, uint64_t event, uint8_t kind, const void *payload, size_t size)
{
    if (!writer->include_checks)
        return;
    if (size > TRACE_NOTE_MAX) {
        fail(writer, "internal: a note is larger than the trace can hold");
        return;
    }
    if (!admit_event(writer, event))
        return;
    check_encoder_note(&writer->encoder, event, kind, payload, size);
    writer->totals.note[kind].records++;
    writer->totals.note[kind].bytes += size;
}

/* ---- Sealing ---- */

bool trace_writer_wants_seal(const struct trace_writer *writer)
{
    size_t size = writer->inputs.size;
    if (writer->include_checks)
        size += writer->checks.size + check_encoder_size(&writer->encoder);
    return size >= writer->seal_bytes;
}

static bool has_news(const struct trace_writer *writer, uint64_t end_event)
{
    return end_event > writer->first_event || writer->inputs.size || writer->encoder.checks ||
           writer->encoder.notes || writer->checks.size;
}

static void swap_buffers(struct buffer *a, struct buffer *b)
{
    struct buffer old = *a;
    *a = *b;
    *b = old;
}

static void swap_parts(struct trace_part_list *a, struct trace_part_list *b)
{
    struct trace_part_list old = *a;
    *a = *b;
    *b = old;
}

static int submit(struct trace_writer *writer, uint64_t end_event, struct error *error)
{
    struct trace_part part = {.size = writer->inputs.size - writer->input_part_start,
        .records = writer->input_records,
        .first_event = writer->first_event,
        .end_event = end_event,
        .first_time = writer->first_time};
    if (trace_part_add(&writer->input_parts, &part))
        return error_set(error, "no memory to record inputs");
    if (writer->include_checks)
        finish_check_part(writer, end_event);
    if (writer->failed)
        return error_set(error, "%s", writer->error.text);
    struct trace_job *job = trace_disk_job(&writer->disk);
    if (!job)
        return error_set(error, "no memory to hand the trace to its disk thread");
    swap_buffers(&writer->inputs, &job->inputs);
    swap_buffers(&writer->checks, &job->checks);
    swap_parts(&writer->input_parts, &job->input_parts);
    swap_parts(&writer->check_parts, &job->check_parts);
    return trace_disk_submit(&writer->disk, job, error);
}

int trace_writer_seal(
    struct trace_writer *writer, uint64_t end_event, uint64_t virtual_time, struct error *error)
{
    bool too_early = end_event < writer->first_event ||
                     (writer->encoder.checks && writer->encoder.last_event >= end_event);
    if (!writer->failed && too_early)
        fail(writer, "internal: a seal ends before the events it is to cover");
    if (!writer->failed && has_news(writer, end_event)) {
        if (submit(writer, end_event, &writer->error)) {
            writer->failed = true;
        } else {
            start_stretch(writer, end_event, virtual_time);
            writer->sealed_totals = writer->totals;
        }
    }
    return writer->failed ? error_set(error, "%s", writer->error.text) : 0;
}

uint64_t trace_writer_written(const struct trace_writer *writer)
{
    return atomic_load_explicit(&writer->disk.written, memory_order_relaxed);
}

void trace_writer_publish(struct trace_writer *writer)
{
    atomic_store(&writer->disk.provisional, false);
}

uint64_t trace_writer_bound(struct trace_writer *writer)
{
    uint64_t buffered = writer->inputs.size;
    if (writer->include_checks)
        buffered += writer->checks.size + check_encoder_size(&writer->encoder);
    return trace_disk_bound(&writer->disk) + buffered + buffered / 255;
}

static int write_end(
    struct trace_writer *writer, const struct trace_end *wanted, struct error *error)
{
    struct trace_end end = *wanted;
    struct trace_totals *totals = &writer->sealed_totals;
    /* Nothing was recorded: what has the name now is worth more. */
    if (writer->failed && writer->disk.output.temporary)
        return error_set(error, "%s", writer->error.text);
    if (writer->failed) {
        end.reason = TRACE_END_ERROR;
        memcpy(end.text, writer->error.text, sizeof end.text - 1);
        end.text[sizeof end.text - 1] = 0;
        end.digest_size = 0;
        end.insn = 0;
        end.virtual_time = writer->first_time;
    }
    end.events = writer->first_event;
    totals->configuration = writer->disk.totals.configuration;
    totals->inputs = writer->disk.totals.inputs;
    totals->checks = writer->disk.totals.checks;
    struct buffer raw = {0};
    end_encode(&end, totals, &raw);
    struct trace_chunk chunk = {.kind = TRACE_CHUNK_END,
        .first_event = end.events,
        .end_event = end.events,
        .first_time = end.virtual_time};
    int result = raw.failed ? error_set(error, "no memory for the end record of the trace")
                            : trace_disk_chunk(&writer->disk, &chunk, raw.data, raw.size, error);
    buffer_free(&raw);
    return result ? result : trace_disk_index(&writer->disk, error);
}

int trace_writer_finish(
    struct trace_writer *writer, const struct trace_end *end, struct error *error)
{
    int result = trace_writer_seal(writer, end->events, end->virtual_time, error);
    if (trace_disk_drain(&writer->disk, error) || write_end(writer, end, error))
        result = -1;
    if (free_writer(writer, result ? NULL : error))
        result = -1;
    return result;
}

void trace_writer_abandon(struct trace_writer *writer)
{
    if (writer)
        free_writer(writer, NULL);
}
