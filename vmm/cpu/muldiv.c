#include "vmm/cpu/flags.h"
#include "vmm/cpu/integer.h"
#include "vmm/cpu/operand.h"

/* MUL, IMUL, DIV, IDIV of RDX:RAX (or AX) and `right`: RAX is where the flags travel too, hence the
 * moves, which leave flags alone. */
#define HOST_WIDE_1(text, modifier, low, high, right, flags)                                \
    __asm__("movzwl %w[f], %%eax\n\t" LOAD_FLAGS "movq %[lo], %%rax\n\t" text " %" modifier \
            "[b]\n\tmovq %%rax, %[lo]" STORE_FLAGS "\n\tmovw %%ax, %w[f]"                   \
            : [lo] "+&r"(low), "+&d"(high), [f] "+&r"(flags)                                \
            : [b] "r"(right)                                                                \
            : "rax", "cc")
#define HOST_WIDE(text, size, low, high, right, flags)           \
    do {                                                         \
        switch (size) {                                          \
        case 1:                                                  \
            HOST_WIDE_1(text "b", "b", low, high, right, flags); \
            break;                                               \
        case 2:                                                  \
            HOST_WIDE_1(text "w", "w", low, high, right, flags); \
            break;                                               \
        case 4:                                                  \
            HOST_WIDE_1(text "l", "k", low, high, right, flags); \
            break;                                               \
        default:                                                 \
            HOST_WIDE_1(text "q", "q", low, high, right, flags); \
            break;                                               \
        }                                                        \
    } while (0)

static void wide_result(struct cpu *cpu, unsigned size, uint64_t low, uint64_t high, uint32_t flags)
{
    if (size == 1) {
        gpr_write(cpu, RAX, 2, low);
    } else {
        gpr_write(cpu, RAX, size, low);
        gpr_write(cpu, RDX, size, high);
    }
    cpu->flags = (uint16_t)flags;
}

void op_mul(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    uint64_t right = rm_read(cpu, insn, size), low = cpu->s.gpr[RAX], high = cpu->s.gpr[RDX];
    uint32_t flags = cpu->flags;
    HOST_WIDE("mul", size, low, high, right, flags);
    wide_result(cpu, size, low, high, flags);
}

void op_imul(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    uint64_t right = rm_read(cpu, insn, size), low = cpu->s.gpr[RAX], high = cpu->s.gpr[RDX];
    uint32_t flags = cpu->flags;
    HOST_WIDE("imul", size, low, high, right, flags);
    wide_result(cpu, size, low, high, flags);
}

static void imul_to_reg(struct cpu *cpu, const struct insn *insn, uint64_t left, uint64_t right)
{
    unsigned size = insn->operand_size;
    uint32_t flags = cpu->flags;
    HOST_BINARY_WIDE("imul", size, left, right, flags);
    gpr_write(cpu, insn->reg, size, left);
    cpu->flags = (uint16_t)flags;
}

void op_imul_reg_rm(struct cpu *cpu, const struct insn *insn)
{
    uint64_t right = rm_read(cpu, insn, insn->operand_size);
    imul_to_reg(cpu, insn, cpu->s.gpr[insn->reg], right);
}

void op_imul_reg_imm(struct cpu *cpu, const struct insn *insn)
{
    imul_to_reg(cpu, insn, rm_read(cpu, insn, insn->operand_size), insn->immediate);
}

/* The dividend, zero-extended: AX, DX:AX, EDX:EAX or RDX:RAX. */
static unsigned __int128 dividend(const struct cpu *cpu, unsigned size)
{
    uint64_t mask = size_mask(size);
    if (size == 1)
        return cpu->s.gpr[RAX] & 0xffff;
    return (unsigned __int128)(cpu->s.gpr[RDX] & mask) << (8 * size) | (cpu->s.gpr[RAX] & mask);
}

void op_div(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    uint64_t right = rm_read(cpu, insn, size), low = cpu->s.gpr[RAX], high = cpu->s.gpr[RDX];
    uint32_t flags = cpu->flags;
    if ((uint64_t)(dividend(cpu, size) >> (8 * size)) >= right)
        cpu_raise(cpu, VECTOR_DE);
    HOST_WIDE("div", size, low, high, right, flags);
    wide_result(cpu, size, low, high, flags);
}

/* Does left / right fit in `size` bytes? */
static bool signed_quotient_fits(__int128 left, int64_t right, unsigned size)
{
    if (right == 0)
        return false;
    unsigned __int128 magnitude = left < 0 ? -(unsigned __int128)left : (unsigned __int128)left;
    uint64_t divisor = right < 0 ? -(uint64_t)right : (uint64_t)right;
    unsigned __int128 quotient = magnitude / divisor;
    unsigned __int128 limit = (unsigned __int128)1 << (8 * size - 1);
    return (left < 0) != (right < 0) ? quotient <= limit : quotient < limit;
}

void op_idiv(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size, unused = 128 - 16 * size;
    uint64_t right = rm_read(cpu, insn, size), low = cpu->s.gpr[RAX], high = cpu->s.gpr[RDX];
    uint32_t flags = cpu->flags;
    __int128 left = (__int128)(dividend(cpu, size) << unused) >> unused;
    if (!signed_quotient_fits(left, (int64_t)sign_extend(right, size), size))
        cpu_raise(cpu, VECTOR_DE);
    HOST_WIDE("idiv", size, low, high, right, flags);
    wide_result(cpu, size, low, high, flags);
}
