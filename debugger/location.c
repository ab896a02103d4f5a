/* DWARF expressions (DWARF 5, section 2.5) over a frame's registers. */
#include "debugger/unwind.h"

#include <dwarf.h>

enum { STACK_SIZE = 32, MAX_STEPS = 10000 };

struct evaluation {
    const struct view *view;
    const struct module *module;
    const struct frame *frame;
    const uint64_t *frame_base;
    uint64_t stack[STACK_SIZE];
    unsigned depth;
    bool failed;
};

static void push(struct evaluation *evaluation, uint64_t value)
{
    if (evaluation->depth == STACK_SIZE)
        evaluation->failed = true;
    else
        evaluation->stack[evaluation->depth++] = value;
}

static uint64_t pop(struct evaluation *evaluation)
{
    if (evaluation->depth == 0) {
        evaluation->failed = true;
        return 0;
    }
    return evaluation->stack[--evaluation->depth];
}

static uint64_t get_register(struct evaluation *evaluation, uint64_t number)
{
    const struct frame *frame = evaluation->frame;
    if (!frame || number >= FRAME_REGISTERS || !(frame->known & (1u << number))) {
        evaluation->failed = true;
        return 0;
    }
    return frame->reg[number];
}

static void pick(struct evaluation *evaluation, uint64_t index)
{
    if (index >= evaluation->depth)
        evaluation->failed = true;
    else
        push(evaluation, evaluation->stack[evaluation->depth - 1 - index]);
}

static void dereference(struct evaluation *evaluation, uint64_t size)
{
    uint64_t value = 0;
    if (size == 0 || size > 8 ||
        !view_read_number(evaluation->view, pop(evaluation), (unsigned)size, &value))
        evaluation->failed = true;
    push(evaluation, value);
}

static uint64_t divide(struct evaluation *evaluation, int64_t a, int64_t b)
{
    if (b == 0 || (a == INT64_MIN && b == -1)) {
        evaluation->failed = true;
        return 0;
    }
    return (uint64_t)(a / b);
}

static void binary(struct evaluation *evaluation, unsigned atom)
{
    uint64_t b = pop(evaluation), a = pop(evaluation);
    int64_t left = (int64_t)a, right = (int64_t)b;
    switch (atom) {
    case DW_OP_and:
        return push(evaluation, a & b);
    case DW_OP_or:
        return push(evaluation, a | b);
    case DW_OP_xor:
        return push(evaluation, a ^ b);
    case DW_OP_plus:
        return push(evaluation, a + b);
    case DW_OP_minus:
        return push(evaluation, a - b);
    case DW_OP_mul:
        return push(evaluation, a * b);
    case DW_OP_div:
        return push(evaluation, divide(evaluation, left, right));
    case DW_OP_mod:
        evaluation->failed |= b == 0;
        return push(evaluation, b ? a % b : 0);
    case DW_OP_shl:
        return push(evaluation, b < 64 ? a << b : 0);
    case DW_OP_shr:
        return push(evaluation, b < 64 ? a >> b : 0);
    case DW_OP_shra:
        return push(evaluation, (uint64_t)(left >> (b < 64 ? b : 63)));
    case DW_OP_eq:
        return push(evaluation, a == b);
    case DW_OP_ne:
        return push(evaluation, a != b);
    case DW_OP_lt:
        return push(evaluation, left < right);
    case DW_OP_le:
        return push(evaluation, left <= right);
    case DW_OP_gt:
        return push(evaluation, left > right);
    case DW_OP_ge:
        return push(evaluation, left >= right);
    default:
        evaluation->failed = true;
    }
}

static void swap(struct evaluation *evaluation)
{
    uint64_t b = pop(evaluation), a = pop(evaluation);
    push(evaluation, b);
    push(evaluation, a);
}

static void rotate(struct evaluation *evaluation)
{
    uint64_t c = pop(evaluation), b = pop(evaluation), a = pop(evaluation);
    push(evaluation, c);
    push(evaluation, a);
    push(evaluation, b);
}

/* Per-CPU variables are in their section by offset, and do not move with the kernel. */
static uint64_t linked_address(const struct evaluation *evaluation, uint64_t address)
{
    const struct module *module = evaluation->module;
    if (!module)
        return address;
    if (address >= module->percpu_low && address < module->percpu_high)
        return address + view_percpu_base(evaluation->view);
    return address + module->bias;
}

/* To an integer of so many bits, whose highest may be a sign. */
static uint64_t convert(uint64_t value, uint64_t bits, bool is_signed)
{
    if (bits == 0 || bits >= 64)
        return value;
    value &= (1ull << bits) - 1;
    return is_signed && value >> (bits - 1) ? value | ~((1ull << bits) - 1) : value;
}

/* One operation that neither branches nor ends the description. */
static void execute(struct evaluation *evaluation, const Dwarf_Op *op)
{
    uint8_t atom = op->atom;
    if (atom >= DW_OP_lit0 && atom <= DW_OP_lit31)
        return push(evaluation, atom - DW_OP_lit0);
    if (atom >= DW_OP_breg0 && atom <= DW_OP_breg31)
        return push(evaluation, get_register(evaluation, atom - DW_OP_breg0) + op->number);
    switch (atom) {
    case DW_OP_addr:
        return push(evaluation, linked_address(evaluation, op->number));
    case DW_OP_const1u:
    case DW_OP_const1s:
    case DW_OP_const2u:
    case DW_OP_const2s:
    case DW_OP_const4u:
    case DW_OP_const4s:
    case DW_OP_const8u:
    case DW_OP_const8s:
    case DW_OP_constu:
    case DW_OP_consts:
        return push(evaluation, op->number);
    case DW_OP_bregx:
        return push(evaluation, get_register(evaluation, op->number) + op->number2);
    case DW_OP_fbreg:
        evaluation->failed |= !evaluation->frame_base;
        return push(evaluation, evaluation->frame_base ? *evaluation->frame_base + op->number : 0);
    case DW_OP_call_frame_cfa:
        evaluation->failed |= !evaluation->frame || !evaluation->frame->has_cfa;
        return push(evaluation, evaluation->frame ? evaluation->frame->cfa : 0);
    case DW_OP_dup:
        return pick(evaluation, 0);
    case DW_OP_over:
        return pick(evaluation, 1);
    case DW_OP_pick:
        return pick(evaluation, op->number);
    case DW_OP_drop:
        pop(evaluation);
        return;
    case DW_OP_swap:
        return swap(evaluation);
    case DW_OP_rot:
        return rotate(evaluation);
    case DW_OP_deref:
        return dereference(evaluation, 8);
    case DW_OP_deref_size:
        return dereference(evaluation, op->number);
    case DW_OP_neg:
        return push(evaluation, 0 - pop(evaluation));
    case DW_OP_not:
        return push(evaluation, ~pop(evaluation));
    case DW_OP_abs: {
        uint64_t value = pop(evaluation);
        return push(evaluation, (int64_t)value < 0 ? 0 - value : value);
    }
    case DW_OP_plus_uconst:
        return push(evaluation, pop(evaluation) + op->number);
    case DW_OP_convert:
        return push(evaluation, convert(pop(evaluation), op->number, op->number2));
    case DW_OP_nop:
        return;
    default:
        binary(evaluation, atom);
    }
}

/* The index of the operation at byte `offset` of the expression. */
static bool find_target(const Dwarf_Op *ops, size_t count, uint64_t offset, size_t *index)
{
    for (*index = 0; *index < count; ++*index) {
        if (ops[*index].offset == offset)
            return true;
    }
    return offset > ops[count - 1].offset;
}

static bool branch(struct evaluation *evaluation, const Dwarf_Op *ops, size_t count, size_t *index)
{
    const Dwarf_Op *op = &ops[*index];
    if (op->atom == DW_OP_bra && pop(evaluation) == 0) {
        ++*index;
        return true;
    }
    return find_target(ops, count, op->offset + 3 + op->number, index);
}

static bool is_register(const Dwarf_Op *op, struct location *result)
{
    if (op->atom >= DW_OP_reg0 && op->atom <= DW_OP_reg31)
        *result = (struct location){LOCATION_REGISTER, op->atom - DW_OP_reg0};
    else if (op->atom == DW_OP_regx)
        *result = (struct location){LOCATION_REGISTER, op->number};
    else
        return false;
    return true;
}

bool unwind_evaluate(const struct view *view, const struct module *module,
    const struct frame *frame, const uint64_t *frame_base, const Dwarf_Op *ops, size_t count,
    const uint64_t *initial, struct location *result)
{
    struct evaluation evaluation = {
        .view = view, .module = module, .frame = frame, .frame_base = frame_base};
    *result = (struct location){LOCATION_NONE, 0};
    if (count == 0)
        return false;
    if (is_register(&ops[0], result))
        return count == 1;
    if (initial)
        push(&evaluation, *initial);
    unsigned steps = 0;
    for (size_t i = 0; i < count && !evaluation.failed && steps++ < MAX_STEPS;) {
        switch (ops[i].atom) {
        case DW_OP_stack_value:
            *result = (struct location){LOCATION_VALUE, pop(&evaluation)};
            return !evaluation.failed;
        case DW_OP_piece:
        case DW_OP_bit_piece:
        case DW_OP_implicit_value:
        case DW_OP_implicit_pointer:
        case DW_OP_entry_value:
        case DW_OP_GNU_entry_value:
            return false;
        case DW_OP_skip:
        case DW_OP_bra:
            if (!branch(&evaluation, ops, count, &i))
                return false;
            continue;
        default:
            execute(&evaluation, &ops[i]);
            i++;
        }
    }
    *result = (struct location){LOCATION_ADDRESS, pop(&evaluation)};
    return !evaluation.failed && steps <= MAX_STEPS;
}
