/* The high precision event timer: a counter as a function of time, and what compares with it. */
#include "devices/hpet.h"

#include <stdlib.h>

enum {
    REGISTER_CAPABILITIES = 0x000,
    REGISTER_CONFIGURATION = 0x010,
    REGISTER_STATUS = 0x020,
    REGISTER_COUNTER = 0x0f0,
    REGISTER_TIMERS = 0x100,
    TIMER_REGISTERS = 0x20, /* bytes for each */
    TIMER_CONFIGURATION = 0x00,
    TIMER_COMPARATOR = 0x08,
    ENABLED = 1 << 0,
    LEGACY = 1 << 1,
    FEMTOSECONDS = HPET_TICK_NS * 1000000,
    /* Shorter periods would be nothing but interrupts. */
    SHORTEST_PERIOD_NS = 1000,
};

/* A comparator's configuration. */
enum {
    LEVEL = 1 << 1,
    INTERRUPT = 1 << 2,
    PERIODIC = 1 << 3,
    CAN_BE_PERIODIC = 1 << 4,
    HAS_64_BITS = 1 << 5,
    SET_VALUE = 1 << 6,
    HALF = 1 << 8, /* 32-bit mode */
    ROUTE_SHIFT = 9,
    ROUTE = 0x1f << ROUTE_SHIFT,
    WRITABLE = LEVEL | INTERRUPT | PERIODIC | SET_VALUE | HALF | ROUTE,
};

struct comparator {
    struct hpet *hpet;
    unsigned number;
    struct timer timer;  /* the next match, where somebody hears of it */
    uint32_t config;     /* the writable bits */
    uint64_t comparator; /* the next match */
    uint64_t period;     /* what was written last */
    uint64_t seen;       /* the counter up to which matches have been dealt with */
};

struct hpet {
    struct hpet_config config;
    uint32_t configuration, status;
    uint64_t counter; /* at `start`, or while it does not run */
    uint64_t start;   /* virtual ns */
    struct comparator timers[HPET_TIMERS];
    bool inputs[HPET_LEGACY_LINES]; /* from PIT and RTC */
};

/* ---- The counter ----------------------------------------------------------------------------- */

static uint64_t counter_at(const struct hpet *hpet, uint64_t now)
{
    if (!(hpet->configuration & ENABLED) || now < hpet->start)
        return hpet->counter;
    return hpet->counter + (now - hpet->start) / HPET_TICK_NS;
}

/* When the counter has gone `ticks` on from what it is at `now`. */
static uint64_t time_after(const struct hpet *hpet, uint64_t now, uint64_t ticks)
{
    unsigned __int128 passed = (now - hpet->start) / HPET_TICK_NS;
    unsigned __int128 time = hpet->start + (passed + ticks) * HPET_TICK_NS;
    return time >= TIMER_IDLE ? TIMER_IDLE : (uint64_t)time;
}

/* ---- Comparators ----------------------------------------------------------------------------- */

static uint64_t value_mask(const struct comparator *timer)
{
    return timer->config & HALF ? UINT32_MAX : UINT64_MAX;
}

/* Ticks from the last look to the next match; 0 is a whole round of 64 bits. */
static uint64_t distance(const struct comparator *timer)
{
    uint64_t ticks = (timer->comparator - timer->seen) & value_mask(timer);
    return ticks == 0 && timer->config & HALF ? 1ull << 32 : ticks;
}

/* Deals with the matches up to `counter`. */
static void settle(struct comparator *timer, uint64_t counter)
{
    uint64_t ticks = distance(timer), passed = counter - timer->seen;
    timer->seen = counter;
    if (ticks == 0 || passed < ticks || !(timer->config & PERIODIC))
        return;
    uint64_t period = timer->period & value_mask(timer);
    if (period)
        timer->comparator =
            (timer->comparator + ((passed - ticks) / period + 1) * period) & value_mask(timer);
}

/* Does a match show? One with a level sets its bit also where it does not interrupt. */
static bool is_heard(const struct comparator *timer)
{
    return timer->hpet->configuration & ENABLED && timer->config & (INTERRUPT | LEVEL);
}

/* For a match not before `least`; the timer is settled up to the counter at `now`. */
static void arm(struct comparator *timer, uint64_t now, uint64_t least)
{
    const struct hpet *hpet = timer->hpet;
    uint64_t ticks = distance(timer);
    uint64_t deadline = TIMER_IDLE;
    if (is_heard(timer) && ticks)
        deadline = time_after(hpet, now, ticks);
    if (deadline != TIMER_IDLE && deadline < least)
        deadline = least;
    timer_arm(hpet->config.clock, &timer->timer, deadline);
}

/* ---- Interrupts ------------------------------------------------------------------------------ */

static bool is_legacy(const struct comparator *timer)
{
    return timer->hpet->configuration & LEGACY && timer->number < HPET_LEGACY_LINES;
}

static unsigned route_of(const struct comparator *timer)
{
    return (timer->config & ROUTE) >> ROUTE_SHIFT;
}

static bool is_asserted(const struct comparator *timer)
{
    const uint32_t wanted = LEVEL | INTERRUPT;
    return timer->hpet->configuration & ENABLED && (timer->config & wanted) == wanted &&
           timer->hpet->status >> timer->number & 1;
}

static void set_route(const struct hpet *hpet, unsigned input, bool level)
{
    const struct irq_line *route = &hpet->config.route;
    if (route->controller)
        route->set(route->controller, input, level);
}

static bool route_level(const struct hpet *hpet, unsigned input)
{
    bool level = false;
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        const struct comparator *timer = &hpet->timers[i];
        level |= !is_legacy(timer) && route_of(timer) == input && is_asserted(timer);
    }
    return level;
}

/* All levels, after a change of what decides them. */
static void update_lines(const struct hpet *hpet)
{
    for (unsigned input = 0; input < 32; input++) {
        if (HPET_ROUTES >> input & 1)
            set_route(hpet, input, route_level(hpet, input));
    }
    for (unsigned i = 0; i < HPET_LEGACY_LINES; i++) {
        const struct comparator *timer = &hpet->timers[i];
        if (!is_legacy(timer))
            irq_set(&hpet->config.legacy[i], hpet->inputs[i]);
        else if (timer->config & LEVEL)
            irq_set(&hpet->config.legacy[i], is_asserted(timer));
    }
}

static void pulse(const struct comparator *timer)
{
    const struct hpet *hpet = timer->hpet;
    const unsigned input = route_of(timer);
    if (is_legacy(timer)) {
        irq_set(&hpet->config.legacy[timer->number], false);
        irq_set(&hpet->config.legacy[timer->number], true);
    } else if (HPET_ROUTES >> input & 1) {
        set_route(hpet, input, true);
        set_route(hpet, input, route_level(hpet, input));
    }
}

static void match(void *device, uint64_t now)
{
    struct comparator *timer = device;
    struct hpet *hpet = timer->hpet;
    uint64_t horizon = clock_horizon(hpet->config.clock);
    uint64_t until = timer->config & PERIODIC && horizon > now ? horizon : now;
    settle(timer, counter_at(hpet, until));
    if (timer->config & LEVEL) {
        hpet->status |= 1u << timer->number;
        update_lines(hpet);
    } else if (timer->config & INTERRUPT) {
        pulse(timer);
    }
    arm(timer, until, until + SHORTEST_PERIOD_NS);
}

static void set_input(void *controller, unsigned line, bool level)
{
    struct hpet *hpet = controller;
    if (line >= HPET_LEGACY_LINES)
        return;
    hpet->inputs[line] = level;
    if (!is_legacy(&hpet->timers[line]))
        irq_set(&hpet->config.legacy[line], level);
}

struct irq_line hpet_legacy_line(struct hpet *hpet, unsigned line)
{
    return (struct irq_line){.set = set_input, .controller = hpet, .input = line};
}

/* ---- Registers ------------------------------------------------------------------------------- */

/* The time of an access. A match due at this very moment comes before what the guest does. */
static uint64_t sample(struct hpet *hpet)
{
    uint64_t now = clock_now(hpet->config.clock);
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        struct comparator *timer = &hpet->timers[i];
        if (timer->timer.deadline <= now) {
            timer_cancel(hpet->config.clock, &timer->timer);
            match(timer, now);
        }
        settle(timer, counter_at(hpet, now));
    }
    return now;
}

static uint64_t read_timer(struct hpet *hpet, unsigned number, uint64_t offset)
{
    struct comparator *timer = &hpet->timers[number];
    switch (offset) {
    case TIMER_CONFIGURATION:
        return (uint64_t)HPET_ROUTES << 32 | timer->config | HAS_64_BITS |
               (number == 0 ? CAN_BE_PERIODIC : 0);
    case TIMER_COMPARATOR:
        if (timer->config & PERIODIC)
            sample(hpet);
        return timer->comparator;
    default:
        return 0; /* no messages */
    }
}

static uint64_t read_register(struct hpet *hpet, uint64_t address)
{
    switch (address) {
    case REGISTER_CAPABILITIES:
        return (uint64_t)FEMTOSECONDS << 32 | HPET_CAPABILITIES;
    case REGISTER_CONFIGURATION:
        return hpet->configuration;
    case REGISTER_STATUS:
        return hpet->status;
    case REGISTER_COUNTER:
        return counter_at(hpet, clock_now(hpet->config.clock));
    default:
        break;
    }
    uint64_t number = (address - REGISTER_TIMERS) / TIMER_REGISTERS;
    if (address < REGISTER_TIMERS || number >= HPET_TIMERS)
        return 0;
    return read_timer(hpet, (unsigned)number, address % TIMER_REGISTERS);
}

/* The counter stands at `counter` now; the comparators look for matches from there on. */
static void set_counter(struct hpet *hpet, uint64_t now, uint64_t counter)
{
    hpet->counter = counter;
    hpet->start = now;
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        hpet->timers[i].seen = counter;
        arm(&hpet->timers[i], now, 0);
    }
}

static void set_configuration(struct hpet *hpet, uint64_t now, uint32_t value)
{
    uint64_t counter = counter_at(hpet, now);
    bool takes_over = value & LEGACY && !(hpet->configuration & LEGACY);
    hpet->configuration = value & (ENABLED | LEGACY);
    set_counter(hpet, now, counter);
    for (unsigned i = 0; takes_over && i < HPET_LEGACY_LINES; i++)
        irq_set(&hpet->config.legacy[i], false);
    update_lines(hpet);
}

static void set_timer_configuration(struct comparator *timer, uint64_t now, uint32_t value)
{
    uint32_t config = value & WRITABLE, route = config & ROUTE;
    if (timer->number != 0)
        config &= ~(uint32_t)(PERIODIC | SET_VALUE);
    /* What cannot be routed to does not stay written. */
    if (!(HPET_ROUTES >> (route >> ROUTE_SHIFT) & 1))
        config = (config & ~(uint32_t)ROUTE) | (timer->config & ROUTE);
    timer->config = config;
    timer->comparator &= value_mask(timer);
    if (!(config & LEVEL))
        timer->hpet->status &= ~(1u << timer->number);
    arm(timer, now, 0);
    update_lines(timer->hpet);
}

/* Of a periodic comparator the period is written, and with SET_VALUE the next match, too. */
static void set_comparator(struct comparator *timer, uint64_t now, uint64_t value, uint64_t mask)
{
    const uint64_t limit = value_mask(timer);
    timer->period = ((timer->period & ~mask) | (value & mask)) & limit;
    if (!(timer->config & PERIODIC) || timer->config & SET_VALUE)
        timer->comparator = ((timer->comparator & ~mask) | (value & mask)) & limit;
    if (mask >> 32 || limit == UINT32_MAX)
        timer->config &= ~(uint32_t)SET_VALUE;
    arm(timer, now, 0);
}

static void write_timer(
    struct hpet *hpet, uint64_t now, uint64_t address, uint64_t value, uint64_t mask)
{
    uint64_t number = (address - REGISTER_TIMERS) / TIMER_REGISTERS;
    if (address < REGISTER_TIMERS || number >= HPET_TIMERS)
        return;
    struct comparator *timer = &hpet->timers[number];
    uint64_t offset = address % TIMER_REGISTERS;
    if (offset == TIMER_CONFIGURATION && mask & 1)
        set_timer_configuration(timer, now, (uint32_t)value);
    else if (offset == TIMER_COMPARATOR)
        set_comparator(timer, now, value, mask);
}

/* `mask` covers the half or the whole that is written. */
static void write_register(struct hpet *hpet, uint64_t address, uint64_t value, uint64_t mask)
{
    uint64_t now = sample(hpet);
    switch (address) {
    case REGISTER_CONFIGURATION:
        if (mask & 1)
            set_configuration(hpet, now, (uint32_t)value);
        break;
    case REGISTER_STATUS:
        hpet->status &= ~(uint32_t)(value & mask);
        update_lines(hpet);
        break;
    case REGISTER_COUNTER:
        set_counter(hpet, now, (counter_at(hpet, now) & ~mask) | (value & mask));
        break;
    default:
        write_timer(hpet, now, address, value, mask);
        break;
    }
}

static uint64_t hpet_read(void *device, uint64_t address, unsigned size)
{
    unsigned offset = address & 7;
    if (offset + size > 8)
        return bus_read_bytes(hpet_read, device, address, size);
    uint64_t value = read_register(device, address & ~7ull) >> 8 * offset;
    return size == 8 ? value : value & ((1ull << 8 * size) - 1);
}

static void hpet_write(void *device, uint64_t address, unsigned size, uint64_t value)
{
    if (size < 4 || address % size)
        return;
    unsigned shift = 8 * (address & 4);
    uint64_t mask = size == 8 ? UINT64_MAX : (uint64_t)UINT32_MAX << shift;
    write_register(device, address & ~7ull, value << shift, mask);
}

/* ---- The device ------------------------------------------------------------------------------ */

static void hpet_reset(void *device)
{
    struct hpet *hpet = device;
    hpet->configuration = hpet->status = 0;
    hpet->counter = hpet->start = 0;
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        struct comparator *timer = &hpet->timers[i];
        timer_cancel(hpet->config.clock, &timer->timer);
        timer->config = 0;
        timer->comparator = UINT64_MAX;
        timer->period = timer->seen = 0;
    }
    update_lines(hpet);
}

struct hpet *hpet_create(const struct hpet_config *config, struct error *error)
{
    struct hpet *hpet = calloc(1, sizeof *hpet);
    if (!hpet) {
        error_set(error, "hpet: out of memory");
        return NULL;
    }
    hpet->config = *config;
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        struct comparator *timer = &hpet->timers[i];
        timer->hpet = hpet;
        timer->number = i;
        timer_init(config->clock, &timer->timer, match, timer);
    }
    hpet_reset(hpet);
    return hpet;
}

void hpet_destroy(struct hpet *hpet)
{
    if (!hpet)
        return;
    for (unsigned i = 0; i < HPET_TIMERS; i++)
        timer_cancel(hpet->config.clock, &hpet->timers[i].timer);
    free(hpet);
}

int hpet_attach(struct hpet *hpet, struct bus *mmio, struct error *error)
{
    return bus_register(mmio,
        &(struct bus_range){.base = HPET_BASE,
            .size = HPET_SIZE,
            .name = "hpet",
            .device = hpet,
            .read = hpet_read,
            .write = hpet_write},
        error);
}

static void hpet_save(const void *device, struct buffer *out)
{
    const struct hpet *hpet = device;
    buffer_put_u32(out, hpet->configuration);
    buffer_put_u32(out, hpet->status);
    buffer_put_u64(out, hpet->counter);
    buffer_put_u64(out, hpet->start);
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        /* So that the bytes do not tell when the comparator was last looked at. */
        struct comparator timer = hpet->timers[i];
        settle(&timer, counter_at(hpet, hpet->config.clock->now));
        buffer_put_u32(out, timer.config);
        buffer_put_u64(out, timer.comparator);
        buffer_put_u64(out, timer.period);
        buffer_put_u64(out, timer.seen);
        buffer_put_u64(out, timer.timer.deadline);
    }
    for (unsigned i = 0; i < HPET_LEGACY_LINES; i++)
        buffer_put_u8(out, hpet->inputs[i]);
}

static void restore_comparator(struct comparator *timer, struct reader *in)
{
    timer->config = reader_get_u32(in) & WRITABLE;
    if (timer->number != 0)
        timer->config &= ~(uint32_t)(PERIODIC | SET_VALUE);
    timer->comparator = reader_get_u64(in) & value_mask(timer);
    timer->period = reader_get_u64(in);
    timer->seen = reader_get_u64(in);
}

static void hpet_restore(void *device, struct reader *in)
{
    struct hpet *hpet = device, new = *hpet;
    uint64_t deadlines[HPET_TIMERS];
    new.configuration = reader_get_u32(in) & (ENABLED | LEGACY);
    new.status = reader_get_u32(in) & ((1u << HPET_TIMERS) - 1);
    new.counter = reader_get_u64(in);
    new.start = reader_get_u64(in);
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        restore_comparator(&new.timers[i], in);
        deadlines[i] = reader_get_u64(in);
    }
    for (unsigned i = 0; i < HPET_LEGACY_LINES; i++)
        new.inputs[i] = reader_get_u8(in);
    if (new.start > hpet->config.clock->now)
        in->failed = true;
    if (in->failed)
        return;
    for (unsigned i = 0; i < HPET_TIMERS; i++)
        timer_cancel(hpet->config.clock, &hpet->timers[i].timer);
    for (unsigned i = 0; i < HPET_TIMERS; i++)
        new.timers[i].timer = hpet->timers[i].timer;
    *hpet = new;
    for (unsigned i = 0; i < HPET_TIMERS; i++)
        timer_arm(hpet->config.clock, &hpet->timers[i].timer, deadlines[i]);
}

static void hpet_describe(const void *device, struct buffer *out)
{
    const struct hpet *hpet = device;
    buffer_printf(out, "GEN_CONF %#x\nGINTR_STA %#x\nMAIN_CNT %#llx\n", hpet->configuration,
        hpet->status, (unsigned long long)counter_at(hpet, hpet->config.clock->now));
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        const struct comparator *timer = &hpet->timers[i];
        buffer_printf(out, "TIM%u_CONF %#06x\nTIM%u_COMP %#llx\n", i, timer->config, i,
            (unsigned long long)timer->comparator);
    }
}

static void hpet_free(void *device)
{
    hpet_destroy(device);
}

struct device hpet_device(struct hpet *hpet)
{
    static const struct device_ops ops = {
        .destroy = hpet_free,
        .reset = hpet_reset,
        .save = hpet_save,
        .restore = hpet_restore,
        .describe = hpet_describe,
    };
    return (struct device){.name = "hpet", .ops = &ops, .object = hpet};
}

static int create(const struct device_wiring *wiring, struct device *device, struct error *error)
{
    const struct hpet_config config = {
        .clock = wiring->clock,
        .route = wiring->any,
        .legacy = {wiring->isa[0], wiring->isa[8]},
    };
    struct hpet *hpet = hpet_create(&config, error);
    if (!hpet)
        return -1;
    *device = hpet_device(hpet);
    return device_attached(device, hpet_attach(hpet, wiring->mmio, error));
}

const struct device_class hpet_class = {.create = create};
