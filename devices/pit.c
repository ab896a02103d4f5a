/* The 8254 interval timer and system control port B. */
#include "devices/pit.h"

#include <stdlib.h>

enum {
    CONTROL_PORT = 3,
    READ_BACK = 3, /* in the counter select bits */
    LATCH_COMMAND = 0,
    ACCESS_LSB = 1,
    ACCESS_MSB = 2,
    ACCESS_BOTH = 3,
    NEVER = -1, /* tick */
    REFRESH_TICKS = 18,
    GATE2 = 1 << 0,
    SYSTEM_BITS = 0x0f,
};

/* Ticks stay below 2^45 (2^64 ns), so differences of restored ones cannot overflow either. */
#define TICK_LIMIT (INT64_C(1) << 56)

/*
 * The counting element is described by the load it last took: it held `count` at tick `start`. In
 * modes 2 and 3 that stands for all periods since. Before `start` OUT is `out_before`.
 */
struct counter {
    uint8_t mode, access;
    bool bcd, programmed; /* a control word has been written */
    uint8_t written_lsb;
    bool msb_next;   /* ACCESS_BOTH: the next write is the high byte */
    bool read_msb;   /* ACCESS_BOTH: the next unlatched read is the high byte */
    bool has_count;  /* `reload` has been written since the control word */
    bool null_count; /* `reload` waits for the gate to rise */
    uint16_t reload; /* the count register CR */
    bool running;    /* the counting element has been loaded since the control word */
    bool out_before;
    uint32_t count;    /* 1 to 65536 */
    int64_t start;     /* tick */
    int64_t load;      /* modes 2 and 3: tick at which `reload` replaces `count`, or NEVER */
    bool gate, frozen; /* frozen: counting suspended after `elapsed` ticks, modes 0 and 4 */
    int64_t elapsed;   /* when frozen */
    uint8_t latched;   /* bytes of `latch` still to be read */
    uint16_t latch;    /* the output latch OL */
    bool status_latched;
    uint8_t status;
};

struct pit {
    struct pit_config config;
    struct timer timer; /* the next rise of OUT of counter 0 */
    struct counter counters[3];
    uint8_t system; /* port 0x61, bits 0-3 */
};

/* ---- Time and numbers ----------------------------------------------------------------------- */

static int64_t tick_at(uint64_t now)
{
    return (int64_t)((unsigned __int128)now * PIT_HZ / 1000000000u);
}

/* The first nanosecond of a tick. */
static uint64_t tick_time(int64_t tick)
{
    unsigned __int128 scaled = (unsigned __int128)tick * 1000000000u + (PIT_HZ - 1);
    unsigned __int128 time = scaled / PIT_HZ;
    return time >= TIMER_IDLE ? TIMER_IDLE : (uint64_t)time;
}

static uint32_t modulus(const struct counter *counter)
{
    return counter->bcd ? 10000 : 65536;
}

/* The count that a register value stands for: 0 is the largest. */
static uint32_t count_of(const struct counter *counter, uint16_t value)
{
    uint32_t count = value;
    if (counter->bcd)
        count = (uint32_t)(value >> 12) * 1000 + (value >> 8 & 15) * 100u +
                (value >> 4 & 15) * 10u + (value & 15);
    count %= modulus(counter);
    return count ? count : modulus(counter);
}

static uint16_t value_of(const struct counter *counter, uint32_t count)
{
    count %= modulus(counter);
    if (!counter->bcd)
        return (uint16_t)count;
    return (
        uint16_t)(count / 1000 << 12 | count / 100 % 10 << 8 | count / 10 % 10 << 4 | count % 10);
}

/* ---- A counter as a function of time -------------------------------------------------------- */

static uint32_t high_half(uint32_t count)
{
    return count - count / 2;
}

/* Ticks counted since the load; negative before it. */
static int64_t elapsed_at(const struct counter *counter, int64_t tick)
{
    return counter->frozen ? counter->elapsed : tick - counter->start;
}

/* Takes a reload that modes 2 and 3 had to put off to the end of a period or half period. */
static void settle(struct counter *counter, int64_t tick)
{
    if (counter->load == NEVER || tick < counter->load)
        return;
    bool low_half = counter->mode == 3 &&
                    (counter->load - counter->start) % counter->count == high_half(counter->count);
    counter->count = count_of(counter, counter->reload);
    counter->start = counter->load;
    if (low_half)
        counter->start -= high_half(counter->count);
    counter->load = NEVER;
}

static bool out_at(const struct counter *counter, int64_t tick)
{
    if (!counter->programmed)
        return true;
    if (!counter->running)
        return counter->mode != 0;
    if ((counter->mode == 2 || counter->mode == 3) && !counter->gate)
        return true;
    int64_t elapsed = elapsed_at(counter, tick);
    if (elapsed < 0)
        return counter->out_before;
    switch (counter->mode) {
    case 0:
    case 1:
        return elapsed >= counter->count;
    case 2:
        return elapsed % counter->count != counter->count - 1;
    case 3:
        return elapsed % counter->count < high_half(counter->count);
    default:
        return counter->frozen || elapsed != counter->count;
    }
}

/* The value of the counting element, in the form it is read. */
static uint16_t value_at(const struct counter *counter, int64_t tick)
{
    if (!counter->running)
        return counter->reload;
    int64_t elapsed = elapsed_at(counter, tick);
    if (elapsed < 0)
        elapsed = 0;
    uint32_t count = counter->count;
    if (counter->mode == 2) {
        count -= (uint32_t)(elapsed % count);
    } else if (counter->mode == 3) {
        uint32_t phase = (uint32_t)(elapsed % count);
        if (phase >= high_half(count))
            phase -= high_half(count);
        count = (count & ~1u) - 2 * phase;
    } else {
        uint32_t wrapped = (uint32_t)(elapsed % modulus(counter));
        count += modulus(counter) - wrapped;
    }
    return value_of(counter, count);
}

static bool null_at(const struct counter *counter, int64_t tick)
{
    return !counter->running || counter->null_count || counter->load != NEVER ||
           (!counter->frozen && tick < counter->start);
}

/* The first tick after `tick` at which OUT rises, if nothing more is written; NEVER if none. */
static int64_t next_rise(struct counter counter, int64_t tick)
{
    if (!counter.running || counter.frozen)
        return NEVER;
    int64_t rise = counter.start + counter.count;
    if (counter.mode == 0 || counter.mode == 1)
        return rise > tick ? rise : NEVER;
    if (counter.mode >= 4)
        return rise + 1 > tick ? rise + 1 : NEVER;
    if (!counter.gate)
        return NEVER;
    if (tick >= rise)
        rise += (tick - rise) / counter.count * counter.count + counter.count;
    if (counter.load == NEVER || rise <= counter.load)
        return rise;
    int64_t load = counter.load;
    settle(&counter, load);
    return next_rise(counter, load > tick ? load : tick);
}

/* ---- Interrupts ----------------------------------------------------------------------------- */

static void arm(struct pit *pit, int64_t tick)
{
    int64_t rise = next_rise(pit->counters[0], tick);
    timer_arm(pit->config.clock, &pit->timer, rise == NEVER ? TIMER_IDLE : tick_time(rise));
}

static void pit_fire(void *device, uint64_t now)
{
    (void)now;
    struct pit *pit = device;
    int64_t tick = tick_at(clock_horizon(pit->config.clock));
    settle(&pit->counters[0], tick);
    irq_set(&pit->config.irq, false);
    irq_set(&pit->config.irq, true);
    arm(pit, tick);
}

/* Samples the time. A rise due at this very moment comes before what the guest is about to do. */
static int64_t sample_tick(struct pit *pit)
{
    uint64_t now = clock_now(pit->config.clock);
    if (pit->timer.deadline <= now) {
        timer_cancel(pit->config.clock, &pit->timer);
        pit_fire(pit, now);
    }
    int64_t tick = tick_at(now);
    for (unsigned i = 0; i < 3; i++)
        settle(&pit->counters[i], tick);
    return tick;
}

static bool is_counter0(const struct pit *pit, const struct counter *counter)
{
    return counter == &pit->counters[0];
}

/* ---- Writing -------------------------------------------------------------------------------- */

/* Loads the counting element with CR at `tick`. */
static void load(struct counter *counter, int64_t tick, bool out_before)
{
    counter->out_before = out_before;
    counter->count = count_of(counter, counter->reload);
    counter->start = tick;
    counter->load = NEVER;
    counter->running = true;
    counter->null_count = false;
    counter->frozen = !counter->gate && counter->mode != 1 && counter->mode != 5;
    counter->elapsed = 0;
}

/* Where modes 2 and 3 may take a new count: the next end of a period or half period. */
static int64_t next_boundary(const struct counter *counter, int64_t tick)
{
    int64_t period = (tick - counter->start) / counter->count;
    int64_t base = counter->start + period * counter->count;
    if (counter->mode == 3 && tick - base < high_half(counter->count))
        return base + high_half(counter->count);
    return base + counter->count;
}

/* A complete count has been written to CR. */
static void count_written(struct pit *pit, struct counter *counter, uint16_t value)
{
    int64_t tick = sample_tick(pit);
    counter->reload = value;
    counter->has_count = true;
    switch (counter->mode) {
    case 1:
    case 5:
        counter->null_count = true;
        break;
    case 2:
    case 3:
        if (counter->running && counter->gate && tick >= counter->start)
            counter->load = next_boundary(counter, tick);
        else
            load(counter, counter->running && tick < counter->start ? counter->start : tick + 1,
                true);
        break;
    default:
        load(counter, tick + 1, counter->mode == 4 && out_at(counter, tick));
    }
    if (!is_counter0(pit, counter))
        return;
    if (counter->mode == 0)
        irq_set(&pit->config.irq, false);
    arm(pit, tick);
}

static void write_counter(struct pit *pit, struct counter *counter, uint8_t value)
{
    if (!counter->programmed)
        return;
    if (counter->access == ACCESS_LSB) {
        count_written(pit, counter, value);
    } else if (counter->access == ACCESS_MSB) {
        count_written(pit, counter, (uint16_t)(value << 8));
    } else if (counter->msb_next) {
        counter->msb_next = false;
        count_written(pit, counter, (uint16_t)(value << 8 | counter->written_lsb));
    } else {
        counter->written_lsb = value;
        counter->msb_next = true;
        if (counter->mode != 0)
            return;
        /* Mode 0: the first byte stops the counter and takes OUT low at once. */
        counter->running = false;
        if (is_counter0(pit, counter)) {
            irq_set(&pit->config.irq, false);
            timer_cancel(pit->config.clock, &pit->timer);
        }
    }
}

static void latch_count(struct counter *counter, int64_t tick)
{
    if (counter->latched)
        return;
    uint16_t value = value_at(counter, tick);
    counter->latched = counter->access == ACCESS_BOTH ? 2 : 1;
    counter->latch = counter->access == ACCESS_MSB ? value >> 8 : value;
}

static void latch_status(struct counter *counter, int64_t tick)
{
    if (counter->status_latched)
        return;
    counter->status_latched = true;
    counter->status = (uint8_t)(out_at(counter, tick) << 7 | null_at(counter, tick) << 6 |
                                counter->access << 4 | counter->mode << 1 | counter->bcd);
}

static void read_back(struct pit *pit, uint8_t value)
{
    bool want_count = !(value & 0x20), want_status = !(value & 0x10);
    if (!(value & 0x0e) || (!want_count && !want_status))
        return;
    int64_t tick = sample_tick(pit);
    for (unsigned i = 0; i < 3; i++) {
        if (!(value & 2u << i) || !pit->counters[i].programmed)
            continue;
        if (want_count)
            latch_count(&pit->counters[i], tick);
        if (want_status)
            latch_status(&pit->counters[i], tick);
    }
}

static void set_mode(struct pit *pit, struct counter *counter, uint8_t value)
{
    uint8_t mode = value >> 1 & 7;
    *counter = (struct counter){
        .programmed = true,
        .mode = mode > 5 ? mode & 3 : mode, /* 110 and 111 are modes 2 and 3 */
        .access = value >> 4 & 3,
        .bcd = value & 1,
        .reload = counter->reload,
        .load = NEVER,
        .gate = counter->gate,
    };
    if (is_counter0(pit, counter)) {
        timer_cancel(pit->config.clock, &pit->timer);
        irq_set(&pit->config.irq, counter->mode != 0);
    }
}

static void write_control(struct pit *pit, uint8_t value)
{
    unsigned select = value >> 6;
    if (select == READ_BACK) {
        read_back(pit, value);
        return;
    }
    struct counter *counter = &pit->counters[select];
    if ((value >> 4 & 3) != LATCH_COMMAND)
        set_mode(pit, counter, value);
    else if (counter->programmed && !counter->latched)
        latch_count(counter, sample_tick(pit));
}

/* ---- Reading -------------------------------------------------------------------------------- */

static uint8_t read_counter(struct pit *pit, struct counter *counter)
{
    if (counter->status_latched) {
        counter->status_latched = false;
        return counter->status;
    }
    if (counter->latched) {
        uint8_t byte = (uint8_t)counter->latch;
        counter->latch >>= 8;
        counter->latched--;
        return byte;
    }
    if (!counter->programmed)
        return 0;
    uint16_t value = value_at(counter, sample_tick(pit));
    if (counter->access == ACCESS_BOTH)
        counter->read_msb = !counter->read_msb;
    bool low =
        counter->access == ACCESS_LSB || (counter->access == ACCESS_BOTH && counter->read_msb);
    return (uint8_t)(low ? value : value >> 8);
}

/* ---- Gate 2 --------------------------------------------------------------------------------- */

static void gate_falls(struct counter *counter, int64_t tick)
{
    counter->gate = false;
    if (!counter->running || counter->mode == 1 || counter->mode == 5)
        return;
    int64_t elapsed = elapsed_at(counter, tick);
    counter->elapsed = elapsed < 0 ? 0 : elapsed;
    counter->frozen = true;
    /* Modes 2 and 3 are loaded afresh when the gate rises. */
    if (counter->load != NEVER)
        counter->null_count = true;
    counter->load = NEVER;
}

static void gate_rises(struct counter *counter, int64_t tick)
{
    bool out = out_at(counter, tick);
    counter->gate = true;
    switch (counter->mode) {
    case 0:
    case 4:
        if (counter->frozen) {
            counter->frozen = false;
            if (counter->elapsed > 0 || tick >= counter->start)
                counter->start = tick - counter->elapsed;
        }
        break;
    case 2:
    case 3:
        if (counter->has_count)
            load(counter, tick + 1, true);
        break;
    default:
        if (counter->has_count)
            load(counter, tick + 1, out);
    }
}

static void write_system(struct pit *pit, uint8_t value)
{
    uint8_t changed = (uint8_t)(pit->system ^ value);
    pit->system = value & SYSTEM_BITS;
    if (!(changed & GATE2))
        return;
    struct counter *counter = &pit->counters[2];
    int64_t tick = sample_tick(pit);
    if (value & GATE2)
        gate_rises(counter, tick);
    else
        gate_falls(counter, tick);
}

static uint8_t read_system(struct pit *pit)
{
    int64_t tick = sample_tick(pit);
    bool refresh = tick / REFRESH_TICKS & 1;
    bool out = out_at(&pit->counters[2], tick);
    return (uint8_t)(pit->system | refresh << 4 | out << 5);
}

/* ---- The device ----------------------------------------------------------------------------- */

static uint64_t pit_read(void *device, uint64_t address, unsigned size)
{
    struct pit *pit = device;
    if (size > 1)
        return bus_read_bytes(pit_read, device, address, size);
    if (address == CONTROL_PORT)
        return 0xff; /* nothing drives the bus */
    return read_counter(pit, &pit->counters[address]);
}

static void pit_write(void *device, uint64_t address, unsigned size, uint64_t value)
{
    struct pit *pit = device;
    if (size > 1)
        bus_write_bytes(pit_write, device, address, size, value);
    else if (address == CONTROL_PORT)
        write_control(pit, (uint8_t)value);
    else
        write_counter(pit, &pit->counters[address], (uint8_t)value);
}

static uint64_t system_read(void *device, uint64_t address, unsigned size)
{
    (void)address, (void)size;
    return read_system(device);
}

static void system_write(void *device, uint64_t address, unsigned size, uint64_t value)
{
    (void)address, (void)size;
    write_system(device, (uint8_t)value);
}

static void pit_reset(void *device)
{
    struct pit *pit = device;
    for (unsigned i = 0; i < 3; i++)
        pit->counters[i] = (struct counter){.load = NEVER, .gate = i != 2};
    pit->system = 0;
    timer_cancel(pit->config.clock, &pit->timer);
    irq_set(&pit->config.irq, true);
}

static void save_counter(const struct counter *counter, struct buffer *out)
{
    buffer_put_u8(out, counter->mode);
    buffer_put_u8(out, counter->access);
    buffer_put_u16(out,
        (uint16_t)(counter->bcd | counter->programmed << 1 | counter->msb_next << 2 |
                   counter->read_msb << 3 | counter->has_count << 4 | counter->null_count << 5 |
                   counter->running << 6 | counter->out_before << 7 | counter->gate << 8 |
                   counter->frozen << 9 | counter->status_latched << 10));
    buffer_put_u8(out, counter->written_lsb);
    buffer_put_u16(out, counter->reload);
    buffer_put_u32(out, counter->count);
    buffer_put_u64(out, (uint64_t)counter->start);
    buffer_put_u64(out, (uint64_t)counter->load);
    buffer_put_u64(out, (uint64_t)counter->elapsed);
    buffer_put_u8(out, counter->latched);
    buffer_put_u16(out, counter->latch);
    buffer_put_u8(out, counter->status);
}

static bool tick_valid(int64_t tick)
{
    return tick > -TICK_LIMIT && tick < TICK_LIMIT;
}

static bool counter_valid(const struct counter *counter)
{
    if (counter->mode > 5 || counter->access > 3 || counter->latched > 2)
        return false;
    if (counter->running && (counter->count == 0 || counter->count > modulus(counter)))
        return false;
    if (!tick_valid(counter->start) || !tick_valid(counter->load) || !tick_valid(counter->elapsed))
        return false;
    /* Periods are divided by what they count, so a load cannot lie before the start. */
    return counter->load == NEVER || (counter->running && counter->load >= counter->start);
}

static void restore_counter(struct counter *counter, struct reader *in)
{
    *counter = (struct counter){.mode = reader_get_u8(in), .access = reader_get_u8(in)};
    uint16_t flags = reader_get_u16(in);
    counter->bcd = flags & 1;
    counter->programmed = flags & 2;
    counter->msb_next = flags & 4;
    counter->read_msb = flags & 8;
    counter->has_count = flags & 0x10;
    counter->null_count = flags & 0x20;
    counter->running = flags & 0x40;
    counter->out_before = flags & 0x80;
    counter->gate = flags & 0x100;
    counter->frozen = flags & 0x200;
    counter->status_latched = flags & 0x400;
    counter->written_lsb = reader_get_u8(in);
    counter->reload = reader_get_u16(in);
    counter->count = reader_get_u32(in);
    counter->start = (int64_t)reader_get_u64(in);
    counter->load = (int64_t)reader_get_u64(in);
    counter->elapsed = (int64_t)reader_get_u64(in);
    counter->latched = reader_get_u8(in);
    counter->latch = reader_get_u16(in);
    counter->status = reader_get_u8(in);
    if (flags >> 11 || !counter_valid(counter))
        in->failed = true;
}

static void pit_save(const void *device, struct buffer *out)
{
    const struct pit *pit = device;
    int64_t tick = tick_at(pit->config.clock->now);
    for (unsigned i = 0; i < 3; i++) {
        struct counter counter = pit->counters[i];
        settle(
            &counter, tick); /* so that the bytes do not tell when the counter was last looked at */
        save_counter(&counter, out);
    }
    buffer_put_u8(out, pit->system);
    buffer_put_u64(out, pit->timer.deadline);
}

static void pit_restore(void *device, struct reader *in)
{
    struct pit *pit = device;
    struct counter counters[3];
    for (unsigned i = 0; i < 3; i++)
        restore_counter(&counters[i], in);
    uint8_t system = reader_get_u8(in);
    uint64_t deadline = reader_get_u64(in);
    if (system & ~SYSTEM_BITS)
        in->failed = true;
    if (in->failed)
        return;
    for (unsigned i = 0; i < 3; i++)
        pit->counters[i] = counters[i];
    pit->system = system;
    timer_arm(pit->config.clock, &pit->timer, deadline);
}

static void pit_describe(const void *device, struct buffer *out)
{
    const struct pit *pit = device;
    int64_t tick = tick_at(pit->config.clock->now);
    for (unsigned i = 0; i < 3; i++) {
        struct counter counter = pit->counters[i];
        settle(&counter, tick);
        buffer_printf(out,
            "counter%u.mode %u\ncounter%u.bcd %d\ncounter%u.cr %#06x\ncounter%u.ce %#06x\n"
            "counter%u.out %d\ncounter%u.gate %d\n",
            i, counter.mode, i, counter.bcd, i, counter.reload, i, value_at(&counter, tick), i,
            out_at(&counter, tick), i, counter.gate);
    }
    buffer_printf(out, "port61 %#04x\n", pit->system);
}

struct pit *pit_create(const struct pit_config *config, struct error *error)
{
    struct pit *pit = calloc(1, sizeof *pit);
    if (!pit) {
        error_set(error, "pit: out of memory");
        return NULL;
    }
    pit->config = *config;
    timer_init(config->clock, &pit->timer, pit_fire, pit);
    pit_reset(pit);
    return pit;
}

void pit_destroy(struct pit *pit)
{
    if (pit)
        timer_cancel(pit->config.clock, &pit->timer);
    free(pit);
}

int pit_attach(struct pit *pit, struct bus *ports, struct error *error)
{
    const struct bus_range counters = {PIT_PORT, 4, "pit", pit, pit_read, pit_write};
    const struct bus_range system = {PIT_SYSTEM_PORT, 1, "port61", pit, system_read, system_write};
    if (bus_register(ports, &counters, error))
        return -1;
    return bus_register(ports, &system, error);
}

static void pit_free(void *device)
{
    pit_destroy(device);
}

struct device pit_device(struct pit *pit)
{
    static const struct device_ops ops = {
        .destroy = pit_free,
        .reset = pit_reset,
        .save = pit_save,
        .restore = pit_restore,
        .describe = pit_describe,
    };
    return (struct device){.name = "pit", .ops = &ops, .object = pit};
}

static int create(const struct device_wiring *wiring, struct device *device, struct error *error)
{
    const struct pit_config config = {.clock = wiring->clock, .irq = wiring->pit};
    struct pit *pit = pit_create(&config, error);
    if (!pit)
        return -1;
    *device = pit_device(pit);
    return device_attached(device, pit_attach(pit, wiring->ports, error));
}

const struct device_class pit_class = {.create = create};
