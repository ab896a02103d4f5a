/* Fast forms of the ALU's instructions. */
#include "vmm/cpu/execute.h"
#include "vmm/cpu/flags.h"
#include "vmm/cpu/vendor.h"

/* These write all six flags; a logical operation's AF is cleared by every host. */
#define HOST_FRESH(text, modifier, left, right, flags)             \
    __asm__(text " %" modifier "[b], %" modifier "[a]" STORE_FLAGS \
            : [a] "+r"(left), "=a"(flags)                          \
            : [b] "r"(right)                                       \
            : "cc")
/* These take CF, which is bit 8 of the stored form. */
#define HOST_CARRY(text, modifier, left, right, flags)                                 \
    __asm__("btl $8, %%eax\n\t" text " %" modifier "[b], %" modifier "[a]" STORE_FLAGS \
            : [a] "+r"(left), "+a"(flags)                                              \
            : [b] "r"(right)                                                           \
            : "cc")

#define WRITE_uint8_t(where, value)  REG(uint8_t, where) = (value)
#define WRITE_uint16_t(where, value) REG(uint16_t, where) = (value)
#define WRITE_uint32_t(where, value) REG(uint64_t, where) = (value)
#define WRITE_uint64_t(where, value) REG(uint64_t, where) = (value)

/* keep: whether the result is stored. */
#define ALU_FORMS(name, text, HOST, keep, bits, modifier)                                        \
    static const struct op *name##_rr_##bits(struct cpu *cpu, const struct op *op)               \
    {                                                                                            \
        uint##bits##_t left = REG(uint##bits##_t, op->reg), right = REG(uint##bits##_t, op->rm); \
        uint32_t flags = cpu->flags;                                                             \
        HOST(text, modifier, left, right, flags);                                                \
        if (keep)                                                                                \
            WRITE_uint##bits##_t(op->reg, left);                                                 \
        cpu->flags = (uint16_t)flags;                                                            \
        NEXT();                                                                                  \
    }                                                                                            \
    static const struct op *name##_ri_##bits(struct cpu *cpu, const struct op *op)               \
    {                                                                                            \
        uint##bits##_t left = REG(uint##bits##_t, op->reg);                                      \
        uint##bits##_t right = (uint##bits##_t)op->immediate;                                    \
        uint32_t flags = cpu->flags;                                                             \
        HOST(text, modifier, left, right, flags);                                                \
        if (keep)                                                                                \
            WRITE_uint##bits##_t(op->reg, left);                                                 \
        cpu->flags = (uint16_t)flags;                                                            \
        NEXT();                                                                                  \
    }                                                                                            \
    static const struct op *name##_rm_##bits(struct cpu *cpu, const struct op *op)               \
    {                                                                                            \
        const uint8_t *host = direct(cpu, ACCESS_READ, op_address(cpu, op), bits / 8);           \
        if (UNLIKELY(!host))                                                                     \
            return exec_generic(cpu, op);                                                        \
        uint##bits##_t left = REG(uint##bits##_t, op->reg), right;                               \
        memcpy(&right, host, sizeof right);                                                      \
        uint32_t flags = cpu->flags;                                                             \
        HOST(text, modifier, left, right, flags);                                                \
        if (keep)                                                                                \
            WRITE_uint##bits##_t(op->reg, left);                                                 \
        cpu->flags = (uint16_t)flags;                                                            \
        NEXT();                                                                                  \
    }                                                                                            \
    static const struct op *name##_mr_##bits(struct cpu *cpu, const struct op *op)               \
    {                                                                                            \
        uint8_t *host =                                                                          \
            direct(cpu, keep ? ACCESS_WRITE : ACCESS_READ, op_address(cpu, op), bits / 8);       \
        if (UNLIKELY(!host))                                                                     \
            return exec_generic(cpu, op);                                                        \
        uint##bits##_t left, right = REG(uint##bits##_t, op->reg);                               \
        memcpy(&left, host, sizeof left);                                                        \
        uint32_t flags = cpu->flags;                                                             \
        HOST(text, modifier, left, right, flags);                                                \
        if (keep)                                                                                \
            memcpy(host, &left, sizeof left);                                                    \
        cpu->flags = (uint16_t)flags;                                                            \
        NEXT();                                                                                  \
    }                                                                                            \
    static const struct op *name##_mi_##bits(struct cpu *cpu, const struct op *op)               \
    {                                                                                            \
        uint8_t *host =                                                                          \
            direct(cpu, keep ? ACCESS_WRITE : ACCESS_READ, op_address(cpu, op), bits / 8);       \
        if (UNLIKELY(!host))                                                                     \
            return exec_generic(cpu, op);                                                        \
        uint##bits##_t left, right = (uint##bits##_t)op->immediate;                              \
        memcpy(&left, host, sizeof left);                                                        \
        uint32_t flags = cpu->flags;                                                             \
        HOST(text, modifier, left, right, flags);                                                \
        if (keep)                                                                                \
            memcpy(host, &left, sizeof left);                                                    \
        cpu->flags = (uint16_t)flags;                                                            \
        NEXT();                                                                                  \
    }

#define ALU_SIZES(name, text, HOST, keep)          \
    ALU_FORMS(name, text "b", HOST, keep, 8, "b")  \
    ALU_FORMS(name, text "w", HOST, keep, 16, "w") \
    ALU_FORMS(name, text "l", HOST, keep, 32, "k") \
    ALU_FORMS(name, text "q", HOST, keep, 64, "q")

ALU_SIZES(add, "add", HOST_FRESH, true)
ALU_SIZES(or, "or", HOST_FRESH, true)
ALU_SIZES(adc, "adc", HOST_CARRY, true)
ALU_SIZES(sbb, "sbb", HOST_CARRY, true)
ALU_SIZES(and, "and", HOST_FRESH, true)
ALU_SIZES(sub, "sub", HOST_FRESH, true)
ALU_SIZES(xor, "xor", HOST_FRESH, true)
ALU_SIZES(cmp, "cmp", HOST_FRESH, false)
ALU_SIZES(test, "test", HOST_FRESH, false)

#define SIZES(prefix)                                     \
    {                                                     \
        prefix##_8, prefix##_16, prefix##_32, prefix##_64 \
    }
#define FORMS(name)                                                                              \
    {                                                                                            \
        SIZES(name##_rr), SIZES(name##_ri), SIZES(name##_rm), SIZES(name##_mr), SIZES(name##_mi) \
    }

const op_exec exec_alu[EXEC_ALU_OPERATIONS][EXEC_FORMS][4] = {
    FORMS(add),
    FORMS(or),
    FORMS(adc),
    FORMS(sbb),
    FORMS(and),
    FORMS(sub),
    FORMS(xor),
    FORMS(cmp),
    FORMS(test),
};

/* INC and DEC keep CF, NOT all flags. */
#define HOST_INC(text, modifier, value, flags)                       \
    __asm__("btl $8, %%eax\n\t" text " %" modifier "[a]" STORE_FLAGS \
            : [a] "+r"(value), "+a"(flags)                           \
            :                                                        \
            : "cc")
#define HOST_NOT(text, modifier, value, flags) \
    __asm__(text " %" modifier "[a]" : [a] "+r"(value), "+r"(flags))

#define UNARY(name, text, HOST, bits, modifier)                                   \
    static const struct op *name##_r_##bits(struct cpu *cpu, const struct op *op) \
    {                                                                             \
        uint##bits##_t value = REG(uint##bits##_t, op->rm);                       \
        uint32_t flags = cpu->flags;                                              \
        HOST(text, modifier, value, flags);                                       \
        WRITE_uint##bits##_t(op->rm, value);                                      \
        cpu->flags = (uint16_t)flags;                                             \
        NEXT();                                                                   \
    }                                                                             \
    static const struct op *name##_m_##bits(struct cpu *cpu, const struct op *op) \
    {                                                                             \
        uint8_t *host = direct(cpu, ACCESS_WRITE, op_address(cpu, op), bits / 8); \
        if (UNLIKELY(!host))                                                      \
            return exec_generic(cpu, op);                                         \
        uint##bits##_t value;                                                     \
        memcpy(&value, host, sizeof value);                                       \
        uint32_t flags = cpu->flags;                                              \
        HOST(text, modifier, value, flags);                                       \
        memcpy(host, &value, sizeof value);                                       \
        cpu->flags = (uint16_t)flags;                                             \
        NEXT();                                                                   \
    }
#define UNARY_SIZES(name, text, HOST)    \
    UNARY(name, text "b", HOST, 8, "b")  \
    UNARY(name, text "w", HOST, 16, "w") \
    UNARY(name, text "l", HOST, 32, "k") \
    UNARY(name, text "q", HOST, 64, "q")

UNARY_SIZES(inc, "inc", HOST_INC)
UNARY_SIZES(dec, "dec", HOST_INC)
UNARY_SIZES(not, "not", HOST_NOT)
UNARY_SIZES(neg, "neg", HOST_INC)

const op_exec exec_unary_reg[EXEC_UNARY][4] = {
    SIZES(inc_r), SIZES(dec_r), SIZES(not_r), SIZES(neg_r)};
const op_exec exec_unary_mem[EXEC_UNARY][4] = {
    SIZES(inc_m), SIZES(dec_m), SIZES(not_m), SIZES(neg_m)};

/* Shifts of registers. */
#define SHIFT_FORM(name, operation, bits, count, keeps)                                         \
    static const struct op *name##_##bits(struct cpu *cpu, const struct op *op)                 \
    {                                                                                           \
        uint##bits##_t value = REG(uint##bits##_t, op->rm);                                     \
        struct shifted result =                                                                 \
            cpu_is_intel(cpu)                                                                   \
                ? vendor_shift_rotate(true, operation, bits, value, count, keeps, cpu->flags)   \
                : vendor_shift_rotate(false, operation, bits, value, count, keeps, cpu->flags); \
        WRITE_uint##bits##_t(op->rm, (uint##bits##_t)result.value);                             \
        cpu->flags = result.flags;                                                              \
        NEXT();                                                                                 \
    }
#define SHIFT(name, operation, bits)                                      \
    SHIFT_FORM(name##_imm, operation, bits, (uint8_t)op->immediate, true) \
    SHIFT_FORM(name##_cl, operation, bits, (uint8_t)cpu->s.gpr[RCX], false)
#define SHIFT_SIZES(name, operation) \
    SHIFT(name, operation, 8)        \
    SHIFT(name, operation, 16)       \
    SHIFT(name, operation, 32)       \
    SHIFT(name, operation, 64)

SHIFT_SIZES(rol, SHIFT_ROL)
SHIFT_SIZES(ror, SHIFT_ROR)
SHIFT_SIZES(shl, SHIFT_SHL)
SHIFT_SIZES(shr, SHIFT_SHR)
SHIFT_SIZES(sar, SHIFT_SAR)

const op_exec exec_shift_imm[8][4] = {
    [0] = SIZES(rol_imm),
    [1] = SIZES(ror_imm),
    [4] = SIZES(shl_imm),
    [5] = SIZES(shr_imm),
    [6] = SIZES(shl_imm),
    [7] = SIZES(sar_imm),
};
const op_exec exec_shift_cl[8][4] = {
    [0] = SIZES(rol_cl),
    [1] = SIZES(ror_cl),
    [4] = SIZES(shl_cl),
    [5] = SIZES(shr_cl),
    [6] = SIZES(shl_cl),
    [7] = SIZES(sar_cl),
};

#define IMUL(bits)                                                                      \
    static inline void imul_##bits(                                                     \
        struct cpu *cpu, const struct op *op, int##bits##_t left, int##bits##_t right)  \
    {                                                                                   \
        int##bits##_t low;                                                              \
        bool overflow = __builtin_mul_overflow(left, right, &low);                      \
        WRITE_uint##bits##_t(op->reg, (uint##bits##_t)low);                             \
        cpu->flags = vendor_multiply_flags(                                             \
            cpu_is_intel(cpu), (uint##bits##_t)low, bits, overflow, cpu->flags);        \
    }                                                                                   \
    static const struct op *imul_rr_##bits(struct cpu *cpu, const struct op *op)        \
    {                                                                                   \
        imul_##bits(cpu, op, REG(int##bits##_t, op->reg), REG(int##bits##_t, op->rm));  \
        NEXT();                                                                         \
    }                                                                                   \
    static const struct op *imul_ri_##bits(struct cpu *cpu, const struct op *op)        \
    {                                                                                   \
        imul_##bits(cpu, op, REG(int##bits##_t, op->rm), (int##bits##_t)op->immediate); \
        NEXT();                                                                         \
    }                                                                                   \
    static const struct op *imul_rm_##bits(struct cpu *cpu, const struct op *op)        \
    {                                                                                   \
        const uint8_t *host = direct(cpu, ACCESS_READ, op_address(cpu, op), bits / 8);  \
        if (UNLIKELY(!host))                                                            \
            return exec_generic(cpu, op);                                               \
        int##bits##_t right;                                                            \
        memcpy(&right, host, sizeof right);                                             \
        imul_##bits(cpu, op, REG(int##bits##_t, op->reg), right);                       \
        NEXT();                                                                         \
    }

IMUL(16)
IMUL(32)
IMUL(64)

const op_exec exec_imul[3][4] = {
    {NULL, imul_rr_16, imul_rr_32, imul_rr_64},
    {NULL, imul_ri_16, imul_ri_32, imul_ri_64},
    {NULL, imul_rm_16, imul_rm_32, imul_rm_64},
};
