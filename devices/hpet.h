/*
 * High precision event timer (IA-PC HPET Specification 1.0a): a main counter of 64 bits and three
 * comparators at HPET_BASE.
 *
 * - The counter has a tick each 10 ns of virtual time while it is enabled. What is written to it
 *   holds at once, also while it runs, which the specification leaves open.
 * - All comparators have 64 bits and the 32-bit mode; comparator 0 can be periodic. A period takes
 *   one timer deadline, and none less than 1 us; edges of one clock_advance beyond the first
 *   coalesce (clock_horizon).
 * - Each comparator can be routed to inputs 20 to 23 of the I/O APIC, edge- or level-triggered. No
 *   messages (FSB).
 * - Legacy replacement: comparators 0 and 1 take the places of the PIT at IRQ 0 and the RTC at
 *   IRQ 8, whose lines therefore come through here. An edge there is a low pulse, as from the PIT:
 *   a request lasts until the guest takes it.
 * - Registers are read in every size, and written as 32 or 64 bits at multiples of their size;
 *   other writes are ignored.
 */
#ifndef DEVICES_HPET_H
#define DEVICES_HPET_H

#include "devices/device.h"

struct hpet;

#define HPET_BASE 0xfed00000ull
enum {
    HPET_SIZE = 0x400,
    HPET_TICK_NS = 10,
    HPET_TIMERS = 3,
    HPET_LEGACY_LINES = 2, /* the PIT's, the RTC's */
};
/* The low half of the capabilities: revision 1, three timers, 64 bits, legacy replacement, and this
 * model's vendor; the ACPI table repeats it. */
#define HPET_CAPABILITIES 0x1022a201u
/* Inputs of the I/O APIC that a comparator can be routed to. */
#define HPET_ROUTES 0x00f00000u

struct hpet_config {
    struct clock *clock;
    struct irq_line route;                     /* `input` is chosen by the guest */
    struct irq_line legacy[HPET_LEGACY_LINES]; /* IRQ 0 and IRQ 8 */
};

struct hpet *hpet_create(const struct hpet_config *config, struct error *error);
void hpet_destroy(struct hpet *hpet); /* cancels its timers; NULL is fine */
int hpet_attach(struct hpet *hpet, struct bus *mmio, struct error *error);
/* Where the PIT (0) and the RTC (1) are connected. */
struct irq_line hpet_legacy_line(struct hpet *hpet, unsigned line);
struct device hpet_device(struct hpet *hpet);
extern const struct device_class hpet_class;

#endif
