/* The opcode tables of decode.c: one row an encoding. */
#ifndef VMM_CPU_DECODE_TABLE_H
#define VMM_CPU_DECODE_TABLE_H

#include "vmm/cpu/blocks.h"

/* How an opcode is encoded. */
enum opcode_form {
    FORM_MODRM = 1 << 0,
    FORM_BYTE = 1 << 1,             /* operand size 1 */
    FORM_IMM8 = 1 << 2,             /* sign-extended byte */
    FORM_IMM8U = 1 << 3,            /* zero-extended byte */
    FORM_IMM16 = 1 << 4,            /* zero-extended */
    FORM_IMMZ = 1 << 5,             /* 2 or 4 bytes by operand size, sign-extended */
    FORM_IMMV = 1 << 6,             /* 2, 4 or 8 bytes by operand size */
    FORM_MOFFS = 1 << 7,            /* absolute offset of the address size */
    FORM_FAR = 1 << 8,              /* offset, then selector */
    FORM_EXTRA8 = 1 << 9,           /* a second immediate byte (ENTER) */
    FORM_LOW = 1 << 10,             /* register in the opcode's low bits: becomes rm */
    FORM_SEGMENT = 1 << 11,         /* segment register in opcode bits 3-5: becomes reg */
    FORM_DEFAULT64 = 1 << 12,       /* operand size 8 in 64-bit mode unless 66 */
    FORM_NATURAL = 1 << 13,         /* operand size 8 in 64-bit mode, else 4 */
    FORM_MAX32 = 1 << 14,           /* REX.W leaves the operand size at 4 */
    FORM_NO64 = 1 << 15,            /* #UD in 64-bit mode */
    FORM_ENDS = 1 << 16,            /* ends a block */
    FORM_ENDS_REP = 1 << 17,        /* ends a block when repeated */
    FORM_LOCKABLE = 1 << 18,        /* LOCK allowed with a memory destination */
    FORM_MEMORY = 1 << 19,          /* mod=3 is #UD */
    FORM_REGISTER = 1 << 20,        /* only mod=3 */
    FORM_IGNORE_MOD = 1 << 21,      /* rm is a register whatever mod says */
    FORM_GROUP = 1 << 22,           /* `group` chooses by ModRM.reg */
    FORM_SIMD = 1 << 23,            /* simd_handler() knows */
    FORM_BRANCH = 1 << 24,          /* near: in 64-bit mode Intel ignores 66 */
    FORM_GROUP_REGISTERS = 1 << 25, /* with mod=3 ModRM.reg and rm choose in `group` */
    FORM_ONE = 1 << 26,             /* the immediate is 1, without a byte */
};

/* What else depends on which instruction it is: others ask these, never for a certain handler. */
enum insn_trait {
    TRAIT_UNDEFINED = 1 << 0, /* raises #UD whatever the state */
    TRAIT_NO_ACCESS = 1 << 1, /* names memory by ModRM without an access to it */
    TRAIT_EXCHANGE = 1 << 2,  /* locks memory without LOCK */
    TRAIT_PORT = 1 << 3,      /* accesses a port: the immediate or DX */
    TRAIT_INTERRUPT = 1 << 4, /* a software interrupt: one that is taken clears TF and is no trap */
    TRAIT_DEBUG = 1 << 5,     /* raises #DB itself */
    TRAIT_LOADS_TF = 1 << 6,  /* a trap only if TF is still set after it */
};

struct translation_form; /* forms.h */

/* A row: all that is known about an instruction. */
struct opcode {
    insn_handler handler; /* NULL: no such instruction, unless FORM_SIMD or FORM_GROUP */
    uint32_t form;        /* enum opcode_form */
    uint16_t traits;      /* enum insn_trait */
    /* The dispatcher's form (forms.h); NULL: the handler does everything. */
    op_exec (*fast)(const struct cpu *cpu, struct op *op, bool code64);
    const struct translation_form *native; /* its translations, likewise */
    /* Eight rows by ModRM.reg, and 64 more with FORM_GROUP_REGISTERS; their form adds to this. */
    const struct opcode *group;
};

/* Rows that are not found by the opcode alone (decode.c). */
enum special_opcode {
    SPECIAL_UNDEFINED,
    SPECIAL_TOO_LONG,
    SPECIAL_MOVSXD,
    SPECIAL_MOVSXD16, /* Intel, with 66 */
    SPECIAL_NOP,
    SPECIAL_PAUSE,
    SPECIAL_FENCE,
    SPECIAL_CLFLUSH,
    SPECIAL_0F38,
    SPECIAL_0F3A,
    SPECIALS
};
extern const struct opcode opcodes_special[SPECIALS];

static inline bool insn_has_trait(const struct insn *insn, enum insn_trait trait)
{
    return insn->row->traits & trait;
}

extern const struct opcode opcodes_primary[256];
extern const struct opcode opcodes_0f[256];
/* The CRC32 instruction, with F2 in map 0F38 at F0 and F1. */
extern const struct opcode opcodes_crc32[2];

void op_undefined(struct cpu *cpu, const struct insn *insn);
void op_too_long(struct cpu *cpu, const struct insn *insn);

#endif
