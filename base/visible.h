/*
 * Text that others made, shown to a person: what would play with the terminal is made visible.
 */
#ifndef BASE_VISIBLE_H
#define BASE_VISIBLE_H

#include "base/buffer.h"

/*
 * Appends the text; line ends, tabs and printable UTF-8 as they are, every other byte as \xNN: the
 * control characters (of both sets) and what is no UTF-8.
 */
void buffer_put_visible(struct buffer *out, const void *text, size_t size);

/* In place, into at most `size` bytes with the terminator: for a message. */
void text_make_visible(char *text, size_t size);

#endif
