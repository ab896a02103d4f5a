/*
 * One processor hands numbers to another in memory and says so by an interrupt, which is all that
 * orders the two. Its local APIC may be elsewhere than where firmware leaves it. Options:
 * rounds=50 apic=0xfee00000.
 */
#include <stdint.h>

#include "lib/boot.h"
#include "lib/console.h"
#include "lib/exit.h"
#include "lib/interrupts.h"
#include "lib/processors.h"

enum { APIC_BASE_MSR = 0x1b, VECTOR_LETTER = 0x60 };
/* Debug-exit value: something that must hold does not. */
enum { BROKEN = 8 };

static uint64_t rounds;
static volatile uint64_t letter, taken;

static void on_letter(struct interrupt_frame *frame)
{
    (void)frame;
    if (letter != taken + 1)
        guest_panic(BROKEN, "letter %lu after %lu", (uint64_t)letter, (uint64_t)taken);
    __atomic_fetch_add(&taken, 1, __ATOMIC_SEQ_CST);
    *apic_register(APIC_EOI) = 0;
}

static void receive(unsigned number)
{
    if (number != 1)
        return;
    interrupts_on();
    while (taken < rounds)
        processor_pause();
    interrupts_off();
}

/* Where the running processor's registers are from now on. */
static volatile uint32_t *move_apic(uint64_t place)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(APIC_BASE_MSR));
    low = (low & 0xfff) | (uint32_t)place;
    __asm__ volatile("wrmsr" : : "c"(APIC_BASE_MSR), "a"(low), "d"(high) : "memory");
    return (volatile uint32_t *)place;
}

void guest_main(const struct boot_info *boot)
{
    /* Before the others start: their first code goes where the command line may be. */
    rounds = boot_option(boot, "rounds", 50);
    uint64_t place = boot_option(boot, "apic", 0xfee00000);
    if (processors_count() < 2)
        guest_panic(2, "two processors are needed");
    interrupts_handle(VECTOR_LETTER, on_letter);
    processors_start(processors_count(), receive);
    volatile uint32_t *apic = move_apic(place);
    for (uint64_t i = 0; i < rounds; i++) {
        letter = i + 1;
        apic[APIC_ICR_HIGH / 4] = 1 << 24;
        apic[APIC_ICR / 4] = VECTOR_LETTER;
        while (taken <= i)
            processor_pause();
    }
    processors_join();
    console_printf("message: %lu letters\n", (uint64_t)taken);
}
