/*
 * The time stamp counter in every way it can be read and written: RDTSC, RDTSCP and RDMSR in ring
 * 0, then RDTSC and RDTSCP among computation in ring 3. It must never go back, and go on from what
 * WRMSR put there. Every value is folded into the number printed, so that a replay that answers one
 * of them otherwise prints another. Options: reads=300 spin=400000 (passes of a loop between
 * reads).
 */
#include <stddef.h>
#include <stdint.h>

#include "lib/boot.h"
#include "lib/console.h"
#include "lib/exit.h"
#include "lib/msr.h"
#include "lib/user.h"

enum { MSR_TSC = 0x10, MSR_TSC_AUX_LOW = 0x103, WENT_BACK = 3, AUX = 0x5a };

static uint64_t reads, spin, last, fold;

static void keep(uint64_t value)
{
    if (value < last)
        guest_fail(WENT_BACK);
    last = value;
    fold = (fold ^ value) * 0x9e3779b97f4a7c15ull;
}

static uint64_t join(uint32_t low, uint32_t high)
{
    return (uint64_t)high << 32 | low;
}

static uint64_t read_tsc(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return join(low, high);
}

static uint64_t read_tsc_and_aux(void)
{
    uint32_t low, high, aux;
    __asm__ volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(aux));
    if (aux != AUX)
        guest_fail(WENT_BACK);
    return join(low, high);
}

static uint64_t user_reads(void *argument)
{
    (void)argument;
    for (uint64_t i = 0; i < reads; i++) {
        keep(read_tsc());
        for (volatile uint64_t j = 0; j < (i % 8 ? 10 : spin); j++) {
        }
        keep(read_tsc_and_aux());
    }
    return fold;
}

void guest_main(const struct boot_info *boot)
{
    reads = boot_option(boot, "reads", 300);
    spin = boot_option(boot, "spin", 400000);
    msr_write(0xc0000000 | MSR_TSC_AUX_LOW, AUX);
    for (uint64_t i = 0; i < reads; i++) {
        keep(read_tsc());
        keep(msr_read(MSR_TSC));
        keep(read_tsc_and_aux());
    }
    const uint64_t ahead = last + (1ull << 40);
    msr_write(MSR_TSC, ahead);
    keep(read_tsc());
    if (last < ahead || last - ahead > 1ull << 36)
        guest_panic(WENT_BACK, "the counter does not go on from what was written");
    user_run(user_reads, NULL);
    msr_write(MSR_TSC, 0);
    if (read_tsc() > 1ull << 36)
        guest_panic(WENT_BACK, "the counter was not set back");
    console_printf("tsc: %lu reads, fold %016lx\n", 5 * reads + 1, fold);
}
