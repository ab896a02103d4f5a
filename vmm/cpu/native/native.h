/*
 * Host code for blocks that run often: the back end of the decoded form (blocks.h).
 *
 * A block that was entered NATIVE_WARMTH times by the dispatcher is translated. What it does is
 * what the dispatcher's forms do, exactly: same TLB, same counting, same stops. Code is made for
 * the frequent case only; for anything else (a TLB miss, MMIO, a watched page, code being written,
 * an instruction without a translation) it puts the registers back into struct cpu and calls the
 * instruction's handler, which may fault, stop or go on. So there is one definition of what an
 * instruction does at its edges, and native code may be used or not without a guest, a count of
 * instructions or a trace noticing.
 *
 * While native code runs:
 *   - RBP is the struct cpu, plus CPU_BIAS; most guest registers are in host registers (compile.h),
 *     the others and XMM stay in struct cpu;
 *   - `countdown` is charged at a block's entry, `code_page` is the linear address of the page that
 *     the code is on; `block_rip`, `running` and the registers in struct cpu are stale until a
 *     handler is called or native code is left;
 *   - arithmetic flags are in `flags` wherever somebody could see them.
 *
 * Only 64-bit code without alignment checks is translated, and no block in which the dispatcher has
 * to stop by itself for a breakpoint. Blocks on the same page jump to each other directly;
 * everything else goes by the TLB entry of the target's page and a table by physical address, as
 * the dispatcher goes by its hash. A dropped block's entry is overwritten with a way out.
 *
 * Host code is executed at one address and written at another, of the same memory object: no page
 * is writable and executable at once. Where the host refuses even that there is no native code, and
 * nothing else changes.
 */
#ifndef VMM_CPU_NATIVE_NATIVE_H
#define VMM_CPU_NATIVE_NATIVE_H

#include <stddef.h>

#include "vmm/cpu/blocks.h"

enum { NATIVE_WARMTH = 24, NATIVE_TARGETS = 1 << 12 };

/* By a hash of the guest-physical address of code: where its translation begins. */
struct native_target {
    uint64_t gpa; /* UINT64_MAX: nothing */
    const uint8_t *code;
};

struct native {
    uint8_t *memory;
    size_t size, used;
    size_t routines; /* bytes at the beginning that are not of blocks */
    bool full;       /* the dispatcher is to flush all blocks */
    unsigned warmth; /* entries before a block is translated */
    /* Routines that blocks share (routines.c). */
    const uint8_t *enter, *step, *last, *match, *link, *follow, *lookup, *arrive, *refuse;
    struct native_target targets[NATIVE_TARGETS];
};

/* NULL: this host does not let us, or NATIVE_NEVER. With NATIVE_EAGER blocks are translated when
 * they are first entered. */
struct native *native_create(enum native_use use);
void native_destroy(struct native *native);
/* Forgets all translations; none may be under way. */
void native_flush(struct native *native);
/* Translates a block that the dispatcher may enter; false: it stays interpreted. */
bool native_compile(struct cpu *cpu, struct block *block);
/* The block is dropped: its translation is not to be entered any more. */
void native_drop(struct block *block);
/* What runs a translated block: its first operation's `exec`. */
static inline op_exec native_enter(const struct native *native)
{
    union {
        const uint8_t *code;
        op_exec exec;
    } enter = {.code = native->enter};
    return enter.exec;
}
/* Counts entries of a block made by blocks_build(); its first operation's `exec`. */
const struct op *exec_warm(struct cpu *cpu, const struct op *op);

#endif
