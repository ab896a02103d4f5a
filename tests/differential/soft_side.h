/*
 * The software CPU's side: a guest whose page tables, selectors and segment bases mirror the native
 * child's, and whose IDT leads every vector to a HLT at a known address.
 */
#ifndef TESTS_DIFFERENTIAL_SOFT_SIDE_H
#define TESTS_DIFFERENTIAL_SOFT_SIDE_H

#include "base/error.h"
#include "tests/differential/case.h"
#include "vmm/arch/personality.h"

struct soft_side;

struct soft_side *soft_side_create(struct error *error);
/* Whose rules it follows; AMD's before. */
void soft_side_rules(struct soft_side *side, struct personality personality);
void soft_side_destroy(struct soft_side *side);
/* The memory (MEMORY_SIZE bytes) with which the following cases begin. */
void soft_side_memory(struct soft_side *side, const uint8_t *initial);
/* -1 when the engine itself fails ("not implemented", ...); the outcome is then FAILED. */
int soft_side_run(struct soft_side *side, const struct test_case *test, struct outcome *outcome,
    struct error *error);

#endif
