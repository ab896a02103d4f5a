/*
 * Compares what both sides made of a case, and prints both for a person.
 */
#ifndef TESTS_DIFFERENTIAL_COMPARE_H
#define TESTS_DIFFERENTIAL_COMPARE_H

#include <stdio.h>

#include "tests/differential/case.h"

enum verdict { SAME, DIFFERENT, LEFT_OUT };

/* `out` may be NULL; else one line for each field that differs goes there. `initial` is the memory
 * the case began with. */
enum verdict compare(const struct test_case *test, const uint8_t *initial,
    const struct outcome *native, const struct outcome *soft, FILE *out);
/* The case: disassembly and registers. */
void compare_describe(const struct test_case *test, FILE *out);
/* What is not compared, for --exclusions. */
void compare_print_exclusions(void);

#endif
