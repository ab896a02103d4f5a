/*
 * Types: C's own, and those of DWARF, which a cast may point to any number of times and an `@` may
 * repeat. A struct type is a value; the DIE in it lives as long as its module.
 */
#ifndef DEBUGGER_TYPE_H
#define DEBUGGER_TYPE_H

#include "debugger/symbols.h"

enum type_kind {
    TYPE_VOID,
    TYPE_SIGNED,
    TYPE_UNSIGNED,
    TYPE_CHAR, /* prints as a character; signed or not by type_is_signed */
    TYPE_BOOL,
    TYPE_FLOAT,
    TYPE_POINTER,
    TYPE_REFERENCE, /* C++: prints what it refers to, which it is in expressions */
    TYPE_STRUCT,    /* and union */
    TYPE_ARRAY,
    TYPE_ENUM,
    TYPE_FUNCTION,
    TYPE_VECTOR, /* an SSE register (vector.h) */
    TYPE_UNKNOWN,
};

struct type {
    bool has_die;
    Dwarf_Die die;
    enum type_kind builtin; /* without a DIE */
    unsigned size;          /* of a builtin, bytes */
    bool is_unsigned_char;
    unsigned pointers; /* how many times pointed to, beyond the above */
    uint64_t repeat;   /* an array of so many of the above; 0: not one */
};

struct type type_builtin(enum type_kind kind, unsigned size);
struct type type_from_die(const Dwarf_Die *type);
/* What DW_AT_type of a variable, member or function says; void when it has none. */
struct type type_of(Dwarf_Die *die);

/* The DIE under typedefs and qualifiers; false for a type without one. */
bool type_peel(const struct type *type, Dwarf_Die *die);

enum type_kind type_kind(const struct type *type);
bool type_is_signed(const struct type *type);
bool type_is_integer(const struct type *type); /* signed, unsigned, char, bool, enum */
/* In bytes; 0 for void, functions and incomplete types. */
uint64_t type_size(const struct type *type);
/* "struct node *" */
void type_describe(const struct type *type, struct buffer *out);
/* With the name that is declared: "int (*visit)(struct node *)". */
void type_declare(const struct type *type, const char *name, struct buffer *out);
/* As declared in C, members and all: for ptype. */
void type_define(const struct type *type, struct buffer *out);

/* A struct that its unit only declares becomes what another unit, of any module, defines. */
void type_complete(const struct symbols *symbols, struct type *type);
struct type type_pointer_to(const struct type *type);
/* What a pointer points to or an array is made of. */
struct type type_target(const struct type *type);
/* The elements of one dimension, from its DW_TAG_subrange_type; false when they are not told. */
bool type_subrange(Dwarf_Die *die, uint64_t *count);
/* Elements of an array; 0 when it is not told. */
uint64_t type_elements(const struct type *type);
/* Appends an enum's value as it is called in the program: "RED", "geo::Color::Red",
 * "(BOLD | WIDE)" of one whose enumerators are bits; its number where it has no name. */
void type_put_enumerator(const struct type *type, uint64_t value, struct buffer *out);
/* The value of the enumerator with that name anywhere in the symbols. */
bool type_find_enumerator(
    const struct symbols *symbols, const char *name, uint64_t *value, struct type *type);

struct member {
    const char *name; /* NULL: an anonymous struct or union */
    struct type type;
    uint64_t offset;    /* bytes */
    unsigned bits;      /* of a bit field; 0: not one */
    unsigned shift;     /* of a bit field: its lowest bit, from `offset` on */
    bool is_base;       /* a base class; it has no name of its own */
    bool is_virtual;    /* ... whose place only the object itself tells: `offset` is not known */
    bool is_artificial; /* the compiler's */
    unsigned access;    /* DW_ACCESS_public, ...; 0: as usual in its kind of class */
};

/* From the DIE of a member or of an inheritance. */
void type_read_member(Dwarf_Die *die, struct member *member);

/* Calls `visit` for each member of a struct or union; stops when it returns true. */
bool type_each_member(
    const struct type *type, bool (*visit)(void *context, const struct member *), void *context);
/* By name, also inside anonymous members and base classes. */
bool type_find_member(const struct type *type, const char *name, struct member *member);

/*
 * A type from C text at *text: "struct node *", "unsigned long", "uint64_t". Advances *text past
 * it. False, with *text where it was, when no type begins there.
 */
bool type_parse(const struct symbols *symbols, const char **text, struct type *type);

#endif
