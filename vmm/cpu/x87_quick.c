/*
 * The frequent x87 instructions that compute, when their registers hold something and all
 * exceptions are masked: only the operands are loaded into the host.
 *
 * The exceptions raised are read from the host's status word, which is sticky and not cleared
 * beforehand (that is slow): when it shows one that the guest does not have yet, it is cleared and
 * the instruction, which has changed nothing so far, is executed again.
 */
#include "vmm/cpu/simd.h"

struct quick {
    struct simd_result host;
    uint8_t result[16];
} __attribute__((aligned(16)));

static inline bool all_masked(const struct cpu *cpu)
{
    return (cpu->s.fpu.control & X87_MASKS) == X87_MASKS;
}

static inline void run(
    struct cpu *cpu, const uint8_t *code, void *first, const void *second, struct quick *quick)
{
    uint16_t control = cpu->s.fpu.control;
    bool differs = control != cpu->simd->host_control;
    if (UNLIKELY(differs))
        __asm__ volatile("fldcw %0" : : "m"(control));
    quick->host = simd_at(code)(first, second, NULL, quick->result);
    if (UNLIKELY(quick->host.rax & ~(uint64_t)cpu->s.fpu.status & X87_MASKS)) {
        __asm__ volatile("fnclex");
        quick->host = simd_at(code)(first, second, NULL, quick->result);
    }
    if (UNLIKELY(differs))
        __asm__ volatile("fldcw %0" : : "m"(cpu->simd->host_control));
}

/* Takes over the exceptions and the condition codes in `computed`. */
static inline void take_status(
    struct cpu *cpu, const struct insn *insn, const struct quick *quick, unsigned computed)
{
    unsigned host = (unsigned)quick->host.rax;
    x87_keep_condition(cpu, insn);
    cpu->s.fpu.status =
        (uint16_t)((cpu->s.fpu.status & ~computed) | (host & (computed | X87_MASKS)));
}

/* D8, DA, DC, DE with memory: ST(0) op memory */
static void arithmetic_memory(struct cpu *cpu, const struct insn *insn)
{
    uint8_t buffer[8];
    struct quick quick;
    unsigned index = x87_memory_index(insn), reg = index & 7;
    x87_available(cpu);
    if (UNLIKELY(!all_masked(cpu) || !x87_valid(cpu, 0))) {
        x87_full(cpu, insn);
        return;
    }
    const void *source = simd_load(cpu, insn, x87_memory_operand[index], false, buffer);
    void *st0 = cpu->s.fpu.st[x87_top(cpu)];
    run(cpu, cpu->simd->quick_memory[index], st0, source, &quick);
    if (reg == 2 || reg == 3) {
        take_status(cpu, insn, &quick, X87_CONDITION);
        if (reg == 3)
            x87_pop(cpu);
    } else {
        take_status(cpu, insn, &quick, X87_C1);
        x87_copy(st0, quick.result);
    }
    x87_point_memory(cpu, insn);
}

/* FLD m32, m64; FILD */
static void load_memory(struct cpu *cpu, const struct insn *insn)
{
    uint8_t buffer[8];
    struct quick quick;
    unsigned index = x87_memory_index(insn);
    x87_available(cpu);
    if (UNLIKELY(!all_masked(cpu) || x87_valid(cpu, 7))) {
        x87_full(cpu, insn);
        return;
    }
    const void *source = simd_load(cpu, insn, x87_memory_operand[index], false, buffer);
    run(cpu, cpu->simd->quick_memory[index], NULL, source, &quick);
    take_status(cpu, insn, &quick, X87_C1);
    x87_push(cpu, quick.result);
    x87_point_memory(cpu, insn);
}

/* FST, FSTP m32, m64; FIST, FISTP, FISTTP */
static void store_memory(struct cpu *cpu, const struct insn *insn)
{
    struct quick quick;
    unsigned index = x87_memory_index(insn);
    x87_available(cpu);
    if (UNLIKELY(!all_masked(cpu) || !x87_valid(cpu, 0))) {
        x87_full(cpu, insn);
        return;
    }
    run(cpu, cpu->simd->quick_memory[index], cpu->s.fpu.st[x87_top(cpu)], NULL, &quick);
    simd_store(cpu, insn, quick.result, x87_memory_operand[index] & ~(unsigned)X87_STORES, false);
    take_status(cpu, insn, &quick, X87_C1);
    if ((index & 7) != 2)
        x87_pop(cpu);
    x87_point_memory(cpu, insn);
}

/* D8, DC, DE with a register */
static void arithmetic_register(struct cpu *cpu, const struct insn *insn)
{
    struct quick quick;
    unsigned i = insn->modrm & 7;
    x87_available(cpu);
    if (UNLIKELY(!all_masked(cpu) || !x87_valid(cpu, 0) || !x87_valid(cpu, i))) {
        x87_full(cpu, insn);
        return;
    }
    void *st0 = cpu->s.fpu.st[x87_top(cpu)];
    void *sti = cpu->s.fpu.st[x87_physical(cpu, i)];
    run(cpu, cpu->simd->quick_register[x87_register_index(insn)], st0, sti, &quick);
    take_status(cpu, insn, &quick, X87_C1);
    x87_copy(insn->opcode == 0xd8 ? st0 : sti, quick.result);
    if (insn->opcode == 0xde)
        x87_pop(cpu);
    x87_point_register(cpu, insn);
}

/* How many registers a comparison with a register pops, and whether its result goes to EFLAGS. */
static unsigned comparison_pops(const struct insn *insn)
{
    unsigned reg = modrm_mmx_reg(insn);
    switch (insn->opcode) {
    case 0xd8:
    case 0xdc:
        return reg == 3;
    case 0xdd:
        return reg == 5;
    case 0xde:
        return reg == 3 ? 2 : 1;
    case 0xda:
        return 2;
    default:
        return insn->opcode == 0xdf;
    }
}

static void compare_register(struct cpu *cpu, const struct insn *insn)
{
    struct quick quick;
    unsigned i = insn->modrm & 7;
    x87_available(cpu);
    if (UNLIKELY(!all_masked(cpu) || !x87_valid(cpu, 0) || !x87_valid(cpu, i))) {
        x87_full(cpu, insn);
        return;
    }
    run(cpu, cpu->simd->quick_register[x87_register_index(insn)], cpu->s.fpu.st[x87_top(cpu)],
        cpu->s.fpu.st[x87_physical(cpu, i)], &quick);
    if (insn->opcode == 0xdb || insn->opcode == 0xdf) {
        take_status(cpu, insn, &quick, 0);
        cpu_set_arithmetic(cpu, quick.host.rdx);
    } else {
        take_status(cpu, insn, &quick, X87_CONDITION);
    }
    for (unsigned pops = comparison_pops(insn); pops > 0; pops--)
        x87_pop(cpu);
    x87_point_register(cpu, insn);
}

/* FTST, FXAM, FSQRT, FRNDINT */
static void unary(struct cpu *cpu, const struct insn *insn)
{
    struct quick quick;
    x87_available(cpu);
    if (UNLIKELY(!all_masked(cpu) || !x87_valid(cpu, 0))) {
        x87_full(cpu, insn);
        return;
    }
    void *st0 = cpu->s.fpu.st[x87_top(cpu)];
    run(cpu, cpu->simd->quick_register[x87_register_index(insn)], st0, NULL, &quick);
    if (insn->modrm < 0xe8) {
        take_status(cpu, insn, &quick, X87_CONDITION);
    } else {
        take_status(cpu, insn, &quick, X87_C1);
        x87_copy(st0, quick.result);
    }
    x87_point_register(cpu, insn);
}

/* FLD1, FLDL2T, FLDL2E, FLDPI, FLDLG2, FLDLN2, FLDZ */
static void constant(struct cpu *cpu, const struct insn *insn)
{
    struct quick quick;
    x87_available(cpu);
    if (UNLIKELY(!all_masked(cpu) || x87_valid(cpu, 7))) {
        x87_full(cpu, insn);
        return;
    }
    run(cpu, cpu->simd->quick_register[x87_register_index(insn)], NULL, NULL, &quick);
    take_status(cpu, insn, &quick, X87_C1);
    x87_push(cpu, quick.result);
    x87_point_register(cpu, insn);
}

static insn_handler memory_handler(const struct insn *insn)
{
    unsigned operand = x87_memory_operand[x87_memory_index(insn)];
    if (operand == 0 || (operand & ~(unsigned)X87_STORES) == 10)
        return NULL;
    if (!(insn->opcode & 1))
        return arithmetic_memory;
    return operand & X87_STORES ? store_memory : load_memory;
}

insn_handler x87_quick_handler(const struct insn *insn)
{
    if (insn->flags & INSN_MEMORY)
        return memory_handler(insn);
    unsigned reg = modrm_mmx_reg(insn);
    switch (insn->opcode) {
    case 0xd8:
    case 0xdc:
    case 0xde:
        return reg == 2 || reg == 3 ? compare_register : arithmetic_register;
    case 0xd9:
        if (insn->modrm >= 0xe8 && insn->modrm <= 0xee)
            return constant;
        if (insn->modrm == 0xe4 || insn->modrm == 0xe5 || insn->modrm == 0xfa ||
            insn->modrm == 0xfc)
            return unary;
        return NULL;
    case 0xda:
        return insn->modrm == 0xe9 ? compare_register : NULL;
    case 0xdd:
        return reg == 4 || reg == 5 ? compare_register : NULL;
    default: /* DB, DF: FUCOMI, FCOMI and their popping forms */
        return reg == 5 || reg == 6 ? compare_register : NULL;
    }
}
