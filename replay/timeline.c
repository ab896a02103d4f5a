/* Walks along a trace in both directions. */
#include "replay/timeline.h"

#include <stdlib.h>
#include <string.h>

#include "replay/cache.h"
#include "replay/walk.h"

#define DEFAULT_CACHE (512ull << 20)

/* Instructions between checkpoints on the way into new territory; and the distance before a place
 * approached from the future at which the densest of the further ones is left. */
#define SPACING (8ull << 20)
#define DENSE   (16ull << 10)
/* Of the places for checkpoints on the way, one in so many is taken where they are sparse. */
enum { SPARSE = 16 };

/* ---- Places ---- */

struct place timeline_place(const struct timeline *timeline)
{
    return (struct place){
        machine_position(timeline->machine), engine_delivered(timeline->machine->engine)};
}

struct place timeline_place_before(const struct timeline *timeline)
{
    const struct engine *engine = timeline->machine->engine;
    struct place place = timeline_place(timeline);
    if (place.delivered) {
        place.delivered--;
    } else if (place.position.insn) {
        place.position.insn--;
        if (engine->delivered_retired + 1 == engine->retired)
            place.delivered = engine->delivered;
    } else if (place.position.event) {
        place = timeline->before;
    }
    return place;
}

static void log_console(void *context, const uint8_t *bytes, size_t count)
{
    struct timeline *timeline = context;
    if (timeline->machine)
        printed_add(&timeline->printed, timeline->machine->position.event + 1, bytes, count);
}

static int take_checkpoint(struct timeline *timeline, struct error *error)
{
    timeline->is_new = timeline->cache_path != NULL;
    return checkpoints_take(timeline->checkpoints, error);
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
            (unsigned long long)timeline->machine->position.event, timeline->source->why.text);
    return -1;
}

static void set_next_slice(struct timeline *timeline, uint64_t retired)
{
    uint64_t now = timeline->machine->engine->retired;
    uint64_t slice = (now / SPACING + 1) * SPACING;
    machine_limit(timeline->machine, slice < retired ? slice : retired);
}

static bool is_wanted(const struct timeline *timeline)
{
    return !timeline->sparse || timeline->machine->engine->retired / SPACING % SPARSE == 0;
}

/* Runs on to a hit, a position, a count of instructions, or the end, leaving checkpoints. */
static int advance(struct timeline *timeline, struct position until, uint64_t retired,
    enum advance *how, struct error *error)
{
    struct machine *machine = timeline->machine;
    uint64_t start_retired = machine->engine->retired;
    struct place start = timeline_place(timeline);
    for (;;) {
        set_next_slice(timeline, retired);
        timeline->hit = false;
        if (machine_run(machine, until, error) < 0)
            return explain(timeline, error);
        bool is_start = machine->engine->retired == start_retired &&
                        place_compare(timeline_place(timeline), start) == 0;
        if (timeline->hit) {
            *how = ADVANCE_HIT;
            return 0;
        }
        switch (machine_stopped(machine)) {
        case STOP_BREAKPOINT:
            if (timeline->skip_start && is_start && machine->run.hit.kind == EXIT_BREAKPOINT)
                continue;
            if (conditions_resolve(timeline)) {
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
            if (is_wanted(timeline) && take_checkpoint(timeline, error) < 0)
                return -1;
            if (timeline->pace)
                timeline->pace(timeline->pace_context, timeline);
            continue;
        default:
            *how = ADVANCE_END;
            return 0;
        }
    }
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

/* A new move: an interruption that came before it is not meant for it. */
static void start_move(struct timeline *timeline, struct timeline_stop *stop)
{
    timeline->stop = stop;
    *stop = (struct timeline_stop){.why = TIMELINE_DONE};
    atomic_store(&timeline->machine->run.stop_requested, false);
}

static int restore(struct timeline *timeline, struct position at, struct error *error)
{
    timeline->inside = false;
    return checkpoints_restore(timeline->checkpoints, at, error);
}

/* ---- Seeking ---- */

static int seek(
    struct timeline *timeline, struct position position, enum advance *how, struct error *error)
{
    struct place target = {position, 0};
    struct position nearest;
    if (!checkpoints_find(timeline->checkpoints, position, false, &nearest))
        return error_set(error, "there is no position before the start");
    bool behind = place_compare(target, timeline_place(timeline)) < 0;
    if ((behind || position_compare(nearest, timeline_position(timeline)) > 0) &&
        restore(timeline, nearest, error) < 0)
        return -1;
    return advance(timeline, position, UINT64_MAX, how, error);
}

int timeline_seek(struct timeline *timeline, struct position position, struct timeline_stop *stop,
    struct error *error)
{
    struct timeline_stop own;
    enum advance how;
    start_move(timeline, stop ? stop : &own);
    if (seek(timeline, position, &how, error) < 0)
        return -1;
    finish(timeline->stop, how);
    return 0;
}

int timeline_pass(struct timeline *timeline, struct position position, uint64_t retired,
    struct timeline_stop *stop, struct error *error)
{
    enum advance how;
    start_move(timeline, stop);
    if (advance(timeline, position, retired, &how, error) < 0)
        return -1;
    finish(stop, how);
    return 0;
}

static bool has_delivered(void *context, struct timeline *timeline)
{
    const uint64_t *wanted = context;
    return timeline_delivered(timeline) == *wanted;
}

/* To a place after faults that were delivered at its position. */
static int seek_place(
    struct timeline *timeline, struct place place, enum advance *how, struct error *error)
{
    if (seek(timeline, place.position, how, error) < 0)
        return -1;
    if (*how != ADVANCE_REACHED || place.delivered == 0)
        return 0;
    const struct timeline_condition exception = {
        .kind = CONDITION_EXCEPTION, .accept = has_delivered, .context = &place.delivered};
    struct timeline_stop *stop = timeline->stop, own;
    timeline->stop = &own;
    place.position.insn++;
    int result = conditions_arm(timeline, &exception, 1, error);
    if (result == 0)
        result = advance(timeline, place.position, UINT64_MAX, how, error);
    conditions_disarm(timeline);
    timeline->stop = stop;
    if (*how == ADVANCE_HIT)
        *how = ADVANCE_REACHED;
    return result;
}

int timeline_seek_delivered(struct timeline *timeline, struct position position, uint64_t delivered,
    struct timeline_stop *stop, struct error *error)
{
    struct timeline_stop own;
    enum advance how;
    start_move(timeline, stop ? stop : &own);
    if (seek_place(timeline, (struct place){position, delivered}, &how, error) < 0)
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
        if (take_checkpoint(timeline, error) < 0)
            return -1;
    }
    return advance(timeline, POSITION_END, retired, how, error);
}

static int seek_retired(
    struct timeline *timeline, uint64_t retired, enum advance *how, struct error *error)
{
    struct position found;
    uint64_t at;
    if (!checkpoints_find_retired(timeline->checkpoints, retired, &found, &at))
        return error_set(error, "there is no position before the start");
    uint64_t now = timeline->machine->engine->retired;
    /* Standing at the same count says nothing: something may have been delivered since. */
    bool forward = retired > now;
    if ((!forward || at > now) && restore(timeline, found, error) < 0)
        return -1;
    return forward ? advance(timeline, POSITION_END, retired, how, error)
                   : approach(timeline, retired, how, error);
}

int timeline_seek_retired(
    struct timeline *timeline, uint64_t retired, struct timeline_stop *stop, struct error *error)
{
    struct timeline_stop own;
    enum advance how;
    start_move(timeline, stop ? stop : &own);
    if (seek_retired(timeline, retired, &how, error) < 0)
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
    stop = stop ? stop : &own;
    struct position chunk = {.event = trace_reader_event_at(timeline_trace(timeline), time)};
    if (chunk.event)
        chunk.event--;
    if (timeline_seek(timeline, chunk, stop, error) < 0)
        return -1;
    if (stop->why != TIMELINE_DONE || timeline_time(timeline) >= time)
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

/* ---- Stepping ---- */

/* `count` instructions back. What was delivered since the first position with the present count is
 * a step of its own. */
static int step_back(
    struct timeline *timeline, uint64_t count, enum advance *how, bool *start, struct error *error)
{
    struct place here = timeline_place(timeline);
    uint64_t retired = timeline_retired(timeline);
    if (seek_retired(timeline, retired, how, error) < 0)
        return -1;
    /* A run that its last instruction ends has the trace's end where that count is reached. */
    if (*how == ADVANCE_END && timeline_retired(timeline) == retired)
        *how = ADVANCE_REACHED;
    if (*how != ADVANCE_REACHED)
        return 0;
    if (place_compare(timeline_place(timeline), here) != 0)
        count--;
    *start = count > retired;
    return count ? seek_retired(timeline, *start ? 0 : retired - count, how, error) : 0;
}

int timeline_step(struct timeline *timeline, enum direction direction, uint64_t count,
    struct timeline_stop *stop, struct error *error)
{
    struct timeline_stop own;
    uint64_t retired = timeline_retired(timeline);
    if (direction == FORWARD) {
        uint64_t target = count > UINT64_MAX - retired ? UINT64_MAX : retired + count;
        return timeline_seek_retired(timeline, target, stop, error);
    }
    start_move(timeline, stop ? stop : &own);
    if (count == 0)
        return 0;
    enum advance how;
    bool start = false;
    if (step_back(timeline, count, &how, &start, error) < 0)
        return -1;
    finish(timeline->stop, how);
    if (start && how == ADVANCE_REACHED)
        timeline->stop->why = TIMELINE_START;
    return 0;
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
    struct place place, before;
};

/* Runs from where the machine stands to `end` and remembers the last hit on the way. */
static int scan(struct timeline *timeline, struct place end, struct last_hit *last,
    enum advance *how, struct error *error)
{
    struct position until = end.position;
    until.insn += end.delivered != 0;
    *last = (struct last_hit){0};
    for (;;) {
        if (advance(timeline, until, UINT64_MAX, how, error) < 0)
            return -1;
        if (*how != ADVANCE_HIT)
            return 0;
        struct place here = timeline_place(timeline);
        const struct timeline_condition *condition =
            &timeline->conditions[timeline->stop->condition];
        int order = place_compare(here, end);
        if (order > 0 || (order == 0 && condition->kind == CONDITION_EXECUTE)) {
            *how = ADVANCE_REACHED;
            return 0;
        }
        *last = (struct last_hit){true, *timeline->stop, here, timeline_place_before(timeline)};
        if (order == 0) {
            *how = ADVANCE_REACHED;
            return 0;
        }
    }
}

static void begin_stretch(struct timeline *timeline)
{
    for (unsigned i = 0; i < timeline->condition_count; i++) {
        if (timeline->conditions[i].begin)
            timeline->conditions[i].begin(timeline->conditions[i].context, timeline);
    }
}

/* To the place before what was hit. */
static int go_before(struct timeline *timeline, const struct last_hit *last, struct error *error)
{
    bool executes = timeline->conditions[last->stop.condition].kind == CONDITION_EXECUTE;
    enum advance how;
    conditions_disarm(timeline);
    if (seek_place(timeline, executes ? last->place : last->before, &how, error) < 0)
        return -1;
    *timeline->stop = last->stop;
    if (how == ADVANCE_INTERRUPTED)
        finish(timeline->stop, how);
    return 0;
}

static int run_backward(struct timeline *timeline, struct error *error)
{
    struct place end = timeline_place(timeline);
    struct position from;
    enum advance how;
    while (checkpoints_find(timeline->checkpoints, end.position, end.delivered == 0, &from)) {
        struct last_hit last = {0};
        if (restore(timeline, from, error) < 0)
            return -1;
        begin_stretch(timeline);
        if (scan(timeline, end, &last, &how, error) < 0)
            return -1;
        if (how == ADVANCE_INTERRUPTED) {
            finish(timeline->stop, how);
            return 0;
        }
        if (last.found)
            return go_before(timeline, &last, error);
        end = (struct place){from, 0};
    }
    conditions_disarm(timeline);
    if (seek(timeline, (struct position){0, 0}, &how, error) < 0)
        return -1;
    *timeline->stop = (struct timeline_stop){.why = TIMELINE_START};
    return 0;
}

int timeline_run(struct timeline *timeline, enum direction direction,
    const struct timeline_condition *conditions, unsigned count, struct timeline_stop *stop,
    struct error *error)
{
    struct timeline_stop own;
    start_move(timeline, stop ? stop : &own);
    if (conditions_arm(timeline, conditions, count, error) < 0)
        return -1;
    int result =
        direction == FORWARD ? run_forward(timeline, error) : run_backward(timeline, error);
    conditions_disarm(timeline);
    return result;
}

int timeline_run_to(struct timeline *timeline, struct position until,
    const struct timeline_condition *conditions, unsigned count, struct timeline_stop *stop,
    struct error *error)
{
    struct timeline_stop own;
    enum advance how;
    start_move(timeline, stop ? stop : &own);
    if (conditions_arm(timeline, conditions, count, error) < 0)
        return -1;
    int result = advance(timeline, until, UINT64_MAX, &how, error);
    conditions_disarm(timeline);
    if (result == 0)
        finish(timeline->stop, how);
    return result;
}

int timeline_rearm(struct timeline *timeline, const struct timeline_condition *conditions,
    unsigned count, struct error *error)
{
    return conditions_arm(timeline, conditions, count, error);
}

void timeline_set_pace(struct timeline *timeline,
    void (*pace)(void *context, struct timeline *timeline), void *context)
{
    timeline->pace = pace;
    timeline->pace_context = context;
}

void timeline_interrupt(struct timeline *timeline)
{
    machine_request_stop(timeline->machine);
}

/* ---- Checkpoints in a file ---- */

/* A file that does not fit is no reason not to open the trace. */
static int load_cache(
    struct timeline *timeline, const char *trace_path, const char *path, struct error *error)
{
    if (!path)
        return 0;
    timeline->cache_path = strdup(path);
    if (!timeline->cache_path)
        return error_set(error, "out of memory");
    timeline->identity = cache_identity(trace_path, timeline_trace(timeline));
    if (cache_load(path, timeline->identity, timeline->checkpoints, &timeline->printed,
            &timeline->cache_message) < 0)
        timeline->is_new = true;
    return 0;
}

const char *timeline_cache_message(const struct timeline *timeline)
{
    return timeline->cache_message.text;
}

int timeline_keep(struct timeline *timeline, struct error *error)
{
    if (!timeline->is_new)
        return 0;
    timeline->is_new = false;
    return cache_save(
        timeline->cache_path, timeline->identity, timeline->checkpoints, &timeline->printed, error);
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
    const struct replay_options replay = {.engine = "soft",
        .console = {.put = log_console, .target = timeline},
        .memory_limit = options ? options->memory_limit : 0,
        .any_version = options && options->any_version,
        .store = options ? options->store : NULL};
    timeline->replay = replay_open(path, &replay, damaged, error);
    if (!timeline->replay) {
        timeline_close(timeline);
        return NULL;
    }
    timeline->sparse = options && options->sparse;
    timeline->machine = replay_machine(timeline->replay);
    timeline->source = replay_inputs(timeline->replay);
    struct machine_observer observer = conditions_observer;
    observer.context = timeline;
    uint64_t cache = options && options->cache_bytes ? options->cache_bytes : DEFAULT_CACHE;
    timeline->checkpoints = checkpoints_create(timeline->machine, timeline->source, cache, error);
    if (!timeline->checkpoints || machine_observe(timeline->machine, &observer, error) < 0 ||
        checkpoints_take(timeline->checkpoints, error) < 0 ||
        load_cache(timeline, path, options ? options->cache_path : NULL, error) < 0) {
        timeline_close(timeline);
        return NULL;
    }
    return timeline;
}

void timeline_close(struct timeline *timeline)
{
    struct error ignored;
    if (!timeline)
        return;
    timeline_keep(timeline, &ignored);
    free(timeline->cache_path);
    checkpoints_destroy(timeline->checkpoints);
    replay_close(timeline->replay);
    printed_free(&timeline->printed);
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

uint64_t timeline_delivered(const struct timeline *timeline)
{
    return engine_delivered(timeline->machine->engine);
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
    return timeline->machine->position.event >= timeline->source->last_event;
}

const uint8_t *timeline_console(struct timeline *timeline, size_t *size)
{
    return printed_text(&timeline->printed, timeline->machine->position.event, size);
}

int timeline_digest(struct timeline *timeline, uint64_t *digest, struct error *error)
{
    return machine_digest(timeline->machine, digest, error);
}

int timeline_checkpoint(struct timeline *timeline, struct error *error)
{
    return take_checkpoint(timeline, error);
}

void timeline_cache(const struct timeline *timeline, unsigned *checkpoints, uint64_t *bytes)
{
    *checkpoints = checkpoints_count(timeline->checkpoints);
    *bytes = checkpoints_bytes(timeline->checkpoints);
}
