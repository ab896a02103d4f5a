/* Multiplication and division. */
#include "vmm/cpu/integer.h"
#include "vmm/cpu/operand.h"
#include "vmm/cpu/vendor.h"

static void wide_result(struct cpu *cpu, unsigned size, uint64_t low, uint64_t high)
{
    if (size == 1) {
        gpr_write(cpu, RAX, 2, (low & 0xff) | (high & 0xff) << 8);
    } else {
        gpr_write(cpu, RAX, size, low);
        gpr_write(cpu, RDX, size, high);
    }
}

/* Multiplies into a low and a high half; does the product need both? */
static bool multiply(
    bool is_signed, unsigned size, uint64_t left, uint64_t right, uint64_t *low, uint64_t *high)
{
    unsigned bits = 8 * size;
    if (is_signed) {
        __int128 product =
            (__int128)(int64_t)sign_extend(left, size) * (int64_t)sign_extend(right, size);
        *low = (uint64_t)product & size_mask(size);
        *high = (uint64_t)(product >> bits) & size_mask(size);
        return product != (__int128)(int64_t)sign_extend(*low, size);
    }
    unsigned __int128 product =
        (unsigned __int128)(left & size_mask(size)) * (right & size_mask(size));
    *low = (uint64_t)product & size_mask(size);
    *high = (uint64_t)(product >> bits);
    return *high != 0;
}

static void multiply_accumulator(struct cpu *cpu, const struct insn *insn, bool is_signed)
{
    unsigned size = insn->operand_size;
    uint64_t right = rm_read(cpu, insn, size), low, high;
    bool overflow = multiply(is_signed, size, cpu->s.gpr[RAX], right, &low, &high);
    wide_result(cpu, size, low, high);
    cpu->flags = vendor_multiply_flags(cpu_is_intel(cpu), low, 8 * size, overflow, cpu->flags);
}

void op_mul(struct cpu *cpu, const struct insn *insn)
{
    multiply_accumulator(cpu, insn, false);
}

void op_imul(struct cpu *cpu, const struct insn *insn)
{
    multiply_accumulator(cpu, insn, true);
}

static void imul_to_reg(struct cpu *cpu, const struct insn *insn, uint64_t left, uint64_t right)
{
    unsigned size = insn->operand_size;
    uint64_t low, high;
    bool overflow = multiply(true, size, left, right, &low, &high);
    gpr_write(cpu, insn->reg, size, low);
    cpu->flags = vendor_multiply_flags(cpu_is_intel(cpu), low, 8 * size, overflow, cpu->flags);
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
    uint64_t right = rm_read(cpu, insn, size);
    unsigned __int128 left = dividend(cpu, size);
    if ((uint64_t)(left >> (8 * size)) >= right)
        cpu_raise(cpu, VECTOR_DE);
    uint64_t quotient = (uint64_t)(left / right);
    wide_result(cpu, size, quotient, (uint64_t)left - quotient * right);
    cpu->flags = vendor_divide_flags(cpu_is_intel(cpu), cpu->flags);
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
    uint64_t right = sign_extend(rm_read(cpu, insn, size), size);
    __int128 left = (__int128)(dividend(cpu, size) << unused) >> unused;
    if (!signed_quotient_fits(left, (int64_t)right, size))
        cpu_raise(cpu, VECTOR_DE);
    uint64_t quotient = (uint64_t)(left / (int64_t)right);
    wide_result(cpu, size, quotient, (uint64_t)left - quotient * right);
    cpu->flags = vendor_divide_flags(cpu_is_intel(cpu), cpu->flags);
}
