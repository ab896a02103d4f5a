/*
 * FSIN, FCOS, FSINCOS, FPTAN, FPATAN, F2XM1, FYL2X, FYL2XP1: the register stack and the status word
 * around x87_function.h. No maker's processor computes them as another's does, so that the host's
 * instructions are not used, unless KVM recorded the run on such a processor.
 */
#include "vmm/cpu/simd.h"
#include "vmm/cpu/x87_function.h"

static enum x87_function function_of(const struct insn *insn)
{
    switch (insn->modrm) {
    case 0xf0:
        return F2XM1;
    case 0xf1:
        return FYL2X;
    case 0xf2:
        return FPTAN;
    case 0xf3:
        return FPATAN;
    case 0xf9:
        return FYL2XP1;
    case 0xfb:
        return FSINCOS;
    case 0xfe:
        return FSIN;
    default:
        return FCOS;
    }
}

static struct x87_outcome stack_fault(bool overflow)
{
    return (struct x87_outcome){.result = extended_indefinite(),
        .pushed = extended_indefinite(),
        .raised = X87_INVALID | X87_STACK_FAULT,
        .up = overflow};
}

static struct x87_outcome evaluate(const struct cpu *cpu, enum x87_function function)
{
    bool both = x87_function_pops(function);
    if (!x87_valid(cpu, 0) || (both && !x87_valid(cpu, 1)))
        return stack_fault(false);
    if (x87_function_pushes(function) && x87_valid(cpu, 7))
        return stack_fault(true);
    return x87_function(function, extended_load(cpu->s.fpu.st[x87_physical(cpu, 0)]),
        extended_load(cpu->s.fpu.st[x87_physical(cpu, 1)]), cpu->s.fpu.control);
}

static void store(struct cpu *cpu, unsigned i, struct extended value)
{
    unsigned physical = x87_physical(cpu, i);
    extended_store(cpu->s.fpu.st[physical], value);
    cpu->s.fpu.tag |= (uint8_t)(1u << physical);
}

/* KVM recorded another processor's rounding, which nobody can foretell. */
static _Noreturn void stop_unknown(struct cpu *cpu, enum x87_function function)
{
    static const char *const names[] = {
        "F2XM1", "FYL2X", "FPTAN", "FPATAN", "FYL2XP1", "FSINCOS", "FSIN", "FCOS"};
    char recorded[HOST_CPU_TEXT_MAX], here[HOST_CPU_TEXT_MAX];
    struct host_cpu host;
    host_cpu_identify(&host);
    host_cpu_format(&cpu->functions_of, recorded);
    host_cpu_format(&host, here);
    error_set(&cpu->failure,
        "%s at 0x%llx: KVM recorded its result on %s, this host is %s, and processors round it "
        "differently: replay the trace on a processor of that maker, family and model, or record "
        "with --engine soft",
        names[function], (unsigned long long)cpu->s.rip, recorded, here);
    longjmp(*cpu->escape, CPU_JUMP_STOP);
}

static void transcendental(struct cpu *cpu, const struct insn *insn)
{
    x87_check(cpu, insn);
    enum x87_function function = function_of(insn);
    if (cpu->functions == FUNCTIONS_HOST) {
        x87_full(cpu, insn);
        return;
    }
    struct fpu_state *fpu = &cpu->s.fpu;
    struct x87_outcome outcome = evaluate(cpu, function);
    /* Of the other operands all make the same. */
    if (cpu->functions == FUNCTIONS_UNKNOWN && (outcome.raised & X87_PRECISION))
        stop_unknown(cpu, function);
    bool angle = x87_function_pushes(function) || function == FSIN || function == FCOS;
    uint16_t status = fpu->status & (uint16_t) ~(angle ? X87_C1 | X87_C2 : X87_C1);
    status |= outcome.raised;
    status |= (uint16_t)((outcome.up ? X87_C1 : 0) | (outcome.out_of_range ? X87_C2 : 0));
    if (status & ~fpu->control & X87_MASKS)
        status |= X87_SUMMARY;
    fpu->status = status;
    x87_point_register(cpu, insn);
    if (outcome.out_of_range ||
        (outcome.raised & ~fpu->control & (X87_INVALID | X87_DENORMAL | X87_ZERO_DIVIDE)))
        return;
    if (x87_function_pops(function))
        x87_pop(cpu);
    store(cpu, 0, outcome.result);
    if (x87_function_pushes(function)) {
        x87_set_top(cpu, x87_top(cpu) - 1);
        store(cpu, 0, outcome.pushed);
    }
}

insn_handler x87_transcendental_handler(const struct insn *insn)
{
    static const uint32_t forms = 1u << 0x0 | 1u << 0x1 | 1u << 0x2 | 1u << 0x3 | 1u << 0x9 |
                                  1u << 0xb | 1u << 0xe | 1u << 0xf; /* of D9 F0 to D9 FF */
    if (insn->opcode != 0xd9 || insn->modrm < 0xf0 || !(forms >> (insn->modrm & 15) & 1))
        return NULL;
    return transcendental;
}
