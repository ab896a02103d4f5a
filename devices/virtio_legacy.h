/*
 * The legacy interface of a transitional device (virtio 1.2, sections 2.7.2, 4.1.4.10
 * and 4.1.5.1.5; "Virtio PCI Card Specification" 0.9.5, section 2): what drivers from before
 * virtio 1.0 know.
 *
 * The function gets the IDs of those days; BAR 0 becomes 128 ports with features of 32 bits, queues
 * given by the page that descriptors, available and used ring follow one another in, and the
 * device-specific configuration. The registers of virtio 1.x go on being there, in BAR 4. Which of
 * both a driver speaks is told by VERSION_1: only the older one goes without.
 *
 * A register is read and written in its own size; other accesses read as zero and write nothing.
 * Numbers are little-endian, as the guest is.
 */
#ifndef DEVICES_VIRTIO_LEGACY_H
#define DEVICES_VIRTIO_LEGACY_H

#include "devices/virtio.h"

enum {
    VIRTIO_LEGACY_BAR_SIZE = 128,
    VIRTIO_LEGACY_MODERN_BAR = 4,
    VIRTIO_LEGACY_DEVICE_FEATURES = 0,
    VIRTIO_LEGACY_DRIVER_FEATURES = 4,
    VIRTIO_LEGACY_QUEUE_ADDRESS = 8, /* the number of its first page; 0: none */
    VIRTIO_LEGACY_QUEUE_SIZE = 12,
    VIRTIO_LEGACY_QUEUE_SELECT = 14,
    VIRTIO_LEGACY_QUEUE_NOTIFY = 16,
    VIRTIO_LEGACY_STATUS = 18,
    VIRTIO_LEGACY_ISR = 19,
    VIRTIO_LEGACY_CONFIG_VECTOR = 20, /* with MSI-X enabled; else the device's configuration */
    VIRTIO_LEGACY_QUEUE_VECTOR = 22,
    VIRTIO_LEGACY_CONFIG_MSIX = 24, /* where that begins with MSI-X enabled */
};

/* Makes the device a transitional one: after virtio_init(), before it is on its bus. */
void virtio_legacy_add(struct virtio *virtio);

#endif
