/* Puts together what a compiler keeps in several places. */
#include "debugger/pieces.h"

#include <dwarf.h>
#include <string.h>

enum { VECTOR_REGISTERS = 16, VECTOR_BYTES = 16 };

bool pieces_are(const Dwarf_Op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (ops[i].atom == DW_OP_piece)
            return true;
    }
    return false;
}

const uint8_t *pieces_vector_register(
    const struct view *view, const struct frame *frame, uint64_t number)
{
    bool is_known = frame && frame->how == FRAME_CURRENT && number >= DWARF_XMM0 &&
                    number < DWARF_XMM0 + VECTOR_REGISTERS;
    return is_known ? view->state.fpu.xmm[number - DWARF_XMM0] : NULL;
}

static uint64_t low_bits(uint64_t count)
{
    return count < 64 ? (1ull << count) - 1 : UINT64_MAX;
}

/* The first `size` bytes at the location; false when nothing there is known. */
static bool read_piece(const struct view *view, const struct frame *frame,
    const struct location *location, uint8_t *bytes, size_t size)
{
    uint64_t word = location->value;
    const uint8_t *vector;
    if (location->kind == LOCATION_ADDRESS)
        return view_read(view, location->value, bytes, size);
    if (location->kind == LOCATION_REGISTER) {
        vector = pieces_vector_register(view, frame, location->value);
        if (vector && size <= VECTOR_BYTES) {
            memcpy(bytes, vector, size);
            return true;
        }
        if (!frame || word >= FRAME_REGISTERS || !(frame->known & (1u << word)))
            return false;
        word = frame->reg[word];
    }
    if (location->kind == LOCATION_NONE || size > sizeof word)
        return false;
    memcpy(bytes, &word, size);
    return true;
}

bool pieces_read(const struct view *view, const struct module *module, const struct frame *frame,
    const uint64_t *frame_base, const Dwarf_Op *ops, size_t count, struct value *value)
{
    uint64_t at = 0;
    size_t first = 0;
    for (size_t i = 0; i < count; i++) {
        struct location location;
        uint64_t size = ops[i].number;
        if (ops[i].atom != DW_OP_piece)
            continue;
        if (size > VALUE_BYTES - at)
            return false;
        bool known = i > first &&
                     unwind_evaluate(view, module, frame, frame_base, ops + first, i - first, NULL,
                         &location) &&
                     read_piece(view, frame, &location, value->bytes + at, size);
        if (!known && size)
            value->unknown |= low_bits(size) << at;
        at += size;
        first = i + 1;
    }
    bool any = (~value->unknown & low_bits(at)) != 0;
    value->unknown |= ~low_bits(at);
    return first == count && any;
}
