/* One run of this program, waited for. */
#ifndef CLI_CHILD_H
#define CLI_CHILD_H

#include "base/buffer.h"
#include "base/error.h"

enum { CHILD_WORDS_MAX = 300 };

struct child {
    const char *word[CHILD_WORDS_MAX]; /* arguments, borrowed */
    unsigned count;
    const char *output; /* a file that gets what it prints, both streams */
};

/* Too many words are told by child_run(). */
void child_add(struct child *child, const char *word);
/* Its exit status, 128 + N after signal N; -1 with the error, and *interrupted when a signal to
 * this process ended it. */
int child_run(const struct child *child, int *interrupted, struct error *error);
/* The last line that is not empty of what it printed, without "hindsight: ". */
void child_last_line(const struct child *child, char *line, size_t size);
/* Appends what it printed: lines that begin with `prefix` (NULL: all), with `indent` before them.
 */
void child_put_lines(
    const struct child *child, const char *prefix, const char *indent, struct buffer *out);

#endif
