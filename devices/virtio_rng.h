/*
 * virtio-rng, the entropy device (virtio 1.2, section 5.4): one queue of buffers, each filled with
 * random bytes.
 */
#ifndef DEVICES_VIRTIO_RNG_H
#define DEVICES_VIRTIO_RNG_H

#include "devices/virtio.h"

struct virtio_rng;

struct virtio_rng_config {
    struct guest_memory memory;
    bool is_transitional; /* has the legacy interface, too */
    /* Fills in `size` random bytes, at most VIRTIO_RNG_MOST. */
    void (*entropy)(void *machine, uint8_t *data, size_t size);
    void *machine;
};

/* Bytes given for one buffer at the most; a driver that wants more asks again. */
enum { VIRTIO_RNG_MOST = 256 };

struct virtio_rng *virtio_rng_create(const struct virtio_rng_config *config, struct error *error);
void virtio_rng_destroy(struct virtio_rng *rng);                  /* NULL is fine */
struct pci_function *virtio_rng_function(struct virtio_rng *rng); /* for pci_add */
struct device virtio_rng_device(struct virtio_rng *rng);
extern const struct device_class virtio_rng_class;

#endif
