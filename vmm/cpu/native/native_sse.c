/*
 * SSE on the host's own instructions: XMM registers are in struct cpu, the first operand passes
 * through the host's XMM0. An instruction that reads or writes MXCSR needs the guest's in the
 * host's, with all exceptions masked; its handler sees to the first and deals with the rest.
 */
#include "vmm/cpu/native/compile.h"
#include "vmm/cpu/simd.h"

enum { HOST_XMM0 = 0 };

static struct place xmm_place(unsigned number)
{
    return cpu_place(offsetof(struct cpu, s.fpu.xmm) + 16 * number);
}

static const struct simd_operation *operation(const struct insn *insn)
{
    return &simd_operations[simd_index(insn)];
}

static bool by_memory(const struct insn *insn)
{
    return insn->flags & INSN_MEMORY;
}

static void emit_movaps_load(struct compile *c, unsigned number)
{
    emit_shape(&c->e, (struct shape){.opcode = 0x0f28}, HOST_XMM0, xmm_place(number));
}

static void emit_movaps_store(struct compile *c, unsigned number)
{
    emit_shape(&c->e, (struct shape){.opcode = 0x0f29}, HOST_XMM0, xmm_place(number));
}

/* Escapes if the byte of struct cpu at `place` is 0. */
static void escape_unless(struct compile *c, struct place place)
{
    emit_sized(&c->e, 1, 0x80, 7, place); /* CMP */
    emit_8(&c->e, 0);
    escape_if(c, 4);
}

/* CR0 and CR4 change only in instructions that end blocks: the first SSE instruction looks. MXCSR
 * may change in any instruction that is left to its handler. */
static void check_available(struct compile *c, bool mxcsr)
{
    flags_leave_host(c);
    if (!c->sse_checked)
        escape_unless(c, CPU_PLACE(sse_ready));
    c->sse_checked = true;
    if (mxcsr)
        escape_unless(c, CPU_PLACE(mxcsr_live));
}

static struct place sse_memory(
    struct compile *c, unsigned size, enum access_kind kind, bool aligned)
{
    struct place place = memory_operand(c, size, kind);
    if (aligned) {
        emit_shape(&c->e, (struct shape){.opcode = 0xf6, .bytes = true}, 0,
            place_register(place.index)); /* TEST */
        emit_8(&c->e, 15);
        escape_if(c, 5);
    }
    return place;
}

/* The instruction itself, on other operands. */
static void emit_operation(struct compile *c, unsigned reg, struct place place)
{
    static const uint8_t prefixes[] = {[PREFIX_66] = 0x66, [PREFIX_F3] = 0xf3, [PREFIX_F2] = 0xf2};
    static const uint32_t maps[] = {
        [MAP_0F] = 0x0f00, [MAP_0F38] = 0x0f3800, [MAP_0F3A] = 0x0f3a00};
    const struct insn *insn = c->insn;
    uint8_t flags = operation(insn)->flags;
    emit_shape(&c->e,
        (struct shape){.opcode = maps[insn->map] | insn->opcode,
            .prefix = prefixes[insn->prefix],
            .wide = (flags & SIMD_REX_W) && (insn->rex & 8)},
        reg, place);
    if (flags & SIMD_IMM8)
        emit_8(&c->e, (uint8_t)insn->immediate);
}

static struct place sse_source(struct compile *c)
{
    const struct simd_operation *what = operation(c->insn);
    if (by_memory(c->insn))
        return sse_memory(c, what->size, ACCESS_READ, what->flags & SIMD_ALIGNED);
    return xmm_place(c->insn->rm);
}

/* xmm <- xmm, xmm/m */
static void compute(struct compile *c)
{
    check_available(c, operation(c->insn)->flags & SIMD_MXCSR);
    struct place from = sse_source(c);
    emit_movaps_load(c, c->insn->reg);
    emit_operation(c, HOST_XMM0, from);
    emit_movaps_store(c, c->insn->reg);
}

/* EFLAGS <- xmm, xmm/m */
static void compare(struct compile *c)
{
    check_available(c, operation(c->insn)->flags & SIMD_MXCSR);
    struct place from = sse_source(c);
    emit_movaps_load(c, c->insn->reg);
    emit_operation(c, HOST_XMM0, from);
}

/* 0F 71 to 73: xmm <- xmm, immediate */
static void shift(struct compile *c)
{
    check_available(c, false);
    emit_movaps_load(c, c->insn->rm);
    emit_operation(c, c->insn->modrm >> 3 & 7, place_register(HOST_XMM0));
    emit_movaps_store(c, c->insn->rm);
}

/* xmm <- xmm, general register */
static void from_general(struct compile *c)
{
    check_available(c, operation(c->insn)->flags & SIMD_MXCSR);
    unsigned from = guest_in_register(c, c->insn->rm, HOST_RCX);
    emit_movaps_load(c, c->insn->reg);
    emit_operation(c, HOST_XMM0, place_register(from));
    emit_movaps_store(c, c->insn->reg);
}

/* general register <- xmm; all leave the upper half zero unless REX.W asks for it. */
static void to_general(struct compile *c)
{
    check_available(c, operation(c->insn)->flags & SIMD_MXCSR);
    emit_movaps_load(c, c->insn->rm);
    emit_operation(c, HOST_RAX, place_register(HOST_XMM0));
    guest_set(c, c->insn->reg, HOST_RAX);
}

/* ---- Moves ----------------------------------------------------------------------------------- */

struct move {
    uint8_t size;
    bool store, aligned;
};

/* Moves of all of a register, or of a scalar from and to memory. */
static bool find_move(const struct insn *insn, struct move *move)
{
    bool packed = insn->prefix == PREFIX_NONE || insn->prefix == PREFIX_66;
    bool memory = by_memory(insn);
    *move = (struct move){.size = 16};
    if (insn->map != MAP_0F)
        return false;
    switch (insn->opcode) {
    case 0x10:
    case 0x11:
        move->store = insn->opcode == 0x11;
        if (!packed)
            move->size = insn->prefix == PREFIX_F3 ? 4 : 8;
        return packed || memory;
    case 0x28:
    case 0x29:
        move->store = insn->opcode == 0x29;
        move->aligned = true;
        return packed;
    case 0x6f:
    case 0x7f:
        move->store = insn->opcode == 0x7f;
        move->aligned = insn->prefix == PREFIX_66;
        return insn->prefix == PREFIX_66 || insn->prefix == PREFIX_F3;
    case 0x7e:
        move->size = 8;
        return insn->prefix == PREFIX_F3 && memory;
    case 0xd6:
        move->size = 8;
        move->store = true;
        return insn->prefix == PREFIX_66 && memory;
    default:
        return false;
    }
}

/* MOVUPS, MOVQ, MOVD between the host's XMM0 and memory. */
static void emit_move(struct compile *c, const struct move *move, struct place place)
{
    struct shape shape = {.opcode = move->store ? 0x0f11 : 0x0f10};
    if (move->size == 8)
        shape = move->store ? (struct shape){.opcode = 0x0fd6, .prefix = 0x66}
                            : (struct shape){.opcode = 0x0f7e, .prefix = 0xf3};
    else if (move->size == 4)
        shape.prefix = 0xf3;
    emit_shape(&c->e, shape, HOST_XMM0, place);
}

static void move(struct compile *c)
{
    const struct insn *insn = c->insn;
    struct move what;
    find_move(insn, &what);
    check_available(c, false);
    if (!by_memory(insn)) {
        emit_movaps_load(c, what.store ? insn->reg : insn->rm);
        emit_movaps_store(c, what.store ? insn->rm : insn->reg);
        return;
    }
    struct place place =
        sse_memory(c, what.size, what.store ? ACCESS_WRITE : ACCESS_READ, what.aligned);
    if (what.store)
        emit_movaps_load(c, insn->reg);
    emit_move(c, &what, place);
    if (!what.store)
        emit_movaps_store(c, insn->reg);
}

/* 66 0F 6E and 7E with a general register: MOVD, MOVQ. */
static void move_general(struct compile *c)
{
    const struct insn *insn = c->insn;
    bool to_xmm = insn->opcode == 0x6e;
    struct shape shape = {.opcode = 0x0f00u | insn->opcode, .prefix = 0x66, .wide = insn->rex & 8};
    check_available(c, false);
    if (to_xmm) {
        unsigned from = guest_in_register(c, insn->rm, HOST_RCX);
        emit_shape(&c->e, shape, HOST_XMM0, place_register(from));
        emit_movaps_store(c, insn->reg);
    } else {
        emit_movaps_load(c, insn->reg);
        emit_shape(&c->e, shape, HOST_XMM0, place_register(HOST_RCX));
        guest_set(c, insn->rm, HOST_RCX);
    }
}

static bool is_move(const struct insn *insn)
{
    struct move unused;
    return operation(insn)->kind == SIMD_MOVE && find_move(insn, &unused);
}

static bool is_general_move(const struct insn *insn)
{
    return operation(insn)->kind == SIMD_MOVE && insn->map == MAP_0F &&
           (insn->opcode == 0x6e || insn->opcode == 0x7e) && insn->prefix == PREFIX_66 &&
           !by_memory(insn);
}

static bool computes(const struct insn *insn)
{
    return operation(insn)->kind == SIMD_V_W;
}

static bool compares(const struct insn *insn)
{
    return operation(insn)->kind == SIMD_COMPARE;
}

static bool shifts(const struct insn *insn)
{
    return operation(insn)->kind == SIMD_SHIFT_U;
}

static bool takes_general(const struct insn *insn)
{
    return operation(insn)->kind == SIMD_V_E && !by_memory(insn);
}

static bool gives_general(const struct insn *insn)
{
    enum simd_kind kind = operation(insn)->kind;
    return (kind == SIMD_G_W || kind == SIMD_G_U) && !by_memory(insn);
}

NATIVE(simd, {move, .possible = is_move, .escapes = true},
    {move_general, .possible = is_general_move, .escapes = true},
    {compute, .possible = computes, .escapes = true},
    {compare, .possible = compares, .writes = FLAGS_ALL, .touches = true, .escapes = true},
    {shift, .possible = shifts, .escapes = true},
    {from_general, .possible = takes_general, .escapes = true},
    {to_general, .possible = gives_general, .escapes = true})
