/*
 * Handlers of the system instructions, for the decoder's tables. Operands come from struct insn.
 * Modes in which an instruction does not exist (#UD) are checked by the handler unless the decoder
 * already cannot produce it.
 */
#ifndef VMM_CPU_SYSTEM_H
#define VMM_CPU_SYSTEM_H

#include "vmm/cpu/cpu.h"

/* segments.c */
void op_mov_to_segment(struct cpu *cpu, const struct insn *insn);   /* 8E */
void op_mov_from_segment(struct cpu *cpu, const struct insn *insn); /* 8C */
void op_push_segment(struct cpu *cpu, const struct insn *insn);     /* insn->reg = SEG_x */
void op_pop_segment(struct cpu *cpu, const struct insn *insn);      /* insn->reg = SEG_x */
/* LES LDS LSS LFS LGS: immediate2 = SEG_x */
void op_load_far_pointer(struct cpu *cpu, const struct insn *insn);
void op_lgdt(struct cpu *cpu, const struct insn *insn);
void op_lidt(struct cpu *cpu, const struct insn *insn);
void op_sgdt(struct cpu *cpu, const struct insn *insn);
void op_sidt(struct cpu *cpu, const struct insn *insn);
void op_lldt(struct cpu *cpu, const struct insn *insn);
void op_ltr(struct cpu *cpu, const struct insn *insn);
void op_sldt(struct cpu *cpu, const struct insn *insn);
void op_str(struct cpu *cpu, const struct insn *insn);
void op_lar(struct cpu *cpu, const struct insn *insn);
void op_lsl(struct cpu *cpu, const struct insn *insn);
void op_verr(struct cpu *cpu, const struct insn *insn);
void op_verw(struct cpu *cpu, const struct insn *insn);
void op_arpl(struct cpu *cpu, const struct insn *insn);
void op_swapgs(struct cpu *cpu, const struct insn *insn);
/* Raises #GP, #NP or #SS as the manual says. */
void cpu_load_segment(struct cpu *cpu, unsigned segment, uint16_t selector);

/* transfer.c */
void op_call_far(struct cpu *cpu, const struct insn *insn);        /* 9A: immediate2:immediate */
void op_call_far_memory(struct cpu *cpu, const struct insn *insn); /* FF /3 */
void op_jump_far(struct cpu *cpu, const struct insn *insn);        /* EA */
void op_jump_far_memory(struct cpu *cpu, const struct insn *insn); /* FF /5 */
void op_return_far(struct cpu *cpu, const struct insn *insn);      /* CB, CA: immediate = bytes */
void op_iret(struct cpu *cpu, const struct insn *insn);
void op_int(struct cpu *cpu, const struct insn *insn);  /* CD: immediate = vector */
void op_int1(struct cpu *cpu, const struct insn *insn); /* F1 */
void op_int3(struct cpu *cpu, const struct insn *insn); /* CC */
void op_into(struct cpu *cpu, const struct insn *insn); /* CE */
void op_syscall(struct cpu *cpu, const struct insn *insn);
void op_sysret(struct cpu *cpu, const struct insn *insn);
void op_sysenter(struct cpu *cpu, const struct insn *insn);
void op_sysexit(struct cpu *cpu, const struct insn *insn);

/* control.c */
void op_mov_from_cr(struct cpu *cpu, const struct insn *insn); /* reg = CRn, rm = register */
void op_mov_to_cr(struct cpu *cpu, const struct insn *insn);
void op_mov_from_dr(struct cpu *cpu, const struct insn *insn);
void op_mov_to_dr(struct cpu *cpu, const struct insn *insn);
void op_clts(struct cpu *cpu, const struct insn *insn);
void op_smsw(struct cpu *cpu, const struct insn *insn);
void op_lmsw(struct cpu *cpu, const struct insn *insn);
void op_invlpg(struct cpu *cpu, const struct insn *insn);
void op_invd(struct cpu *cpu, const struct insn *insn); /* INVD and WBINVD */
void op_hlt(struct cpu *cpu, const struct insn *insn);
void op_cli(struct cpu *cpu, const struct insn *insn);
void op_sti(struct cpu *cpu, const struct insn *insn);
void op_pushf(struct cpu *cpu, const struct insn *insn);
void op_popf(struct cpu *cpu, const struct insn *insn);
void op_monitor(struct cpu *cpu, const struct insn *insn); /* MONITOR, MWAIT: #UD in hs64-v1 */

/* msr.c */
void op_rdmsr(struct cpu *cpu, const struct insn *insn);
void op_wrmsr(struct cpu *cpu, const struct insn *insn);
void op_rdtsc(struct cpu *cpu, const struct insn *insn);
void op_rdtscp(struct cpu *cpu, const struct insn *insn);
void op_rdpmc(struct cpu *cpu, const struct insn *insn);
void op_cpuid(struct cpu *cpu, const struct insn *insn);

/* io.c: E4 E5 EC ED, E6 E7 EE EF (port is the immediate when opcode < E8), 6C 6D, 6E 6F with REP.
 * IOPL and the TSS permission map are checked. */
void op_in(struct cpu *cpu, const struct insn *insn);
void op_out(struct cpu *cpu, const struct insn *insn);
void op_ins(struct cpu *cpu, const struct insn *insn);
void op_outs(struct cpu *cpu, const struct insn *insn);

#endif
