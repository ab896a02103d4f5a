/* Generates the host code by which SIMD instructions are executed. */
#include "vmm/cpu/simd.h"

/* The generated code first runs through with memory == NULL to learn its size. */
void simd_emit(struct simd_code *simd, const uint8_t *bytes, unsigned count)
{
    if (simd->memory)
        memcpy(simd->memory + simd->used, bytes, count);
    simd->used += count;
}

#define EMIT(simd, ...) \
    simd_emit(simd, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

const uint8_t *simd_align(struct simd_code *simd, unsigned alignment)
{
    while (simd->used % alignment)
        EMIT(simd, 0xcc);
    return simd->memory ? simd->memory + simd->used : NULL;
}

/* ModRM bytes of the forms in use: register 0 or 1 with [rsi], and register with register. */
enum { R0_SOURCE = 0x06, R1_SOURCE = 0x0e, R0_R0 = 0xc0, R0_R1 = 0xc1 };

struct shape {
    unsigned map, opcode, prefix;
    unsigned modrm;
    bool has_immediate, rex_w;
    uint8_t immediate;
};

static void emit_operation(struct simd_code *simd, const struct shape *shape)
{
    static const uint8_t prefixes[] = {0, 0x66, 0xf3, 0xf2};
    if (shape->prefix != PREFIX_NONE)
        EMIT(simd, prefixes[shape->prefix]);
    if (shape->rex_w)
        EMIT(simd, 0x48);
    EMIT(simd, 0x0f);
    if (shape->map == MAP_0F38)
        EMIT(simd, 0x38);
    else if (shape->map == MAP_0F3A)
        EMIT(simd, 0x3a);
    EMIT(simd, (uint8_t)shape->opcode, (uint8_t)shape->modrm);
    if (shape->has_immediate)
        EMIT(simd, shape->immediate);
}

#define LOAD_XMM0  0x0f, 0x28, 0x07 /* movaps xmm0, [rdi] */
#define STORE_XMM0 0x0f, 0x29, 0x07 /* movaps [rdi], xmm0 */
#define LOAD_XMM1  0x0f, 0x28, 0x0e /* movaps xmm1, [rsi] */
#define LOAD_MM0   0x0f, 0x6f, 0x07 /* movq mm0, [rdi] */
#define STORE_MM0  0x0f, 0x7f, 0x07 /* movq [rdi], mm0 */
#define EMMS       0x0f, 0x77
#define FLAGS      0x9c, 0x58 /* pushfq; pop rax */
#define RET        0xc3

/* mov r8, rdx; mov rax, [r8]; mov rdx, [r8 + 8]; movaps xmm1, [rdi]; OP xmm1, [rsi], immediate;
 * mov [r8], rcx; movaps [r8 + 16], xmm0; pushfq; pop rax; ret */
static void emit_string(struct simd_code *simd, struct shape *shape)
{
    EMIT(simd, 0x49, 0x89, 0xd0, 0x49, 0x8b, 0x00, 0x49, 0x8b, 0x50, 0x08, 0x0f, 0x28, 0x0f);
    shape->modrm = R1_SOURCE;
    emit_operation(simd, shape);
    EMIT(simd, 0x49, 0x89, 0x08, 0x41, 0x0f, 0x29, 0x40, 0x10, FLAGS, RET);
}

static void emit_xmm(
    struct simd_code *simd, struct shape *shape, enum simd_kind kind, bool insert_register)
{
    switch (kind) {
    case SIMD_G_W:
        emit_operation(simd, shape);
        EMIT(simd, RET);
        break;
    case SIMD_G_U:
        EMIT(simd, LOAD_XMM1);
        shape->modrm = R0_R1;
        emit_operation(simd, shape);
        EMIT(simd, RET);
        break;
    case SIMD_E_V:
        EMIT(simd, LOAD_XMM0);
        shape->modrm = R0_R0;
        emit_operation(simd, shape);
        EMIT(simd, RET);
        break;
    case SIMD_COMPARE:
        EMIT(simd, LOAD_XMM0);
        emit_operation(simd, shape);
        EMIT(simd, FLAGS, RET);
        break;
    case SIMD_BLENDV: /* movaps xmm0, [rdx]; movaps xmm1, [rdi]; OP xmm1, [rsi] */
        EMIT(simd, 0x0f, 0x28, 0x02, 0x0f, 0x28, 0x0f);
        shape->modrm = R1_SOURCE;
        emit_operation(simd, shape);
        EMIT(simd, 0x0f, 0x29, 0x0f, RET);
        break;
    case SIMD_STRING:
        emit_string(simd, shape);
        break;
    default:
        EMIT(simd, LOAD_XMM0);
        if (insert_register) {
            EMIT(simd, LOAD_XMM1);
            shape->modrm = R0_R1;
        }
        emit_operation(simd, shape);
        EMIT(simd, STORE_XMM0, RET);
        break;
    }
}

static void emit_mmx(struct simd_code *simd, struct shape *shape, enum simd_kind kind)
{
    if (kind == SIMD_G_N) { /* movq mm1, [rsi]; OP eax, mm1 */
        EMIT(simd, 0x0f, 0x6f, 0x0e);
        shape->modrm = R0_R1;
        emit_operation(simd, shape);
        EMIT(simd, EMMS, RET);
        return;
    }
    if (kind != SIMD_P_W)
        EMIT(simd, LOAD_MM0);
    emit_operation(simd, shape);
    EMIT(simd, STORE_MM0, EMMS, RET);
}

/* One thunk, or the 256 of an instruction with an immediate, at equal distances. */
static const uint8_t *generate(struct simd_code *simd, unsigned index, unsigned modrm, bool variant)
{
    const struct simd_operation *operation = &simd_operations[index];
    enum simd_kind kind = operation->kind;
    bool immediate = operation->flags & SIMD_IMM8;
    unsigned stride = kind == SIMD_STRING ? 32 : 16;
    const uint8_t *first = simd_align(simd, stride);
    for (unsigned i = 0; i < (immediate ? 256 : 1); i++) {
        simd_align(simd, stride);
        struct shape shape = {
            .map = MAP_0F + (index >> 10),
            .opcode = index >> 2 & 0xff,
            .prefix = index & 3,
            .modrm = modrm,
            .has_immediate = immediate,
            .rex_w = variant && (operation->flags & SIMD_REX_W),
            .immediate = (uint8_t)i,
        };
        switch (kind) {
        case SIMD_P_Q:
        case SIMD_P_E:
        case SIMD_P_W:
        case SIMD_G_N:
        case SIMD_SHIFT_N:
            emit_mmx(simd, &shape, kind);
            break;
        default:
            emit_xmm(simd, &shape, kind, kind == SIMD_INSERTPS && variant);
            break;
        }
    }
    struct simd_entry *entry = &simd->entry[index];
    entry->size = operation->size;
    entry->flags = operation->flags;
    entry->stride = (uint16_t)(immediate ? stride : 0);
    return first;
}

/* Groups 12 to 14: what an instruction is depends on ModRM.reg. */
static void generate_shifts(struct simd_code *simd, unsigned index)
{
    unsigned opcode = index >> 2 & 0xff, prefix = index & 3;
    for (unsigned reg = 0; reg < 8; reg++) {
        if (simd_shift_exists(opcode, prefix, reg))
            simd->shift[opcode - 0x71][prefix][reg] =
                generate(simd, index, R0_R0 | reg << 3, false);
    }
}

void simd_generate(struct simd_code *simd)
{
    simd->recover = simd_align(simd, 32);
    EMIT(simd, EMMS, RET);
    for (unsigned index = 0; index < SIMD_OPERATIONS; index++) {
        const struct simd_operation *operation = &simd_operations[index];
        struct simd_entry *entry = &simd->entry[index];
        switch ((enum simd_kind)operation->kind) {
        case SIMD_NONE:
        case SIMD_MOVE:
        case SIMD_APPROXIMATE:
            break;
        case SIMD_SHIFT_U:
        case SIMD_SHIFT_N:
            generate_shifts(simd, index);
            break;
        default:
            entry->code = generate(simd, index, R0_SOURCE, false);
            entry->wide = entry->code;
            if (operation->flags & SIMD_REX_W || operation->kind == SIMD_INSERTPS)
                entry->wide = generate(simd, index, R0_SOURCE, true);
            break;
        }
    }
}
