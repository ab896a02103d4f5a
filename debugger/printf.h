/* C's conversions over the guest's values. */
#ifndef DEBUGGER_PRINTF_H
#define DEBUGGER_PRINTF_H

#include "base/buffer.h"
#include "base/error.h"

struct debugger;

/* "\"FORMAT\"[, EXPRESSION]..." where the session looks; appends what it comes to. */
int printf_format(
    struct debugger *debugger, const char *arguments, struct buffer *out, struct error *error);

#endif
