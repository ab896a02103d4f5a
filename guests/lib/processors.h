/* Secondary processors, and the local APIC (AMD64 APM volume 2, chapter 16). */
#ifndef GUEST_PROCESSORS_H
#define GUEST_PROCESSORS_H

#include <stdbool.h>
#include <stdint.h>

enum { PROCESSORS_MAX = 16 };

enum {
    APIC_ID = 0x20,
    APIC_EOI = 0xb0,
    APIC_SVR = 0xf0,
    APIC_ICR = 0x300,
    APIC_ICR_HIGH = 0x310,
};

/* What to add to a vector, or to send instead of one. */
enum {
    IPI_NMI = 4 << 8,
    IPI_INIT = 5 << 8,
    IPI_STARTUP = 6 << 8,
    IPI_ASSERT = 1 << 14,
    IPI_TO_SELF = 1 << 18,
    IPI_TO_ALL = 2 << 18,
    IPI_TO_OTHERS = 3 << 18,
};

static inline volatile uint32_t *apic_register(unsigned offset)
{
    return (volatile uint32_t *)(0xfee00000ull + offset);
}

/* How many the machine has, by CPUID. */
unsigned processors_count(void);
/* The one that asks, from 0 on. */
unsigned processors_self(void);
/*
 * Enables the APIC and starts `count` - 1 others, which run `entry` with their number, interrupts
 * off, APIC enabled, stack and IDT their own and shared, and halt for good when it returns. Waits
 * until all have begun. Call once.
 */
void processors_start(unsigned count, void (*entry)(unsigned number));
/* Waits until `entry` has returned everywhere. */
void processors_join(void);
void processors_send(unsigned destination, uint32_t message);

static inline void processor_pause(void)
{
    __asm__ volatile("pause" : : : "memory");
}

#endif
