/* The first event that is another in two traces. */
#include "cli/difference.h"

static bool same_event(const struct trace_check *a, const struct trace_check *b, bool counted)
{
    return a->kind == b->kind && a->size == b->size && a->address == b->address &&
           a->value == b->value && (!counted || a->insn_delta == b->insn_delta);
}

int difference_first(
    struct trace_reader *const readers[2], struct difference_event *first, struct error *error)
{
    struct trace_checks *stream[2] = {NULL, NULL};
    int more[2] = {-1, -1};
    *first = (struct difference_event){.counted = true};
    for (unsigned i = 0; i < 2; i++) {
        struct trace_info info;
        trace_reader_info(readers[i], &info);
        first->counted &= info.counts_instructions;
        stream[i] = trace_checks_open(readers[i], error);
    }
    while (stream[0] && stream[1]) {
        for (unsigned i = 0; i < 2; i++)
            more[i] = trace_checks_next(stream[i], &first->check[i], error);
        if (more[0] <= 0 || more[1] <= 0 ||
            !same_event(&first->check[0], &first->check[1], first->counted))
            break;
    }
    for (unsigned i = 0; i < 2; i++) {
        first->there[i] = more[i] > 0;
        trace_checks_close(stream[i]);
    }
    if (more[0] < 0 || more[1] < 0)
        return more[0] < 0 ? more[0] : more[1];
    if (more[0] > 0 || more[1] > 0)
        first->event = first->check[more[0] > 0 ? 0 : 1].event;
    return 0;
}
