/*
 * The host's side: a child process with the test memory at its fixed addresses. Each case is
 * entered by returning from a signal handler with the case's registers, and left by the signal that
 * its single-step trap, INT3 or fault raises; so one signal a case.
 */
#ifndef TESTS_DIFFERENTIAL_NATIVE_H
#define TESTS_DIFFERENTIAL_NATIVE_H

#include <stdio.h>

#include "base/error.h"
#include "tests/differential/case.h"

enum { BATCH = 256 };

struct native;

/* What the host's kernel keeps from a process, found by trying when the side is made. A kernel that
 * is itself a guest without VMX or SVM may run 64-bit code alone, lose NT, and not return to a
 * process whose RSP is not canonical. */
struct native_limits {
    bool no_compatibility, no_nested_task, no_wild_stack;
};

struct native *native_side_create(struct error *error);
void native_side_destroy(struct native *native);
const struct native_limits *native_limits(const struct native *native);
/* A line for each. */
void native_print_limits(const struct native *native, FILE *out);
/* Shared with the child: BATCH cases to fill, the memory they begin with, their outcomes. */
struct test_case *native_cases(struct native *native);
uint8_t *native_memory(struct native *native);
const struct outcome *native_outcomes(struct native *native);
/* Runs the first `count` cases; native_wait() returns when all outcomes are there. A case that does
 * not come back is HUNG; -1 when the child cannot be had. */
int native_submit(struct native *native, unsigned count, struct error *error);
int native_wait(struct native *native, struct error *error);

#endif
