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
#define ALL_CONDITIONS(MACRO)                                                             \
    MACRO(0)                                                                              \
    MACRO(1)                                                                              \
    MACRO(2)                                                                              \
    MACRO(3)                                                                              \
    MACRO(4)                                                                              \
    MACRO(5)                                                                              \
    MACRO(6) MACRO(7) MACRO(8) MACRO(9) MACRO(10) MACRO(11) MACRO(12) MACRO(13) MACRO(14) \
        MACRO(15)
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

/* The rest is for 64-bit mode only. */
#define PUSH_RETURN_ADDRESS()                                     \
    do {                                                          \
        uint64_t pointer_ = cpu->s.gpr[RSP] - 8;                  \
        uint8_t *host_ = direct(cpu, ACCESS_WRITE, pointer_, 8);  \
        uint64_t back_ = cpu->block_rip + (uint64_t)op->delta[0]; \
        if (UNLIKELY(!host_))                                     \
            return exec_generic_end(cpu, op);                     \
        memcpy(host_, &back_, 8);                                 \
        cpu->s.gpr[RSP] = pointer_;                               \
    } while (0)

static inline bool canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

const struct op *exec_call(struct cpu *cpu, const struct op *op)
{
    if (UNLIKELY(!canonical(cpu->block_rip + (uint64_t)op->delta[1])))
        return exec_generic_end(cpu, op);
    PUSH_RETURN_ADDRESS();
    FOLLOW(1);
}

const struct op *exec_call_reg(struct cpu *cpu, const struct op *op)
{
    uint64_t target = REG(uint64_t, op->rm);
    if (UNLIKELY(!canonical(target)))
        return exec_generic_end(cpu, op);
    PUSH_RETURN_ADDRESS();
    return follow_indirect(cpu, op, target);
}

const struct op *exec_jump_reg(struct cpu *cpu, const struct op *op)
{
    return follow_indirect(cpu, op, REG(uint64_t, op->rm));
}

const struct op *exec_return(struct cpu *cpu, const struct op *op)
{
    const uint8_t *host = direct(cpu, ACCESS_READ, cpu->s.gpr[RSP], 8);
    uint64_t target;
    if (UNLIKELY(!host))
        return exec_generic_end(cpu, op);
    memcpy(&target, host, 8);
    if (UNLIKELY(!canonical(target)))
        return exec_generic_end(cpu, op);
    cpu->s.gpr[RSP] += 8 + op->immediate;
    return follow_indirect(cpu, op, target);
}

const struct op *exec_call_mem(struct cpu *cpu, const struct op *op)
{
    const uint8_t *host = direct(cpu, ACCESS_READ, op_address(cpu, op), 8);
    uint64_t target;
    if (UNLIKELY(!host))
        return exec_generic_end(cpu, op);
    memcpy(&target, host, 8);
    if (UNLIKELY(!canonical(target)))
        return exec_generic_end(cpu, op);
    PUSH_RETURN_ADDRESS();
    return follow_indirect(cpu, op, target);
}

const struct op *exec_jump_mem(struct cpu *cpu, const struct op *op)
{
    const uint8_t *host = direct(cpu, ACCESS_READ, op_address(cpu, op), 8);
    uint64_t target;
    if (UNLIKELY(!host))
        return exec_generic_end(cpu, op);
    memcpy(&target, host, 8);
    return follow_indirect(cpu, op, target);
}
