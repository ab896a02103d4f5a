/*
 * Operand access for the integer handlers: registers by number and size, effective addresses,
 * memory through the TLB. Values are zero-extended to 64 bits.
 */
#ifndef VMM_CPU_OPERAND_H
#define VMM_CPU_OPERAND_H

#include <string.h>

#include "vmm/cpu/cpu.h"

static inline uint64_t size_mask(unsigned size)
{
    return UINT64_MAX >> (64 - 8 * size);
}

static inline uint64_t sign_extend(uint64_t value, unsigned size)
{
    unsigned shift = 64 - 8 * size;
    return (uint64_t)((int64_t)(value << shift) >> shift);
}

/* Without REX, byte registers 4 to 7 are AH CH DH BH. */
static inline bool is_high_byte(const struct insn *insn, unsigned number)
{
    return number >= 4 && !(insn->flags & INSN_REX);
}

static inline uint64_t reg_read(
    const struct cpu *cpu, const struct insn *insn, unsigned number, unsigned size)
{
    if (size == 1 && is_high_byte(insn, number))
        return cpu->s.gpr[number & 3] >> 8 & 0xff;
    return cpu->s.gpr[number] & size_mask(size);
}

/* Replaces 1 or 2 bytes; 4 and 8 replace the whole register. */
static inline void gpr_write(struct cpu *cpu, unsigned number, unsigned size, uint64_t value)
{
    uint64_t *gpr = &cpu->s.gpr[number];
    if (size == 8)
        *gpr = value;
    else if (size == 4)
        *gpr = (uint32_t)value;
    else
        *gpr = (*gpr & ~size_mask(size)) | (value & size_mask(size));
}

static inline void reg_write(
    struct cpu *cpu, const struct insn *insn, unsigned number, unsigned size, uint64_t value)
{
    if (size == 1 && is_high_byte(insn, number)) {
        uint64_t *gpr = &cpu->s.gpr[number & 3];
        *gpr = (*gpr & ~0xff00ull) | (value & 0xff) << 8;
        return;
    }
    gpr_write(cpu, number, size, value);
}

/* The offset in the segment, not yet cut to the address size. */
static inline uint64_t insn_offset_raw(const struct cpu *cpu, const struct insn *insn)
{
    uint64_t offset = (uint64_t)insn->displacement;
    if (insn->flags & INSN_RIP_RELATIVE)
        offset += cpu->s.rip + insn->length;
    if (insn->base != NO_REGISTER)
        offset += cpu->s.gpr[insn->base];
    if (insn->index != NO_REGISTER)
        offset += cpu->s.gpr[insn->index] << insn->scale;
    return offset;
}

static inline uint64_t insn_offset(const struct cpu *cpu, const struct insn *insn)
{
    return insn_offset_raw(cpu, insn) & size_mask(insn->address_size);
}

static inline void check_alignment(struct cpu *cpu, uint64_t linear, unsigned size)
{
    if (cpu->alignment_check && (linear & (size - 1)))
        cpu_raise_error(cpu, VECTOR_AC, 0);
}

static inline uint64_t linear_address(
    struct cpu *cpu, unsigned segment, uint64_t offset, unsigned size, enum access_kind kind)
{
    /* Where only the end of the access is out of bounds Intel's processors raise #AC, AMD's not. */
    if (cpu->alignment_check && cpu_is_intel(cpu))
        check_alignment(cpu, cpu_linear_checked(cpu, segment, offset, 1, kind), size);
    uint64_t linear = cpu_linear_checked(cpu, segment, offset, size, kind);
    check_alignment(cpu, linear, size);
    return linear;
}

static inline uint64_t insn_linear(
    struct cpu *cpu, const struct insn *insn, unsigned size, enum access_kind kind)
{
    return linear_address(cpu, insn->segment, insn_offset(cpu, insn), size, kind);
}

/* The host address of a direct access inside one page, or NULL. */
static inline uint8_t *direct(
    const struct cpu *cpu, enum access_kind kind, uint64_t linear, unsigned size)
{
    const struct tlb_entry *entry = &cpu->tlb[kind][linear / PAGE_SIZE % TLB_ENTRIES];
    /* When the access crosses, its last byte's page never is in the first byte's entry. */
    if (__builtin_expect(((linear + size - 1) & ~(PAGE_SIZE - 1)) != entry->page, 0))
        return NULL;
    return (uint8_t *)(uintptr_t)(linear + entry->addend);
}

static inline uint64_t memory_load(struct cpu *cpu, uint64_t linear, unsigned size)
{
    const uint8_t *host = direct(cpu, ACCESS_READ, linear, size);
    uint64_t value = 0;
    if (!host)
        return cpu_load_slow(cpu, linear, size);
    memcpy(&value, host, size);
    return value;
}

static inline void memory_store(struct cpu *cpu, uint64_t linear, unsigned size, uint64_t value)
{
    uint8_t *host = direct(cpu, ACCESS_WRITE, linear, size);
    if (!host)
        cpu_store_slow(cpu, linear, size, value);
    else
        memcpy(host, &value, size);
}

/* After this, a store there cannot fault. */
static inline void memory_probe_write(struct cpu *cpu, uint64_t linear, unsigned size)
{
    if (!direct(cpu, ACCESS_WRITE, linear, size))
        cpu_probe_write(cpu, linear, size);
}

static inline uint64_t rm_read(struct cpu *cpu, const struct insn *insn, unsigned size)
{
    if (insn->flags & INSN_MEMORY)
        return memory_load(cpu, insn_linear(cpu, insn, size, ACCESS_READ), size);
    return reg_read(cpu, insn, insn->rm, size);
}

static inline void rm_write(struct cpu *cpu, const struct insn *insn, unsigned size, uint64_t value)
{
    if (insn->flags & INSN_MEMORY)
        memory_store(cpu, insn_linear(cpu, insn, size, ACCESS_WRITE), size, value);
    else
        reg_write(cpu, insn, insn->rm, size, value);
}

/* A read-modify-write of the rm operand: begin reads, end cannot fault. */
struct rm_update {
    uint64_t linear;
    uint64_t value;
};

static inline struct rm_update rm_begin(struct cpu *cpu, const struct insn *insn, unsigned size)
{
    struct rm_update update = {0, 0};
    if (insn->flags & INSN_MEMORY) {
        update.linear = insn_linear(cpu, insn, size, ACCESS_WRITE);
        memory_probe_write(cpu, update.linear, size);
        update.value = memory_load(cpu, update.linear, size);
    } else {
        update.value = reg_read(cpu, insn, insn->rm, size);
    }
    return update;
}

static inline void rm_end(
    struct cpu *cpu, const struct insn *insn, unsigned size, const struct rm_update *update)
{
    if (insn->flags & INSN_MEMORY)
        memory_store(cpu, update->linear, size, update->value);
    else
        reg_write(cpu, insn, insn->rm, size, update->value);
}

/* The stack pointer, cut to the stack's width. */
static inline uint64_t stack_pointer(const struct cpu *cpu)
{
    return cpu->s.gpr[RSP] & size_mask(cpu->stack_size);
}

static inline void set_stack_pointer(struct cpu *cpu, uint64_t value)
{
    gpr_write(cpu, RSP, cpu->stack_size, value);
}

/* Linear address of `size` bytes at offset `pointer` (any width) of the stack. */
static inline uint64_t stack_linear(
    struct cpu *cpu, uint64_t pointer, unsigned size, enum access_kind kind)
{
    return linear_address(cpu, SEG_SS, pointer & size_mask(cpu->stack_size), size, kind);
}

static inline void stack_push(struct cpu *cpu, unsigned size, uint64_t value)
{
    uint64_t pointer = stack_pointer(cpu) - size;
    memory_store(cpu, stack_linear(cpu, pointer, size, ACCESS_WRITE), size, value);
    set_stack_pointer(cpu, pointer);
}

/* Reads the top of the stack; the caller moves the stack pointer when nothing can fault. */
static inline uint64_t stack_top(struct cpu *cpu, unsigned size)
{
    return memory_load(cpu, stack_linear(cpu, cpu->s.gpr[RSP], size, ACCESS_READ), size);
}

#endif
