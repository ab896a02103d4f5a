/*
 * Call frames: from a function's registers to its caller's, by call frame information where the
 * symbol files have it, else by the chain of frame pointers, which may skip or invent frames and is
 * marked as such. Interrupts and exceptions are crossed where CFI describes the handler's entry,
 * and where the stack holds what the CPU pushed.
 *
 * Also evaluates DWARF expressions over a frame's registers. Sources: DWARF 5 sections 2.5 and 6.4,
 * System V ABI x86-64 (register numbers, figure 3.36).
 */
#ifndef DEBUGGER_UNWIND_H
#define DEBUGGER_UNWIND_H

#include "debugger/symbols.h"
#include "debugger/view.h"

/* DWARF numbers of the registers that frames carry. */
enum { DWARF_RAX, DWARF_RDX, DWARF_RCX, DWARF_RBX, DWARF_RSI, DWARF_RDI, DWARF_RBP, DWARF_RSP };
enum { DWARF_PC = 16, FRAME_REGISTERS, DWARF_XMM0 = 17 };

enum frame_how {
    FRAME_CURRENT,   /* the vCPU's own registers */
    FRAME_CFI,       /* by call frame information */
    FRAME_INTERRUPT, /* what an interrupt or exception found: its pc is exact */
    FRAME_POINTER,   /* guessed from the chain of frame pointers */
};

/* Why a trace of frames ends. */
enum unwind_end {
    UNWIND_OUTERMOST,
    UNWIND_NO_INFORMATION, /* nothing tells where the caller is */
    UNWIND_UNREADABLE,     /* the stack is not mapped there */
    UNWIND_INNER,          /* the caller would be further in: a corrupt stack */
};

struct frame {
    uint64_t reg[FRAME_REGISTERS]; /* reg[DWARF_PC] is a linear address */
    uint32_t known;                /* a bit for each register that could be recovered */
    enum frame_how how;
    bool has_cfa;
    uint64_t cfa;  /* by CFI, of this frame; valid when has_cfa */
    bool switches; /* the stack may be another one than the called frame's */
    bool is_user;  /* what an entry from user mode interrupted */
    /* Inlined functions are frames, too: how many of those at the pc this one is inside of, and how
     * many there are. The outermost, the function itself, has 0. */
    unsigned inlined, inlined_here;
    enum unwind_end end; /* of the one that could not be found */
};

/* The frame of the vCPU's own registers. */
void unwind_start(const struct symbols *symbols, const struct view *view, struct frame *frame);
/* The caller of `frame`; false at the outermost or when the way is lost, and caller->end says why.
 */
bool unwind_next(const struct symbols *symbols, const struct view *view, const struct frame *frame,
    struct frame *caller);
/* As unwind_next, out of all that is inlined there. */
bool unwind_caller(const struct symbols *symbols, const struct view *view,
    const struct frame *frame, struct frame *caller);
/* For looking up the line and symbol of a frame: the pc, or inside the call instruction. */
uint64_t unwind_lookup_address(const struct frame *frame);

/* The name of DWARF register `number` (0 to 15), e.g. "rdx". */
const char *unwind_register_name(unsigned number);

/* The general register of that number. */
uint64_t unwind_register(const struct view *view, unsigned number);

/* What a DWARF location description came to. */
enum location_kind { LOCATION_ADDRESS, LOCATION_REGISTER, LOCATION_VALUE, LOCATION_NONE };

struct location {
    enum location_kind kind;
    uint64_t value; /* address, register number, or the value itself */
};

/*
 * Evaluates. `frame` gives registers (may be NULL for globals), `frame_base` a function's
 * DW_AT_frame_base value where the expression uses DW_OP_fbreg (may be NULL). False when it needs
 * what is not known, or is malformed.
 */
bool unwind_evaluate(const struct view *view, const struct module *module,
    const struct frame *frame, const uint64_t *frame_base, const Dwarf_Op *ops, size_t count,
    const uint64_t *initial, struct location *result);

#endif
