/*
 * C expressions over the guest: registers ($rax), variables, symbols, numbers, casts, * & [] . ->,
 * arithmetic, comparisons, && || ! ?:, sizeof, `@` (an array of so many), $N of the value history,
 * and convenience variables ($name). Nothing is ever written to the guest.
 */
#ifndef DEBUGGER_EXPRESSION_H
#define DEBUGGER_EXPRESSION_H

#include "debugger/unwind.h"
#include "debugger/value.h"

/* A value under a name, "$name" without the dollar. */
struct convenience {
    char name[32];
    struct value value;
};

struct expression_scope {
    const struct symbols *symbols;
    const struct view *view;
    const struct frame *frame; /* the selected one; NULL: registers and globals only */
    const struct value *history;
    unsigned history_count; /* $1 is history[0] */
    const struct convenience *variables;
    unsigned variable_count;
};

/* The whole of `text`. */
int expression_evaluate(const struct expression_scope *scope, const char *text, struct value *value,
    struct error *error);
/* The beginning of *text; *text is moved to what follows it. */
int expression_evaluate_part(const struct expression_scope *scope, const char **text,
    struct value *value, struct error *error);
/* The whole of `text` as a number or address. */
int expression_number(
    const struct expression_scope *scope, const char *text, uint64_t *number, struct error *error);

#endif
