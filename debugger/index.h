/*
 * Finds things in a module's debugging information without searching all of it: units by address,
 * and by name the top-level types, variables, functions and enumerators, and where functions were
 * inlined. Made in one pass when it is first needed, which takes about a second for a kernel; not
 * for functions by address, and types of a name that only one has.
 */
#ifndef DEBUGGER_INDEX_H
#define DEBUGGER_INDEX_H

#include "debugger/symbols.h"

struct index;

void index_free(struct index *index);
/* Was there no memory for all of it since this was last asked? It is made again when needed. */
bool index_was_cut(struct module *module);

/* The unit whose code covers an address of the file. */
bool index_unit(struct module *module, uint64_t address, Dwarf_Die *unit);

/* The function whose code covers an address of the file. */
bool index_function(struct module *module, uint64_t address, Dwarf_Die *function);

/*
 * The first DIE of the name whose tag is wanted, definitions preferred: DW_TAG_subprogram,
 * DW_TAG_variable, the tags of types, or DW_TAG_enumerator, for which the DIE is the enumeration's.
 */
bool index_find(
    struct module *module, const char *name, const int *tags, unsigned tag_count, Dwarf_Die *die);
/* The same of a type's name that no other type has, as a kernel's own: units are looked through up
 * to its definition. */
bool index_find_type(
    struct module *module, const char *name, const int *tags, unsigned tag_count, Dwarf_Die *die);
/* All of them, until `visit` returns true. */
bool index_each(struct module *module, const char *name, int tag,
    bool (*visit)(void *context, Dwarf_Die *die), void *context);
/* All names that there are, of whatever is top-level, until `visit` returns true. */
bool index_names(struct module *module,
    bool (*visit)(void *context, const char *name, int tag, Dwarf_Die *die), void *context);
/* Addresses (of the file) where a function's code begins that was inlined; how many there are. */
unsigned index_inlined(struct module *module, const char *name, uint64_t *addresses, unsigned max);

#endif
