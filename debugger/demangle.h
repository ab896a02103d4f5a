/*
 * Names as their authors wrote them, from what C++ (Itanium ABI, chapter 5) and Rust (v0, RFC 2603,
 * and the legacy form) compilers make of them. By libiberty, which is optional: without it names
 * stay as they are.
 */
#ifndef DEBUGGER_DEMANGLE_H
#define DEBUGGER_DEMANGLE_H

#include <stdbool.h>

/* Was this program built with a demangler? */
bool demangle_available(void);
/* Has the name the form of a mangled one? */
bool demangle_is_mangled(const char *name);
/*
 * The name, with the types of its parameters ("geo::Shape::area(double) const") or without
 * ("geo::Shape::area"); the caller frees it. NULL where the name is not mangled, and out of memory.
 */
char *demangle(const char *name, bool parameters);

#endif
