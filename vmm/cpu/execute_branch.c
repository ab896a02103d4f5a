/* Fast forms of branches, and the way from block to block. */
#include "vmm/cpu/execute.h"
#include "vmm/cpu/flags.h"

/* In 32-bit code the flat segment wraps at 4 GiB. */
static uint64_t rip_mask(const struct cpu *cpu)
{
    return cpu->code64 ? UINT64_MAX : 0xffffffff;
}

/* The block at `target` if it is decoded and its page is in the TLB for execution; CS has base 0.
 * An address that is not canonical is never there. */
static inline struct block *find_target(struct cpu *cpu, uint64_t target)
{
    const struct tlb_entry *entry = &cpu->tlb[ACCESS_EXECUTE][target / PAGE_SIZE % TLB_ENTRIES];
    if (UNLIKELY((entry->page & ~TLB_SLOW) != (target & ~(PAGE_SIZE - 1))))
        return NULL;
    uint64_t key = (entry->gpa | (target & (PAGE_SIZE - 1))) << 8 | (cpu->running->key & 0xff);
    return block_find(cpu->blocks, key);
}

static const struct op *leave_to(struct cpu *cpu, uint64_t target)
{
    cpu->s.rip = target;
    return NULL;
}

/* Where the target is not canonical, the branch itself faults, so its handler decides. */
static const struct op *leave_branch(struct cpu *cpu, const struct op *op, uint64_t target)
{
    if (op->insn.length && (uint64_t)((int64_t)(target << 16) >> 16) != target)
        return exec_generic_end(cpu, op);
    return leave_to(cpu, target);
}

static const struct op *enter(struct cpu *cpu, struct block *block, uint64_t target)
{
    if (!block_enter(cpu, block, (int64_t)(target - cpu->block_rip)))
        return leave_to(cpu, target);
    DISPATCH(block->ops);
}

/* The link of a direct branch did not let us in: looks the target up, and links it if it lies in
 * the same page, whose mapping is then the same, too. */
__attribute__((noinline)) static const struct op *follow_slow(
    struct cpu *cpu, const struct op *op, unsigned which)
{
    uint64_t target = (cpu->block_rip + (uint64_t)op->delta[which]) & rip_mask(cpu);
    struct block *block = find_target(cpu, target);
    if (!block)
        return leave_branch(cpu, op, target);
    if (block_gpa(block) / PAGE_SIZE == block_gpa(cpu->running) / PAGE_SIZE &&
        target / PAGE_SIZE == cpu->block_rip / PAGE_SIZE && !cpu->running->dropped)
        ((struct op *)(uintptr_t)op)->link[which] = block;
    return enter(cpu, block, target);
}

#define FOLLOW(which)                                              \
    do {                                                           \
        struct block *block_ = op->link[which];                    \
        if (UNLIKELY(!block_enter(cpu, block_, op->delta[which]))) \
            return follow_slow(cpu, op, which);                    \
        DISPATCH(block_->ops);                                     \
    } while (0)

const struct op *exec_end(struct cpu *cpu, const struct op *op)
{
    FOLLOW(0);
}

const struct op *exec_leave(struct cpu *cpu, const struct op *op)
{
    return leave_to(cpu, cpu->block_rip + op->offset);
}

const struct op *exec_jump(struct cpu *cpu, const struct op *op)
{
    FOLLOW(1);
}

#define JCC(number)                                                            \
    static const struct op *jcc_##number(struct cpu *cpu, const struct op *op) \
    {                                                                          \
        if (condition_holds(cpu->flags, number))                               \
            FOLLOW(1);                                                         \
        FOLLOW(0);                                                             \
    }

/* clang-format off */
#define ALL_CONDITIONS(MACRO)                                                               \
    MACRO(0) MACRO(1) MACRO(2) MACRO(3) MACRO(4) MACRO(5) MACRO(6) MACRO(7) MACRO(8) MACRO(9) \
    MACRO(10) MACRO(11) MACRO(12) MACRO(13) MACRO(14) MACRO(15)
/* clang-format on */

ALL_CONDITIONS(JCC)
#define JCC_NAME(number) jcc_##number,
const op_exec exec_jcc[16] = {ALL_CONDITIONS(JCC_NAME)};

static inline const struct op *follow_indirect(
    struct cpu *cpu, const struct op *op, uint64_t target)
{
    struct block *block = find_target(cpu, target);
    if (UNLIKELY(!block))
        return leave_branch(cpu, op, target);
    int64_t left = cpu->countdown - block->entry_count;
    if (UNLIKELY(left < 0))
        return leave_to(cpu, target);
    cpu->countdown = left;
    cpu->block_rip = target;
    cpu->running = block;
    DISPATCH(block->ops);
}

static inline bool canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

#define PUSH_RETURN_ADDRESS(bits)                                                         \
    do {                                                                                  \
        uint##bits##_t pointer_ = (uint##bits##_t)(cpu->s.gpr[RSP] - bits / 8);           \
        uint8_t *host_ = direct(cpu, ACCESS_WRITE, pointer_, bits / 8);                   \
        uint##bits##_t back_ = (uint##bits##_t)(cpu->block_rip + (uint64_t)op->delta[0]); \
        if (UNLIKELY(!host_))                                                             \
            return exec_generic_end(cpu, op);                                             \
        memcpy(host_, &back_, sizeof back_);                                              \
        cpu->s.gpr[RSP] = pointer_;                                                       \
    } while (0)

/* Of the mode's natural width: 8 bytes in 64-bit mode, 4 in flat 32-bit code. A target that is not
 * canonical is found before anything is pushed. */
#define TRANSFERS(bits)                                                                  \
    const struct op *exec_call_##bits(struct cpu *cpu, const struct op *op)              \
    {                                                                                    \
        if (UNLIKELY(bits == 64 && !canonical(cpu->block_rip + (uint64_t)op->delta[1]))) \
            return exec_generic_end(cpu, op);                                            \
        PUSH_RETURN_ADDRESS(bits);                                                       \
        FOLLOW(1);                                                                       \
    }                                                                                    \
    const struct op *exec_call_reg_##bits(struct cpu *cpu, const struct op *op)          \
    {                                                                                    \
        uint##bits##_t target = REG(uint##bits##_t, op->rm);                             \
        if (UNLIKELY(bits == 64 && !canonical(target)))                                  \
            return exec_generic_end(cpu, op);                                            \
        PUSH_RETURN_ADDRESS(bits);                                                       \
        return follow_indirect(cpu, op, target);                                         \
    }                                                                                    \
    const struct op *exec_jump_reg_##bits(struct cpu *cpu, const struct op *op)          \
    {                                                                                    \
        return follow_indirect(cpu, op, REG(uint##bits##_t, op->rm));                    \
    }                                                                                    \
    const struct op *exec_return_##bits(struct cpu *cpu, const struct op *op)            \
    {                                                                                    \
        uint##bits##_t pointer = (uint##bits##_t)cpu->s.gpr[RSP], target;                \
        const uint8_t *host = direct(cpu, ACCESS_READ, pointer, bits / 8);               \
        if (UNLIKELY(!host))                                                             \
            return exec_generic_end(cpu, op);                                            \
        memcpy(&target, host, sizeof target);                                            \
        if (UNLIKELY(bits == 64 && !canonical(target)))                                  \
            return exec_generic_end(cpu, op);                                            \
        cpu->s.gpr[RSP] = (uint##bits##_t)(pointer + bits / 8 + op->immediate);          \
        return follow_indirect(cpu, op, target);                                         \
    }                                                                                    \
    const struct op *exec_call_mem_##bits(struct cpu *cpu, const struct op *op)          \
    {                                                                                    \
        const uint8_t *host = direct(cpu, ACCESS_READ, op_address(cpu, op), bits / 8);   \
        uint##bits##_t target;                                                           \
        if (UNLIKELY(!host))                                                             \
            return exec_generic_end(cpu, op);                                            \
        memcpy(&target, host, sizeof target);                                            \
        if (UNLIKELY(bits == 64 && !canonical(target)))                                  \
            return exec_generic_end(cpu, op);                                            \
        PUSH_RETURN_ADDRESS(bits);                                                       \
        return follow_indirect(cpu, op, target);                                         \
    }                                                                                    \
    const struct op *exec_jump_mem_##bits(struct cpu *cpu, const struct op *op)          \
    {                                                                                    \
        const uint8_t *host = direct(cpu, ACCESS_READ, op_address(cpu, op), bits / 8);   \
        uint##bits##_t target;                                                           \
        if (UNLIKELY(!host))                                                             \
            return exec_generic_end(cpu, op);                                            \
        memcpy(&target, host, sizeof target);                                            \
        return follow_indirect(cpu, op, target);                                         \
    }
TRANSFERS(32)
TRANSFERS(64)
