#include "vmm/cpu/decode_table.h"

#include "vmm/cpu/integer.h"
#include "vmm/cpu/system.h"

#define M    FORM_MODRM
#define B    FORM_BYTE
#define IB   FORM_IMM8
#define IBU  FORM_IMM8U
#define IW   FORM_IMM16
#define IZ   FORM_IMMZ
#define D64  FORM_DEFAULT64
#define NO64 FORM_NO64
#define END  FORM_ENDS
#define NEAR (FORM_BRANCH | FORM_ENDS)
#define LOCK FORM_LOCKABLE
#define MEM  FORM_MEMORY
#define REG  FORM_REGISTER
#define LOW  FORM_LOW
#define SEG  FORM_SEGMENT

#define GROUP(form, table)                            \
    {                                                 \
        NULL, FORM_MODRM | FORM_GROUP | (form), table \
    }
#define EIGHT(first, handler, form)                                           \
    [first] = {handler, form, NULL}, [first + 1] = {handler, form, NULL},     \
    [first + 2] = {handler, form, NULL}, [first + 3] = {handler, form, NULL}, \
    [first + 4] = {handler, form, NULL}, [first + 5] = {handler, form, NULL}, \
    [first + 6] = {handler, form, NULL}, [first + 7] = {handler, form, NULL}
#define SIXTEEN(first, handler, form) EIGHT(first, handler, form), EIGHT(first + 8, handler, form)
/* 00-3F: the six encodings of an arithmetic operation. */
#define ALU(first, lock)                                                                         \
    [first] = {op_alu_rm_reg, M | B | (lock), NULL},                                             \
    [first + 1] = {op_alu_rm_reg, M | (lock), NULL}, [first + 2] = {op_alu_reg_rm, M | B, NULL}, \
    [first + 3] = {op_alu_reg_rm, M, NULL}, [first + 4] = {op_alu_acc_imm, B | IB, NULL},        \
    [first + 5] = {op_alu_acc_imm, IZ, NULL}

static const struct opcode group_alu[8] = {
    {op_alu_rm_imm, LOCK, NULL},
    {op_alu_rm_imm, LOCK, NULL},
    {op_alu_rm_imm, LOCK, NULL},
    {op_alu_rm_imm, LOCK, NULL},
    {op_alu_rm_imm, LOCK, NULL},
    {op_alu_rm_imm, LOCK, NULL},
    {op_alu_rm_imm, LOCK, NULL},
    {op_alu_rm_imm, 0, NULL},
};
static const struct opcode group_pop[8] = {{op_pop_rm, 0, NULL}};
static const struct opcode group_mov[8] = {{op_mov_rm_imm, 0, NULL}};
static const struct opcode group_unary8[8] = {
    {op_test_rm_imm, IB, NULL},
    {op_test_rm_imm, IB, NULL},
    {op_not, LOCK, NULL},
    {op_neg, LOCK, NULL},
    {op_mul, 0, NULL},
    {op_imul, 0, NULL},
    {op_div, 0, NULL},
    {op_idiv, 0, NULL},
};
static const struct opcode group_unary[8] = {
    {op_test_rm_imm, IZ, NULL},
    {op_test_rm_imm, IZ, NULL},
    {op_not, LOCK, NULL},
    {op_neg, LOCK, NULL},
    {op_mul, 0, NULL},
    {op_imul, 0, NULL},
    {op_div, 0, NULL},
    {op_idiv, 0, NULL},
};
static const struct opcode group_inc8[8] = {{op_inc, LOCK, NULL}, {op_dec, LOCK, NULL}};
static const struct opcode group_inc[8] = {
    {op_inc, LOCK, NULL},
    {op_dec, LOCK, NULL},
    {op_call_rm, D64 | NEAR, NULL},
    {op_call_far_memory, MEM | END, NULL},
    {op_jump_rm, D64 | NEAR, NULL},
    {op_jump_far_memory, MEM | END, NULL},
    {op_push_rm, D64, NULL},
};
static const struct opcode group_ldt[8] = {
    {op_sldt, 0, NULL},
    {op_str, 0, NULL},
    {op_lldt, 0, NULL},
    {op_ltr, 0, NULL},
    {op_verr, 0, NULL},
    {op_verw, 0, NULL},
};
/* 0F 01 with memory; the register forms are in opcodes_system_register. */
static const struct opcode group_system[8] = {
    {op_sgdt, MEM, NULL},
    {op_sidt, MEM, NULL},
    {op_lgdt, MEM, NULL},
    {op_lidt, MEM, NULL},
    {op_smsw, 0, NULL},
    {NULL, 0, NULL},
    {op_lmsw, END, NULL},
    {op_invlpg, MEM | END, NULL},
};
static const struct opcode group_bit[8] = {
    [4] = {op_bit_test_imm, 0, NULL},
    [5] = {op_bit_test_imm, LOCK, NULL},
    [6] = {op_bit_test_imm, LOCK, NULL},
    [7] = {op_bit_test_imm, LOCK, NULL},
};
static const struct opcode group_cmpxchg8b[8] = {[1] = {op_cmpxchg8b, MEM | LOCK, NULL}};

const struct opcode opcodes_primary[256] = {
    ALU(0x00, LOCK),
    ALU(0x08, LOCK),
    ALU(0x10, LOCK),
    ALU(0x18, LOCK),
    ALU(0x20, LOCK),
    ALU(0x28, LOCK),
    ALU(0x30, LOCK),
    ALU(0x38, 0),
    [0x06] = {op_push_segment, D64 | NO64 | SEG, NULL},
    [0x07] = {op_pop_segment, D64 | NO64 | SEG | END, NULL},
    [0x0e] = {op_push_segment, D64 | NO64 | SEG, NULL},
    [0x16] = {op_push_segment, D64 | NO64 | SEG, NULL},
    [0x17] = {op_pop_segment, D64 | NO64 | SEG | END, NULL},
    [0x1e] = {op_push_segment, D64 | NO64 | SEG, NULL},
    [0x1f] = {op_pop_segment, D64 | NO64 | SEG | END, NULL},
    [0x27] = {op_daa, NO64 | B, NULL},
    [0x2f] = {op_das, NO64 | B, NULL},
    [0x37] = {op_aaa, NO64 | B, NULL},
    [0x3f] = {op_aas, NO64 | B, NULL},
    EIGHT(0x40, op_inc, NO64 | LOW),
    EIGHT(0x48, op_dec, NO64 | LOW),
    EIGHT(0x50, op_push_reg, D64 | LOW),
    EIGHT(0x58, op_pop_reg, D64 | LOW),
    [0x60] = {op_pusha, NO64, NULL},
    [0x61] = {op_popa, NO64, NULL},
    [0x62] = {op_bound, NO64 | M | MEM, NULL},
    [0x63] = {op_arpl, M, NULL},
    [0x68] = {op_push_imm, D64 | IZ, NULL},
    [0x69] = {op_imul_reg_imm, M | IZ, NULL},
    [0x6a] = {op_push_imm, D64 | IB, NULL},
    [0x6b] = {op_imul_reg_imm, M | IB, NULL},
    [0x6c] = {op_ins, B | END, NULL},
    [0x6d] = {op_ins, FORM_MAX32 | END, NULL},
    [0x6e] = {op_outs, B | END, NULL},
    [0x6f] = {op_outs, FORM_MAX32 | END, NULL},
    SIXTEEN(0x70, op_jcc, D64 | IB | NEAR),
    [0x80] = GROUP(B | IB, group_alu),
    [0x81] = GROUP(IZ, group_alu),
    [0x82] = GROUP(B | IB | NO64, group_alu),
    [0x83] = GROUP(IB, group_alu),
    [0x84] = {op_test_rm_reg, M | B, NULL},
    [0x85] = {op_test_rm_reg, M, NULL},
    [0x86] = {op_xchg_rm_reg, M | B | LOCK, NULL},
    [0x87] = {op_xchg_rm_reg, M | LOCK, NULL},
    [0x88] = {op_mov_rm_reg, M | B, NULL},
    [0x89] = {op_mov_rm_reg, M, NULL},
    [0x8a] = {op_mov_reg_rm, M | B, NULL},
    [0x8b] = {op_mov_reg_rm, M, NULL},
    [0x8c] = {op_mov_from_segment, M, NULL},
    [0x8d] = {op_lea, M | MEM, NULL},
    [0x8e] = {op_mov_to_segment, M | END, NULL},
    [0x8f] = GROUP(D64, group_pop),
    EIGHT(0x90, op_xchg_acc, LOW),
    [0x98] = {op_convert_acc, 0, NULL},
    [0x99] = {op_convert_dx, 0, NULL},
    [0x9a] = {op_call_far, NO64 | FORM_FAR | END, NULL},
    [0x9b] = {NULL, FORM_SIMD, NULL},
    [0x9c] = {op_pushf, D64, NULL},
    [0x9d] = {op_popf, D64 | END, NULL},
    [0x9e] = {op_sahf, B, NULL},
    [0x9f] = {op_lahf, B, NULL},
    [0xa0] = {op_mov_acc_moffs, B | FORM_MOFFS, NULL},
    [0xa1] = {op_mov_acc_moffs, FORM_MOFFS, NULL},
    [0xa2] = {op_mov_moffs_acc, B | FORM_MOFFS, NULL},
    [0xa3] = {op_mov_moffs_acc, FORM_MOFFS, NULL},
    [0xa4] = {op_movs, B | FORM_ENDS_REP, NULL},
    [0xa5] = {op_movs, FORM_ENDS_REP, NULL},
    [0xa6] = {op_cmps, B | FORM_ENDS_REP, NULL},
    [0xa7] = {op_cmps, FORM_ENDS_REP, NULL},
    [0xa8] = {op_test_acc_imm, B | IB, NULL},
    [0xa9] = {op_test_acc_imm, IZ, NULL},
    [0xaa] = {op_stos, B | FORM_ENDS_REP, NULL},
    [0xab] = {op_stos, FORM_ENDS_REP, NULL},
    [0xac] = {op_lods, B | FORM_ENDS_REP, NULL},
    [0xad] = {op_lods, FORM_ENDS_REP, NULL},
    [0xae] = {op_scas, B | FORM_ENDS_REP, NULL},
    [0xaf] = {op_scas, FORM_ENDS_REP, NULL},
    EIGHT(0xb0, op_mov_reg_imm, B | LOW | IB),
    EIGHT(0xb8, op_mov_reg_imm, LOW | FORM_IMMV),
    [0xc0] = {op_shift_imm, M | B | IBU, NULL},
    [0xc1] = {op_shift_imm, M | IBU, NULL},
    [0xc2] = {op_return, D64 | IW | NEAR, NULL},
    [0xc3] = {op_return, D64 | NEAR, NULL},
    [0xc4] = {op_load_far_pointer, NO64 | M | MEM | END, NULL},
    [0xc5] = {op_load_far_pointer, NO64 | M | MEM | END, NULL},
    [0xc6] = GROUP(B | IB, group_mov),
    [0xc7] = GROUP(IZ, group_mov),
    [0xc8] = {op_enter, D64 | IW | FORM_EXTRA8, NULL},
    [0xc9] = {op_leave, D64, NULL},
    [0xca] = {op_return_far, IW | END, NULL},
    [0xcb] = {op_return_far, END, NULL},
    [0xcc] = {op_int3, END, NULL},
    [0xcd] = {op_int, IBU | END, NULL},
    [0xce] = {op_into, NO64 | END, NULL},
    [0xcf] = {op_iret, END, NULL},
    [0xd0] = {op_shift_1, M | B, NULL},
    [0xd1] = {op_shift_1, M, NULL},
    [0xd2] = {op_shift_cl, M | B, NULL},
    [0xd3] = {op_shift_cl, M, NULL},
    [0xd4] = {op_aam, NO64 | B | IBU, NULL},
    [0xd5] = {op_aad, NO64 | B | IBU, NULL},
    [0xd6] = {op_salc, NO64 | B, NULL},
    [0xd7] = {op_xlat, B, NULL},
    EIGHT(0xd8, NULL, M | FORM_SIMD),
    [0xe0] = {op_loop, D64 | IB | NEAR, NULL},
    [0xe1] = {op_loop, D64 | IB | NEAR, NULL},
    [0xe2] = {op_loop, D64 | IB | NEAR, NULL},
    [0xe3] = {op_jcxz, D64 | IB | NEAR, NULL},
    [0xe4] = {op_in, B | IBU, NULL},
    [0xe5] = {op_in, FORM_MAX32 | IBU, NULL},
    [0xe6] = {op_out, B | IBU, NULL},
    [0xe7] = {op_out, FORM_MAX32 | IBU, NULL},
    [0xe8] = {op_call, D64 | IZ | NEAR, NULL},
    [0xe9] = {op_jump, D64 | IZ | NEAR, NULL},
    [0xea] = {op_jump_far, NO64 | FORM_FAR | END, NULL},
    [0xeb] = {op_jump, D64 | IB | NEAR, NULL},
    [0xec] = {op_in, B, NULL},
    [0xed] = {op_in, FORM_MAX32, NULL},
    [0xee] = {op_out, B, NULL},
    [0xef] = {op_out, FORM_MAX32, NULL},
    [0xf1] = {op_int1, END, NULL},
    [0xf4] = {op_hlt, END, NULL},
    [0xf5] = {op_cmc, 0, NULL},
    [0xf6] = GROUP(B, group_unary8),
    [0xf7] = GROUP(0, group_unary),
    [0xf8] = {op_clc, 0, NULL},
    [0xf9] = {op_stc, 0, NULL},
    [0xfa] = {op_cli, END, NULL},
    [0xfb] = {op_sti, END, NULL},
    [0xfc] = {op_cld, 0, NULL},
    [0xfd] = {op_std, 0, NULL},
    [0xfe] = GROUP(B, group_inc8),
    [0xff] = GROUP(0, group_inc),
};

#define SIMD     M | FORM_SIMD
#define SIMD_IMM M | FORM_SIMD | IBU

const struct opcode opcodes_0f[256] = {
    [0x00] = GROUP(0, group_ldt),
    [0x01] = GROUP(0, group_system),
    [0x02] = {op_lar, M, NULL},
    [0x03] = {op_lsl, M, NULL},
    [0x05] = {op_syscall, END, NULL},
    [0x06] = {op_clts, END, NULL},
    [0x07] = {op_sysret, END, NULL},
    [0x08] = {op_invd, END, NULL},
    [0x09] = {op_invd, END, NULL},
    [0x0d] = {op_nop, M, NULL},
    [0x0f] = {op_undefined, M | IBU | END, NULL}, /* 3DNow! */
    EIGHT(0x10, NULL, SIMD),
    EIGHT(0x18, op_nop, M),
    [0x20] = {op_mov_from_cr, M | FORM_NATURAL | FORM_IGNORE_MOD, NULL},
    [0x21] = {op_mov_from_dr, M | FORM_NATURAL | FORM_IGNORE_MOD, NULL},
    [0x22] = {op_mov_to_cr, M | FORM_NATURAL | FORM_IGNORE_MOD | END, NULL},
    [0x23] = {op_mov_to_dr, M | FORM_NATURAL | FORM_IGNORE_MOD | END, NULL},
    EIGHT(0x28, NULL, SIMD),
    [0x30] = {op_wrmsr, END, NULL},
    [0x31] = {op_rdtsc, 0, NULL},
    [0x32] = {op_rdmsr, 0, NULL},
    [0x33] = {op_rdpmc, 0, NULL},
    [0x34] = {op_sysenter, END, NULL},
    [0x35] = {op_sysexit, END, NULL},
    SIXTEEN(0x40, op_cmov, M),
    SIXTEEN(0x50, NULL, SIMD),
    SIXTEEN(0x60, NULL, SIMD),
    [0x70] = {NULL, SIMD_IMM, NULL},
    [0x71] = {NULL, SIMD_IMM, NULL},
    [0x72] = {NULL, SIMD_IMM, NULL},
    [0x73] = {NULL, SIMD_IMM, NULL},
    [0x74] = {NULL, SIMD, NULL},
    [0x75] = {NULL, SIMD, NULL},
    [0x76] = {NULL, SIMD, NULL},
    [0x77] = {NULL, FORM_SIMD, NULL},
    [0x7c] = {NULL, SIMD, NULL},
    [0x7d] = {NULL, SIMD, NULL},
    [0x7e] = {NULL, SIMD, NULL},
    [0x7f] = {NULL, SIMD, NULL},
    SIXTEEN(0x80, op_jcc, D64 | IZ | NEAR),
    SIXTEEN(0x90, op_setcc, M | B),
    [0xa0] = {op_push_segment, D64 | SEG, NULL},
    [0xa1] = {op_pop_segment, D64 | SEG | END, NULL},
    [0xa2] = {op_cpuid, 0, NULL},
    [0xa3] = {op_bit_test_reg, M, NULL},
    [0xa4] = {op_shld_imm, M | IBU, NULL},
    [0xa5] = {op_shld_cl, M, NULL},
    [0xa8] = {op_push_segment, D64 | SEG, NULL},
    [0xa9] = {op_pop_segment, D64 | SEG | END, NULL},
    [0xab] = {op_bit_test_reg, M | LOCK, NULL},
    [0xac] = {op_shrd_imm, M | IBU, NULL},
    [0xad] = {op_shrd_cl, M, NULL},
    [0xae] = {NULL, SIMD, NULL},
    [0xaf] = {op_imul_reg_rm, M, NULL},
    [0xb0] = {op_cmpxchg, M | B | LOCK, NULL},
    [0xb1] = {op_cmpxchg, M | LOCK, NULL},
    [0xb2] = {op_load_far_pointer, M | MEM | END, NULL},
    [0xb3] = {op_bit_test_reg, M | LOCK, NULL},
    [0xb4] = {op_load_far_pointer, M | MEM | END, NULL},
    [0xb5] = {op_load_far_pointer, M | MEM | END, NULL},
    [0xb6] = {op_movzx8, M, NULL},
    [0xb7] = {op_movzx16, M, NULL},
    [0xb8] = {op_popcnt, M, NULL},
    [0xb9] = {op_undefined, END, NULL},
    [0xba] = GROUP(IBU, group_bit),
    [0xbb] = {op_bit_test_reg, M | LOCK, NULL},
    [0xbc] = {op_bsf, M, NULL},
    [0xbd] = {op_bsr, M, NULL},
    [0xbe] = {op_movsx8, M, NULL},
    [0xbf] = {op_movsx16, M, NULL},
    [0xc0] = {op_xadd, M | B | LOCK, NULL},
    [0xc1] = {op_xadd, M | LOCK, NULL},
    [0xc2] = {NULL, SIMD_IMM, NULL},
    [0xc3] = {op_movnti, M | MEM, NULL},
    [0xc4] = {NULL, SIMD_IMM, NULL},
    [0xc5] = {NULL, SIMD_IMM, NULL},
    [0xc6] = {NULL, SIMD_IMM, NULL},
    [0xc7] = GROUP(0, group_cmpxchg8b),
    EIGHT(0xc8, op_bswap, LOW),
    SIXTEEN(0xd0, NULL, SIMD),
    SIXTEEN(0xe0, NULL, SIMD),
    EIGHT(0xf0, NULL, SIMD),
    [0xf8] = {NULL, SIMD, NULL},
    [0xf9] = {NULL, SIMD, NULL},
    [0xfa] = {NULL, SIMD, NULL},
    [0xfb] = {NULL, SIMD, NULL},
    [0xfc] = {NULL, SIMD, NULL},
    [0xfd] = {NULL, SIMD, NULL},
    [0xfe] = {NULL, SIMD, NULL},
    [0xff] = {op_undefined, END, NULL},
};

const struct opcode opcodes_crc32[2] = {{op_crc32, M | B, NULL}, {op_crc32, M, NULL}};
