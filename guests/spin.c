/*
 * Seconds of ring 3 computation without a single exit while the PIT asks for interrupts at 100 Hz:
 * they can only be delivered by stopping the vCPU at an arbitrary instruction. The result depends
 * on `loops` and `passes` alone, never on where interrupts landed. The passes of a second loop have
 * equal registers and differ in memory only. Options: loops=400000000 passes=0 hz=100.
 */
#include <stdint.h>

#include "lib/boot.h"
#include "lib/console.h"
#include "lib/interrupts.h"
#include "lib/pic.h"
#include "lib/timers.h"
#include "lib/user.h"

enum { TABLE_SIZE = 512 };

static volatile uint64_t ticks;
static uint64_t table[TABLE_SIZE];

static void handle_pit(struct interrupt_frame *frame)
{
    (void)frame;
    ticks++;
    pic_end(IRQ_PIT);
}

/* xorshift64 (Marsaglia 2003, shifts 13, 7, 17), folded into a table. */
static uint64_t spin(void *argument)
{
    uint64_t loops = *(uint64_t *)argument;
    uint64_t x = 88172645463325252ull;
    for (uint64_t i = 0; i < loops; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        table[i % TABLE_SIZE] ^= x;
    }
    for (unsigned i = 0; i < TABLE_SIZE; i++)
        x = x * 31 + table[i];
    return x;
}

/* Every second pass has the same flags, too. */
static uint64_t count(void *argument)
{
    struct {
        uint64_t left, value;
    } counter = {*(uint64_t *)argument, 0};
    if (counter.left)
        __asm__ volatile("1: xorq $1, 8(%0)\n"
                         "   subq $1, (%0)\n"
                         "   jnz 1b\n"
                         :
                         : "r"(&counter)
                         : "memory", "cc");
    return counter.left + counter.value;
}

void guest_main(const struct boot_info *boot)
{
    static uint64_t loops, passes;
    loops = boot_option(boot, "loops", 400000000);
    passes = boot_option(boot, "passes", 0);
    console_printf("spin: %lu loops\n", loops);
    interrupts_handle(VECTOR_IRQ0 + IRQ_PIT, handle_pit);
    pit_start((unsigned)boot_option(boot, "hz", 100));
    pic_unmask(IRQ_PIT);
    uint64_t result = user_run(spin, &loops) + user_run(count, &passes) - (passes & 1);
    interrupts_off();
    console_printf("spin: result %016lx after %lu ticks\n", result, (uint64_t)ticks);
}
