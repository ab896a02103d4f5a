/* The input source that answers from a trace. */
#include "replay/source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/machine/landing.h"

/* The guest went another way than the recording: the message is kept for the report. */
static int diverge(struct replay_source *replay, struct error *error, const char *text)
{
    replay->diverged = true;
    error_set(&replay->why, "%s", text);
    return error_set(error, "%s", text);
}

/* 1: *input is the next one, 0: none left, -1: the trace is damaged, or no memory. */
static int peek(struct replay_source *replay, struct trace_input *input, struct error *error)
{
    int result = trace_inputs_peek(replay->inputs, input, error);
    if (result == TRACE_DAMAGED)
        replay->damaged = true;
    return result < 0 ? -1 : result;
}

static int damaged(struct replay_source *replay, const struct machine *machine, struct error *error)
{
    replay->damaged = true;
    return error_set(
        error, "an input record after event %" PRIu64 " is damaged", machine->position.event);
}

/* Virtual time goes on by so many units, as read from a record. */
static int advance(struct replay_source *replay, struct reader *reader, uint64_t unit)
{
    uint64_t units = reader_get_varint(reader);
    if (reader->failed || units > (TIMER_IDLE - 1 - replay->last_time) / unit)
        return -1;
    replay->last_time += units * unit;
    return 0;
}

static void consume(struct replay_source *replay)
{
    struct trace_input input;
    trace_inputs_next(replay->inputs, &input, NULL);
}

/* The answer to a question of `kind`; -1 when the trace has another one. */
static int next_answer(struct replay_source *replay, enum input_kind kind,
    struct trace_input *input, struct error *error)
{
    int result = peek(replay, input, error);
    if (result < 0)
        return -1;
    if (result == 0 || input->has_position || input->kind != kind)
        return diverge(
            replay, error, "a device asks for an input that the recorded run did not ask for here");
    return 0;
}

/* Virtual time, answered by a record of `kind`. */
static uint64_t replay_time(
    struct replay_source *replay, struct machine *machine, enum input_kind kind, uint64_t unit)
{
    struct trace_input input;
    struct error error;
    if (next_answer(replay, kind, &input, &error) < 0) {
        machine_fail(machine, &error);
        return replay->last_time;
    }
    struct reader reader;
    reader_init(&reader, input.payload, input.size);
    if (advance(replay, &reader, unit) < 0) {
        damaged(replay, machine, &error);
        machine_fail(machine, &error);
        return replay->last_time;
    }
    consume(replay);
    /* Where the engine counts as the recording did, its time must be the recorded one. */
    if (machine->counts_time && machine_time(machine) != replay->last_time) {
        diverge(replay, &error, "virtual time differs from the recorded time");
        machine_fail(machine, &error);
    }
    if (!machine->counts_time)
        machine_set_time(machine, replay->last_time);
    return replay->last_time;
}

static uint64_t replay_clock(struct input_source *source, struct machine *machine)
{
    struct replay_source *replay = (struct replay_source *)source;
    return replay_time(replay, machine, INPUT_CLOCK, replay->clock_unit);
}

static uint64_t replay_time_stamp(struct input_source *source, struct machine *machine)
{
    struct replay_source *replay = (struct replay_source *)source;
    const uint64_t unit = replay->clock_unit;
    return replay_time(replay, machine, INPUT_TSC, unit < CLOCK_UNIT_TSC ? unit : CLOCK_UNIT_TSC);
}

static int decode_delivery(struct replay_source *replay, struct machine *machine,
    const struct trace_input *input, struct delivery *delivery, struct error *error)
{
    struct reader reader;
    reader_init(&reader, input->payload, input->size);
    *delivery = (struct delivery){.kind = (enum input_kind)input->kind};
    if (input->kind == INPUT_TIME) {
        delivery->at_deadline = input->size == 0;
        if (!delivery->at_deadline && advance(replay, &reader, 1) < 0)
            return damaged(replay, machine, error);
        if (delivery->at_deadline && clock_next_deadline(&machine->clock) == TIMER_IDLE)
            return diverge(
                replay, error, "the recorded run fires a timer where none is armed in this one");
        if (delivery->at_deadline)
            replay->last_time = clock_next_deadline(&machine->clock);
        delivery->time = replay->last_time;
    } else {
        delivery->device = (uint32_t)reader_get_varint(&reader);
        delivery->size = reader_left(&reader);
        if (delivery->size > sizeof delivery->data) {
            replay->damaged = true;
            return error_set(
                error, "an input of %zu bytes is more than any device takes", delivery->size);
        }
        reader_get(&reader, delivery->data, delivery->size);
    }
    if (reader.failed)
        return damaged(replay, machine, error);
    consume(replay);
    return 1;
}

static int replay_poll(struct input_source *source, struct machine *machine,
    struct delivery *delivery, struct error *error)
{
    struct replay_source *replay = (struct replay_source *)source;
    struct trace_input input;
    if (machine->position.event >= replay->last_event) {
        machine_stop(machine, STOP_END);
        return 0;
    }
    int result = peek(replay, &input, error);
    if (result < 0)
        return -1;
    if (result == 0 || !input.has_position)
        return 0;
    if (input.position.event < machine->position.event)
        return diverge(replay, error, "an input of the recorded run was due before this position");
    if (input.position.event > machine->position.event || input.kind == INPUT_LANDING)
        return 0;
    return decode_delivery(replay, machine, &input, delivery, error);
}

static int replay_wait(struct input_source *source, struct machine *machine,
    struct delivery *delivery, struct error *error)
{
    struct replay_source *replay = (struct replay_source *)source;
    (void)machine;
    (void)delivery;
    return diverge(
        replay, error, "the guest is halted, and the recorded run has nothing here to wake it");
}

/* The index of the first landing found at `event` or later. */
static size_t find_found(const struct replay_source *replay, uint64_t event)
{
    size_t low = 0, high = replay->found_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (replay->found[middle].event < event)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int keep_found(
    struct replay_source *replay, uint64_t event, uint64_t insns, struct error *error)
{
    if (replay->found_count == replay->found_capacity) {
        size_t capacity = replay->found_capacity ? 2 * replay->found_capacity : 64;
        struct found_landing *found = reallocarray(replay->found, capacity, sizeof *replay->found);
        if (!found)
            return error_set(error, "out of memory for the places of landings");
        replay->found = found;
        replay->found_capacity = capacity;
    }
    size_t at = find_found(replay, event);
    memmove(&replay->found[at + 1], &replay->found[at],
        (replay->found_count - at) * sizeof *replay->found);
    replay->found[at] = (struct found_landing){event, insns};
    replay->found_count++;
    return 0;
}

static int load_landing(
    struct replay_source *replay, const struct trace_input *input, struct error *error)
{
    landing_free(&replay->landing);
    replay->landing_loaded = true;
    if (input->size == 0) {
        replay->landing = (struct landing){.counted = true, .insns = input->position.insn};
        return 0;
    }
    struct reader reader;
    reader_init(&reader, input->payload, input->size);
    if (landing_restore(&replay->landing, &reader, error) < 0) {
        replay->damaged = reader.failed;
        return -1;
    }
    if (input->position.insn) {
        replay->landing.found = true;
        replay->landing.insns = input->position.insn;
        return 0;
    }
    size_t at = find_found(replay, input->position.event);
    if (at < replay->found_count && replay->found[at].event == input->position.event) {
        replay->landing.found = true;
        replay->landing.insns = replay->found[at].insns;
    }
    return 0;
}

static int replay_plan(struct input_source *source, struct machine *machine, struct run_plan *plan,
    struct error *error)
{
    struct replay_source *replay = (struct replay_source *)source;
    struct trace_input input;
    int result = peek(replay, &input, error);
    if (result < 0)
        return -1;
    bool due = result > 0 && input.has_position && input.kind == INPUT_LANDING &&
               input.position.event == machine->position.event;
    if (!due) {
        replay->landing_loaded = false;
        return 0;
    }
    if (!replay->landing_loaded && load_landing(replay, &input, error) < 0)
        return -1;
    plan->landing = &replay->landing;
    return 0;
}

/* A stop that the recorded run did not have is no landing. */
static int replay_landing(struct input_source *source, struct machine *machine,
    const struct vcpu_exit *exit, struct error *error)
{
    (void)source;
    (void)machine;
    (void)exit;
    (void)error;
    return 0;
}

static int replay_landed(struct input_source *source, struct machine *machine,
    const struct landing *landing, uint64_t insns, struct error *error)
{
    struct replay_source *replay = (struct replay_source *)source;
    consume(replay);
    replay->landing_loaded = false;
    if (landing->counted || landing->found || insns == 0)
        return 0;
    return keep_found(replay, machine->position.event, insns, error);
}

static int replay_value(struct input_source *source, struct machine *machine,
    const struct input_question *question, struct input_answer *answer, struct error *error)
{
    struct replay_source *replay = (struct replay_source *)source;
    (void)machine;
    struct trace_input input;
    if (next_answer(replay, question->kind, &input, error) < 0)
        return -1;
    if (input.size > answer->capacity) {
        replay->damaged = true;
        return error_set(error, "an input of %zu bytes is longer than the %zu asked for",
            input.size, answer->capacity);
    }
    if (input.size)
        memcpy(answer->data, input.payload, input.size);
    answer->size = input.size;
    consume(replay);
    return 0;
}

static bool replay_member_failed(
    struct input_source *source, struct machine *machine, uint64_t operation, bool failed)
{
    struct replay_source *replay = (struct replay_source *)source;
    struct trace_input input;
    struct error error;
    (void)failed;
    int result = peek(replay, &input, &error);
    if (result < 0)
        machine_fail(machine, &error);
    if (result <= 0 || input.has_position || input.kind != INPUT_MEMBER)
        return false;
    struct reader reader;
    reader_init(&reader, input.payload, input.size);
    if (reader_get_varint(&reader) != operation || reader.failed)
        return false;
    consume(replay);
    return true;
}

static const struct input_source_ops replay_ops = {
    .name = "replay",
    .replays = true,
    .clock = replay_clock,
    .time_stamp = replay_time_stamp,
    .poll = replay_poll,
    .wait = replay_wait,
    .plan = replay_plan,
    .landing = replay_landing,
    .landed = replay_landed,
    .value = replay_value,
    .member_failed = replay_member_failed,
};

void replay_source_init(
    struct replay_source *source, struct trace_inputs *inputs, const struct trace_info *info)
{
    *source = (struct replay_source){
        .source.ops = &replay_ops,
        .inputs = inputs,
        .last_event = info->end_event ? info->end_event - 1 : 0,
        .clock_unit = info->counts_instructions ? CLOCK_UNIT_COUNTED : CLOCK_UNIT_HOST,
    };
}

void replay_source_free(struct replay_source *source)
{
    landing_free(&source->landing);
    free(source->found);
}
