/*
 * Measures the TSC against the PIT as kernels do: counter 2 runs for 100 ms, and port 0x61 is read
 * until its output rises. Counter 0 interrupts meanwhile, so that accesses pass its deadlines.
 * Prints the frequency, the reads it took and the least that one took by the TSC.
 */
#include <stdint.h>

#include "lib/boot.h"
#include "lib/console.h"
#include "lib/exit.h"
#include "lib/interrupts.h"
#include "lib/pic.h"
#include "lib/port.h"
#include "lib/timers.h"

enum {
    ROUNDS = 2, /* of 50 ms each: 16 bits hold no more than 54.9 */
    ROUND_TICKS = PIT_HZ / 20,
    INTERRUPTS_HZ = 1000,
    SYSTEM_PORT = 0x61,
    GATE_2 = 1,
    OUTPUT_2 = 1 << 5,
    COUNTER_2 = 0x42,
    COUNTER_2_MODE_0 = 0xb0,
};

static volatile uint64_t interrupts;

static void handle_pit(struct interrupt_frame *frame)
{
    (void)frame;
    interrupts++;
    pic_end(IRQ_PIT);
}

static uint64_t time_stamp(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

/* Reads port 0x61 until counter 2 is through; returns how often. */
static uint64_t wait_round(uint64_t *least)
{
    uint64_t reads = 0;
    port_out8(PIT_CONTROL, COUNTER_2_MODE_0);
    port_out8(COUNTER_2, ROUND_TICKS & 0xff);
    port_out8(COUNTER_2, ROUND_TICKS >> 8);
    for (uint8_t value = 0; !(value & OUTPUT_2); reads++) {
        uint64_t before = time_stamp();
        value = port_in8(SYSTEM_PORT);
        uint64_t took = time_stamp() - before;
        if (took < *least)
            *least = took;
    }
    return reads;
}

void guest_main(const struct boot_info *boot)
{
    (void)boot;
    uint64_t reads = 0, least = UINT64_MAX;
    interrupts_handle(VECTOR_IRQ0 + IRQ_PIT, handle_pit);
    pit_start(INTERRUPTS_HZ);
    pic_unmask(IRQ_PIT);
    interrupts_on();
    port_out8(SYSTEM_PORT, GATE_2);
    uint64_t start = time_stamp();
    for (unsigned i = 0; i < ROUNDS; i++)
        reads += wait_round(&least);
    uint64_t ticks = time_stamp() - start;
    interrupts_off();
    if (interrupts < 50)
        guest_panic(4, "%lu interrupts in 100 ms", (uint64_t)interrupts);
    console_printf("calibrate: %lu kHz, %lu reads, least %lu ticks\n", ticks / 100, reads, least);
}
