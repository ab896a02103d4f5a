/* The network frames that a recorded run received, and when. */
#include "fork/frames.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct finder {
    struct frame_list *list;
    struct trace_inputs *inputs;
    uint64_t sent;
    enum event_kind before; /* the event before */
    bool waited;            /* nothing has been since the guest had waited until `came` */
    uint64_t came;
    uint64_t given; /* when the frame before was */
};

static struct frame *add_frame(struct frame_list *list)
{
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 64;
        struct frame *grown = realloc(list->frame, room * sizeof *grown);
        if (!grown)
            return NULL;
        list->frame = grown;
        list->room = room;
    }
    struct frame *frame = &list->frame[list->count++];
    memset(frame, 0, sizeof *frame);
    return frame;
}

/* The next input of the kind in the trace; frames that the guest sent before it are counted. */
static int next_input(
    struct finder *finder, enum input_kind kind, struct trace_input *input, struct error *error)
{
    int result;
    while ((result = trace_inputs_next(finder->inputs, input, error)) == 1) {
        if (input->kind == kind)
            return 0;
        finder->sent += input->kind == INPUT_LINK;
    }
    return result < 0 ? result : error_set(error, "the trace lacks an input of kind %d", (int)kind);
}

static int put_frame(struct frame *frame, const struct trace_input *input, struct error *error)
{
    struct reader in;
    reader_init(&in, input->payload, input->size);
    uint64_t net = reader_get_varint(&in);
    size_t size = reader_left(&in);
    if (in.failed || net > UINT_MAX || size == 0 || size > DELIVERY_MAX)
        return error_set(error, "the trace has a frame of %zu bytes", size);
    frame->net = (unsigned)net;
    buffer_put(&frame->bytes, reader_take(&in, size), size);
    return frame->bytes.failed ? error_set(error, "out of memory for the received frames") : 0;
}

static int take_packet(struct finder *finder, struct machine *machine,
    const struct machine_event *event, struct error *error)
{
    struct trace_input input;
    int result = next_input(finder, INPUT_PACKET, &input, error);
    if (result < 0)
        return result;
    struct frame_list *list = finder->list;
    struct frame *frame = add_frame(list);
    if (!frame)
        return error_set(error, "out of memory for the received frames");
    frame->sent = finder->sent;
    frame->landed = finder->before == EVENT_LANDING;
    frame->event = event->ordinal;
    frame->time = machine_time(machine);
    frame->delay = (finder->waited ? finder->came : frame->time) - finder->given;
    finder->given = frame->time;
    return put_frame(frame, &input, error);
}

/* A guest that waits is given the time when a frame came; timers may fire before it gets that. */
static int take_time(struct finder *finder, const struct machine_event *event, struct error *error)
{
    struct trace_input input;
    finder->before = event->kind;
    int result = next_input(finder, INPUT_TIME, &input, error);
    if (result < 0 || input.size == 0)
        return result;
    finder->waited = true;
    finder->came = event->value;
    return 0;
}

static int take_event(
    void *context, struct machine *machine, const struct machine_event *event, struct error *error)
{
    struct finder *finder = context;
    int result = 0;
    if (event->kind == EVENT_TIME)
        return take_time(finder, event, error);
    if (event->kind == EVENT_PACKET)
        result = take_packet(finder, machine, event, error);
    finder->waited = false;
    finder->before = event->kind;
    return result;
}

static int find(struct finder *finder, struct replay *replay, bool *damaged, struct error *error)
{
    const struct machine_observer observer = {.event = take_event, .context = finder};
    enum replay_outcome outcome;
    struct machine *machine = replay_machine(replay);
    finder->inputs = trace_inputs_open(replay_trace(replay), error);
    if (!finder->inputs || machine_observe(machine, &observer, error) < 0 ||
        replay_run(replay, POSITION_END, &outcome, damaged, error) < 0)
        return -1;
    if (outcome == REPLAY_DIVERGED)
        return error_set(error, "the trace diverges; see 'hindsight replay'");
    if (machine_stopped(machine) == STOP_INTERRUPTED)
        return error_set(error, "interrupted while received frames are looked for");
    return 0;
}

int frames_find(struct frame_list *list, const char *trace, const struct replay_options *options,
    bool *damaged, struct error *error)
{
    struct finder finder = {.list = list};
    struct replay *replay = replay_open(trace, options, damaged, error);
    int result = replay ? find(&finder, replay, damaged, error) : -1;
    trace_inputs_close(finder.inputs);
    replay_close(replay);
    return result;
}

void frames_free(struct frame_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        buffer_free(&list->frame[i].bytes);
    free(list->frame);
    *list = (struct frame_list){0};
}
