/* Generates the host code of the x87 instructions. */
#include "vmm/cpu/simd.h"

#define EMIT(simd, ...) \
    simd_emit(simd, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

enum { FULL_ALIGNMENT = 32, QUICK_ALIGNMENT = 32 };

#define LOAD_FIRST   0xdb, 0x2f /* fld tbyte [rdi] */
#define LOAD_SECOND  0xdb, 0x2e /* fld tbyte [rsi] */
#define STATUS       0xdf, 0xe0 /* fnstsw ax */
#define STORE_RESULT 0xdb, 0x39 /* fstp tbyte [rcx] */
#define DROP         0xdd, 0xd8 /* fstp st(0) */
#define FLAGS        0x9c, 0x5a /* pushfq; pop rdx */
#define RET          0xc3

/* fxrstor64 [rdi]; push rdx; popfq; OP; pushfq; pop rax; fxsave64 [rcx]; fninit; ret */
static const uint8_t *full(struct simd_code *simd, unsigned opcode, unsigned modrm)
{
    const uint8_t *code = simd_align(simd, FULL_ALIGNMENT);
    EMIT(simd, 0x48, 0x0f, 0xae, 0x0f, 0x52, 0x9d);
    EMIT(simd, (uint8_t)opcode, (uint8_t)modrm);
    EMIT(simd, 0x9c, 0x58, 0x48, 0x0f, 0xae, 0x01, 0xdb, 0xe3, RET);
    return code;
}

enum { MODRM_SOURCE = 0x06, MODRM_RESULT = 0x01 };

static bool is_load(unsigned opcode, unsigned reg)
{
    return reg == 0 ? opcode & 1 : opcode == 0xdf && reg == 5;
}

static const uint8_t *quick_memory(struct simd_code *simd, unsigned opcode, unsigned reg)
{
    unsigned operand = x87_memory_operand[(opcode & 7) << 3 | reg];
    if (operand == 0 || (operand & ~X87_STORES) == 10) /* 80-bit and BCD forms: elsewhere */
        return NULL;
    const uint8_t *code = simd_align(simd, QUICK_ALIGNMENT);
    if (!(opcode & 1)) { /* arithmetic; the comparison that pops does so in x87_quick.c */
        if (reg == 3)
            reg = 2;
        EMIT(simd, LOAD_FIRST, (uint8_t)opcode, (uint8_t)(reg << 3 | MODRM_SOURCE));
        EMIT(simd, STATUS, STORE_RESULT, RET);
    } else if (is_load(opcode, reg)) {
        EMIT(simd, (uint8_t)opcode, (uint8_t)(reg << 3 | MODRM_SOURCE), STATUS, STORE_RESULT, RET);
    } else {
        if (reg == 2) /* the popping form: the register was only loaded for this */
            reg = 3;
        EMIT(simd, LOAD_FIRST, (uint8_t)opcode, (uint8_t)(reg << 3 | MODRM_RESULT), STATUS, RET);
    }
    return code;
}

/* ST(0) is [rdi], ST(1) is [rsi]. */
static const uint8_t *quick_pair(
    struct simd_code *simd, unsigned opcode, unsigned modrm, bool to_second)
{
    const uint8_t *code = simd_align(simd, QUICK_ALIGNMENT);
    EMIT(simd, LOAD_SECOND, LOAD_FIRST, (uint8_t)opcode, (uint8_t)modrm, STATUS);
    if (opcode == 0xdb) /* FCOMI, FUCOMI */
        EMIT(simd, FLAGS);
    if (to_second)
        EMIT(simd, DROP, STORE_RESULT, RET);
    else
        EMIT(simd, STORE_RESULT, DROP, RET);
    return code;
}

static const uint8_t *quick_unary(struct simd_code *simd, unsigned modrm)
{
    const uint8_t *code = simd_align(simd, QUICK_ALIGNMENT);
    EMIT(simd, LOAD_FIRST, 0xd9, (uint8_t)modrm, STATUS, STORE_RESULT, RET);
    return code;
}

static const uint8_t *quick_constant(struct simd_code *simd, unsigned modrm)
{
    const uint8_t *code = simd_align(simd, QUICK_ALIGNMENT);
    EMIT(simd, 0xd9, (uint8_t)modrm, STATUS, STORE_RESULT, RET);
    return code;
}

static void quick_arithmetic(struct simd_code *simd)
{
    for (unsigned reg = 0; reg < 8; reg++) {
        bool comparison = reg == 2 || reg == 3;
        unsigned modrm = 0xc1 | (comparison ? 2 : reg) << 3;
        const uint8_t *first = quick_pair(simd, 0xd8, modrm, false);
        const uint8_t *second = comparison ? first : quick_pair(simd, 0xdc, modrm, true);
        for (unsigned i = 0; i < 8; i++) {
            simd->quick_register[0 << 6 | reg << 3 | i] = first;
            simd->quick_register[4 << 6 | reg << 3 | i] = second;
            if (reg != 3)
                simd->quick_register[6 << 6 | reg << 3 | i] = second;
        }
    }
    simd->quick_register[6 << 6 | 3 << 3 | 1] = simd->quick_register[0 << 6 | 2 << 3]; /* FCOMPP */
}

static void quick_comparisons(struct simd_code *simd)
{
    const uint8_t *fucom = quick_pair(simd, 0xdd, 0xe1, false);
    const uint8_t *fucomi = quick_pair(simd, 0xdb, 0xe9, false);
    const uint8_t *fcomi = quick_pair(simd, 0xdb, 0xf1, false);
    for (unsigned i = 0; i < 8; i++) {
        simd->quick_register[5 << 6 | 4 << 3 | i] = fucom;
        simd->quick_register[5 << 6 | 5 << 3 | i] = fucom;
        simd->quick_register[3 << 6 | 5 << 3 | i] = fucomi;
        simd->quick_register[7 << 6 | 5 << 3 | i] = fucomi;
        simd->quick_register[3 << 6 | 6 << 3 | i] = fcomi;
        simd->quick_register[7 << 6 | 6 << 3 | i] = fcomi;
    }
    simd->quick_register[2 << 6 | 5 << 3 | 1] = fucom; /* FUCOMPP */
}

void x87_generate(struct simd_code *simd)
{
    for (unsigned i = 0; i < 64; i++) {
        unsigned opcode = 0xd8 | i >> 3, reg = i & 7;
        if (x87_memory_operand[i])
            simd->full_memory[i] = full(simd, opcode, reg << 3 | MODRM_SOURCE);
        simd->quick_memory[i] = quick_memory(simd, opcode, reg);
    }
    for (unsigned i = 0; i < 512; i++)
        simd->full_register[i] = full(simd, 0xd8 | i >> 6, 0xc0 | (i & 0x3f));
    quick_arithmetic(simd);
    quick_comparisons(simd);
    static const uint8_t unary[] = {0xe4, 0xe5, 0xfa, 0xfc}; /* FTST FXAM FSQRT FRNDINT */
    for (unsigned i = 0; i < sizeof unary; i++)
        simd->quick_register[1 << 6 | (unary[i] & 0x3f)] = quick_unary(simd, unary[i]);
    for (unsigned modrm = 0xe8; modrm <= 0xee; modrm++)
        simd->quick_register[1 << 6 | (modrm & 0x3f)] = quick_constant(simd, modrm);
}
