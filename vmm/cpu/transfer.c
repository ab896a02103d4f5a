/* Far jumps, calls and returns, IRET and software interrupts. */
#include "vmm/cpu/descriptor.h"
#include "vmm/cpu/operand.h"
#include "vmm/cpu/system.h"
#include "vmm/cpu/task.h"
#include "vmm/cpu/virtual8086.h"

/* With descriptors, that is: virtual-8086 mode goes as real mode does. */
static bool protected_mode(const struct cpu *cpu)
{
    return (cpu->s.cr0 & CR0_PE) && !virtual8086(cpu);
}

static uint64_t next_rip(const struct cpu *cpu, const struct insn *insn)
{
    uint64_t next = cpu->s.rip + insn->length;
    return cpu->code64 ? next : (uint32_t)next;
}

/* ---- Far jumps and calls --------------------------------------------------------------------- */

static void enter_real_mode(struct cpu *cpu, uint16_t selector, uint64_t rip)
{
    struct segment *cs = &cpu->s.segment[SEG_CS];
    if (rip > cs->limit)
        cpu_raise_error(cpu, VECTOR_GP, 0);
    cs->selector = selector;
    cs->base = (uint64_t)selector << 4;
    cpu->s.rip = rip;
    cpu->jumped = true;
}

static void check_long_code(
    struct cpu *cpu, const struct descriptor *descriptor, bool must_be_64bit)
{
    unsigned bits = descriptor->segment.attributes & (SEG_L | SEG_DB);
    if (!long_mode(cpu))
        return;
    if (bits == (SEG_L | SEG_DB) || (must_be_64bit && bits != SEG_L))
        descriptor_fault(cpu, descriptor, VECTOR_GP);
}

/* Privilege and presence for a direct far transfer to a code segment; the CPL stays. */
static void check_direct_code(struct cpu *cpu, const struct descriptor *descriptor)
{
    const struct segment *segment = &descriptor->segment;
    unsigned dpl = segment_dpl(segment);
    bool allowed = segment_is_conforming(segment)
                       ? dpl <= cpu->cpl
                       : dpl == cpu->cpl && (descriptor->selector & 3u) <= cpu->cpl;
    if (!allowed)
        descriptor_fault(cpu, descriptor, VECTOR_GP);
    if (!(segment->attributes & SEG_P))
        descriptor_fault(cpu, descriptor, VECTOR_NP);
    check_long_code(cpu, descriptor, false);
}

struct call_gate {
    struct descriptor code;
    uint64_t offset;
    unsigned size;       /* of what is pushed */
    unsigned parameters; /* to copy, of that size */
};

static void read_call_gate(struct cpu *cpu, const struct descriptor *gate, struct call_gate *out)
{
    unsigned type = segment_type(&gate->segment);
    bool wide = long_mode(cpu);
    bool call = type == TYPE_CALL_GATE || (!wide && type == TYPE_CALL_GATE16);
    unsigned dpl = segment_dpl(&gate->segment);
    if (!call || dpl < cpu->cpl || dpl < (gate->selector & 3u))
        descriptor_fault(cpu, gate, VECTOR_GP);
    if (!(gate->segment.attributes & SEG_P))
        descriptor_fault(cpu, gate, VECTOR_NP);

    uint64_t raw = gate->raw;
    out->offset = (raw & 0xffff) | (raw >> 48) << 16;
    out->size = wide ? 8 : type == TYPE_CALL_GATE ? 4 : 2;
    out->parameters = wide ? 0 : raw >> 32 & 31;
    if (wide)
        out->offset |= descriptor_read_upper(cpu, gate, VECTOR_GP) << 32;
    else if (out->size == 2)
        out->offset &= 0xffff;
    descriptor_read(cpu, (uint16_t)(raw >> 16), VECTOR_GP, &out->code);
    if (!segment_is_code(&out->code.segment) || segment_dpl(&out->code.segment) > cpu->cpl)
        descriptor_fault(cpu, &out->code, VECTOR_GP);
    check_long_code(cpu, &out->code, wide);
    if (!(out->code.segment.attributes & SEG_P))
        descriptor_fault(cpu, &out->code, VECTOR_NP);
}

static void jump_far(struct cpu *cpu, const struct insn *insn, uint16_t selector, uint64_t offset)
{
    if (!protected_mode(cpu)) {
        enter_real_mode(cpu, selector, offset);
        return;
    }
    struct descriptor descriptor;
    descriptor_read(cpu, selector, VECTOR_GP, &descriptor);
    if (segment_is_code(&descriptor.segment)) {
        check_direct_code(cpu, &descriptor);
        code_check_target(cpu, &descriptor.segment, offset);
        descriptor_set_accessed(cpu, &descriptor);
        code_enter(cpu, &descriptor.segment, cpu->cpl, offset);
        return;
    }
    if (task_transfer(cpu, insn, &descriptor, TASK_JUMP, next_rip(cpu, insn)))
        return;
    struct call_gate gate;
    read_call_gate(cpu, &descriptor, &gate);
    if (!segment_is_conforming(&gate.code.segment) && segment_dpl(&gate.code.segment) != cpu->cpl)
        descriptor_fault(cpu, &gate.code, VECTOR_GP);
    code_check_target(cpu, &gate.code.segment, gate.offset);
    descriptor_set_accessed(cpu, &gate.code);
    code_enter(cpu, &gate.code.segment, cpu->cpl, gate.offset);
}

static void call_same_level(struct cpu *cpu, const struct insn *insn, struct descriptor *code,
    uint64_t offset, unsigned size)
{
    struct stack stack = stack_present(cpu);
    stack_put(cpu, &stack, size, cpu->s.segment[SEG_CS].selector);
    stack_put(cpu, &stack, size, next_rip(cpu, insn));
    code_check_target(cpu, &code->segment, offset);
    descriptor_set_accessed(cpu, code);
    stack_pointer_commit(cpu, &stack);
    code_enter(cpu, &code->segment, cpu->cpl, offset);
}

static void call_inner_level(struct cpu *cpu, const struct insn *insn, struct call_gate *gate)
{
    unsigned cpl = segment_dpl(&gate->code.segment);
    struct stack outer = stack_present(cpu);
    struct stack stack = stack_from_tss(cpu, cpl, long_mode(cpu));
    uint64_t parameters[31];
    code_check_target(cpu, &gate->code.segment, gate->offset);
    for (unsigned i = 0; i < gate->parameters; i++)
        parameters[i] = stack_take(cpu, &outer, gate->size);
    stack_put(cpu, &stack, gate->size, cpu->s.segment[SEG_SS].selector);
    stack_put(cpu, &stack, gate->size, cpu->s.gpr[RSP]);
    for (unsigned i = gate->parameters; i-- > 0;)
        stack_put(cpu, &stack, gate->size, parameters[i]);
    stack_put(cpu, &stack, gate->size, cpu->s.segment[SEG_CS].selector);
    stack_put(cpu, &stack, gate->size, next_rip(cpu, insn));
    descriptor_set_accessed(cpu, &gate->code);
    cpu->s.segment[SEG_SS] = stack.segment;
    stack_pointer_commit(cpu, &stack);
    code_enter(cpu, &gate->code.segment, cpl, gate->offset);
}

static void call_far(struct cpu *cpu, const struct insn *insn, uint16_t selector, uint64_t offset)
{
    unsigned size = insn->operand_size;
    if (!protected_mode(cpu)) {
        struct stack stack = stack_present(cpu);
        stack_put(cpu, &stack, size, cpu->s.segment[SEG_CS].selector);
        stack_put(cpu, &stack, size, next_rip(cpu, insn));
        enter_real_mode(cpu, selector, offset);
        stack_pointer_commit(cpu, &stack);
        return;
    }
    struct descriptor descriptor;
    descriptor_read(cpu, selector, VECTOR_GP, &descriptor);
    if (segment_is_code(&descriptor.segment)) {
        check_direct_code(cpu, &descriptor);
        call_same_level(cpu, insn, &descriptor, offset, size);
        return;
    }
    if (task_transfer(cpu, insn, &descriptor, TASK_CALL, next_rip(cpu, insn)))
        return;
    struct call_gate gate;
    read_call_gate(cpu, &descriptor, &gate);
    if (!segment_is_conforming(&gate.code.segment) && segment_dpl(&gate.code.segment) < cpu->cpl)
        call_inner_level(cpu, insn, &gate);
    else
        call_same_level(cpu, insn, &gate.code, gate.offset, gate.size);
}

struct far_pointer {
    uint64_t offset;
    uint16_t selector;
};

static struct far_pointer read_far_pointer(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    struct far_pointer pointer = {0, 0};
    uint64_t at = insn_offset(cpu, insn);
    uint64_t linear = cpu_linear_checked(cpu, insn->segment, at, size + 2, ACCESS_READ);
    uint8_t bytes[10];
    cpu_load_bytes(cpu, linear, bytes, size + 2);
    memcpy(&pointer.offset, bytes, size);
    memcpy(&pointer.selector, bytes + size, 2);
    return pointer;
}

void op_call_far(struct cpu *cpu, const struct insn *insn)
{
    call_far(cpu, insn, insn->immediate2, insn->immediate);
}

void op_call_far_memory(struct cpu *cpu, const struct insn *insn)
{
    struct far_pointer pointer = read_far_pointer(cpu, insn);
    call_far(cpu, insn, pointer.selector, pointer.offset);
}

void op_jump_far(struct cpu *cpu, const struct insn *insn)
{
    jump_far(cpu, insn, insn->immediate2, insn->immediate);
}

void op_jump_far_memory(struct cpu *cpu, const struct insn *insn)
{
    struct far_pointer pointer = read_far_pointer(cpu, insn);
    jump_far(cpu, insn, pointer.selector, pointer.offset);
}

/* ---- Far returns ----------------------------------------------------------------------------- */

/* CS of a return: its RPL is the level returned to. */
static void read_return_code(struct cpu *cpu, uint16_t selector, struct descriptor *code)
{
    descriptor_read(cpu, selector, VECTOR_GP, code);
    const struct segment *segment = &code->segment;
    unsigned rpl = selector & 3, dpl = segment_dpl(segment);
    bool level = segment_is_conforming(segment) ? dpl <= rpl : dpl == rpl;
    if (rpl < cpu->cpl || !segment_is_code(segment) || !level)
        descriptor_fault(cpu, code, VECTOR_GP);
    check_long_code(cpu, code, false);
    if (!(segment->attributes & SEG_P))
        descriptor_fault(cpu, code, VECTOR_NP);
}

/* SS of a return; only 64-bit code below level 3 may have a null one. */
static struct segment read_return_stack(
    struct cpu *cpu, const struct descriptor *code, uint16_t selector)
{
    unsigned cpl = code->selector & 3;
    bool code64 = long_mode(cpu) && (code->segment.attributes & SEG_L);
    if (selector_is_null(selector)) {
        if (!code64 || cpl == 3 || (selector & 3u) != cpl)
            cpu_raise_error(cpu, VECTOR_GP, 0);
        return segment_null_stack(selector, cpl);
    }
    struct descriptor descriptor;
    descriptor_read_stack(cpu, selector, cpl, VECTOR_GP, &descriptor);
    return descriptor.segment;
}

void op_return_far(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    struct stack stack = stack_present(cpu);
    uint64_t rip = stack_take(cpu, &stack, size);
    uint16_t selector = (uint16_t)stack_take(cpu, &stack, size);
    if (!protected_mode(cpu)) {
        enter_real_mode(cpu, selector, rip);
        stack.pointer += insn->immediate;
        stack_pointer_commit(cpu, &stack);
        return;
    }
    struct descriptor code;
    read_return_code(cpu, selector, &code);
    unsigned cpl = selector & 3;
    stack.pointer += insn->immediate;
    if (cpl == cpu->cpl) {
        code_check_target(cpu, &code.segment, rip);
        descriptor_set_accessed(cpu, &code);
        stack_pointer_commit(cpu, &stack);
        code_enter(cpu, &code.segment, cpl, rip);
        return;
    }
    uint64_t pointer = stack_take(cpu, &stack, size);
    uint16_t stack_selector = (uint16_t)stack_take(cpu, &stack, size);
    struct segment ss = read_return_stack(cpu, &code, stack_selector);
    code_check_target(cpu, &code.segment, rip);
    descriptor_set_accessed(cpu, &code);
    cpu->s.segment[SEG_SS] = ss;
    code_enter(cpu, &code.segment, cpl, rip);
    gpr_write(cpu, RSP, cpu->stack_size, pointer + insn->immediate);
    segments_drop_inner(cpu);
}

/* ---- IRET ------------------------------------------------------------------------------------ */

/* The flags that IRET takes from the stack, by operand size and the level it is executed at. */
static uint64_t iret_flags_mask(const struct cpu *cpu, unsigned size)
{
    uint64_t mask = FLAGS_ARITHMETIC | FLAG_TF | FLAG_DF | FLAG_NT;
    if (size > 2)
        mask |= FLAG_RF | FLAG_AC | FLAG_ID;
    if (cpu->cpl <= (cpu->s.rflags & FLAG_IOPL) >> 12)
        mask |= FLAG_IF;
    if (cpu->cpl == 0) {
        mask |= FLAG_IOPL;
        if (size > 2 && protected_mode(cpu))
            mask |= FLAG_VIF | FLAG_VIP;
    }
    return mask;
}

static void set_masked_flags(struct cpu *cpu, uint64_t value, uint64_t mask)
{
    cpu_set_rflags(cpu, (cpu_get_rflags(cpu) & ~mask) | (value & mask));
}

static void iret_real_mode(struct cpu *cpu, unsigned size)
{
    struct stack stack = stack_present(cpu);
    uint64_t rip = stack_take(cpu, &stack, size);
    uint16_t selector = (uint16_t)stack_take(cpu, &stack, size);
    uint64_t flags = stack_take(cpu, &stack, size);
    uint64_t mask = iret_flags_mask(cpu, size);
    enter_real_mode(cpu, selector, rip);
    stack_pointer_commit(cpu, &stack);
    set_masked_flags(cpu, flags, mask);
}

static void iret_protected_mode(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    if (cpu->s.rflags & FLAG_NT) {
        if (long_mode(cpu))
            cpu_raise_error(cpu, VECTOR_GP, 0);
        task_return(cpu, insn, next_rip(cpu, insn));
        return;
    }
    struct stack stack = stack_present(cpu);
    uint64_t rip = stack_take(cpu, &stack, size);
    uint16_t selector = (uint16_t)stack_take(cpu, &stack, size);
    uint64_t flags = stack_take(cpu, &stack, size);
    if ((flags & FLAG_VM) && size == 4 && cpu->cpl == 0 && !long_mode(cpu)) {
        virtual8086_return(cpu, &stack, rip, selector, flags);
        return;
    }
    struct descriptor code;
    read_return_code(cpu, selector, &code);
    unsigned old = cpu->cpl, cpl = selector & 3;
    uint64_t mask = iret_flags_mask(cpu, size);
    if (cpl == old && !cpu->code64) {
        code_check_target(cpu, &code.segment, rip);
        descriptor_set_accessed(cpu, &code);
        stack_pointer_commit(cpu, &stack);
        code_enter(cpu, &code.segment, cpl, rip);
        set_masked_flags(cpu, flags, mask);
        return;
    }
    uint64_t pointer = stack_take(cpu, &stack, size);
    uint16_t stack_selector = (uint16_t)stack_take(cpu, &stack, size);
    struct segment ss = read_return_stack(cpu, &code, stack_selector);
    code_check_target(cpu, &code.segment, rip);
    descriptor_set_accessed(cpu, &code);
    cpu->s.segment[SEG_SS] = ss;
    code_enter(cpu, &code.segment, cpl, rip);
    gpr_write(cpu, RSP, cpu->stack_size, pointer);
    set_masked_flags(cpu, flags, mask);
    if (cpl != old)
        segments_drop_inner(cpu);
}

void op_iret(struct cpu *cpu, const struct insn *insn)
{
    virtual8086_require_iopl(cpu);
    if (protected_mode(cpu))
        iret_protected_mode(cpu, insn);
    else
        iret_real_mode(cpu, insn->operand_size);
    cpu->s.nmi_blocked = false;
}

/* ---- Software interrupts --------------------------------------------------------------------- */

static void software_interrupt(
    struct cpu *cpu, const struct insn *insn, uint8_t vector, enum interrupt_source source)
{
    struct interrupt interrupt = {
        .insn = insn,
        .vector = vector,
        .source = source,
        .return_rip = next_rip(cpu, insn),
        .rflags = cpu_get_rflags(cpu),
    };
    interrupt_enter(cpu, &interrupt);
}

/* INT1, INT3 and INTO are exceptions to who watches for those; INT with a number is none. */
static void software_exception(
    struct cpu *cpu, const struct insn *insn, uint8_t vector, enum interrupt_source source)
{
    uint64_t return_rip = next_rip(cpu, insn);
    software_interrupt(cpu, insn, vector, source);
    if (cpu->watching_exceptions)
        watch_exception(cpu, vector, return_rip, 0);
}

void op_int(struct cpu *cpu, const struct insn *insn)
{
    virtual8086_require_iopl(cpu);
    software_interrupt(cpu, insn, (uint8_t)insn->immediate, INTERRUPT_SOFTWARE);
}

void op_int1(struct cpu *cpu, const struct insn *insn)
{
    software_exception(cpu, insn, VECTOR_DB, INTERRUPT_PRIVILEGED);
}

void op_int3(struct cpu *cpu, const struct insn *insn)
{
    software_exception(cpu, insn, VECTOR_BP, INTERRUPT_SOFTWARE);
}

void op_into(struct cpu *cpu, const struct insn *insn)
{
    if (cpu_get_arithmetic(cpu) & FLAG_OF)
        software_exception(cpu, insn, VECTOR_OF, INTERRUPT_SOFTWARE);
}
