/*
 * The functions and blocks around an address, with those that were inlined there, and what of them
 * belongs to a frame: an inlined function has a frame of its own, with the registers of the
 * function that it became a part of.
 */
#ifndef DEBUGGER_SCOPES_H
#define DEBUGGER_SCOPES_H

#include "debugger/symbols.h"
#include "debugger/unwind.h"

enum { MAX_SCOPES = 64 };

struct scopes {
    const struct module *module;
    Dwarf_Die list[MAX_SCOPES]; /* the function first, the innermost block last */
    unsigned count;
    /* Of a frame: those in [begin, end) are its own. */
    unsigned begin, end;
};

/* Of an address in the guest; false where nothing is known. All are its own. */
bool scopes_at(const struct symbols *symbols, uint64_t address, struct scopes *scopes);
/* How many of the functions at the address are inlined ones. */
unsigned scopes_inlined(const struct scopes *scopes);
/* Those of a frame. */
bool scopes_of(const struct symbols *symbols, const struct frame *frame, struct scopes *scopes);
/* Appends the name of the inlined function that the frame is of; false: it is a function's own. */
bool scopes_inlined_name(const struct scopes *scopes, struct buffer *out);

/* The source line where a frame stands: of its pc, or where what it calls was inlined. */
bool frame_line(const struct symbols *symbols, const struct frame *frame, struct source_line *line);

#endif
