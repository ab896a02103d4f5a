/* The debug-exit port. */
#include "devices/debug_exit.h"

#include <stdlib.h>

struct debug_exit {
    struct debug_exit_config config;
};

static uint64_t debug_exit_read(void *device, uint64_t address, unsigned size)
{
    (void)device, (void)address, (void)size;
    return 0;
}

static void debug_exit_write(void *device, uint64_t address, unsigned size, uint64_t value)
{
    (void)address, (void)size;
    struct debug_exit *debug_exit = device;
    if (debug_exit->config.exit)
        debug_exit->config.exit(debug_exit->config.machine, (uint32_t)value << 1 | 1);
}

struct debug_exit *debug_exit_create(const struct debug_exit_config *config, struct error *error)
{
    struct debug_exit *debug_exit = calloc(1, sizeof *debug_exit);
    if (!debug_exit) {
        error_set(error, "debug-exit: out of memory");
        return NULL;
    }
    debug_exit->config = *config;
    return debug_exit;
}

void debug_exit_destroy(struct debug_exit *debug_exit)
{
    free(debug_exit);
}

int debug_exit_attach(struct debug_exit *debug_exit, struct bus *ports, uint16_t base,
    unsigned size, struct error *error)
{
    if (size != 1 && size != 2 && size != 4)
        return error_set(error, "debug-exit: size is %u, but must be 1, 2 or 4 bytes", size);
    return bus_register(ports,
        &(struct bus_range){.base = base,
            .size = size,
            .name = "debug-exit",
            .device = debug_exit,
            .read = debug_exit_read,
            .write = debug_exit_write},
        error);
}

static void debug_exit_reset(void *device)
{
    (void)device;
}

static void debug_exit_save(const void *device, struct buffer *out)
{
    (void)device, (void)out;
}

static void debug_exit_restore(void *device, struct reader *in)
{
    (void)device, (void)in;
}

static void debug_exit_describe(const void *device, struct buffer *out)
{
    (void)device, (void)out;
}

static void debug_exit_free(void *device)
{
    debug_exit_destroy(device);
}

struct device debug_exit_device(struct debug_exit *debug_exit)
{
    static const struct device_ops ops = {
        .destroy = debug_exit_free,
        .reset = debug_exit_reset,
        .save = debug_exit_save,
        .restore = debug_exit_restore,
        .describe = debug_exit_describe,
    };
    return (struct device){.name = "debug-exit", .ops = &ops, .object = debug_exit};
}

static int create(const struct device_wiring *wiring, struct device *device, struct error *error)
{
    const struct debug_exit_config config = {.exit = wiring->exit, .machine = wiring->machine};
    struct debug_exit *debug_exit = debug_exit_create(&config, error);
    if (!debug_exit)
        return -1;
    *device = debug_exit_device(debug_exit);
    return device_attached(device,
        debug_exit_attach(debug_exit, wiring->ports, DEBUG_EXIT_PORT, DEBUG_EXIT_SIZE, error));
}

const struct device_class debug_exit_class = {.create = create};
