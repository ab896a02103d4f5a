/*
 * ORC, the Linux kernel's own unwind tables: for each address of its code and its modules' where
 * the caller's stack, frame pointer and return address are, or what an entry pushed. The kernel's
 * come from its file, a module's from guest memory.
 *
 * Sources: Linux arch/x86/include/asm/orc_types.h, arch/x86/kernel/unwind_orc.c, ptrace.h.
 */
#ifndef DEBUGGER_ORC_H
#define DEBUGGER_ORC_H

#include "debugger/unwind.h"

enum orc_result {
    ORC_NONE,       /* no table covers the address */
    ORC_CALLER,     /* *caller is the calling frame */
    ORC_END,        /* the outermost */
    ORC_UNREADABLE, /* the stack is not mapped where it should be */
};

enum orc_result orc_next(const struct symbols *symbols, const struct view *view,
    const struct frame *frame, struct frame *caller);

#endif
