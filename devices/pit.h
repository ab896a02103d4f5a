/*
 * 8254 programmable interval timer (Intel data sheet, order 231164) at ports 0x40-0x43, with the
 * PC's wiring: counter 0 to IRQ 0, counter 2 gated and observed through system control port B
 * (0x61). All six modes, BCD, counter latch and read-back commands, null count.
 *
 * - The input clock is exactly 1193182 Hz: tick n falls on the first nanosecond at which
 *   floor(now * 1193182 / 10^9) is n. Counts are computed from time, never accumulated.
 * - A count written during tick k is loaded at tick k + 1, as the data sheet says. Until the first
 *   load after a control word the counter reads as the count to come (the data sheet leaves it
 *   undefined; the null count bit is set).
 * - The line to the interrupt controller rises exactly when OUT of counter 0 rises. Of the falls it
 *   shows those caused by a control word or a count; the periodic ones of modes 2, 3 and 4 reach it
 *   as a zero-width low pulse at the next rise. So a request lasts until the guest takes it,
 * however late that is, and a period costs one timer deadline. OUT as read back by status is exact.
 * - Edges of one clock_advance beyond the first coalesce: see clock_horizon.
 * - Counts of 1 in modes 2 and 3, illegal by the data sheet, act as a period of one tick.
 * - Time is sampled when a count, a gate change, a latch command, or a read of a counter that is
 * not latched needs it, and by reads of port 0x61; never otherwise.
 * - Port 0x61: bit 0 gate 2, bit 1 speaker data, bits 2-3 stored, bit 4 toggles every 18 ticks
 *   (the refresh request), bit 5 OUT 2, bits 6-7 zero. Gates 0 and 1 are high.
 *
 * The 8254 has no reset input; reset returns to the state after create: all counters without a
 * control word, OUT high, gate 2 low.
 */
#ifndef DEVICES_PIT_H
#define DEVICES_PIT_H

#include "devices/device.h"

struct pit;

enum { PIT_PORT = 0x40, PIT_SYSTEM_PORT = 0x61, PIT_HZ = 1193182 };

struct pit_config {
    struct clock *clock;
    struct irq_line irq; /* OUT of counter 0; driven high by create */
};

struct pit *pit_create(const struct pit_config *config, struct error *error);
void pit_destroy(struct pit *pit); /* cancels its timer; NULL is fine */
int pit_attach(struct pit *pit, struct bus *ports, struct error *error);
struct device pit_device(struct pit *pit);
extern const struct device_class pit_class;

#endif
