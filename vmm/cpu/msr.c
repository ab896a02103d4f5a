/* RDMSR, WRMSR, RDTSC, RDPMC and CPUID. */
#include "vmm/cpu/descriptor.h"
#include "vmm/cpu/operand.h"
#include "vmm/cpu/system.h"
#include "vmm/arch/apic_msr.h"
#include "vmm/arch/cpuid.h"
#include "vmm/arch/msr.h"

#define EFER_WRITABLE (EFER_SCE | EFER_LME | EFER_NXE)

/* Where the caller is asked, the instruction is abandoned and executed again with the answer, as a
 * port read is (io.c). */
static uint64_t virtual_time(struct cpu *cpu)
{
    if (!cpu->engine.time_exits)
        return cpu->engine.time_base + (cpu->engine.retired - cpu->engine.retired_base);
    if (cpu->read_next < cpu->read_count)
        return cpu->reads[cpu->read_next++].value;
    cpu->reads[cpu->read_count++] = (struct pending_access){.size = 8, .to = ACCESS_TO_TIME};
    longjmp(*cpu->escape, CPU_JUMP_TIME);
}

static uint64_t time_stamp(struct cpu *cpu)
{
    return vcpu_tsc(&cpu->s, virtual_time(cpu));
}

static _Noreturn void general_protection(struct cpu *cpu)
{
    cpu_raise_error(cpu, VECTOR_GP, 0);
}

/* The local APIC's: the caller is asked, as for virtual time. */
static uint64_t read_apic(struct cpu *cpu, uint32_t index)
{
    if (!apic_msr_readable(cpu->s.apic_base, index))
        general_protection(cpu);
    if (cpu->read_next < cpu->read_count)
        return cpu->reads[cpu->read_next++].value;
    cpu->reads[cpu->read_count++] =
        (struct pending_access){.address = index, .size = 8, .to = ACCESS_TO_MSR};
    longjmp(*cpu->escape, CPU_JUMP_MSR_READ);
}

static void tell_write(struct cpu *cpu, uint32_t index, uint64_t value)
{
    cpu->writes[cpu->write_count++] =
        (struct pending_access){.address = index, .value = value, .size = 8, .to = ACCESS_TO_MSR};
}

static void write_apic(struct cpu *cpu, uint32_t index, uint64_t value)
{
    if (!apic_msr_writable(cpu->s.apic_base, index, value))
        general_protection(cpu);
    tell_write(cpu, index, value);
}

/* The deadline is one of the TSC, which has just moved. */
static void write_time_stamp(struct cpu *cpu, uint64_t value)
{
    cpu->s.tsc_offset += value - time_stamp(cpu);
    if (cpu->engine.apic_extensions)
        tell_write(cpu, MSR_TSC, value);
}

static bool is_apic(const struct cpu *cpu, uint32_t index)
{
    return cpu->engine.apic_extensions && apic_msr_is(index);
}

static uint64_t read_msr(struct cpu *cpu, uint32_t index)
{
    uint64_t value;
    const struct vcpu_state *s = &cpu->s;
    switch (index) {
    case MSR_TSC:
        return time_stamp(cpu);
    case MSR_APIC_BASE:
        return s->apic_base;
    case MSR_SYSENTER_CS:
        return s->sysenter_cs;
    case MSR_SYSENTER_ESP:
        return s->sysenter_esp;
    case MSR_SYSENTER_EIP:
        return s->sysenter_eip;
    case MSR_PAT:
        return s->pat;
    case MSR_EFER:
        return s->efer;
    case MSR_STAR:
        return s->star;
    case MSR_LSTAR:
        return s->lstar;
    case MSR_CSTAR:
        return s->cstar;
    case MSR_SFMASK:
        return s->sfmask;
    case MSR_FS_BASE:
        return s->segment[SEG_FS].base;
    case MSR_GS_BASE:
        return s->segment[SEG_GS].base;
    case MSR_KERNEL_GS_BASE:
        return s->kernel_gs_base;
    case MSR_TSC_AUX:
        return s->tsc_aux;
    }
    if (is_apic(cpu, index))
        return read_apic(cpu, index);
    if (!msr_read(s->kept_msr, index, &value))
        general_protection(cpu);
    return value;
}

static uint64_t require_canonical(struct cpu *cpu, uint64_t address)
{
    if (!canonical_address(address))
        general_protection(cpu);
    return address;
}

/* LMA follows from LME and CR0.PG and is not written; LME cannot change while paging is on. */
static void write_efer(struct cpu *cpu, uint64_t value)
{
    uint64_t old = cpu->s.efer;
    if (value & ~(EFER_WRITABLE | EFER_LMA))
        general_protection(cpu);
    if (((old ^ value) & EFER_LME) && (cpu->s.cr0 & CR0_PG))
        general_protection(cpu);
    cpu->s.efer = (value & EFER_WRITABLE) | (old & EFER_LMA);
    if ((old ^ value) & EFER_NXE)
        tlb_flush_all(cpu);
}

static void write_pat(struct cpu *cpu, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++) {
        unsigned type = value >> (8 * i) & 0xff;
        if (type > 7 || type == 2 || type == 3)
            general_protection(cpu);
    }
    cpu->s.pat = value;
}

static void write_apic_base(struct cpu *cpu, const struct insn *insn, uint64_t value)
{
    if (!apic_base_allowed(cpu->s.apic_base, value, cpu->engine.apic_extensions))
        general_protection(cpu);
    uint64_t page = value & ~(PAGE_SIZE - 1);
    if (page != (cpu->s.apic_base & ~(PAGE_SIZE - 1)) && memory_at(cpu->memory, page, PAGE_SIZE))
        cpu_stop_unimplemented(cpu, insn, "moving the local APIC over RAM");
    cpu->s.apic_base = value;
    if (cpu->engine.msr_exits)
        tell_write(cpu, MSR_APIC_BASE, value);
}

static void write_msr(struct cpu *cpu, const struct insn *insn, uint32_t index, uint64_t value)
{
    struct vcpu_state *s = &cpu->s;
    switch (index) {
    case MSR_TSC:
        write_time_stamp(cpu, value);
        break;
    case MSR_APIC_BASE:
        write_apic_base(cpu, insn, value);
        break;
    case MSR_SYSENTER_CS:
        s->sysenter_cs = value;
        break;
    case MSR_SYSENTER_ESP:
        s->sysenter_esp = require_canonical(cpu, value);
        break;
    case MSR_SYSENTER_EIP:
        s->sysenter_eip = require_canonical(cpu, value);
        break;
    case MSR_PAT:
        write_pat(cpu, value);
        break;
    case MSR_EFER:
        write_efer(cpu, value);
        break;
    case MSR_STAR:
        s->star = value;
        break;
    case MSR_LSTAR:
        s->lstar = require_canonical(cpu, value);
        break;
    case MSR_CSTAR:
        s->cstar = require_canonical(cpu, value);
        break;
    case MSR_SFMASK:
        s->sfmask = (uint32_t)value;
        break;
    case MSR_FS_BASE:
        s->segment[SEG_FS].base = require_canonical(cpu, value);
        break;
    case MSR_GS_BASE:
        s->segment[SEG_GS].base = require_canonical(cpu, value);
        break;
    case MSR_KERNEL_GS_BASE:
        s->kernel_gs_base = require_canonical(cpu, value);
        break;
    case MSR_TSC_AUX:
        s->tsc_aux = (uint32_t)value;
        break;
    default:
        if (is_apic(cpu, index))
            write_apic(cpu, index, value);
        else if (!msr_write(s->kept_msr, index, value))
            general_protection(cpu);
    }
}

static void set_edx_eax(struct cpu *cpu, uint64_t value)
{
    cpu->s.gpr[RAX] = (uint32_t)value;
    cpu->s.gpr[RDX] = value >> 32;
}

void op_rdmsr(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    require_cpl0(cpu);
    set_edx_eax(cpu, read_msr(cpu, (uint32_t)cpu->s.gpr[RCX]));
}

void op_wrmsr(struct cpu *cpu, const struct insn *insn)
{
    require_cpl0(cpu);
    uint64_t value = cpu->s.gpr[RDX] << 32 | (uint32_t)cpu->s.gpr[RAX];
    write_msr(cpu, insn, (uint32_t)cpu->s.gpr[RCX], value);
}

static void require_time_stamp(struct cpu *cpu)
{
    if ((cpu->s.cr4 & CR4_TSD) && cpu->cpl != 0)
        general_protection(cpu);
}

void op_rdtsc(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    require_time_stamp(cpu);
    set_edx_eax(cpu, time_stamp(cpu));
}

void op_rdtscp(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    require_time_stamp(cpu);
    set_edx_eax(cpu, time_stamp(cpu));
    cpu->s.gpr[RCX] = (uint32_t)cpu->s.tsc_aux;
}

void op_rdpmc(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    uint32_t counter = (uint32_t)cpu->s.gpr[RCX];
    if ((cpu->cpl != 0 && !(cpu->s.cr4 & CR4_PCE)) || counter >= MSR_PERF_COUNTERS)
        general_protection(cpu);
    set_edx_eax(cpu, cpu->s.kept_msr[MSR_KEPT_PERF_CTR + counter]);
}

void op_cpuid(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    uint32_t out[4], function = (uint32_t)cpu->s.gpr[RAX];
    const struct cpuid_vcpu vcpu = {
        cpu->engine.vcpu, cpu->engine.vcpu_count, cpu->personality, cpu->engine.apic_extensions};
    cpuid_query_vcpu(function, (uint32_t)cpu->s.gpr[RCX], &vcpu, out);
    cpu->s.gpr[RAX] = out[0];
    cpu->s.gpr[RBX] = out[1];
    cpu->s.gpr[RCX] = out[2];
    cpu->s.gpr[RDX] = out[3];
    /* In this leaf alone, as KVM has it. */
    if (function == 1 && !(cpu->s.apic_base & APIC_BASE_ENABLED))
        cpu->s.gpr[RDX] &= ~(uint64_t)CPUID_1_EDX_APIC;
}
