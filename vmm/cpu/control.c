/* Control and debug registers, RFLAGS, HLT, and the state that follows from them. */
#include "vmm/cpu/descriptor.h"
#include "vmm/cpu/operand.h"
#include "vmm/cpu/paging.h"
#include "vmm/cpu/system.h"
#include "vmm/cpu/virtual8086.h"
#include "vmm/arch/cpuid.h"

/* ---- Derived state --------------------------------------------------------------------------- */

void cpu_mode_changed(struct cpu *cpu)
{
    const struct segment *segment = cpu->s.segment;
    cpu->code64 = vcpu_in_64bit_mode(&cpu->s);
    if (cpu->code64) {
        cpu->code_size = 4;
        cpu->stack_size = 8;
    } else {
        cpu->code_size = segment[SEG_CS].attributes & SEG_DB ? 4 : 2;
        cpu->stack_size = segment[SEG_SS].attributes & SEG_DB ? 4 : 2;
    }
    const bool was_user = cpu->cpl == 3;
    cpu->cpl = (uint8_t)vcpu_cpl(&cpu->s);
    if (cpu->cpl == 3 && !was_user) {
        cpu->user_since = cpu->engine.retired;
        if (cpu->user_budget)
            cpu->stop_requested = true;
    }
    if (!cpu->tlb)
        tlb_init(cpu);
    cpu->tlb = cpu->tlb_banks[cpu->cpl == 3];
}

uint64_t cpu_get_rflags(const struct cpu *cpu)
{
    return (cpu->s.rflags & ~FLAGS_ARITHMETIC) | cpu_get_arithmetic(cpu) | FLAG_ONE;
}

void cpu_set_rflags(struct cpu *cpu, uint64_t rflags)
{
    cpu->s.rflags = (rflags & ~FLAGS_ARITHMETIC) | FLAG_ONE;
    cpu_set_arithmetic(cpu, rflags);
}

void cpu_jump(struct cpu *cpu, uint64_t rip)
{
    if (cpu->code64 ? !canonical_address(rip) : rip > cpu->s.segment[SEG_CS].limit)
        cpu_raise_error(cpu, VECTOR_GP, 0);
    cpu->s.rip = rip;
    cpu->jumped = true;
}

/* ---- Control registers ----------------------------------------------------------------------- */

#define CR0_WRITABLE \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)
#define CR4_TRANSLATION (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP)

static _Noreturn void general_protection(struct cpu *cpu)
{
    cpu_raise_error(cpu, VECTOR_GP, 0);
}

/* Outside long mode, PAE paging checks the four PDPTEs whenever it may start to use others. */
static void check_pdptes(struct cpu *cpu, uint64_t cr0, uint64_t cr3, uint64_t cr4, bool lme)
{
    if ((cr0 & CR0_PG) && (cr4 & CR4_PAE) && !lme && !paging_pdptes_valid(cpu, cr3))
        general_protection(cpu);
}

static void set_cr0(struct cpu *cpu, uint64_t value)
{
    bool lme = cpu->s.efer & EFER_LME;
    uint64_t old = cpu->s.cr0;
    if (value >> 32)
        general_protection(cpu);
    if ((value & CR0_PG) && !(value & CR0_PE))
        general_protection(cpu);
    if ((value & CR0_NW) && !(value & CR0_CD))
        general_protection(cpu);
    value = (value & CR0_WRITABLE) | CR0_ET;
    bool starts = (value & CR0_PG) && !(old & CR0_PG);
    if (starts && lme && (!(cpu->s.cr4 & CR4_PAE) || (cpu->s.segment[SEG_CS].attributes & SEG_L)))
        general_protection(cpu);
    if (!(value & CR0_PG) && cpu->code64)
        general_protection(cpu);
    if (starts)
        check_pdptes(cpu, value, cpu->s.cr3, cpu->s.cr4, lme);

    cpu->s.cr0 = value;
    if (lme && (value & CR0_PG))
        cpu->s.efer |= EFER_LMA;
    else
        cpu->s.efer &= ~EFER_LMA;
    if ((old ^ value) & (CR0_PG | CR0_PE | CR0_WP))
        tlb_flush_all(cpu);
    cpu_mode_changed(cpu);
}

static void set_cr3(struct cpu *cpu, uint64_t value)
{
    if (value >> CPUID_PHYSICAL_BITS)
        general_protection(cpu);
    check_pdptes(cpu, cpu->s.cr0, value, cpu->s.cr4, cpu->s.efer & EFER_LME);
    cpu->s.cr3 = value;
    tlb_flush_non_global(cpu);
    if (cpu->space_points)
        cpu->stop_requested = true;
}

static void set_cr4(struct cpu *cpu, uint64_t value)
{
    uint64_t old = cpu->s.cr4;
    if (value & ~(uint64_t)CPUID_CR4_ALLOWED)
        general_protection(cpu);
    if (long_mode(cpu) && !(value & CR4_PAE))
        general_protection(cpu);
    if ((old ^ value) & (CR4_PAE | CR4_PSE | CR4_PGE))
        check_pdptes(cpu, cpu->s.cr0, cpu->s.cr3, value, cpu->s.efer & EFER_LME);
    cpu->s.cr4 = value;
    if ((old ^ value) & CR4_TRANSLATION)
        tlb_flush_all(cpu);
}

static void set_cr8(struct cpu *cpu, uint64_t value)
{
    if (value >> 4)
        general_protection(cpu);
    cpu->s.cr8 = value;
}

/* CR0, CR2, CR3, CR4, and CR8 in 64-bit mode. */
static void require_control_register(struct cpu *cpu, unsigned number)
{
    bool exists = number == 0 || (number >= 2 && number <= 4) || (number == 8 && cpu->code64);
    if (!exists)
        cpu_raise(cpu, VECTOR_UD);
    require_cpl0(cpu);
}

void op_mov_from_cr(struct cpu *cpu, const struct insn *insn)
{
    require_control_register(cpu, insn->reg);
    uint64_t value = insn->reg == 0   ? cpu->s.cr0
                     : insn->reg == 2 ? cpu->s.cr2
                     : insn->reg == 3 ? cpu->s.cr3
                     : insn->reg == 4 ? cpu->s.cr4
                                      : cpu->s.cr8;
    gpr_write(cpu, insn->rm, insn->operand_size, value);
}

void op_mov_to_cr(struct cpu *cpu, const struct insn *insn)
{
    require_control_register(cpu, insn->reg);
    uint64_t value = cpu->s.gpr[insn->rm] & size_mask(insn->operand_size);
    switch (insn->reg) {
    case 0:
        set_cr0(cpu, value);
        break;
    case 2:
        cpu->s.cr2 = value;
        break;
    case 3:
        set_cr3(cpu, value);
        break;
    case 4:
        set_cr4(cpu, value);
        break;
    default:
        set_cr8(cpu, value);
    }
}

void op_clts(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    require_cpl0(cpu);
    cpu->s.cr0 &= ~CR0_TS;
}

void op_smsw(struct cpu *cpu, const struct insn *insn)
{
    rm_write(cpu, insn, insn->flags & INSN_MEMORY ? 2 : insn->operand_size, cpu->s.cr0);
}

/* Sets PE but never clears it. */
void op_lmsw(struct cpu *cpu, const struct insn *insn)
{
    require_cpl0(cpu);
    const uint64_t bits = CR0_PE | CR0_MP | CR0_EM | CR0_TS;
    uint64_t value = rm_read(cpu, insn, 2) & bits;
    set_cr0(cpu, (cpu->s.cr0 & ~(bits & ~CR0_PE)) | value);
}

void op_invlpg(struct cpu *cpu, const struct insn *insn)
{
    require_cpl0(cpu);
    uint64_t linear = insn_offset(cpu, insn);
    if (!cpu->code64)
        linear = (uint32_t)(linear + cpu->s.segment[insn->segment].base);
    else if (insn->segment == SEG_FS || insn->segment == SEG_GS)
        linear += cpu->s.segment[insn->segment].base;
    tlb_flush_page(cpu, linear);
}

/* There are no caches to write back or drop. */
void op_invd(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    require_cpl0(cpu);
}

/* ---- Debug registers ------------------------------------------------------------------------- */

#define DR6_BD     (1ull << 13)
#define DR6_ONES   0xffff0ff0ull
#define DR6_BITS   0xe00full
#define DR7_ONES   0x400ull
#define DR7_BITS   0xffff23ffull
#define DR7_DETECT (1ull << 13)

/* The register meant, 0 to 3, 6 or 7. */
static unsigned debug_register(struct cpu *cpu, unsigned number)
{
    if (number > 7 || ((number == 4 || number == 5) && (cpu->s.cr4 & CR4_DE)))
        cpu_raise(cpu, VECTOR_UD);
    require_cpl0(cpu);
    if (cpu->s.dr7 & DR7_DETECT) {
        cpu->s.dr6 = (cpu->s.dr6 & ~0xfull) | DR6_BD;
        cpu_raise(cpu, VECTOR_DB);
    }
    return number == 4 || number == 5 ? number + 2 : number;
}

void op_mov_from_dr(struct cpu *cpu, const struct insn *insn)
{
    unsigned number = debug_register(cpu, insn->reg);
    uint64_t value = number == 6 ? cpu->s.dr6 : number == 7 ? cpu->s.dr7 : cpu->s.dr[number];
    gpr_write(cpu, insn->rm, insn->operand_size, value);
}

void op_mov_to_dr(struct cpu *cpu, const struct insn *insn)
{
    unsigned number = debug_register(cpu, insn->reg);
    uint64_t value = cpu->s.gpr[insn->rm] & size_mask(insn->operand_size);
    if (number >= 6 && value >> 32)
        general_protection(cpu);
    if (number == 6)
        cpu->s.dr6 = (value & DR6_BITS) | DR6_ONES;
    else if (number == 7)
        cpu->s.dr7 = (value & DR7_BITS) | DR7_ONES;
    else
        cpu->s.dr[number] = value;
}

/* ---- Flags and HLT --------------------------------------------------------------------------- */

static unsigned io_privilege(const struct cpu *cpu)
{
    return (unsigned)((cpu->s.rflags & FLAG_IOPL) >> 12);
}

void op_hlt(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    require_cpl0(cpu);
    cpu->s.halted = true;
    cpu->stop_requested = true;
}

void op_cli(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    if (cpu->cpl > io_privilege(cpu))
        general_protection(cpu);
    cpu->s.rflags &= ~FLAG_IF;
}

void op_sti(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    if (cpu->cpl > io_privilege(cpu))
        general_protection(cpu);
    if (!(cpu->s.rflags & FLAG_IF))
        cpu->s.sti_shadow = true;
    cpu->s.rflags |= FLAG_IF;
}

void op_pushf(struct cpu *cpu, const struct insn *insn)
{
    virtual8086_require_iopl(cpu);
    stack_push(cpu, insn->operand_size, cpu_get_rflags(cpu) & ~(FLAG_RF | FLAG_VM));
}

void op_popf(struct cpu *cpu, const struct insn *insn)
{
    virtual8086_require_iopl(cpu);
    unsigned size = insn->operand_size;
    uint64_t value = stack_top(cpu, size);
    uint64_t mask = FLAGS_ARITHMETIC | FLAG_TF | FLAG_DF | FLAG_NT;
    if (size > 2)
        mask |= FLAG_AC | FLAG_ID;
    if (cpu->cpl == 0)
        mask |= FLAG_IOPL;
    if (cpu->cpl <= io_privilege(cpu))
        mask |= FLAG_IF;
    set_stack_pointer(cpu, stack_pointer(cpu) + size);
    cpu_set_rflags(cpu, (cpu_get_rflags(cpu) & ~mask) | (value & mask));
}

void op_monitor(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    cpu_raise(cpu, VECTOR_UD);
}
