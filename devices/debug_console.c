/* The debug console at port E9h. */
#include "devices/debug_console.h"

#include <stdlib.h>

struct debug_console {
    struct byte_sink output;
};

static uint64_t debug_console_read(void *device, uint64_t address, unsigned size)
{
    (void)device, (void)address, (void)size;
    return DEBUG_CONSOLE_PORT;
}

static void debug_console_write(void *device, uint64_t address, unsigned size, uint64_t value)
{
    (void)address, (void)size;
    struct debug_console *console = device;
    uint8_t byte = (uint8_t)value;
    sink_put(&console->output, &byte, 1);
}

struct debug_console *debug_console_create(const struct byte_sink *output, struct error *error)
{
    struct debug_console *console = calloc(1, sizeof *console);
    if (!console) {
        error_set(error, "debug-console: out of memory");
        return NULL;
    }
    console->output = *output;
    return console;
}

void debug_console_destroy(struct debug_console *console)
{
    free(console);
}

int debug_console_attach(struct debug_console *console, struct bus *ports, struct error *error)
{
    return bus_register(ports,
        &(struct bus_range){.base = DEBUG_CONSOLE_PORT,
            .size = 1,
            .name = "debug-console",
            .device = console,
            .read = debug_console_read,
            .write = debug_console_write},
        error);
}

static void debug_console_reset(void *device)
{
    (void)device;
}

static void debug_console_save(const void *device, struct buffer *out)
{
    (void)device, (void)out;
}

static void debug_console_restore(void *device, struct reader *in)
{
    (void)device, (void)in;
}

static void debug_console_describe(const void *device, struct buffer *out)
{
    (void)device, (void)out;
}

static void debug_console_free(void *device)
{
    debug_console_destroy(device);
}

struct device debug_console_device(struct debug_console *console)
{
    static const struct device_ops ops = {
        .destroy = debug_console_free,
        .reset = debug_console_reset,
        .save = debug_console_save,
        .restore = debug_console_restore,
        .describe = debug_console_describe,
    };
    return (struct device){.name = "debug-console", .ops = &ops, .object = console};
}

static int create(const struct device_wiring *wiring, struct device *device, struct error *error)
{
    struct debug_console *console = debug_console_create(&wiring->debug_console, error);
    if (!console)
        return -1;
    *device = debug_console_device(console);
    return device_attached(device, debug_console_attach(console, wiring->ports, error));
}

const struct device_class debug_console_class = {.create = create};
