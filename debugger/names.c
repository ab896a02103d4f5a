/* Qualified names: DWARF says them by nesting alone, so the way down to an entry is looked for. */
#include "debugger/names.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/demangle.h"

enum { MAX_DEPTH = 32 };

enum language names_language(Dwarf_Die *die)
{
    Dwarf_Die unit;
    /* dwarf_get_units() clears what it gives for a unit that has no entry of its own. */
    if (!die->cu)
        return LANGUAGE_C;
    int language = dwarf_diecu(die, &unit, NULL, NULL) ? dwarf_srclang(&unit) : -1;
    switch (language) {
    case DW_LANG_C_plus_plus:
    case DW_LANG_C_plus_plus_03:
    case DW_LANG_C_plus_plus_11:
    case DW_LANG_C_plus_plus_14:
        return LANGUAGE_CPLUS;
    case DW_LANG_Rust:
        return LANGUAGE_RUST;
    default:
        return LANGUAGE_C;
    }
}

static bool is_scope(Dwarf_Die *die)
{
    switch (dwarf_tag(die)) {
    case DW_TAG_namespace:
    case DW_TAG_structure_type:
    case DW_TAG_class_type:
    case DW_TAG_union_type:
        return true;
    case DW_TAG_enumeration_type:
        return dwarf_hasattr(die, DW_AT_enum_class);
    default:
        return false;
    }
}

/* The last child that begins at or before the offset: the one that it is in, if any is. */
static bool child_around(Dwarf_Die *parent, Dwarf_Off offset, Dwarf_Die *found)
{
    Dwarf_Die child;
    bool any = false;
    if (dwarf_child(parent, &child) != 0)
        return false;
    do {
        if (dwarf_dieoffset(&child) > offset)
            break;
        *found = child;
        any = true;
    } while (dwarf_siblingof(&child, &child) == 0);
    return any;
}

static void put_scope_name(Dwarf_Die *die, struct buffer *out)
{
    const char *name = dwarf_diename(die);
    if (!name)
        name = dwarf_tag(die) == DW_TAG_namespace ? "(anonymous namespace)" : "{...}";
    buffer_put(out, name, strlen(name));
    buffer_put(out, "::", 2);
}

/* Out of the line of what was declared elsewhere: there. */
static Dwarf_Die declaration_of(Dwarf_Die *die)
{
    static const unsigned links[] = {DW_AT_abstract_origin, DW_AT_specification};
    Dwarf_Die at = *die;
    for (unsigned i = 0; i < 2; i++) {
        Dwarf_Attribute attribute;
        Dwarf_Die next;
        if (dwarf_attr(&at, links[i], &attribute) && dwarf_formref_die(&attribute, &next))
            at = next;
    }
    return at;
}

void names_put_scope(Dwarf_Die *die, struct buffer *out)
{
    Dwarf_Die target = declaration_of(die), at, next;
    Dwarf_Off offset = dwarf_dieoffset(&target);
    if (names_language(&target) == LANGUAGE_C || !dwarf_diecu(&target, &at, NULL, NULL))
        return;
    for (unsigned depth = 0; depth < MAX_DEPTH && child_around(&at, offset, &next); depth++) {
        if (dwarf_dieoffset(&next) == offset)
            return;
        at = next;
        if (is_scope(&at))
            put_scope_name(&at, out);
    }
}

void names_put(Dwarf_Die *die, struct buffer *out)
{
    const char *name = dwarf_diename(die);
    if (!name)
        return;
    names_put_scope(die, out);
    buffer_put(out, name, strlen(name));
}

void names_put_function(Dwarf_Die *die, struct buffer *out)
{
    Dwarf_Attribute attribute;
    const char *linkage = dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute)
                              ? dwarf_formstring(&attribute)
                              : NULL;
    char *text = linkage ? demangle(linkage, false) : NULL;
    if (text)
        buffer_put(out, text, strlen(text));
    else
        names_put(die, out);
    free(text);
}

/* ---- Matching ---- */

/* Equal but for spaces after commas, over the whole of both. */
static bool equal(const char *name, size_t size, const char *pattern)
{
    size_t at = 0;
    while (at < size && *pattern) {
        bool after_comma = at && name[at - 1] == ',';
        if (name[at] == *pattern) {
            at++;
            pattern++;
        } else if (name[at] == ' ' && after_comma) {
            at++;
        } else {
            return false;
        }
    }
    return at == size && !*pattern;
}

/* Where the arguments of a template that end a name begin, or the name's end. */
static size_t without_arguments(const char *name, size_t size)
{
    unsigned depth = 0;
    if (size == 0 || name[size - 1] != '>')
        return size;
    for (size_t at = size; at-- > 0;) {
        depth += name[at] == '>' && (at == 0 || name[at - 1] != '-');
        depth -= name[at] == '<';
        if (depth == 0)
            return at ? at : size;
    }
    return size;
}

/* `pattern` may begin at any "::" that is not inside brackets. */
static bool matches_end(const char *name, size_t size, const char *pattern)
{
    unsigned depth = 0;
    if (equal(name, size, pattern))
        return true;
    for (size_t at = 0; at + 2 < size; at++) {
        depth += name[at] == '<' || name[at] == '(';
        depth -= depth && (name[at] == ')' || (name[at] == '>' && (!at || name[at - 1] != '-')));
        if (depth == 0 && name[at] == ':' && name[at + 1] == ':' &&
            equal(name + at + 2, size - at - 2, pattern))
            return true;
    }
    return false;
}

bool names_match(const char *name, const char *pattern)
{
    size_t size = strlen(name);
    return matches_end(name, size, pattern) ||
           matches_end(name, without_arguments(name, size), pattern);
}

const char *names_last_part(const char *name)
{
    unsigned depth = 0;
    const char *last = name;
    for (const char *at = name; *at; at++) {
        depth += *at == '<';
        depth -= depth && *at == '>';
        if (depth == 0 && at[0] == ':' && at[1] == ':')
            last = at + 2;
    }
    return last;
}
