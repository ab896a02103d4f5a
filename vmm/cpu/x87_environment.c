/*
 * FLDENV, FNSTENV, FRSTOR, FNSAVE (Intel SDM volume 1, figures 8-9 to 8-12). The pointers to the
 * last instruction and operand and the last opcode are kept as 0 (vcpu.h), which makes the real
 * and protected mode layouts equal: they store as 0 and are ignored when loaded.
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

/* Returns the environment's size. */
static unsigned put_environment(const struct fpu_state *fpu, bool wide, uint8_t *out)
{
    uint16_t words[WORDS] = {fpu->control, fpu->status, full_tags(fpu)};
    if (!wide) {
        memcpy(out, words, sizeof words);
        return sizeof words;
    }
    uint32_t doubles[WORDS];
    for (unsigned i = 0; i < WORDS; i++)
        doubles[i] = words[i];
    for (unsigned i = 0; i < 3; i++)
        doubles[i] |= 0xffff0000;
    doubles[6] |= 0xffff0000;
    memcpy(out, doubles, sizeof doubles);
    return sizeof doubles;
}

static void take_environment(struct fpu_state *fpu, bool wide, const uint8_t *in)
{
    uint16_t words[3];
    for (unsigned i = 0; i < 3; i++)
        memcpy(&words[i], in + i * (wide ? 4 : 2), 2);
    fpu->status = words[1];
    x87_set_control(fpu, words[0]);
    fpu->tag = 0;
    for (unsigned i = 0; i < REGISTERS; i++) {
        if ((words[2] >> 2 * i & 3) != TAG_EMPTY)
            fpu->tag |= (uint8_t)(1u << i);
    }
}

static unsigned environment_size(bool wide)
{
    return wide ? 4 * WORDS : 2 * WORDS;
}

static void fnstenv(struct cpu *cpu, const struct insn *insn)
{
    uint8_t image[4 * WORDS];
    x87_available(cpu);
    unsigned size = put_environment(&cpu->s.fpu, insn->operand_size != 2, image);
    simd_store(cpu, insn, image, size, false);
    x87_set_control(&cpu->s.fpu, cpu->s.fpu.control | X87_MASKS);
}

static void fldenv(struct cpu *cpu, const struct insn *insn)
{
    uint8_t buffer[4 * WORDS];
    bool wide = insn->operand_size != 2;
    x87_check(cpu, insn);
    const void *image = simd_load(cpu, insn, environment_size(wide), false, buffer);
    take_environment(&cpu->s.fpu, wide, image);
}

static void fnsave(struct cpu *cpu, const struct insn *insn)
{
    uint8_t image[4 * WORDS + REGISTERS * REGISTER_SIZE];
    x87_available(cpu);
    struct fpu_state *fpu = &cpu->s.fpu;
    unsigned size = put_environment(fpu, insn->operand_size != 2, image);
    for (unsigned i = 0; i < REGISTERS; i++, size += REGISTER_SIZE)
        memcpy(image + size, fpu->st[x87_physical(cpu, i)], REGISTER_SIZE);
    simd_store(cpu, insn, image, size, false);
    fpu->control = X87_INITIAL;
    fpu->status = 0;
    fpu->tag = 0;
}

static void frstor(struct cpu *cpu, const struct insn *insn)
{
    uint8_t buffer[4 * WORDS + REGISTERS * REGISTER_SIZE];
    bool wide = insn->operand_size != 2;
    x87_check(cpu, insn);
    unsigned size = environment_size(wide);
    const uint8_t *image = simd_load(cpu, insn, size + REGISTERS * REGISTER_SIZE, false, buffer);
    take_environment(&cpu->s.fpu, wide, image);
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
