/* The debugger's view of the guest's registers and memory. */
#include "debugger/view.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/arch/translate.h"

int view_take(struct view *view, struct timeline *timeline, struct error *error)
{
    struct machine *machine = timeline_machine(timeline);
    *view = (struct view){.memory = &machine->memory};
    return engine_export_state(machine->engine, &view->state, error);
}

static void log_read(struct view_log *log, uint64_t address, uint64_t size)
{
    for (unsigned i = 0; i < log->count; i++) {
        const struct view_piece *piece = &log->pieces[i];
        if (address >= piece->address && address + size <= piece->address + piece->size)
            return;
    }
    log->overflowed |= log->count == VIEW_LOG_MAX;
    if (!log->overflowed)
        log->pieces[log->count++] = (struct view_piece){address, size};
}

bool view_read(const struct view *view, uint64_t address, void *data, uint64_t size)
{
    if (view->log)
        log_read(view->log, address, size);
    return translate_read(view->memory, &view->state, address, data, size) == size;
}

bool view_read_number(const struct view *view, uint64_t address, unsigned size, uint64_t *value)
{
    *value = 0;
    return size <= sizeof *value && view_read(view, address, value, size);
}

bool view_read_string(const struct view *view, uint64_t address, char *text, size_t size)
{
    size_t length = 0;
    for (; length + 1 < size; length++) {
        if (!view_read(view, address + length, text + length, 1)) {
            text[length] = '\0';
            return length > 0;
        }
        if (!text[length])
            return true;
    }
    text[length] = '\0';
    return true;
}

uint64_t view_percpu_base(const struct view *view)
{
    /* In the kernel GS points to the per-CPU area; in user mode the other base does. A base below
     * the kernel's half belongs to user space: the entry code has not swapped them yet. */
    uint64_t base = view->state.segment[SEG_GS].base;
    return base >> 63 ? base : view->state.kernel_gs_base;
}

uint64_t view_pc(const struct view *view)
{
    uint64_t base = vcpu_in_64bit_mode(&view->state) ? 0 : view->state.segment[SEG_CS].base;
    return base + view->state.rip;
}

struct named {
    const char *name;
    size_t offset;
    unsigned size;
};

#define STATE(field) offsetof(struct vcpu_state, field)
#define GPR(number)  (STATE(gpr) + 8 * (number))
#define SEG(number)  (STATE(segment) + sizeof(struct segment) * (number))
#define SEGMENT(name, number)                                                     \
    {name, SEG(number) + offsetof(struct segment, selector), 2},                  \
        {name "_base", SEG(number) + offsetof(struct segment, base), 8},          \
        {name "_limit", SEG(number) + offsetof(struct segment, limit), 4},        \
    {                                                                             \
        name "_attributes", SEG(number) + offsetof(struct segment, attributes), 2 \
    }

static const struct named registers[] = {
    {"rax", GPR(RAX), 8},
    {"rbx", GPR(RBX), 8},
    {"rcx", GPR(RCX), 8},
    {"rdx", GPR(RDX), 8},
    {"rsi", GPR(RSI), 8},
    {"rdi", GPR(RDI), 8},
    {"rbp", GPR(RBP), 8},
    {"rsp", GPR(RSP), 8},
    {"r8", GPR(R8), 8},
    {"r9", GPR(R9), 8},
    {"r10", GPR(R10), 8},
    {"r11", GPR(R11), 8},
    {"r12", GPR(R12), 8},
    {"r13", GPR(R13), 8},
    {"r14", GPR(R14), 8},
    {"r15", GPR(R15), 8},
    {"rip", STATE(rip), 8},
    {"sp", GPR(RSP), 8},
    {"fp", GPR(RBP), 8},
    {"eflags", STATE(rflags), 4},
    {"rflags", STATE(rflags), 8},
    SEGMENT("cs", SEG_CS),
    SEGMENT("ss", SEG_SS),
    SEGMENT("ds", SEG_DS),
    SEGMENT("es", SEG_ES),
    SEGMENT("fs", SEG_FS),
    SEGMENT("gs", SEG_GS),
    {"k_gs_base", STATE(kernel_gs_base), 8},
    {"ldtr", STATE(ldt.selector), 2},
    {"ldt_base", STATE(ldt.base), 8},
    {"tr", STATE(tr.selector), 2},
    {"tr_base", STATE(tr.base), 8},
    {"gdt_base", STATE(gdt.base), 8},
    {"gdt_limit", STATE(gdt.limit), 2},
    {"idt_base", STATE(idt.base), 8},
    {"idt_limit", STATE(idt.limit), 2},
    {"cr0", STATE(cr0), 8},
    {"cr2", STATE(cr2), 8},
    {"cr3", STATE(cr3), 8},
    {"cr4", STATE(cr4), 8},
    {"cr8", STATE(cr8), 8},
    {"efer", STATE(efer), 8},
    {"dr0", STATE(dr[0]), 8},
    {"dr1", STATE(dr[1]), 8},
    {"dr2", STATE(dr[2]), 8},
    {"dr3", STATE(dr[3]), 8},
    {"dr6", STATE(dr6), 8},
    {"dr7", STATE(dr7), 8},
    {"apic_base", STATE(apic_base), 8},
    {"star", STATE(star), 8},
    {"lstar", STATE(lstar), 8},
    {"cstar", STATE(cstar), 8},
    {"sfmask", STATE(sfmask), 8},
    {"sysenter_cs", STATE(sysenter_cs), 8},
    {"sysenter_esp", STATE(sysenter_esp), 8},
    {"sysenter_eip", STATE(sysenter_eip), 8},
    {"pat", STATE(pat), 8},
    {"tsc_aux", STATE(tsc_aux), 8},
    {"fctrl", STATE(fpu.control), 2},
    {"fstat", STATE(fpu.status), 2},
    {"ftag", STATE(fpu.tag), 1},
    {"fop", STATE(fpu.opcode), 2},
    {"mxcsr", STATE(fpu.mxcsr), 4},
};

enum { REGISTERS = sizeof registers / sizeof registers[0] };

const char *view_register_name(unsigned number)
{
    return number < REGISTERS ? registers[number].name : NULL;
}

static bool read_field(
    const struct view *view, size_t offset, unsigned bytes, uint64_t *value, unsigned *size)
{
    *value = 0;
    memcpy(value, (const uint8_t *)&view->state + offset, bytes);
    *size = bytes;
    return true;
}

/* eax, ax, al, ah, r8d, r8w, r8b, sil, ... */
static bool part_of_register(
    const struct view *view, const char *name, uint64_t *value, unsigned *size)
{
    static const char letters[][3] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"};
    if (name[0] == 'r' && isdigit((unsigned char)name[1])) {
        char *end;
        unsigned long number = strtoul(name + 1, &end, 10);
        if (number < 8 || number > 15 || !*end || end[1])
            return false;
        unsigned bytes = *end == 'd' ? 4 : *end == 'w' ? 2 : *end == 'b' || *end == 'l' ? 1 : 0;
        return bytes && read_field(view, GPR(number), bytes, value, size);
    }
    for (unsigned i = 0; i < 8; i++) {
        if (name[0] == 'e' && strcmp(name + 1, letters[i]) == 0)
            return read_field(view, GPR(i), 4, value, size);
        if (i != RSP && i != RBP && strcmp(name, letters[i]) == 0)
            return read_field(view, GPR(i), 2, value, size);
        if (i < 4 && name[0] == letters[i][0] && name[1] && !name[2]) {
            if (name[1] == 'l')
                return read_field(view, GPR(i), 1, value, size);
            if (name[1] == 'h')
                return read_field(view, GPR(i) + 1, 1, value, size);
        }
        if (i >= 4 && strncmp(name, letters[i], 2) == 0 && strcmp(name + 2, "l") == 0)
            return read_field(view, GPR(i), 1, value, size);
    }
    return false;
}

bool view_register(const struct view *view, const char *name, uint64_t *value, unsigned *size)
{
    if (strcmp(name, "pc") == 0) {
        *value = view_pc(view);
        *size = 8;
        return true;
    }
    for (unsigned i = 0; i < REGISTERS; i++) {
        if (strcmp(name, registers[i].name) == 0)
            return read_field(view, registers[i].offset, registers[i].size, value, size);
    }
    unsigned number;
    char rest;
    if (sscanf(name, "xmm%u%c", &number, &rest) == 1 && number < 16)
        return read_field(view, STATE(fpu.xmm[0]) + 16 * number, 8, value, size);
    if (sscanf(name, "st%u%c", &number, &rest) == 1 && number < 8)
        return read_field(view, STATE(fpu.st[0]) + 16 * number, 8, value, size);
    return part_of_register(view, name, value, size);
}
