/* RCPPS, RCPSS, RSQRTPS, RSQRTSS of the software CPU against the host's. */
#ifndef TESTS_DIFFERENTIAL_APPROXIMATIONS_H
#define TESTS_DIFFERENTIAL_APPROXIMATIONS_H

#include <stdbool.h>
#include <stdint.h>

/* `count` inputs spread over all; the exit status. */
int run_approximations(uint64_t count, bool intel);

#endif
