/*
 * Timer interrupts and clock reads with an idle CPU in between: PIT channel 0 at 100 Hz, the RTC's
 * update-ended interrupt, HLT. Options: ticks=300.
 */
#include <stdint.h>

#include "lib/boot.h"
#include "lib/console.h"
#include "lib/exit.h"
#include "lib/interrupts.h"
#include "lib/pic.h"
#include "lib/timers.h"

enum { HZ = 100, REPORT_EVERY = 50 };

static volatile uint64_t ticks, seconds;

static void handle_pit(struct interrupt_frame *frame)
{
    (void)frame;
    ticks++;
    pic_end(IRQ_PIT);
}

static void handle_rtc(struct interrupt_frame *frame)
{
    (void)frame;
    if (rtc_read(RTC_C) & 0x10) /* UF; reading acknowledges */
        seconds++;
    pic_end(IRQ_RTC);
}

static void report(uint16_t divisor)
{
    struct rtc_time now;
    rtc_read_time(&now);
    uint16_t count = pit_count(0);
    if (count == 0 || count > divisor)
        guest_panic(3, "PIT count %u is outside 1 to %u", count, divisor);
    console_printf("tick %lu: 20%02x-%02x-%02x %02x:%02x:%02x, count %u\n", (uint64_t)ticks,
        now.year, now.month, now.day, now.hours, now.minutes, now.seconds, count);
}

void guest_main(const struct boot_info *boot)
{
    uint64_t wanted = boot_option(boot, "ticks", 300);
    console_printf("clock: %lu ticks at %u Hz\n", wanted, HZ);
    interrupts_handle(VECTOR_IRQ0 + IRQ_PIT, handle_pit);
    interrupts_handle(VECTOR_IRQ0 + IRQ_RTC, handle_rtc);
    uint16_t divisor = pit_start(HZ);
    pic_unmask(IRQ_PIT);
    pic_unmask(IRQ_RTC);
    rtc_write(RTC_B, 0x12); /* UIE, 24-hour mode, BCD */
    rtc_read(RTC_C);

    uint64_t next_report = REPORT_EVERY;
    interrupts_off();
    while (ticks < wanted) {
        interrupts_wait();
        if (ticks >= next_report) {
            report(divisor);
            next_report += REPORT_EVERY;
        }
    }
    rtc_write(RTC_B, 0x02);
    console_printf("clock: done, %lu RTC updates seen\n", (uint64_t)seconds);
}
