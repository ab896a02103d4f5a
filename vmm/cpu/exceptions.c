/* Raises exceptions and delivers them, and interrupts, through the IDT. */
#include <stdio.h>

#include "vmm/cpu/descriptor.h"
#include "vmm/cpu/fault.h"
#include "vmm/cpu/task.h"
#include "vmm/cpu/stores.h"
#include "vmm/cpu/virtual8086.h"

#define DR7_GD (1ull << 13)
enum { ERROR_EXTERNAL = 1, ERROR_IDT = 2 };

/* ---- Raising --------------------------------------------------------------------------------- */

static _Noreturn void raise_fault(struct cpu *cpu, unsigned vector, bool has_error, uint32_t error)
{
    cpu->fault_vector = (uint8_t)vector;
    cpu->fault_has_error = has_error;
    cpu->fault_error = error;
    longjmp(*cpu->escape, CPU_JUMP_FAULT);
}

_Noreturn void cpu_raise(struct cpu *cpu, unsigned vector)
{
    raise_fault(cpu, vector, false, 0);
}

/* Error codes that hold a selector say when the cause is outside the program (EXT). */
_Noreturn void cpu_raise_error(struct cpu *cpu, unsigned vector, uint32_t error)
{
    bool selector = vector >= VECTOR_TS && vector <= VECTOR_GP;
    if (selector && cpu->delivering_external)
        error |= ERROR_EXTERNAL;
    raise_fault(cpu, vector, true, error);
}

_Noreturn void cpu_raise_page_fault(struct cpu *cpu, uint64_t linear, uint32_t error)
{
    cpu->fault_address = linear;
    raise_fault(cpu, VECTOR_PF, true, error);
}

static const char *mode_name(const struct cpu *cpu)
{
    if (!(cpu->s.cr0 & CR0_PE))
        return "real mode";
    if (cpu->s.rflags & FLAG_VM)
        return "virtual-8086 mode";
    if (cpu->code64)
        return "64-bit mode";
    if (long_mode(cpu))
        return "compatibility mode";
    return cpu->code_size == 4 ? "32-bit protected mode" : "16-bit protected mode";
}

_Noreturn void cpu_stop_unimplemented(struct cpu *cpu, const struct insn *insn, const char *what)
{
    char bytes[3 * 15 + 1] = "";
    uint64_t linear = cpu->s.rip + (cpu->code64 ? 0 : cpu->s.segment[SEG_CS].base);
    for (unsigned i = 0; insn && i < insn->length && i < 15; i++) {
        uint64_t gpa;
        const uint8_t *host = NULL;
        if (cpu_translate_quiet(cpu, cpu->code64 ? linear + i : (uint32_t)(linear + i), &gpa))
            host = memory_at(cpu->memory, gpa, 1);
        snprintf(bytes + 3 * i, 4, host ? " %02x" : " ??", host ? *host : 0);
    }
    error_set(&cpu->failure, "not implemented: %s:%s at 0x%llx in %s", what, bytes,
        (unsigned long long)cpu->s.rip, mode_name(cpu));
    longjmp(*cpu->escape, CPU_JUMP_STOP);
}

/* ---- Entering a handler ---------------------------------------------------------------------- */

static void enter_real_mode(struct cpu *cpu, const struct interrupt *interrupt)
{
    unsigned at = interrupt->vector * 4u;
    if (at + 3 > cpu->s.idt.limit)
        cpu_raise_error(cpu, VECTOR_GP, at + ERROR_IDT);
    uint32_t entry = (uint32_t)cpu_load_system(cpu, (uint32_t)(cpu->s.idt.base + at), 4);
    struct stack stack = stack_present(cpu);
    stack_put(cpu, &stack, 2, interrupt->rflags);
    stack_put(cpu, &stack, 2, cpu->s.segment[SEG_CS].selector);
    stack_put(cpu, &stack, 2, interrupt->return_rip);
    stack_pointer_commit(cpu, &stack);
    cpu->s.rflags &= ~(FLAG_IF | FLAG_TF | FLAG_RF | FLAG_AC);
    cpu->s.segment[SEG_CS].selector = (uint16_t)(entry >> 16);
    cpu->s.segment[SEG_CS].base = (entry >> 16) * 16;
    cpu->s.rip = entry & 0xffff;
    cpu->jumped = true;
}

struct gate {
    unsigned type;
    uint16_t selector;
    uint64_t offset;
    unsigned ist;
    unsigned size; /* of what is pushed: 2, 4, 8 */
};

static struct gate read_gate(struct cpu *cpu, const struct interrupt *interrupt)
{
    bool wide = long_mode(cpu);
    uint32_t error = interrupt->vector * 8u + ERROR_IDT;
    unsigned at = interrupt->vector * (wide ? 16u : 8u);
    if (at + (wide ? 15 : 7) > cpu->s.idt.limit)
        cpu_raise_error(cpu, VECTOR_GP, error);
    uint64_t linear = cpu->s.idt.base + at;
    uint64_t raw = cpu_load_system(cpu, wide ? linear : (uint32_t)linear, 8);
    struct gate gate = {
        .type = raw >> 40 & 0x1f,
        .selector = (uint16_t)(raw >> 16),
        .offset = (raw & 0xffff) | (raw >> 48) << 16,
        .ist = wide ? raw >> 32 & 7 : 0,
        .size = wide ? 8 : 4,
    };
    if (wide)
        gate.offset |= cpu_load_system(cpu, linear + 8, 4) << 32;
    bool narrow = gate.type == TYPE_INTERRUPT_GATE16 || gate.type == TYPE_TRAP_GATE16;
    bool known = gate.type == TYPE_INTERRUPT_GATE || gate.type == TYPE_TRAP_GATE ||
                 (!wide && (narrow || gate.type == TYPE_TASK_GATE));
    if (!known)
        cpu_raise_error(cpu, VECTOR_GP, error);
    if (interrupt->source == INTERRUPT_SOFTWARE && (raw >> 45 & 3) < cpu->cpl)
        cpu_raise_error(cpu, VECTOR_GP, error);
    if (!(raw >> 47 & 1))
        cpu_raise_error(cpu, VECTOR_NP, error);
    if (narrow) {
        gate.size = 2;
        gate.offset &= 0xffff;
    }
    return gate;
}

static void read_handler_segment(
    struct cpu *cpu, const struct gate *gate, struct descriptor *descriptor)
{
    descriptor_read(cpu, gate->selector, VECTOR_GP, descriptor);
    const struct segment *segment = &descriptor->segment;
    bool right_size = !long_mode(cpu) || (segment->attributes & (SEG_L | SEG_DB)) == SEG_L;
    if (!segment_is_code(segment) || segment_dpl(segment) > cpu->cpl || !right_size)
        descriptor_fault(cpu, descriptor, VECTOR_GP);
    /* Out of virtual-8086 mode the way leads to level 0 alone. */
    if (virtual8086(cpu) && (segment_is_conforming(segment) || segment_dpl(segment) != 0))
        descriptor_fault(cpu, descriptor, VECTOR_GP);
    if (!(segment->attributes & SEG_P))
        descriptor_fault(cpu, descriptor, VECTOR_NP);
}

static struct stack choose_stack(struct cpu *cpu, const struct gate *gate, unsigned cpl)
{
    struct stack stack;
    if (cpl != cpu->cpl) {
        /* An IST slot replaces the level's own stack pointer, which then is not read. */
        if (gate->ist) {
            struct segment null = segment_null_stack((uint16_t)cpl, cpl);
            stack = stack_inner(&null, 0, cpl, true);
            stack.fault_error = 0;
        } else {
            stack = stack_from_tss(cpu, cpl, long_mode(cpu));
        }
    } else {
        stack = stack_present(cpu);
        if (long_mode(cpu))
            stack.width = 8;
    }
    if (gate->ist)
        stack.pointer = stack_from_ist(cpu, gate->ist);
    if (long_mode(cpu))
        stack.pointer &= ~15ull;
    return stack;
}

static void enter_task(struct cpu *cpu, const struct gate *gate, const struct interrupt *interrupt)
{
    const struct task_switch request = {
        .kind = TASK_CALL,
        .insn = interrupt->insn,
        .selector = gate->selector,
        .rip = interrupt->return_rip,
        .rflags = interrupt->rflags,
        .has_error = interrupt->has_error,
        .error = interrupt->error,
    };
    task_switch(cpu, &request);
}

static void enter_protected_mode(struct cpu *cpu, const struct interrupt *interrupt)
{
    struct gate gate = read_gate(cpu, interrupt);
    if (gate.type == TYPE_TASK_GATE) {
        enter_task(cpu, &gate, interrupt);
        return;
    }
    struct descriptor code;
    read_handler_segment(cpu, &gate, &code);
    unsigned cpl = segment_is_conforming(&code.segment) ? cpu->cpl : segment_dpl(&code.segment);
    struct stack stack = choose_stack(cpu, &gate, cpl);
    code_check_target(cpu, &code.segment, gate.offset);
    const bool from_8086 = virtual8086(cpu);
    if (from_8086)
        virtual8086_push_segments(cpu, &stack, gate.size);
    if (cpl != cpu->cpl || long_mode(cpu)) {
        stack_put(cpu, &stack, gate.size, cpu->s.segment[SEG_SS].selector);
        stack_put(cpu, &stack, gate.size, cpu->s.gpr[RSP]);
    }
    stack_put(cpu, &stack, gate.size, interrupt->rflags);
    stack_put(cpu, &stack, gate.size, cpu->s.segment[SEG_CS].selector);
    stack_put(cpu, &stack, gate.size, interrupt->return_rip);
    if (interrupt->has_error)
        stack_put(cpu, &stack, gate.size, interrupt->error);
    descriptor_set_accessed(cpu, &code);

    cpu->s.segment[SEG_SS] = stack.segment;
    if (from_8086)
        virtual8086_drop_segments(cpu);
    cpu->s.rflags &= ~(FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM);
    if (!(gate.type & 1))
        cpu->s.rflags &= ~FLAG_IF;
    code_enter(cpu, &code.segment, cpl, gate.offset);
    stack_pointer_commit(cpu, &stack);
}

void interrupt_enter(struct cpu *cpu, const struct interrupt *interrupt)
{
    if (cpu->stores)
        stores_drain(cpu);
    if (cpu->s.cr0 & CR0_PE)
        enter_protected_mode(cpu, interrupt);
    else
        enter_real_mode(cpu, interrupt);
    if (interrupt->vector == VECTOR_DB)
        cpu->s.dr7 &= ~DR7_GD;
    if (interrupt->vector == VECTOR_NMI)
        cpu->s.nmi_blocked = true;
    cpu->s.sti_shadow = false;
    cpu->s.mov_ss_shadow = false;
    cpu->s.halted = false; /* the single step of HLT ends it at once */
}

/* ---- Delivering ------------------------------------------------------------------------------ */

static bool is_contributory(unsigned vector)
{
    return vector == VECTOR_DE || (vector >= VECTOR_TS && vector <= VECTOR_GP);
}

/* Table 8-4 of APM volume 2: which second fault makes a double fault. */
static bool makes_double_fault(unsigned first, unsigned second)
{
    if (first == VECTOR_PF)
        return second == VECTOR_PF || is_contributory(second);
    return is_contributory(first) && is_contributory(second);
}

/*
 * Tries once. What lies outside RAM reads as ones and swallows writes meanwhile: delivery is no
 * instruction that could be executed again with a value from outside.
 */
static int try_to_enter(struct cpu *cpu, const struct interrupt *interrupt)
{
    jmp_buf here;
    jmp_buf *outer = cpu->escape;
    cpu->delivering = true;
    cpu->delivering_external = interrupt->source != INTERRUPT_SOFTWARE;
    int reason = setjmp(here);
    if (reason == 0) {
        cpu->escape = &here;
        interrupt_enter(cpu, interrupt);
    }
    cpu->escape = outer;
    cpu->delivering = false;
    cpu->delivering_external = false;
    return reason;
}

/* A delivery that the software CPU does not implement ends the run at the next instruction. */
static bool give_up(struct cpu *cpu)
{
    cpu->delivery_failed = true;
    cpu->stop_requested = true;
    return true;
}

bool cpu_deliver_exception(struct cpu *cpu)
{
    for (;;) {
        unsigned vector = cpu->fault_vector;
        if (vector == VECTOR_PF)
            cpu->s.cr2 = cpu->fault_address;
        struct interrupt interrupt = {
            .vector = (uint8_t)vector,
            .source = INTERRUPT_EXTERNAL,
            .has_error = cpu->fault_has_error,
            .error = cpu->fault_error,
            .return_rip = cpu->s.rip,
            .rflags = cpu_get_rflags(cpu) | (exception_pushes_rf(vector) ? FLAG_RF : 0),
        };
        int reason = try_to_enter(cpu, &interrupt);
        if (reason == 0) {
            if (cpu->watching_exceptions)
                watch_exception(
                    cpu, vector, interrupt.return_rip, interrupt.has_error ? interrupt.error : 0);
            return true;
        }
        if (reason != CPU_JUMP_FAULT)
            return give_up(cpu);
        if (vector == VECTOR_DF)
            return false;
        if (makes_double_fault(vector, cpu->fault_vector)) {
            if (cpu->fault_vector == VECTOR_PF)
                cpu->s.cr2 = cpu->fault_address;
            cpu->fault_vector = VECTOR_DF;
            cpu->fault_has_error = true;
            cpu->fault_error = 0;
        }
    }
}

bool cpu_deliver_interrupt(struct cpu *cpu, uint8_t vector)
{
    struct interrupt interrupt = {
        .vector = vector,
        .source = INTERRUPT_EXTERNAL,
        .return_rip = cpu->s.rip,
        .rflags = cpu_get_rflags(cpu),
    };
    int reason = try_to_enter(cpu, &interrupt);
    if (reason == 0)
        return true;
    return reason == CPU_JUMP_FAULT ? cpu_deliver_exception(cpu) : give_up(cpu);
}
