/* The 8254 PIT and the MC146818 real-time clock. */
#ifndef GUEST_TIMERS_H
#define GUEST_TIMERS_H

#include <stdint.h>

enum { PIT_CHANNEL0 = 0x40, PIT_CONTROL = 0x43, PIT_HZ = 1193182 };
enum { RTC_INDEX = 0x70, RTC_DATA = 0x71 };
enum {
    RTC_SECONDS = 0,
    RTC_MINUTES = 2,
    RTC_HOURS = 4,
    RTC_DAY = 7,
    RTC_MONTH = 8,
    RTC_YEAR = 9,
    RTC_A = 10,
    RTC_B = 11,
    RTC_C = 12,
    RTC_D = 13,
};

struct rtc_time {
    uint8_t year, month, day, hours, minutes, seconds; /* BCD, as the chip holds them */
};

/* Channel 0 in mode 2 (rate generator) at `hz`, 19 to 1193182. Returns the divisor. */
uint16_t pit_start(unsigned hz);
/* Latches and reads the count of a channel that was programmed for two-byte access. */
uint16_t pit_count(unsigned channel);

uint8_t rtc_read(uint8_t index);
void rtc_write(uint8_t index, uint8_t value);
/* Waits until no update is in progress, then reads the time. */
void rtc_read_time(struct rtc_time *time);

#endif
