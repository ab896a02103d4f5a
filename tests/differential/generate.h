/*
 * Cases from a seed and an index. The same arguments give the same case.
 */
#ifndef TESTS_DIFFERENTIAL_GENERATE_H
#define TESTS_DIFFERENTIAL_GENERATE_H

#include "tests/differential/case.h"
#include "tests/differential/scan.h"

enum group {
    GROUP_ALU,
    GROUP_MOV,
    GROUP_STACK,
    GROUP_STRING,
    GROUP_SHIFT,
    GROUP_MULDIV,
    GROUP_BIT,
    GROUP_BRANCH,
    GROUP_FLAGS,
    GROUP_BCD,
    GROUP_ATOMIC,
    GROUP_SYSTEM,
    GROUP_X87,
    GROUP_SSE,
    GROUP_SSE38,
    GROUP_SSE3A,
    GROUP_FXSTATE,
    GROUP_UNDEFINED,
    GROUP_BYTES, /* random bytes */
    GROUP_BLOCK,
    GROUP_FIXED, /* a given instruction */
    GROUP_COUNT
};

struct generator {
    uint64_t seed;
    int group;            /* GROUP_COUNT: any */
    int mode;             /* 64, 32, or 0: both */
    const uint8_t *fixed; /* GROUP_FIXED: the instruction's bytes */
    unsigned fixed_size;
};

const char *group_name(unsigned group);
/* GROUP_COUNT when there is none of that name. */
unsigned group_find(const char *name);

/* Memory is common to the cases of one batch. */
void generate_memory(const struct generator *generator, uint64_t batch, uint8_t *memory);
void generate_case(const struct generator *generator, uint64_t index, const uint8_t *memory,
    struct test_case *test);

/* ---- aim.c ---------------------------------------------------------------------------------- */

/* FS_BASE, GS_BASE or 0, by the instruction's override. */
uint64_t aim_segment_base(const struct test_case *test, const struct scan *scan);
/* Offset plus FS or GS base of the memory operand with the case's registers; the instruction is at
 * linear address `rip`. False when it has none. */
bool aim_address(
    const struct test_case *test, const struct scan *scan, uint64_t rip, uint64_t *address);
/* Sets registers so that the memory operand lies at `target`, where its form leaves a choice. */
void aim_at(
    struct test_case *test, const struct scan *scan, struct random *random, uint64_t target);
/* Gives registers that instructions use implicitly values that make them do something. */
void aim_roles(
    struct test_case *test, const struct scan *scan, struct random *random, const uint8_t *memory);
/* The initial contents at a linear address; NULL outside the test memory. */
const uint8_t *aim_memory(const uint8_t *memory, uint64_t address, unsigned size);

#endif
