/*
 * A hostile virtio-blk driver: register accesses and guest memory from the input. The fake disk and
 * guest RAM abort on any access outside them.
 */
#include "tests/unit/virtio/fake_driver.h"

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

/* Addresses mostly in RAM, with the edges of it. */
static uint64_t address(struct input *in)
{
    uint32_t value = take(in, 3);
    switch (value & 31) {
    case 0:
        return UINT64_MAX - (value >> 5 & 0xff);
    case 1:
        return RAM_SIZE - (value >> 5 & 0xff);
    case 2:
        return RING_DESC + (value >> 5 & 0xff);
    default:
        return value >> 4;
    }
}

static void step(struct driver *d, struct input *in)
{
    switch (take(in, 1) % 12) {
    case 0:
        set_reg(d, take(in, 1) & 0x3f, 1u << (take(in, 1) & 3), take(in, 4));
        break;
    case 1:
        (void)reg(d, take(in, 2) & 0x3fff, 1u << (take(in, 1) & 3));
        break;
    case 2:
        config_set(d, 2, take(in, 1), 1, take(in, 1));
        break;
    case 3:
        (void)config_get(d, 2, take(in, 1) & 0xfc, 4);
        break;
    case 4:
    case 5: {
        uint64_t table = take(in, 1) & 1 ? INDIRECT : RING_DESC;
        unsigned index = take(in, 1) % QUEUE;
        uint64_t gpa = address(in);
        uint32_t length = take(in, 1) & 3 ? take(in, 2) % 5000 : take(in, 4);
        uint16_t flags = take(in, 1) & 7;
        descriptor(d, table, index, gpa, length, flags, (uint16_t)(take(in, 1) % 18));
        break;
    }
    case 6:
        header(d, take(in, 1) & 15, take(in, 1) & 15, take(in, 2));
        break;
    case 7:
        make_available(d, (uint16_t)(take(in, 1) % 18));
        notify(d);
        break;
    case 8:
        d->ram[take(in, 3) % RAM_SIZE] = (uint8_t)take(in, 1);
        notify(d);
        break;
    case 10:
        set_port(d, 2, take(in, 1) & 0x7f, 1u << take(in, 1) % 3, take(in, 4));
        break;
    case 11:
        (void)port(d, 2, take(in, 1) & 0x7f, 1u << take(in, 1) % 3);
        break;
    default:
        if (reg(d, 0x14, 1) & 64 || take(in, 1) % 8 == 0)
            driver_start(d, features(d) & ~(uint64_t)take(in, 4));
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct driver *d;
    struct input in = {data, size};
    if (!d)
        d = driver_make(false, true);
    struct device pci = pci_device(d->pci);
    pci.ops->reset(pci.object);
    pci_setup(d->pci);
    d->bar = config_get(d, 2, 0x20, 4) & ~15u;
    driver_start(d, features(d));
    while (in.size)
        step(d, &in);
    return 0;
}
