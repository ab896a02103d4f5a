/*
 * Counts the events of a trace by the kind of what the guest did:
 *
 *     cc events.c $(pkg-config --cflags --libs hindsight-trace) -o events && ./events t.hst
 */
#include <inttypes.h>
#include <stdio.h>

#include "traces/trace.h"

int main(int argc, char **argv)
{
    struct error error;
    struct trace_reader *reader;
    if (argc != 2) {
        fprintf(stderr, "usage: events TRACE.hst\n");
        return 2;
    }
    if (trace_reader_open(&reader, argv[1], &error) < 0) {
        fprintf(stderr, "events: %s\n", error.text);
        return 1;
    }
    struct trace_checks *checks = trace_checks_open(reader, &error);
    struct trace_check check;
    uint64_t count[256] = {0};
    int more = -1;
    while (checks && (more = trace_checks_next(checks, &check, &error)) > 0)
        count[check.kind]++;
    for (unsigned kind = 0; kind < 256; kind++) {
        if (count[kind])
            printf("kind %u: %" PRIu64 " events\n", kind, count[kind]);
    }
    if (more < 0)
        fprintf(stderr, "events: %s\n", error.text);
    trace_checks_close(checks);
    trace_reader_close(reader);
    return more < 0;
}
