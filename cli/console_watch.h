/*
 * Looks for signs of failure in what a guest prints, line by line: what Linux says when it has
 * found itself broken, and what --fail-on asks for. It only looks: the run is the same with it.
 */
#ifndef CLI_CONSOLE_WATCH_H
#define CLI_CONSOLE_WATCH_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { CONSOLE_WATCH_MAX = 16, CONSOLE_LINE_MAX = 1023 };

struct console_watch {
    regex_t pattern[CONSOLE_WATCH_MAX];
    unsigned count;
    char line[CONSOLE_LINE_MAX + 1]; /* the line under way, cut off at its room */
    size_t length;
    char found[CONSOLE_LINE_MAX + 1]; /* the first line that matched; "" while there is none */
};

/* With the patterns for Linux (oops, BUG, lockups, what the sanitizers report). */
int console_watch_init(struct console_watch *watch, struct error *error);
/* A POSIX extended regular expression, for a whole line without its end. */
int console_watch_add(struct console_watch *watch, const char *regex, struct error *error);
/* Takes all patterns away. */
void console_watch_clear(struct console_watch *watch);
/* True when a line among these bytes is the first that matches. */
bool console_watch_put(struct console_watch *watch, const uint8_t *bytes, size_t count);

#endif
