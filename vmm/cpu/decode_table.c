/* The rows of the opcode tables. */
#include "vmm/cpu/decode_table.h"

#include "vmm/cpu/forms.h"
#include "vmm/cpu/integer.h"
#include "vmm/cpu/system.h"

#define M    FORM_MODRM
#define B    FORM_BYTE
#define IB   FORM_IMM8
#define IBU  FORM_IMM8U
#define ONE  FORM_ONE
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

/* The rest of a row: nothing but the handler, forms, or traits. */
#define PLAIN        .traits = 0
#define NATIVE(name) .native = native_##name
#define FORMS(name)  .fast = fast_##name, NATIVE(name)
#define NO_ACCESS    .traits = TRAIT_NO_ACCESS
#define PORT         .traits = TRAIT_PORT
#define INTERRUPT    .traits = TRAIT_INTERRUPT
#define UNDEFINED    .traits = TRAIT_UNDEFINED
#define LOADS_TF     .traits = TRAIT_LOADS_TF
#define EXCHANGE     .traits = TRAIT_EXCHANGE

#define GROUP(more, table)                                                    \
    {                                                                         \
        .form = FORM_MODRM | FORM_GROUP | (more), .group = table, .traits = 0 \
    }
#define FOUR(first, ...)                                                                   \
    [first] = {__VA_ARGS__}, [(first) + 1] = {__VA_ARGS__}, [(first) + 2] = {__VA_ARGS__}, \
    [(first) + 3] = {__VA_ARGS__}
#define EIGHT(first, ...)   FOUR(first, __VA_ARGS__), FOUR((first) + 4, __VA_ARGS__)
#define SIXTEEN(first, ...) EIGHT(first, __VA_ARGS__), EIGHT((first) + 8, __VA_ARGS__)
/* 00-3F: the six encodings of an arithmetic operation. */
#define ALU(first, lock)                                          \
    [first] = {op_alu_rm_reg, M | B | (lock), FORMS(alu_rm_reg)}, \
    [first + 1] = {op_alu_rm_reg, M | (lock), FORMS(alu_rm_reg)}, \
    [first + 2] = {op_alu_reg_rm, M | B, FORMS(alu_reg_rm)},      \
    [first + 3] = {op_alu_reg_rm, M, FORMS(alu_reg_rm)},          \
    [first + 4] = {op_alu_acc_imm, B | IB, FORMS(alu_acc_imm)},   \
    [first + 5] = {op_alu_acc_imm, IZ, FORMS(alu_acc_imm)}

static const struct opcode group_alu[8] = {
    {op_alu_rm_imm, LOCK, FORMS(alu_rm_imm)},
    {op_alu_rm_imm, LOCK, FORMS(alu_rm_imm)},
    {op_alu_rm_imm, LOCK, FORMS(alu_rm_imm)},
    {op_alu_rm_imm, LOCK, FORMS(alu_rm_imm)},
    {op_alu_rm_imm, LOCK, FORMS(alu_rm_imm)},
    {op_alu_rm_imm, LOCK, FORMS(alu_rm_imm)},
    {op_alu_rm_imm, LOCK, FORMS(alu_rm_imm)},
    {op_alu_rm_imm, 0, FORMS(alu_rm_imm)},
};
static const struct opcode group_pop[8] = {{op_pop_rm, 0, PLAIN}};
static const struct opcode group_mov[8] = {{op_mov_rm_imm, 0, FORMS(mov_rm_imm)}};
static const struct opcode group_unary8[8] = {
    {op_test_rm_imm, IB, FORMS(test_rm_imm)},
    {op_test_rm_imm, IB, FORMS(test_rm_imm)},
    {op_not, LOCK, FORMS(complement)},
    {op_neg, LOCK, FORMS(neg)},
    {op_mul, 0, NATIVE(mul)},
    {op_imul, 0, NATIVE(imul)},
    {op_div, 0, NATIVE(div)},
    {op_idiv, 0, PLAIN},
};
static const struct opcode group_unary[8] = {
    {op_test_rm_imm, IZ, FORMS(test_rm_imm)},
    {op_test_rm_imm, IZ, FORMS(test_rm_imm)},
    {op_not, LOCK, FORMS(complement)},
    {op_neg, LOCK, FORMS(neg)},
    {op_mul, 0, NATIVE(mul)},
    {op_imul, 0, NATIVE(imul)},
    {op_div, 0, NATIVE(div)},
    {op_idiv, 0, PLAIN},
};
static const struct opcode group_inc8[8] = {{op_inc, LOCK, FORMS(inc)}, {op_dec, LOCK, FORMS(dec)}};
static const struct opcode group_inc[8] = {
    {op_inc, LOCK, FORMS(inc)},
    {op_dec, LOCK, FORMS(dec)},
    {op_call_rm, D64 | NEAR, FORMS(call_rm)},
    {op_call_far_memory, MEM | END, PLAIN},
    {op_jump_rm, D64 | NEAR, FORMS(jump_rm)},
    {op_jump_far_memory, MEM | END, PLAIN},
    {op_push_rm, D64, FORMS(push_rm)},
};
static const struct opcode group_ldt[8] = {
    {op_sldt, 0, PLAIN},
    {op_str, 0, PLAIN},
    {op_lldt, 0, PLAIN},
    {op_ltr, 0, PLAIN},
    {op_verr, 0, PLAIN},
    {op_verw, 0, PLAIN},
};
/* 0F 01 */
static const struct opcode group_system[8 + 64] = {
    {op_sgdt, MEM, PLAIN},
    {op_sidt, MEM, PLAIN},
    {op_lgdt, MEM, PLAIN},
    {op_lidt, MEM, PLAIN},
    {op_smsw, 0, PLAIN},
    {NULL, 0, PLAIN},
    {op_lmsw, END, PLAIN},
    {op_invlpg, MEM | END, PLAIN},
    [8 + 0x08] = {op_monitor, 0, PLAIN},
    [8 + 0x09] = {op_monitor, 0, PLAIN},
    EIGHT(8 + 0x20, op_smsw, 0, PLAIN),
    EIGHT(8 + 0x30, op_lmsw, END, PLAIN),
    [8 + 0x38] = {op_swapgs, END, PLAIN},
    [8 + 0x39] = {op_rdtscp, END, PLAIN},
};
static const struct opcode group_bit[8] = {
    [4] = {op_bit_test_imm, 0, NATIVE(bit_test_imm)},
    [5] = {op_bit_test_imm, LOCK, NATIVE(bit_test_imm)},
    [6] = {op_bit_test_imm, LOCK, NATIVE(bit_test_imm)},
    [7] = {op_bit_test_imm, LOCK, NATIVE(bit_test_imm)},
};
static const struct opcode group_cmpxchg8b[8] = {[1] = {op_cmpxchg8b, MEM | LOCK, PLAIN}};

const struct opcode opcodes_primary[256] = {
    ALU(0x00, LOCK),
    ALU(0x08, LOCK),
    ALU(0x10, LOCK),
    ALU(0x18, LOCK),
    ALU(0x20, LOCK),
    ALU(0x28, LOCK),
    ALU(0x30, LOCK),
    ALU(0x38, 0),
    [0x06] = {op_push_segment, D64 | NO64 | SEG, PLAIN},
    [0x07] = {op_pop_segment, D64 | NO64 | SEG | END, PLAIN},
    [0x0e] = {op_push_segment, D64 | NO64 | SEG, PLAIN},
    [0x16] = {op_push_segment, D64 | NO64 | SEG, PLAIN},
    [0x17] = {op_pop_segment, D64 | NO64 | SEG | END, PLAIN},
    [0x1e] = {op_push_segment, D64 | NO64 | SEG, PLAIN},
    [0x1f] = {op_pop_segment, D64 | NO64 | SEG | END, PLAIN},
    [0x27] = {op_daa, NO64 | B, PLAIN},
    [0x2f] = {op_das, NO64 | B, PLAIN},
    [0x37] = {op_aaa, NO64 | B, PLAIN},
    [0x3f] = {op_aas, NO64 | B, PLAIN},
    EIGHT(0x40, op_inc, NO64 | LOW, FORMS(inc)),
    EIGHT(0x48, op_dec, NO64 | LOW, FORMS(dec)),
    EIGHT(0x50, op_push_reg, D64 | LOW, FORMS(push_reg)),
    EIGHT(0x58, op_pop_reg, D64 | LOW, FORMS(pop_reg)),
    [0x60] = {op_pusha, NO64, PLAIN},
    [0x61] = {op_popa, NO64, PLAIN},
    [0x62] = {op_bound, NO64 | M | MEM, PLAIN},
    [0x63] = {op_arpl, M, PLAIN},
    [0x68] = {op_push_imm, D64 | IZ, FORMS(push_imm)},
    [0x69] = {op_imul_reg_imm, M | IZ, FORMS(imul_reg_imm)},
    [0x6a] = {op_push_imm, D64 | IB, FORMS(push_imm)},
    [0x6b] = {op_imul_reg_imm, M | IB, FORMS(imul_reg_imm)},
    [0x6c] = {op_ins, B | END, PORT},
    [0x6d] = {op_ins, FORM_MAX32 | END, PORT},
    [0x6e] = {op_outs, B | END, PORT},
    [0x6f] = {op_outs, FORM_MAX32 | END, PORT},
    SIXTEEN(0x70, op_jcc, D64 | IB | NEAR, FORMS(jcc)),
    [0x80] = GROUP(B | IB, group_alu),
    [0x81] = GROUP(IZ, group_alu),
    [0x82] = GROUP(B | IB | NO64, group_alu),
    [0x83] = GROUP(IB, group_alu),
    [0x84] = {op_test_rm_reg, M | B, FORMS(test_rm_reg)},
    [0x85] = {op_test_rm_reg, M, FORMS(test_rm_reg)},
    [0x86] = {op_xchg_rm_reg, M | B | LOCK, EXCHANGE, NATIVE(xchg_rm_reg)},
    [0x87] = {op_xchg_rm_reg, M | LOCK, EXCHANGE, NATIVE(xchg_rm_reg)},
    [0x88] = {op_mov_rm_reg, M | B, FORMS(mov_rm_reg)},
    [0x89] = {op_mov_rm_reg, M, FORMS(mov_rm_reg)},
    [0x8a] = {op_mov_reg_rm, M | B, FORMS(mov_reg_rm)},
    [0x8b] = {op_mov_reg_rm, M, FORMS(mov_reg_rm)},
    [0x8c] = {op_mov_from_segment, M, PLAIN},
    [0x8d] = {op_lea, M | MEM, NO_ACCESS, FORMS(lea)},
    [0x8e] = {op_mov_to_segment, M | END, PLAIN},
    [0x8f] = GROUP(D64, group_pop),
    EIGHT(0x90, op_xchg_acc, LOW, NATIVE(xchg_acc)),
    [0x98] = {op_convert_acc, 0, NATIVE(convert_acc)},
    [0x99] = {op_convert_dx, 0, NATIVE(convert_dx)},
    [0x9a] = {op_call_far, NO64 | FORM_FAR | END, PLAIN},
    [0x9b] = {NULL, FORM_SIMD, PLAIN},
    [0x9c] = {op_pushf, D64, PLAIN},
    [0x9d] = {op_popf, D64 | END, PLAIN},
    [0x9e] = {op_sahf, B, PLAIN},
    [0x9f] = {op_lahf, B, PLAIN},
    [0xa0] = {op_mov_acc_moffs, B | FORM_MOFFS, PLAIN},
    [0xa1] = {op_mov_acc_moffs, FORM_MOFFS, PLAIN},
    [0xa2] = {op_mov_moffs_acc, B | FORM_MOFFS, PLAIN},
    [0xa3] = {op_mov_moffs_acc, FORM_MOFFS, PLAIN},
    [0xa4] = {op_movs, B | FORM_ENDS_REP, PLAIN},
    [0xa5] = {op_movs, FORM_ENDS_REP, PLAIN},
    [0xa6] = {op_cmps, B | FORM_ENDS_REP, PLAIN},
    [0xa7] = {op_cmps, FORM_ENDS_REP, PLAIN},
    [0xa8] = {op_test_acc_imm, B | IB, FORMS(test_acc_imm)},
    [0xa9] = {op_test_acc_imm, IZ, FORMS(test_acc_imm)},
    [0xaa] = {op_stos, B | FORM_ENDS_REP, PLAIN},
    [0xab] = {op_stos, FORM_ENDS_REP, PLAIN},
    [0xac] = {op_lods, B | FORM_ENDS_REP, PLAIN},
    [0xad] = {op_lods, FORM_ENDS_REP, PLAIN},
    [0xae] = {op_scas, B | FORM_ENDS_REP, PLAIN},
    [0xaf] = {op_scas, FORM_ENDS_REP, PLAIN},
    EIGHT(0xb0, op_mov_reg_imm, B | LOW | IB, FORMS(mov_reg_imm)),
    EIGHT(0xb8, op_mov_reg_imm, LOW | FORM_IMMV, FORMS(mov_reg_imm)),
    [0xc0] = {op_shift_imm, M | B | IBU, FORMS(shift_imm)},
    [0xc1] = {op_shift_imm, M | IBU, FORMS(shift_imm)},
    [0xc2] = {op_return, D64 | IW | NEAR, FORMS(return_near)},
    [0xc3] = {op_return, D64 | NEAR, FORMS(return_near)},
    [0xc4] = {op_load_far_pointer, NO64 | M | MEM | END, PLAIN},
    [0xc5] = {op_load_far_pointer, NO64 | M | MEM | END, PLAIN},
    [0xc6] = GROUP(B | IB, group_mov),
    [0xc7] = GROUP(IZ, group_mov),
    [0xc8] = {op_enter, D64 | IW | FORM_EXTRA8, PLAIN},
    [0xc9] = {op_leave, D64, FORMS(leave)},
    [0xca] = {op_return_far, IW | END, PLAIN},
    [0xcb] = {op_return_far, END, PLAIN},
    [0xcc] = {op_int3, END, INTERRUPT},
    [0xcd] = {op_int, IBU | END, INTERRUPT},
    [0xce] = {op_into, NO64 | END, INTERRUPT},
    [0xcf] = {op_iret, END, PLAIN},
    [0xd0] = {op_shift_1, M | B | ONE, FORMS(shift_1)},
    [0xd1] = {op_shift_1, M | ONE, FORMS(shift_1)},
    [0xd2] = {op_shift_cl, M | B, FORMS(shift_cl)},
    [0xd3] = {op_shift_cl, M, FORMS(shift_cl)},
    [0xd4] = {op_aam, NO64 | B | IBU, PLAIN},
    [0xd5] = {op_aad, NO64 | B | IBU, PLAIN},
    [0xd6] = {op_salc, NO64 | B, PLAIN},
    [0xd7] = {op_xlat, B, PLAIN},
    EIGHT(0xd8, NULL, M | FORM_SIMD, PLAIN),
    [0xe0] = {op_loop, D64 | IB | NEAR, PLAIN},
    [0xe1] = {op_loop, D64 | IB | NEAR, PLAIN},
    [0xe2] = {op_loop, D64 | IB | NEAR, PLAIN},
    [0xe3] = {op_jcxz, D64 | IB | NEAR, PLAIN},
    [0xe4] = {op_in, B | IBU, PORT},
    [0xe5] = {op_in, FORM_MAX32 | IBU, PORT},
    [0xe6] = {op_out, B | IBU, PORT},
    [0xe7] = {op_out, FORM_MAX32 | IBU, PORT},
    [0xe8] = {op_call, D64 | IZ | NEAR, FORMS(call)},
    [0xe9] = {op_jump, D64 | IZ | NEAR, FORMS(jump)},
    [0xea] = {op_jump_far, NO64 | FORM_FAR | END, PLAIN},
    [0xeb] = {op_jump, D64 | IB | NEAR, FORMS(jump)},
    [0xec] = {op_in, B, PORT},
    [0xed] = {op_in, FORM_MAX32, PORT},
    [0xee] = {op_out, B, PORT},
    [0xef] = {op_out, FORM_MAX32, PORT},
    [0xf1] = {op_int1, END, .traits = TRAIT_INTERRUPT | TRAIT_DEBUG},
    [0xf4] = {op_hlt, END, PLAIN},
    [0xf5] = {op_cmc, 0, NATIVE(cmc)},
    [0xf6] = GROUP(B, group_unary8),
    [0xf7] = GROUP(0, group_unary),
    [0xf8] = {op_clc, 0, NATIVE(clc)},
    [0xf9] = {op_stc, 0, NATIVE(stc)},
    [0xfa] = {op_cli, END, PLAIN},
    [0xfb] = {op_sti, END, PLAIN},
    [0xfc] = {op_cld, 0, PLAIN},
    [0xfd] = {op_std, 0, PLAIN},
    [0xfe] = GROUP(B, group_inc8),
    [0xff] = GROUP(0, group_inc),
};

#define SIMD     M | FORM_SIMD
#define SIMD_IMM M | FORM_SIMD | IBU

const struct opcode opcodes_0f[256] = {
    [0x00] = GROUP(0, group_ldt),
    [0x01] = GROUP(FORM_GROUP_REGISTERS, group_system),
    [0x02] = {op_lar, M, PLAIN},
    [0x03] = {op_lsl, M, PLAIN},
    [0x05] = {op_syscall, END, LOADS_TF},
    [0x06] = {op_clts, END, PLAIN},
    [0x07] = {op_sysret, END, LOADS_TF},
    [0x08] = {op_invd, END, PLAIN},
    [0x09] = {op_invd, END, PLAIN},
    [0x0d] = {op_nop, M, NO_ACCESS, FORMS(nop)},
    [0x0f] = {op_undefined, M | IBU | END, UNDEFINED}, /* 3DNow! */
    EIGHT(0x10, NULL, SIMD, FORMS(simd)),
    EIGHT(0x18, op_nop, M, NO_ACCESS, FORMS(nop)),
    [0x20] = {op_mov_from_cr, M | FORM_NATURAL | FORM_IGNORE_MOD, PLAIN},
    [0x21] = {op_mov_from_dr, M | FORM_NATURAL | FORM_IGNORE_MOD, PLAIN},
    [0x22] = {op_mov_to_cr, M | FORM_NATURAL | FORM_IGNORE_MOD | END, PLAIN},
    [0x23] = {op_mov_to_dr, M | FORM_NATURAL | FORM_IGNORE_MOD | END, PLAIN},
    EIGHT(0x28, NULL, SIMD, FORMS(simd)),
    [0x30] = {op_wrmsr, END, PLAIN},
    [0x31] = {op_rdtsc, 0, PLAIN},
    [0x32] = {op_rdmsr, 0, PLAIN},
    [0x33] = {op_rdpmc, 0, PLAIN},
    [0x34] = {op_sysenter, END, PLAIN},
    [0x35] = {op_sysexit, END, PLAIN},
    SIXTEEN(0x40, op_cmov, M, FORMS(cmov)),
    SIXTEEN(0x50, NULL, SIMD, FORMS(simd)),
    SIXTEEN(0x60, NULL, SIMD, FORMS(simd)),
    [0x70] = {NULL, SIMD_IMM, FORMS(simd)},
    [0x71] = {NULL, SIMD_IMM, FORMS(simd)},
    [0x72] = {NULL, SIMD_IMM, FORMS(simd)},
    [0x73] = {NULL, SIMD_IMM, FORMS(simd)},
    [0x74] = {NULL, SIMD, FORMS(simd)},
    [0x75] = {NULL, SIMD, FORMS(simd)},
    [0x76] = {NULL, SIMD, FORMS(simd)},
    [0x77] = {NULL, FORM_SIMD, PLAIN},
    [0x7c] = {NULL, SIMD, FORMS(simd)},
    [0x7d] = {NULL, SIMD, FORMS(simd)},
    [0x7e] = {NULL, SIMD, FORMS(simd)},
    [0x7f] = {NULL, SIMD, FORMS(simd)},
    SIXTEEN(0x80, op_jcc, D64 | IZ | NEAR, FORMS(jcc)),
    SIXTEEN(0x90, op_setcc, M | B, FORMS(setcc)),
    [0xa0] = {op_push_segment, D64 | SEG, PLAIN},
    [0xa1] = {op_pop_segment, D64 | SEG | END, PLAIN},
    [0xa2] = {op_cpuid, 0, PLAIN},
    [0xa3] = {op_bit_test_reg, M, NATIVE(bit_test_reg)},
    [0xa4] = {op_shld_imm, M | IBU, NATIVE(shld_imm)},
    [0xa5] = {op_shld_cl, M, PLAIN},
    [0xa8] = {op_push_segment, D64 | SEG, PLAIN},
    [0xa9] = {op_pop_segment, D64 | SEG | END, PLAIN},
    [0xab] = {op_bit_test_reg, M | LOCK, NATIVE(bit_test_reg)},
    [0xac] = {op_shrd_imm, M | IBU, NATIVE(shrd_imm)},
    [0xad] = {op_shrd_cl, M, PLAIN},
    [0xae] = {NULL, SIMD, FORMS(simd)},
    [0xaf] = {op_imul_reg_rm, M, FORMS(imul_reg_rm)},
    [0xb0] = {op_cmpxchg, M | B | LOCK, PLAIN},
    [0xb1] = {op_cmpxchg, M | LOCK, PLAIN},
    [0xb2] = {op_load_far_pointer, M | MEM | END, PLAIN},
    [0xb3] = {op_bit_test_reg, M | LOCK, NATIVE(bit_test_reg)},
    [0xb4] = {op_load_far_pointer, M | MEM | END, PLAIN},
    [0xb5] = {op_load_far_pointer, M | MEM | END, PLAIN},
    [0xb6] = {op_movzx8, M, FORMS(movzx8)},
    [0xb7] = {op_movzx16, M, FORMS(movzx16)},
    [0xb8] = {op_popcnt, M, NATIVE(popcnt)},
    [0xb9] = {op_undefined, END, UNDEFINED},
    [0xba] = GROUP(IBU, group_bit),
    [0xbb] = {op_bit_test_reg, M | LOCK, NATIVE(bit_test_reg)},
    [0xbc] = {op_bsf, M, NATIVE(bsf)},
    [0xbd] = {op_bsr, M, NATIVE(bsr)},
    [0xbe] = {op_movsx8, M, FORMS(movsx8)},
    [0xbf] = {op_movsx16, M, FORMS(movsx16)},
    [0xc0] = {op_xadd, M | B | LOCK, PLAIN},
    [0xc1] = {op_xadd, M | LOCK, PLAIN},
    [0xc2] = {NULL, SIMD_IMM, FORMS(simd)},
    [0xc3] = {op_movnti, M | MEM, PLAIN},
    [0xc4] = {NULL, SIMD_IMM, FORMS(simd)},
    [0xc5] = {NULL, SIMD_IMM, FORMS(simd)},
    [0xc6] = {NULL, SIMD_IMM, FORMS(simd)},
    [0xc7] = GROUP(0, group_cmpxchg8b),
    EIGHT(0xc8, op_bswap, LOW, NATIVE(bswap)),
    SIXTEEN(0xd0, NULL, SIMD, FORMS(simd)),
    SIXTEEN(0xe0, NULL, SIMD, FORMS(simd)),
    EIGHT(0xf0, NULL, SIMD, FORMS(simd)),
    [0xf8] = {NULL, SIMD, FORMS(simd)},
    [0xf9] = {NULL, SIMD, FORMS(simd)},
    [0xfa] = {NULL, SIMD, FORMS(simd)},
    [0xfb] = {NULL, SIMD, FORMS(simd)},
    [0xfc] = {NULL, SIMD, FORMS(simd)},
    [0xfd] = {NULL, SIMD, FORMS(simd)},
    [0xfe] = {NULL, SIMD, FORMS(simd)},
    [0xff] = {op_undefined, END, UNDEFINED},
};

const struct opcode opcodes_special[SPECIALS] = {
    [SPECIAL_UNDEFINED] = {op_undefined, END, UNDEFINED},
    [SPECIAL_TOO_LONG] = {op_too_long, END, PLAIN},
    [SPECIAL_MOVSXD] = {op_movsxd, M, FORMS(movsxd)},
    [SPECIAL_MOVSXD16] = {op_movsxd16, M, PLAIN},
    [SPECIAL_NOP] = {op_nop, 0, NO_ACCESS, FORMS(nop)},
    [SPECIAL_PAUSE] = {op_pause, 0, PLAIN},
    [SPECIAL_FENCE] = {op_nop, M, NO_ACCESS, FORMS(nop)},
    [SPECIAL_CLFLUSH] = {op_clflush, M, PLAIN},
    [SPECIAL_0F38] = {NULL, SIMD, FORMS(simd)},
    [SPECIAL_0F3A] = {NULL, SIMD_IMM, FORMS(simd)},
};

const struct opcode opcodes_crc32[2] = {{op_crc32, M | B, PLAIN}, {op_crc32, M, PLAIN}};
