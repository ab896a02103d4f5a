/* Finds the functions and blocks around an address, inlined ones among them. */
#include "debugger/scopes.h"

#include <dwarf.h>
#include <string.h>

#include "debugger/names.h"

/* The child whose code covers the address, if it is a block or an inlined function. */
static bool descend(Dwarf_Die *parent, uint64_t address, Dwarf_Die *found)
{
    Dwarf_Die child;
    if (dwarf_child(parent, &child) != 0)
        return false;
    do {
        int tag = dwarf_tag(&child);
        if ((tag == DW_TAG_lexical_block || tag == DW_TAG_inlined_subroutine) &&
            dwarf_haspc(&child, address) == 1) {
            *found = child;
            return true;
        }
    } while (dwarf_siblingof(&child, &child) == 0);
    return false;
}

bool scopes_at(const struct symbols *symbols, uint64_t address, struct scopes *scopes)
{
    scopes->count = scopes->begin = scopes->end = 0;
    if (!symbols_function(symbols, address, &scopes->module, &scopes->list[0]))
        return false;
    address -= scopes->module->bias;
    scopes->count = 1;
    while (scopes->count < MAX_SCOPES &&
           descend(&scopes->list[scopes->count - 1], address, &scopes->list[scopes->count]))
        scopes->count++;
    scopes->end = scopes->count;
    return true;
}

static bool is_inlined(const struct scopes *scopes, unsigned index)
{
    Dwarf_Die die = scopes->list[index];
    return dwarf_tag(&die) == DW_TAG_inlined_subroutine;
}

unsigned scopes_inlined(const struct scopes *scopes)
{
    unsigned inlined = 0;
    for (unsigned i = 0; i < scopes->count; i++)
        inlined += is_inlined(scopes, i);
    return inlined;
}

bool scopes_of(const struct symbols *symbols, const struct frame *frame, struct scopes *scopes)
{
    unsigned seen = 0;
    if (!scopes_at(symbols, unwind_lookup_address(frame), scopes))
        return false;
    for (unsigned i = 0; i < scopes->count; i++) {
        if (!is_inlined(scopes, i))
            continue;
        seen++;
        if (seen == frame->inlined)
            scopes->begin = i;
        if (seen == frame->inlined + 1)
            scopes->end = i;
    }
    return true;
}

bool scopes_inlined_name(const struct scopes *scopes, struct buffer *out)
{
    Dwarf_Die die = scopes->list[scopes->begin];
    if (!scopes->count || !is_inlined(scopes, scopes->begin) || !dwarf_diename(&die))
        return false;
    names_put_function(&die, out);
    return true;
}

/* Where the inlined function was called. */
static bool call_line(Dwarf_Die *die, struct source_line *line)
{
    Dwarf_Attribute attribute;
    Dwarf_Word number, file;
    Dwarf_Files *files;
    Dwarf_Die unit;
    if (!dwarf_attr(die, DW_AT_call_line, &attribute) ||
        dwarf_formudata(&attribute, &number) != 0 ||
        !dwarf_attr(die, DW_AT_call_file, &attribute) || dwarf_formudata(&attribute, &file) != 0 ||
        !dwarf_diecu(die, &unit, NULL, NULL) || dwarf_getsrcfiles(&unit, &files, NULL) != 0)
        return false;
    line->file = dwarf_filesrc(files, file, NULL, NULL);
    line->line = (int)number;
    return line->file != NULL;
}

bool frame_line(const struct symbols *symbols, const struct frame *frame, struct source_line *line)
{
    struct scopes scopes;
    bool found = symbols_line(symbols, unwind_lookup_address(frame), line);
    if (!found || frame->inlined == frame->inlined_here || !scopes_of(symbols, frame, &scopes) ||
        scopes.end == scopes.count)
        return found;
    return call_line(&scopes.list[scopes.end], line);
}
