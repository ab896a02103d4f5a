/* Delta debugging over a list. */
#include "cli/subset.h"

#include <stdlib.h>
#include <string.h>

struct search {
    bool *kept, *trial;
    size_t count;
    subset_test *test;
    void *context;
};

static size_t size_of(const struct search *search)
{
    size_t size = 0;
    for (size_t i = 0; i < search->count; i++)
        size += search->kept[i];
    return size;
}

/* Of those kept, those from number `from` up to `to`, or all others. */
static void choose(struct search *search, size_t from, size_t to, bool others)
{
    size_t number = 0;
    for (size_t i = 0; i < search->count; i++) {
        bool inside = search->kept[i] && number >= from && number < to;
        search->trial[i] = search->kept[i] && inside != others;
        number += search->kept[i];
    }
}

static int attempt(struct search *search, size_t from, size_t to, bool others, struct error *error)
{
    choose(search, from, to, others);
    int result = search->test(search->context, search->trial, error);
    if (result == 1)
        memcpy(search->kept, search->trial, search->count);
    return result;
}

/* One pass with `parts` parts: 1 when a smaller part was found, 0 when not. */
static int pass(struct search *search, size_t *parts, struct error *error)
{
    size_t size = size_of(search);
    for (int others = 0; others < 2; others++) {
        /* The others of one of two parts are the other one. */
        for (size_t i = 0; i < *parts && !(others && *parts == 2); i++) {
            int result = attempt(search, size * i / *parts, size * (i + 1) / *parts, others, error);
            if (result == 0)
                continue;
            if (result == 1)
                *parts = !others ? 2 : *parts > 2 ? *parts - 1 : 2;
            return result;
        }
    }
    return 0;
}

static int minimize(struct search *search, struct error *error)
{
    /* Often none of them are needed. */
    int result = attempt(search, 0, 0, false, error);
    size_t parts = 2;
    while (result == 0 || result == 1) {
        size_t size = size_of(search);
        if (size == 0)
            return 1;
        if (parts > size)
            parts = size;
        result = pass(search, &parts, error);
        if (result == 0 && parts == size)
            return 1;
        if (result == 0)
            parts = parts * 2 < size ? parts * 2 : size;
    }
    return result == SUBSET_STOP ? 0 : result;
}

int subset_minimize(
    bool *kept, size_t count, size_t total, subset_test *test, void *context, struct error *error)
{
    struct search search = {
        .kept = kept, .trial = malloc(total + 1), .count = count, .test = test, .context = context};
    if (!search.trial)
        return error_set(error, "out of memory");
    memcpy(search.trial, kept, total);
    int result = minimize(&search, error);
    free(search.trial);
    return result;
}

static void keep_first(bool *kept, size_t count, size_t first)
{
    for (size_t i = 0; i < count; i++)
        kept[i] = i < first;
}

/* From the end in growing steps, so that what is found is near it; then by halves. */
int subset_cut_tail(bool *kept, size_t count, subset_test *test, void *context, struct error *error)
{
    size_t low = 0, high = count;
    bool found = false;
    for (size_t step = 1; high - low > 1;) {
        size_t middle = found ? low + (high - low) / 2 : high > step ? high - step : 0;
        keep_first(kept, count, middle);
        int result = middle ? test(context, kept, error) : 0;
        if (result < 0 || result == SUBSET_STOP) {
            keep_first(kept, count, high);
            return result;
        }
        if (result)
            high = middle;
        else
            low = middle, found = true;
        step *= 2;
    }
    keep_first(kept, count, high);
    return 0;
}
