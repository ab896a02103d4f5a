/* Instructions on bits and bytes: BT and its kin, BSF, BSR, POPCNT, BSWAP, CRC32. */
#include "vmm/cpu/integer.h"
#include "vmm/cpu/operand.h"
#include "vmm/cpu/vendor.h"

enum { BIT_TEST, BIT_SET, BIT_RESET, BIT_COMPLEMENT };

/* CF is the bit; the other flags are kept, on both makers' processors. */
static uint64_t bit_operation(struct cpu *cpu, unsigned operation, uint64_t value, uint64_t bit)
{
    uint64_t mask = 1ull << bit;
    cpu->flags = (uint16_t)((cpu->flags & ~KEPT_CF) | (value & mask ? KEPT_CF : 0));
    switch (operation) {
    case BIT_TEST:
        return value;
    case BIT_SET:
        return value | mask;
    case BIT_RESET:
        return value & ~mask;
    default:
        return value ^ mask;
    }
}

/* `byte_offset` is added to a memory operand's address. */
static void bit_test(struct cpu *cpu, const struct insn *insn, unsigned operation, uint64_t bit,
    uint64_t byte_offset)
{
    unsigned size = insn->operand_size;
    uint64_t linear, value;

    bit &= 8 * size - 1;
    if (!(insn->flags & INSN_MEMORY)) {
        value = reg_read(cpu, insn, insn->rm, size);
        value = bit_operation(cpu, operation, value, bit);
        if (operation != BIT_TEST)
            gpr_write(cpu, insn->rm, size, value);
        return;
    }
    uint64_t offset = (insn_offset_raw(cpu, insn) + byte_offset) & size_mask(insn->address_size);
    if (operation == BIT_TEST) {
        linear = linear_address(cpu, insn->segment, offset, size, ACCESS_READ);
        bit_operation(cpu, operation, memory_load(cpu, linear, size), bit);
        return;
    }
    linear = linear_address(cpu, insn->segment, offset, size, ACCESS_WRITE);
    memory_probe_write(cpu, linear, size);
    value = memory_load(cpu, linear, size);
    value = bit_operation(cpu, operation, value, bit);
    memory_store(cpu, linear, size, value);
}

void op_bit_test_reg(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size, shift = size == 2 ? 4 : size == 4 ? 5 : 6;
    uint64_t bit = reg_read(cpu, insn, insn->reg, size);
    int64_t word = (int64_t)sign_extend(bit, size) >> shift;
    bit_test(cpu, insn, insn->opcode >> 3 & 3, bit, (uint64_t)word * size);
}

void op_bit_test_imm(struct cpu *cpu, const struct insn *insn)
{
    bit_test(cpu, insn, insn->modrm >> 3 & 3, insn->immediate, 0);
}

static void scan(struct cpu *cpu, const struct insn *insn, bool reverse)
{
    unsigned size = insn->operand_size, index = 0;
    uint64_t value = rm_read(cpu, insn, size);
    if (value) {
        index = (unsigned)(reverse ? 63 - __builtin_clzll(value) : __builtin_ctzll(value));
        gpr_write(cpu, insn->reg, size, index);
    } else {
        cpu->s.gpr[insn->reg] = vendor_scan_of_zero(cpu->s.gpr[insn->reg], size);
    }
    cpu->flags = vendor_scan_flags(value, index);
}

void op_bsf(struct cpu *cpu, const struct insn *insn)
{
    scan(cpu, insn, false);
}

void op_bsr(struct cpu *cpu, const struct insn *insn)
{
    scan(cpu, insn, true);
}

void op_popcnt(struct cpu *cpu, const struct insn *insn)
{
    uint64_t value = rm_read(cpu, insn, insn->operand_size);
    gpr_write(cpu, insn->reg, insn->operand_size, (uint64_t)__builtin_popcountll(value));
    cpu->flags = value ? 0 : KEPT_ZF;
}

void op_bswap(struct cpu *cpu, const struct insn *insn)
{
    uint64_t *gpr = &cpu->s.gpr[insn->rm];
    if (insn->operand_size == 8)
        *gpr = __builtin_bswap64(*gpr);
    else if (insn->operand_size == 4)
        *gpr = __builtin_bswap32((uint32_t)*gpr);
    else
        *gpr = vendor_swap_word(*gpr);
}

void op_crc32(struct cpu *cpu, const struct insn *insn)
{
    uint64_t value = rm_read(cpu, insn, insn->operand_size);
    uint64_t crc = cpu->s.gpr[insn->reg] & 0xffffffff;
    switch (insn->operand_size) {
    case 1:
        __asm__("crc32b %b1, %k0" : "+r"(crc) : "r"(value));
        break;
    case 2:
        __asm__("crc32w %w1, %k0" : "+r"(crc) : "r"(value));
        break;
    case 4:
        __asm__("crc32l %k1, %k0" : "+r"(crc) : "r"(value));
        break;
    default:
        __asm__("crc32q %q1, %q0" : "+r"(crc) : "r"(value));
        break;
    }
    cpu->s.gpr[insn->reg] = crc;
}
