/* Segment and gate descriptors, as the system instructions share them (segments.c). */
#ifndef VMM_CPU_DESCRIPTOR_H
#define VMM_CPU_DESCRIPTOR_H

#include "vmm/cpu/cpu.h"

/* System descriptor types (APM volume 2, tables 4-5 and 4-6). */
enum {
    TYPE_TSS16 = 1,
    TYPE_LDT = 2,
    TYPE_TSS16_BUSY = 3,
    TYPE_CALL_GATE16 = 4,
    TYPE_TASK_GATE = 5,
    TYPE_INTERRUPT_GATE16 = 6,
    TYPE_TRAP_GATE16 = 7,
    TYPE_TSS = 9,
    TYPE_TSS_BUSY = 11,
    TYPE_CALL_GATE = 12,
    TYPE_INTERRUPT_GATE = 14,
    TYPE_TRAP_GATE = 15,
};

struct descriptor {
    uint64_t linear; /* where it is */
    uint64_t raw;    /* its first 8 bytes */
    uint16_t selector;
    struct segment segment; /* decoded as a segment; long-mode system segments have no upper base */
};

static inline bool selector_is_null(uint16_t selector)
{
    return !(selector & ~3u);
}

static inline unsigned segment_type(const struct segment *segment)
{
    return segment->attributes & (SEG_S | SEG_TYPE);
}

static inline unsigned segment_dpl(const struct segment *segment)
{
    return segment->attributes >> SEG_DPL_SHIFT & 3;
}

static inline bool segment_is_code(const struct segment *segment)
{
    return (segment->attributes & (SEG_S | SEG_CODE)) == (SEG_S | SEG_CODE);
}

static inline bool segment_is_conforming(const struct segment *segment)
{
    return segment->attributes & SEG_EXPAND_DOWN;
}

static inline bool segment_is_writable_data(const struct segment *segment)
{
    return (segment->attributes & (SEG_S | SEG_CODE | SEG_WRITABLE)) == (SEG_S | SEG_WRITABLE);
}

static inline bool canonical_address(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

static inline bool long_mode(const struct cpu *cpu)
{
    return cpu->s.efer & EFER_LMA;
}

static inline void require_cpl0(struct cpu *cpu)
{
    if (cpu->cpl != 0)
        cpu_raise_error(cpu, VECTOR_GP, 0);
}

/* false when the selector is null or lies outside its table. */
bool descriptor_find(struct cpu *cpu, uint16_t selector, struct descriptor *descriptor);
/* As above, but raises `vector` with the selector as error code (0 for a null one). */
void descriptor_read(
    struct cpu *cpu, uint16_t selector, unsigned vector, struct descriptor *descriptor);
/* Raises `vector` with the selector of `descriptor` as error code. */
_Noreturn void descriptor_fault(
    struct cpu *cpu, const struct descriptor *descriptor, unsigned vector);
/* The second 8 bytes of a system descriptor in long mode; `vector` if outside the table. */
uint64_t descriptor_read_upper(
    struct cpu *cpu, const struct descriptor *descriptor, unsigned vector);
/* Sets the accessed bit in the table and in `descriptor`. */
void descriptor_set_accessed(struct cpu *cpu, struct descriptor *descriptor);

/* SS for privilege level `cpl` with the checks of a stack switch or a return to an outer level;
 * type and privilege faults raise `vector`, absence #SS. */
void descriptor_read_stack(struct cpu *cpu, uint16_t selector, unsigned cpl, unsigned vector,
    struct descriptor *descriptor);
/* A null SS of 64-bit mode at privilege level `cpl`. */
struct segment segment_null_stack(uint16_t selector, unsigned cpl);
/* A flat segment as SYSCALL and its like load it: DPL 0 to 3; L for 64-bit code. */
struct segment segment_flat(uint16_t selector, unsigned dpl, bool code, bool code64);
/* Loads ES, DS, FS or GS; absence raises #NP, all else that is wrong `vector`. */
void segment_load_data(struct cpu *cpu, unsigned segment, uint16_t selector, unsigned vector);
/* After a return to CPL: data segments that it may not use become null. */
void segments_drop_inner(struct cpu *cpu);

/*
 * A stack to push on or pop from before it is loaded: nothing of the CPU's state changes until
 * stack_pointer_commit(). Faults of a stack that is not the present one carry its selector.
 */
struct stack {
    struct segment segment;
    uint64_t pointer;
    uint8_t width; /* of the pointer: 2, 4, 8 */
    unsigned cpl;
    uint32_t fault_error;
};

struct stack stack_present(const struct cpu *cpu);
/* `code64`: will the stack be used by 64-bit code? */
struct stack stack_inner(
    const struct segment *segment, uint64_t pointer, unsigned cpl, bool code64);
void stack_put(struct cpu *cpu, struct stack *stack, unsigned size, uint64_t value);
uint64_t stack_take(struct cpu *cpu, struct stack *stack, unsigned size);
void stack_pointer_commit(struct cpu *cpu, const struct stack *stack);
/* The stack pointer and SS for level `cpl` from the TSS; #TS when they are not there or not good.
 */
struct stack stack_from_tss(struct cpu *cpu, unsigned cpl, bool code64);
/* RSP from slot `ist` (1 to 7) of the 64-bit TSS. */
uint64_t stack_from_ist(struct cpu *cpu, unsigned ist);

/* Loads CS (RPL becomes `cpl`) and jumps to `rip`, already checked; all derived state follows. */
void code_enter(struct cpu *cpu, const struct segment *segment, unsigned cpl, uint64_t rip);
/* #GP(0) unless `rip` is canonical (64-bit target) or inside the segment's limit. */
void code_check_target(struct cpu *cpu, const struct segment *segment, uint64_t rip);

/* An interrupt or exception through the IDT. */
enum interrupt_source { INTERRUPT_SOFTWARE, INTERRUPT_PRIVILEGED, INTERRUPT_EXTERNAL };
struct interrupt {
    const struct insn *insn; /* of a software interrupt; else NULL */
    uint8_t vector;
    enum interrupt_source source; /* only INTERRUPT_SOFTWARE checks the gate's DPL */
    bool has_error;
    uint32_t error;
    uint64_t return_rip;
    uint64_t rflags; /* as pushed */
};
void interrupt_enter(struct cpu *cpu, const struct interrupt *interrupt);

#endif
