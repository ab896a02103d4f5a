/* MMX and the conversions between MMX and SSE registers. */
#include "vmm/cpu/simd.h"

static inline const struct simd_entry *entry_of(const struct cpu *cpu, const struct insn *insn)
{
    return &cpu->simd->entry[simd_index(insn)];
}

/* Instructions that also name an XMM register, or MXCSR, need CR4.OSFXSR too. */
static inline void mixed_check(struct cpu *cpu, const struct insn *insn)
{
    sse_check(cpu);
    if (UNLIKELY(x87_error_pending(cpu)))
        x87_error(cpu, insn);
}

/* ---- mm <- mm, mm/m ------------------------------------------------------------------------- */

static void plain(struct cpu *cpu, const struct insn *insn)
{
    uint8_t buffer[8];
    mmx_check(cpu, insn);
    const struct simd_entry *entry = entry_of(cpu, insn);
    unsigned reg = modrm_mmx_reg(insn);
    const void *source = cpu->s.fpu.st[modrm_mmx_rm(insn)];
    if (insn->flags & INSN_MEMORY)
        source = simd_load(cpu, insn, entry->size, false, buffer);
    simd_at(simd_entry_code(entry, insn))(cpu->s.fpu.st[reg], source, NULL, NULL);
    mmx_enter(cpu);
    mmx_written(cpu, reg);
}

static void shift(struct cpu *cpu, const struct insn *insn)
{
    mmx_check(cpu, insn);
    unsigned reg = modrm_mmx_rm(insn);
    const uint8_t *code = simd_shift_code(cpu->simd, insn);
    simd_at(code)(cpu->s.fpu.st[reg], NULL, NULL, NULL);
    mmx_enter(cpu);
    mmx_written(cpu, reg);
}

/* PINSRW mm, r32/m16 */
static void insert(struct cpu *cpu, const struct insn *insn)
{
    uint8_t buffer[8];
    mmx_check(cpu, insn);
    const struct simd_entry *entry = entry_of(cpu, insn);
    unsigned reg = modrm_mmx_reg(insn);
    const void *source = &cpu->s.gpr[insn->rm];
    if (insn->flags & INSN_MEMORY)
        source = simd_load(cpu, insn, entry->size, false, buffer);
    simd_at(simd_entry_code(entry, insn))(cpu->s.fpu.st[reg], source, NULL, NULL);
    mmx_enter(cpu);
    mmx_written(cpu, reg);
}

/* PEXTRW, PMOVMSKB */
static void to_general(struct cpu *cpu, const struct insn *insn)
{
    mmx_check(cpu, insn);
    const struct simd_entry *entry = entry_of(cpu, insn);
    const void *source = cpu->s.fpu.st[modrm_mmx_rm(insn)];
    set_gpr(
        cpu, insn, insn->reg, simd_at(simd_entry_code(entry, insn))(NULL, source, NULL, NULL).rax);
    mmx_enter(cpu);
}

/* ---- Conversions ---------------------------------------------------------------------------- */

/* CVTPI2PS, CVTPI2PD. With a memory operand CVTPI2PD leaves the x87 state alone; so does CVTPI2PS,
 * but only on some CPUs. */
static void to_xmm(struct cpu *cpu, const struct insn *insn)
{
    uint8_t buffer[8];
    const struct simd_entry *entry = entry_of(cpu, insn);
    bool memory = insn->flags & INSN_MEMORY;
    bool touches_mmx = !memory || (insn->prefix == PREFIX_NONE && cpu->simd->cvtpi2ps_touches_mmx);
    if (touches_mmx)
        mixed_check(cpu, insn);
    else
        sse_check(cpu);
    const void *source = cpu->s.fpu.st[modrm_mmx_rm(insn)];
    if (memory)
        source = simd_load(cpu, insn, 8, false, buffer);
    if (touches_mmx)
        mmx_enter(cpu); /* even if #XM follows */
    simd_run(cpu, entry, entry->code, cpu->s.fpu.xmm[insn->reg], source);
}

/* CVTPS2PI, CVTTPS2PI, CVTPD2PI, CVTTPD2PI */
static void from_xmm(struct cpu *cpu, const struct insn *insn)
{
    uint8_t buffer[16] __attribute__((aligned(16)));
    mixed_check(cpu, insn);
    const struct simd_entry *entry = entry_of(cpu, insn);
    unsigned reg = modrm_mmx_reg(insn);
    const void *source = cpu->s.fpu.xmm[insn->rm];
    if (insn->flags & INSN_MEMORY)
        source = simd_load(cpu, insn, entry->size, entry->flags & SIMD_ALIGNED, buffer);
    mmx_enter(cpu); /* even if #XM follows */
    simd_run(cpu, entry, entry->code, cpu->s.fpu.st[reg], source);
    mmx_written(cpu, reg);
}

/* ---- Moves ---------------------------------------------------------------------------------- */

/* MOVD, MOVQ mm, r/m (0F 6E) and MOVQ mm, mm/m64 (0F 6F) */
static void load(struct cpu *cpu, const struct insn *insn)
{
    mmx_check(cpu, insn);
    unsigned reg = modrm_mmx_reg(insn);
    bool general = insn->opcode == 0x6e;
    unsigned size = general && !(insn->rex & 8) ? 4 : 8;
    uint8_t buffer[8];
    uint64_t value = 0;
    const void *source = cpu->s.fpu.st[modrm_mmx_rm(insn)];
    if (insn->flags & INSN_MEMORY)
        source = simd_load(cpu, insn, size, false, buffer);
    else if (general)
        source = &cpu->s.gpr[insn->rm];
    memcpy(&value, source, size);
    memcpy(cpu->s.fpu.st[reg], &value, 8);
    mmx_enter(cpu);
    mmx_written(cpu, reg);
}

/* MOVD, MOVQ r/m, mm (0F 7E), MOVQ mm/m64, mm (0F 7F), MOVNTQ (0F E7) */
static void store(struct cpu *cpu, const struct insn *insn)
{
    mmx_check(cpu, insn);
    bool general = insn->opcode == 0x7e;
    unsigned size = general && !(insn->rex & 8) ? 4 : 8;
    uint64_t value;
    memcpy(&value, cpu->s.fpu.st[modrm_mmx_reg(insn)], 8);
    if (insn->flags & INSN_MEMORY) {
        if (cpu_is_intel(cpu)) /* stays if it faults */
            mmx_enter_top(cpu);
        simd_store(cpu, insn, &value, size, false);
        mmx_enter(cpu);
        return;
    }
    mmx_enter(cpu);
    if (general) {
        set_gpr(cpu, insn, insn->rm, value);
    } else {
        memcpy(cpu->s.fpu.st[modrm_mmx_rm(insn)], &value, 8);
        mmx_written(cpu, modrm_mmx_rm(insn));
    }
}

static void movq2dq(struct cpu *cpu, const struct insn *insn)
{
    mixed_check(cpu, insn);
    uint64_t value[2] = {0, 0};
    memcpy(value, cpu->s.fpu.st[modrm_mmx_rm(insn)], 8);
    memcpy(cpu->s.fpu.xmm[insn->reg], value, 16);
    mmx_enter(cpu);
}

static void movdq2q(struct cpu *cpu, const struct insn *insn)
{
    mixed_check(cpu, insn);
    unsigned reg = modrm_mmx_reg(insn);
    memcpy(cpu->s.fpu.st[reg], cpu->s.fpu.xmm[insn->rm], 8);
    mmx_enter(cpu);
    mmx_written(cpu, reg);
}

static void maskmovq(struct cpu *cpu, const struct insn *insn)
{
    mmx_check(cpu, insn);
    mmx_enter(cpu); /* stays if it faults */
    simd_masked_store(
        cpu, insn, cpu->s.fpu.st[modrm_mmx_reg(insn)], cpu->s.fpu.st[modrm_mmx_rm(insn)], 8);
}

static void emms(struct cpu *cpu, const struct insn *insn)
{
    mmx_check(cpu, insn);
    mmx_enter(cpu);
    cpu->s.fpu.tag = 0;
}

/* ---- Selection ------------------------------------------------------------------------------ */

insn_handler mmx_handler(const struct insn *insn, const struct simd_operation *operation)
{
    bool memory = insn->flags & INSN_MEMORY;
    switch ((enum simd_kind)operation->kind) {
    case SIMD_P_Q:
        return plain;
    case SIMD_P_E:
        return insert;
    case SIMD_P_W:
        return from_xmm;
    case SIMD_V_Q:
        return to_xmm;
    case SIMD_G_N:
        return memory ? NULL : to_general;
    case SIMD_SHIFT_N:
        return !memory && simd_shift_exists(insn->opcode, PREFIX_NONE, modrm_mmx_reg(insn)) ? shift
                                                                                            : NULL;
    default:
        return NULL;
    }
}

insn_handler mmx_move_handler(const struct insn *insn)
{
    bool memory = insn->flags & INSN_MEMORY;
    if (insn->opcode == 0xd6 && insn->prefix == PREFIX_F3)
        return memory ? NULL : movq2dq;
    if (insn->opcode == 0xd6 && insn->prefix == PREFIX_F2)
        return memory ? NULL : movdq2q;
    if (insn->prefix != PREFIX_NONE)
        return NULL;
    switch (insn->opcode) {
    case 0x6e:
    case 0x6f:
        return load;
    case 0x7e:
    case 0x7f:
        return store;
    case 0xe7:
        return memory ? store : NULL;
    case 0xf7:
        return memory ? NULL : maskmovq;
    case 0x77:
        return emms;
    default:
        return NULL;
    }
}
