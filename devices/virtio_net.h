/*
 * virtio-net (virtio 1.2, section 5.1): one receive and one transmit queue, no offloads. Features:
 * MAC, STATUS, MTU.
 *
 * A frame is 14 to VIRTIO_NET_FRAME_MOST bytes: header, payload, one VLAN tag, no checksum. Frames
 * that the driver sends in other sizes are dropped. A frame is received into one chain; when that
 * is too small for it, the frame is dropped and the chain waits for the next one. A chain without
 * room for the header breaks the device.
 */
#ifndef DEVICES_VIRTIO_NET_H
#define DEVICES_VIRTIO_NET_H

#include "devices/virtio.h"

struct virtio_net;

enum { VIRTIO_NET_MTU = 1500, VIRTIO_NET_FRAME_LEAST = 14, VIRTIO_NET_FRAME_MOST = 1518 };

#define VIRTIO_NET_F_MTU    (UINT64_C(1) << 3)
#define VIRTIO_NET_F_MAC    (UINT64_C(1) << 5)
#define VIRTIO_NET_F_STATUS (UINT64_C(1) << 16)

struct virtio_net_config {
    const char *name; /* "net0"; must outlive the device */
    uint8_t mac[6];
    struct guest_memory memory;
    bool is_transitional; /* has the legacy interface, too */
    void (*transmit)(void *target, const uint8_t *frame, size_t size);
    void *target;
};

struct virtio_net *virtio_net_create(const struct virtio_net_config *config, struct error *error);
void virtio_net_destroy(struct virtio_net *net);                  /* NULL is fine */
struct pci_function *virtio_net_function(struct virtio_net *net); /* for pci_add */
struct device virtio_net_device(struct virtio_net *net);

/* Has the driver given a buffer for a frame? */
bool virtio_net_can_receive(const struct virtio_net *net);
/* A frame from outside; false when it was dropped: no buffer, too small a one, or not a frame's
 * size. */
bool virtio_net_receive(struct virtio_net *net, const uint8_t *frame, size_t size);
/* Up after creation; a reset does not change it. The driver is told of a change. */
void virtio_net_set_link(struct virtio_net *net, bool up);

#endif
