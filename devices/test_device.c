/* The device that test suites of others expect. */
#include "devices/test_device.h"

#include <stdlib.h>
#include <string.h>

enum { KEPT_PORTS = 4 };

struct test_device {
    struct test_device_config config;
    uint8_t ports[KEPT_PORTS];
    uint32_t lines; /* levels, by number */
    uint8_t memory[TEST_DEVICE_MEMORY_SIZE];
    bool memory_used; /* else all zero */
};

static uint64_t get(const uint8_t *bytes, unsigned size)
{
    uint64_t value = 0;
    memcpy(&value, bytes, size);
    return value;
}

static uint64_t ports_read(void *object, uint64_t address, unsigned size)
{
    struct test_device *device = object;
    if (address + size > KEPT_PORTS)
        return 0;
    return get(device->ports + address, size);
}

static void ports_write(void *object, uint64_t address, unsigned size, uint64_t value)
{
    struct test_device *device = object;
    if (address + size <= KEPT_PORTS)
        memcpy(device->ports + address, &value, size);
}

static void lines_write(void *object, uint64_t address, unsigned size, uint64_t value)
{
    (void)size;
    struct test_device *device = object;
    const uint32_t bit = 1u << address;
    device->lines = value ? device->lines | bit : device->lines & ~bit;
    if (device->config.set_line)
        device->config.set_line(device->config.machine, (unsigned)address, value != 0);
}

static uint64_t memory_read_kept(void *object, uint64_t address, unsigned size)
{
    const struct test_device *device = object;
    return get(device->memory + address, size);
}

static void memory_write_kept(void *object, uint64_t address, unsigned size, uint64_t value)
{
    struct test_device *device = object;
    memcpy(device->memory + address, &value, size);
    device->memory_used = true;
}

struct test_device *test_device_create(const struct test_device_config *config, struct error *error)
{
    struct test_device *device = calloc(1, sizeof *device);
    if (!device) {
        error_set(error, "test device: out of memory");
        return NULL;
    }
    device->config = *config;
    return device;
}

void test_device_destroy(struct test_device *device)
{
    free(device);
}

int test_device_attach(
    struct test_device *device, struct bus *ports, struct bus *mmio, struct error *error)
{
    const struct bus_range kept = {
        TEST_DEVICE_PORT, TEST_DEVICE_PORTS, "testdev", device, ports_read, ports_write};
    const struct bus_range lines = {
        TEST_DEVICE_LINES, TEST_DEVICE_LINE_COUNT, "testdev-irq", device, NULL, lines_write};
    const struct bus_range memory = {TEST_DEVICE_MEMORY, TEST_DEVICE_MEMORY_SIZE, "testdev-mem",
        device, memory_read_kept, memory_write_kept};
    if (bus_register(ports, &kept, error) < 0 || bus_register(ports, &lines, error) < 0)
        return -1;
    return bus_register(mmio, &memory, error);
}

static void test_device_reset(void *object)
{
    struct test_device *device = object;
    memset(device->ports, 0, sizeof device->ports);
    memset(device->memory, 0, sizeof device->memory);
    device->memory_used = false;
    for (unsigned i = 0; i < TEST_DEVICE_LINE_COUNT; i++) {
        if (device->lines >> i & 1)
            lines_write(device, i, 1, 0);
    }
}

static void test_device_save(const void *object, struct buffer *out)
{
    const struct test_device *device = object;
    buffer_put(out, device->ports, sizeof device->ports);
    buffer_put_u32(out, device->lines);
    buffer_put_u8(out, device->memory_used);
    if (device->memory_used)
        buffer_put(out, device->memory, sizeof device->memory);
}

/* The levels are in the state of the controllers, too: they are not driven again. */
static void test_device_restore(void *object, struct reader *in)
{
    struct test_device *device = object;
    reader_get(in, device->ports, sizeof device->ports);
    device->lines = reader_get_u32(in);
    uint8_t used = reader_get_u8(in);
    if (device->lines >> TEST_DEVICE_LINE_COUNT || used > 1)
        in->failed = true;
    if (in->failed)
        return;
    if (used)
        reader_get(in, device->memory, sizeof device->memory);
    else if (device->memory_used)
        memset(device->memory, 0, sizeof device->memory);
    device->memory_used = used;
}

static void test_device_describe(const void *object, struct buffer *out)
{
    const struct test_device *device = object;
    buffer_printf(out, "ports %#010llx\nlines %#08x\nmemory %s\n",
        (unsigned long long)get(device->ports, KEPT_PORTS), device->lines,
        device->memory_used ? "written" : "zero");
}

static void test_device_free(void *object)
{
    test_device_destroy(object);
}

struct device test_device_device(struct test_device *device)
{
    static const struct device_ops ops = {
        .destroy = test_device_free,
        .reset = test_device_reset,
        .save = test_device_save,
        .restore = test_device_restore,
        .describe = test_device_describe,
    };
    return (struct device){.name = "testdev", .ops = &ops, .object = device};
}

static int create(const struct device_wiring *wiring, struct device *device, struct error *error)
{
    const struct test_device_config config = {
        .set_line = wiring->any.set, .machine = wiring->any.controller};
    struct test_device *test = test_device_create(&config, error);
    if (!test)
        return -1;
    *device = test_device_device(test);
    return device_attached(device, test_device_attach(test, wiring->ports, wiring->mmio, error));
}

const struct device_class test_device_class = {.create = create};
