/*
 * A hostile virtio-net driver on a busy wire: register accesses, guest memory and frames from the
 * input. The fake host side and guest RAM abort on what they must not see.
 */
#include "tests/unit/virtio/fake_nic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t size;
};

static uint32_t take(struct input *in, unsigned bytes)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < bytes && in->size; i++) {
        value |= (uint32_t)*in->data++ << (8 * i);
        in->size--;
    }
    return value;
}

/* Addresses mostly in RAM, with the edges of it and the rings. */
static uint64_t address(struct input *in)
{
    uint32_t value = take(in, 3);
    switch (value & 31) {
    case 0:
        return UINT64_MAX - (value >> 5 & 0xff);
    case 1:
        return RAM_SIZE - (value >> 5 & 0xff);
    case 2:
        return RINGS + (value >> 5 & 0x7fff);
    default:
        return value >> 4;
    }
}

static void receive(struct nic_driver *n, struct input *in)
{
    uint8_t frame[VIRTIO_NET_FRAME_MOST + 100] = {0};
    size_t size = take(in, 2) % sizeof frame;
    uint16_t before = nic_used(n, RECEIVE);
    bool could = virtio_net_can_receive(n->net);
    bool taken = virtio_net_receive(n->net, frame, size);
    if (taken && (!could || size < VIRTIO_NET_FRAME_LEAST || size > VIRTIO_NET_FRAME_MOST))
        abort();
    /* A frame that is not taken gives no buffer back (but it may itself lie over the ring). */
    if (!taken && nic_used(n, RECEIVE) != before)
        abort();
}

static void step(struct nic_driver *n, struct input *in)
{
    struct driver *d = n->d;
    unsigned queue = take(in, 1);
    unsigned what = queue >> 1;
    queue &= 1;
    switch (what % 12) {
    case 0:
        set_reg(d, take(in, 1) & 0x3f, 1u << (take(in, 1) & 3), take(in, 4));
        break;
    case 1:
        (void)reg(d, take(in, 2) & 0x3fff, 1u << (take(in, 1) & 3));
        break;
    case 2:
    case 3:
    case 4: {
        uint64_t table = take(in, 1) & 1 ? INDIRECT_NIC : ring_at(queue, RING_DESC);
        unsigned index = take(in, 1) % QUEUE;
        uint64_t gpa = address(in);
        uint32_t length = take(in, 1) & 3 ? take(in, 2) % 3000 : take(in, 4);
        descriptor(d, table, index, gpa, length, take(in, 1) & 7, (uint16_t)(take(in, 1) % 18));
        break;
    }
    case 5:
        nic_offer(n, queue, (uint16_t)(take(in, 1) % 18));
        nic_notify(n, queue);
        break;
    case 6:
        d->ram[take(in, 3) % RAM_SIZE] = (uint8_t)take(in, 1);
        nic_notify(n, queue);
        break;
    case 7:
        receive(n, in);
        break;
    case 8:
        virtio_net_set_link(n->net, queue);
        break;
    case 10:
        set_port(d, NIC_SLOT, take(in, 1) & 0x7f, 1u << take(in, 1) % 3, take(in, 4));
        break;
    case 11:
        (void)port(d, NIC_SLOT, take(in, 1) & 0x7f, 1u << take(in, 1) % 3);
        break;
    default:
        if (reg(d, 0x14, 1) & 64 || take(in, 1) % 8 == 0)
            nic_start(n, features(d) & ~(uint64_t)take(in, 4));
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct nic_driver *n;
    struct input in = {data, size};
    if (!n)
        n = nic_driver_make(false, true);
    struct device pci = pci_device(n->d->pci);
    pci.ops->reset(pci.object);
    pci_setup(n->d->pci);
    nic_start(n, features(n->d));
    while (in.size)
        step(n, &in);
    return 0;
}
