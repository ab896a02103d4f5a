/*
 * The virtio 1.x transport over PCI (OASIS Virtual I/O Device Version 1.2, section 4.1) with the
 * split rings of virtio_queue.h: what every virtio device is built on.
 *
 * The legacy interface is beside it: virtio_legacy.h. Features of the transport: VERSION_1,
 * RING_INDIRECT_DESC, RING_EVENT_IDX. Interrupts are MSI-X messages where the driver has enabled
 * them, with one vector for each queue and one for the configuration, else INTx with the ISR
 * status.
 *
 * All requests that a notification makes available are done inside that notification (or held,
 * where they are room for what is to come), so a device's behaviour depends on nothing but the
 * accesses made to it and the inputs delivered. Everything read from guest memory is hostile: a
 * ring or chain that breaks the rules puts the device into DEVICE_NEEDS_RESET, where it touches
 * guest memory no more.
 *
 * BAR 0 (memory, 16 KiB): common configuration at 0, ISR at 0x1000, device-specific configuration
 * at 0x2000, notifications at 0x3000 (4 bytes a queue). BAR 1: the MSI-X table.
 */
#ifndef DEVICES_VIRTIO_H
#define DEVICES_VIRTIO_H

#include "devices/pci.h"
#include "devices/pci_msix.h"
#include "devices/virtio_queue.h"

enum {
    VIRTIO_MAX_QUEUES = 4,
    VIRTIO_BAR_SIZE = 0x4000,
    VIRTIO_COMMON_OFFSET = 0x0000,
    VIRTIO_ISR_OFFSET = 0x1000,
    VIRTIO_DEVICE_OFFSET = 0x2000,
    VIRTIO_NOTIFY_OFFSET = 0x3000,
    VIRTIO_NOTIFY_MULTIPLIER = 4,
    VIRTIO_NO_VECTOR = 0xffff,
};

enum {
    VIRTIO_STATUS_ACKNOWLEDGE = 1,
    VIRTIO_STATUS_DRIVER = 2,
    VIRTIO_STATUS_DRIVER_OK = 4,
    VIRTIO_STATUS_FEATURES_OK = 8,
    VIRTIO_STATUS_NEEDS_RESET = 64,
    VIRTIO_STATUS_FAILED = 128,
};

#define VIRTIO_F_INDIRECT_DESC (UINT64_C(1) << 28)
#define VIRTIO_F_EVENT_IDX     (UINT64_C(1) << 29)
#define VIRTIO_F_VERSION_1     (UINT64_C(1) << 32)

struct virtio_type {
    uint16_t id;         /* virtio device ID: 2 for block */
    uint32_t class_code; /* PCI */
    uint64_t features;   /* beside those of the transport */
    unsigned queues;
    unsigned config_size; /* bytes of device-specific configuration */
    /* Does one request and returns the number of bytes written into the chain, or VIRTIO_HOLD to
     * leave it where it is: nothing more is served until virtio_serve() is called again. */
    uint32_t (*request)(void *device, unsigned queue, const struct virtio_chain *chain);
    uint8_t (*config_read)(void *device, unsigned offset);
    void (*config_write)(void *device, unsigned offset, uint8_t value); /* NULL: read-only */
};

struct virtio {
    const struct virtio_type *type;
    void *device;
    uint64_t offered; /* features, transport's included; set by virtio_init from the type */
    struct virtio_rings rings;
    struct pci_function function;
    unsigned access_capability; /* offset of VIRTIO_PCI_CAP_PCI_CFG */
    unsigned modern_bar;        /* where the registers of virtio 1.x are */
    uint8_t status, isr;
    uint32_t offered_select, accepted_select;
    uint64_t accepted;
    uint16_t queue_select;
    uint8_t generation;
    uint16_t config_vector;
    struct pci_msix msix;
    struct virtio_queue queue[VIRTIO_MAX_QUEUES];
    uint16_t queue_vector[VIRTIO_MAX_QUEUES]; /* MSI-X, or VIRTIO_NO_VECTOR */
};

/* `offered` may leave out optional features of the type. `name` outlives the device. */
int virtio_init(struct virtio *virtio, const struct virtio_type *type, const char *name,
    void *device, uint64_t offered, const struct guest_memory *memory, struct error *error);
bool virtio_has(const struct virtio *virtio, uint64_t feature); /* offered and accepted */
/* The device-specific configuration has other content now: tells the driver. */
void virtio_config_changed(struct virtio *virtio);
/* Sets DEVICE_NEEDS_RESET: the driver has broken the rules. */
void virtio_broken(struct virtio *virtio);

void virtio_reset(struct virtio *virtio);     /* by the driver */
void virtio_bus_reset(struct virtio *virtio); /* by the reset line: MSI-X as well */
void virtio_save(const struct virtio *virtio, struct buffer *out);
void virtio_restore(struct virtio *virtio, struct reader *in);
void virtio_describe(const struct virtio *virtio, struct buffer *out);

/* Of the registers that both interfaces have. */
uint8_t virtio_take_isr(struct virtio *virtio); /* reading clears it */
/* A vector that does not exist cannot be mapped: the driver reads back "none". */
uint16_t virtio_map_vector(const struct virtio *virtio, uint64_t value);
/* The device-specific configuration; what is past its end reads as zero. */
uint64_t virtio_config_read(struct virtio *virtio, unsigned offset, unsigned size);
void virtio_config_write(struct virtio *virtio, unsigned offset, unsigned size, uint64_t value);

/* Serves the queue until it is empty, held or broken. */
void virtio_serve(struct virtio *virtio, unsigned queue);
bool virtio_has_chain(const struct virtio *virtio, unsigned queue); /* has the driver left any? */

#endif
