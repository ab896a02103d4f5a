/* SSE instructions that compute: destination and source go to a thunk. */
#include "vmm/cpu/approximate.h"
#include "vmm/cpu/simd.h"

static inline const struct simd_entry *entry_of(const struct cpu *cpu, const struct insn *insn)
{
    return &cpu->simd->entry[simd_index(insn)];
}

/* ---- xmm <- xmm, xmm/m ---------------------------------------------------------------------- */

static void plain_register(struct cpu *cpu, const struct insn *insn)
{
    sse_check(cpu);
    const uint8_t *code = simd_entry_code(entry_of(cpu, insn), insn);
    simd_at(code)(cpu->s.fpu.xmm[insn->reg], cpu->s.fpu.xmm[insn->rm], NULL, NULL);
}

static void plain_memory(struct cpu *cpu, const struct insn *insn)
{
    uint8_t buffer[16] __attribute__((aligned(16)));
    sse_check(cpu);
    const struct simd_entry *entry = entry_of(cpu, insn);
    const void *source = simd_load(cpu, insn, entry->size, entry->flags & SIMD_ALIGNED, buffer);
    simd_at(simd_entry_code(entry, insn))(cpu->s.fpu.xmm[insn->reg], source, NULL, NULL);
}

static void mxcsr_register(struct cpu *cpu, const struct insn *insn)
{
    sse_check(cpu);
    const uint8_t *code = simd_entry_code(entry_of(cpu, insn), insn);
    simd_run_mxcsr(cpu, code, cpu->s.fpu.xmm[insn->reg], cpu->s.fpu.xmm[insn->rm]);
}

static void mxcsr_memory(struct cpu *cpu, const struct insn *insn)
{
    uint8_t buffer[16] __attribute__((aligned(16)));
    sse_check(cpu);
    const struct simd_entry *entry = entry_of(cpu, insn);
    const void *source = simd_load(cpu, insn, entry->size, entry->flags & SIMD_ALIGNED, buffer);
    simd_run_mxcsr(cpu, simd_entry_code(entry, insn), cpu->s.fpu.xmm[insn->reg], source);
}

static void insertps_register(struct cpu *cpu, const struct insn *insn)
{
    sse_check(cpu);
    const struct simd_entry *entry = entry_of(cpu, insn);
    const uint8_t *code = entry->wide + (size_t)(uint8_t)insn->immediate * entry->stride;
    simd_at(code)(cpu->s.fpu.xmm[insn->reg], cpu->s.fpu.xmm[insn->rm], NULL, NULL);
}

static void blendv(struct cpu *cpu, const struct insn *insn)
{
    uint8_t buffer[16] __attribute__((aligned(16)));
    sse_check(cpu);
    const void *source = cpu->s.fpu.xmm[insn->rm];
    if (insn->flags & INSN_MEMORY)
        source = simd_load(cpu, insn, 16, true, buffer);
    simd_at(entry_of(cpu, insn)->code)(cpu->s.fpu.xmm[insn->reg], source, cpu->s.fpu.xmm[0], NULL);
}

static void shift(struct cpu *cpu, const struct insn *insn)
{
    sse_check(cpu);
    const uint8_t *code = simd_shift_code(cpu->simd, insn);
    simd_at(code)(cpu->s.fpu.xmm[insn->rm], NULL, NULL, NULL);
}

/* RCPPS, RCPSS, RSQRTPS, RSQRTSS */
static void approximation(struct cpu *cpu, const struct insn *insn)
{
    uint8_t buffer[16] __attribute__((aligned(16)));
    bool intel = cpu_is_intel(cpu), scalar = insn->prefix == PREFIX_F3;
    unsigned size = scalar ? 4 : 16;
    sse_check(cpu);
    const void *source = cpu->s.fpu.xmm[insn->rm];
    if (insn->flags & INSN_MEMORY)
        source = simd_load(cpu, insn, size, !scalar, buffer);
    uint32_t value[4];
    memcpy(value, source, size);
    for (unsigned i = 0; i < size / 4; i++)
        value[i] = insn->opcode == 0x52 ? approximate_root(intel, value[i])
                                        : approximate_reciprocal(intel, value[i]);
    memcpy(cpu->s.fpu.xmm[insn->reg], value, size);
}

/* ---- General registers and flags ------------------------------------------------------------ */

/* CVTSI2SS, CVTSI2SD, PINSRB, PINSRW, PINSRD, PINSRQ */
static void from_general(struct cpu *cpu, const struct insn *insn)
{
    uint8_t buffer[8];
    sse_check(cpu);
    const struct simd_entry *entry = entry_of(cpu, insn);
    const void *source = &cpu->s.gpr[insn->rm];
    if (insn->flags & INSN_MEMORY) {
        unsigned size = (entry->flags & SIMD_REX_W) && (insn->rex & 8) ? 8 : entry->size;
        source = simd_load(cpu, insn, size, false, buffer);
    }
    simd_run(cpu, entry, simd_entry_code(entry, insn), cpu->s.fpu.xmm[insn->reg], source);
}

/* CVTSS2SI and the like, MOVMSKPS, PMOVMSKB, PEXTRW */
static void to_general(struct cpu *cpu, const struct insn *insn)
{
    uint8_t buffer[16] __attribute__((aligned(16)));
    sse_check(cpu);
    const struct simd_entry *entry = entry_of(cpu, insn);
    const void *source = cpu->s.fpu.xmm[insn->rm];
    if (insn->flags & INSN_MEMORY)
        source = simd_load(cpu, insn, entry->size, false, buffer);
    set_gpr(
        cpu, insn, insn->reg, simd_run(cpu, entry, simd_entry_code(entry, insn), NULL, source).rax);
}

/* PEXTRB, PEXTRW, PEXTRD, PEXTRQ, EXTRACTPS */
static void extract(struct cpu *cpu, const struct insn *insn)
{
    sse_check(cpu);
    const struct simd_entry *entry = entry_of(cpu, insn);
    uint64_t value =
        simd_at(simd_entry_code(entry, insn))(cpu->s.fpu.xmm[insn->reg], NULL, NULL, NULL).rax;
    if (insn->flags & INSN_MEMORY) {
        unsigned size = (entry->flags & SIMD_REX_W) && (insn->rex & 8) ? 8 : entry->size;
        simd_store(cpu, insn, &value, size, false);
    } else {
        set_gpr(cpu, insn, insn->rm, value);
    }
}

/* COMISS, COMISD, UCOMISS, UCOMISD, PTEST */
static void compare(struct cpu *cpu, const struct insn *insn)
{
    uint8_t buffer[16] __attribute__((aligned(16)));
    sse_check(cpu);
    const struct simd_entry *entry = entry_of(cpu, insn);
    const void *source = cpu->s.fpu.xmm[insn->rm];
    if (insn->flags & INSN_MEMORY)
        source = simd_load(cpu, insn, entry->size, entry->flags & SIMD_ALIGNED, buffer);
    uint64_t rflags = simd_run(cpu, entry, entry->code, cpu->s.fpu.xmm[insn->reg], source).rax;
    cpu_set_arithmetic(cpu, rflags);
}

insn_handler sse_handler(const struct insn *insn, const struct simd_operation *operation)
{
    bool memory = insn->flags & INSN_MEMORY;
    switch ((enum simd_kind)operation->kind) {
    case SIMD_V_W:
        if (operation->flags & SIMD_MXCSR)
            return memory ? mxcsr_memory : mxcsr_register;
        return memory ? plain_memory : plain_register;
    case SIMD_INSERTPS:
        return memory ? plain_memory : insertps_register;
    case SIMD_V_E:
        return from_general;
    case SIMD_G_U:
        return memory ? NULL : to_general;
    case SIMD_G_W:
        return to_general;
    case SIMD_E_V:
        return extract;
    case SIMD_COMPARE:
        return compare;
    case SIMD_BLENDV:
        return blendv;
    case SIMD_DOT:
        return dot_product;
    case SIMD_APPROXIMATE:
        return approximation;
    case SIMD_SHIFT_U:
        return !memory && simd_shift_exists(insn->opcode, PREFIX_66, modrm_mmx_reg(insn)) ? shift
                                                                                          : NULL;
    default:
        return NULL;
    }
}
