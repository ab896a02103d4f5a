/*
 * Variables that are kept in pieces: a struct whose members are in several registers, or partly
 * nowhere. Source: DWARF 5 section 2.6.1.2.
 */
#ifndef DEBUGGER_PIECES_H
#define DEBUGGER_PIECES_H

#include "debugger/unwind.h"
#include "debugger/value.h"

/* Is the location one of pieces? */
bool pieces_are(const Dwarf_Op *ops, size_t count);
/*
 * Puts the pieces together. What is of a register that the frame does not know, or of no place at
 * all, is unknown in the value. False when they are malformed or more than a value holds.
 */
bool pieces_read(const struct view *view, const struct module *module, const struct frame *frame,
    const uint64_t *frame_base, const Dwarf_Op *ops, size_t count, struct value *value);
/* An SSE register by its DWARF number: functions need not preserve these, so only in the innermost
 * frame. */
const uint8_t *pieces_vector_register(
    const struct view *view, const struct frame *frame, uint64_t number);

#endif
