/*
 * What the debugger looks at: the vCPU's registers and memory as the guest's page tables show it,
 * at the position where the timeline stands. A view is a copy of the registers; take a new one
 * after every move.
 */
#ifndef DEBUGGER_VIEW_H
#define DEBUGGER_VIEW_H

#include "replay/timeline.h"

struct view {
    const struct memory *memory;
    struct vcpu_state state;
    struct view_log *log; /* of what is read; mostly NULL */
};

/* The pieces of linear memory that were read through a view. */
enum { VIEW_LOG_MAX = 24 };

struct view_log {
    struct view_piece {
        uint64_t address, size;
    } pieces[VIEW_LOG_MAX];
    unsigned count;
    bool overflowed;
};

int view_take(struct view *view, struct timeline *timeline, struct error *error);

/* All of [address, address + size) through the page tables; false when any byte is not mapped. */
bool view_read(const struct view *view, uint64_t address, void *data, uint64_t size);
/* As view_read for one little-endian number of 1 to 8 bytes. */
bool view_read_number(const struct view *view, uint64_t address, unsigned size, uint64_t *value);
/* At most `size - 1` bytes up to a zero byte, always terminated; false when the first is not
 * mapped.
 */
bool view_read_string(const struct view *view, uint64_t address, char *text, size_t size);

/* What a per-CPU variable's offset is added to on this CPU: the kernel's GS base. */
uint64_t view_percpu_base(const struct view *view);
/* The linear address of the next instruction. */
uint64_t view_pc(const struct view *view);

/*
 * Registers by name, as gdb and the data sheets have them: rax, eax, ax, al, r8d, rip, pc, sp, fp,
 * eflags, cs, fs_base, cr3, efer, dr7, gdt_base, idt_limit, star, mxcsr, fctrl, ... and xmm0 to
 * xmm15 and st0 to st7 with their low 64 bits. `size` receives its bytes.
 */
bool view_register(const struct view *view, const char *name, uint64_t *value, unsigned *size);
/* The name of register `number`, for completion; NULL past the last. */
const char *view_register_name(unsigned number);

#endif
