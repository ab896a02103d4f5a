/*
 * Where one instruction's results come from, byte by byte: which bytes of
 * registers and memory it copies, which it computes and from what. Decoded by
 * capstone; the accesses that the instruction really made tell the memory.
 *
 * Sources: AMD64 Architecture Programmer's Manual volumes 3 and 4.
 */
#ifndef DEBUGGER_FLOW_H
#define DEBUGGER_FLOW_H

#include <capstone/capstone.h>
#include <stdbool.h>
#include <stdint.h>

#include "replay/stretch.h"
#include "vmm/arch/memory.h"
#include "vmm/arch/vcpu.h"

/* Registers by number, each of 8 bytes or, from FLOW_XMM on, 16. */
enum {
    FLOW_GPR = 0,
    FLOW_MM = GPR_COUNT,
    FLOW_FLAGS = FLOW_MM + 8,
    FLOW_XMM,
    FLOW_REGISTERS = FLOW_XMM + 16
};

/* One byte of the machine. */
struct flow_place {
    bool in_memory;
    uint64_t gpa;        /* in memory */
    uint8_t reg, offset; /* else */
};

enum flow_kind {
    FLOW_KEPT,     /* the instruction does not write there */
    FLOW_COPIED,   /* from `place` */
    FLOW_CONSTANT, /* the instruction itself has it */
    FLOW_PORT,     /* an input from a port, or from a register of a device in memory
                    */
    FLOW_CLOCK,    /* the time stamp counter */
    FLOW_COMPUTED, /* flow_operands() tells from what */
};

struct flow_source {
    enum flow_kind kind;
    struct flow_place place;
};

struct flow_decoder;

struct flow_decoder *flow_create(void); /* NULL: no memory */
void flow_destroy(struct flow_decoder *decoder);
/* For names of registers. */
csh flow_handle(const struct flow_decoder *decoder);
/* NULL where the bytes are no instruction. Belongs to the caller, who calls cs_free(). */
cs_insn *flow_decode(
    struct flow_decoder *decoder, const uint8_t *bytes, unsigned bits, uint64_t linear);
/* The registers that it writes wholly or in part, by bit. */
uint64_t flow_written(const struct flow_decoder *decoder, const cs_insn *insn);

/* An instruction that was executed, with what it accessed and the state before it. */
struct flow_step {
    const struct flow_decoder *decoder;
    const cs_insn *insn;
    const struct vcpu_state *before;
    const struct memory *memory;
    const struct stretch_access *accesses; /* its own, in order */
    unsigned access_count;
};

/* Where the byte that is at `place` after the instruction comes from. */
struct flow_source flow_find(const struct flow_step *step, const struct flow_place *place);

/* What a computing instruction reads. */
struct flow_operand {
    struct flow_place first;
    unsigned size;   /* bytes, at most 16 */
    bool is_address; /* it only tells where the memory is */
};

enum { FLOW_MAX_OPERANDS = 8 };

unsigned flow_operands(
    const struct flow_step *step, struct flow_operand operands[FLOW_MAX_OPERANDS]);
/* "rax", "eax", "ah", "xmm3" of these bytes of a register. */
void flow_register_name(unsigned reg, unsigned offset, unsigned size, char name[16]);
/* A register by a name as debuggers have it; false when there is none or it is not followed. */
bool flow_register_find(const char *name, struct flow_place *first, unsigned *size);

#endif
