/*
 * Flags that an instruction of the host leaves undefined, computed as vendor.h says, where they are
 * live; the result is put together in cpu->flags. RAX and RCX are free here.
 */
#include "vmm/cpu/native/compile.h"

enum { AH = 4, AH_CF = 0x01, AH_AF = 0x10, AH_ZF = 0x40 };

static struct place stored_overflow(void)
{
    return CPU_PLACE(flags);
}

/* CF PF AF ZF SF as in AH after LAHF. */
static struct place stored_flags(void)
{
    return cpu_place(offsetof(struct cpu, flags) + 1);
}

void flags_are_in_cpu(struct compile *c)
{
    c->flags_in_cpu = true;
    c->flags_in_host = false;
    c->flags_settled = true;
}

bool flags_matter(const struct compile *c, uint16_t mask)
{
    return c->live[c->number] & mask;
}

/* An instruction with an immediate byte: 80 /extension. */
static void emit_byte_operation(
    struct compile *c, unsigned extension, struct place place, unsigned value)
{
    emit_shape(&c->e, (struct shape){.opcode = 0x80}, extension, place);
    emit_8(&c->e, value);
}

static void emit_ah(struct compile *c, unsigned extension, unsigned value)
{
    emit_byte_operation(c, extension, place_register(AH), value);
}

static void emit_set(struct compile *c, unsigned condition, unsigned reg)
{
    emit_shape(&c->e, (struct shape){.opcode = 0x0f90 | condition}, 0, place_register(reg));
}

/* AL = bit 0 of AL or CL by an operation between byte registers: 30 XOR, 20 AND, 88 MOV. */
static void emit_al(struct compile *c, unsigned opcode, unsigned from)
{
    emit_shape(&c->e, (struct shape){.opcode = opcode}, from, place_register(HOST_RAX));
}

static void emit_al_bit0(struct compile *c)
{
    emit_8(&c->e, 0x24); /* AND AL, 1 */
    emit_8(&c->e, 1);
}

static void emit_shift_right(struct compile *c, unsigned size, unsigned reg, unsigned count)
{
    emit_sized(&c->e, size, 0xc0, 5, place_register(reg));
    emit_8(&c->e, count);
}

/* AL = SF ^ CF, which are in AH: OF of AMD's shifts to the left. */
static void emit_overflow_of_ah(struct compile *c)
{
    emit_al(c, 0x88, AH);
    emit_shift_right(c, 1, HOST_RAX, 7);
    emit_al(c, 0x30, AH);
    emit_al_bit0(c);
}

/* AL = the uppermost bit of RCX, of `size` bytes, ^ the one below it. */
static void emit_overflow_of_top(struct compile *c, unsigned size)
{
    emit_shift_right(c, size, HOST_RCX, 8 * size - 2);
    emit_al(c, 0x88, HOST_RCX);
    emit_shift_right(c, 1, HOST_RAX, 1);
    emit_al(c, 0x30, HOST_RCX);
    emit_al_bit0(c);
}

static void emit_store_ax(struct compile *c)
{
    emit_wide(&c->e, 2, 0x89, HOST_RAX, CPU_PLACE(flags));
    flags_are_in_cpu(c);
}

static void emit_lahf(struct compile *c)
{
    emit_8(&c->e, 0x9f);
}

static void emit_al_zero(struct compile *c)
{
    emit_8(&c->e, 0xb0); /* MOV AL, 0 */
    emit_8(&c->e, 0);
}

void emit_pending(struct compile *c, enum pending pending)
{
    if (pending == PENDING_NONE)
        return;
    emit_wide(&c->e, 4, 0x0fb7, HOST_RAX, CPU_PLACE(flags)); /* MOVZX */
    if (pending == PENDING_LEFT)
        emit_overflow_of_ah(c);
    else if (pending == PENDING_RIGHT)
        emit_al_zero(c);
    emit_ah(c, 1, AH_AF); /* OR */
    emit_wide(&c->e, 2, 0x89, HOST_RAX, CPU_PLACE(flags));
}

void settle_pending(struct compile *c)
{
    if (c->pending == PENDING_NONE)
        return;
    flags_leave_host(c);
    emit_pending(c, c->pending);
    c->pending = PENDING_NONE;
}

static void settle_shift_intel(struct compile *c, unsigned operation, unsigned size, unsigned count)
{
    emit_lahf(c);
    if (count == 1) {
        emit_set(c, 0, HOST_RAX);
    } else if (operation == SHIFT_SAR) {
        emit_al_zero(c);
    } else if (operation == SHIFT_SHR) {
        emit_shift_right(c, size, HOST_RCX, 8 * size - 1);
        emit_al(c, 0x88, HOST_RCX);
    } else {
        emit_overflow_of_top(c, size);
    }
    emit_ah(c, 4, (uint8_t)~AH_AF); /* AND */
    emit_store_ax(c);
}

void settle_shift(struct compile *c, unsigned operation, unsigned size, unsigned count)
{
    if (cpu_is_intel(c->cpu)) {
        settle_shift_intel(c, operation, size, count);
        return;
    }
    flags_are_in_host(c);
    c->flags_settled = true;
    c->pending = count == 1 ? PENDING_ONE : operation == SHIFT_SHL ? PENDING_LEFT : PENDING_RIGHT;
}

void settle_shift_cl(struct compile *c, unsigned operation, unsigned size)
{
    emit_lahf(c);
    if (operation == SHIFT_SAR)
        emit_al_zero(c);
    else if (operation == SHIFT_SHR)
        emit_set(c, 0, HOST_RAX); /* it counts for a count of 1; then OF is defined */
    else
        emit_overflow_of_ah(c);
    emit_ah(c, 1, AH_AF);
    emit_wide(&c->e, 4, 0x83, 4, place_register(HOST_RCX)); /* AND: the count */
    emit_8(&c->e, size == 8 ? 63 : 31);
    uint8_t *none = emit_jump_if(&c->e, 4, NULL);
    if (operation == SHIFT_SHR) {
        emit_byte_operation(c, 7, place_register(HOST_RCX), 1); /* CMP */
        emit_set(c, 4, HOST_RCX);
        emit_al(c, 0x20, HOST_RCX);
    }
    emit_store_ax(c);
    emit_aim(none, c->e.at);
}

void settle_double_shift(struct compile *c, bool left, unsigned size, unsigned count)
{
    emit_lahf(c);
    if (count == 1)
        emit_set(c, 0, HOST_RAX);
    else if (left)
        emit_overflow_of_ah(c);
    else
        emit_overflow_of_top(c, size);
    emit_ah(c, 1, AH_AF);
    emit_store_ax(c);
}

void flags_into_ax(struct compile *c)
{
    if (c->flags_in_host)
        emit_lahf(c);
    else
        emit_wide(&c->e, 4, 0x0fb7, HOST_RAX, CPU_PLACE(flags)); /* MOVZX */
}

/* CF of the host in AH, whose other flags are kept, and in AL. */
static void emit_carry_into_ax(struct compile *c, unsigned condition)
{
    emit_set(c, condition, HOST_RAX);
    emit_ah(c, 4, (uint8_t)~AH_CF);                                                  /* AND */
    emit_shape(&c->e, (struct shape){.opcode = 0x08}, HOST_RAX, place_register(AH)); /* OR */
}

/* The same in cpu->flags. */
static void emit_carry_into_cpu(struct compile *c, unsigned condition)
{
    emit_set(c, condition, HOST_RAX);
    emit_byte_operation(c, 4, stored_flags(), (uint8_t)~AH_CF);
    emit_shape(&c->e, (struct shape){.opcode = 0x08}, HOST_RAX, stored_flags());
}

static void emit_store_overflow(struct compile *c)
{
    emit_shape(&c->e, (struct shape){.opcode = 0x88}, HOST_RAX, stored_overflow());
    flags_are_in_cpu(c);
}

void settle_rotate(struct compile *c, bool left, unsigned size)
{
    emit_carry_into_cpu(c, 2);
    if (left) {
        emit_shift_right(c, size, HOST_RCX, 8 * size - 1);
        emit_al(c, 0x30, HOST_RCX);
        emit_al_bit0(c);
    } else {
        emit_overflow_of_top(c, size);
    }
    emit_store_overflow(c);
}

void settle_carry(struct compile *c)
{
    emit_carry_into_cpu(c, 2);
    flags_are_in_cpu(c);
}

static void settle_multiply_intel(struct compile *c, unsigned size, unsigned low)
{
    emit_set(c, 0, HOST_RCX);
    emit_wide(&c->e, size, 0x83, 7, place_register(low)); /* CMP: SF, PF, and AF = 0 */
    emit_8(&c->e, 0);
    emit_lahf(c);
    emit_ah(c, 4, (uint8_t) ~(AH_ZF | AH_CF));                                       /* AND */
    emit_shape(&c->e, (struct shape){.opcode = 0x08}, HOST_RCX, place_register(AH)); /* OR */
    emit_al(c, 0x88, HOST_RCX);
    emit_store_ax(c);
}

void settle_multiply(struct compile *c, unsigned size, unsigned low, bool in_ax)
{
    if (cpu_is_intel(c->cpu)) {
        settle_multiply_intel(c, size, low);
    } else if (in_ax) {
        emit_carry_into_ax(c, 0);
        emit_store_ax(c);
    } else {
        emit_carry_into_cpu(c, 0);
        emit_store_overflow(c);
    }
}

void settle_divide(struct compile *c)
{
    if (!cpu_is_intel(c->cpu)) {
        emit_byte_operation(c, 4, stored_flags(), AH_CF); /* AND */
        emit_byte_operation(c, 1, stored_flags(), AH_AF); /* OR */
    }
    flags_are_in_cpu(c);
}
