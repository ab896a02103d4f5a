/* Unwinds by the Linux kernel's ORC tables. */
#include "debugger/orc.h"

#include <dwarf.h>
#include <string.h>

#include "debugger/index.h"
#include "debugger/type.h"

enum { ENTRY_SIZE = 6 };

/* Where the previous stack pointer is. */
enum {
    FROM_UNDEFINED = 0,
    FROM_PREVIOUS_SP = 1,
    FROM_DX = 2,
    FROM_DI = 3,
    FROM_BP = 4,
    FROM_SP = 5,
    FROM_R10 = 6,
    FROM_R13 = 7,
    FROM_BP_INDIRECT = 8,
    FROM_SP_INDIRECT = 9,
};

enum orc_kind { KIND_UNDEFINED, KIND_END, KIND_CALL, KIND_REGISTERS, KIND_IRET };

struct orc_entry {
    int16_t sp_offset, bp_offset;
    unsigned sp_from, bp_from;
    enum orc_kind kind;
};

/* How this kernel packs an entry. */
struct orc_format {
    unsigned type_bit, type_bits, end_bit;
};

/* Debugging information may say anything: a field lies in an entry, and has at most `most` bits. */
static bool find_bit(
    const struct type *type, const char *name, unsigned most, unsigned *bit, unsigned *bits)
{
    struct member member;
    if (!type_find_member(type, name, &member) || member.bits == 0 || member.bits > most ||
        member.offset >= ENTRY_SIZE ||
        member.offset * 8 + member.shift > ENTRY_SIZE * 8 - member.bits)
        return false;
    *bit = (unsigned)member.offset * 8 + member.shift;
    *bits = member.bits;
    return true;
}

/* Linux 6.4 has three bits of type, in which the end is one; before there were two and a flag. */
static struct orc_format find_format(const struct symbols *symbols)
{
    static const int tags[] = {DW_TAG_structure_type};
    struct orc_format format = {.type_bit = 40, .type_bits = 3};
    for (unsigned i = 0; i < symbols->module_count; i++) {
        struct module *kernel = symbols->modules[i];
        Dwarf_Die die;
        unsigned ignored;
        if (kernel->kind != MODULE_KERNEL || kernel->away || !kernel->dwarf ||
            !index_find_type(kernel, "orc_entry", tags, 1, &die))
            continue;
        struct type type = type_from_die(&die);
        find_bit(&type, "type", 3, &format.type_bit, &format.type_bits);
        if (!find_bit(&type, "end", 1, &format.end_bit, &ignored))
            format.end_bit = 0;
        break;
    }
    return format;
}

static enum orc_kind kind_of(const struct orc_format *format, uint64_t bits, unsigned sp_from)
{
    static const enum orc_kind old[] = {KIND_CALL, KIND_REGISTERS, KIND_IRET, KIND_UNDEFINED};
    static const enum orc_kind new[] = {KIND_UNDEFINED, KIND_END, KIND_CALL, KIND_REGISTERS,
        KIND_IRET, KIND_UNDEFINED, KIND_UNDEFINED, KIND_UNDEFINED};
    unsigned type = (unsigned)(bits >> format->type_bit) & ((1u << format->type_bits) - 1);
    if (format->type_bits == 3)
        return new[type];
    if (sp_from == FROM_UNDEFINED)
        return format->end_bit && (bits >> format->end_bit & 1) ? KIND_END : KIND_UNDEFINED;
    return old[type & 3];
}

/* ---- Tables ---- */

/* A module's two: addresses, relative to where each is, and entries. */
struct tables {
    const struct view *view;
    const uint8_t *ip_bytes, *entry_bytes; /* of the file; NULL: read from the guest */
    uint64_t ip_address, entry_address, count;
};

static bool open_tables(const struct module *module, const struct view *view, struct tables *tables)
{
    uint64_t ip_size, size;
    const void *ip_bytes, *bytes;
    *tables = (struct tables){.view = view};
    if (!module_section(module, ".orc_unwind_ip", &tables->ip_address, &ip_bytes, &ip_size) ||
        !module_section(module, ".orc_unwind", &tables->entry_address, &bytes, &size) ||
        !tables->ip_address)
        return false;
    tables->ip_address += module->bias;
    tables->entry_address += module->bias;
    tables->count = ip_size / 4 < size / ENTRY_SIZE ? ip_size / 4 : size / ENTRY_SIZE;
    /* A module's are relocated and sorted by the kernel. */
    if (module->kind == MODULE_KERNEL) {
        tables->ip_bytes = ip_bytes;
        tables->entry_bytes = bytes;
    }
    return tables->count > 0;
}

static bool read_table(const struct tables *tables, const uint8_t *bytes, uint64_t address,
    uint64_t offset, void *data, size_t size)
{
    if (bytes) {
        memcpy(data, bytes + offset, size);
        return true;
    }
    return view_read(tables->view, address + offset, data, size);
}

static bool read_ip(const struct tables *tables, uint64_t index, uint64_t *ip)
{
    int32_t distance;
    if (!read_table(tables, tables->ip_bytes, tables->ip_address, index * 4, &distance, 4))
        return false;
    *ip = tables->ip_address + index * 4 + (uint64_t)(int64_t)distance;
    return true;
}

static bool find_entry(const struct tables *tables, const struct orc_format *format,
    uint64_t address, struct orc_entry *entry)
{
    uint64_t low = 0, high = tables->count, ip, bits = 0;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (!read_ip(tables, middle, &ip))
            return false;
        if (ip <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || !read_table(tables, tables->entry_bytes, tables->entry_address,
                        (low - 1) * ENTRY_SIZE, &bits, ENTRY_SIZE))
        return false;
    *entry = (struct orc_entry){.sp_offset = (int16_t)bits,
        .bp_offset = (int16_t)(bits >> 16),
        .sp_from = bits >> 32 & 15,
        .bp_from = bits >> 36 & 15};
    entry->kind = kind_of(format, bits, entry->sp_from);
    return true;
}

static bool look_up(const struct symbols *symbols, const struct view *view, uint64_t address,
    struct orc_entry *entry)
{
    for (unsigned i = 0; i < symbols->module_count; i++) {
        const struct module *module = symbols->modules[i];
        struct tables tables;
        if (module->away || !module->elf || !module_covers(module, address) ||
            (module->kind != MODULE_KERNEL && module->kind != MODULE_LOADED) ||
            !open_tables(module, view, &tables))
            continue;
        const struct orc_format format = find_format(symbols);
        if (find_entry(&tables, &format, address, entry))
            return true;
    }
    return false;
}

/* ---- Frames ---- */

static bool previous_sp(
    const struct view *view, const struct frame *frame, const struct orc_entry *entry, uint64_t *sp)
{
    static const uint8_t registers[] = {[FROM_DX] = DWARF_RDX,
        [FROM_DI] = DWARF_RDI,
        [FROM_BP] = DWARF_RBP,
        [FROM_SP] = DWARF_RSP,
        [FROM_R10] = 10,
        [FROM_R13] = 13,
        [FROM_BP_INDIRECT] = DWARF_RBP,
        [FROM_SP_INDIRECT] = DWARF_RSP};
    unsigned from = entry->sp_from;
    if (from < FROM_DX || from > FROM_SP_INDIRECT || !(frame->known & 1u << registers[from]))
        return false;
    uint64_t value = frame->reg[registers[from]], offset = (uint64_t)(int64_t)entry->sp_offset;
    switch (from) {
    case FROM_SP:
    case FROM_BP:
        *sp = value + offset;
        return true;
    case FROM_BP_INDIRECT:
        return view_read_number(view, value + offset, 8, sp);
    case FROM_SP_INDIRECT:
        if (!view_read_number(view, value, 8, sp))
            return false;
        *sp += offset;
        return true;
    default:
        *sp = value;
        return true;
    }
}

static void set(struct frame *frame, unsigned number, uint64_t value)
{
    frame->reg[number] = value;
    frame->known |= 1u << number;
}

static enum orc_result by_call(const struct view *view, const struct frame *frame,
    const struct orc_entry *entry, uint64_t sp, struct frame *caller)
{
    uint64_t ip, bp;
    if (!view_read_number(view, sp - 8, 8, &ip))
        return ORC_UNREADABLE;
    *caller = (struct frame){.how = FRAME_CFI, .switches = entry->sp_from > FROM_SP};
    set(caller, DWARF_PC, ip);
    set(caller, DWARF_RSP, sp);
    uint64_t offset = (uint64_t)(int64_t)entry->bp_offset;
    bool has_bp = frame->known & 1u << DWARF_RBP;
    if (entry->bp_from == FROM_UNDEFINED && has_bp)
        set(caller, DWARF_RBP, frame->reg[DWARF_RBP]);
    else if (entry->bp_from == FROM_PREVIOUS_SP && view_read_number(view, sp + offset, 8, &bp))
        set(caller, DWARF_RBP, bp);
    else if (entry->bp_from == FROM_BP && has_bp &&
             view_read_number(view, frame->reg[DWARF_RBP] + offset, 8, &bp))
        set(caller, DWARF_RBP, bp);
    return ORC_CALLER;
}

/* What the CPU pushed: RIP, CS, RFLAGS, RSP, SS. */
static bool read_pushed(const struct view *view, uint64_t at, struct frame *caller)
{
    uint64_t words[5];
    if (!view_read(view, at, words, sizeof words))
        return false;
    set(caller, DWARF_PC, words[0]);
    set(caller, DWARF_RSP, words[3]);
    caller->is_user = words[1] & 3;
    return true;
}

/* struct pt_regs. */
static enum orc_result by_registers(const struct view *view, uint64_t sp, struct frame *caller)
{
    static const uint8_t order[] = {15, 14, 13, 12, DWARF_RBP, DWARF_RBX, 11, 10, 9, 8, DWARF_RAX,
        DWARF_RCX, DWARF_RDX, DWARF_RSI, DWARF_RDI};
    uint64_t words[16]; /* the last is the error code or the number of the system call */
    *caller = (struct frame){.how = FRAME_INTERRUPT, .switches = true};
    if (!view_read(view, sp, words, sizeof words) || !read_pushed(view, sp + sizeof words, caller))
        return ORC_UNREADABLE;
    for (unsigned i = 0; i < sizeof order; i++)
        set(caller, order[i], words[i]);
    return ORC_CALLER;
}

/* Nothing but what the CPU pushed: the other registers are still those of what was interrupted. */
static enum orc_result by_iret(
    const struct view *view, const struct frame *frame, uint64_t sp, struct frame *caller)
{
    *caller = *frame;
    caller->how = FRAME_INTERRUPT;
    caller->switches = true;
    return read_pushed(view, sp, caller) ? ORC_CALLER : ORC_UNREADABLE;
}

enum orc_result orc_next(const struct symbols *symbols, const struct view *view,
    const struct frame *frame, struct frame *caller)
{
    struct orc_entry entry;
    uint64_t sp;
    if (!look_up(symbols, view, unwind_lookup_address(frame), &entry) ||
        entry.kind == KIND_UNDEFINED)
        return ORC_NONE;
    if (entry.kind == KIND_END)
        return ORC_END;
    if (!previous_sp(view, frame, &entry, &sp))
        return ORC_UNREADABLE;
    switch (entry.kind) {
    case KIND_REGISTERS:
        return by_registers(view, sp, caller);
    case KIND_IRET:
        return by_iret(view, frame, sp, caller);
    default:
        return by_call(view, frame, &entry, sp, caller);
    }
}
