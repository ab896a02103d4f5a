/*
 * gdb's agent expressions: the bytecode that gdb makes of a breakpoint's condition, evaluated here
 * at every hit so that gdb is only told of those that stop. Whoever speaks gdb's protocol sends it:
 * every byte is checked.
 *
 * Source: GDB manual, appendix F, "The GDB Agent Expression Mechanism".
 */
#ifndef DEBUGGER_AGENT_H
#define DEBUGGER_AGENT_H

#include "debugger/view.h"

enum { AGENT_MAX_SIZE = 4096 }; /* bytes of an expression that is taken */

/*
 * What is left on top of the stack. -1 and the error where the expression goes wrong: code that is
 * not understood, a register or memory that is not there, a division by zero, a loop without end.
 */
int agent_evaluate(const uint8_t *code, size_t size, const struct view *view, uint64_t *result,
    struct error *error);

#endif
