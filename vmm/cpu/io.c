/*
 * Port instructions. A read abandons the instruction and executes it again when the value is known,
 * as a read outside RAM does (mmu.c); a write waits in `writes` until the run loop has reported it.
 * A repeated instruction makes one iteration a call, since each leaves the engine anyway.
 */
#include "vmm/cpu/descriptor.h"
#include "vmm/cpu/operand.h"
#include "vmm/cpu/system.h"
#include "vmm/cpu/virtual8086.h"

enum { TSS_IO_MAP_BASE = 102 };

static uint64_t read_tss(struct cpu *cpu, uint64_t offset, unsigned size)
{
    if (offset + size - 1 > cpu->s.tr.limit)
        cpu_raise_error(cpu, VECTOR_GP, 0);
    uint64_t linear = cpu->s.tr.base + offset;
    return cpu_load_system(cpu, long_mode(cpu) ? linear : (uint32_t)linear, size);
}

/* Level 3 beyond IOPL, and virtual-8086 mode whatever the IOPL, needs every bit of the ports clear
 * in the TSS; two bytes are always read, as the bits may straddle. */
static void check_permission(struct cpu *cpu, unsigned port, unsigned size)
{
    if (!(cpu->s.cr0 & CR0_PE) ||
        (!virtual8086(cpu) && cpu->cpl <= (cpu->s.rflags & FLAG_IOPL) >> 12))
        return;
    unsigned type = segment_type(&cpu->s.tr);
    if (!(cpu->s.tr.attributes & SEG_P) || (type != TYPE_TSS && type != TYPE_TSS_BUSY))
        cpu_raise_error(cpu, VECTOR_GP, 0);
    uint64_t map = read_tss(cpu, TSS_IO_MAP_BASE, 2);
    uint64_t bits = read_tss(cpu, map + port / 8, 2);
    if (bits >> (port % 8) & ((1u << size) - 1))
        cpu_raise_error(cpu, VECTOR_GP, 0);
}

static uint64_t read_port(struct cpu *cpu, unsigned port, unsigned size)
{
    if (cpu->read_next < cpu->read_count)
        return cpu->reads[cpu->read_next++].value;
    if (cpu->read_count == CPU_MAX_ACCESSES) {
        error_set(&cpu->failure, "software CPU: the instruction at 0x%llx reads too often",
            (unsigned long long)cpu->s.rip);
        longjmp(*cpu->escape, CPU_JUMP_STOP);
    }
    cpu->reads[cpu->read_count++] =
        (struct pending_access){.address = port, .size = (uint8_t)size, .to = ACCESS_TO_PORT};
    longjmp(*cpu->escape, CPU_JUMP_PIO_READ);
}

static void write_port(struct cpu *cpu, unsigned port, unsigned size, uint64_t value)
{
    cpu->writes[cpu->write_count++] = (struct pending_access){.address = port,
        .value = value & size_mask(size),
        .size = (uint8_t)size,
        .to = ACCESS_TO_PORT};
}

static unsigned port_operand(const struct cpu *cpu, const struct insn *insn)
{
    return insn->opcode < 0xe8 ? insn->immediate & 0xff : cpu->s.gpr[RDX] & 0xffff;
}

void op_in(struct cpu *cpu, const struct insn *insn)
{
    unsigned port = port_operand(cpu, insn), size = insn->operand_size;
    check_permission(cpu, port, size);
    gpr_write(cpu, RAX, size, read_port(cpu, port, size));
}

void op_out(struct cpu *cpu, const struct insn *insn)
{
    unsigned port = port_operand(cpu, insn), size = insn->operand_size;
    check_permission(cpu, port, size);
    write_port(cpu, port, size, cpu->s.gpr[RAX]);
}

/* ---- Strings --------------------------------------------------------------------------------- */

static bool is_repeated(const struct insn *insn)
{
    return insn->flags & (INSN_REP | INSN_REPNE);
}

static bool nothing_left(const struct cpu *cpu, const struct insn *insn)
{
    return is_repeated(insn) && !(cpu->s.gpr[RCX] & size_mask(insn->address_size));
}

/* One element is done: the index moves, and what is left to repeat comes as another instruction. */
static void advance(struct cpu *cpu, const struct insn *insn, unsigned index)
{
    unsigned width = insn->address_size;
    uint64_t step = insn->operand_size;
    gpr_write(cpu, index, width, cpu->s.gpr[index] + (cpu->s.rflags & FLAG_DF ? -step : step));
    if (!is_repeated(insn))
        return;
    gpr_write(cpu, RCX, width, cpu->s.gpr[RCX] - 1);
    if (!(cpu->s.gpr[RCX] & size_mask(width)))
        return;
    cpu->jumped = true;
    cpu->s.rflags |= FLAG_RF; /* between iterations: APM volume 2, section 3.1.6 */
}

void op_ins(struct cpu *cpu, const struct insn *insn)
{
    unsigned port = cpu->s.gpr[RDX] & 0xffff, size = insn->operand_size;
    if (nothing_left(cpu, insn))
        return;
    check_permission(cpu, port, size);
    uint64_t offset = cpu->s.gpr[RDI] & size_mask(insn->address_size);
    uint64_t linear = linear_address(cpu, SEG_ES, offset, size, ACCESS_WRITE);
    memory_probe_write(cpu, linear, size);
    memory_store(cpu, linear, size, read_port(cpu, port, size));
    advance(cpu, insn, RDI);
}

void op_outs(struct cpu *cpu, const struct insn *insn)
{
    unsigned port = cpu->s.gpr[RDX] & 0xffff, size = insn->operand_size;
    if (nothing_left(cpu, insn))
        return;
    check_permission(cpu, port, size);
    uint64_t offset = cpu->s.gpr[RSI] & size_mask(insn->address_size);
    uint64_t linear = linear_address(cpu, insn->segment, offset, size, ACCESS_READ);
    write_port(cpu, port, size, memory_load(cpu, linear, size));
    advance(cpu, insn, RSI);
}
