/*
 * An instruction in ring 0 that some hosts' KVM cannot execute (CMPXCHG16B), among others that it
 * can, without exits, while the PIT asks for interrupts: the stretch before each landing is
 * executed by two engines, and both write to memory. Options: loops=1500 hz=100.
 */
#include <stdint.h>

#include "lib/boot.h"
#include "lib/console.h"
#include "lib/interrupts.h"
#include "lib/pic.h"
#include "lib/timers.h"

enum { CELLS = 16, CELL_SIZE = 4096 };

struct cell {
    uint64_t low, high;
    uint64_t padding[CELL_SIZE / 8 - 2];
};

static volatile uint64_t ticks;
static struct cell exchanged[CELLS] __attribute__((aligned(CELL_SIZE)));
static struct cell added[CELLS] __attribute__((aligned(CELL_SIZE)));

static void handle_pit(struct interrupt_frame *frame)
{
    (void)frame;
    ticks++;
    pic_end(IRQ_PIT);
}

static void exchange(struct cell *cell, uint64_t value)
{
    uint64_t low = cell->low, high = cell->high;
    __asm__ volatile("cmpxchg16b %0"
                     : "+m"(*(char(*)[16])cell), "+a"(low), "+d"(high)
                     : "b"(low + value), "c"(high ^ value)
                     : "cc");
}

void guest_main(const struct boot_info *boot)
{
    uint64_t loops = boot_option(boot, "loops", 1500), x = 88172645463325252ull, sum = 0;
    interrupts_handle(VECTOR_IRQ0 + IRQ_PIT, handle_pit);
    pit_start((unsigned)boot_option(boot, "hz", 100));
    pic_unmask(IRQ_PIT);
    interrupts_on();
    for (uint64_t i = 0; i < loops; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        exchange(&exchanged[x % CELLS], x);
        added[x >> 8 & (CELLS - 1)].low += x;
    }
    interrupts_off();
    for (unsigned i = 0; i < CELLS; i++)
        sum = sum * 31 + exchanged[i].low + exchanged[i].high + added[i].low;
    console_printf("helped: sum %016lx\n", sum);
    console_printf("helped: %lu ticks\n", (uint64_t)ticks);
}
