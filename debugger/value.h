/*
 * Values of expressions, and how they are printed. A value is a place in guest memory whose
 * contents are read when they are needed, or a few bytes: a scalar, or a struct that the compiler
 * keeps in registers.
 */
#ifndef DEBUGGER_VALUE_H
#define DEBUGGER_VALUE_H

#include "debugger/type.h"
#include "debugger/view.h"

enum { VALUE_BYTES = 64 };

struct value {
    struct type type;
    bool in_memory;   /* at `address`; else `bytes` */
    uint64_t address; /* linear */
    union {
        struct {
            uint64_t bits; /* zero-extended; floats as their bits */
            uint64_t high; /* the rest of what has more than 8 bytes (floats.h) */
        };
        uint8_t bytes[VALUE_BYTES];
    };
    uint64_t unknown;                 /* a bit for each of the bytes that nothing keeps */
    unsigned field_bits, field_shift; /* a bit field */
    unsigned in_register; /* 1 + RAX to R15, of which this is a copy in this frame; 0: none */
};

struct value value_number(uint64_t bits, const struct type *type);
struct value value_at(uint64_t address, const struct type *type);

/* What begins `offset` bytes into a value: an element. */
struct value value_part(const struct value *of, uint64_t offset, const struct type *type);
struct value value_member(const struct value *of, const struct member *member);
/* Is it not in memory, and some of it nowhere else? */
bool value_is_lost(const struct value *value);

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

struct printer;

struct value_style {
    char format;
    bool pretty;     /* a line for each member, as gdb's "set print pretty" */
    bool is_summary; /* in a line with others: without the parts of what `show` takes */
    /* Asked first about each value, and each that is in one. 1: it has printed the value
     * (printer.h); 0: it is to be printed as ever; -1: neither, for the printer's error. May be
     * NULL. */
    int (*show)(void *context, struct printer *printer, const struct value *value);
    void *context;
};

int value_format_as(const struct view *view, const struct symbols *symbols,
    const struct value *value, const struct value_style *style, struct buffer *out,
    struct error *error);
/* Only as `show` has it: what that returned. */
int value_show(const struct view *view, const struct symbols *symbols, const struct value *value,
    const struct value_style *style, struct buffer *out, struct error *error);
/* One number of `size` bytes in a format letter. */
void value_format_number(
    const struct symbols *symbols, uint64_t bits, unsigned size, char format, struct buffer *out);
/* A byte string in quotes, with C's escapes. */
void value_quote(const char *text, size_t size, struct buffer *out);

#endif
