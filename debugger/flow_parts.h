/* The bytes of registers and memory that an instruction's operands name. Internal to flow*.c. */
#ifndef DEBUGGER_FLOW_PARTS_H
#define DEBUGGER_FLOW_PARTS_H

#include "debugger/flow.h"

/* What a register of capstone's is of ours. */
struct flow_part {
    unsigned reg, offset, size;
};

static inline struct flow_source flow_of_kind(enum flow_kind kind)
{
    return (struct flow_source){.kind = kind};
}

static inline struct flow_source flow_register_byte(unsigned reg, unsigned offset)
{
    return (struct flow_source){FLOW_COPIED, {.reg = (uint8_t)reg, .offset = (uint8_t)offset}};
}

static inline const cs_x86 *flow_x86(const cs_insn *insn)
{
    return &insn->detail->x86;
}

static inline bool flow_is_kind(const struct stretch_access *access, bool store)
{
    return access->kind == (store ? STRETCH_STORE : STRETCH_LOAD);
}

/* False for registers that are not followed. */
bool flow_part_of(unsigned reg, struct flow_part *part);
unsigned flow_operand_size(const cs_x86_op *operand);
/* Byte `index` of all that the instruction loaded, in order. */
struct flow_source flow_loaded_byte(const struct flow_step *step, uint64_t index);
/* Which byte of all that it stored lies there: the last one. */
bool flow_stored_index(const struct flow_step *step, uint64_t gpa, uint64_t *index);
/* Which byte of the operand, as a destination, the place is. */
bool flow_written_index(const struct flow_step *step, const cs_x86_op *operand,
    const struct flow_place *place, uint64_t *index);
/* Byte `index` of the operand as a source. */
struct flow_source flow_operand_byte(
    const struct flow_step *step, const cs_x86_op *operand, uint64_t index);
/* The same of one with `size` bytes, zeros after them. */
struct flow_source flow_copied(
    const struct flow_step *step, const cs_x86_op *from, uint64_t index, unsigned size);

/* ---- flow_rules.c ---- */

/* How flow_find() finds its answer for a group of instructions. */
typedef struct flow_source (*flow_rule)(
    const struct flow_step *step, const struct flow_place *place);

/* For what is at `place` after it. */
flow_rule flow_rule_of(const cs_insn *insn, const struct flow_place *place);
/* What writes all of its first operand, and whatever else is listed. */
struct flow_source flow_find_computed(const struct flow_step *step, const struct flow_place *place);

#endif
