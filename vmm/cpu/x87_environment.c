/*
 * FLDENV, FNSTENV, FRSTOR, FNSAVE (Intel SDM volume 1, figures 8-9 to 8-12). Where FCS and FDS do
 * not exist (CPUID 7 EBX bit 13) they store as 0 and are ignored when loaded.
 */
#include "vmm/cpu/simd.h"

enum { WORDS = 7, REGISTERS = 8, REGISTER_SIZE = 10 };
enum { TAG_VALID, TAG_ZERO, TAG_SPECIAL, TAG_EMPTY };

static unsigned tag_of(const uint8_t *value)
{
    uint64_t significand;
    uint16_t exponent;
    memcpy(&significand, value, 8);
    memcpy(&exponent, value + 8, 2);
    exponent &= 0x7fff;
    if (exponent == 0 && significand == 0)
        return TAG_ZERO;
    return exponent == 0 || exponent == 0x7fff || !(significand >> 63) ? TAG_SPECIAL : TAG_VALID;
}

static uint16_t full_tags(const struct fpu_state *fpu)
{
    unsigned tags = 0;
    for (unsigned i = 0; i < REGISTERS; i++)
        tags |= (fpu->tag >> i & 1 ? tag_of(fpu->st[i]) : TAG_EMPTY) << 2 * i;
    return (uint16_t)tags;
}

/* Where the parts are: in real mode the pointers' high bits are elsewhere, FOP always. */
enum { WORD_FIP = 3, WORD_FOP, WORD_FDP, WORD_FDP_HIGH };

struct layout {
    bool wide;      /* 32-bit operands */
    bool protected; /* selectors in the place of high bits */
    bool selectors; /* ... that exist */
};

static struct layout layout_of(const struct cpu *cpu, const struct insn *insn)
{
    return (struct layout){
        insn->operand_size != 2, cpu->s.cr0 & CR0_PE, cpu_has_fpu_selectors(cpu)};
}

static void put_pointers(const struct fpu_state *fpu, struct layout layout, uint32_t words[WORDS])
{
    uint32_t instruction = (uint32_t)fpu->instruction, data = (uint32_t)fpu->data;
    words[WORD_FIP] = instruction;
    words[WORD_FDP] = data;
    if (layout.protected) {
        words[WORD_FOP] = (uint32_t)fpu->opcode << 16 | fpu->code_selector;
        words[WORD_FDP_HIGH] = fpu->data_selector;
        return;
    }
    words[WORD_FIP] &= 0xffff;
    words[WORD_FDP] &= 0xffff;
    words[WORD_FOP] = instruction >> 16 << 12 | fpu->opcode;
    words[WORD_FDP_HIGH] = data >> 16 << 12;
}

/* Returns the environment's size. */
static unsigned put_environment(const struct fpu_state *fpu, struct layout layout, uint8_t *out)
{
    uint32_t words[WORDS] = {fpu->control, fpu->status, full_tags(fpu)};
    put_pointers(fpu, layout, words);
    if (layout.wide) {
        for (unsigned i = 0; i < 3; i++)
            words[i] |= 0xffff0000;
        if (layout.protected)
            words[WORD_FDP_HIGH] |= 0xffff0000;
        memcpy(out, words, sizeof words);
        return sizeof words;
    }
    for (unsigned i = 0; i < WORDS; i++)
        memcpy(out + 2 * i, &words[i], 2);
    return 2 * WORDS;
}

static void take_pointers(struct fpu_state *fpu, struct layout layout, const uint32_t words[WORDS])
{
    uint32_t instruction = words[WORD_FIP], data = words[WORD_FDP];
    fpu->opcode = words[WORD_FOP] & 0x7ff;
    if (layout.protected) {
        fpu->opcode = layout.wide ? words[WORD_FOP] >> 16 & 0x7ff : 0;
    } else {
        instruction = (instruction & 0xffff) | words[WORD_FOP] >> 12 << 16;
        data = (data & 0xffff) | words[WORD_FDP_HIGH] >> 12 << 16;
    }
    fpu->instruction = instruction;
    fpu->data = data;
    bool selectors = layout.protected && layout.selectors;
    fpu->code_selector = selectors ? (uint16_t)words[WORD_FOP] : 0;
    fpu->data_selector = selectors ? (uint16_t)words[WORD_FDP_HIGH] : 0;
}

static void take_environment(struct fpu_state *fpu, struct layout layout, const uint8_t *in)
{
    uint32_t words[WORDS] = {0};
    unsigned size = layout.wide ? 4 : 2;
    for (unsigned i = 0; i < WORDS; i++)
        memcpy(&words[i], in + i * size, size);
    fpu->status = (uint16_t)words[1];
    x87_set_control(fpu, (uint16_t)words[0]);
    fpu->tag = 0;
    for (unsigned i = 0; i < REGISTERS; i++) {
        if ((words[2] >> 2 * i & 3) != TAG_EMPTY)
            fpu->tag |= (uint8_t)(1u << i);
    }
    take_pointers(fpu, layout, words);
}

static unsigned environment_size(bool wide)
{
    return wide ? 4 * WORDS : 2 * WORDS;
}

static void fnstenv(struct cpu *cpu, const struct insn *insn)
{
    uint8_t image[4 * WORDS];
    x87_available(cpu);
    unsigned size = put_environment(&cpu->s.fpu, layout_of(cpu, insn), image);
    simd_store(cpu, insn, image, size, false);
    x87_set_control(&cpu->s.fpu, cpu->s.fpu.control | X87_MASKS);
}

static void fldenv(struct cpu *cpu, const struct insn *insn)
{
    uint8_t buffer[4 * WORDS];
    struct layout layout = layout_of(cpu, insn);
    x87_check(cpu, insn);
    const void *image = simd_load(cpu, insn, environment_size(layout.wide), false, buffer);
    take_environment(&cpu->s.fpu, layout, image);
}

static void fnsave(struct cpu *cpu, const struct insn *insn)
{
    uint8_t image[4 * WORDS + REGISTERS * REGISTER_SIZE];
    x87_available(cpu);
    struct fpu_state *fpu = &cpu->s.fpu;
    unsigned size = put_environment(fpu, layout_of(cpu, insn), image);
    for (unsigned i = 0; i < REGISTERS; i++, size += REGISTER_SIZE)
        memcpy(image + size, fpu->st[x87_physical(cpu, i)], REGISTER_SIZE);
    simd_store(cpu, insn, image, size, false);
    x87_initialize(fpu);
}

static void frstor(struct cpu *cpu, const struct insn *insn)
{
    uint8_t buffer[4 * WORDS + REGISTERS * REGISTER_SIZE];
    struct layout layout = layout_of(cpu, insn);
    x87_check(cpu, insn);
    unsigned size = environment_size(layout.wide);
    const uint8_t *image = simd_load(cpu, insn, size + REGISTERS * REGISTER_SIZE, false, buffer);
    take_environment(&cpu->s.fpu, layout, image);
    for (unsigned i = 0; i < REGISTERS; i++, size += REGISTER_SIZE)
        memcpy(cpu->s.fpu.st[x87_physical(cpu, i)], image + size, REGISTER_SIZE);
}

insn_handler x87_environment_handler(const struct insn *insn)
{
    if (!(insn->flags & INSN_MEMORY))
        return NULL;
    switch (insn->opcode << 4 | modrm_mmx_reg(insn)) {
    case 0xd94:
        return fldenv;
    case 0xd96:
        return fnstenv;
    case 0xdd4:
        return frstor;
    case 0xdd6:
        return fnsave;
    default:
        return NULL;
    }
}
