/*
 * The network frames that a recorded run received: so that a guest that comes there sooner or later
 * can receive them again, in their order. A frame's cause is what the guest had sent by then.
 */
#ifndef FORK_FRAMES_H
#define FORK_FRAMES_H

#include "replay/replay.h"

struct frame {
    unsigned net;        /* which NIC it came to */
    struct buffer bytes; /* the link that it came by, and the frame: as in struct delivery */
    uint64_t sent;       /* frames that the guest had sent, by all its NICs */
    uint64_t
        delay;   /* virtual ns from when the frame before was given, or power-on, to when it came */
    bool landed; /* in mid-stretch: the event before is a landing */
    uint64_t event, time; /* when it was given */
};

struct frame_list {
    struct frame *frame;
    size_t count, room;
};

/* As typed_find() (fork/typed.h), of frames. */
int frames_find(struct frame_list *list, const char *trace, const struct replay_options *options,
    bool *damaged, struct error *error);
void frames_free(struct frame_list *list);

#endif
