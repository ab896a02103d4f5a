/*
 * x87: selection of the handler, and the way that executes any instruction in any state.
 *
 * That way loads the whole state into the host (FXRSTOR), executes the same instruction and saves
 * the state (FXSAVE): stack faults, unmasked responses, C1, tags and everything undocumented come
 * out as on hardware. The frequent instructions in the frequent states (operands present,
 * exceptions masked) are done with less in x87_quick.c and x87_move.c.
 */
#include "vmm/cpu/extended.h"
#include "vmm/cpu/simd.h"

#define STORE(size) ((size) | X87_STORES)

const uint8_t x87_memory_operand[64] = {
    4, 4, 4, 4, 4, 4, 4, 4,                                     /* D8 */
    4, 0, STORE(4), STORE(4), 0, 0, 0, 0,                       /* D9 */
    4, 4, 4, 4, 4, 4, 4, 4,                                     /* DA */
    4, STORE(4), STORE(4), STORE(4), 0, 10, 0, STORE(10),       /* DB */
    8, 8, 8, 8, 8, 8, 8, 8,                                     /* DC */
    8, STORE(8), STORE(8), STORE(8), 0, 0, 0, 0,                /* DD */
    2, 2, 2, 2, 2, 2, 2, 2,                                     /* DE */
    2, STORE(2), STORE(2), STORE(2), 10, 8, STORE(10), STORE(8) /* DF */
};

void x87_error(struct cpu *cpu, const struct insn *insn)
{
    if (!(cpu->s.cr0 & CR0_NE))
        cpu_stop_unimplemented(cpu, insn, "x87 error reported by interrupt (CR0.NE = 0)");
    cpu_raise(cpu, VECTOR_MF);
}

void x87_set_control(struct fpu_state *fpu, uint16_t control)
{
    fpu->control = (uint16_t)((control & 0x1f3f) | 0x40);
    fpu->status &= (uint16_t)~X87_SUMMARY;
    if (fpu->status & ~fpu->control & X87_MASKS)
        fpu->status |= X87_SUMMARY;
}

/* Does it give all four condition codes a meaning? FCOM, FUCOM, FICOM, FTST, FXAM, FPREM, FPREM1.
 */
static bool computes_condition(const struct insn *insn)
{
    unsigned reg = modrm_mmx_reg(insn);
    bool memory = insn->flags & INSN_MEMORY;
    switch (insn->opcode) {
    case 0xd8:
    case 0xdc:
        return reg == 2 || reg == 3;
    case 0xd9:
        return !memory && (insn->modrm == 0xe4 || insn->modrm == 0xe5 || insn->modrm == 0xf5 ||
                              insn->modrm == 0xf8);
    case 0xda:
        return memory ? reg == 2 || reg == 3 : insn->modrm == 0xe9;
    case 0xdd:
        return !memory && (reg == 4 || reg == 5);
    case 0xde:
        return reg == 2 || reg == 3;
    default:
        return false;
    }
}

static bool is_remainder(const struct insn *insn)
{
    return insn->opcode == 0xd9 && (insn->modrm == 0xf5 || insn->modrm == 0xf8) &&
           !(insn->flags & INSN_MEMORY);
}

/* Did FPREM or FPREM1 divide? Images before and after it. */
static bool has_quotient(const struct cpu *cpu, const struct fpu_state *in, uint16_t status)
{
    enum extended_class of = extended_classify(extended_load(in->st[0]));
    enum extended_class by = extended_classify(extended_load(in->st[1]));
    bool numbers = of != EXTENDED_UNSUPPORTED && by != EXTENDED_UNSUPPORTED &&
                   of < EXTENDED_INFINITY && by <= EXTENDED_INFINITY && by != EXTENDED_ZERO;
    const uint16_t first = X87_INVALID | X87_DENORMAL;
    return numbers && x87_valid(cpu, 0) && x87_valid(cpu, 1) && !(status & ~in->control & first);
}

/*
 * The condition codes after an instruction that began with those in `before` and ended on the host
 * with those in `after`. C1 is defined for what rounds and for stack faults;
 * `stack_fault` is of ST(0) and the register that is named.
 */
static uint16_t condition_after(
    const struct insn *insn, uint16_t before, uint16_t after, bool stack_fault)
{
    if (computes_condition(insn))
        return after & X87_CONDITION;
    uint16_t kept = x87_kept_condition(insn);
    if (!(kept & X87_C1) || stack_fault)
        return (uint16_t)((before & kept & ~X87_C1) | (after & X87_C1));
    return before & X87_CONDITION;
}

void x87_full(struct cpu *cpu, const struct insn *insn)
{
    struct fpu_state in, out;
    uint8_t operand[16] __attribute__((aligned(16))) = {0};
    bool memory = insn->flags & INSN_MEMORY;
    unsigned kind = memory ? x87_memory_operand[x87_memory_index(insn)] : 0;
    unsigned size = kind & ~(unsigned)X87_STORES;
    const uint8_t *code = memory ? cpu->simd->full_memory[x87_memory_index(insn)]
                                 : cpu->simd->full_register[x87_register_index(insn)];

    x87_check(cpu, insn);
    if (memory && !(kind & X87_STORES)) {
        const void *source = simd_load(cpu, insn, size, false, operand);
        memmove(operand, source, size);
    }
    simd_leave(cpu); /* FXRSTOR loads MXCSR too */
    in = cpu->s.fpu;
    fpu_to_image(&in);
    uint64_t rflags = cpu_get_arithmetic(cpu) | FLAG_ONE;
    rflags = simd_at(code)(&in, operand, (const void *)(uintptr_t)rflags, &out).rax;
    host_load_mxcsr(cpu->simd->host_mxcsr);
    if (cpu->simd->host_control != X87_INITIAL)
        __asm__ volatile("fldcw %0" : : "m"(cpu->simd->host_control));

    /* An unmasked exception other than precision leaves memory as it was. */
    bool failed = out.status & ~out.control & (X87_MASKS & ~0x20);
    if ((kind & X87_STORES) && !failed)
        simd_store(cpu, insn, operand, size, false);
    else if (kind & X87_STORES && !cpu_is_intel(cpu)) /* Intel's do not look at memory then */
        cpu_probe_write(cpu, simd_linear(cpu, insn, size, ACCESS_WRITE, false), size);
    fpu_from_image(&out);
    bool stack_fault = !x87_valid(cpu, 0) || !x87_valid(cpu, insn->modrm & 7);
    uint16_t condition = condition_after(insn, cpu->s.fpu.status, out.status, stack_fault);
    if (is_remainder(insn) && !has_quotient(cpu, &in, out.status))
        condition = cpu->s.fpu.status & (X87_C0 | X87_C3); /* the manuals do not say */
    cpu->s.fpu.status = (uint16_t)((out.status & ~X87_CONDITION) | condition);
    cpu->s.fpu.tag = out.tag;
    for (unsigned i = 0; i < 8; i++)
        x87_copy(cpu->s.fpu.st[i], out.st[i]);
    cpu_set_arithmetic(cpu, rflags);
    x87_point(cpu, insn);
}

/* FWAIT */
static void wait(struct cpu *cpu, const struct insn *insn)
{
    if ((cpu->s.cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS))
        cpu_raise(cpu, VECTOR_NM);
    if (x87_error_pending(cpu))
        x87_error(cpu, insn);
}

/* Register forms that are instructions on no CPU: by opcode, one bit for each ModRM & 63. */
static const uint64_t undefined_register[8] = {
    0,
    0xfeull << 0x10 | 0xccull << 0x20 | 1ull << 0x2f,
    0xfffffdffull << 0x20,
    0xe0ull << 0x20 | 0xffull << 0x38,
    0,
    0xffffull << 0x30,
    0xfdull << 0x18,
    0xfeull << 0x20 | 0xffull << 0x38,
};

bool x87_register_undefined(unsigned index)
{
    return undefined_register[index >> 6] >> (index & 0x3f) & 1;
}

insn_handler x87_handler(const struct insn *insn)
{
    if (insn->opcode == 0x9b)
        return wait;
    if (insn->opcode < 0xd8 || insn->opcode > 0xdf)
        return NULL;
    bool memory = insn->flags & INSN_MEMORY;
    if (!memory && x87_register_undefined(x87_register_index(insn)))
        return NULL;
    insn_handler handler = x87_move_handler(insn);
    if (!handler)
        handler = x87_environment_handler(insn);
    if (!handler)
        handler = x87_transcendental_handler(insn);
    if (!handler)
        handler = x87_quick_handler(insn);
    if (!handler && (!memory || x87_memory_operand[x87_memory_index(insn)]))
        handler = x87_full;
    return handler;
}
