/*
 * An input source for a changed guest that gets what a recorded run got: what was typed, each piece
 * when the line shows that it followed and its delay has passed (fork/typed.h), the frames
 * that its NICs received (fork/frames.h), and the entropy of a run without a seed, each in its
 * order. A frame waits for its delay after the one before, until the guest has sent as many frames
 * as the recorded one had, and for a buffer. What the guest sends goes nowhere; the links that it
 * leaves by are the recorded ones. All else comes from a live source.
 */
#ifndef FORK_AGAIN_H
#define FORK_AGAIN_H

#include "fork/frames.h"
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

    const struct frame_list *frames;
    size_t frame;        /* that is to be received next */
    uint64_t frame_time; /* when the one before was, and at which event */
    uint64_t frame_event;
    uint64_t sent;       /* frames that left the guest */
    struct buffer links; /* for each that left the recorded one: size of the answer, two bytes */

    struct buffer entropy;
    size_t entropy_used;
    uint64_t entropy_drawn; /* bytes beyond the recorded ones */
    uint64_t random;
};

/* Reads entropy and links from the trace; the lists and `live` are borrowed. */
int again_init(struct again *again, const struct trace_reader *trace,
    const struct typed_list *typed, const struct frame_list *frames, struct input_source *live,
    struct error *error);
void again_free(struct again *again);
/* What the guest prints. */
struct byte_sink again_console(struct again *again);
/* All that was typed is typed again, all that was received is received, or both. */
bool again_has_typed(const struct again *again);
bool again_has_received(const struct again *again);
bool again_is_done(const struct again *again);

#endif
