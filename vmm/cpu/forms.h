/*
 * What else than a handler a row of decode_table.c may name.
 *
 * fast_NAME: the dispatcher's form. Fills in the register operands of `op` and returns the form, or
 * NULL: this one goes by its handler. In specialize.c, for SSE instructions in execute_sse.c.
 * native_NAME: how it is translated, in a file of native/.
 */
#ifndef VMM_CPU_FORMS_H
#define VMM_CPU_FORMS_H

#include "vmm/cpu/blocks.h"

struct compile; /* native/compile.h */

/* How one instruction is translated. Masks are of arithmetic flags, in RFLAGS format. */
struct translation_form {
    void (*emit)(struct compile *c);
    bool (*possible)(const struct insn *insn); /* NULL: always */
    uint16_t reads;
    uint16_t writes;  /* whatever they were before */
    bool touches;     /* leaves flags in the host: `writes`, and others changed or not */
    bool escapes;     /* may escape, even without a memory operand by ModRM */
    bool intel_calls; /* with Intel's rules the handler may be called */
};

#define DECLARE_NATIVE(name) extern const struct translation_form native_##name[]
#define DECLARE_FORMS(name)                                                 \
    op_exec fast_##name(const struct cpu *cpu, struct op *op, bool code64); \
    DECLARE_NATIVE(name)

DECLARE_FORMS(alu_rm_reg);
DECLARE_FORMS(alu_reg_rm);
DECLARE_FORMS(alu_acc_imm);
DECLARE_FORMS(alu_rm_imm);
DECLARE_FORMS(test_rm_reg);
DECLARE_FORMS(test_rm_imm);
DECLARE_FORMS(test_acc_imm);
DECLARE_FORMS(inc);
DECLARE_FORMS(dec);
DECLARE_FORMS(complement);
DECLARE_FORMS(neg);
DECLARE_FORMS(shift_imm);
DECLARE_FORMS(shift_1);
DECLARE_FORMS(shift_cl);
DECLARE_FORMS(imul_reg_rm);
DECLARE_FORMS(imul_reg_imm);
DECLARE_FORMS(mov_rm_reg);
DECLARE_FORMS(mov_reg_rm);
DECLARE_FORMS(mov_rm_imm);
DECLARE_FORMS(mov_reg_imm);
DECLARE_FORMS(movzx8);
DECLARE_FORMS(movzx16);
DECLARE_FORMS(movsx8);
DECLARE_FORMS(movsx16);
DECLARE_FORMS(movsxd);
DECLARE_FORMS(lea);
DECLARE_FORMS(cmov);
DECLARE_FORMS(setcc);
DECLARE_FORMS(nop);
DECLARE_FORMS(push_reg);
DECLARE_FORMS(push_rm);
DECLARE_FORMS(push_imm);
DECLARE_FORMS(pop_reg);
DECLARE_FORMS(leave);
DECLARE_FORMS(jcc);
DECLARE_FORMS(jump);
DECLARE_FORMS(call);
DECLARE_FORMS(return_near);
DECLARE_FORMS(call_rm);
DECLARE_FORMS(jump_rm);
DECLARE_FORMS(simd);

DECLARE_NATIVE(cmc);
DECLARE_NATIVE(clc);
DECLARE_NATIVE(stc);
DECLARE_NATIVE(shld_imm);
DECLARE_NATIVE(shrd_imm);
DECLARE_NATIVE(mul);
DECLARE_NATIVE(imul);
DECLARE_NATIVE(div);
DECLARE_NATIVE(bit_test_imm);
DECLARE_NATIVE(bit_test_reg);
DECLARE_NATIVE(bsf);
DECLARE_NATIVE(bsr);
DECLARE_NATIVE(popcnt);
DECLARE_NATIVE(bswap);
DECLARE_NATIVE(xchg_rm_reg);
DECLARE_NATIVE(xchg_acc);
DECLARE_NATIVE(convert_acc);
DECLARE_NATIVE(convert_dx);

#undef DECLARE_FORMS
#undef DECLARE_NATIVE

#endif
