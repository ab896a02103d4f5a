/*
 * Values of expressions, and how they are printed. A value is a scalar, or a place in guest memory
 * whose contents are read when they are needed.
 */
#ifndef DEBUGGER_VALUE_H
#define DEBUGGER_VALUE_H

#include "debugger/type.h"
#include "debugger/view.h"

struct value {
    struct type type;
    bool in_memory;                   /* at `address`; else `bits` */
    uint64_t address;                 /* linear */
    uint64_t bits;                    /* zero-extended; floats as their bits */
    uint64_t high;                    /* the rest of what has more than 8 bytes (floats.h) */
    unsigned field_bits, field_shift; /* in memory: a bit field */
};

struct value value_number(uint64_t bits, const struct type *type);
struct value value_at(uint64_t address, const struct type *type);

/* The scalar: sign- or zero-extended to 64 bits. A pointer for arrays and functions. */
int value_scalar(
    const struct view *view, const struct value *value, uint64_t *bits, struct error *error);
/* What a reference refers to. */
int value_refer(const struct view *view, const struct value *reference, struct value *target,
    struct error *error);

/*
 * Appends the value. `format` is 0 for the type's own, or one of gdb's letters: x hexadecimal, d
 * signed, u unsigned, o octal, t binary, c character, a address with symbol, s string, f float.
 */
int value_format(const struct view *view, const struct symbols *symbols, const struct value *value,
    char format, struct buffer *out, struct error *error);
/* The same with a line for each member, as gdb's "set print pretty". */
int value_format_pretty(const struct view *view, const struct symbols *symbols,
    const struct value *value, char format, struct buffer *out, struct error *error);
/* One number of `size` bytes in a format letter. */
void value_format_number(
    const struct symbols *symbols, uint64_t bits, unsigned size, char format, struct buffer *out);
/* A byte string in quotes, with C's escapes. */
void value_quote(const char *text, size_t size, struct buffer *out);

#endif
