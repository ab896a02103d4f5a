/* Disassembly of guest memory through capstone, with symbols. */
#ifndef DEBUGGER_DISASSEMBLE_H
#define DEBUGGER_DISASSEMBLE_H

#include "debugger/symbols.h"
#include "debugger/view.h"

enum disassemble_syntax { SYNTAX_ATT, SYNTAX_INTEL };

enum instruction_kind {
    INSTRUCTION_OTHER,
    INSTRUCTION_CALL,
    INSTRUCTION_JUMP,
    INSTRUCTION_RETURN,
    INSTRUCTION_INTERRUPT_RETURN,
    INSTRUCTION_INTERRUPT, /* INT n, SYSCALL */
};

struct instruction {
    unsigned size; /* bytes, 1 to 15 */
    enum instruction_kind kind;
    bool has_target; /* a direct call or jump */
    uint64_t target;
    uint8_t bytes[15];
    char text[160]; /* "call   0x100320 <guest_main>" */
    bool cut;       /* there was no memory for the symbol in it */
};

/* The instruction at a linear address in the vCPU's mode; false when it cannot be read or is none.
 * `symbols` may be NULL: then the text has none. */
bool disassemble(const struct view *view, const struct symbols *symbols,
    enum disassemble_syntax syntax, uint64_t address, struct instruction *instruction);

#endif
