/* The opcode tables behind decode.c. */
#ifndef VMM_CPU_DECODE_TABLE_H
#define VMM_CPU_DECODE_TABLE_H

#include "vmm/cpu/cpu.h"

/* How an opcode is encoded. */
enum opcode_form {
    FORM_MODRM = 1 << 0,
    FORM_BYTE = 1 << 1,        /* operand size 1 */
    FORM_IMM8 = 1 << 2,        /* sign-extended byte */
    FORM_IMM8U = 1 << 3,       /* zero-extended byte */
    FORM_IMM16 = 1 << 4,       /* zero-extended */
    FORM_IMMZ = 1 << 5,        /* 2 or 4 bytes by operand size, sign-extended */
    FORM_IMMV = 1 << 6,        /* 2, 4 or 8 bytes by operand size */
    FORM_MOFFS = 1 << 7,       /* absolute offset of the address size */
    FORM_FAR = 1 << 8,         /* offset, then selector */
    FORM_EXTRA8 = 1 << 9,      /* a second immediate byte (ENTER) */
    FORM_LOW = 1 << 10,        /* register in the opcode's low bits: becomes rm */
    FORM_SEGMENT = 1 << 11,    /* segment register in opcode bits 3-5: becomes reg */
    FORM_DEFAULT64 = 1 << 12,  /* operand size 8 in 64-bit mode unless 66 */
    FORM_NATURAL = 1 << 13,    /* operand size 8 in 64-bit mode, else 4 */
    FORM_MAX32 = 1 << 14,      /* REX.W leaves the operand size at 4 */
    FORM_NO64 = 1 << 15,       /* #UD in 64-bit mode */
    FORM_ENDS = 1 << 16,       /* ends a block */
    FORM_ENDS_REP = 1 << 17,   /* ends a block when repeated */
    FORM_LOCKABLE = 1 << 18,   /* LOCK allowed with a memory destination */
    FORM_MEMORY = 1 << 19,     /* mod=3 is #UD */
    FORM_REGISTER = 1 << 20,   /* only mod=3 */
    FORM_IGNORE_MOD = 1 << 21, /* rm is a register whatever mod says */
    FORM_GROUP = 1 << 22,      /* `group` chooses by ModRM.reg */
    FORM_SIMD = 1 << 23,       /* simd_handler() knows */
    FORM_BRANCH = 1 << 24,     /* near: in 64-bit mode Intel ignores 66 */
};

struct opcode {
    insn_handler handler; /* NULL: no such instruction */
    uint32_t form;
    const struct opcode *group; /* eight entries; their form adds to this one */
};

extern const struct opcode opcodes_primary[256];
extern const struct opcode opcodes_0f[256];
/* The CRC32 instruction, with F2 in map 0F38 at F0 and F1. */
extern const struct opcode opcodes_crc32[2];

void op_undefined(struct cpu *cpu, const struct insn *insn);
void op_too_long(struct cpu *cpu, const struct insn *insn);

#endif
