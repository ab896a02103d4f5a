/* The 8254 and the real-time clock. */
#include "lib/timers.h"

#include "lib/port.h"

uint16_t pit_start(unsigned hz)
{
    uint16_t divisor = (uint16_t)((PIT_HZ + hz / 2) / hz);
    port_out8(PIT_CONTROL, 0x34); /* channel 0, low then high byte, mode 2, binary */
    port_out8(PIT_CHANNEL0, (uint8_t)divisor);
    port_out8(PIT_CHANNEL0, (uint8_t)(divisor >> 8));
    return divisor;
}

uint16_t pit_count(unsigned channel)
{
    uint16_t port = (uint16_t)(PIT_CHANNEL0 + channel);
    port_out8(PIT_CONTROL, (uint8_t)(channel << 6)); /* counter latch command */
    uint8_t low = port_in8(port);
    return (uint16_t)(low | port_in8(port) << 8);
}

uint8_t rtc_read(uint8_t index)
{
    port_out8(RTC_INDEX, index);
    return port_in8(RTC_DATA);
}

void rtc_write(uint8_t index, uint8_t value)
{
    port_out8(RTC_INDEX, index);
    port_out8(RTC_DATA, value);
}

void rtc_read_time(struct rtc_time *time)
{
    while (rtc_read(RTC_A) & 0x80) /* UIP */
        ;
    time->seconds = rtc_read(RTC_SECONDS);
    time->minutes = rtc_read(RTC_MINUTES);
    time->hours = rtc_read(RTC_HOURS);
    time->day = rtc_read(RTC_DAY);
    time->month = rtc_read(RTC_MONTH);
    time->year = rtc_read(RTC_YEAR);
}
