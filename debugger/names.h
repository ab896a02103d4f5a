/*
 * Names of DWARF's entries with the namespaces and classes around them ("geo::Shape::area"), and
 * the language that an entry is written in.
 */
#ifndef DEBUGGER_NAMES_H
#define DEBUGGER_NAMES_H

#include <elfutils/libdw.h>
#include <stdbool.h>

#include "base/buffer.h"

enum language { LANGUAGE_C, LANGUAGE_CPLUS, LANGUAGE_RUST };

/* Of the unit that the entry is in; what is neither C++ nor Rust is taken for C. */
enum language names_language(Dwarf_Die *die);
/* Appends the name, in C++ and Rust with all that is around it; nothing where it has none. */
void names_put(Dwarf_Die *die, struct buffer *out);
/* Likewise without its own name: "geo::Shape::" or nothing. */
void names_put_scope(Dwarf_Die *die, struct buffer *out);
/* The name of a function, inlined or not. */
void names_put_function(Dwarf_Die *die, struct buffer *out);
/* Is `name` what `pattern` asks for: the same, or its end from a "::" on; the arguments of a
 * template at its end need not be given, nor spaces after commas. */
bool names_match(const char *name, const char *pattern);
/* The part after the last "::" that is not inside the arguments of a template. */
const char *names_last_part(const char *name);

#endif
