/* The bytes of registers and memory that operands name. */
#include "debugger/flow_parts.h"

#include <stdio.h>
#include <string.h>

/* ---- Registers ------------------------------------------------------------------------------ */

static bool legacy_part(unsigned reg, struct flow_part *part)
{
    static const struct {
        uint16_t reg;
        uint8_t number, offset, size;
    } parts[] = {
#define LEGACY(number, a, x)                                                                   \
    {X86_REG_##a##L, number, 0, 1}, {X86_REG_##x, number, 0, 2}, {X86_REG_E##x, number, 0, 4}, \
        {X86_REG_R##x, number, 0, 8}
        LEGACY(RAX, A, AX),
        LEGACY(RCX, C, CX),
        LEGACY(RDX, D, DX),
        LEGACY(RBX, B, BX),
        LEGACY(RSP, SP, SP),
        LEGACY(RBP, BP, BP),
        LEGACY(RSI, SI, SI),
        LEGACY(RDI, DI, DI),
#undef LEGACY
        {X86_REG_AH, RAX, 1, 1},
        {X86_REG_CH, RCX, 1, 1},
        {X86_REG_DH, RDX, 1, 1},
        {X86_REG_BH, RBX, 1, 1},
        {X86_REG_EFLAGS, FLOW_FLAGS, 0, 8},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i].reg != reg)
            continue;
        *part = (struct flow_part){parts[i].number, parts[i].offset, parts[i].size};
        return true;
    }
    return false;
}

bool flow_part_of(unsigned reg, struct flow_part *part)
{
    static const struct {
        uint16_t first, count;
        uint8_t number, size;
    } ranges[] = {
        {X86_REG_R8, 8, R8, 8},
        {X86_REG_R8D, 8, R8, 4},
        {X86_REG_R8W, 8, R8, 2},
        {X86_REG_R8B, 8, R8, 1},
        {X86_REG_XMM0, 16, FLOW_XMM, 16},
        {X86_REG_MM0, 8, FLOW_MM, 8},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        if (reg - ranges[i].first < ranges[i].count) {
            *part = (struct flow_part){ranges[i].number + reg - ranges[i].first, 0, ranges[i].size};
            return true;
        }
    }
    return legacy_part(reg, part);
}

static bool is_gpr(unsigned reg)
{
    return reg < GPR_COUNT;
}

void flow_register_name(unsigned reg, unsigned offset, unsigned size, char name[16])
{
    static const char *const old[] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"};
    static const char high[] = "acdb";
    if (reg >= FLOW_XMM) {
        snprintf(name, 16, "xmm%u", reg - FLOW_XMM);
    } else if (reg == FLOW_FLAGS) {
        snprintf(name, 16, "rflags");
    } else if (reg >= FLOW_MM) {
        snprintf(name, 16, "mm%u", reg - FLOW_MM);
    } else if (reg >= R8) {
        const char *suffix = offset + size > 4   ? ""
                             : offset + size > 2 ? "d"
                             : size > 1          ? "w"
                                                 : "b";
        snprintf(name, 16, "r%u%s", reg, offset && *suffix == 'b' ? "w" : suffix);
    } else if (size == 1 && offset == 0) {
        snprintf(name, 16, "%.*s%s", reg < 4 ? 1 : 2, old[reg], "l");
    } else if (size == 1 && offset == 1 && reg < 4) {
        snprintf(name, 16, "%ch", high[reg]);
    } else {
        snprintf(name, 16, "%s%s",
            offset + size > 4   ? "r"
            : offset + size > 2 ? "e"
                                : "",
            old[reg]);
    }
}

bool flow_register_find(const char *name, struct flow_place *first, unsigned *size)
{
    static const uint8_t sizes[] = {8, 4, 2, 1};
    char other[16];
    for (unsigned reg = 0; reg < FLOW_REGISTERS; reg++) {
        for (unsigned i = 0; i < 5; i++) {
            unsigned offset = i == 4, width = i == 4 ? 1 : sizes[i];
            flow_register_name(reg, offset, width, other);
            if (strcmp(name, other) != 0)
                continue;
            *first = (struct flow_place){.reg = (uint8_t)reg, .offset = (uint8_t)offset};
            *size = reg >= FLOW_XMM ? 16 : width;
            return true;
        }
    }
    return false;
}

/* ---- Places of operands ------------------------------------------------------------------- */

/* Byte `index` of all that the instruction loaded, in order. */
struct flow_source flow_loaded_byte(const struct flow_step *step, uint64_t index)
{
    for (unsigned i = 0; i < step->access_count; i++) {
        const struct stretch_access *access = &step->accesses[i];
        if (!flow_is_kind(access, false))
            continue;
        if (index < access->size)
            return (struct flow_source){
                FLOW_COPIED, {.in_memory = true, .gpa = access->gpa + index}};
        index -= access->size;
    }
    return flow_of_kind(FLOW_PORT); /* it is not RAM */
}

/* Which byte of all that it stored lies there: the last one. */
bool flow_stored_index(const struct flow_step *step, uint64_t gpa, uint64_t *index)
{
    uint64_t before = 0;
    bool found = false;
    for (unsigned i = 0; i < step->access_count; i++) {
        const struct stretch_access *access = &step->accesses[i];
        if (!flow_is_kind(access, true))
            continue;
        if (gpa - access->gpa < access->size) {
            *index = before + (gpa - access->gpa);
            found = true;
        }
        before += access->size;
    }
    return found;
}

/* Which byte of the operand, as a destination, the place is. */
bool flow_written_index(const struct flow_step *step, const cs_x86_op *operand,
    const struct flow_place *place, uint64_t *index)
{
    struct flow_part part;
    if (operand->type == X86_OP_MEM)
        return place->in_memory && flow_stored_index(step, place->gpa, index);
    if (operand->type != X86_OP_REG || place->in_memory || !flow_part_of(operand->reg, &part) ||
        part.reg != place->reg)
        return false;
    *index = (uint64_t)place->offset - part.offset;
    /* The upper half of a register is cleared with its lower one. */
    return *index < part.size || (is_gpr(part.reg) && part.size == 4);
}

unsigned flow_operand_size(const cs_x86_op *operand)
{
    struct flow_part part;
    if (operand->type == X86_OP_REG && flow_part_of(operand->reg, &part))
        return part.size;
    return operand->size;
}

struct flow_source flow_operand_byte(
    const struct flow_step *step, const cs_x86_op *operand, uint64_t index)
{
    struct flow_part part;
    if (operand->type == X86_OP_IMM)
        return flow_of_kind(FLOW_CONSTANT);
    if (operand->type == X86_OP_MEM)
        return flow_loaded_byte(step, index);
    if (flow_part_of(operand->reg, &part) && index < part.size)
        return flow_register_byte(part.reg, part.offset + (unsigned)index);
    return flow_of_kind(FLOW_COMPUTED);
}

/* A plain copy of an operand of `size` bytes to the byte `index` of the first; more is zeros. */
struct flow_source flow_copied(
    const struct flow_step *step, const cs_x86_op *from, uint64_t index, unsigned size)
{
    return index < size ? flow_operand_byte(step, from, index) : flow_of_kind(FLOW_CONSTANT);
}
