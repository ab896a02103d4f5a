/*
 * Values of Rust: its structs, tuples, strings, slices, and enumerations with data, of which the
 * discriminant in memory says which variant is there (DWARF 5, section 5.7.10).
 */
#ifndef DEBUGGER_RUST_H
#define DEBUGGER_RUST_H

#include "debugger/printer.h"

/* Is the struct an enumeration with data? */
bool rust_is_enum(const struct type *type);
/*
 * The variant that is there: its struct in *variant, its name in *name (lives as long as the
 * symbols; NULL when it has none). False where none fits or memory cannot be read.
 */
bool rust_find_variant(
    const struct view *view, const struct value *value, struct value *variant, const char **name);
/* The pointer to the first element of a slice; false for any other value. */
bool rust_slice(const struct value *value, struct value *pointer);
/* A struct of Rust, whatever it stands for. */
int rust_print_struct(struct printer *printer, const struct value *value);

#endif
