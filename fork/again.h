/*
 * An input source for a changed guest that gets what a recorded run got: what was typed, each piece
 * when the line shows that it followed and its delay has passed (fork/typed.h), and the entropy of
 * a run without a seed, in its order. All else comes from a live source.
 */
#ifndef FORK_AGAIN_H
#define FORK_AGAIN_H

#include "fork/typed.h"

struct again {
    struct input_source source; /* first */
    struct input_source *live;  /* borrowed */
    struct machine *machine;    /* set once the source is asked */
    const struct typed_list *typed;
    size_t next;    /* the piece that is to be given */
    size_t given;   /* bytes of it that were */
    unsigned seen;  /* times that its line has shown */
    uint64_t limit; /* the run is stopped after this much virtual time, ... */
    bool late;      /* ... and was */
    bool ready;     /* it has as often as is needed: it is due */
    uint64_t due;   /* then */
    struct cursor_line line;
    uint64_t last_event; /* when the piece before was given, and when */
    uint64_t last_time;

    struct buffer entropy;
    size_t entropy_used;
    uint64_t entropy_drawn; /* bytes beyond the recorded ones */
    uint64_t random;
};

/* Reads the entropy from the trace; `typed` and `live` are borrowed. */
int again_init(struct again *again, const struct trace_reader *trace,
    const struct typed_list *typed, struct input_source *live, struct error *error);
void again_free(struct again *again);
/* What the guest prints. */
struct byte_sink again_console(struct again *again);
/* All that was typed is typed again. */
bool again_is_done(const struct again *again);

#endif
