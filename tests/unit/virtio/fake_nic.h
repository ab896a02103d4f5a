/*
 * A virtio-net or virtio-rng driver in a test, beside the disk of fake_driver.h: the device in slot
 * 3, two virtqueues in guest RAM.
 */
#ifndef TESTS_FAKE_NIC_H
#define TESTS_FAKE_NIC_H

#include "devices/virtio_net.h"
#include "devices/virtio_rng.h"
#include "fake_driver.h"

enum {
    NIC_SLOT = 3,
    RINGS = 0x20000, /* of queue 0; each takes 0x3000: descriptors, available, used */
    RING_SPAN = 0x3000,
    INDIRECT_NIC = 0x28000,
    RECEIVE = 0,
    TRANSMIT = 1,
    HEADER = 12, /* struct virtio_net_hdr of VERSION_1 */
};

struct nic_driver {
    struct driver *d;
    struct virtio_net *net;
    struct virtio_rng *rng;
    uint16_t available[2];
    unsigned line; /* interrupt input of the slot */
    unsigned sent;
    uint8_t frame[VIRTIO_NET_FRAME_MOST]; /* the last one sent */
    size_t frame_size;
    uint8_t next_byte; /* of the entropy */
};

static inline void take_sent(void *target, const uint8_t *frame, size_t size)
{
    struct nic_driver *n = target;
    if (size < VIRTIO_NET_FRAME_LEAST || size > VIRTIO_NET_FRAME_MOST)
        abort();
    n->sent++;
    memcpy(n->frame, frame, size);
    n->frame_size = size;
}

static inline void give_bytes(void *target, uint8_t *data, size_t size)
{
    struct nic_driver *n = target;
    if (size == 0 || size > VIRTIO_RNG_MOST)
        abort();
    for (size_t i = 0; i < size; i++)
        data[i] = ++n->next_byte;
}

static inline struct nic_driver *nic_driver_make(bool rng, bool is_transitional)
{
    struct nic_driver *n = calloc(1, sizeof *n);
    if (!n || !(n->d = driver_create(false)))
        abort();
    struct guest_memory memory = {.context = n->d, .at = ram_at, .wrote = ram_wrote};
    const struct virtio_net_config net = {.name = "net0",
        .mac = {0x52, 0x54, 0, 1, 2, 3},
        .memory = memory,
        .is_transitional = is_transitional,
        .transmit = take_sent,
        .target = n};
    const struct virtio_rng_config random = {
        .memory = memory, .is_transitional = is_transitional, .entropy = give_bytes, .machine = n};
    if (rng)
        n->rng = virtio_rng_create(&random, NULL);
    else
        n->net = virtio_net_create(&net, NULL);
    if ((!n->rng && !n->net) ||
        pci_add(n->d->pci, rng ? virtio_rng_function(n->rng) : virtio_net_function(n->net), NULL))
        abort();
    pci_setup(n->d->pci);
    n->d->bar = config_get(n->d, NIC_SLOT, is_transitional ? 0x20 : 0x10, 4) & ~15u;
    n->line = pci_setup_irq(NIC_SLOT, 0);
    return n;
}

static inline struct nic_driver *nic_driver_create(bool rng)
{
    return nic_driver_make(rng, false);
}

static inline void nic_driver_destroy(struct nic_driver *n)
{
    virtio_net_destroy(n->net);
    virtio_rng_destroy(n->rng);
    driver_destroy(n->d);
    free(n);
}

static inline uint64_t ring_at(unsigned queue, uint64_t ring)
{
    return RINGS + queue * (uint64_t)RING_SPAN + ring - RING_DESC;
}

/* The initialization of section 3.1.1. */
static inline void nic_start(struct nic_driver *n, uint64_t accepted)
{
    struct driver *d = n->d;
    set_reg(d, 0x14, 1, 0);
    memset(d->ram, 0, RAM_SIZE);
    n->available[0] = n->available[1] = 0;
    set_reg(d, 0x14, 1, 1);
    set_reg(d, 0x14, 1, 3);
    accept_features(d, accepted);
    set_reg(d, 0x14, 1, 11);
    for (unsigned queue = 0; queue < 2; queue++) {
        set_reg(d, 0x16, 2, queue);
        set_reg(d, 0x18, 2, QUEUE);
        set_reg(d, 0x20, 8, ring_at(queue, RING_DESC));
        set_reg(d, 0x28, 8, ring_at(queue, RING_AVAIL));
        set_reg(d, 0x30, 8, ring_at(queue, RING_USED));
        set_reg(d, 0x1c, 2, 1);
    }
    set_reg(d, 0x14, 1, 15);
}

static inline void nic_offer(struct nic_driver *n, unsigned queue, uint16_t head)
{
    uint64_t ring = ring_at(queue, RING_AVAIL);
    put16(n->d, ring + 4 + 2 * (n->available[queue] % QUEUE), head);
    put16(n->d, ring + 2, ++n->available[queue]);
}

static inline void nic_notify(struct nic_driver *n, unsigned queue)
{
    set_reg(n->d, 0x3000 + 4 * queue, 2, queue);
}

/* One buffer as descriptor `index`, offered and notified. */
static inline void nic_buffer(
    struct nic_driver *n, unsigned queue, unsigned index, uint64_t gpa, uint32_t length)
{
    descriptor(n->d, ring_at(queue, RING_DESC), index, gpa, length, queue == RECEIVE ? 2 : 0, 0);
    nic_offer(n, queue, (uint16_t)index);
    nic_notify(n, queue);
}

static inline uint16_t nic_used(const struct nic_driver *n, unsigned queue)
{
    return get16(n->d, ring_at(queue, RING_USED) + 2);
}

/* Bytes written, of the `number`-th buffer that came back. */
static inline uint32_t nic_used_length(const struct nic_driver *n, unsigned queue, unsigned number)
{
    return get32(n->d, ring_at(queue, RING_USED) + 4 + 8 * (number % QUEUE) + 4);
}

#endif
