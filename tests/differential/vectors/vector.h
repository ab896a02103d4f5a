/*
 * Golden vectors: cases of the tester with what each maker's processors made of them, one JSON
 * object a line (docs/cpu-testing.md, "Golden vectors").
 */
#ifndef TESTS_DIFFERENTIAL_VECTOR_H
#define TESTS_DIFFERENTIAL_VECTOR_H

#include <stdio.h>

#include "tests/differential/case.h"
#include "vmm/arch/personality.h"

enum { MAKERS = 2 }; /* MAKER_AMD, MAKER_INTEL */

struct vector {
    struct test_case test;
    uint8_t memory[MEMORY_SIZE];
    bool known[MAKERS];
    struct outcome outcome[MAKERS];
    char id[64];
    char text[1024]; /* the instructions, for a reader */
};

/* One line, without its end. False when it is no record; *vector is then not to be used. */
bool vector_read(struct vector *vector, const char *line);
/* What both makers have the same is written once. */
void vector_write(const struct vector *vector, FILE *out);

#endif
