/*
 * x87 instructions that move registers and control words without computing. Whenever a register
 * that should hold something is empty, or the reverse, x87_full() gives the stack fault.
 */
#include "vmm/cpu/simd.h"

static inline uint8_t *st(struct cpu *cpu, unsigned i)
{
    return cpu->s.fpu.st[x87_physical(cpu, i)];
}

static void fld_register(struct cpu *cpu, const struct insn *insn)
{
    x87_check(cpu, insn);
    unsigned i = insn->modrm & 7;
    if (UNLIKELY(!x87_valid(cpu, i) || x87_valid(cpu, 7))) {
        x87_full(cpu, insn);
        return;
    }
    x87_keep_condition(cpu, insn);
    x87_push(cpu, st(cpu, i));
    x87_point_register(cpu, insn);
}

static void fxch(struct cpu *cpu, const struct insn *insn)
{
    x87_check(cpu, insn);
    unsigned i = insn->modrm & 7;
    if (UNLIKELY(!x87_valid(cpu, 0) || !x87_valid(cpu, i))) {
        x87_full(cpu, insn);
        return;
    }
    uint8_t old[16];
    x87_copy(old, st(cpu, 0));
    x87_copy(st(cpu, 0), st(cpu, i));
    x87_copy(st(cpu, i), old);
    x87_keep_condition(cpu, insn);
    x87_point_register(cpu, insn);
}

/* FST ST(i) (DD D0) and FSTP ST(i) in all its encodings */
static void fst_register(struct cpu *cpu, const struct insn *insn)
{
    x87_check(cpu, insn);
    unsigned i = insn->modrm & 7;
    if (UNLIKELY(!x87_valid(cpu, 0))) {
        x87_full(cpu, insn);
        return;
    }
    if (i != 0)
        x87_copy(st(cpu, i), st(cpu, 0));
    cpu->s.fpu.tag |= (uint8_t)(1u << x87_physical(cpu, i));
    x87_keep_condition(cpu, insn);
    if (!(insn->opcode == 0xdd && modrm_mmx_reg(insn) == 2))
        x87_pop(cpu);
    x87_point_register(cpu, insn);
}

/* FCHS, FABS */
static void sign(struct cpu *cpu, const struct insn *insn)
{
    x87_check(cpu, insn);
    if (UNLIKELY(!x87_valid(cpu, 0))) {
        x87_full(cpu, insn);
        return;
    }
    uint16_t high;
    memcpy(&high, st(cpu, 0) + 8, 2);
    high = (uint16_t)(insn->modrm == 0xe0 ? high ^ 0x8000 : high & 0x7fff);
    memcpy(st(cpu, 0) + 8, &high, 2);
    x87_keep_condition(cpu, insn);
    x87_point_register(cpu, insn);
}

/* FCMOVcc: DA C0-DF below, equal, below or equal, unordered; DB the opposites */
static void fcmov(struct cpu *cpu, const struct insn *insn)
{
    static const uint64_t tested[4] = {FLAG_CF, FLAG_ZF, FLAG_CF | FLAG_ZF, FLAG_PF};
    x87_check(cpu, insn);
    unsigned i = insn->modrm & 7;
    if (UNLIKELY(!x87_valid(cpu, 0) || !x87_valid(cpu, i))) {
        x87_full(cpu, insn);
        return;
    }
    bool holds = cpu_get_arithmetic(cpu) & tested[modrm_mmx_reg(insn)];
    if (holds == (insn->opcode == 0xda) && i != 0)
        x87_copy(st(cpu, 0), st(cpu, i));
    x87_keep_condition(cpu, insn);
    x87_point_register(cpu, insn);
}

static void ffree(struct cpu *cpu, const struct insn *insn)
{
    x87_check(cpu, insn);
    cpu->s.fpu.tag &= (uint8_t) ~(1u << x87_physical(cpu, insn->modrm & 7));
    if (insn->opcode == 0xdf)
        x87_pop(cpu);
    x87_keep_condition(cpu, insn);
    x87_point_register(cpu, insn);
}

static void fincstp(struct cpu *cpu, const struct insn *insn)
{
    x87_check(cpu, insn);
    x87_set_top(cpu, x87_top(cpu) + 1);
    x87_keep_condition(cpu, insn);
    x87_point_register(cpu, insn);
}

static void fdecstp(struct cpu *cpu, const struct insn *insn)
{
    x87_check(cpu, insn);
    x87_set_top(cpu, x87_top(cpu) - 1);
    x87_keep_condition(cpu, insn);
    x87_point_register(cpu, insn);
}

static void fnop(struct cpu *cpu, const struct insn *insn)
{
    x87_check(cpu, insn);
    x87_point_register(cpu, insn);
}

/* FNENI, FNDISI, FNSETPM: nothing since the 80287, and they do not wait. */
static void nothing(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    x87_available(cpu);
}

/* FLD m80 and FSTP m80 copy any bits without exceptions. */
static void fld80(struct cpu *cpu, const struct insn *insn)
{
    uint8_t buffer[16];
    x87_check(cpu, insn);
    if (UNLIKELY(x87_valid(cpu, 7))) {
        x87_full(cpu, insn);
        return;
    }
    const void *source = simd_load(cpu, insn, 10, false, buffer);
    x87_keep_condition(cpu, insn);
    x87_push(cpu, source);
    x87_point_memory(cpu, insn);
}

static void fstp80(struct cpu *cpu, const struct insn *insn)
{
    x87_check(cpu, insn);
    if (UNLIKELY(!x87_valid(cpu, 0))) {
        x87_full(cpu, insn);
        return;
    }
    simd_store(cpu, insn, st(cpu, 0), 10, false);
    x87_keep_condition(cpu, insn);
    x87_pop(cpu);
    x87_point_memory(cpu, insn);
}

static void fldcw(struct cpu *cpu, const struct insn *insn)
{
    uint8_t buffer[2];
    uint16_t control;
    x87_check(cpu, insn);
    memcpy(&control, simd_load(cpu, insn, 2, false, buffer), 2);
    x87_set_control(&cpu->s.fpu, control);
}

static void fnstcw(struct cpu *cpu, const struct insn *insn)
{
    x87_available(cpu);
    simd_store(cpu, insn, &cpu->s.fpu.control, 2, false);
}

static void fnstsw(struct cpu *cpu, const struct insn *insn)
{
    x87_available(cpu);
    if (insn->flags & INSN_MEMORY)
        simd_store(cpu, insn, &cpu->s.fpu.status, 2, false);
    else
        cpu->s.gpr[RAX] = (cpu->s.gpr[RAX] & ~0xffffull) | cpu->s.fpu.status;
}

static void fnclex(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    x87_available(cpu);
    cpu->s.fpu.status &= 0x7f00;
}

static void fninit(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    x87_available(cpu);
    x87_initialize(&cpu->s.fpu);
}

static insn_handler memory_handler(const struct insn *insn)
{
    switch (insn->opcode << 4 | modrm_mmx_reg(insn)) {
    case 0xd95:
        return fldcw;
    case 0xd97:
        return fnstcw;
    case 0xdb5:
        return fld80;
    case 0xdb7:
        return fstp80;
    case 0xdd7:
        return fnstsw;
    default:
        return NULL;
    }
}

static insn_handler control_handler(const struct insn *insn)
{
    switch (insn->opcode << 8 | insn->modrm) {
    case 0xd9d0:
        return fnop;
    case 0xd9e0:
    case 0xd9e1:
        return sign;
    case 0xd9f6:
        return fdecstp;
    case 0xd9f7:
        return fincstp;
    case 0xdbe0:
    case 0xdbe1:
    case 0xdbe4:
        return nothing;
    case 0xdbe2:
        return fnclex;
    case 0xdbe3:
        return fninit;
    case 0xdfe0:
        return fnstsw;
    default:
        return NULL;
    }
}

insn_handler x87_move_handler(const struct insn *insn)
{
    if (insn->flags & INSN_MEMORY)
        return memory_handler(insn);
    switch (insn->opcode << 4 | modrm_mmx_reg(insn)) {
    case 0xd90:
        return fld_register;
    case 0xd91: /* and the undocumented encodings of the same */
    case 0xdd1:
    case 0xdf1:
        return fxch;
    case 0xdd2:
    case 0xdd3:
    case 0xd93:
    case 0xdf2:
    case 0xdf3:
        return fst_register;
    case 0xdd0:
    case 0xdf0:
        return ffree;
    case 0xda0:
    case 0xda1:
    case 0xda2:
    case 0xda3:
    case 0xdb0:
    case 0xdb1:
    case 0xdb2:
    case 0xdb3:
        return fcmov;
    default:
        return control_handler(insn);
    }
}
