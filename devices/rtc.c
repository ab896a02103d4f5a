/* The MC146818 real-time clock and CMOS RAM. */
#include "devices/rtc.h"

#include <stdlib.h>
#include <string.h>

enum {
    SECONDS = 0x00,
    SECONDS_ALARM = 0x01,
    MINUTES = 0x02,
    MINUTES_ALARM = 0x03,
    HOURS = 0x04,
    HOURS_ALARM = 0x05,
    WEEKDAY = 0x06,
    MONTH_DAY = 0x07,
    MONTH = 0x08,
    YEAR = 0x09,
    REGISTER_A = 0x0a,
    REGISTER_B = 0x0b,
    REGISTER_C = 0x0c,
    REGISTER_D = 0x0d,
    CENTURY = 0x32,
};
enum { A_UIP = 0x80, A_DIVIDER = 0x70, A_DIVIDER_RUNS = 0x20, A_RATE = 0x0f, A_POWER_ON = 0x26 };
enum { B_SET = 0x80, B_PIE = 0x40, B_AIE = 0x20, B_UIE = 0x10, B_SQWE = 8, B_BINARY = 4, B_24 = 2 };
enum { C_IRQF = 0x80, C_PF = 0x40, C_AF = 0x20, C_UF = 0x10, C_FLAGS = 0x70 };
enum { D_VRT = 0x80, HOUR_PM = 0x80, DONT_CARE = 0xc0 };
enum { DAY = 86400, UIP_NS = 2228000, NS = 1000000000, BASE_HZ = 32768 };

typedef __int128 wide;

struct rtc {
    struct rtc_config config;
    struct timer timer;
    uint8_t index; /* as written: bit 7 masks NMI */
    uint8_t cmos[RTC_CMOS_SIZE];
    uint8_t flags; /* register C, bits 4-6 */
    int64_t base;  /* virtual ns of a second boundary: the phase of the divider chain */
    uint64_t seen; /* virtual time up to which the bytes and flags above are right */
};

/* ---- Calendar ------------------------------------------------------------------------------- */

struct date {
    int64_t year;
    unsigned month, day; /* from 1 */
};

/* Days since 1970-01-01 of the Gregorian calendar, by 400-year eras that begin on 1 March. */
static int64_t days_of(struct date date)
{
    int64_t year = date.month <= 2 ? date.year - 1 : date.year;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * ((date.month + 9) % 12) + 2) / 5 + date.day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static struct date date_of(int64_t days)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153; /* from March */
    return (struct date){
        .year = era * 400 + year_of_era + (month >= 10),
        .month = (unsigned)(month < 10 ? month + 3 : month - 9),
        .day = (unsigned)(day_of_year - (153 * month + 2) / 5 + 1),
    };
}

/* ---- The bytes of the time ------------------------------------------------------------------ */

static unsigned decode(const struct rtc *rtc, uint8_t byte)
{
    return rtc->cmos[REGISTER_B] & B_BINARY ? byte : (byte >> 4) * 10u + (byte & 15u);
}

static uint8_t encode(const struct rtc *rtc, unsigned value)
{
    return (uint8_t)(rtc->cmos[REGISTER_B] & B_BINARY ? value : value / 10 << 4 | value % 10);
}

static unsigned decode_hour(const struct rtc *rtc, uint8_t byte)
{
    if (rtc->cmos[REGISTER_B] & B_24)
        return decode(rtc, byte);
    return decode(rtc, byte & ~HOUR_PM) % 12 + (byte & HOUR_PM ? 12 : 0);
}

static uint8_t encode_hour(const struct rtc *rtc, unsigned hour)
{
    if (rtc->cmos[REGISTER_B] & B_24)
        return encode(rtc, hour);
    return encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static unsigned clamp(unsigned value, unsigned low, unsigned high)
{
    return value < low ? low : value > high ? high : value;
}

static int64_t get_seconds(const struct rtc *rtc)
{
    const uint8_t *cmos = rtc->cmos;
    struct date date = {
        .year =
            clamp(decode(rtc, cmos[CENTURY]), 0, 99) * 100 + clamp(decode(rtc, cmos[YEAR]), 0, 99),
        .month = clamp(decode(rtc, cmos[MONTH]), 1, 12),
        .day = clamp(decode(rtc, cmos[MONTH_DAY]), 1, 31),
    };
    return days_of(date) * DAY + clamp(decode_hour(rtc, cmos[HOURS]), 0, 23) * 3600 +
           clamp(decode(rtc, cmos[MINUTES]), 0, 59) * 60 + clamp(decode(rtc, cmos[SECONDS]), 0, 59);
}

static void put_seconds(struct rtc *rtc, int64_t seconds)
{
    int64_t days = seconds / DAY;
    if (seconds % DAY < 0)
        days--;
    unsigned of_day = (unsigned)(seconds - days * DAY);
    struct date date = date_of(days);
    uint8_t *cmos = rtc->cmos;
    cmos[SECONDS] = encode(rtc, of_day % 60);
    cmos[MINUTES] = encode(rtc, of_day / 60 % 60);
    cmos[HOURS] = encode_hour(rtc, of_day / 3600);
    cmos[MONTH_DAY] = encode(rtc, date.day);
    cmos[MONTH] = encode(rtc, date.month);
    cmos[YEAR] = encode(rtc, (unsigned)(date.year % 100));
    cmos[CENTURY] = encode(rtc, (unsigned)(date.year / 100 % 100));
}

/* Lets the clock run on by some seconds. The day of the week is a counter of its own. */
static void add_seconds(struct rtc *rtc, int64_t count)
{
    int64_t before = get_seconds(rtc);
    int64_t days = (before + count + (int64_t)719528 * DAY) / DAY -
                   (before + (int64_t)719528 * DAY) / DAY; /* both from year 0, so not negative */
    unsigned weekday = clamp(decode(rtc, rtc->cmos[WEEKDAY]), 1, 7);
    rtc->cmos[WEEKDAY] = encode(rtc, (unsigned)((weekday - 1 + days) % 7 + 1));
    put_seconds(rtc, before + count);
}

/* Seconds until the alarm next matches: 1 to 86400, or 0 when it never does. */
static int64_t seconds_to_alarm(const struct rtc *rtc)
{
    static const uint8_t units[] = {HOURS, MINUTES, SECONDS};
    unsigned want[3];
    bool any[3];
    for (unsigned i = 0; i < 3; i++) {
        uint8_t byte = rtc->cmos[units[i] + 1];
        any[i] = (byte & DONT_CARE) == DONT_CARE;
        want[i] = units[i] == HOURS ? decode_hour(rtc, byte) : decode(rtc, byte);
        if (!any[i] && want[i] >= (units[i] == HOURS ? 24 : 60))
            return 0;
    }
    int64_t now = get_seconds(rtc) % DAY;
    if (now < 0)
        now += DAY;
    for (int64_t delta = 1; delta <= DAY;) {
        int64_t at = (now + delta) % DAY;
        unsigned hour = (unsigned)(at / 3600), minute = (unsigned)(at / 60 % 60);
        if (!any[0] && hour != want[0])
            delta += 3600 - at % 3600;
        else if (!any[1] && minute != want[1])
            delta += 60 - at % 60;
        else if (!any[2] && at % 60 != want[2])
            delta++;
        else
            return delta;
    }
    return 0;
}

/* ---- The divider chain ---------------------------------------------------------------------- */

static bool divider_runs(const struct rtc *rtc)
{
    return (rtc->cmos[REGISTER_A] & A_DIVIDER) == A_DIVIDER_RUNS;
}

static bool updates(const struct rtc *rtc)
{
    return divider_runs(rtc) && !(rtc->cmos[REGISTER_B] & B_SET);
}

/* Cycles of the 32.768 kHz time base in a period of the periodic interrupt; 0 for none. */
static unsigned period_cycles(const struct rtc *rtc)
{
    unsigned rate = rtc->cmos[REGISTER_A] & A_RATE;
    if (!divider_runs(rtc) || rate == 0)
        return 0;
    return rate <= 2 ? 1u << (rate + 6) : 1u << (rate - 1);
}

/* How many boundaries of `cycles` each have passed since the base. */
static int64_t boundaries(const struct rtc *rtc, uint64_t now, unsigned cycles)
{
    wide elapsed = ((wide)now - rtc->base) * BASE_HZ;
    wide unit = (wide)NS * cycles;
    return (int64_t)(elapsed >= 0 ? elapsed / unit : -((unit - 1 - elapsed) / unit));
}

/* The first nanosecond of boundary number `count`. */
static uint64_t boundary_time(const struct rtc *rtc, int64_t count, unsigned cycles)
{
    wide scaled = (wide)count * cycles * NS;
    wide time = rtc->base + (scaled >= 0 ? (scaled + BASE_HZ - 1) / BASE_HZ : scaled / BASE_HZ);
    if (time < 0)
        return 0;
    return time >= (wide)TIMER_IDLE ? TIMER_IDLE : (uint64_t)time;
}

/* Brings bytes and flags up to `now`. */
static void settle(struct rtc *rtc, uint64_t now)
{
    if (now <= rtc->seen)
        return;
    unsigned cycles = period_cycles(rtc);
    if (cycles && boundaries(rtc, now, cycles) > boundaries(rtc, rtc->seen, cycles))
        rtc->flags |= C_PF;
    int64_t seconds = boundaries(rtc, now, BASE_HZ) - boundaries(rtc, rtc->seen, BASE_HZ);
    if (updates(rtc) && seconds > 0) {
        int64_t alarm = seconds_to_alarm(rtc);
        if (alarm && alarm <= seconds)
            rtc->flags |= C_AF;
        rtc->flags |= C_UF;
        add_seconds(rtc, seconds);
    }
    rtc->seen = now;
}

/* ---- Interrupts ----------------------------------------------------------------------------- */

static bool irqf(const struct rtc *rtc)
{
    return rtc->flags & rtc->cmos[REGISTER_B] & C_FLAGS;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The next time at which an enabled interrupt comes. Call when settled and IRQF is clear. */
static uint64_t next_interrupt(const struct rtc *rtc)
{
    uint8_t enabled = rtc->cmos[REGISTER_B];
    unsigned cycles = period_cycles(rtc);
    uint64_t next = TIMER_IDLE;
    if ((enabled & B_PIE) && cycles)
        next = boundary_time(rtc, boundaries(rtc, rtc->seen, cycles) + 1, cycles);
    if (!updates(rtc))
        return next;
    int64_t second = boundaries(rtc, rtc->seen, BASE_HZ);
    if (enabled & B_UIE)
        next = earlier(next, boundary_time(rtc, second + 1, BASE_HZ));
    int64_t alarm = enabled & B_AIE ? seconds_to_alarm(rtc) : 0;
    return alarm ? earlier(next, boundary_time(rtc, second + alarm, BASE_HZ)) : next;
}

/* The line follows IRQF; while it is up nothing more can happen until register C is read. */
static void update_irq(struct rtc *rtc)
{
    irq_set(&rtc->config.irq, irqf(rtc));
    timer_arm(rtc->config.clock, &rtc->timer, irqf(rtc) ? TIMER_IDLE : next_interrupt(rtc));
}

static void rtc_fire(void *device, uint64_t now)
{
    struct rtc *rtc = device;
    settle(rtc, now);
    update_irq(rtc);
}

/* ---- Registers ------------------------------------------------------------------------------ */

static bool is_time_byte(unsigned index)
{
    return index <= YEAR || index == CENTURY;
}

static uint8_t read_register_a(struct rtc *rtc)
{
    uint64_t now = rtc->seen;
    uint8_t uip = 0;
    if (updates(rtc)) {
        uint64_t next = boundary_time(rtc, boundaries(rtc, now, BASE_HZ) + 1, BASE_HZ);
        uip = next - now <= UIP_NS ? A_UIP : 0;
    }
    return rtc->cmos[REGISTER_A] | uip;
}

static uint8_t read_register_c(struct rtc *rtc)
{
    uint8_t value = rtc->flags | (irqf(rtc) ? C_IRQF : 0);
    rtc->flags = 0;
    update_irq(rtc);
    return value;
}

static uint8_t read_data(struct rtc *rtc)
{
    unsigned index = rtc->index & 0x7f;
    if (is_time_byte(index) || index == REGISTER_A || index == REGISTER_C)
        settle(rtc, clock_now(rtc->config.clock));
    if (index == REGISTER_A)
        return read_register_a(rtc);
    if (index == REGISTER_C)
        return read_register_c(rtc);
    return rtc->cmos[index];
}

static void write_register_a(struct rtc *rtc, uint8_t value)
{
    bool ran = divider_runs(rtc);
    rtc->cmos[REGISTER_A] = value & ~A_UIP;
    if (!ran && divider_runs(rtc)) /* the chain starts half a second before the first update */
        rtc->base = (int64_t)(rtc->seen & INT64_MAX) - NS / 2;
}

static void write_data(struct rtc *rtc, uint8_t value)
{
    unsigned index = rtc->index & 0x7f;
    if (index == REGISTER_C || index == REGISTER_D)
        return;
    if (!is_time_byte(index) && index != REGISTER_A && index != REGISTER_B) {
        rtc->cmos[index] = value;
        return;
    }
    settle(rtc, clock_now(rtc->config.clock));
    if (index == REGISTER_A)
        write_register_a(rtc, value);
    else if (index == REGISTER_B)
        rtc->cmos[REGISTER_B] = value & B_SET ? value & ~B_UIE : value;
    else
        rtc->cmos[index] = value;
    update_irq(rtc);
}

static uint64_t rtc_read(void *device, uint64_t address, unsigned size)
{
    if (size > 1)
        return bus_read_bytes(rtc_read, device, address, size);
    return address ? read_data(device) : 0xff; /* the index is write-only */
}

static void rtc_write(void *device, uint64_t address, unsigned size, uint64_t value)
{
    struct rtc *rtc = device;
    if (size > 1)
        bus_write_bytes(rtc_write, device, address, size, value);
    else if (address)
        write_data(rtc, (uint8_t)value);
    else
        rtc->index = (uint8_t)value;
}

bool rtc_nmi_masked(const struct rtc *rtc)
{
    return rtc->index & 0x80;
}

/* ---- The device ----------------------------------------------------------------------------- */

static void rtc_reset(void *device)
{
    struct rtc *rtc = device;
    settle(rtc, rtc->config.clock->now);
    rtc->cmos[REGISTER_B] &= (uint8_t) ~(B_PIE | B_AIE | B_UIE | B_SQWE);
    rtc->flags = 0;
    rtc->index = 0;
    update_irq(rtc);
}

static void rtc_save(const void *device, struct buffer *out)
{
    struct rtc rtc = *(const struct rtc *)device;
    settle(&rtc, rtc.config.clock->now); /* so that the bytes do not tell when it was looked at */
    buffer_put_u8(out, rtc.index);
    buffer_put(out, rtc.cmos, sizeof rtc.cmos);
    buffer_put_u8(out, rtc.flags);
    buffer_put_u64(out, (uint64_t)rtc.base);
    buffer_put_u64(out, rtc.seen);
    buffer_put_u64(out, rtc.timer.deadline);
}

static void rtc_restore(void *device, struct reader *in)
{
    struct rtc *rtc = device;
    struct rtc next = *rtc;
    next.index = reader_get_u8(in);
    reader_get(in, next.cmos, sizeof next.cmos);
    next.flags = reader_get_u8(in);
    next.base = (int64_t)reader_get_u64(in);
    next.seen = reader_get_u64(in);
    uint64_t deadline = reader_get_u64(in);
    if ((next.flags & ~C_FLAGS) || (next.cmos[REGISTER_A] & A_UIP) || next.base < -NS)
        in->failed = true;
    if (in->failed)
        return;
    timer_cancel(rtc->config.clock, &rtc->timer);
    next.timer = rtc->timer;
    *rtc = next;
    timer_arm(rtc->config.clock, &rtc->timer, deadline);
}

static void rtc_describe(const void *device, struct buffer *out)
{
    struct rtc rtc = *(const struct rtc *)device;
    settle(&rtc, rtc.config.clock->now);
    struct date date = date_of(get_seconds(&rtc) / DAY);
    buffer_printf(out, "date %04d-%02u-%02u\nhours %u\nminutes %u\nseconds %u\n", (int)date.year,
        date.month, date.day, decode_hour(&rtc, rtc.cmos[HOURS]), decode(&rtc, rtc.cmos[MINUTES]),
        decode(&rtc, rtc.cmos[SECONDS]));
    buffer_printf(out, "index %#04x\na %#04x\nb %#04x\nc %#04x\nd %#04x\n", rtc.index,
        rtc.cmos[REGISTER_A], rtc.cmos[REGISTER_B], rtc.flags | (irqf(&rtc) ? C_IRQF : 0),
        rtc.cmos[REGISTER_D]);
}

/* ---- What firmware leaves in the RAM -------------------------------------------------------- */

static void put_units(struct rtc *rtc, unsigned index, uint64_t units)
{
    if (units > 0xffff)
        units = 0xffff;
    rtc->cmos[index] = (uint8_t)units;
    rtc->cmos[index + 1] = (uint8_t)(units >> 8);
}

static void put_memory(struct rtc *rtc)
{
    uint64_t below = rtc->config.memory_below_4g, high = rtc->config.memory_above_4g >> 16;
    uint64_t kib = below >> 10;
    uint64_t extended = kib > 1024 ? kib - 1024 : 0;
    put_units(rtc, 0x15, kib < 640 ? kib : 640);
    put_units(rtc, 0x17, extended);
    put_units(rtc, 0x30, extended);
    put_units(rtc, 0x34, kib > 16384 ? (kib - 16384) / 64 : 0);
    if (high > 0xffffff)
        high = 0xffffff;
    put_units(rtc, 0x5b, high & 0xffff);
    rtc->cmos[0x5d] = (uint8_t)(high >> 16);
    rtc->cmos[0x14] = 0x02; /* a floating-point unit, no floppy, no display of its own */
    unsigned sum = 0;
    for (unsigned i = 0x10; i <= 0x2d; i++)
        sum += rtc->cmos[i];
    rtc->cmos[0x2e] = (uint8_t)(sum >> 8);
    rtc->cmos[0x2f] = (uint8_t)sum;
}

struct rtc *rtc_create(const struct rtc_config *config, struct error *error)
{
    struct date first = {.year = 0, .month = 1, .day = 1},
                last = {.year = 10000, .month = 1, .day = 1};
    if (config->start_seconds < days_of(first) * DAY ||
        config->start_seconds >= days_of(last) * DAY) {
        error_set(error, "rtc: start time %lld lies outside the years 0 to 9999",
            (long long)config->start_seconds);
        return NULL;
    }
    struct rtc *rtc = calloc(1, sizeof *rtc);
    if (!rtc) {
        error_set(error, "rtc: out of memory");
        return NULL;
    }
    rtc->config = *config;
    rtc->cmos[REGISTER_A] = A_POWER_ON; /* 32.768 kHz, 1024 Hz periodic */
    rtc->cmos[REGISTER_B] = B_24;
    rtc->cmos[REGISTER_D] = D_VRT;
    put_seconds(rtc, config->start_seconds);
    int64_t days = (config->start_seconds - days_of(first) * DAY) / DAY;
    rtc->cmos[WEEKDAY] = (uint8_t)((days + 6) % 7 + 1); /* year 0 began on a Saturday, day 7 */
    put_memory(rtc);
    timer_init(config->clock, &rtc->timer, rtc_fire, rtc);
    settle(rtc, config->clock->now);
    return rtc;
}

void rtc_destroy(struct rtc *rtc)
{
    if (rtc)
        timer_cancel(rtc->config.clock, &rtc->timer);
    free(rtc);
}

int rtc_attach(struct rtc *rtc, struct bus *ports, struct error *error)
{
    return bus_register(
        ports, &(struct bus_range){RTC_PORT, 2, "rtc", rtc, rtc_read, rtc_write}, error);
}

static void rtc_free(void *device)
{
    rtc_destroy(device);
}

struct device rtc_device(struct rtc *rtc)
{
    static const struct device_ops ops = {
        .destroy = rtc_free,
        .reset = rtc_reset,
        .save = rtc_save,
        .restore = rtc_restore,
        .describe = rtc_describe,
    };
    return (struct device){.name = "rtc", .ops = &ops, .object = rtc};
}

static int create(const struct device_wiring *wiring, struct device *device, struct error *error)
{
    const struct rtc_config config = {
        .clock = wiring->clock,
        .irq = wiring->rtc,
        .start_seconds = wiring->start_seconds,
        .memory_below_4g = wiring->memory_below_4g,
        .memory_above_4g = wiring->memory_above_4g,
    };
    struct rtc *rtc = rtc_create(&config, error);
    if (!rtc)
        return -1;
    *device = rtc_device(rtc);
    return device_attached(device, rtc_attach(rtc, wiring->ports, error));
}

const struct device_class rtc_class = {.create = create};
