/* The recorder: an input source and an observer that write a trace. */
#include "recorder/recorder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/arch/cpuid.h"
#include "vmm/machine/landing.h"

/*
 * When a chunk is handed to the disk: after this long, once it holds enough events to compress
 * well, and after the longer time in any case. A recorder that is killed loses no more than that.
 */
enum { SEAL_MS = 100, SEAL_EVENTS = 16384, SEAL_LATEST_MS = 500, SEAL_BYTES = 256 * 1024 };

struct recorder {
    struct input_source source; /* first */
    struct input_source *live;
    struct trace_writer *writer;
    uint64_t clock_unit; /* ns */
    uint64_t last_time;  /* virtual time as replay will know it */
    uint64_t sealed_at;  /* host ms */
    uint64_t sealed_event;
    uint64_t max_size; /* bytes of the file; 0: no limit */
    bool full;
    struct buffer scratch;
};

static size_t seal_bytes(uint64_t max_size)
{
    uint64_t share = max_size / 8;
    return share && share < SEAL_BYTES ? (size_t)share : SEAL_BYTES;
}

static uint64_t coarse_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The scratch buffer as an input record. */
static void write_scratch(
    struct recorder *recorder, enum input_kind kind, const struct trace_position *at)
{
    trace_writer_input_buffer(recorder->writer, (uint8_t)kind, at, &recorder->scratch);
}

static void write_async(
    struct recorder *recorder, const struct machine *machine, enum input_kind kind)
{
    const struct trace_position at = {.event = machine->position.event};
    write_scratch(recorder, kind, &at);
}

static uint64_t write_time(
    struct recorder *recorder, enum input_kind kind, uint64_t now, uint64_t unit)
{
    uint64_t units = now < recorder->last_time ? 0 : (now - recorder->last_time) / unit;
    buffer_clear(&recorder->scratch);
    buffer_put_varint(&recorder->scratch, units);
    write_scratch(recorder, kind, NULL);
    recorder->last_time += units * unit;
    return recorder->last_time;
}

static uint64_t record_clock(struct input_source *source, struct machine *machine)
{
    struct recorder *recorder = (struct recorder *)source;
    uint64_t now = recorder->live->ops->clock(recorder->live, machine);
    return write_time(recorder, INPUT_CLOCK, now, recorder->clock_unit);
}

static uint64_t record_time_stamp(struct input_source *source, struct machine *machine)
{
    struct recorder *recorder = (struct recorder *)source;
    const uint64_t unit = recorder->clock_unit;
    uint64_t now = input_time_stamp(recorder->live, machine);
    return write_time(recorder, INPUT_TSC, now, unit < CLOCK_UNIT_TSC ? unit : CLOCK_UNIT_TSC);
}

static void write_delivery(
    struct recorder *recorder, struct machine *machine, const struct delivery *delivery)
{
    struct buffer *scratch = &recorder->scratch;
    buffer_clear(scratch);
    switch (delivery->kind) {
    case INPUT_TIME:
        if (delivery->at_deadline) {
            recorder->last_time = clock_next_deadline(&machine->clock);
        } else {
            uint64_t time =
                delivery->time < recorder->last_time ? recorder->last_time : delivery->time;
            buffer_put_varint(scratch, time - recorder->last_time);
            recorder->last_time = time;
        }
        break;
    default:
        buffer_put_varint(scratch, delivery->device);
        buffer_put(scratch, delivery->data, delivery->size);
        break;
    }
    write_async(recorder, machine, delivery->kind);
}

static int record_poll(struct input_source *source, struct machine *machine,
    struct delivery *delivery, struct error *error)
{
    struct recorder *recorder = (struct recorder *)source;
    int due = recorder->live->ops->poll(recorder->live, machine, delivery, error);
    if (due > 0)
        write_delivery(recorder, machine, delivery);
    return due;
}

static int record_wait(struct input_source *source, struct machine *machine,
    struct delivery *delivery, struct error *error)
{
    struct recorder *recorder = (struct recorder *)source;
    int due = recorder->live->ops->wait(recorder->live, machine, delivery, error);
    if (due > 0)
        write_delivery(recorder, machine, delivery);
    return due;
}

static int record_plan(struct input_source *source, struct machine *machine, struct run_plan *plan,
    struct error *error)
{
    struct recorder *recorder = (struct recorder *)source;
    return recorder->live->ops->plan(recorder->live, machine, plan, error);
}

static int record_landing(struct input_source *source, struct machine *machine,
    const struct vcpu_exit *exit, struct error *error)
{
    struct recorder *recorder = (struct recorder *)source;
    int wanted = recorder->live->ops->landing(recorder->live, machine, exit, error);
    if (wanted <= 0)
        return wanted;
    buffer_clear(&recorder->scratch);
    if (machine->position.counted) {
        const struct trace_position at = {.event = machine->position.event,
            .insn = machine->engine->retired - machine->position.event_retired};
        trace_writer_input(recorder->writer, INPUT_LANDING, &at, NULL, 0);
        return 1;
    }
    struct landing landing;
    if (landing_capture(machine, &landing, error) < 0)
        return -1;
    landing_save(&landing, &recorder->scratch);
    landing_free(&landing);
    write_async(recorder, machine, INPUT_LANDING);
    return 1;
}

static int record_value(struct input_source *source, struct machine *machine,
    const struct input_question *question, struct input_answer *answer, struct error *error)
{
    struct recorder *recorder = (struct recorder *)source;
    if (recorder->live->ops->value(recorder->live, machine, question, answer, error) < 0)
        return -1;
    trace_writer_input(recorder->writer, (uint8_t)question->kind, NULL, answer->data, answer->size);
    return 0;
}

/* The inner source replays (a fork on its way): its landing belongs into this trace, too. */
static int record_landed(struct input_source *source, struct machine *machine,
    const struct landing *landing, uint64_t insns, struct error *error)
{
    struct recorder *recorder = (struct recorder *)source;
    const struct trace_position at = {.event = machine->position.event, .insn = insns};
    buffer_clear(&recorder->scratch);
    if (!landing->counted)
        landing_save(landing, &recorder->scratch);
    write_scratch(recorder, INPUT_LANDING, &at);
    return recorder->live->ops->landed(recorder->live, machine, landing, insns, error);
}

static bool record_member_failed(
    struct input_source *source, struct machine *machine, uint64_t operation, bool failed)
{
    struct recorder *recorder = (struct recorder *)source;
    failed = recorder->live->ops->member_failed(recorder->live, machine, operation, failed);
    if (failed) {
        buffer_clear(&recorder->scratch);
        buffer_put_varint(&recorder->scratch, operation);
        write_scratch(recorder, INPUT_MEMBER, NULL);
    }
    return failed;
}

static const struct input_source_ops record_ops = {
    .name = "record",
    .replays = false,
    .clock = record_clock,
    .time_stamp = record_time_stamp,
    .poll = record_poll,
    .wait = record_wait,
    .plan = record_plan,
    .landing = record_landing,
    .landed = record_landed,
    .value = record_value,
    .member_failed = record_member_failed,
};

/* Before the next seal could pass the limit. */
static void stop_when_full(struct recorder *recorder, struct machine *machine)
{
    if (!recorder->max_size || recorder->full)
        return;
    uint64_t step = 2 * seal_bytes(recorder->max_size);
    if (trace_writer_bound(recorder->writer) + step < recorder->max_size)
        return;
    recorder->full = true;
    machine_request_stop(machine);
}

/* Every event becomes a check, and now and then what is buffered is sealed. */
static int record_event(
    void *context, struct machine *machine, const struct machine_event *event, struct error *error)
{
    struct recorder *recorder = context;
    const struct trace_check check = {
        .event = event->ordinal,
        .kind = (uint8_t)event->kind,
        .size = event->size,
        .observed = event->digest_kind != DIGEST_NONE,
        .address = event->address,
        .value = event->value,
        .insn_delta = event->counted ? event->insns : 0,
        .digest = event->digest,
    };
    trace_writer_check(recorder->writer, &check);
    uint64_t now = coarse_ms(), passed = now - recorder->sealed_at;
    /* With its first event a trace is one: it takes its name. */
    if (!recorder->sealed_event || trace_writer_wants_seal(recorder->writer) ||
        passed >= SEAL_LATEST_MS ||
        (passed >= SEAL_MS && event->ordinal - recorder->sealed_event >= SEAL_EVENTS)) {
        recorder->sealed_at = now;
        recorder->sealed_event = event->ordinal;
        stop_when_full(recorder, machine);
        return trace_writer_seal(
            recorder->writer, event->ordinal + 1, machine_time(machine), error);
    }
    return 0;
}

static int record_note(void *context, struct machine *machine, uint8_t kind, const uint8_t *data,
    size_t size, struct error *error)
{
    struct recorder *recorder = context;
    (void)error;
    trace_writer_note(recorder->writer, machine->position.event + 1, kind, data, size);
    return 0;
}

static void add_config(struct trace_config *to, const struct recorder_options *options)
{
    trace_config_set(to, "hindsight", "%s", HINDSIGHT_VERSION);
    trace_config_set(to, "machine", "%u", options->config->version);
    trace_config_set(to, "engine", "%s", options->engine);
    trace_config_set(to, "cpu", "%s", CPUID_MODEL);
    if (options->time_from_inputs)
        trace_config_set(to, "time", "inputs");
    if (options->forked_at)
        trace_config_set(to, "forked-at", "%s", options->forked_at);
    struct buffer text = {0};
    config_write(options->config, &text);
    buffer_put_u8(&text, 0);
    if (text.failed) {
        buffer_free(&text);
        to->failed = true;
        return;
    }
    char *rest = (char *)text.data, *line;
    while ((line = strsep(&rest, "\n"))) {
        char *value = strchr(line, '=');
        if (!value)
            continue;
        *value++ = '\0';
        trace_config_set(to, line, "%s", value);
    }
    buffer_free(&text);
    trace_config_set(to, "kernel-name", "%s", options->kernel->name);
    trace_config_add_blob(to, "kernel", options->kernel->data, options->kernel->size);
    for (unsigned i = 0; i < options->module_count; i++) {
        const struct boot_image *module = &options->modules[i];
        char key[32];
        snprintf(key, sizeof key, "%s-name", boot_module_label(i));
        trace_config_set(to, key, "%s", module->name);
        trace_config_add_blob(to, boot_module_label(i), module->data, module->size);
    }
}

struct recorder *recorder_create(const struct recorder_options *options, struct error *error)
{
    struct recorder *recorder = calloc(1, sizeof *recorder);
    if (!recorder) {
        error_set(error, "out of memory");
        return NULL;
    }
    recorder->source.ops = &record_ops;
    recorder->live = options->live;
    recorder->clock_unit = options->counts ? CLOCK_UNIT_COUNTED : CLOCK_UNIT_HOST;
    recorder->sealed_at = coarse_ms();
    recorder->max_size = options->max_size;
    struct trace_config config = {0};
    add_config(&config, options);
    const struct trace_writer_options writer = {
        .path = options->path,
        .sink = options->sink,
        .config = &config,
        .store = options->store,
        .include_checks = options->include_checks,
        .counts_instructions = options->counts,
        .first_event = 1,
        .provisional = options->provisional,
        .seal_bytes = seal_bytes(options->max_size),
    };
    recorder->writer = trace_writer_create(&writer, error);
    trace_config_free(&config);
    if (!recorder->writer) {
        free(recorder);
        return NULL;
    }
    if (recorder->max_size &&
        trace_writer_bound(recorder->writer) + 3 * seal_bytes(recorder->max_size) >
            recorder->max_size) {
        error_set(error, "--max-size is too small: the boot files alone take %llu KiB",
            (unsigned long long)trace_writer_written(recorder->writer) / 1024);
        recorder_abandon(recorder);
        return NULL;
    }
    return recorder;
}

void recorder_publish(struct recorder *recorder)
{
    trace_writer_publish(recorder->writer);
}

bool recorder_is_full(const struct recorder *recorder)
{
    return recorder->full;
}

struct input_source *recorder_source(struct recorder *recorder)
{
    return &recorder->source;
}

int recorder_attach(struct recorder *recorder, struct machine *machine, struct error *error)
{
    const struct machine_observer observer = {
        .event = record_event, .note = record_note, .context = recorder};
    machine_digest_events(machine, true);
    return machine_observe(machine, &observer, error);
}

void recorder_abandon(struct recorder *recorder)
{
    if (!recorder)
        return;
    trace_writer_abandon(recorder->writer);
    buffer_free(&recorder->scratch);
    free(recorder);
}

static enum trace_end_reason end_reason(enum stop_reason stop)
{
    switch (stop) {
    case STOP_DEBUG_EXIT:
        return TRACE_END_DEBUG_EXIT;
    case STOP_SHUTDOWN:
    case STOP_RESET:
        return TRACE_END_GUEST_SHUTDOWN;
    case STOP_INTERRUPTED:
        return TRACE_END_SIGNAL;
    case STOP_FAILED:
        return TRACE_END_ERROR;
    default:
        return TRACE_END_COMPLETE;
    }
}

/* All 32 bits of it, unless the exit status is another part of what was written to the port. */
static int32_t own_status(const struct machine *machine, struct outcome outcome)
{
    uint32_t status = machine->run.status;
    if (outcome.kind == OUTCOME_STATUS && outcome.number != (int)(status & 0xff))
        return outcome.number;
    return (int32_t)status;
}

int recorder_finish(struct recorder *recorder, struct machine *machine, struct outcome outcome,
    const char *text, struct error *error)
{
    struct trace_end end = {
        .reason = end_reason(machine_stopped(machine)),
        .events = machine->position.event + 1,
        .virtual_time = machine_time(machine),
    };
    end.guest_status = outcome_exit_status(outcome);
    int signal = outcome.kind == OUTCOME_INTERRUPTED ? outcome.number : 0;
    if (end.reason == TRACE_END_SIGNAL)
        end.status = signal;
    if (end.reason == TRACE_END_DEBUG_EXIT)
        end.status = own_status(machine, outcome);
    if (end.reason == TRACE_END_SIGNAL && signal == 0)
        end.reason = TRACE_END_COMPLETE;
    if (!text)
        text = recorder->full ? "as large as it may become"
                              : stop_reason_name(machine_stopped(machine));
    snprintf(end.text, sizeof end.text, "%s", text);
    /* Only at an event's boundary is the state one that replay comes to as well. */
    uint64_t digest;
    if (machine->position.at_boundary && !machine->run.pending_more &&
        outcome.kind != OUTCOME_HOST && machine_digest(machine, &digest, NULL) == 0) {
        memcpy(end.digest, &digest, sizeof digest);
        end.digest_size = sizeof digest;
    }
    int result = trace_writer_finish(recorder->writer, &end, error);
    buffer_free(&recorder->scratch);
    free(recorder);
    return result;
}
