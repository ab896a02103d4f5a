/*
 * A long pure computation in ring 3 with few exits: the start below `limit` of the longest Collatz
 * chain. A progress byte goes to the debug console from ring 3 eight times. Options: limit=3000000.
 */
#include <stdint.h>

#include "lib/boot.h"
#include "lib/console.h"
#include "lib/port.h"
#include "lib/user.h"

struct search {
    uint64_t limit;
    uint64_t start; /* of the longest chain; the first such */
    uint64_t steps;
};

static uint64_t chain_steps(uint64_t n)
{
    uint64_t steps = 0;
    while (n != 1) {
        uint64_t odd = n & 1;
        n = odd ? 3 * n + 1 : n >> 1;
        steps++;
    }
    return steps;
}

static uint64_t run_search(void *argument)
{
    struct search *search = argument;
    uint64_t eighth = search->limit / 8 + 1;
    uint64_t next_mark = eighth;
    for (uint64_t start = 1; start < search->limit; start++) {
        uint64_t steps = chain_steps(start);
        if (steps > search->steps) {
            search->steps = steps;
            search->start = start;
        }
        if (start == next_mark) {
            port_out8(DEBUG_CONSOLE, '.');
            next_mark += eighth;
        }
    }
    return search->start;
}

void guest_main(const struct boot_info *boot)
{
    static struct search search;
    search.limit = boot_option(boot, "limit", 3000000);
    search.start = 1;
    console_printf("compute: longest Collatz chain below %lu\n", search.limit);
    uint64_t start = user_run(run_search, &search);
    console_printf("compute: %lu with %lu steps\n", start, search.steps);
}
