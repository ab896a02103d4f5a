/* Unwinds call frames by CFI, ORC or frame pointers. */
#include "debugger/unwind.h"

#include <stdlib.h>
#include <string.h>

#include "debugger/orc.h"
#include "debugger/scopes.h"

static const char *const names[] = {"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8",
    "r9", "r10", "r11", "r12", "r13", "r14", "r15"};
static const uint8_t numbers[] = {
    RAX, RDX, RCX, RBX, RSI, RDI, RBP, RSP, R8, R9, R10, R11, R12, R13, R14, R15};

/* Registers that a function preserves for its caller: the rest are not known in outer frames. */
#define PRESERVED (1u << DWARF_RBX | 1u << DWARF_RBP | 0xf000u)

const char *unwind_register_name(unsigned number)
{
    return number < sizeof names / sizeof names[0] ? names[number] : "?";
}

uint64_t unwind_register(const struct view *view, unsigned number)
{
    return number < GPR_COUNT ? view->state.gpr[numbers[number]] : 0;
}

uint64_t unwind_lookup_address(const struct frame *frame)
{
    bool is_return = frame->how == FRAME_CFI || frame->how == FRAME_POINTER;
    return frame->reg[DWARF_PC] - (is_return && frame->reg[DWARF_PC]);
}

/* ---- Call frame information ---- */

static Dwarf_Frame *find_cfi(
    const struct symbols *symbols, uint64_t address, const struct module **module)
{
    for (unsigned i = 0; i < symbols->module_count; i++) {
        const struct module *candidate = symbols->modules[i];
        Dwarf_Frame *frame;
        *module = candidate;
        if (candidate->away || !module_covers(candidate, address))
            continue;
        if (candidate->debug_frame &&
            dwarf_cfi_addrframe(candidate->debug_frame, address - candidate->bias, &frame) == 0)
            return frame;
        if (candidate->eh_frame &&
            dwarf_cfi_addrframe(candidate->eh_frame, address - candidate->bias, &frame) == 0)
            return frame;
    }
    return NULL;
}

static bool find_cfa(
    const struct view *view, const struct module *module, Dwarf_Frame *cfi, struct frame *frame)
{
    Dwarf_Op *ops;
    size_t count;
    struct location location;
    frame->has_cfa = false;
    if (dwarf_frame_cfa(cfi, &ops, &count) < 0 ||
        !unwind_evaluate(view, module, frame, NULL, ops, count, NULL, &location) ||
        location.kind != LOCATION_ADDRESS)
        return false;
    frame->has_cfa = true;
    frame->cfa = location.value;
    return true;
}

/* Sets frame->cfa when CFI covers it; where it does not, the frame stays without. */
static void describe(const struct symbols *symbols, const struct view *view, struct frame *frame)
{
    const struct module *module;
    Dwarf_Frame *cfi = find_cfi(symbols, unwind_lookup_address(frame), &module);
    if (cfi)
        find_cfa(view, module, cfi, frame);
    free(cfi);
}

static void recover(const struct view *view, const struct module *module, Dwarf_Frame *cfi,
    const struct frame *frame, struct frame *caller, unsigned number)
{
    Dwarf_Op storage[3], *ops;
    size_t count;
    struct location location;
    uint32_t bit = 1u << number;
    if (dwarf_frame_register(cfi, (int)number, storage, &ops, &count) < 0)
        return;
    if (count == 0) {
        bool same = !ops;
        /* CFI is silent about RSP: the CFA is what it was before the call. */
        if (number == DWARF_RSP) {
            caller->reg[number] = frame->cfa;
            caller->known |= bit;
        } else if ((same || (PRESERVED & bit)) && (frame->known & bit)) {
            caller->reg[number] = frame->reg[number];
            caller->known |= bit;
        }
        return;
    }
    if (!unwind_evaluate(view, module, frame, NULL, ops, count, NULL, &location))
        return;
    uint64_t value = location.value;
    if (location.kind == LOCATION_REGISTER) {
        if (value >= FRAME_REGISTERS || !(frame->known & (1u << value)))
            return;
        value = frame->reg[value];
    } else if (location.kind == LOCATION_ADDRESS &&
               !view_read_number(view, location.value, 8, &value)) {
        return;
    }
    caller->reg[number] = value;
    caller->known |= bit;
}

static bool next_by_cfi(const struct symbols *symbols, const struct view *view,
    const struct frame *frame, struct frame *caller, bool *covered)
{
    const struct module *module;
    bool is_signal = false;
    struct frame callee = *frame;
    Dwarf_Frame *cfi = find_cfi(symbols, unwind_lookup_address(frame), &module);
    *covered = cfi && find_cfa(view, module, cfi, &callee);
    if (*covered) {
        dwarf_frame_info(cfi, NULL, NULL, &is_signal);
        *caller = (struct frame){.how = is_signal ? FRAME_INTERRUPT : FRAME_CFI};
        for (unsigned i = 0; i < FRAME_REGISTERS; i++)
            recover(view, module, cfi, &callee, caller, i);
    }
    free(cfi);
    return *covered && (caller->known & (1u << DWARF_PC)) && (caller->known & (1u << DWARF_RSP));
}

/* ---- Frame pointers ---- */

static bool is_code(const struct symbols *symbols, const struct view *view, uint64_t address)
{
    uint8_t byte;
    const struct symbol *symbol = symbols_at(symbols, address);
    return view_read(view, address, &byte, 1) &&
           (symbols->module_count == 0 || (symbol && symbol->kind != SYMBOL_OBJECT));
}

static bool next_by_pointer(const struct symbols *symbols, const struct view *view,
    const struct frame *frame, struct frame *caller)
{
    uint64_t words[2], base = frame->reg[DWARF_RBP];
    if (!(frame->known & (1u << DWARF_RBP)) || base % 8 || base < frame->reg[DWARF_RSP] ||
        base - frame->reg[DWARF_RSP] > (1 << 20) || !view_read(view, base, words, sizeof words) ||
        !is_code(symbols, view, words[1]))
        return false;
    *caller = (struct frame){.how = FRAME_POINTER};
    caller->reg[DWARF_RBP] = words[0];
    caller->reg[DWARF_RSP] = base + 16;
    caller->reg[DWARF_PC] = words[1];
    caller->known = 1u << DWARF_RBP | 1u << DWARF_RSP | 1u << DWARF_PC;
    return true;
}

/* ---- Frames ---- */

/* Steps into what is inlined at a frame that was just found. */
static void enter_inlined(const struct symbols *symbols, struct frame *frame)
{
    struct scopes scopes;
    bool known = scopes_at(symbols, unwind_lookup_address(frame), &scopes);
    frame->inlined = frame->inlined_here = known ? scopes_inlined(&scopes) : 0;
}

void unwind_start(const struct symbols *symbols, const struct view *view, struct frame *frame)
{
    *frame = (struct frame){.how = FRAME_CURRENT, .known = (1u << FRAME_REGISTERS) - 1};
    for (unsigned i = 0; i < GPR_COUNT; i++)
        frame->reg[i] = view->state.gpr[numbers[i]];
    frame->reg[DWARF_PC] = view_pc(view);
    describe(symbols, view, frame);
    enter_inlined(symbols, frame);
}

static bool lost(struct frame *caller, enum unwind_end end)
{
    *caller = (struct frame){.end = end};
    return false;
}

/* A pushed and popped word is in the kernel's own tables, and may not be in the compiler's. */
static bool agree(const struct frame *by_orc, const struct frame *by_cfi)
{
    return by_orc->reg[DWARF_RSP] == by_cfi->reg[DWARF_RSP] &&
           by_orc->reg[DWARF_PC] == by_cfi->reg[DWARF_PC];
}

static bool find_caller(const struct symbols *symbols, const struct view *view,
    const struct frame *frame, struct frame *caller)
{
    bool covered;
    struct frame by_orc;
    bool found = next_by_cfi(symbols, view, frame, caller, &covered);
    enum orc_result orc = orc_next(symbols, view, frame, &by_orc);
    if (orc == ORC_CALLER && (!found || !agree(&by_orc, caller))) {
        *caller = by_orc;
        return true;
    }
    if (found)
        return true;
    if (orc == ORC_END)
        return lost(caller, UNWIND_OUTERMOST);
    if (orc == ORC_UNREADABLE)
        return lost(caller, UNWIND_UNREADABLE);
    /* CFI that says "no caller" is believed. */
    if (covered)
        return lost(caller, UNWIND_OUTERMOST);
    if (next_by_pointer(symbols, view, frame, caller))
        return true;
    bool is_first = (frame->known & 1u << DWARF_RBP) && frame->reg[DWARF_RBP] == 0;
    return lost(caller, is_first ? UNWIND_OUTERMOST : UNWIND_NO_INFORMATION);
}

bool unwind_caller(const struct symbols *symbols, const struct view *view,
    const struct frame *frame, struct frame *caller)
{
    if (!find_caller(symbols, view, frame, caller))
        return false;
    if (caller->reg[DWARF_PC] == 0)
        return lost(caller, UNWIND_OUTERMOST);
    /* A stack only gets shorter, except where it is switched. */
    bool same = caller->reg[DWARF_PC] == frame->reg[DWARF_PC] &&
                caller->reg[DWARF_RSP] == frame->reg[DWARF_RSP];
    if (same || (caller->how != FRAME_INTERRUPT && !caller->switches &&
                    caller->reg[DWARF_RSP] <= frame->reg[DWARF_RSP]))
        return lost(caller, UNWIND_INNER);
    describe(symbols, view, caller);
    enter_inlined(symbols, caller);
    return true;
}

bool unwind_next(const struct symbols *symbols, const struct view *view, const struct frame *frame,
    struct frame *caller)
{
    if (!frame->inlined)
        return unwind_caller(symbols, view, frame, caller);
    *caller = *frame;
    caller->inlined--;
    return true;
}
