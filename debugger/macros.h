/*
 * C's macros, where the debugging information has them (gcc -g3): those that are defined at a place
 * in the source, and their expansion in expressions as the preprocessor would do it. Sources: DWARF
 * 5 section 6.3, C17 section 6.10.3.
 */
#ifndef DEBUGGER_MACROS_H
#define DEBUGGER_MACROS_H

#include "debugger/unwind.h"

/* The macros at one place. */
struct macros;

/* Where a file was included; of the unit's own file `outer` is NULL. */
struct macro_file {
    const char *name;
    const struct macro_file *outer;
    int line; /* of the #include, in `outer` */
};

struct macro {
    const char *text;      /* as in DWARF: "NAME VALUE" or "NAME(a,b) VALUE" */
    size_t length;         /* of the name */
    struct macro_file *in; /* NULL: predefined, or by an option of the compiler */
    int line;              /* 0: predefined, or by an option */
};

void macros_free(struct macros *macros);

/*
 * Those at the line where the frame stands; NULL where there is no information about any. They live
 * until this is asked about another place of the same module.
 */
const struct macros *macros_at(const struct symbols *symbols, const struct frame *frame);
/* NULL when it is not defined there. */
const struct macro *macros_find(const struct macros *macros, const char *name, size_t length);
/* All of them, in the order of their definition. */
void macros_each(const struct macros *macros,
    void (*visit)(void *context, const struct macro *macro), void *context);

enum { MAX_EXPANSIONS = 64 };

/* A text after its expansion, and what each of its places was before. */
struct expanded {
    struct buffer text; /* ends with a zero byte */
    struct expansion {
        size_t begin, end; /* in `text` */
        size_t source;     /* where the source goes on */
    } list[MAX_EXPANSIONS];
    unsigned count;
};

/* -1 and the error when it gets too long. The caller frees `expanded->text` in any case. */
int macros_expand(
    const struct macros *macros, const char *text, struct expanded *expanded, struct error *error);
/* The place in the source that a place in the expanded text stands for. */
size_t expanded_source(const struct expanded *expanded, size_t at);

#endif
