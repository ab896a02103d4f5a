#include "vmm/cpu/flags.h"
#include "vmm/cpu/integer.h"
#include "vmm/cpu/operand.h"

static void shift(struct cpu *cpu, const struct insn *insn, uint8_t count)
{
    unsigned size = insn->operand_size;
    struct rm_update update = rm_begin(cpu, insn, size);
    uint32_t flags = cpu->flags;
    uint64_t value = update.value;

    switch (insn->modrm >> 3 & 7) {
    case 0:
        HOST_SHIFT("rol", size, value, count, flags);
        break;
    case 1:
        HOST_SHIFT("ror", size, value, count, flags);
        break;
    case 2:
        HOST_SHIFT("rcl", size, value, count, flags);
        break;
    case 3:
        HOST_SHIFT("rcr", size, value, count, flags);
        break;
    case 5:
        HOST_SHIFT("shr", size, value, count, flags);
        break;
    case 7:
        HOST_SHIFT("sar", size, value, count, flags);
        break;
    default:
        HOST_SHIFT("shl", size, value, count, flags);
        break;
    }
    update.value = value;
    rm_end(cpu, insn, size, &update);
    cpu->flags = (uint16_t)flags;
}

void op_shift_imm(struct cpu *cpu, const struct insn *insn)
{
    shift(cpu, insn, (uint8_t)insn->immediate);
}

/* The host's shift by one has an encoding of its own, whose OF is always defined; by CL = 1 it is
 * the same. */
void op_shift_1(struct cpu *cpu, const struct insn *insn)
{
    shift(cpu, insn, 1);
}

void op_shift_cl(struct cpu *cpu, const struct insn *insn)
{
    shift(cpu, insn, (uint8_t)cpu->s.gpr[RCX]);
}

#define HOST_DOUBLE_SHIFT_1(text, modifier, value, right, count, flags)             \
    __asm__(LOAD_FLAGS text " %%cl, %" modifier "[b], %" modifier "[a]" STORE_FLAGS \
            : [a] "+r"(value), "+a"(flags)                                          \
            : [b] "r"(right), "c"(count)                                            \
            : "cc")
#define HOST_DOUBLE_SHIFT(text, size, value, right, count, flags)           \
    do {                                                                    \
        switch (size) {                                                     \
        case 2:                                                             \
            HOST_DOUBLE_SHIFT_1(text "w", "w", value, right, count, flags); \
            break;                                                          \
        case 4:                                                             \
            HOST_DOUBLE_SHIFT_1(text "l", "k", value, right, count, flags); \
            break;                                                          \
        default:                                                            \
            HOST_DOUBLE_SHIFT_1(text "q", "q", value, right, count, flags); \
            break;                                                          \
        }                                                                   \
    } while (0)

static void double_shift(struct cpu *cpu, const struct insn *insn, bool left, uint8_t count)
{
    unsigned size = insn->operand_size;
    struct rm_update update = rm_begin(cpu, insn, size);
    uint64_t right = reg_read(cpu, insn, insn->reg, size);
    uint32_t flags = cpu->flags;

    if (left)
        HOST_DOUBLE_SHIFT("shld", size, update.value, right, count, flags);
    else
        HOST_DOUBLE_SHIFT("shrd", size, update.value, right, count, flags);
    rm_end(cpu, insn, size, &update);
    cpu->flags = (uint16_t)flags;
}

void op_shld_imm(struct cpu *cpu, const struct insn *insn)
{
    double_shift(cpu, insn, true, (uint8_t)insn->immediate);
}

void op_shld_cl(struct cpu *cpu, const struct insn *insn)
{
    double_shift(cpu, insn, true, (uint8_t)cpu->s.gpr[RCX]);
}

void op_shrd_imm(struct cpu *cpu, const struct insn *insn)
{
    double_shift(cpu, insn, false, (uint8_t)insn->immediate);
}

void op_shrd_cl(struct cpu *cpu, const struct insn *insn)
{
    double_shift(cpu, insn, false, (uint8_t)cpu->s.gpr[RCX]);
}
