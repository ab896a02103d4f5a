/*
 * Delta debugging ("Simplifying and Isolating Failure-Inducing Input", Zeller and Hildebrandt,
 * 2002): the smallest part of a list that still does what the whole does.
 */
#ifndef CLI_SUBSET_H
#define CLI_SUBSET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum { SUBSET_STOP = 2 };

/* Does a part do it? 1 or 0; SUBSET_STOP ends the search, -1 with the error, too. */
typedef int subset_test(void *context, const bool *kept, struct error *error);

/*
 * `kept` says which of `count` are in the part. The whole does it, none at all do not. Keeps the
 * first N, for an N near the end such that the first N - 1 do not do it. 0, SUBSET_STOP (N is then
 * one that does it), -1.
 */
int subset_cut_tail(
    bool *kept, size_t count, subset_test *test, void *context, struct error *error);

/*
 * Drops as many of the first `count` kept ones as it can; those past `count` stay. 1: without any
 * single one of those left it is not done. 0: the search was stopped before that was known. -1.
 */
int subset_minimize(
    bool *kept, size_t count, size_t total, subset_test *test, void *context, struct error *error);

#endif
