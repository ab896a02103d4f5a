/*
 * The host runs in 64-bit mode, where these do not exist; algorithms from the Intel SDM, volume 2.
 * Undefined flags are with AMD those of the addition or subtraction that the instruction makes: for
 * AAA and AAS the one on AX, before AL is masked. Intel clears OF, and AF and CF where the manual
 * does not define them; PF, ZF and SF are of AL as it is after.
 */
#include "vmm/cpu/integer.h"
#include "vmm/cpu/operand.h"

static void set_result_flags(struct cpu *cpu, uint8_t al, bool carry, bool adjust, bool overflow)
{
    uint64_t flags = (carry ? FLAG_CF : 0) | (adjust ? FLAG_AF : 0) | (overflow ? FLAG_OF : 0);
    if (!al)
        flags |= FLAG_ZF;
    if (al & 0x80)
        flags |= FLAG_SF;
    if (!__builtin_parity(al))
        flags |= FLAG_PF;
    cpu_set_arithmetic(cpu, flags);
}

static void decimal_adjust(struct cpu *cpu, bool subtract)
{
    uint64_t flags = cpu_get_arithmetic(cpu);
    uint8_t old = (uint8_t)cpu->s.gpr[RAX], al = old;
    bool carry = false, adjust = false;

    if ((al & 0xf) > 9 || flags & FLAG_AF) {
        carry = flags & FLAG_CF || (subtract ? al < 6 : al > 0xf9);
        al = (uint8_t)(subtract ? al - 6 : al + 6);
        adjust = true;
    }
    if (old > 0x99 || flags & FLAG_CF) {
        al = (uint8_t)(subtract ? al - 0x60 : al + 0x60);
        carry = true;
    }
    gpr_write(cpu, RAX, 1, al);
    bool overflow = (subtract ? old & ~al : al & ~old) & 0x80;
    set_result_flags(cpu, al, carry, adjust, overflow && !cpu_is_intel(cpu));
}

void op_daa(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    decimal_adjust(cpu, false);
}

void op_das(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    decimal_adjust(cpu, true);
}

static void ascii_adjust(struct cpu *cpu, bool subtract)
{
    uint64_t flags = cpu_get_arithmetic(cpu);
    uint16_t old = (uint16_t)cpu->s.gpr[RAX], ax = old;
    bool adjust = (ax & 0xf) > 9 || flags & FLAG_AF;

    if (adjust)
        ax = (uint16_t)(subtract ? ax - 0x106 : ax + 0x106);
    gpr_write(cpu, RAX, 2, ax & 0xff0f);
    if (cpu_is_intel(cpu)) {
        set_result_flags(cpu, ax & 0xf, adjust, adjust, false);
        return;
    }
    flags = adjust ? FLAG_CF | FLAG_AF : 0;
    flags |= ax ? 0 : FLAG_ZF;
    flags |= ax & 0x8000 ? FLAG_SF : 0;
    flags |= (subtract ? old & ~ax : ax & ~old) & 0x8000 ? FLAG_OF : 0;
    flags |= __builtin_parity(ax & 0xff) ? 0 : FLAG_PF;
    cpu_set_arithmetic(cpu, flags);
}

void op_aaa(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    ascii_adjust(cpu, false);
}

void op_aas(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    ascii_adjust(cpu, true);
}

void op_aam(struct cpu *cpu, const struct insn *insn)
{
    uint8_t base = (uint8_t)insn->immediate, al = (uint8_t)cpu->s.gpr[RAX];
    if (!base)
        cpu_raise(cpu, VECTOR_DE);
    gpr_write(cpu, RAX, 2, (uint64_t)(al / base) << 8 | al % base);
    set_result_flags(cpu, (uint8_t)(al % base), false, false, false);
}

void op_aad(struct cpu *cpu, const struct insn *insn)
{
    uint64_t ax = cpu->s.gpr[RAX];
    uint8_t old = (uint8_t)ax, product = (uint8_t)((ax >> 8 & 0xff) * insn->immediate);
    uint8_t al = (uint8_t)(old + product);
    gpr_write(cpu, RAX, 2, al);
    /* Intel's processors have the addition's flags, too, but not when they are single-stepped. */
    bool cleared = cpu_is_intel(cpu) && cpu->s.rflags & FLAG_TF;
    set_result_flags(cpu, al, !cleared && al < old, !cleared && (al ^ old ^ product) & 0x10,
        !cleared && (al ^ old) & (al ^ product) & 0x80);
}

void op_salc(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    gpr_write(cpu, RAX, 1, cpu->flags & FLAG_CF << 8 ? 0xff : 0);
}
