/* System control port A: gate A20 and the fast reset. */
#include "devices/port92.h"

#include <stdlib.h>

enum { HOT_RESET = 1 << 0, GATE_A20 = 1 << 1 };

struct port92 {
    struct port92_config config;
    uint8_t control;
};

static uint64_t port92_read(void *device, uint64_t address, unsigned size)
{
    (void)address, (void)size;
    const struct port92 *port92 = device;
    return port92->control;
}

static void set_control(struct port92 *port92, uint8_t value)
{
    uint8_t changed = port92->control ^ value;
    port92->control = value;
    if ((changed & GATE_A20) && port92->config.a20)
        port92->config.a20(port92->config.machine, value & GATE_A20);
}

static void port92_write(void *device, uint64_t address, unsigned size, uint64_t value)
{
    (void)address, (void)size;
    struct port92 *port92 = device;
    bool rises = (value & HOT_RESET) && !(port92->control & HOT_RESET);
    set_control(port92, value & (HOT_RESET | GATE_A20));
    if (rises && port92->config.reset_request)
        port92->config.reset_request(port92->config.machine);
}

struct port92 *port92_create(const struct port92_config *config, struct error *error)
{
    struct port92 *port92 = calloc(1, sizeof *port92);
    if (!port92) {
        error_set(error, "port92: out of memory");
        return NULL;
    }
    port92->config = *config;
    port92->control = GATE_A20;
    return port92;
}

void port92_destroy(struct port92 *port92)
{
    free(port92);
}

int port92_attach(struct port92 *port92, struct bus *ports, struct error *error)
{
    return bus_register(ports,
        &(struct bus_range){.base = PORT92_PORT,
            .size = 1,
            .name = "port92",
            .device = port92,
            .read = port92_read,
            .write = port92_write},
        error);
}

bool port92_a20(const struct port92 *port92)
{
    return port92->control & GATE_A20;
}

static void port92_reset(void *device)
{
    set_control(device, GATE_A20);
}

static void port92_save(const void *device, struct buffer *out)
{
    const struct port92 *port92 = device;
    buffer_put_u8(out, port92->control);
}

static void port92_restore(void *device, struct reader *in)
{
    uint8_t control = reader_get_u8(in);
    if (control & ~(HOT_RESET | GATE_A20))
        in->failed = true;
    if (!in->failed)
        set_control(device, control);
}

static void port92_describe(const void *device, struct buffer *out)
{
    const struct port92 *port92 = device;
    buffer_printf(out, "control %#04x\n", port92->control);
}

static void port92_free(void *device)
{
    port92_destroy(device);
}

struct device port92_device(struct port92 *port92)
{
    static const struct device_ops ops = {
        .destroy = port92_free,
        .reset = port92_reset,
        .save = port92_save,
        .restore = port92_restore,
        .describe = port92_describe,
    };
    return (struct device){.name = "port92", .ops = &ops, .object = port92};
}

static int create(const struct device_wiring *wiring, struct device *device, struct error *error)
{
    const struct port92_config config = {
        .reset_request = wiring->reset, .machine = wiring->machine};
    struct port92 *port92 = port92_create(&config, error);
    if (!port92)
        return -1;
    *device = port92_device(port92);
    return device_attached(device, port92_attach(port92, wiring->ports, error));
}

const struct device_class port92_class = {.create = create};
