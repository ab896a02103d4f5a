/*
 * Instruction bytes to struct insn, for every mode. Knows nothing of caches or dispatch: it fills
 * in the operands and takes the handler from tables.
 *
 * Sources: AMD64 Architecture Programmer's Manual volume 3, chapter 1 and appendix A; Intel SDM
 * volume 2, chapter 2 and appendix A. Where the two differ (operand-size prefix on near branches in
 * 64-bit mode, opcodes that do not exist), `intel` says whose rule is taken.
 */
#ifndef VMM_CPU_DECODE_H
#define VMM_CPU_DECODE_H

#include "vmm/cpu/cpu.h"

enum { INSN_MAX_LENGTH = 15 };

enum decode_result {
    DECODE_OK,  /* *insn is filled in */
    DECODE_MORE /* the instruction goes on after the bytes given */
};

/*
 * Decodes the instruction at bytes[0]. At most INSN_MAX_LENGTH bytes are looked at.
 * `code_size` is CS's default operand size, 2 or 4; ignored when `code64`.
 *
 * Encodings that do not exist decode too, to a handler that raises #UD, and those longer than 15
 * bytes to one that raises #GP; both have INSN_ENDS_BLOCK.
 */
enum decode_result insn_decode(const uint8_t *bytes, unsigned available, bool code64,
    unsigned code_size, bool intel, struct insn *insn);

/* Does the handler raise #UD whatever the state? */
bool insn_is_undefined(const struct insn *insn);

#endif
