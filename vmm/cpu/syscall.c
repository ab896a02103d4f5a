/*
 * SYSCALL, SYSRET, SYSENTER, SYSEXIT, by the maker's rules (APM volume 3; SDM volume 2):
 *
 *   SYSENTER, SYSEXIT in long mode     AMD: #UD; Intel: enter and leave 64-bit code
 *   SYSRET to a RIP not canonical      AMD: faults at the target; Intel: #GP before it leaves ring
 * 0 SYSRET outside 64-bit code         AMD: as defined there; Intel: #UD
 *
 * SYSCALL is AMD's under either rules, also in legacy and compatibility mode: CPUID names AMD as
 * the vendor, so that guests use it there, and KVM executes it for such a guest where Intel's
 * processors do not.
 */
#include "vmm/cpu/descriptor.h"
#include "vmm/cpu/system.h"

#define DR6_SINGLE_STEP (1ull << 14)

static void enter(struct cpu *cpu, struct segment code, struct segment stack, uint64_t rip)
{
    cpu->s.segment[SEG_CS] = code;
    cpu->s.segment[SEG_SS] = stack;
    cpu->s.rip = rip;
    cpu->jumped = true;
    cpu_mode_changed(cpu);
}

static void require_syscall(struct cpu *cpu)
{
    if (!(cpu->s.efer & EFER_SCE) || !(cpu->s.cr0 & CR0_PE))
        cpu_raise(cpu, VECTOR_UD);
}

static bool canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/* Since revision 2. */
static bool is_intel(const struct cpu *cpu)
{
    return personality_has(cpu->personality, MAKER_INTEL, 2);
}

void op_syscall(struct cpu *cpu, const struct insn *insn)
{
    require_syscall(cpu);
    uint64_t next = cpu->s.rip + insn->length;
    uint64_t rflags = cpu_get_rflags(cpu) & ~FLAG_RF;
    uint16_t selector = (uint16_t)(cpu->s.star >> 32 & 0xfffc);
    struct segment stack = segment_flat((uint16_t)(selector + 8), 0, false, false);
    if (!long_mode(cpu)) {
        cpu->s.gpr[RCX] = (uint32_t)next;
        cpu_set_rflags(cpu, rflags & ~(FLAG_IF | FLAG_VM));
        enter(cpu, segment_flat(selector, 0, true, false), stack, (uint32_t)cpu->s.star);
        return;
    }
    uint64_t target = cpu->code64 ? cpu->s.lstar : cpu->s.cstar;
    cpu->s.gpr[RCX] = cpu->code64 ? next : (uint32_t)next;
    cpu->s.gpr[R11] = rflags;
    cpu_set_rflags(cpu, rflags & ~cpu->s.sfmask);
    enter(cpu, segment_flat(selector, 0, true, true), stack, target);
}

void op_sysret(struct cpu *cpu, const struct insn *insn)
{
    require_syscall(cpu);
    if (cpu_is_intel(cpu) && !cpu->code64)
        cpu_raise(cpu, VECTOR_UD);
    require_cpl0(cpu);
    if (is_intel(cpu) && insn->operand_size == 8 && !canonical(cpu->s.gpr[RCX]))
        cpu_raise_error(cpu, VECTOR_GP, 0);
    uint16_t selector = (uint16_t)(cpu->s.star >> 48 | 3);
    struct segment stack = segment_flat((uint16_t)(selector + 8), 3, false, false);
    uint64_t target = (uint32_t)cpu->s.gpr[RCX];
    if (!long_mode(cpu)) {
        cpu_set_rflags(cpu, cpu_get_rflags(cpu) | FLAG_IF);
        enter(cpu, segment_flat(selector, 3, true, false), stack, target);
        return;
    }
    bool to_64bit = insn->operand_size == 8;
    const uint64_t kept = FLAGS_ARITHMETIC | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT |
                          FLAG_AC | FLAG_VIF | FLAG_VIP | FLAG_ID;
    cpu_set_rflags(cpu, cpu->s.gpr[R11] & kept);
    /* Unlike POPF and IRET it is itself trapped by the TF that it sets. */
    if (cpu->s.rflags & FLAG_TF)
        cpu->debug_hits |= DR6_SINGLE_STEP;
    if (to_64bit) {
        selector = (uint16_t)(selector + 16);
        target = cpu->s.gpr[RCX];
    }
    enter(cpu, segment_flat(selector, 3, true, to_64bit), stack, target);
}

/* The base selector of SYSENTER and SYSEXIT. */
static uint16_t sysenter_selector(struct cpu *cpu)
{
    uint16_t selector = (uint16_t)(cpu->s.sysenter_cs & 0xfffc);
    if (long_mode(cpu) && !is_intel(cpu))
        cpu_raise(cpu, VECTOR_UD);
    if (!(cpu->s.cr0 & CR0_PE) || !selector)
        cpu_raise_error(cpu, VECTOR_GP, 0);
    return selector;
}

void op_sysenter(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    uint16_t selector = sysenter_selector(cpu);
    const uint64_t mask = long_mode(cpu) ? UINT64_MAX : UINT32_MAX;
    cpu->s.gpr[RSP] = cpu->s.sysenter_esp & mask;
    cpu->s.rflags &= ~(FLAG_IF | FLAG_VM | FLAG_RF);
    enter(cpu, segment_flat(selector, 0, true, long_mode(cpu)),
        segment_flat((uint16_t)(selector + 8), 0, false, false), cpu->s.sysenter_eip & mask);
}

void op_sysexit(struct cpu *cpu, const struct insn *insn)
{
    uint16_t selector = sysenter_selector(cpu);
    require_cpl0(cpu);
    const bool to_64bit = long_mode(cpu) && insn->operand_size == 8;
    uint64_t target = cpu->s.gpr[RDX], stack = cpu->s.gpr[RCX];
    if (to_64bit && (!canonical(target) || !canonical(stack)))
        cpu_raise_error(cpu, VECTOR_GP, 0);
    if (!to_64bit) {
        target = (uint32_t)target;
        stack = (uint32_t)stack;
    }
    cpu->s.gpr[RSP] = stack;
    const unsigned code = selector + (to_64bit ? 32u : 16u);
    enter(cpu, segment_flat((uint16_t)(code | 3), 3, true, to_64bit),
        segment_flat((uint16_t)((code + 8) | 3), 3, false, false), target);
}
