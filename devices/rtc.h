/*
 * MC146818 real-time clock and CMOS RAM (Motorola MC146818A data sheet) at ports 0x70 (index; bit 7
 * masks NMI) and 0x71 (data), 128 bytes.
 *
 * Time is the start time given to create plus virtual time; it is UTC, follows the Gregorian
 * calendar and keeps the century in byte 0x32. Implemented: 12/24 hours, binary/BCD, SET, divider
 * reset (the first update comes 500 ms after it is released), UIP, periodic interrupt at all rates
 * of the 32.768 kHz time base, alarm with don't-care codes, update-ended interrupt, register C
 * cleared by reading. Not implemented: daylight saving (DSE is stored), the square wave output.
 *
 * - The update cycle ends exactly on the second: the new time shows and UF is set then. UIP is set
 *   for the 2228 us before it (244 us of notice, 1984 us of cycle); the time reads as the old
 * second until the cycle ends.
 * - Flags are worked out when register C is read or an interrupt is enabled; a timer is armed only
 *   while an enabled interrupt is still to come. Time is sampled by accesses to the time and alarm
 *   bytes and registers A, B and C; never by accesses to plain RAM.
 * - A time byte written out of range counts as the nearest valid value once the clock runs on.
 *
 * CMOS bytes set at create, as PC firmware leaves them: 0x15-0x16 base memory (640 KiB), 0x17-0x18
 * and 0x30-0x31 memory above 1 MiB in KiB, 0x34-0x35 memory above 16 MiB in 64 KiB (both below
 * 4 GiB, saturating), 0x5b-0x5d memory above 4 GiB in 64 KiB, 0x14 equipment, 0x2e-0x2f checksum.
 * Byte 0x0f is the shutdown status, plain RAM. Reset keeps the RAM and the time and does what the
 * RESET pin does: clears PIE, AIE, UIE, SQWE and the flags.
 */
#ifndef DEVICES_RTC_H
#define DEVICES_RTC_H

#include "devices/device.h"

struct rtc;

enum { RTC_PORT = 0x70, RTC_CMOS_SIZE = 128 };

struct rtc_config {
    struct clock *clock;
    struct irq_line irq;   /* IRQ 8, level: IRQF of register C */
    int64_t start_seconds; /* UTC at virtual time 0, since 1970-01-01; years 0 to 9999 */
    uint64_t memory_below_4g, memory_above_4g; /* bytes of RAM, the first including the low 1 MiB */
};

struct rtc *rtc_create(const struct rtc_config *config, struct error *error);
void rtc_destroy(struct rtc *rtc); /* cancels its timer; NULL is fine */
int rtc_attach(struct rtc *rtc, struct bus *ports, struct error *error);
struct device rtc_device(struct rtc *rtc);
bool rtc_nmi_masked(const struct rtc *rtc);
extern const struct device_class rtc_class;

#endif
