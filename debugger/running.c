/* Running to breakpoints, watchpoints and catchpoints, and telling why it stopped. */
#include "debugger/running.h"
#include "debugger/changes.h"
#include "debugger/python/python.h"
#include "debugger/session.h"
#include "debugger/source.h"
#include "debugger/threads.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/machine/event.h"

/* ---- Conditions ---- */

struct asked {
    struct debugger *debugger;
    struct point *point;
    enum direction direction;
    uint64_t address;
    uint64_t signature; /* of what was in memory when the point was resolved */
};

/*
 * `Old value` is the one from before the change that stops: also that of changes which do not stop
 * is taken. Backward, where the writes of a stretch are met forward, it is the value after the last
 * one that may stop.
 */
static void note_change(const struct asked *asked, bool stops)
{
    struct debugger *debugger = asked->debugger;
    struct point *point = asked->point;
    if (stops == (asked->direction == BACKWARD) && point_has_value(point) &&
        session_look(debugger, NULL) == 0)
        point->old_known = point_read(debugger, point, &point->old);
}

/* Is it a write of what was there already? Backward that is not known yet. */
static bool is_same(const struct asked *asked)
{
    struct debugger *debugger = asked->debugger;
    const struct point *point = asked->point;
    uint64_t now;
    return asked->direction == FORWARD && point_has_value(point) && point->old_known &&
           session_look(debugger, NULL) == 0 && point_read(debugger, point, &now) &&
           now == point->old;
}

/* What raises an exception stops, but an interrupt does that by itself. */
static bool ask_script(struct debugger *debugger, const struct point *point)
{
    bool stops = true;
    struct error error = {""};
    if (python_stops(debugger, point->script_object, &stops, &error) == 0)
        return stops;
    if (!atomic_load(&debugger->interrupted))
        debugger->condition_error = error;
    return true;
}

/* A hit in the middle of a run: is the point still there, and does its condition hold? */
static bool accept(void *context, struct timeline *timeline)
{
    const struct asked *asked = context;
    struct debugger *debugger = asked->debugger;
    const struct point *point = asked->point;
    uint64_t value = 1;
    struct error error = {""};
    if (!point->enabled)
        return false; /* a script has just said so */
    const bool is_other = point->thread && point->thread != threads_running(timeline);
    if (is_other && !point_has_value(point))
        return false;
    if (debugger->condition_error.text[0])
        return true;
    debugger_moved(debugger);
    bool holds =
        !point_by_address(point) || point_holds(debugger, point, asked->address, asked->signature);
    if (!holds || is_other)
        value = 0;
    else if (point->condition && session_number(debugger, point->condition, &value, &error) < 0) {
        debugger->condition_error = error;
        value = 1;
    }
    if (value && point->script_object && !is_same(asked))
        value = ask_script(debugger, point);
    if (holds)
        note_change(asked, value != 0);
    debugger_moved(debugger);
    return value != 0;
}

static void fill(const struct point *point, unsigned which, struct asked *asked,
    struct timeline_condition *condition)
{
    static const enum condition_kind kinds[] = {
        [POINT_BREAK] = CONDITION_EXECUTE,
        [POINT_WATCH] = CONDITION_WRITE,
        [POINT_RWATCH] = CONDITION_READ,
        [POINT_AWATCH] = CONDITION_ACCESS,
        [POINT_EVENT] = CONDITION_EVENT,
        [POINT_CONSOLE] = CONDITION_CONSOLE,
        [POINT_EXCEPTION] = CONDITION_EXCEPTION,
        [POINT_MODE] = CONDITION_MODE,
        [POINT_DISK] = CONDITION_DISK,
    };
    *condition = (struct timeline_condition){
        .kind = kinds[point->kind],
        .physical = point->physical,
        .address = point_by_address(point) ? point->addresses[which] : point->event_address,
        .length = point->kind == POINT_BREAK ? 1 : point->length,
        .event_kinds = point->event_kinds,
        .match_address = point->match_address,
        .match_value = point->match_value,
        .value = point->event_value,
        .disk = (unsigned)point->event_value,
        .member = TIMELINE_WHOLE_DISK,
        .text = point->text,
        .accept = point->condition || point->thread || point->script_object ||
                          follow_kernel(asked->debugger)
                      ? accept
                      : NULL,
        .context = asked,
    };
    asked->address = condition->address;
}

struct armed {
    struct timeline_condition conditions[TIMELINE_MAX_CONDITIONS];
    struct point *points[TIMELINE_MAX_CONDITIONS]; /* NULL: a change */
    struct asked asked[TIMELINE_MAX_CONDITIONS];
    struct changes changes;
    unsigned count, own; /* `own` of the caller come first */
};

static int arm_one(struct armed *armed, const struct timeline_condition *condition,
    struct point *point, struct error *error)
{
    if (armed->count == TIMELINE_MAX_CONDITIONS)
        return error_set(error, "more than %d places to stop at: disable or delete some",
            TIMELINE_MAX_CONDITIONS);
    armed->conditions[armed->count] = *condition;
    armed->points[armed->count++] = point;
    return 0;
}

/* Where some point has a name, which may come to mean another place. */
static int arm_changes(
    struct debugger *debugger, enum direction direction, struct armed *armed, struct error *error)
{
    struct timeline_condition conditions[CHANGES_MAX];
    bool any = false;
    for (unsigned i = 0; i < debugger->point_count; i++)
        any |= debugger->points[i].enabled && debugger->points[i].is_named;
    unsigned count = any ? changes_arm(&armed->changes, debugger, direction, conditions) : 0;
    for (unsigned i = 0; i < count; i++) {
        if (arm_one(armed, &conditions[i], NULL, error) < 0)
            return -1;
    }
    return 0;
}

static int arm(struct debugger *debugger, enum direction direction,
    const struct timeline_condition *extras, unsigned extra_count, struct armed *armed,
    struct error *error)
{
    struct timeline_condition condition;
    armed->own = armed->count = extra_count;
    if (extra_count)
        memcpy(armed->conditions, extras, extra_count * sizeof *extras);
    if (points_resolve(debugger, error) < 0 || arm_changes(debugger, direction, armed, error) < 0)
        return -1;
    for (unsigned i = 0; i < debugger->point_count; i++) {
        struct point *point = &debugger->points[i];
        unsigned places = point_by_address(point) ? point->address_count : 1;
        for (unsigned j = 0; point->enabled && j < places; j++) {
            struct asked *asked = &armed->asked[armed->count % TIMELINE_MAX_CONDITIONS];
            *asked = (struct asked){debugger, point, direction, 0, debugger->follow.signature};
            fill(point, j, asked, &condition);
            if (arm_one(armed, &condition, point, error) < 0)
                return -1;
        }
    }
    return 0;
}

/* Does this hit stop, or is it ignored, or a write of what was there already? */
static bool hit_counts(struct debugger *debugger, struct point *point)
{
    uint64_t now;
    if (point_has_value(point) && point->old_known && session_look(debugger, NULL) == 0 &&
        point_read(debugger, point, &now) && now == point->old)
        return false;
    point->hits++;
    if (point->ignore == 0)
        return true;
    point->ignore--;
    if (point_has_value(point))
        point->old_known = point_read(debugger, point, &point->old);
    return false;
}

int run_go(struct debugger *debugger, enum direction direction,
    const struct timeline_condition *extras, unsigned extra_count, struct run_result *result,
    struct error *error)
{
    struct armed armed;
    debugger->condition_error.text[0] = '\0';
    if (arm(debugger, direction, extras, extra_count, &armed, error) < 0)
        return -1;
    points_look(debugger);
    for (;;) {
        *result = (struct run_result){.why = TIMELINE_INTERRUPTED};
        if (atomic_load(&debugger->interrupted))
            return 0;
        int status = timeline_run(
            debugger->timeline, direction, armed.conditions, armed.count, &result->stop, error);
        debugger_moved(debugger);
        if (status < 0)
            return -1;
        result->why = result->stop.why;
        if (atomic_load(&debugger->interrupted))
            result->why = TIMELINE_INTERRUPTED;
        if (result->why != TIMELINE_CONDITION)
            return 0;
        result->which = result->stop.condition;
        if (result->stop.condition < armed.own) {
            result->extra = true;
            return 0;
        }
        result->point = armed.points[result->stop.condition];
        if (!result->point) {
            if (arm(debugger, direction, extras, extra_count, &armed, error) < 0)
                return -1;
        } else if (hit_counts(debugger, result->point)) {
            return 0;
        }
    }
}

/* ---- Reports ---- */

static void print_watched(
    struct debugger *debugger, const struct point *point, const char *what, uint64_t bits)
{
    struct buffer text = {0};
    struct value value = value_number(bits, &point->type);
    struct error error;
    enum type_kind kind = type_kind(&point->type);
    if (kind == TYPE_STRUCT || kind == TYPE_ARRAY || kind == TYPE_VOID || kind == TYPE_UNKNOWN)
        value.type = type_builtin(TYPE_UNSIGNED, (unsigned)point->length);
    if (value_format(&debugger->view, &debugger->symbols, &value, 0, &text, &error) == 0) {
        print(debugger, "%s = ", what);
        print_text(debugger, &text);
        print(debugger, "\n");
    }
    buffer_free(&text);
}

/* "Thread 2 "vCPU 1" hit ", where there are several. */
static const char *hit_by(const struct debugger *debugger, char *name, size_t size)
{
    *name = '\0';
    if (threads_count(debugger->timeline) > 1)
        snprintf(name, size, "Thread %u \"vCPU %u\" hit ", debugger->thread, debugger->thread - 1);
    return name;
}

static void report_watch(struct debugger *debugger, struct point *point, uint64_t address)
{
    static const char *const names[] = {[POINT_WATCH] = "Watchpoint",
        [POINT_RWATCH] = "Read watchpoint",
        [POINT_AWATCH] = "Access watchpoint"};
    uint64_t now;
    char name[48];
    print(debugger, "\n%s%s %u: %s (at 0x%" PRIx64 ")\n\n", hit_by(debugger, name, sizeof name),
        names[point->kind], point->number, point->text, address);
    if (point->length > 8 || session_look(debugger, NULL) < 0 || !point_read(debugger, point, &now))
        return;
    if (point->kind == POINT_WATCH && point->old_known) {
        print_watched(debugger, point, "Old value", point->old);
        print_watched(debugger, point, "New value", now);
    } else {
        print_watched(debugger, point, "Value", now);
    }
    point->old = now;
    point->old_known = true;
}

static void report_point(struct debugger *debugger, const struct run_result *result)
{
    struct point *point = result->point;
    const struct machine_event *event = &result->stop.event;
    char name[48];
    if (point_is_watch(point))
        report_watch(debugger, point, result->stop.address);
    else if (point->kind == POINT_BREAK)
        print(debugger, "\n%s%s %u, ", hit_by(debugger, name, sizeof name),
            point->temporary ? "Temporary breakpoint" : "Breakpoint", point->number);
    else if (point->kind == POINT_EXCEPTION) {
        print(debugger, "\nCatchpoint %u, exception %u, error code 0x%x, at ", point->number,
            result->stop.vector, result->stop.error);
        print_address(debugger, result->stop.rip);
        print(debugger, "\n");
    } else if (point->kind == POINT_MODE)
        print(debugger, "\nCatchpoint %u, the CPU's mode changes\n", point->number);
    else if (point->kind == POINT_DISK)
        print(debugger,
            "\nWatchpoint %u, %s of %s, from sector %" PRIu64 " on (event %" PRIu64 ")\n",
            point->number, result->stop.is_write ? "write" : "read", point->text,
            result->stop.address, event->ordinal);
    else if (point->kind == POINT_CONSOLE)
        print(debugger, "\nCatchpoint %u, console text \"%s\" (event %" PRIu64 ")\n", point->number,
            point->text, event->ordinal);
    else
        print(debugger,
            "\nCatchpoint %u, event %" PRIu64 ": %s address 0x%" PRIx64 " value 0x%" PRIx64 "\n",
            point->number, event->ordinal, event_kind_name(event->kind), event->address,
            event->value);
}

/* ---- Commands of breakpoints ---- */

static bool is_silent(const struct point *point)
{
    return point && point->script.size && strcmp((const char *)point->script.data, "silent") == 0;
}

/* One breakpoint's lines, up to one that moves: what comes after that is not executed, as in gdb.
 */
static int run_script(struct debugger *debugger, const struct buffer *script, struct error *error)
{
    debugger->has_moved = false;
    for (size_t at = 0; at < script->size && !debugger->has_moved && !debugger->finished;) {
        const char *line = (const char *)script->data + at;
        at += strlen(line) + 1;
        if (strcmp(line, "silent") != 0 && debugger_execute(debugger, line, error) < 0)
            return -1;
        session_flush(debugger);
    }
    return 0;
}

/* The commands of the stop, and where they went on, of the next one, and so forth. */
static int run_scripts(struct debugger *debugger, struct error *error)
{
    int result = 0;
    debugger->in_script = true;
    while (result == 0 && debugger->script.size && !atomic_load(&debugger->interrupted)) {
        struct buffer script = debugger->script;
        debugger->script = (struct buffer){0};
        result = run_script(debugger, &script, error);
        buffer_free(&script);
    }
    buffer_free(&debugger->script);
    debugger->in_script = false;
    return result;
}

/* What is to be executed is kept: a temporary breakpoint is gone before its commands come. */
static int leave_point(struct debugger *debugger, struct point *point, struct error *error)
{
    buffer_clear(&debugger->script);
    buffer_put(&debugger->script, point->script.data, point->script.size);
    if (debugger->script.failed) {
        buffer_free(&debugger->script);
        return error_set(error, "out of memory");
    }
    if (point->temporary)
        point_remove(debugger, point);
    return debugger->in_script ? 0 : run_scripts(debugger, error);
}

static void report_end(struct debugger *debugger, enum timeline_why why)
{
    struct trace_info info;
    switch (why) {
    case TIMELINE_START:
        print(debugger, "\nThe start of the trace.\n");
        break;
    case TIMELINE_END:
        trace_reader_info(timeline_trace(debugger->timeline), &info);
        print(debugger, "\nThe end of the trace: %s.\n",
            info.complete ? trace_end_reason_name(info.end.reason) : "the recording was cut off");
        break;
    case TIMELINE_INTERRUPTED:
        print(debugger, "\nInterrupted.\n");
        break;
    default:
        break;
    }
}

int run_report(struct debugger *debugger, const struct run_result *result, struct error *error)
{
    struct point *point = result->point;
    debugger->has_moved = true;
    report_end(debugger, result->why);
    if (session_look(debugger, error) < 0)
        return -1;
    if (debugger->condition_error.text[0])
        print(debugger, "\nThe condition of breakpoint %u cannot be told: %s\n",
            point ? point->number : 0, debugger->condition_error.text);
    const size_t before = debugger->out.size;
    threads_show_switch(debugger);
    if (point)
        report_point(debugger, result);
    if (print_stop(debugger, error) < 0)
        return -1;
    if (is_silent(point))
        debugger->out.size = before;
    return point ? leave_point(debugger, point, error) : 0;
}
