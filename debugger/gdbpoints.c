/* The breakpoints and watchpoints that gdb asked for. */
#include "debugger/gdbpoints.h"

#include <inttypes.h>
#include <string.h>

#include "debugger/agent.h"
#include "debugger/packet.h"
#include "debugger/threads.h"
#include "vmm/arch/translate.h"

void gdbpoints_clear(struct gdbpoints *points)
{
    for (unsigned i = 0; i < points->count; i++)
        buffer_free(&points->list[i].conditions);
    points->count = 0;
}

static struct gdbpoint *find(struct gdbpoints *points, const struct request *request)
{
    for (unsigned i = 0; i < points->count; i++) {
        struct gdbpoint *point = &points->list[i];
        if (point->type == request->type && point->address == request->address &&
            point->length == request->length)
            return point;
    }
    return NULL;
}

/* ---- Conditions ---- */

/* "SIZE," in hexadecimal digits. */
static bool parse_size(const char **at, size_t *size)
{
    const char *start = *at;
    *size = 0;
    for (; **at != ','; ++*at) {
        const char *digits = "0123456789abcdef", *digit = **at ? strchr(digits, **at) : NULL;
        if (!digit || *size > AGENT_MAX_SIZE)
            return false;
        *size = *size * 16 + (size_t)(digit - digits);
    }
    return (*at)++ > start && *size > 0 && *size <= AGENT_MAX_SIZE;
}

/* "X3,220127X5,2200...": sizes and code in hexadecimal. */
static int parse_conditions(const char *at, struct buffer *conditions, struct error *error)
{
    while (*at) {
        uint8_t code[AGENT_MAX_SIZE];
        size_t size;
        if (*at++ != 'X' || !parse_size(&at, &size) || packet_get_hex(at, code, size) != size)
            return error_set(error, "a condition that is not understood");
        at += 2 * size;
        buffer_put_u8(conditions, (uint8_t)size);
        buffer_put_u8(conditions, (uint8_t)(size >> 8));
        buffer_put(conditions, code, size);
    }
    return conditions->failed ? error_set(error, "out of memory") : 0;
}

/* Does one of them hold? What cannot be evaluated stops: gdb tries it too, and says why. */
static bool holds(void *context, struct timeline *timeline)
{
    const struct gdbpoint *point = context;
    const struct buffer *conditions = &point->conditions;
    struct view view;
    struct error error;
    if (threads_view(&view, timeline, threads_running(timeline), &error) < 0)
        return true;
    for (size_t at = 0; at < conditions->size;) {
        size_t size = conditions->data[at] | (size_t)conditions->data[at + 1] << 8;
        uint64_t value;
        if (agent_evaluate(conditions->data + at + 2, size, &view, &value, &error) < 0 || value)
            return true;
        at += 2 + size;
    }
    return false;
}

/* ---- The list ---- */

int gdbpoints_insert(struct gdbpoints *points, const struct request *request, struct error *error)
{
    struct buffer conditions = {0};
    struct gdbpoint *point = find(points, request);
    if (request->type >= GDBPOINT_WRITE && (request->length == 0 || request->length > PAGE_SIZE))
        return error_set(error, "1 to 4096 bytes can be watched");
    if (!point && points->count == TIMELINE_MAX_CONDITIONS)
        return error_set(error, "too many breakpoints");
    if (parse_conditions(request->text ? request->text : "", &conditions, error) < 0) {
        buffer_free(&conditions);
        return -1;
    }
    if (point)
        buffer_free(&point->conditions);
    else
        point = &points->list[points->count++];
    *point = (struct gdbpoint){
        (enum gdbpoint_type)request->type, request->address, request->length, conditions};
    return 0;
}

void gdbpoints_remove(struct gdbpoints *points, const struct request *request)
{
    struct gdbpoint *point = find(points, request);
    if (!point)
        return;
    buffer_free(&point->conditions);
    *point = points->list[--points->count];
}

void gdbpoints_arm(struct gdbpoints *points, struct timeline_condition *conditions)
{
    static const enum condition_kind kinds[] = {[GDBPOINT_SOFTWARE] = CONDITION_EXECUTE,
        [GDBPOINT_HARDWARE] = CONDITION_EXECUTE,
        [GDBPOINT_WRITE] = CONDITION_WRITE,
        [GDBPOINT_READ] = CONDITION_READ,
        [GDBPOINT_ACCESS] = CONDITION_ACCESS};
    for (unsigned i = 0; i < points->count; i++) {
        struct gdbpoint *point = &points->list[i];
        conditions[i] = (struct timeline_condition){.kind = kinds[point->type],
            .address = point->address,
            .length = point->type >= GDBPOINT_WRITE ? point->length : 1,
            .accept = point->conditions.size ? holds : NULL,
            .context = point};
    }
}

void gdbpoints_describe(
    const struct gdbpoints *points, const struct timeline_stop *stop, struct buffer *out)
{
    static const char *const names[] = {[GDBPOINT_SOFTWARE] = "swbreak",
        [GDBPOINT_HARDWARE] = "hwbreak",
        [GDBPOINT_WRITE] = "watch",
        [GDBPOINT_READ] = "rwatch",
        [GDBPOINT_ACCESS] = "awatch"};
    const struct gdbpoint *point = &points->list[stop->condition];
    buffer_printf(out, "%s:", names[point->type]);
    /* An access may begin before what is watched. */
    if (point->type >= GDBPOINT_WRITE)
        buffer_printf(
            out, "%" PRIx64, stop->address > point->address ? stop->address : point->address);
    buffer_printf(out, ";");
}
