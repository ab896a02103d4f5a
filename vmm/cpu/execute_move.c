/* Fast forms of moves. */
#include "vmm/cpu/execute.h"
#include "vmm/cpu/flags.h"

#define WRITE_8(where, value)  REG(uint8_t, where) = (uint8_t)(value)
#define WRITE_16(where, value) REG(uint16_t, where) = (uint16_t)(value)
#define WRITE_32(where, value) REG(uint64_t, where) = (uint32_t)(value)
#define WRITE_64(where, value) REG(uint64_t, where) = (uint64_t)(value)

#define MOV(bits)                                                                      \
    static const struct op *mov_rr_##bits(struct cpu *cpu, const struct op *op)        \
    {                                                                                  \
        WRITE_##bits(op->reg, REG(uint##bits##_t, op->rm));                            \
        NEXT();                                                                        \
    }                                                                                  \
    static const struct op *mov_ri_##bits(struct cpu *cpu, const struct op *op)        \
    {                                                                                  \
        WRITE_##bits(op->reg, op->immediate);                                          \
        NEXT();                                                                        \
    }                                                                                  \
    static const struct op *mov_rm_##bits(struct cpu *cpu, const struct op *op)        \
    {                                                                                  \
        const uint8_t *host = direct(cpu, ACCESS_READ, op_address(cpu, op), bits / 8); \
        uint##bits##_t value;                                                          \
        if (UNLIKELY(!host))                                                           \
            return exec_generic(cpu, op);                                              \
        memcpy(&value, host, sizeof value);                                            \
        WRITE_##bits(op->reg, value);                                                  \
        NEXT();                                                                        \
    }                                                                                  \
    static const struct op *mov_mr_##bits(struct cpu *cpu, const struct op *op)        \
    {                                                                                  \
        uint8_t *host = direct(cpu, ACCESS_WRITE, op_address(cpu, op), bits / 8);      \
        if (UNLIKELY(!host))                                                           \
            return exec_generic(cpu, op);                                              \
        uint##bits##_t value = REG(uint##bits##_t, op->reg);                           \
        memcpy(host, &value, sizeof value);                                            \
        NEXT();                                                                        \
    }                                                                                  \
    static const struct op *mov_mi_##bits(struct cpu *cpu, const struct op *op)        \
    {                                                                                  \
        uint8_t *host = direct(cpu, ACCESS_WRITE, op_address(cpu, op), bits / 8);      \
        if (UNLIKELY(!host))                                                           \
            return exec_generic(cpu, op);                                              \
        uint##bits##_t value = (uint##bits##_t)op->immediate;                          \
        memcpy(host, &value, sizeof value);                                            \
        NEXT();                                                                        \
    }

MOV(8)
MOV(16)
MOV(32)
MOV(64)

#define SIZES(prefix)                                     \
    {                                                     \
        prefix##_8, prefix##_16, prefix##_32, prefix##_64 \
    }

const op_exec exec_mov[EXEC_FORMS][4] = {
    SIZES(mov_rr), SIZES(mov_ri), SIZES(mov_rm), SIZES(mov_mr), SIZES(mov_mi)};

/* to bits, from a source type of some bits */
#define EXTEND(name, type, source, bits)                                                 \
    static const struct op *name##_r_##bits(struct cpu *cpu, const struct op *op)        \
    {                                                                                    \
        WRITE_##bits(op->reg, (int64_t)REG(type, op->rm));                               \
        NEXT();                                                                          \
    }                                                                                    \
    static const struct op *name##_m_##bits(struct cpu *cpu, const struct op *op)        \
    {                                                                                    \
        const uint8_t *host = direct(cpu, ACCESS_READ, op_address(cpu, op), source / 8); \
        type value;                                                                      \
        if (UNLIKELY(!host))                                                             \
            return exec_generic(cpu, op);                                                \
        memcpy(&value, host, sizeof value);                                              \
        WRITE_##bits(op->reg, (int64_t)value);                                           \
        NEXT();                                                                          \
    }
#define EXTENDS(name, type, source) \
    EXTEND(name, type, source, 16)  \
    EXTEND(name, type, source, 32)  \
    EXTEND(name, type, source, 64)

EXTENDS(movzx8, uint8_t, 8)
EXTENDS(movzx16, uint16_t, 16)
EXTENDS(movsx8, int8_t, 8)
EXTENDS(movsx16, int16_t, 16)
EXTEND(movsx32, int32_t, 32, 64)

#define WIDE(prefix)                                \
    {                                               \
        NULL, prefix##_16, prefix##_32, prefix##_64 \
    }
const op_exec exec_movzx8[2][4] = {WIDE(movzx8_r), WIDE(movzx8_m)};
const op_exec exec_movzx16[2][4] = {WIDE(movzx16_r), WIDE(movzx16_m)};
const op_exec exec_movsx8[2][4] = {WIDE(movsx8_r), WIDE(movsx8_m)};
const op_exec exec_movsx16[2][4] = {WIDE(movsx16_r), WIDE(movsx16_m)};
const op_exec exec_movsx32[2] = {movsx32_r_64, movsx32_m_64};

/* The segment's base is no part of the offset: the preparation names the zero there. */
#define LEA(bits)                                                            \
    static const struct op *lea_##bits(struct cpu *cpu, const struct op *op) \
    {                                                                        \
        WRITE_##bits(op->reg, op_address(cpu, op));                          \
        NEXT();                                                              \
    }
LEA(16)
LEA(32)
LEA(64)
const op_exec exec_lea[4] = WIDE(lea);

#define CONDITIONAL(number)                                                       \
    static const struct op *cmov32_##number(struct cpu *cpu, const struct op *op) \
    {                                                                             \
        bool holds = condition_holds(cpu->flags, number);                         \
        REG(uint64_t, op->reg) = REG(uint32_t, holds ? op->rm : op->reg);         \
        NEXT();                                                                   \
    }                                                                             \
    static const struct op *cmov64_##number(struct cpu *cpu, const struct op *op) \
    {                                                                             \
        bool holds = condition_holds(cpu->flags, number);                         \
        REG(uint64_t, op->reg) = REG(uint64_t, holds ? op->rm : op->reg);         \
        NEXT();                                                                   \
    }                                                                             \
    static const struct op *setcc_##number(struct cpu *cpu, const struct op *op)  \
    {                                                                             \
        REG(uint8_t, op->rm) = condition_holds(cpu->flags, number);               \
        NEXT();                                                                   \
    }

/* clang-format off */
#define ALL_CONDITIONS(MACRO)                                                               \
    MACRO(0) MACRO(1) MACRO(2) MACRO(3) MACRO(4) MACRO(5) MACRO(6) MACRO(7) MACRO(8) MACRO(9) \
    MACRO(10) MACRO(11) MACRO(12) MACRO(13) MACRO(14) MACRO(15)
/* clang-format on */

ALL_CONDITIONS(CONDITIONAL)

#define CMOV_PAIR(number) {cmov32_##number, cmov64_##number},
#define SETCC_ONE(number) setcc_##number,
const op_exec exec_cmov[16][2] = {ALL_CONDITIONS(CMOV_PAIR)};
const op_exec exec_setcc[16] = {ALL_CONDITIONS(SETCC_ONE)};

/* Stack operations of the mode's natural width: 8 bytes in 64-bit mode, 4 in flat 32-bit code. */
#define STACK(bits)                                                                    \
    const struct op *exec_push_##bits(struct cpu *cpu, const struct op *op)            \
    {                                                                                  \
        uint##bits##_t pointer = (uint##bits##_t)(cpu->s.gpr[RSP] - bits / 8);         \
        uint8_t *host = direct(cpu, ACCESS_WRITE, pointer, bits / 8);                  \
        if (UNLIKELY(!host))                                                           \
            return exec_generic(cpu, op);                                              \
        uint##bits##_t value = REG(uint##bits##_t, op->rm);                            \
        memcpy(host, &value, sizeof value);                                            \
        cpu->s.gpr[RSP] = pointer;                                                     \
        NEXT();                                                                        \
    }                                                                                  \
    const struct op *exec_push_imm_##bits(struct cpu *cpu, const struct op *op)        \
    {                                                                                  \
        uint##bits##_t pointer = (uint##bits##_t)(cpu->s.gpr[RSP] - bits / 8);         \
        uint8_t *host = direct(cpu, ACCESS_WRITE, pointer, bits / 8);                  \
        if (UNLIKELY(!host))                                                           \
            return exec_generic(cpu, op);                                              \
        memcpy(host, &op->immediate, bits / 8);                                        \
        cpu->s.gpr[RSP] = pointer;                                                     \
        NEXT();                                                                        \
    }                                                                                  \
    const struct op *exec_push_mem_##bits(struct cpu *cpu, const struct op *op)        \
    {                                                                                  \
        uint##bits##_t pointer = (uint##bits##_t)(cpu->s.gpr[RSP] - bits / 8);         \
        const uint8_t *from = direct(cpu, ACCESS_READ, op_address(cpu, op), bits / 8); \
        uint8_t *host = direct(cpu, ACCESS_WRITE, pointer, bits / 8);                  \
        if (UNLIKELY(!host || !from))                                                  \
            return exec_generic(cpu, op);                                              \
        memmove(host, from, bits / 8);                                                 \
        cpu->s.gpr[RSP] = pointer;                                                     \
        NEXT();                                                                        \
    }                                                                                  \
    const struct op *exec_pop_##bits(struct cpu *cpu, const struct op *op)             \
    {                                                                                  \
        uint##bits##_t pointer = (uint##bits##_t)cpu->s.gpr[RSP], value;               \
        const uint8_t *host = direct(cpu, ACCESS_READ, pointer, bits / 8);             \
        if (UNLIKELY(!host))                                                           \
            return exec_generic(cpu, op);                                              \
        memcpy(&value, host, sizeof value);                                            \
        cpu->s.gpr[RSP] = (uint##bits##_t)(pointer + bits / 8);                        \
        REG(uint64_t, op->rm) = value;                                                 \
        NEXT();                                                                        \
    }                                                                                  \
    const struct op *exec_leave_##bits(struct cpu *cpu, const struct op *op)           \
    {                                                                                  \
        uint##bits##_t frame = (uint##bits##_t)cpu->s.gpr[RBP], value;                 \
        const uint8_t *host = direct(cpu, ACCESS_READ, frame, bits / 8);               \
        if (UNLIKELY(!host))                                                           \
            return exec_generic(cpu, op);                                              \
        memcpy(&value, host, sizeof value);                                            \
        cpu->s.gpr[RBP] = value;                                                       \
        cpu->s.gpr[RSP] = (uint##bits##_t)(frame + bits / 8);                          \
        NEXT();                                                                        \
    }
STACK(32)
STACK(64)

const struct op *exec_nop(struct cpu *cpu, const struct op *op)
{
    NEXT();
}
