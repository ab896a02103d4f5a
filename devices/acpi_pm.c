/* The fixed hardware of ACPI: events, control and the power management timer. */
#include "devices/acpi_pm.h"

#include <stdlib.h>

enum {
    STATUS = 0,
    ENABLE = 2,
    CONTROL = 4,
    TIMER = 8,
    STATUS_TIMER = 1 << 0,
    ENABLE_MASK = 0x4721,
    CONTROL_SCI_ENABLED = 1 << 0,
    CONTROL_MASK = 0x1c06,
    SLEEP_TYPE_SHIFT = 10,
    SLEEP_ENABLE = 1 << 13,
    HALF_WRAP = 1 << 23, /* ticks between changes of the highest bit */
};

struct acpi_pm {
    struct acpi_pm_config config;
    struct timer timer; /* the next change of the highest bit, while its interrupt is enabled */
    uint16_t enable, control;
    uint64_t acknowledged; /* how many changes of the highest bit have been cleared */
};

static uint64_t tick_at(uint64_t now)
{
    return (uint64_t)((unsigned __int128)now * ACPI_PM_TIMER_HZ / 1000000000u);
}

/* The first nanosecond of a tick. */
static uint64_t tick_time(uint64_t tick)
{
    unsigned __int128 time =
        ((unsigned __int128)tick * 1000000000u + ACPI_PM_TIMER_HZ - 1) / ACPI_PM_TIMER_HZ;
    return time >= TIMER_IDLE ? TIMER_IDLE - 1 : (uint64_t)time;
}

static uint64_t changes_at(uint64_t now)
{
    return tick_at(now) / HALF_WRAP;
}

static uint16_t status_at(const struct acpi_pm *pm, uint64_t now)
{
    return changes_at(now) > pm->acknowledged ? STATUS_TIMER : 0;
}

static void update(struct acpi_pm *pm, uint64_t now)
{
    uint16_t status = status_at(pm, now);
    irq_set(&pm->config.irq, status & pm->enable);
    if (pm->enable & STATUS_TIMER && !status)
        timer_arm(pm->config.clock, &pm->timer, tick_time((changes_at(now) + 1) * HALF_WRAP));
    else
        timer_cancel(pm->config.clock, &pm->timer);
}

static void timer_changes(void *device, uint64_t now)
{
    update(device, now);
}

static uint64_t read_word(struct acpi_pm *pm, uint64_t address)
{
    switch (address & ~1ull) {
    case STATUS:
        return status_at(pm, clock_now(pm->config.clock));
    case ENABLE:
        return pm->enable;
    case CONTROL:
        return pm->control | CONTROL_SCI_ENABLED;
    case TIMER:
        return tick_at(clock_now(pm->config.clock)) & 0xffff;
    case TIMER + 2:
        return tick_at(clock_now(pm->config.clock)) >> 16 & 0xff;
    default:
        return 0;
    }
}

static uint64_t pm_read(void *device, uint64_t address, unsigned size)
{
    struct acpi_pm *pm = device;
    if (address == TIMER && size == 4)
        return tick_at(clock_now(pm->config.clock)) & 0xffffff;
    if (size == 1)
        return read_word(pm, address) >> 8 * (address & 1) & 0xff;
    if (size == 2 && !(address & 1))
        return read_word(pm, address);
    return bus_read_bytes(pm_read, device, address, size);
}

static void set_control(struct acpi_pm *pm, uint16_t value)
{
    pm->control = value & CONTROL_MASK;
    if (value & SLEEP_ENABLE && (value >> SLEEP_TYPE_SHIFT & 7) == ACPI_PM_SLEEP_OFF &&
        pm->config.power_off)
        pm->config.power_off(pm->config.machine);
}

static void write_word(struct acpi_pm *pm, uint64_t address, uint16_t value, uint16_t mask)
{
    uint64_t now;
    switch (address) {
    case STATUS:
        now = clock_now(pm->config.clock);
        if (value & mask & STATUS_TIMER)
            pm->acknowledged = changes_at(now);
        update(pm, now);
        break;
    case ENABLE:
        pm->enable = (uint16_t)((pm->enable & ~mask) | (value & mask)) & ENABLE_MASK;
        update(pm, clock_now(pm->config.clock));
        break;
    case CONTROL:
        set_control(pm, (uint16_t)((pm->control & ~mask) | (value & mask)));
        break;
    default:
        break;
    }
}

static void pm_write(void *device, uint64_t address, unsigned size, uint64_t value)
{
    struct acpi_pm *pm = device;
    if (size == 1)
        write_word(pm, address & ~1ull, (uint16_t)(value << 8 * (address & 1)),
            (uint16_t)(0xff << 8 * (address & 1)));
    else if (size == 2 && !(address & 1))
        write_word(pm, address, (uint16_t)value, 0xffff);
    else
        bus_write_bytes(pm_write, device, address, size, value);
}

static void pm_reset(void *device)
{
    struct acpi_pm *pm = device;
    pm->enable = pm->control = 0;
    pm->acknowledged = changes_at(pm->config.clock->now);
    timer_cancel(pm->config.clock, &pm->timer);
    irq_set(&pm->config.irq, false);
}

struct acpi_pm *acpi_pm_create(const struct acpi_pm_config *config, struct error *error)
{
    struct acpi_pm *pm = calloc(1, sizeof *pm);
    if (!pm) {
        error_set(error, "acpi_pm: out of memory");
        return NULL;
    }
    pm->config = *config;
    timer_init(config->clock, &pm->timer, timer_changes, pm);
    return pm;
}

void acpi_pm_destroy(struct acpi_pm *pm)
{
    if (!pm)
        return;
    timer_cancel(pm->config.clock, &pm->timer);
    free(pm);
}

int acpi_pm_attach(struct acpi_pm *pm, struct bus *ports, struct error *error)
{
    return bus_register(ports,
        &(struct bus_range){.base = ACPI_PM_PORT,
            .size = ACPI_PM_SIZE,
            .name = "acpi_pm",
            .device = pm,
            .read = pm_read,
            .write = pm_write},
        error);
}

static void pm_save(const void *device, struct buffer *out)
{
    const struct acpi_pm *pm = device;
    buffer_put_u16(out, pm->enable);
    buffer_put_u16(out, pm->control);
    buffer_put_u64(out, pm->acknowledged);
    buffer_put_u64(out, pm->timer.deadline);
}

static void pm_restore(void *device, struct reader *in)
{
    struct acpi_pm *pm = device;
    uint16_t enable = reader_get_u16(in), control = reader_get_u16(in);
    uint64_t acknowledged = reader_get_u64(in), deadline = reader_get_u64(in);
    if (in->failed)
        return;
    pm->enable = enable & ENABLE_MASK;
    pm->control = control & CONTROL_MASK;
    pm->acknowledged = acknowledged;
    timer_cancel(pm->config.clock, &pm->timer);
    if (deadline != TIMER_IDLE)
        timer_arm(pm->config.clock, &pm->timer, deadline);
}

static void pm_describe(const void *device, struct buffer *out)
{
    const struct acpi_pm *pm = device;
    buffer_printf(
        out, "PM1_EN %#06x\nPM1_CNT %#06x\n", pm->enable, pm->control | CONTROL_SCI_ENABLED);
}

static void acpi_pm_free(void *device)
{
    acpi_pm_destroy(device);
}

struct device acpi_pm_device(struct acpi_pm *pm)
{
    static const struct device_ops ops = {
        .destroy = acpi_pm_free,
        .reset = pm_reset,
        .save = pm_save,
        .restore = pm_restore,
        .describe = pm_describe,
    };
    return (struct device){.name = "acpi_pm", .ops = &ops, .object = pm};
}

static int create(const struct device_wiring *wiring, struct device *device, struct error *error)
{
    const struct acpi_pm_config config = {
        .clock = wiring->clock,
        .irq = wiring->sci,
        .power_off = wiring->power_off,
        .machine = wiring->machine,
    };
    struct acpi_pm *pm = acpi_pm_create(&config, error);
    if (!pm)
        return -1;
    *device = acpi_pm_device(pm);
    return device_attached(device, acpi_pm_attach(pm, wiring->ports, error));
}

const struct device_class acpi_pm_class = {.create = create};
