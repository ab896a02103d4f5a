/* SSE data movement: plain copies, no thunks. */
#include "vmm/cpu/simd.h"

/* MOVUPS MOVUPD MOVDQU LDDQU and, aligned, MOVAPS MOVAPD MOVDQA MOVNTDQA: xmm <- xmm/m128 */
static void load_register(struct cpu *cpu, const struct insn *insn)
{
    sse_check(cpu);
    memmove(cpu->s.fpu.xmm[insn->reg], cpu->s.fpu.xmm[insn->rm], 16);
}

static void load_unaligned(struct cpu *cpu, const struct insn *insn)
{
    uint8_t buffer[16];
    sse_check(cpu);
    memcpy(cpu->s.fpu.xmm[insn->reg], simd_load(cpu, insn, 16, false, buffer), 16);
}

static void load_aligned(struct cpu *cpu, const struct insn *insn)
{
    uint8_t buffer[16];
    sse_check(cpu);
    memcpy(cpu->s.fpu.xmm[insn->reg], simd_load(cpu, insn, 16, true, buffer), 16);
}

static void store_register(struct cpu *cpu, const struct insn *insn)
{
    sse_check(cpu);
    memmove(cpu->s.fpu.xmm[insn->rm], cpu->s.fpu.xmm[insn->reg], 16);
}

static void store_unaligned(struct cpu *cpu, const struct insn *insn)
{
    sse_check(cpu);
    simd_store(cpu, insn, cpu->s.fpu.xmm[insn->reg], 16, false);
}

/* MOVAPS MOVAPD MOVDQA MOVNTPS MOVNTPD MOVNTDQ */
static void store_aligned(struct cpu *cpu, const struct insn *insn)
{
    sse_check(cpu);
    simd_store(cpu, insn, cpu->s.fpu.xmm[insn->reg], 16, true);
}

/* MOVSS and MOVSD: from memory the rest of the register is zeroed, from a register it is kept. */
static void load_scalar(struct cpu *cpu, const struct insn *insn)
{
    sse_check(cpu);
    bool single = insn->prefix == PREFIX_F3;
    uint8_t *destination = cpu->s.fpu.xmm[insn->reg];
    if (insn->flags & INSN_MEMORY) {
        uint64_t value = 0, zero = 0;
        const void *source = simd_load(cpu, insn, single ? 4 : 8, false, &value);
        if (single) {
            uint32_t low;
            memcpy(&low, source, 4);
            value = low;
        } else {
            memmove(&value, source, 8);
        }
        memcpy(destination, &value, 8);
        memcpy(destination + 8, &zero, 8);
    } else {
        memmove(destination, cpu->s.fpu.xmm[insn->rm], single ? 4 : 8);
    }
}

static void store_scalar(struct cpu *cpu, const struct insn *insn)
{
    sse_check(cpu);
    unsigned size = insn->prefix == PREFIX_F3 ? 4 : 8;
    if (insn->flags & INSN_MEMORY)
        simd_store(cpu, insn, cpu->s.fpu.xmm[insn->reg], size, false);
    else
        memmove(cpu->s.fpu.xmm[insn->rm], cpu->s.fpu.xmm[insn->reg], size);
}

/* MOVLPS MOVLPD MOVHPS MOVHPD with memory; MOVHLPS (12) and MOVLHPS (16) with a register. */
static void load_half(struct cpu *cpu, const struct insn *insn)
{
    sse_check(cpu);
    bool high = insn->opcode == 0x16;
    uint8_t *destination = cpu->s.fpu.xmm[insn->reg] + (high ? 8 : 0);
    if (insn->flags & INSN_MEMORY) {
        uint8_t buffer[8];
        memcpy(destination, simd_load(cpu, insn, 8, false, buffer), 8);
    } else {
        memmove(destination, cpu->s.fpu.xmm[insn->rm] + (high ? 0 : 8), 8);
    }
}

static void store_half(struct cpu *cpu, const struct insn *insn)
{
    sse_check(cpu);
    const uint8_t *source = cpu->s.fpu.xmm[insn->reg] + (insn->opcode == 0x17 ? 8 : 0);
    simd_store(cpu, insn, source, 8, false);
}

/* 66 0F 6E and 7E: MOVD, MOVQ between xmm and a general register or memory */
static void load_general(struct cpu *cpu, const struct insn *insn)
{
    sse_check(cpu);
    uint64_t value[2] = {cpu->s.gpr[insn->rm], 0};
    unsigned size = insn->rex & 8 ? 8 : 4;
    if (insn->flags & INSN_MEMORY) {
        uint8_t buffer[8];
        value[0] = 0;
        memcpy(value, simd_load(cpu, insn, size, false, buffer), size);
    } else if (size == 4) {
        value[0] = (uint32_t)value[0];
    }
    memcpy(cpu->s.fpu.xmm[insn->reg], value, 16);
}

static void store_general(struct cpu *cpu, const struct insn *insn)
{
    sse_check(cpu);
    uint64_t value;
    memcpy(&value, cpu->s.fpu.xmm[insn->reg], 8);
    if (insn->flags & INSN_MEMORY)
        simd_store(cpu, insn, &value, insn->rex & 8 ? 8 : 4, false);
    else
        set_gpr(cpu, insn, insn->rm, value);
}

/* MOVQ xmm, xmm/m64 (F3 0F 7E) and xmm/m64, xmm (66 0F D6) */
static void load_quad(struct cpu *cpu, const struct insn *insn)
{
    sse_check(cpu);
    uint64_t value[2] = {0, 0};
    uint8_t buffer[8];
    const void *source = cpu->s.fpu.xmm[insn->rm];
    if (insn->flags & INSN_MEMORY)
        source = simd_load(cpu, insn, 8, false, buffer);
    memcpy(value, source, 8);
    memcpy(cpu->s.fpu.xmm[insn->reg], value, 16);
}

static void store_quad(struct cpu *cpu, const struct insn *insn)
{
    sse_check(cpu);
    uint64_t value[2] = {0, 0};
    memcpy(value, cpu->s.fpu.xmm[insn->reg], 8);
    if (insn->flags & INSN_MEMORY)
        simd_store(cpu, insn, value, 8, false);
    else
        memcpy(cpu->s.fpu.xmm[insn->rm], value, 16);
}

/* MASKMOVDQU: bytes with the mask's top bit set go to [DS:rDI], which need not be aligned. */
static void masked_store(struct cpu *cpu, const struct insn *insn)
{
    sse_check(cpu);
    simd_masked_store(cpu, insn, cpu->s.fpu.xmm[insn->reg], cpu->s.fpu.xmm[insn->rm], 16);
}

void simd_masked_store(struct cpu *cpu, const struct insn *insn, const uint8_t *data,
    const uint8_t *mask, unsigned size)
{
    uint64_t offset = cpu->s.gpr[RDI] & size_mask(insn->address_size);
    uint64_t linear = cpu_linear_checked(cpu, insn->segment, offset, 8, ACCESS_WRITE);
    /* Also with an empty mask: manuals leave it open, AMD's processors check. */
    check_alignment(cpu, linear, 8);
    cpu_probe_write(cpu, linear, 8);
    if (size == 16) {
        cpu_linear_checked(cpu, insn->segment, offset + 8, 8, ACCESS_WRITE);
        cpu_probe_write(cpu, linear + 8, 8);
    }
    for (unsigned i = 0; i < size;) {
        if (!(mask[i] >> 7)) {
            i++;
            continue;
        }
        unsigned run = 1;
        while (i + run < size && mask[i + run] >> 7)
            run++;
        cpu_store_bytes(cpu, linear + i, data + i, run);
        i += run;
    }
}

/* MOVNTI touches no SSE state: it needs neither CR4.OSFXSR nor a clear CR0.TS. */
static void movnti(struct cpu *cpu, const struct insn *insn)
{
    simd_store(cpu, insn, &cpu->s.gpr[insn->reg], insn->rex & 8 ? 8 : 4, false);
}

static insn_handler unaligned_or_scalar(const struct insn *insn, bool memory)
{
    bool packed = insn->prefix == PREFIX_NONE || insn->prefix == PREFIX_66;
    if (insn->opcode == 0x10) {
        if (!packed)
            return load_scalar;
        return memory ? load_unaligned : load_register;
    }
    if (!packed)
        return store_scalar;
    return memory ? store_unaligned : store_register;
}

static insn_handler integer_move(const struct insn *insn, bool memory)
{
    switch (insn->opcode << 4 | insn->prefix) {
    case 0x6e0 | PREFIX_66:
        return load_general;
    case 0x7e0 | PREFIX_66:
        return store_general;
    case 0x7e0 | PREFIX_F3:
        return load_quad;
    case 0xd60 | PREFIX_66:
        return store_quad;
    case 0x6f0 | PREFIX_66:
        return memory ? load_aligned : load_register;
    case 0x6f0 | PREFIX_F3:
        return memory ? load_unaligned : load_register;
    case 0x7f0 | PREFIX_66:
        return memory ? store_aligned : store_register;
    case 0x7f0 | PREFIX_F3:
        return memory ? store_unaligned : store_register;
    case 0xe70 | PREFIX_66:
        return memory ? store_aligned : NULL;
    case 0xf00 | PREFIX_F2:
        return memory ? load_unaligned : NULL;
    case 0xf70 | PREFIX_66:
        return memory ? NULL : masked_store;
    case 0xc30 | PREFIX_NONE:
        return memory ? movnti : NULL;
    default:
        return NULL;
    }
}

insn_handler sse_move_handler(const struct insn *insn)
{
    bool memory = insn->flags & INSN_MEMORY;
    if (insn->map == MAP_0F38) /* MOVNTDQA */
        return memory ? load_aligned : NULL;
    switch (insn->opcode) {
    case 0x10:
    case 0x11:
        return unaligned_or_scalar(insn, memory);
    case 0x12:
    case 0x16:
        return memory || insn->prefix == PREFIX_NONE ? load_half : NULL;
    case 0x13:
    case 0x17:
        return memory ? store_half : NULL;
    case 0x28:
        return memory ? load_aligned : load_register;
    case 0x29:
        return memory ? store_aligned : store_register;
    case 0x2b:
        return memory ? store_aligned : NULL;
    default:
        return integer_move(insn, memory);
    }
}
