#include "replay/timeline.h"

#include <stdlib.h>
#include <string.h>

#include "replay/checkpoint.h"
#include "replay/replay.h"

#define DEFAULT_CACHE (512ull << 20)

/* Instructions between checkpoints on the way into new territory; and the distance before a place
 * approached from the future at which the densest of the further ones is left. */
#define SPACING (8ull << 20)
#define DENSE   (16ull << 10)

struct printed {
    uint64_t event;
    uint8_t byte;
};

struct timeline {
    struct replay *replay;
    struct machine *machine;
    struct replay_source *source;
    struct checkpoints *checkpoints;

    /* All that was printed up to the furthest event that was reached. */
    struct buffer printed; /* of struct printed */
    struct buffer text;
    uint64_t printed_event;

    /* The run under way. */
    const struct timeline_condition *conditions;
    unsigned condition_count;
    struct timeline_stop *stop;
    bool hit;        /* an event fulfilled a condition: *stop tells */
    bool skip_start; /* a breakpoint where the run starts is not a hit */
};

/* ---- Console ---- */

static void log_console(void *context, const uint8_t *bytes, size_t count)
{
    struct timeline *timeline = context;
    uint64_t event = timeline->machine ? timeline->machine->event + 1 : 0;
    if (event <= timeline->printed_event)
        return;
    for (size_t i = 0; i < count; i++) {
        const struct printed printed = {event, bytes[i]};
        buffer_put(&timeline->printed, &printed, sizeof printed);
    }
}

/* How many bytes had been printed when `event` was over. */
static size_t printed_by(const struct timeline *timeline, uint64_t event)
{
    const struct printed *list = (const struct printed *)(const void *)timeline->printed.data;
    size_t low = 0, high = timeline->printed.size / sizeof *list;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (list[middle].event <= event)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const uint8_t *timeline_console(struct timeline *timeline, size_t *size)
{
    const struct printed *list = (const struct printed *)(const void *)timeline->printed.data;
    *size = printed_by(timeline, timeline->machine->event);
    buffer_clear(&timeline->text);
    for (size_t i = 0; i < *size; i++)
        buffer_put_u8(&timeline->text, list[i].byte);
    if (timeline->text.failed)
        *size = 0;
    return timeline->text.data;
}

/* Has this very event printed the last byte of the text? */
static bool console_ends_with(const struct timeline *timeline, const char *text)
{
    const struct printed *list = (const struct printed *)(const void *)timeline->printed.data;
    size_t length = strlen(text), size = printed_by(timeline, timeline->machine->event);
    if (length == 0 || size < length || list[size - 1].event != timeline->machine->event)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (list[size - length + i].byte != (uint8_t)text[i])
            return false;
    }
    return true;
}

/* ---- Conditions ---- */

static bool event_matches(const struct timeline *timeline,
    const struct timeline_condition *condition, const struct machine_event *event)
{
    if (condition->kind == CONDITION_EVENT)
        return (condition->event_kinds & (1u << event->kind)) &&
               (!condition->match_address || condition->address == event->address);
    return condition->kind == CONDITION_CONSOLE && console_ends_with(timeline, condition->text);
}

static bool accepts(struct timeline *timeline, const struct timeline_condition *condition)
{
    return !condition->accept || condition->accept(condition->context, timeline);
}

static int see_event(
    void *context, struct machine *machine, const struct machine_event *event, struct error *error)
{
    struct timeline *timeline = context;
    (void)error;
    if (event->ordinal > timeline->printed_event)
        timeline->printed_event = event->ordinal;
    for (unsigned i = 0; i < timeline->condition_count && !timeline->hit; i++) {
        const struct timeline_condition *condition = &timeline->conditions[i];
        if (!event_matches(timeline, condition, event) || !accepts(timeline, condition))
            continue;
        *timeline->stop =
            (struct timeline_stop){.why = TIMELINE_CONDITION, .condition = i, .event = *event};
        timeline->hit = true;
        if (machine->stop == STOP_NONE)
            machine->stop = STOP_BREAKPOINT;
    }
    return 0;
}

static bool covers(const struct timeline_condition *condition, const struct vcpu_exit *exit)
{
    switch (condition->kind) {
    case CONDITION_EXECUTE:
        return exit->kind == EXIT_BREAKPOINT && exit->address == condition->address;
    case CONDITION_WRITE:
    case CONDITION_READ:
    case CONDITION_ACCESS:
        break;
    default:
        return false;
    }
    if (exit->kind != EXIT_WATCHPOINT ||
        (condition->kind != CONDITION_ACCESS &&
            exit->is_write != (condition->kind == CONDITION_WRITE)))
        return false;
    /* A physical range is hit at a linear address that need not look like it. */
    return condition->physical || (exit->address < condition->address + condition->length &&
                                      condition->address < exit->address + exit->size);
}

/* The engine stopped at a breakpoint or watchpoint: is it one of ours, and accepted? */
static bool resolve_hit(struct timeline *timeline)
{
    const struct vcpu_exit exit = timeline->machine->exit;
    for (unsigned i = 0; i < timeline->condition_count; i++) {
        const struct timeline_condition *condition = &timeline->conditions[i];
        if (!covers(condition, &exit) || !accepts(timeline, condition))
            continue;
        *timeline->stop = (struct timeline_stop){
            .why = TIMELINE_CONDITION, .condition = i, .address = exit.address};
        return true;
    }
    return false;
}

static int arm(struct timeline *timeline, const struct timeline_condition *conditions,
    unsigned count, struct error *error)
{
    static const enum break_kind kinds[] = {[CONDITION_EXECUTE] = BREAK_EXECUTE,
        [CONDITION_WRITE] = BREAK_WRITE,
        [CONDITION_READ] = BREAK_READ,
        [CONDITION_ACCESS] = BREAK_ACCESS};
    struct breakpoint list[TIMELINE_MAX_CONDITIONS];
    unsigned used = 0;
    if (count > TIMELINE_MAX_CONDITIONS)
        return error_set(
            error, "at most %d breakpoints and watchpoints are possible", TIMELINE_MAX_CONDITIONS);
    for (unsigned i = 0; i < count; i++) {
        if (conditions[i].kind > CONDITION_ACCESS)
            continue;
        list[used++] = (struct breakpoint){
            .kind = kinds[conditions[i].kind],
            .physical = conditions[i].physical,
            .address = conditions[i].address,
            .length = conditions[i].kind == CONDITION_EXECUTE ? 1 : conditions[i].length,
        };
    }
    timeline->conditions = conditions;
    timeline->condition_count = count;
    return machine_set_breakpoints(timeline->machine, list, used, error);
}

static void disarm(struct timeline *timeline)
{
    timeline->conditions = NULL;
    timeline->condition_count = 0;
    machine_set_breakpoints(timeline->machine, NULL, 0, NULL);
}

/* ---- Running forward ---- */

enum advance {
    ADVANCE_HIT,     /* a condition; *stop tells */
    ADVANCE_REACHED, /* `until` or `retired` */
    ADVANCE_END,
    ADVANCE_INTERRUPTED,
};

/* The replay itself went wrong: the trace and the guest do not agree any more. */
static int explain(struct timeline *timeline, struct error *error)
{
    if (timeline->source->diverged)
        return error_set(error, "the replay diverged from the trace after event %llu: %s",
            (unsigned long long)timeline->machine->event, timeline->source->why.text);
    return -1;
}

static void set_next_slice(struct timeline *timeline, uint64_t retired)
{
    uint64_t now = timeline->machine->engine->retired;
    uint64_t slice = (now / SPACING + 1) * SPACING;
    timeline->machine->retired_limit = slice < retired ? slice : retired;
}

/* Runs on to a hit, a position, a count of instructions, or the end, leaving checkpoints. */
static int advance(struct timeline *timeline, struct position until, uint64_t retired,
    enum advance *how, struct error *error)
{
    struct machine *machine = timeline->machine;
    uint64_t start_retired = machine->engine->retired;
    struct position start = machine_position(machine);
    for (;;) {
        set_next_slice(timeline, retired);
        timeline->hit = false;
        if (machine_run(machine, until, error) < 0)
            return explain(timeline, error);
        bool is_start = machine->engine->retired == start_retired &&
                        position_compare(machine_position(machine), start) == 0;
        if (timeline->hit) {
            *how = ADVANCE_HIT;
            return 0;
        }
        switch (machine->stop) {
        case STOP_BREAKPOINT:
            if (timeline->skip_start && is_start && machine->exit.kind == EXIT_BREAKPOINT)
                continue;
            if (resolve_hit(timeline)) {
                *how = ADVANCE_HIT;
                return 0;
            }
            continue;
        case STOP_INTERRUPTED:
            *how = ADVANCE_INTERRUPTED;
            return 0;
        case STOP_UNTIL:
            if (machine->engine->retired >= retired ||
                position_compare(machine_position(machine), until) >= 0) {
                *how = ADVANCE_REACHED;
                return 0;
            }
            if (checkpoints_take(timeline->checkpoints, error) < 0)
                return -1;
            continue;
        default:
            *how = ADVANCE_END;
            return 0;
        }
    }
}

static struct timeline_stop *scratch_stop(struct timeline_stop *stop, struct timeline_stop *own)
{
    return stop ? stop : own;
}

static void finish(struct timeline_stop *stop, enum advance how)
{
    static const enum timeline_why whys[] = {[ADVANCE_HIT] = TIMELINE_CONDITION,
        [ADVANCE_REACHED] = TIMELINE_DONE,
        [ADVANCE_END] = TIMELINE_END,
        [ADVANCE_INTERRUPTED] = TIMELINE_INTERRUPTED};
    if (how != ADVANCE_HIT)
        *stop = (struct timeline_stop){.why = whys[how]};
}

/* ---- Seeking ---- */

int timeline_seek(struct timeline *timeline, struct position position, struct timeline_stop *stop,
    struct error *error)
{
    struct timeline_stop own;
    struct position here = timeline_position(timeline), nearest;
    timeline->stop = scratch_stop(stop, &own);
    atomic_store(&timeline->machine->stop_requested, false);
    if (!checkpoints_find(timeline->checkpoints, position, false, &nearest))
        return error_set(error, "there is no position before the start");
    bool behind = position_compare(position, here) < 0;
    if ((behind || position_compare(nearest, here) > 0) &&
        checkpoints_restore(timeline->checkpoints, nearest, error) < 0)
        return -1;
    enum advance how;
    if (advance(timeline, position, UINT64_MAX, &how, error) < 0)
        return -1;
    finish(timeline->stop, how);
    return 0;
}

/* From a checkpoint to a place further on that was left behind: checkpoints ever denser towards it
 * make the next steps back cheap. */
static int approach(
    struct timeline *timeline, uint64_t retired, enum advance *how, struct error *error)
{
    uint64_t now = timeline->machine->engine->retired;
    uint64_t distance = DENSE;
    while (retired > now && distance * 2 < retired - now)
        distance *= 2;
    *how = ADVANCE_REACHED;
    for (; distance >= DENSE && retired > now + distance; distance /= 2) {
        if (advance(timeline, POSITION_END, retired - distance, how, error) < 0)
            return -1;
        if (*how != ADVANCE_REACHED)
            return 0;
        if (checkpoints_take(timeline->checkpoints, error) < 0)
            return -1;
    }
    return advance(timeline, POSITION_END, retired, how, error);
}

int timeline_seek_retired(
    struct timeline *timeline, uint64_t retired, struct timeline_stop *stop, struct error *error)
{
    struct timeline_stop own;
    struct position found;
    uint64_t at;
    timeline->stop = scratch_stop(stop, &own);
    atomic_store(&timeline->machine->stop_requested, false);
    if (!checkpoints_find_retired(timeline->checkpoints, retired, &found, &at))
        return error_set(error, "there is no position before the start");
    uint64_t now = timeline->machine->engine->retired;
    /* Standing at the same count says nothing: something may have been delivered since. */
    bool forward = retired > now;
    if ((!forward || at > now) && checkpoints_restore(timeline->checkpoints, found, error) < 0)
        return -1;
    enum advance how;
    int result = forward ? advance(timeline, POSITION_END, retired, &how, error)
                         : approach(timeline, retired, &how, error);
    if (result < 0)
        return -1;
    finish(timeline->stop, how);
    return 0;
}

static bool time_has_come(void *context, struct timeline *timeline)
{
    const uint64_t *time = context;
    return timeline_time(timeline) >= *time;
}

int timeline_seek_time(
    struct timeline *timeline, uint64_t time, struct timeline_stop *stop, struct error *error)
{
    struct timeline_stop own;
    stop = scratch_stop(stop, &own);
    struct position chunk = {.event = trace_reader_event_at(timeline_trace(timeline), time)};
    if (chunk.event)
        chunk.event--;
    if (timeline_seek(timeline, chunk, stop, error) < 0 || stop->why != TIMELINE_DONE)
        return stop->why == TIMELINE_DONE ? -1 : 0;
    if (timeline_time(timeline) >= time)
        return 0;
    const struct timeline_condition condition = {.kind = CONDITION_EVENT,
        .event_kinds = UINT32_MAX,
        .accept = time_has_come,
        .context = &time};
    int result = timeline_run(timeline, FORWARD, &condition, 1, stop, error);
    if (result == 0 && stop->why == TIMELINE_CONDITION)
        stop->why = TIMELINE_DONE;
    return result;
}

/* The first position with the present count of instructions: before anything was delivered. */
static int is_first_of_count(struct timeline *timeline, bool *first, struct error *error)
{
    struct position here = timeline_position(timeline);
    if (timeline_seek_retired(timeline, timeline_retired(timeline), NULL, error) < 0)
        return -1;
    *first = position_compare(timeline_position(timeline), here) == 0;
    return 0;
}

int timeline_step(struct timeline *timeline, enum direction direction, uint64_t count,
    struct timeline_stop *stop, struct error *error)
{
    struct timeline_stop own;
    stop = scratch_stop(stop, &own);
    uint64_t retired = timeline_retired(timeline);
    if (direction == FORWARD) {
        uint64_t target = count > UINT64_MAX - retired ? UINT64_MAX : retired + count;
        return timeline_seek_retired(timeline, target, stop, error);
    }
    *stop = (struct timeline_stop){.why = TIMELINE_DONE};
    bool first;
    if (count == 0)
        return 0;
    if (is_first_of_count(timeline, &first, error) < 0)
        return -1;
    if (!first)
        count--;
    if (count > retired) {
        int result = timeline_seek_retired(timeline, 0, stop, error);
        stop->why = TIMELINE_START;
        return result;
    }
    return count ? timeline_seek_retired(timeline, retired - count, stop, error) : 0;
}

/* ---- Running to a condition ---- */

static int run_forward(struct timeline *timeline, struct error *error)
{
    enum advance how;
    timeline->skip_start = true;
    int result = advance(timeline, POSITION_END, UINT64_MAX, &how, error);
    timeline->skip_start = false;
    if (result == 0)
        finish(timeline->stop, how);
    return result;
}

struct last_hit {
    bool found;
    struct timeline_stop stop;
    struct position position;
    uint64_t retired;
};

/* Runs from where the machine stands to `end` and remembers the last hit on the way. */
static int scan(struct timeline *timeline, struct position end, struct last_hit *last,
    enum advance *how, struct error *error)
{
    last->found = false;
    for (;;) {
        if (advance(timeline, end, UINT64_MAX, how, error) < 0)
            return -1;
        if (*how != ADVANCE_HIT)
            return 0;
        struct position here = timeline_position(timeline);
        const struct timeline_condition *condition =
            &timeline->conditions[timeline->stop->condition];
        bool excluded = condition->kind == CONDITION_EXECUTE ? position_compare(here, end) >= 0
                                                             : position_compare(here, end) > 0;
        if (excluded)
            return 0;
        *last = (struct last_hit){true, *timeline->stop, here, timeline_retired(timeline)};
        if (position_compare(here, end) >= 0)
            return 0;
    }
}

/* To the place before what was hit. */
static int go_before(struct timeline *timeline, const struct last_hit *last, struct error *error)
{
    const struct timeline_condition *condition = &timeline->conditions[last->stop.condition];
    struct timeline_stop result = last->stop;
    struct timeline_stop ignored;
    enum condition_kind kind = condition->kind;
    bool by_instruction = kind != CONDITION_EVENT && kind != CONDITION_CONSOLE;
    if (!by_instruction)
        by_instruction = last->stop.event.kind <= EVENT_HLT;
    struct timeline_stop *stop = timeline->stop;
    disarm(timeline);
    int status;
    if (kind == CONDITION_EXECUTE)
        status = timeline_seek(timeline, last->position, &ignored, error);
    else
        status = timeline_seek_retired(
            timeline, last->retired - (by_instruction && last->retired), &ignored, error);
    *stop = status == 0 && ignored.why == TIMELINE_INTERRUPTED ? ignored : result;
    return status;
}

static int run_backward(struct timeline *timeline, struct error *error)
{
    struct position end = timeline_position(timeline), from;
    while (checkpoints_find(timeline->checkpoints, end, true, &from)) {
        struct last_hit last;
        enum advance how;
        if (checkpoints_restore(timeline->checkpoints, from, error) < 0 ||
            scan(timeline, end, &last, &how, error) < 0)
            return -1;
        if (how == ADVANCE_INTERRUPTED) {
            finish(timeline->stop, how);
            return 0;
        }
        if (last.found)
            return go_before(timeline, &last, error);
        end = from;
    }
    struct timeline_stop *stop = timeline->stop;
    disarm(timeline);
    int result = timeline_seek(timeline, (struct position){0, 0}, NULL, error);
    *stop = (struct timeline_stop){.why = TIMELINE_START};
    return result;
}

int timeline_run(struct timeline *timeline, enum direction direction,
    const struct timeline_condition *conditions, unsigned count, struct timeline_stop *stop,
    struct error *error)
{
    struct timeline_stop own;
    timeline->stop = scratch_stop(stop, &own);
    *timeline->stop = (struct timeline_stop){.why = TIMELINE_DONE};
    atomic_store(&timeline->machine->stop_requested, false);
    if (arm(timeline, conditions, count, error) < 0)
        return -1;
    int result =
        direction == FORWARD ? run_forward(timeline, error) : run_backward(timeline, error);
    disarm(timeline);
    return result;
}

void timeline_interrupt(struct timeline *timeline)
{
    machine_request_stop(timeline->machine);
}

/* ---- Opening ---- */

struct timeline *timeline_open(
    const char *path, const struct timeline_options *options, bool *damaged, struct error *error)
{
    struct timeline *timeline = calloc(1, sizeof *timeline);
    *damaged = false;
    if (!timeline) {
        error_set(error, "out of memory");
        return NULL;
    }
    const struct replay_options replay = {
        .engine = "soft", .console = {.put = log_console, .target = timeline}};
    timeline->replay = replay_open(path, &replay, damaged, error);
    if (!timeline->replay) {
        timeline_close(timeline);
        return NULL;
    }
    timeline->machine = replay_machine(timeline->replay);
    timeline->source = replay_inputs(timeline->replay);
    const struct machine_observer observer = {.event = see_event, .context = timeline};
    uint64_t cache = options && options->cache_bytes ? options->cache_bytes : DEFAULT_CACHE;
    timeline->checkpoints = checkpoints_create(timeline->machine, timeline->source, cache, error);
    if (!timeline->checkpoints || machine_observe(timeline->machine, &observer, error) < 0 ||
        checkpoints_take(timeline->checkpoints, error) < 0) {
        timeline_close(timeline);
        return NULL;
    }
    return timeline;
}

void timeline_close(struct timeline *timeline)
{
    if (!timeline)
        return;
    checkpoints_destroy(timeline->checkpoints);
    replay_close(timeline->replay);
    buffer_free(&timeline->printed);
    buffer_free(&timeline->text);
    free(timeline);
}

/* ---- Looking ---- */

struct machine *timeline_machine(struct timeline *timeline)
{
    return timeline->machine;
}

const struct trace_reader *timeline_trace(const struct timeline *timeline)
{
    return replay_trace(timeline->replay);
}

struct position timeline_position(const struct timeline *timeline)
{
    return machine_position(timeline->machine);
}

uint64_t timeline_retired(const struct timeline *timeline)
{
    return timeline->machine->engine->retired;
}

uint64_t timeline_time(const struct timeline *timeline)
{
    return machine_time(timeline->machine);
}

uint64_t timeline_last_event(const struct timeline *timeline)
{
    return timeline->source->last_event;
}

bool timeline_at_end(const struct timeline *timeline)
{
    return timeline->machine->event >= timeline->source->last_event;
}

int timeline_digest(struct timeline *timeline, uint64_t *digest, struct error *error)
{
    return machine_digest(timeline->machine, digest, error);
}

int timeline_checkpoint(struct timeline *timeline, struct error *error)
{
    return checkpoints_take(timeline->checkpoints, error);
}

void timeline_cache(const struct timeline *timeline, unsigned *checkpoints, uint64_t *bytes)
{
    *checkpoints = checkpoints_count(timeline->checkpoints);
    *bytes = checkpoints_bytes(timeline->checkpoints);
}
