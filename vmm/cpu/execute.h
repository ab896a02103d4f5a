/*
 * The dispatcher's own forms of the frequent instructions, and what they share.
 *
 * Every form handles only the common case, without leaving the host function it is: operands in
 * registers, memory on a direct TLB entry, branches to blocks already decoded. Anything else it
 * hands to exec_generic, which runs the instruction's handler.
 *
 * In optimised builds each form ends by calling the next one as a sibling call, which the compiler
 * turns into a jump. Elsewhere (Debug, sanitizers) that would exhaust the stack; there forms return
 * the next operation and a loop calls it.
 */
#ifndef VMM_CPU_EXECUTE_H
#define VMM_CPU_EXECUTE_H

#include "vmm/cpu/blocks.h"
#include "vmm/cpu/operand.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EXECUTE_SANITIZED 1
#endif
#endif
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(EXECUTE_SANITIZED)
#define EXECUTE_THREADED 1
#define DISPATCH(next)                   \
    do {                                 \
        const struct op *next_ = (next); \
        return next_->exec(cpu, next_);  \
    } while (0)
#else
#define EXECUTE_THREADED 0
#define DISPATCH(next) \
    do {               \
        (void)cpu;     \
        return (next); \
    } while (0)
#endif
#define NEXT() DISPATCH(op + 1)

#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/* A register operand, by its offset in struct cpu. */
#define REG(type, where) (*(type *)((char *)cpu + (where)))

static inline uint64_t op_address(struct cpu *cpu, const struct op *op)
{
    uint64_t offset = REG(uint64_t, op->base) + (REG(uint64_t, op->index) << op->scale) +
                      (uint64_t)op->displacement;
    return (offset & op->offset_mask) + REG(uint64_t, op->segment_base);
}

/* Enters `block`, whose first instruction is `delta` after the present block's, if the slice has
 * room for all of it and nothing forbids it; else the caller leaves. */
static inline bool block_enter(struct cpu *cpu, struct block *block, int64_t delta)
{
    int64_t left = cpu->countdown - block->entry_count;
    if (UNLIKELY(left < 0))
        return false;
    cpu->countdown = left;
    cpu->block_rip += (uint64_t)delta;
    cpu->running = block;
    return true;
}

/* The instruction of `op` by its handler. False: the dispatcher has to look at what it did. */
bool exec_handler(struct cpu *cpu, const struct op *op);
/* The last one of a block: RIP is where the guest goes on. */
void exec_last_handler(struct cpu *cpu, const struct op *op);

/* Any instruction, by its handler. */
const struct op *exec_generic(struct cpu *cpu, const struct op *op);
/* ... the last of a block. */
const struct op *exec_generic_end(struct cpu *cpu, const struct op *op);
/* Goes on to the next block after a block without a transfer, where CS is flat. */
const struct op *exec_end(struct cpu *cpu, const struct op *op);
/* ... by the dispatcher, which checks the limit of CS. */
const struct op *exec_leave(struct cpu *cpu, const struct op *op);

/* match.c: stops in front of the instruction if the wanted registers stand there. */
void exec_match_prepare(const struct cpu *cpu, struct op *op);
/* The telling register has the wanted value in front of the instruction after `op`, with
 * `block_rip` and `countdown` as in the dispatcher's forms. True: all have; the block is left. Else
 * another register tells, unless this place was reported before. */
bool match_stops(struct cpu *cpu, const struct op *op);

/* execute_branch.c; by condition code */
extern const op_exec exec_jcc[16];
const struct op *exec_jump(struct cpu *cpu, const struct op *op);

/* execute_alu.c; by operation and log2 of size */
enum exec_form { EXEC_RR, EXEC_RI, EXEC_RM, EXEC_MR, EXEC_MI, EXEC_FORMS };
enum { EXEC_TEST = 8, EXEC_ALU_OPERATIONS }; /* after the eight of opcode bits 3-5 */
extern const op_exec exec_alu[EXEC_ALU_OPERATIONS][EXEC_FORMS][4];
enum exec_unary { EXEC_INC, EXEC_DEC, EXEC_NOT, EXEC_NEG, EXEC_UNARY };
extern const op_exec exec_unary_reg[EXEC_UNARY][4];
extern const op_exec exec_unary_mem[EXEC_UNARY][4];
extern const op_exec exec_shift_imm[8][4]; /* registers; NULL where there is none */
extern const op_exec exec_shift_cl[8][4];
extern const op_exec exec_imul[3][4]; /* RR, RI (reg = rm * immediate), RM */

/* execute_move.c; by log2 of size */
extern const op_exec exec_mov[EXEC_FORMS][4];
extern const op_exec exec_movzx8[2][4], exec_movzx16[2][4]; /* from register, from memory */
extern const op_exec exec_movsx8[2][4], exec_movsx16[2][4], exec_movsx32[2];
extern const op_exec exec_lea[4];
extern const op_exec exec_cmov[16][2]; /* registers of 4, 8 bytes */
extern const op_exec exec_setcc[16];   /* registers */
const struct op *exec_nop(struct cpu *cpu, const struct op *op);
#define DECLARE_STACK(bits)                                                      \
    const struct op *exec_push_##bits(struct cpu *cpu, const struct op *op);     \
    const struct op *exec_push_imm_##bits(struct cpu *cpu, const struct op *op); \
    const struct op *exec_push_mem_##bits(struct cpu *cpu, const struct op *op); \
    const struct op *exec_pop_##bits(struct cpu *cpu, const struct op *op);      \
    const struct op *exec_leave_##bits(struct cpu *cpu, const struct op *op);    \
    const struct op *exec_call_##bits(struct cpu *cpu, const struct op *op);     \
    const struct op *exec_call_reg_##bits(struct cpu *cpu, const struct op *op); \
    const struct op *exec_call_mem_##bits(struct cpu *cpu, const struct op *op); \
    const struct op *exec_jump_reg_##bits(struct cpu *cpu, const struct op *op); \
    const struct op *exec_jump_mem_##bits(struct cpu *cpu, const struct op *op); \
    const struct op *exec_return_##bits(struct cpu *cpu, const struct op *op);
DECLARE_STACK(32)
DECLARE_STACK(64)

#endif
