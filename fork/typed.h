/*
 * What was typed in a recorded run, and what on the console each piece of it followed: so that it
 * can be typed again into a guest that comes there sooner or later.
 *
 * A piece follows the line that the cursor stood in, such as a prompt, or the last line that was
 * printed where it stood at the beginning of one. What Linux's kernel prints before a message (its
 * time, and who it is from) is passed over. Where nothing was printed since the piece before, it
 * follows that. Bytes that only waited for room in the port belong to the piece before.
 */
#ifndef FORK_TYPED_H
#define FORK_TYPED_H

#include "replay/replay.h"

enum { CURSOR_LINE_MAX = 1023 };

/* The line of a console that the cursor is in, or that it has just left. */
struct cursor_line {
    char text[CURSOR_LINE_MAX + 1]; /* without what is beyond its room */
    size_t length;
    bool whole; /* its end was printed; empty lines are passed over */
};

/* Takes one byte that was printed; false where that changes nothing. */
bool cursor_line_put(struct cursor_line *line, uint8_t byte);
/* Without the kernel's time and origin. */
const char *cursor_line_text(const struct cursor_line *line);
bool cursor_line_equal(const struct cursor_line *a, const struct cursor_line *b);

struct typed {
    struct buffer bytes;
    struct cursor_line *after; /* NULL: the piece before (or power-on) */
    unsigned times;            /* that line has shown since the piece before */
    uint64_t delay;            /* virtual ns from there on */
    uint64_t event, time;      /* when its first byte was given */
};

struct typed_list {
    struct typed *piece;
    size_t count, room;
};

/*
 * Replays the run where something was typed in it. A trace that cannot be replayed to its end is an
 * error. *damaged: as of replay_open().
 */
int typed_find(struct typed_list *list, const char *trace, const struct replay_options *options,
    bool *damaged, struct error *error);
void typed_free(struct typed_list *list);

#endif
