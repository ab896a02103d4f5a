/* Decodes an instruction: prefixes and operands from its bytes, the rest from its row. */
#include "vmm/cpu/decode.h"

#include <string.h>

#include "vmm/cpu/decode_table.h"

struct cursor {
    const uint8_t *bytes;
    unsigned available; /* at most INSN_MAX_LENGTH + 1 */
    unsigned position;
    bool more; /* ran past `available` */
    bool code64;
    bool intel; /* decodes as Intel's processors do, else as AMD's */
    unsigned code_size;
    bool operand16;  /* 66 seen */
    bool address;    /* 67 seen */
    uint8_t segment; /* override, or NO_REGISTER */
};

static uint8_t take8(struct cursor *cursor)
{
    if (cursor->position >= cursor->available) {
        cursor->more = true;
        return 0;
    }
    return cursor->bytes[cursor->position++];
}

static uint64_t take(struct cursor *cursor, unsigned size)
{
    uint64_t value = 0;
    if (cursor->available - cursor->position < size) {
        cursor->position = cursor->available;
        cursor->more = true;
        return 0;
    }
    memcpy(&value, cursor->bytes + cursor->position, size);
    cursor->position += size;
    return value;
}

static int64_t take_signed(struct cursor *cursor, unsigned size)
{
    uint64_t value = take(cursor, size);
    switch (size) {
    case 1:
        return (int8_t)value;
    case 2:
        return (int16_t)value;
    case 4:
        return (int32_t)value;
    default:
        return (int64_t)value;
    }
}

/* Legacy prefixes and REX; returns the first opcode byte. */
static uint8_t take_prefixes(struct cursor *cursor, struct insn *insn)
{
    for (;;) {
        uint8_t byte = take8(cursor);
        if (cursor->more)
            return 0;
        switch (byte) {
        case 0x66:
            cursor->operand16 = true;
            break;
        case 0x67:
            cursor->address = true;
            break;
        case 0xf0:
            insn->flags |= INSN_LOCK;
            break;
        case 0xf2:
            insn->flags = (uint16_t)((insn->flags & ~INSN_REP) | INSN_REPNE);
            break;
        case 0xf3:
            insn->flags = (uint16_t)((insn->flags & ~INSN_REPNE) | INSN_REP);
            break;
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
            if (!cursor->code64)
                cursor->segment = (byte >> 3) & 3;
            break;
        case 0x64:
        case 0x65:
            cursor->segment = byte == 0x64 ? SEG_FS : SEG_GS;
            break;
        default:
            if (!cursor->code64 || (byte & 0xf0) != 0x40)
                return byte;
            insn->rex = byte;
            continue; /* only a REX right before the opcode counts */
        }
        insn->rex = 0;
    }
}

/* 16-bit addressing forms by ModRM.rm: base, index. */
static const uint8_t forms16[8][2] = {
    {RBX, RSI},
    {RBX, RDI},
    {RBP, RSI},
    {RBP, RDI},
    {RSI, NO_REGISTER},
    {RDI, NO_REGISTER},
    {RBP, NO_REGISTER},
    {RBX, NO_REGISTER},
};

static void take_memory16(struct cursor *cursor, struct insn *insn, unsigned mod, unsigned rm)
{
    insn->base = forms16[rm][0];
    insn->index = forms16[rm][1];
    if (mod == 0 && rm == 6) {
        insn->base = NO_REGISTER;
        insn->displacement = take_signed(cursor, 2);
    } else if (mod) {
        insn->displacement = take_signed(cursor, mod == 1 ? 1 : 2);
    }
}

static void take_memory32(struct cursor *cursor, struct insn *insn, unsigned mod, unsigned rm)
{
    unsigned rex_b = insn->rex & 1 ? 8 : 0, rex_x = insn->rex & 2 ? 8 : 0;
    bool displacement32 = mod == 2;

    if (rm == 4) {
        uint8_t sib = take8(cursor);
        unsigned index = (sib >> 3 & 7) | rex_x;
        insn->scale = sib >> 6 & 3u;
        if (index != RSP)
            insn->index = (uint8_t)index;
        if ((sib & 7) == 5 && mod == 0)
            displacement32 = true;
        else
            insn->base = (uint8_t)((sib & 7) | rex_b);
    } else if (rm == 5 && mod == 0) {
        displacement32 = true;
        if (cursor->code64)
            insn->flags |= INSN_RIP_RELATIVE;
    } else {
        insn->base = (uint8_t)(rm | rex_b);
    }
    if (mod == 1)
        insn->displacement = take_signed(cursor, 1);
    else if (displacement32)
        insn->displacement = take_signed(cursor, 4);
}

static void take_modrm(struct cursor *cursor, struct insn *insn, uint32_t form)
{
    insn->modrm = take8(cursor);
    unsigned mod = insn->modrm >> 6, rm = insn->modrm & 7;
    insn->reg = (uint8_t)((insn->modrm >> 3 & 7) | (insn->rex & 4 ? 8 : 0));
    if (mod == 3 || (form & FORM_IGNORE_MOD)) {
        insn->rm = (uint8_t)(rm | (insn->rex & 1 ? 8 : 0));
        return;
    }
    insn->flags |= INSN_MEMORY;
    if (insn->address_size == 2)
        take_memory16(cursor, insn, mod, rm);
    else
        take_memory32(cursor, insn, mod, rm);
    insn->segment = cursor->segment != NO_REGISTER           ? cursor->segment
                    : insn->base == RSP || insn->base == RBP ? SEG_SS
                                                             : SEG_DS;
}

static void take_immediate(struct cursor *cursor, struct insn *insn, uint32_t form)
{
    unsigned size = insn->operand_size;
    unsigned size_z = size == 2 ? 2 : 4;

    if (form & FORM_IMM8)
        insn->immediate = (uint64_t)take_signed(cursor, 1);
    else if (form & FORM_IMM8U)
        insn->immediate = take(cursor, 1);
    else if (form & FORM_IMM16)
        insn->immediate = take(cursor, 2);
    else if (form & FORM_IMMZ)
        insn->immediate = (uint64_t)take_signed(cursor, size_z);
    else if (form & FORM_IMMV)
        insn->immediate = (uint64_t)take_signed(cursor, size);
    else if (form & FORM_ONE)
        insn->immediate = 1;
    else if (form & FORM_FAR)
        insn->immediate = take(cursor, size_z);
    else if (form & FORM_MOFFS)
        insn->displacement = (int64_t)take(cursor, insn->address_size);

    if (form & FORM_FAR)
        insn->immediate2 = (uint16_t)take(cursor, 2);
    else if (form & FORM_EXTRA8)
        insn->immediate2 = (uint16_t)take(cursor, 1);
}

static uint8_t operand_size(const struct cursor *cursor, const struct insn *insn, uint32_t form)
{
    bool wide = insn->rex & 8;
    if (form & FORM_BYTE)
        return 1;
    if (!cursor->code64) {
        if (form & FORM_NATURAL)
            return 4;
        return cursor->operand16 == (cursor->code_size == 4) ? 2 : 4;
    }
    if (form & FORM_NATURAL)
        return 8;
    if (wide)
        return form & FORM_MAX32 ? 4 : 8;
    if (cursor->operand16 && !(form & FORM_BRANCH && cursor->intel))
        return 2;
    return form & FORM_DEFAULT64 ? 8 : 4;
}

static void make_undefined(struct insn *insn)
{
    insn->row = &opcodes_special[SPECIAL_UNDEFINED];
    insn->handler = insn->row->handler;
    insn->flags |= INSN_ENDS_BLOCK;
}

/* The row of an instruction whose identity depends on more than the tables' key; NULL: there is no
 * such instruction. */
static const struct opcode *special_row(
    const struct cursor *cursor, struct insn *insn, const struct opcode *row)
{
    unsigned key = (unsigned)insn->map << 8 | insn->opcode;
    bool memory = insn->flags & INSN_MEMORY, no_prefix = insn->prefix == PREFIX_NONE;

    switch (key) {
    case 0x63:
        if (!cursor->code64)
            return row;
        return &opcodes_special[cursor->intel && insn->operand_size == 2 ? SPECIAL_MOVSXD16
                                                                         : SPECIAL_MOVSXD];
    case 0x90: /* with REX.B it is XCHG R8, RAX, but for Intel's PAUSE */
        if (insn->rm != RAX && !(cursor->intel && insn->flags & INSN_REP))
            return row;
        return &opcodes_special[insn->flags & INSN_REP ? SPECIAL_PAUSE : SPECIAL_NOP];
    case MAP_0F << 8 | 0x0d: /* PREFETCH of a register */
        return memory || cursor->intel ? row : NULL;
    case MAP_0F << 8 | 0xae:
        if (!memory && no_prefix && (insn->modrm >> 3 & 7) >= 5)
            return &opcodes_special[SPECIAL_FENCE];
        return memory && no_prefix && (insn->modrm >> 3 & 7) == 7
                   ? &opcodes_special[SPECIAL_CLFLUSH]
                   : row;
    case MAP_0F << 8 | 0xb8:
        return insn->prefix == PREFIX_F3 ? row : NULL;
    case MAP_0F << 8 | 0xc3:
        return no_prefix ? row : NULL;
    case 0xc4:
        insn->immediate2 = SEG_ES;
        break;
    case 0xc5:
        insn->immediate2 = SEG_DS;
        break;
    case MAP_0F << 8 | 0xb2:
        insn->immediate2 = SEG_SS;
        break;
    case MAP_0F << 8 | 0xb4:
        insn->immediate2 = SEG_FS;
        break;
    case MAP_0F << 8 | 0xb5:
        insn->immediate2 = SEG_GS;
        break;
    }
    return row;
}

/*
 * Opcodes of the second map that do not exist: Intel's processors read ModRM all the same, after a
 * third byte where a map of three bytes is reserved. It counts where that lies in another page.
 */
static bool is_reserved_map(uint8_t opcode)
{
    return opcode == 0x39 || (opcode >= 0x3b && opcode <= 0x3f);
}

static bool has_idle_modrm(uint8_t opcode)
{
    switch (opcode) {
    case 0x7a:
    case 0x7b:
    case 0xa6:
    case 0xa7:
    case 0xb9:
    case 0xff:
        return true;
    }
    return is_reserved_map(opcode);
}

/* Reads the rest of the opcode and finds its table entry. */
static const struct opcode *take_opcode(struct cursor *cursor, struct insn *insn, uint8_t byte)
{
    insn->opcode = byte;
    if (byte != 0x0f)
        return &opcodes_primary[byte];
    insn->map = MAP_0F;
    insn->opcode = take8(cursor);
    if (insn->opcode == 0x38) {
        insn->map = MAP_0F38;
        insn->opcode = take8(cursor);
        if ((insn->opcode & 0xfe) == 0xf0 && insn->prefix == PREFIX_F2)
            return &opcodes_crc32[insn->opcode & 1];
        return &opcodes_special[SPECIAL_0F38];
    }
    if (insn->opcode == 0x3a) {
        insn->map = MAP_0F3A;
        insn->opcode = take8(cursor);
        return &opcodes_special[SPECIAL_0F3A];
    }
    return &opcodes_0f[insn->opcode];
}

static const struct opcode *member_of(const struct opcode *row, const struct insn *insn)
{
    if (row->form & FORM_GROUP_REGISTERS && !(insn->flags & INSN_MEMORY))
        return &row->group[8 + (insn->modrm & 63)];
    return &row->group[insn->modrm >> 3 & 7];
}

static void decode_body(struct cursor *cursor, struct insn *insn, uint8_t byte)
{
    const struct opcode *row = take_opcode(cursor, insn, byte);
    uint32_t form = row->form;

    if (cursor->intel && insn->map == MAP_0F && has_idle_modrm(insn->opcode)) {
        form |= FORM_MODRM;
        if (is_reserved_map(insn->opcode))
            take8(cursor);
    }
    /* The immediate's size may hang on ModRM.reg, so ModRM comes first. */
    if (form & FORM_MODRM)
        take_modrm(cursor, insn, form);
    if (form & FORM_GROUP) {
        row = member_of(row, insn);
        form |= row->form;
    }
    if (form & FORM_LOW)
        insn->rm = (uint8_t)((insn->opcode & 7) | (insn->rex & 1 ? 8 : 0));
    if (form & FORM_SEGMENT)
        insn->reg = insn->opcode >> 3 & 7;
    if (form & FORM_MOFFS)
        insn->flags |= INSN_MEMORY;
    insn->operand_size = operand_size(cursor, insn, form);
    take_immediate(cursor, insn, form);

    row = special_row(cursor, insn, row);
    insn_handler handler = row ? row->handler : NULL;
    if (row && row->form & FORM_SIMD)
        handler = simd_handler(insn);

    bool memory = insn->flags & INSN_MEMORY;
    if (!handler || (form & FORM_NO64 && cursor->code64) || (form & FORM_MEMORY && !memory) ||
        (form & FORM_REGISTER && memory) ||
        (insn->flags & INSN_LOCK && !(form & FORM_LOCKABLE && memory))) {
        make_undefined(insn);
        return;
    }
    insn->row = row;
    insn->handler = handler;
    if (form & FORM_ENDS || (form & FORM_ENDS_REP && insn->flags & (INSN_REP | INSN_REPNE)))
        insn->flags |= INSN_ENDS_BLOCK;
}

enum decode_result insn_decode(const uint8_t *bytes, unsigned available, bool code64,
    unsigned code_size, bool intel, struct insn *insn)
{
    struct cursor cursor = {.bytes = bytes,
        .available = available < INSN_MAX_LENGTH ? available : INSN_MAX_LENGTH,
        .code64 = code64,
        .intel = intel,
        .code_size = code_size,
        .segment = NO_REGISTER};

    *insn = (struct insn){.base = NO_REGISTER, .index = NO_REGISTER};
    uint8_t byte = take_prefixes(&cursor, insn);
    if (!cursor.more) {
        if (insn->rex)
            insn->flags |= INSN_REX;
        if (cursor.operand16)
            insn->flags |= INSN_OPERAND16;
        insn->prefix = insn->flags & INSN_REP     ? PREFIX_F3
                       : insn->flags & INSN_REPNE ? PREFIX_F2
                       : cursor.operand16         ? PREFIX_66
                                                  : PREFIX_NONE;
        insn->address_size = code64                               ? (cursor.address ? 4 : 8)
                             : cursor.address == (code_size == 4) ? 2
                                                                  : 4;
        insn->segment = cursor.segment != NO_REGISTER ? cursor.segment : SEG_DS;
        decode_body(&cursor, insn, byte);
    }
    insn->length = (uint8_t)cursor.position;
    if (!cursor.more)
        return DECODE_OK;
    if (available < INSN_MAX_LENGTH)
        return DECODE_MORE;
    insn->row = &opcodes_special[SPECIAL_TOO_LONG];
    insn->handler = insn->row->handler;
    insn->address_size = code64 ? 8 : 4; /* prefixes alone may have been decoded */
    insn->length = INSN_MAX_LENGTH;
    insn->flags |= INSN_ENDS_BLOCK;
    return DECODE_OK;
}

bool insn_is_undefined(const struct insn *insn)
{
    return insn_has_trait(insn, TRAIT_UNDEFINED);
}
