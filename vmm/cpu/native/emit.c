/* Writes host instructions. */
#include "vmm/cpu/native/emit.h"

static void emit_opcode(struct emitter *e, uint32_t opcode)
{
    if (opcode > 0xffff)
        emit_8(e, opcode >> 16);
    if (opcode > 0xff)
        emit_8(e, opcode >> 8);
    emit_8(e, opcode);
}

static void emit_modrm(struct emitter *e, unsigned reg, struct place place)
{
    unsigned low = (reg & 7) << 3 | (place.base & 7u);
    if (place.kind == PLACE_REGISTER) {
        emit_8(e, 0xc0 | low);
        return;
    }
    if (place.kind == PLACE_SCALED) {
        emit_8(e, (reg & 7) << 3 | 4);
        emit_8(e, (unsigned)place.scale << 6 | (place.index & 7u) << 3 | HOST_RBP);
        emit_32(e, (uint32_t)place.displacement);
        return;
    }
    bool sib = place.kind == PLACE_INDEXED || (place.base & 7) == HOST_RSP;
    /* Base 5 without a displacement means something else. */
    bool none = !place.displacement && (place.base & 7) != HOST_RBP;
    bool small = fits_8(place.displacement);
    unsigned mod = none ? 0 : small ? 0x40 : 0x80;
    if (sib) {
        unsigned index = place.kind == PLACE_INDEXED ? place.index & 7u : (unsigned)HOST_RSP;
        emit_8(e, mod | (reg & 7) << 3 | 4);
        emit_8(e, (unsigned)place.scale << 6 | index << 3 | (place.base & 7u));
    } else {
        emit_8(e, mod | low);
    }
    if (none)
        return;
    if (small)
        emit_8(e, (uint8_t)place.displacement);
    else
        emit_32(e, (uint32_t)place.displacement);
}

void emit_shape(struct emitter *e, struct shape shape, unsigned reg, struct place place)
{
    unsigned rex = (shape.wide ? 8u : 0) | (reg & 8) >> 1 | (place.base & 8u) >> 3;
    if (place.kind == PLACE_INDEXED || place.kind == PLACE_SCALED)
        rex |= (place.index & 8u) >> 2;
    bool low_byte = shape.bytes && (reg >= 4 || (place.kind == PLACE_REGISTER && place.base >= 4));
    if (shape.prefix)
        emit_8(e, shape.prefix);
    if (rex || low_byte)
        emit_8(e, 0x40 | rex);
    emit_opcode(e, shape.opcode);
    emit_modrm(e, reg, place);
}

void emit_wide(struct emitter *e, unsigned size, uint32_t opcode, unsigned reg, struct place place)
{
    struct shape shape = {
        .opcode = opcode, .prefix = size == 2 ? 0x66 : 0, .wide = size == 8, .bytes = size == 1};
    emit_shape(e, shape, reg, place);
}

void emit_sized(struct emitter *e, unsigned size, uint32_t opcode, unsigned reg, struct place place)
{
    emit_wide(e, size, opcode | (size != 1), reg, place);
}

void emit_immediate(struct emitter *e, unsigned size, uint64_t value)
{
    if (size == 1)
        emit_8(e, (uint8_t)value);
    else if (size == 2)
        emit_16(e, (uint16_t)value);
    else
        emit_32(e, (uint32_t)value);
}

void emit_load(struct emitter *e, unsigned reg, struct place from)
{
    emit_wide(e, 8, 0x8b, reg, from);
}

void emit_store(struct emitter *e, struct place to, unsigned reg)
{
    emit_wide(e, 8, 0x89, reg, to);
}

void emit_constant(struct emitter *e, unsigned reg, uint64_t value)
{
    if (value <= UINT32_MAX) {
        if (reg & 8)
            emit_8(e, 0x41);
        emit_8(e, 0xb8 | (reg & 7));
        emit_32(e, (uint32_t)value);
    } else if (fits_32((int64_t)value)) {
        emit_wide(e, 8, 0xc7, 0, place_register(reg));
        emit_32(e, (uint32_t)value);
    } else {
        emit_8(e, reg & 8 ? 0x49 : 0x48);
        emit_8(e, 0xb8 | (reg & 7));
        emit_64(e, value);
    }
}

void emit_lea(struct emitter *e, unsigned size, unsigned reg, struct place place)
{
    emit_wide(e, size, 0x8d, reg, place);
}

void emit_aim(uint8_t *displacement, const uint8_t *target)
{
    int32_t distance = (int32_t)(target - (displacement + 4));
    memcpy(displacement + EMIT_WRITABLE, &distance, sizeof distance);
}

static uint8_t *emit_distance(struct emitter *e, const uint8_t *target)
{
    uint8_t *displacement = e->at;
    e->at += 4;
    emit_aim(displacement, target ? target : e->at);
    return displacement;
}

uint8_t *emit_jump(struct emitter *e, const uint8_t *target)
{
    emit_8(e, 0xe9);
    return emit_distance(e, target);
}

uint8_t *emit_call(struct emitter *e, const uint8_t *target)
{
    emit_8(e, 0xe8);
    return emit_distance(e, target);
}

uint8_t *emit_jump_if(struct emitter *e, unsigned condition, const uint8_t *target)
{
    emit_8(e, 0x0f);
    emit_8(e, 0x80 | condition);
    return emit_distance(e, target);
}
