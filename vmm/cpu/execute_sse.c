/*
 * The dispatcher's forms of the frequent SSE instructions. Conditions as for the others
 * (execute.h); also CR0 and CR4 must allow SSE, and arithmetic needs the guest's MXCSR in place,
 * which the handler of the first such instruction sees to.
 */
#include <stddef.h>

#include "vmm/cpu/execute.h"
#include "vmm/cpu/forms.h"
#include "vmm/cpu/simd.h"

/* In op->delta, which only branches use otherwise: of the memory operand. */
enum { DELTA_SIZE, DELTA_MISALIGNED };

static inline bool sse_blocked(const struct cpu *cpu)
{
    return (cpu->s.cr0 & (CR0_EM | CR0_TS)) | (~cpu->s.cr4 & CR4_OSFXSR);
}

/* The thunk; op->immediate is its address. */
static inline struct simd_result run(struct cpu *cpu, const struct op *op, const void *source)
{
    const uint8_t *code = (const uint8_t *)(uintptr_t)op->immediate;
    return simd_at(code)(&REG(uint8_t, op->reg), source, NULL, NULL);
}

/* xmm <- xmm, xmm/m; EFLAGS <- xmm, xmm/m; GPR <- xmm. `ready`: what else must hold. */
#define COMPUTE_REGISTER(name, ready, ...)                                        \
    static const struct op *name##_register(struct cpu *cpu, const struct op *op) \
    {                                                                             \
        if (UNLIKELY(sse_blocked(cpu) || !(ready)))                               \
            return exec_generic(cpu, op);                                         \
        struct simd_result result = run(cpu, op, &REG(uint8_t, op->rm));          \
        __VA_ARGS__;                                                              \
        NEXT();                                                                   \
    }
#define COMPUTE_MEMORY(name, ready, ...)                                                         \
    static const struct op *name##_memory(struct cpu *cpu, const struct op *op)                  \
    {                                                                                            \
        uint64_t linear = op_address(cpu, op);                                                   \
        const uint8_t *host = direct(cpu, ACCESS_READ, linear, (unsigned)op->delta[DELTA_SIZE]); \
        if (UNLIKELY(sse_blocked(cpu) || !(ready) || !host ||                                    \
                     (linear & (uint64_t)op->delta[DELTA_MISALIGNED])))                          \
            return exec_generic(cpu, op);                                                        \
        struct simd_result result = run(cpu, op, host);                                          \
        __VA_ARGS__;                                                                             \
        NEXT();                                                                                  \
    }
#define COMPUTE(name, ready, ...)              \
    COMPUTE_REGISTER(name, ready, __VA_ARGS__) \
    COMPUTE_MEMORY(name, ready, __VA_ARGS__)

COMPUTE(plain, true, (void)result)
COMPUTE(arithmetic, cpu->mxcsr_live, (void)result)
COMPUTE(compare, cpu->mxcsr_live, cpu_set_arithmetic(cpu, result.rax))
/* CVTSS2SI, CVTSD2SI and the truncating ones */
COMPUTE_REGISTER(convert_32, cpu->mxcsr_live, REG(uint64_t, op->reg) = (uint32_t)result.rax)
COMPUTE_REGISTER(convert_64, cpu->mxcsr_live, REG(uint64_t, op->reg) = result.rax)

/* ---- Moves ---------------------------------------------------------------------------------- */

struct vector {
    uint64_t low, high;
};

static const struct op *move_register(struct cpu *cpu, const struct op *op)
{
    if (UNLIKELY(sse_blocked(cpu)))
        return exec_generic(cpu, op);
    memmove(&REG(uint8_t, op->reg), &REG(uint8_t, op->rm), 16);
    NEXT();
}

#define MOVE_MEMORY(name, bad_address)                                         \
    static const struct op *load_##name(struct cpu *cpu, const struct op *op)  \
    {                                                                          \
        uint64_t linear = op_address(cpu, op);                                 \
        const uint8_t *host = direct(cpu, ACCESS_READ, linear, 16);            \
        if (UNLIKELY(sse_blocked(cpu) || !host || (bad_address)))              \
            return exec_generic(cpu, op);                                      \
        memcpy(&REG(uint8_t, op->reg), host, 16);                              \
        NEXT();                                                                \
    }                                                                          \
    static const struct op *store_##name(struct cpu *cpu, const struct op *op) \
    {                                                                          \
        uint64_t linear = op_address(cpu, op);                                 \
        uint8_t *host = direct(cpu, ACCESS_WRITE, linear, 16);                 \
        if (UNLIKELY(sse_blocked(cpu) || !host || (bad_address)))              \
            return exec_generic(cpu, op);                                      \
        memcpy(host, &REG(uint8_t, op->reg), 16);                              \
        NEXT();                                                                \
    }

MOVE_MEMORY(aligned, linear & 15)
MOVE_MEMORY(unaligned, false)

/* MOVSS, MOVSD, MOVQ: the rest of the register is zeroed when loading. */
#define MOVE_SCALAR(bits)                                                              \
    static const struct op *load_##bits(struct cpu *cpu, const struct op *op)          \
    {                                                                                  \
        const uint8_t *host = direct(cpu, ACCESS_READ, op_address(cpu, op), bits / 8); \
        uint##bits##_t value;                                                          \
        if (UNLIKELY(sse_blocked(cpu) || !host))                                       \
            return exec_generic(cpu, op);                                              \
        memcpy(&value, host, sizeof value);                                            \
        struct vector vector = {value, 0};                                             \
        memcpy(&REG(uint8_t, op->reg), &vector, 16);                                   \
        NEXT();                                                                        \
    }                                                                                  \
    static const struct op *store_##bits(struct cpu *cpu, const struct op *op)         \
    {                                                                                  \
        uint8_t *host = direct(cpu, ACCESS_WRITE, op_address(cpu, op), bits / 8);      \
        if (UNLIKELY(sse_blocked(cpu) || !host))                                       \
            return exec_generic(cpu, op);                                              \
        memcpy(host, &REG(uint8_t, op->reg), bits / 8);                                \
        NEXT();                                                                        \
    }

MOVE_SCALAR(32)
MOVE_SCALAR(64)

/* MOVD and MOVQ between xmm and general registers */
static const struct op *from_general_64(struct cpu *cpu, const struct op *op)
{
    if (UNLIKELY(sse_blocked(cpu)))
        return exec_generic(cpu, op);
    struct vector vector = {REG(uint64_t, op->rm), 0};
    memcpy(&REG(uint8_t, op->reg), &vector, 16);
    NEXT();
}

static const struct op *to_general_64(struct cpu *cpu, const struct op *op)
{
    if (UNLIKELY(sse_blocked(cpu)))
        return exec_generic(cpu, op);
    memcpy(&REG(uint64_t, op->rm), &REG(uint8_t, op->reg), 8);
    NEXT();
}

/* ---- Choice --------------------------------------------------------------------------------- */

static uint16_t xmm_offset(unsigned number)
{
    return (uint16_t)(offsetof(struct cpu, s.fpu.xmm) + 16 * number);
}

static uint16_t general_offset(unsigned number)
{
    return (uint16_t)(offsetof(struct cpu, s.gpr) + 8 * number);
}

/* Register to register, where opcodes 11, 29 and 7F name the destination second. */
static op_exec move_registers(struct op *op, bool store)
{
    if (store) {
        uint16_t source = op->reg;
        op->reg = op->rm;
        op->rm = source;
    }
    return move_register;
}

static op_exec move_form(struct op *op, bool memory)
{
    const struct insn *insn = &op->insn;
    bool store = insn->opcode == 0x11 || insn->opcode == 0x29 || insn->opcode == 0x7f;
    bool packed = insn->prefix == PREFIX_NONE || insn->prefix == PREFIX_66;

    switch (insn->opcode) {
    case 0x10:
    case 0x11:
        if (packed && !memory)
            return move_registers(op, store);
        if (packed)
            return store ? store_unaligned : load_unaligned;
        if (!memory)
            return NULL;
        if (insn->prefix == PREFIX_F3)
            return store ? store_32 : load_32;
        return store ? store_64 : load_64;
    case 0x28:
    case 0x29:
        if (!memory)
            return move_registers(op, store);
        return store ? store_aligned : load_aligned;
    case 0x6f:
    case 0x7f:
        if (insn->prefix == PREFIX_NONE)
            return NULL;
        if (!memory)
            return move_registers(op, store);
        if (insn->prefix == PREFIX_66)
            return store ? store_aligned : load_aligned;
        return store ? store_unaligned : load_unaligned;
    case 0x6e:
    case 0x7e:
        if (insn->opcode == 0x7e && insn->prefix == PREFIX_F3)
            return memory ? load_64 : NULL;
        if (memory || insn->prefix != PREFIX_66 || !(insn->rex & 8))
            return NULL;
        op->rm = general_offset(insn->rm);
        return insn->opcode == 0x6e ? from_general_64 : to_general_64;
    case 0xd6:
        return memory && insn->prefix == PREFIX_66 ? store_64 : NULL;
    default:
        return NULL;
    }
}

op_exec fast_simd(const struct cpu *cpu, struct op *op, bool code64)
{
    const struct insn *insn = &op->insn;
    (void)code64;
    const struct simd_operation *operation = &simd_operations[simd_index(insn)];
    const struct simd_entry *entry = &cpu->simd->entry[simd_index(insn)];
    bool memory = insn->flags & INSN_MEMORY, wide = insn->rex & 8;

    op->reg = xmm_offset(insn->reg);
    op->rm = xmm_offset(insn->rm);
    op->delta[DELTA_SIZE] = entry->size;
    op->delta[DELTA_MISALIGNED] = entry->flags & SIMD_ALIGNED ? 15 : 0;
    if (entry->code)
        op->immediate = (uintptr_t)simd_entry_code(entry, insn);
    switch ((enum simd_kind)operation->kind) {
    case SIMD_MOVE:
        return insn->map == MAP_0F ? move_form(op, memory) : NULL;
    case SIMD_V_W:
        if (operation->flags & SIMD_MXCSR)
            return memory ? arithmetic_memory : arithmetic_register;
        return memory ? plain_memory : plain_register;
    case SIMD_COMPARE:
        return memory ? compare_memory : compare_register;
    case SIMD_SHIFT_U:
        op->reg = op->rm;
        op->immediate = (uintptr_t)simd_shift_code(cpu->simd, insn);
        return plain_register;
    case SIMD_V_E: /* CVTSI2SS, CVTSI2SD, PINSRx */
        op->rm = general_offset(insn->rm);
        if (memory)
            return NULL;
        return operation->flags & SIMD_MXCSR ? arithmetic_register : plain_register;
    case SIMD_G_W:
        op->reg = general_offset(insn->reg);
        if (memory)
            return NULL;
        return wide ? convert_64_register : convert_32_register;
    default:
        return NULL;
    }
}
