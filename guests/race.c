/*
 * Two planted races between two processors. bug=lost: each works for a while and adds one to a
 * counter that both share, without a lock; an update is lost when the other's falls between load
 * and store. bug=fence: each sets its own flag and looks at the other's, which both may find unset
 * only where a store is held back past a later load, and MFENCE is missing. Debug-exit value 9:
 * it happened. Options: bug=0 (0: lost, 1: fence, 2: fence with MFENCE) rounds=1000 work=2000.
 */
#include <stdint.h>

#include "lib/boot.h"
#include "lib/console.h"
#include "lib/exit.h"
#include "lib/processors.h"

enum bug { BUG_LOST, BUG_FENCE, BUG_NONE };
enum { HAPPENED = 9 };

static enum bug bug;
static uint64_t rounds, work;
static volatile uint64_t counter;
static volatile uint64_t result[2];
static volatile unsigned ready[2];

/* Apart from each other, as a compiler would put what is used apart. */
static struct {
    volatile uint64_t value;
    char padding[120];
} flag[2], saw[2];

static uint64_t do_work(uint64_t x)
{
    for (uint64_t i = 0; i < work; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    return x;
}

static void __attribute__((noinline)) add_one(void)
{
    counter = counter + 1;
}

static void add(unsigned number)
{
    uint64_t x = 88172645463325252ull + number;
    for (uint64_t i = 0; i < rounds; i++) {
        x = do_work(x);
        add_one();
    }
    result[number] = x;
}

static void meet(unsigned number, unsigned round)
{
    ready[number] = round;
    while (ready[1 - number] < round)
        processor_pause();
}

static void __attribute__((noinline)) look(unsigned number)
{
    flag[number].value = 1;
    if (bug == BUG_NONE)
        __asm__ volatile("mfence" : : : "memory");
    saw[number].value = flag[1 - number].value;
}

static void compare(unsigned number)
{
    for (unsigned round = 0; round < rounds; round++) {
        flag[number].value = 0;
        __asm__ volatile("mfence" : : : "memory");
        meet(number, 3 * round + 1);
        look(number);
        meet(number, 3 * round + 2);
        if (!saw[0].value && !saw[1].value) {
            if (number == 0)
                guest_panic(HAPPENED, "both flags unset in round %u", round);
        }
        meet(number, 3 * round + 3);
    }
}

static void race(unsigned number)
{
    if (number > 1)
        return;
    if (bug == BUG_LOST)
        add(number);
    else
        compare(number);
}

void guest_main(const struct boot_info *boot)
{
    bug = (enum bug)boot_option(boot, "bug", BUG_LOST);
    rounds = boot_option(boot, "rounds", 1000);
    work = boot_option(boot, "work", 2000);
    if (processors_count() < 2)
        guest_panic(2, "two processors are needed");
    processors_start(processors_count(), race);
    race(0);
    processors_join();
    if (bug == BUG_LOST && counter != 2 * rounds)
        guest_panic(HAPPENED, "%lu of %lu updates lost", 2 * rounds - counter, 2 * rounds);
    console_printf("race: nothing happened\n");
}
