/* The virtio entropy device. */
#include "devices/virtio_rng.h"

#include <stdlib.h>

#include "devices/virtio_legacy.h"

enum { DEVICE_ID = 4, CLASS_OTHER = 0xff0000 };

struct virtio_rng {
    struct virtio_rng_config config;
    struct virtio virtio;
};

static uint32_t rng_request(void *device, unsigned queue, const struct virtio_chain *chain)
{
    struct virtio_rng *rng = device;
    uint8_t bytes[VIRTIO_RNG_MOST];
    size_t size = sizeof bytes;
    (void)queue;
    if (chain->writable_bytes < size)
        size = (size_t)chain->writable_bytes;
    if (size == 0)
        return 0;
    rng->config.entropy(rng->config.machine, bytes, size);
    return (uint32_t)virtio_chain_write(&rng->virtio.rings.memory, chain, 0, bytes, size);
}

static uint8_t no_config(void *device, unsigned offset)
{
    (void)device;
    (void)offset;
    return 0;
}

static const struct virtio_type rng_type = {
    .id = DEVICE_ID,
    .class_code = CLASS_OTHER,
    .queues = 1,
    .request = rng_request,
    .config_read = no_config,
};

struct virtio_rng *virtio_rng_create(const struct virtio_rng_config *config, struct error *error)
{
    struct virtio_rng *rng = calloc(1, sizeof *rng);
    if (!rng) {
        error_set(error, "rng: out of memory");
        return NULL;
    }
    rng->config = *config;
    if (virtio_init(&rng->virtio, &rng_type, "rng", rng, 0, &config->memory, error) < 0) {
        free(rng);
        return NULL;
    }
    if (config->is_transitional)
        virtio_legacy_add(&rng->virtio);
    return rng;
}

void virtio_rng_destroy(struct virtio_rng *rng)
{
    free(rng);
}

struct pci_function *virtio_rng_function(struct virtio_rng *rng)
{
    return &rng->virtio.function;
}

static void rng_reset(void *device)
{
    virtio_bus_reset(&((struct virtio_rng *)device)->virtio);
}

static void rng_save(const void *device, struct buffer *out)
{
    virtio_save(&((const struct virtio_rng *)device)->virtio, out);
}

static void rng_restore(void *device, struct reader *in)
{
    virtio_restore(&((struct virtio_rng *)device)->virtio, in);
}

static void rng_describe(const void *device, struct buffer *out)
{
    virtio_describe(&((const struct virtio_rng *)device)->virtio, out);
}

static void virtio_rng_free(void *device)
{
    virtio_rng_destroy(device);
}

struct device virtio_rng_device(struct virtio_rng *rng)
{
    static const struct device_ops ops = {
        .destroy = virtio_rng_free,
        .reset = rng_reset,
        .save = rng_save,
        .restore = rng_restore,
        .describe = rng_describe,
    };
    return (struct device){.name = "rng", .ops = &ops, .object = rng};
}

static int create(const struct device_wiring *wiring, struct device *device, struct error *error)
{
    const struct virtio_rng_config config = {
        .memory = *wiring->memory,
        .is_transitional = wiring->transitional_virtio,
        .entropy = wiring->entropy,
        .machine = wiring->machine,
    };
    struct virtio_rng *rng = virtio_rng_create(&config, error);
    if (!rng)
        return -1;
    *device = virtio_rng_device(rng);
    return device_attached(device, pci_add(wiring->pci, virtio_rng_function(rng), error));
}

const struct device_class virtio_rng_class = {.create = create};
