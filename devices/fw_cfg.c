/* QEMU's firmware configuration device. */
#include "devices/fw_cfg.h"

#include <stdlib.h>
#include <string.h>

enum {
    KEY_SIGNATURE = 0x00,
    KEY_FEATURES = 0x01,
    KEY_RAM_SIZE = 0x03,
    KEY_CPUS = 0x05,
    KEY_MAX_CPUS = 0x0f,
    KEY_DIRECTORY = 0x19,
    KEY_E820 = 0x20, /* the first that a file may have */
    FEATURE_PORTS = 1 << 0,
    NAME_SIZE = 56,
    ITEM_COUNT = 7,
};

struct item {
    uint16_t key;
    struct buffer data;
};

struct fw_cfg {
    struct item items[ITEM_COUNT]; /* made once; only the two below change */
    uint16_t selector;
    uint32_t offset; /* of the next byte; stays at the item's end */
};

static void put_big_endian(struct buffer *out, uint32_t value, unsigned size)
{
    for (unsigned i = size; i-- > 0;)
        buffer_put_u8(out, (uint8_t)(value >> (8 * i)));
}

static void put_directory(struct buffer *out, const struct buffer *e820)
{
    char name[NAME_SIZE] = "etc/e820";
    put_big_endian(out, 1, 4); /* files */
    put_big_endian(out, (uint32_t)e820->size, 4);
    put_big_endian(out, KEY_E820, 2);
    put_big_endian(out, 0, 2);
    buffer_put(out, name, sizeof name);
}

static bool make_items(struct fw_cfg *fw_cfg, const struct fw_cfg_config *config)
{
    static const uint16_t keys[ITEM_COUNT] = {
        KEY_SIGNATURE, KEY_FEATURES, KEY_RAM_SIZE, KEY_CPUS, KEY_MAX_CPUS, KEY_E820, KEY_DIRECTORY};
    struct item *items = fw_cfg->items;
    for (unsigned i = 0; i < ITEM_COUNT; i++)
        items[i].key = keys[i];
    buffer_put(&items[0].data, "QEMU", 4);
    buffer_put_u32(&items[1].data, FEATURE_PORTS);
    buffer_put_u64(&items[2].data, config->ram_size);
    buffer_put_u16(&items[3].data, (uint16_t)config->cpus);
    buffer_put_u16(&items[4].data, (uint16_t)config->cpus);
    for (unsigned i = 0; i < config->range_count; i++) {
        buffer_put_u64(&items[5].data, config->ranges[i].start);
        buffer_put_u64(&items[5].data, config->ranges[i].size);
        buffer_put_u32(&items[5].data, config->ranges[i].type);
    }
    put_directory(&items[6].data, &items[5].data);
    bool failed = false;
    for (unsigned i = 0; i < ITEM_COUNT; i++)
        failed |= items[i].data.failed;
    return !failed;
}

static const struct buffer *selected(const struct fw_cfg *fw_cfg)
{
    for (unsigned i = 0; i < ITEM_COUNT; i++) {
        if (fw_cfg->items[i].key == fw_cfg->selector)
            return &fw_cfg->items[i].data;
    }
    return NULL;
}

/* Only the data port reads; each byte of an access that is wider is the next one. */
static uint64_t fw_cfg_read(void *device, uint64_t address, unsigned size)
{
    struct fw_cfg *fw_cfg = device;
    const struct buffer *data = selected(fw_cfg);
    if (size > 1)
        return bus_read_bytes(fw_cfg_read, device, address, size);
    if (address == 0)
        return 0xff;
    return data && fw_cfg->offset < data->size ? data->data[fw_cfg->offset++] : 0;
}

static void fw_cfg_write(void *device, uint64_t address, unsigned size, uint64_t value)
{
    struct fw_cfg *fw_cfg = device;
    if (address != 0 || size != 2)
        return;
    fw_cfg->selector = (uint16_t)value;
    fw_cfg->offset = 0;
}

void fw_cfg_destroy(struct fw_cfg *fw_cfg)
{
    if (!fw_cfg)
        return;
    for (unsigned i = 0; i < ITEM_COUNT; i++)
        buffer_free(&fw_cfg->items[i].data);
    free(fw_cfg);
}

struct fw_cfg *fw_cfg_create(const struct fw_cfg_config *config, struct error *error)
{
    struct fw_cfg *fw_cfg = calloc(1, sizeof *fw_cfg);
    if (fw_cfg && make_items(fw_cfg, config))
        return fw_cfg;
    fw_cfg_destroy(fw_cfg);
    error_set(error, "fw_cfg: out of memory");
    return NULL;
}

int fw_cfg_attach(struct fw_cfg *fw_cfg, struct bus *ports, struct error *error)
{
    return bus_register(ports,
        &(struct bus_range){FW_CFG_PORT, FW_CFG_PORTS, "fw_cfg", fw_cfg, fw_cfg_read, fw_cfg_write},
        error);
}

static void fw_cfg_reset(void *device)
{
    struct fw_cfg *fw_cfg = device;
    fw_cfg->selector = 0;
    fw_cfg->offset = 0;
}

static void fw_cfg_save(const void *device, struct buffer *out)
{
    const struct fw_cfg *fw_cfg = device;
    buffer_put_u16(out, fw_cfg->selector);
    buffer_put_u32(out, fw_cfg->offset);
}

static void fw_cfg_restore(void *device, struct reader *in)
{
    struct fw_cfg *fw_cfg = device;
    uint16_t selector = reader_get_u16(in);
    uint32_t offset = reader_get_u32(in);
    if (in->failed)
        return;
    fw_cfg->selector = selector;
    const struct buffer *data = selected(fw_cfg);
    if (offset > (data ? data->size : 0))
        in->failed = true;
    else
        fw_cfg->offset = offset;
}

static void fw_cfg_describe(const void *device, struct buffer *out)
{
    const struct fw_cfg *fw_cfg = device;
    buffer_printf(out, "selector %#06x\noffset %u\n", fw_cfg->selector, fw_cfg->offset);
}

static void fw_cfg_free(void *device)
{
    fw_cfg_destroy(device);
}

struct device fw_cfg_device(struct fw_cfg *fw_cfg)
{
    static const struct device_ops ops = {
        .destroy = fw_cfg_free,
        .reset = fw_cfg_reset,
        .save = fw_cfg_save,
        .restore = fw_cfg_restore,
        .describe = fw_cfg_describe,
    };
    return (struct device){.name = "fw_cfg", .ops = &ops, .object = fw_cfg};
}

static int create(const struct device_wiring *wiring, struct device *device, struct error *error)
{
    struct fw_cfg *fw_cfg = fw_cfg_create(wiring->fw_cfg, error);
    if (!fw_cfg)
        return -1;
    *device = fw_cfg_device(fw_cfg);
    return device_attached(device, fw_cfg_attach(fw_cfg, wiring->ports, error));
}

const struct device_class fw_cfg_class = {.create = create};
