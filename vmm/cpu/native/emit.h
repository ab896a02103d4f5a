/*
 * Writes host instructions, and nothing else: what they are for is the callers' business.
 * Encoding: SDM volume 2, chapter 2. The caller guarantees room at `at`.
 */
#ifndef VMM_CPU_NATIVE_EMIT_H
#define VMM_CPU_NATIVE_EMIT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum host_register {
    HOST_RAX,
    HOST_RCX,
    HOST_RDX,
    HOST_RBX,
    HOST_RSP,
    HOST_RBP,
    HOST_RSI,
    HOST_RDI,
    HOST_R8,
    HOST_R9,
    HOST_R10,
    HOST_R11,
    HOST_R12,
    HOST_R13,
    HOST_R14,
    HOST_R15,
};

/*
 * Code is never writable where it is executed: the same memory is mapped a second time, this many
 * bytes further, for writing. `at` and all addresses are those where the code runs.
 */
#define EMIT_WRITABLE ((size_t)48 << 20)

struct emitter {
    uint8_t *at;
};

/* What ModRM and SIB can name: a register, [base + displacement],
 * [base + (index << scale) + displacement], the same without base; `index` is never RSP. */
enum place_kind { PLACE_REGISTER, PLACE_BASE, PLACE_INDEXED, PLACE_SCALED };
struct place {
    enum place_kind kind;
    uint8_t base; /* or the register */
    uint8_t index, scale;
    int32_t displacement;
};

static inline struct place place_register(unsigned number)
{
    return (struct place){.kind = PLACE_REGISTER, .base = (uint8_t)number};
}

static inline struct place place_base(unsigned base, int32_t displacement)
{
    return (struct place){.kind = PLACE_BASE, .base = (uint8_t)base, .displacement = displacement};
}

static inline struct place place_indexed(
    unsigned base, unsigned index, unsigned scale, int32_t displacement)
{
    return (struct place){.kind = PLACE_INDEXED,
        .base = (uint8_t)base,
        .index = (uint8_t)index,
        .scale = (uint8_t)scale,
        .displacement = displacement};
}

static inline struct place place_scaled(unsigned index, unsigned scale, int32_t displacement)
{
    return (struct place){.kind = PLACE_SCALED,
        .base = HOST_RBP, /* in SIB without a displacement in ModRM: none */
        .index = (uint8_t)index,
        .scale = (uint8_t)scale,
        .displacement = displacement};
}

static inline bool place_is_register(struct place place)
{
    return place.kind == PLACE_REGISTER;
}

static inline void emit_8(struct emitter *e, unsigned value)
{
    e->at[EMIT_WRITABLE] = (uint8_t)value;
    e->at++;
}

static inline void emit_16(struct emitter *e, uint16_t value)
{
    memcpy(e->at + EMIT_WRITABLE, &value, sizeof value);
    e->at += sizeof value;
}

static inline void emit_32(struct emitter *e, uint32_t value)
{
    memcpy(e->at + EMIT_WRITABLE, &value, sizeof value);
    e->at += sizeof value;
}

static inline void emit_64(struct emitter *e, uint64_t value)
{
    memcpy(e->at + EMIT_WRITABLE, &value, sizeof value);
    e->at += sizeof value;
}

static inline bool fits_8(int64_t value)
{
    return value == (int8_t)value;
}

static inline bool fits_32(int64_t value)
{
    return value == (int32_t)value;
}

/*
 * PREFIX REX OPCODE ModRM: `opcode` is its bytes with the last one lowest (0x0faf). `prefix` is a
 * mandatory prefix or 0. `reg` may be an opcode extension. `bytes`: operands of one byte, so that
 * registers 4 to 7 mean SPL to DIL.
 */
struct shape {
    uint32_t opcode;
    uint8_t prefix;
    bool wide;  /* REX.W */
    bool bytes; /* see above */
};
void emit_shape(struct emitter *e, struct shape shape, unsigned reg, struct place place);

/* An instruction on operands of `size` bytes, whose opcode has the form for bytes in bit 0. */
void emit_sized(
    struct emitter *e, unsigned size, uint32_t opcode, unsigned reg, struct place place);
/* The same for opcodes without a form for bytes: `size` is 2, 4 or 8. */
void emit_wide(struct emitter *e, unsigned size, uint32_t opcode, unsigned reg, struct place place);
/* An immediate of an instruction of `size`: four bytes at most. */
void emit_immediate(struct emitter *e, unsigned size, uint64_t value);

/* MOV of all 64 bits. */
void emit_load(struct emitter *e, unsigned reg, struct place from);
void emit_store(struct emitter *e, struct place to, unsigned reg);
void emit_constant(struct emitter *e, unsigned reg, uint64_t value);
void emit_lea(struct emitter *e, unsigned size, unsigned reg, struct place place);

/* JMP, CALL and Jcc to `target`; each returns where its displacement is, for emit_aim(). */
uint8_t *emit_jump(struct emitter *e, const uint8_t *target);
uint8_t *emit_call(struct emitter *e, const uint8_t *target);
uint8_t *emit_jump_if(struct emitter *e, unsigned condition, const uint8_t *target);
/* Aims an emitted jump, by the place of its displacement. */
void emit_aim(uint8_t *displacement, const uint8_t *target);
/*
 * After a change of code that has run: the processor may have fetched it by the other address, and
 * is only sure to see the change after a serializing instruction (SDM volume 3, 9.1.3; APM volume
 * 2, 7.6.1). IRET is one that needs no privilege and that no virtual machine intercepts.
 */
static inline void emit_settle(void)
{
    uint64_t stack, scratch;
    __asm__ volatile("mov %%rsp, %[stack]\n\t"
                     "lea -128(%%rsp), %%rsp\n\t" /* the red zone */
                     "mov %%ss, %k[scratch]\n\t"
                     "push %[scratch]\n\t"
                     "push %[stack]\n\t"
                     "pushf\n\t"
                     "mov %%cs, %k[scratch]\n\t"
                     "push %[scratch]\n\t"
                     "lea 1f(%%rip), %[scratch]\n\t"
                     "push %[scratch]\n\t"
                     "iretq\n"
                     "1:"
                     : [stack] "=&r"(stack), [scratch] "=&r"(scratch)
                     :
                     : "memory", "cc");
}

#endif
