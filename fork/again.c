/* Gives a changed guest what a recorded run got. */
#include "fork/again.h"

#include <string.h>

#include "base/random.h"
#include "devices/uart.h"
#include "vmm/machine/nic.h"

/* ---- What is typed ---- */

bool again_has_typed(const struct again *again)
{
    return again->next == again->typed->count;
}

bool again_has_received(const struct again *again)
{
    return again->frame == again->frames->count;
}

bool again_is_done(const struct again *again)
{
    return again_has_typed(again) && again_has_received(again);
}

static const struct typed *next_piece(const struct again *again)
{
    return again_has_typed(again) ? NULL : &again->typed->piece[again->next];
}

static void make_ready(struct again *again, uint64_t now)
{
    again->ready = true;
    again->due = now + next_piece(again)->delay;
}

/* The next piece waits for its line, or for its time alone. */
static void begin_piece(struct again *again)
{
    const struct typed *piece = next_piece(again);
    again->given = again->seen = 0;
    again->ready = false;
    if (piece && !piece->after)
        make_ready(again, again->last_time);
}

static void take_output(void *context, const uint8_t *bytes, size_t count)
{
    struct again *again = context;
    for (size_t i = 0; i < count; i++) {
        const struct typed *piece = next_piece(again);
        if (!cursor_line_put(&again->line, bytes[i]) || !piece || again->ready)
            continue;
        if (cursor_line_equal(&again->line, piece->after) && ++again->seen == piece->times)
            make_ready(again, again->machine ? machine_time(again->machine) : 0);
    }
}

struct byte_sink again_console(struct again *again)
{
    return (struct byte_sink){.put = take_output, .target = again};
}

static size_t room_for_typed(const struct again *again, const struct machine *machine)
{
    return again->ready && uart_listens(machine->uart) ? uart_receive_room(machine->uart) : 0;
}

static bool typed_is_due(const struct again *again, const struct machine *machine)
{
    return room_for_typed(again, machine) > 0 && machine_time(machine) >= again->due;
}

static void take_typed(struct again *again, struct machine *machine, struct delivery *delivery)
{
    const struct typed *piece = next_piece(again);
    size_t left = piece->bytes.size - again->given, room = room_for_typed(again, machine);
    delivery->kind = INPUT_CONSOLE;
    delivery->device = 0;
    delivery->size = left < room ? left : room;
    memcpy(delivery->data, piece->bytes.data + again->given, delivery->size);
    again->given += delivery->size;
    again->last_event = machine->position.event + 1;
    again->last_time = machine_time(machine);
    if (again->given < piece->bytes.size)
        return;
    again->next++;
    begin_piece(again);
}

/* ---- What is received ---- */

/* Events that may be at one time, such as an interrupt and a landing. */
enum { NEAR = 8 };

/* When the next frame comes, as far as time decides; TIMER_IDLE: others have to be sent before. */
static uint64_t frame_time(const struct again *again, const struct machine *machine)
{
    if (again_has_received(again))
        return TIMER_IDLE;
    const struct frame *frame = &again->frames->frame[again->frame];
    bool possible = again->sent >= frame->sent && frame->net < machine->config->net_count;
    return possible ? again->frame_time + frame->delay : TIMER_IDLE;
}

/* The same, of a guest that has room for it. */
static uint64_t frame_due(const struct again *again, const struct machine *machine)
{
    uint64_t due = frame_time(again, machine);
    if (due == TIMER_IDLE)
        return due;
    return nic_can_receive(machine->nic[again->frames->frame[again->frame].net]) ? due : TIMER_IDLE;
}

/* Of the events at one time it is not the first: the same guest gets it at the same one. */
static bool frame_is_held(const struct again *again, const struct machine *machine)
{
    uint64_t next = machine->position.event + 1;
    if (machine_time(machine) != frame_due(again, machine))
        return false;
    const struct frame *frame = &again->frames->frame[again->frame];
    return next < frame->event && frame->event - next <= NEAR;
}

/* A timer that is due as well comes first, as it does where frames come from a host. */
static bool frame_is_due(const struct again *again, const struct machine *machine)
{
    uint64_t now = machine_time(machine);
    return now >= frame_due(again, machine) && now < clock_next_deadline(&machine->clock);
}

static void take_frame(struct again *again, struct machine *machine, struct delivery *delivery)
{
    const struct frame *frame = &again->frames->frame[again->frame++];
    delivery->kind = INPUT_PACKET;
    delivery->device = frame->net;
    delivery->size = frame->bytes.size;
    memcpy(delivery->data, frame->bytes.data, frame->bytes.size);
    again->frame_event = machine->position.event + 1;
    again->frame_time = machine_time(machine);
}

/* The link of a sent frame is that of the recorded one; beyond those there is none. */
static void answer_link(struct again *again, struct input_answer *answer)
{
    enum { EACH = 3 };
    uint8_t *data = answer->data;
    if (again->sent < again->links.size / EACH) {
        const uint8_t *recorded = again->links.data + again->sent * EACH;
        answer->size = recorded[0];
        memcpy(data, recorded + 1, recorded[0]);
    } else {
        answer->size = 1;
        data[0] = NIC_NO_LINK;
    }
    again->sent++;
}

/* ---- The source ---- */

static bool is_due(const struct again *again, const struct machine *machine)
{
    return typed_is_due(again, machine) || frame_is_due(again, machine);
}

static void take_due(struct again *again, struct machine *machine, struct delivery *delivery)
{
    if (typed_is_due(again, machine))
        take_typed(again, machine, delivery);
    else
        take_frame(again, machine, delivery);
}

/* When something comes, as far as time decides. */
static uint64_t next_due(const struct again *again, const struct machine *machine)
{
    uint64_t typed = room_for_typed(again, machine) ? again->due : TIMER_IDLE;
    uint64_t frame = frame_due(again, machine);
    return typed < frame ? typed : frame;
}

static struct again *again_of(struct input_source *source, struct machine *machine)
{
    struct again *again = (struct again *)source;
    again->machine = machine;
    return again;
}

static uint64_t again_clock(struct input_source *source, struct machine *machine)
{
    struct again *again = again_of(source, machine);
    return again->live->ops->clock(again->live, machine);
}

static int again_poll(struct input_source *source, struct machine *machine,
    struct delivery *delivery, struct error *error)
{
    struct again *again = again_of(source, machine);
    if (machine_time(machine) > again->limit) {
        again->late = true;
        machine_request_stop(machine);
    }
    bool held = frame_is_held(again, machine) && !typed_is_due(again, machine);
    if (held || !is_due(again, machine))
        return again->live->ops->poll(again->live, machine, delivery, error);
    take_due(again, machine, delivery);
    return 1;
}

/* A guest that waits is given the time until something comes, unless a timer comes before. */
static int again_wait(struct input_source *source, struct machine *machine,
    struct delivery *delivery, struct error *error)
{
    struct again *again = again_of(source, machine);
    uint64_t deadline = clock_next_deadline(&machine->clock), due = next_due(again, machine);
    if (is_due(again, machine)) {
        take_due(again, machine, delivery);
        return 1;
    }
    if (due == TIMER_IDLE || deadline <= due)
        return again->live->ops->wait(again->live, machine, delivery, error);
    delivery->kind = INPUT_TIME;
    delivery->at_deadline = false;
    delivery->time = due;
    delivery->size = 0;
    return 1;
}

/* A frame that came at an exit leaves the guest the instruction that exits. Room may come up to
 * then. */
static void plan_frame(
    const struct again *again, const struct machine *machine, struct run_plan *plan)
{
    uint64_t now = machine_time(machine), due = frame_time(again, machine);
    if (due == TIMER_IDLE || (due <= now && !frame_is_held(again, machine)))
        return;
    uint64_t budget = due - now + !again->frames->frame[again->frame].landed;
    if (budget < plan->budget)
        plan->budget = budget;
}

static int again_plan(struct input_source *source, struct machine *machine, struct run_plan *plan,
    struct error *error)
{
    struct again *again = again_of(source, machine);
    if (again->live->ops->plan(again->live, machine, plan, error) < 0)
        return -1;
    uint64_t now = machine_time(machine);
    if (room_for_typed(again, machine) && again->due >= now && again->due - now < plan->budget)
        plan->budget = again->due - now;
    plan_frame(again, machine, plan);
    return 0;
}

static int again_landing(struct input_source *source, struct machine *machine,
    const struct vcpu_exit *exit, struct error *error)
{
    struct again *again = again_of(source, machine);
    int wanted = again->live->ops->landing(again->live, machine, exit, error);
    return wanted == 0 && is_due(again, machine) ? 1 : wanted;
}

static void give_entropy(struct again *again, struct input_answer *answer)
{
    uint8_t *data = answer->data;
    for (size_t i = 0; i < answer->size; i++) {
        bool recorded = again->entropy_used < again->entropy.size;
        again->entropy_drawn += !recorded;
        data[i] = recorded ? again->entropy.data[again->entropy_used++]
                           : (uint8_t)(random_draw(&again->random) >> 32);
    }
}

static int again_value(struct input_source *source, struct machine *machine,
    const struct input_question *question, struct input_answer *answer, struct error *error)
{
    struct again *again = again_of(source, machine);
    if (again->live->ops->value(again->live, machine, question, answer, error) < 0)
        return -1;
    if (question->kind == INPUT_ENTROPY && !machine->config->seeded)
        give_entropy(again, answer);
    if (question->kind == INPUT_LINK && answer->capacity >= 2)
        answer_link(again, answer);
    return 0;
}

static bool again_member_failed(
    struct input_source *source, struct machine *machine, uint64_t operation, bool failed)
{
    struct again *again = again_of(source, machine);
    return again->live->ops->member_failed(again->live, machine, operation, failed);
}

static const struct input_source_ops again_ops = {
    .name = "again",
    .replays = false,
    .clock = again_clock,
    .poll = again_poll,
    .wait = again_wait,
    .plan = again_plan,
    .landing = again_landing,
    .value = again_value,
    .member_failed = again_member_failed,
};

/* ---- The trace ---- */

/* What was done to a guest by hand has its place in the old run alone. */
static int take_input(struct again *again, const struct trace_input *input, struct error *error)
{
    switch (input->kind) {
    case INPUT_NMI:
    case INPUT_BREAK:
    case INPUT_REGISTER:
    case INPUT_MEMORY:
        return error_set(error,
            "the recorded run was changed by a fork at event %llu: that cannot be done again",
            (unsigned long long)input->position.event + 1);
    case INPUT_LINK:
        if (input->size < 1 || input->size > 2)
            return error_set(error, "the trace has a link of %zu bytes", input->size);
        buffer_put_u8(&again->links, (uint8_t)input->size);
        buffer_put_u8(&again->links, input->payload[0]);
        buffer_put_u8(&again->links, input->payload[input->size - 1]);
        return again->links.failed ? error_set(error, "out of memory for the links") : 0;
    case INPUT_ENTROPY:
        buffer_put(&again->entropy, input->payload, input->size);
        return again->entropy.failed ? error_set(error, "out of memory for the entropy") : 0;
    default:
        return 0;
    }
}

int again_init(struct again *again, const struct trace_reader *trace,
    const struct typed_list *typed, const struct frame_list *frames, struct input_source *live,
    struct error *error)
{
    *again = (struct again){.source.ops = &again_ops,
        .live = live,
        .typed = typed,
        .frames = frames,
        .limit = UINT64_MAX};
    struct trace_inputs *inputs = trace_inputs_open(trace, error);
    struct trace_input input;
    int result = inputs ? 1 : -1;
    while (result == 1 && (result = trace_inputs_next(inputs, &input, error)) == 1) {
        if (take_input(again, &input, error) < 0)
            result = -1;
    }
    trace_inputs_close(inputs);
    begin_piece(again);
    return result < 0 ? -1 : 0;
}

void again_free(struct again *again)
{
    buffer_free(&again->entropy);
    buffer_free(&again->links);
}
