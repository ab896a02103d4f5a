/* Reads a position as people write it: an event, a time, a percentage. */
#include "cli/position.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"

static bool parse_number(const char **text, uint64_t *value)
{
    char *end;
    if (!isdigit((unsigned char)**text))
        return false;
    errno = 0;
    *value = strtoull(*text, &end, 10);
    *text = end;
    return errno == 0;
}

int position_parse(const char *text, const struct trace_reader *trace, struct position *position,
    struct error *error)
{
    struct trace_info info;
    trace_reader_info(trace, &info);
    uint64_t last = info.end_event ? info.end_event - 1 : 0;
    *position = (struct position){0};
    if (strcmp(text, "end") == 0) {
        *position = (struct position){UINT64_MAX, UINT64_MAX};
        return 0;
    }
    if (strncmp(text, "t=", 2) == 0) {
        uint64_t time;
        if (parse_time(text + 2, &time, error) < 0)
            return -1;
        position->event = trace_reader_event_at(trace, time);
        return 0;
    }
    const char *at = text;
    if (!parse_number(&at, &position->event))
        return error_set(error, "'%s' is not a position: 1532, 1532.87, end, 50%% or t=2.5s", text);
    if (strcmp(at, "%") == 0 && position->event <= 100) {
        position->event = last / 100 * position->event + last % 100 * position->event / 100;
        return 0;
    }
    if (*at == '.' && (at++, !parse_number(&at, &position->insn)))
        return error_set(error, "'%s': after the point comes a count of instructions", text);
    if (*at)
        return error_set(error, "'%s' is not a position: 1532, 1532.87, end, 50%% or t=2.5s", text);
    if (position->event > last)
        return error_set(
            error, "'%s' is past the end of the trace, event %llu", text, (unsigned long long)last);
    return 0;
}
