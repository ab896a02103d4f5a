/* Handlers of the integer instructions, for the decoder's tables; one file each group. */
#ifndef VMM_CPU_INTEGER_H
#define VMM_CPU_INTEGER_H

#include "vmm/cpu/cpu.h"

/* alu.c: the operation is in opcode bits 3-5, or in ModRM.reg for 80-83. */
/* Do this host's AND, OR and XOR leave AF clear? The software CPU takes it from them. */
bool alu_logic_clears_adjust(void);
void op_alu_rm_reg(struct cpu *cpu, const struct insn *insn);
void op_alu_reg_rm(struct cpu *cpu, const struct insn *insn);
void op_alu_acc_imm(struct cpu *cpu, const struct insn *insn);
void op_alu_rm_imm(struct cpu *cpu, const struct insn *insn);
void op_test_rm_reg(struct cpu *cpu, const struct insn *insn);
void op_test_acc_imm(struct cpu *cpu, const struct insn *insn);
void op_test_rm_imm(struct cpu *cpu, const struct insn *insn);
void op_inc(struct cpu *cpu, const struct insn *insn);
void op_dec(struct cpu *cpu, const struct insn *insn);
void op_not(struct cpu *cpu, const struct insn *insn);
void op_neg(struct cpu *cpu, const struct insn *insn);
void op_cmc(struct cpu *cpu, const struct insn *insn);
void op_clc(struct cpu *cpu, const struct insn *insn);
void op_stc(struct cpu *cpu, const struct insn *insn);
void op_cld(struct cpu *cpu, const struct insn *insn);
void op_std(struct cpu *cpu, const struct insn *insn);
void op_sahf(struct cpu *cpu, const struct insn *insn);
void op_lahf(struct cpu *cpu, const struct insn *insn);

/* shift.c: ModRM.reg is the operation. */
void op_shift_imm(struct cpu *cpu, const struct insn *insn);
void op_shift_1(struct cpu *cpu, const struct insn *insn);
void op_shift_cl(struct cpu *cpu, const struct insn *insn);
void op_shld_imm(struct cpu *cpu, const struct insn *insn);
void op_shld_cl(struct cpu *cpu, const struct insn *insn);
void op_shrd_imm(struct cpu *cpu, const struct insn *insn);
void op_shrd_cl(struct cpu *cpu, const struct insn *insn);

/* muldiv.c */
void op_mul(struct cpu *cpu, const struct insn *insn);
void op_imul(struct cpu *cpu, const struct insn *insn);         /* F6, F7 /5 */
void op_imul_reg_rm(struct cpu *cpu, const struct insn *insn);  /* 0F AF */
void op_imul_reg_imm(struct cpu *cpu, const struct insn *insn); /* 69, 6B */
void op_div(struct cpu *cpu, const struct insn *insn);
void op_idiv(struct cpu *cpu, const struct insn *insn);

/* bit.c: the operation of BT BTS BTR BTC is in opcode bits 3-4, or ModRM.reg for BA. */
void op_bit_test_reg(struct cpu *cpu, const struct insn *insn);
void op_bit_test_imm(struct cpu *cpu, const struct insn *insn);
void op_bsf(struct cpu *cpu, const struct insn *insn);
void op_bsr(struct cpu *cpu, const struct insn *insn);
void op_popcnt(struct cpu *cpu, const struct insn *insn);
void op_bswap(struct cpu *cpu, const struct insn *insn);
void op_crc32(struct cpu *cpu, const struct insn *insn);

/* move.c */
void op_mov_rm_reg(struct cpu *cpu, const struct insn *insn);
void op_mov_reg_rm(struct cpu *cpu, const struct insn *insn);
void op_mov_rm_imm(struct cpu *cpu, const struct insn *insn);
void op_mov_reg_imm(struct cpu *cpu, const struct insn *insn); /* B0-BF */
void op_mov_acc_moffs(struct cpu *cpu, const struct insn *insn);
void op_mov_moffs_acc(struct cpu *cpu, const struct insn *insn);
void op_movnti(struct cpu *cpu, const struct insn *insn);
void op_movzx8(struct cpu *cpu, const struct insn *insn);
void op_movzx16(struct cpu *cpu, const struct insn *insn);
void op_movsx8(struct cpu *cpu, const struct insn *insn);
void op_movsx16(struct cpu *cpu, const struct insn *insn);
void op_movsxd(struct cpu *cpu, const struct insn *insn);
void op_movsxd16(struct cpu *cpu, const struct insn *insn); /* Intel, with 66 */
void op_lea(struct cpu *cpu, const struct insn *insn);
void op_xchg_rm_reg(struct cpu *cpu, const struct insn *insn);
void op_xchg_acc(struct cpu *cpu, const struct insn *insn); /* 90-97 */
void op_cmov(struct cpu *cpu, const struct insn *insn);
void op_setcc(struct cpu *cpu, const struct insn *insn);
void op_convert_acc(struct cpu *cpu, const struct insn *insn); /* 98: CBW CWDE CDQE */
void op_convert_dx(struct cpu *cpu, const struct insn *insn);  /* 99: CWD CDQ CQO */
void op_xlat(struct cpu *cpu, const struct insn *insn);
void op_pause(struct cpu *cpu, const struct insn *insn);
void op_nop(struct cpu *cpu, const struct insn *insn);
void op_clflush(struct cpu *cpu, const struct insn *insn);

/* exchange.c */
void op_xadd(struct cpu *cpu, const struct insn *insn);
void op_cmpxchg(struct cpu *cpu, const struct insn *insn);
void op_cmpxchg8b(struct cpu *cpu, const struct insn *insn); /* and 16B with REX.W */

/* stack.c */
void op_push_reg(struct cpu *cpu, const struct insn *insn);
void op_push_imm(struct cpu *cpu, const struct insn *insn);
void op_push_rm(struct cpu *cpu, const struct insn *insn);
void op_pop_reg(struct cpu *cpu, const struct insn *insn);
void op_pop_rm(struct cpu *cpu, const struct insn *insn);
void op_pusha(struct cpu *cpu, const struct insn *insn);
void op_popa(struct cpu *cpu, const struct insn *insn);
void op_enter(struct cpu *cpu, const struct insn *insn);
void op_leave(struct cpu *cpu, const struct insn *insn);

/* branch.c */
void op_jcc(struct cpu *cpu, const struct insn *insn); /* 70-7F, 0F 80-8F */
void op_jump(struct cpu *cpu, const struct insn *insn);
void op_jump_rm(struct cpu *cpu, const struct insn *insn);
void op_call(struct cpu *cpu, const struct insn *insn);
void op_call_rm(struct cpu *cpu, const struct insn *insn);
void op_return(struct cpu *cpu, const struct insn *insn); /* C3, C2: immediate = bytes */
void op_loop(struct cpu *cpu, const struct insn *insn);   /* E0, E1, E2 */
void op_jcxz(struct cpu *cpu, const struct insn *insn);
void op_bound(struct cpu *cpu, const struct insn *insn);

/* string.c */
void op_movs(struct cpu *cpu, const struct insn *insn);
void op_cmps(struct cpu *cpu, const struct insn *insn);
void op_stos(struct cpu *cpu, const struct insn *insn);
void op_lods(struct cpu *cpu, const struct insn *insn);
void op_scas(struct cpu *cpu, const struct insn *insn);

/* bcd.c */
void op_daa(struct cpu *cpu, const struct insn *insn);
void op_das(struct cpu *cpu, const struct insn *insn);
void op_aaa(struct cpu *cpu, const struct insn *insn);
void op_aas(struct cpu *cpu, const struct insn *insn);
void op_aam(struct cpu *cpu, const struct insn *insn);
void op_aad(struct cpu *cpu, const struct insn *insn);
void op_salc(struct cpu *cpu, const struct insn *insn);

#endif
