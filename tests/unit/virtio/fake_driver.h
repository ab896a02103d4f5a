/*
 * A virtio-blk driver in a test: guest RAM is an array, registers are reached over the buses as a
 * guest would. Ring layout per virtio 1.2, section 2.7; registers per section 4.1.
 */
#ifndef TESTS_FAKE_DRIVER_H
#define TESTS_FAKE_DRIVER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio_blk.h"

enum {
    RAM_SIZE = 1 << 20,
    RING_DESC = 0x1000,
    RING_AVAIL = 0x2000,
    RING_USED = 0x3000,
    HEADERS = 0x4000,
    STATUS = 0x5000,
    INDIRECT = 0x6000,
    DATA = 0x10000,
    DISK_SECTORS = 1024,
    QUEUE = 16,
};

struct fake_disk {
    uint8_t data[DISK_SECTORS * 512];
    unsigned flushes, discards;
    bool fail;
    struct block_device device;
};

struct driver {
    uint8_t ram[RAM_SIZE];
    bool written[RAM_SIZE / 512]; /* told through `wrote`, by 512-byte piece */
    struct bus ports, mmio;
    bool line[16];
    struct pci_host *pci;
    struct fake_disk disk;
    struct virtio_blk *blk;
    uint64_t bar;
    uint16_t available;
};

static inline enum block_status fake_read(void *o, uint64_t lba, uint32_t count, uint8_t *data)
{
    struct fake_disk *disk = o;
    if (lba > DISK_SECTORS || count > DISK_SECTORS - lba || !count)
        abort();
    if (disk->fail)
        return BLOCK_EIO;
    memcpy(data, disk->data + lba * 512, (size_t)count * 512);
    return BLOCK_OK;
}

static inline enum block_status fake_write(
    void *o, uint64_t lba, uint32_t count, const uint8_t *data)
{
    struct fake_disk *disk = o;
    if (lba > DISK_SECTORS || count > DISK_SECTORS - lba || !count)
        abort();
    if (disk->fail)
        return BLOCK_EIO;
    memcpy(disk->data + lba * 512, data, (size_t)count * 512);
    return BLOCK_OK;
}

static inline enum block_status fake_flush(void *o)
{
    struct fake_disk *disk = o;
    disk->flushes++;
    return disk->fail ? BLOCK_EIO : BLOCK_OK;
}

static inline enum block_status fake_zero(void *o, uint64_t lba, uint32_t count, bool unmap)
{
    struct fake_disk *disk = o;
    (void)unmap;
    if (lba > DISK_SECTORS || count > DISK_SECTORS - lba || !count)
        abort();
    memset(disk->data + lba * 512, 0, (size_t)count * 512);
    return disk->fail ? BLOCK_EIO : BLOCK_OK;
}

static inline enum block_status fake_discard(void *o, uint64_t lba, uint32_t count)
{
    ((struct fake_disk *)o)->discards++;
    return fake_zero(o, lba, count, true);
}

static const struct block_device_ops fake_ops = {
    .read = fake_read,
    .write = fake_write,
    .flush = fake_flush,
    .discard = fake_discard,
    .write_zeroes = fake_zero,
};

static inline uint8_t *ram_at(void *context, uint64_t gpa, uint64_t size)
{
    struct driver *d = context;
    return gpa < RAM_SIZE && size <= RAM_SIZE - gpa ? d->ram + gpa : NULL;
}

static inline void ram_wrote(void *context, uint64_t gpa, uint64_t size)
{
    struct driver *d = context;
    if (!size || gpa >= RAM_SIZE || size > RAM_SIZE - gpa)
        abort();
    for (uint64_t i = gpa / 512; i <= (gpa + size - 1) / 512; i++)
        d->written[i] = true;
}

static inline void set_line(void *context, unsigned input, bool level)
{
    ((struct driver *)context)->line[input] = level;
}

static inline uint32_t config_get(struct driver *d, unsigned slot, unsigned offset, unsigned size)
{
    bus_write(&d->ports, 0xcf8, 4, 0x80000000u | slot << 11 | (offset & 0xfc));
    return (uint32_t)bus_read(&d->ports, 0xcfc + (offset & 3), size);
}

static inline void config_set(
    struct driver *d, unsigned slot, unsigned offset, unsigned size, uint32_t value)
{
    bus_write(&d->ports, 0xcf8, 4, 0x80000000u | slot << 11 | (offset & 0xfc));
    bus_write(&d->ports, 0xcfc + (offset & 3), size, value);
}

static inline uint64_t reg(struct driver *d, unsigned offset, unsigned size)
{
    return bus_read(&d->mmio, d->bar + offset, size);
}

static inline void set_reg(struct driver *d, unsigned offset, unsigned size, uint64_t value)
{
    bus_write(&d->mmio, d->bar + offset, size, value);
}

/* Power-on: an ELCR to write, the PCI bus, the disk in slot 2. */
static inline struct driver *driver_make(bool read_only, bool is_transitional)
{
    struct driver *d = calloc(1, sizeof *d);
    if (!d)
        abort();
    bus_init(&d->ports, 65536);
    bus_init(&d->mmio, UINT64_C(1) << 36);
    struct pci_config config = {.ports = &d->ports, .mmio = &d->mmio};
    for (unsigned i = 0; i < 16; i++)
        config.irq[i] = (struct irq_line){.set = set_line, .controller = d, .input = i};
    d->pci = pci_create(&config, NULL);
    d->disk.device = (struct block_device){.ops = &fake_ops,
        .object = &d->disk,
        .sectors = DISK_SECTORS,
        .read_only = read_only,
        .identity = "serial-number-12345",
        .block_size = 512,
        .minimum_io = 65536,
        .optimal_io = 3 * 65536};
    struct virtio_blk_config blk = {
        .name = "disk0", .disk = &d->disk.device, .is_transitional = is_transitional};
    blk.memory = (struct guest_memory){.context = d, .at = ram_at, .wrote = ram_wrote};
    d->blk = virtio_blk_create(&blk, NULL);
    if (!d->pci || !d->blk || pci_attach(d->pci, NULL) ||
        pci_add(d->pci, virtio_blk_function(d->blk), NULL))
        abort();
    pci_setup(d->pci);
    d->bar = config_get(d, 2, is_transitional ? 0x20 : 0x10, 4) & ~15u;
    return d;
}

static inline struct driver *driver_create(bool read_only)
{
    return driver_make(read_only, false);
}

/* The legacy interface's registers. */
static inline uint32_t port(struct driver *d, unsigned slot, unsigned offset, unsigned size)
{
    return (uint32_t)bus_read(&d->ports, (config_get(d, slot, 0x10, 4) & ~3u) + offset, size);
}

static inline void set_port(
    struct driver *d, unsigned slot, unsigned offset, unsigned size, uint32_t value)
{
    bus_write(&d->ports, (config_get(d, slot, 0x10, 4) & ~3u) + offset, size, value);
}

static inline void driver_destroy(struct driver *d)
{
    virtio_blk_destroy(d->blk);
    pci_destroy(d->pci);
    free(d);
}

static inline void put16(struct driver *d, uint64_t gpa, uint16_t value)
{
    memcpy(d->ram + gpa, &value, 2);
}

static inline void put32(struct driver *d, uint64_t gpa, uint32_t value)
{
    memcpy(d->ram + gpa, &value, 4);
}

static inline void put64(struct driver *d, uint64_t gpa, uint64_t value)
{
    memcpy(d->ram + gpa, &value, 8);
}

static inline uint16_t get16(const struct driver *d, uint64_t gpa)
{
    uint16_t value;
    memcpy(&value, d->ram + gpa, 2);
    return value;
}

static inline uint32_t get32(const struct driver *d, uint64_t gpa)
{
    uint32_t value;
    memcpy(&value, d->ram + gpa, 4);
    return value;
}

static inline uint64_t features(struct driver *d)
{
    set_reg(d, 0, 4, 0);
    uint64_t low = reg(d, 4, 4);
    set_reg(d, 0, 4, 1);
    return low | reg(d, 4, 4) << 32;
}

static inline void accept_features(struct driver *d, uint64_t accepted)
{
    set_reg(d, 8, 4, 0);
    set_reg(d, 12, 4, (uint32_t)accepted);
    set_reg(d, 8, 4, 1);
    set_reg(d, 12, 4, accepted >> 32);
}

/* The initialization of section 3.1.1. */
static inline void driver_start(struct driver *d, uint64_t accepted)
{
    set_reg(d, 0x14, 1, 0);
    memset(d->ram, 0, DATA);
    d->available = 0;
    set_reg(d, 0x14, 1, 1);
    set_reg(d, 0x14, 1, 3);
    accept_features(d, accepted);
    set_reg(d, 0x14, 1, 11);
    set_reg(d, 0x16, 2, 0);
    set_reg(d, 0x18, 2, QUEUE);
    set_reg(d, 0x20, 8, RING_DESC);
    set_reg(d, 0x28, 4, RING_AVAIL);
    set_reg(d, 0x2c, 4, 0);
    set_reg(d, 0x30, 8, RING_USED);
    set_reg(d, 0x1c, 2, 1);
    set_reg(d, 0x14, 1, 15);
}

static inline void descriptor(struct driver *d, uint64_t table, unsigned index, uint64_t gpa,
    uint32_t length, uint16_t flags, uint16_t next)
{
    uint64_t at = table + index * 16;
    put64(d, at, gpa);
    put32(d, at + 8, length);
    put16(d, at + 12, flags);
    put16(d, at + 14, next);
}

static inline void make_available(struct driver *d, uint16_t head)
{
    put16(d, RING_AVAIL + 4 + 2 * (d->available % QUEUE), head);
    d->available++;
    put16(d, RING_AVAIL + 2, d->available);
}

static inline void notify(struct driver *d)
{
    set_reg(d, 0x3000, 2, 0);
}

static inline void header(struct driver *d, unsigned slot, uint32_t type, uint64_t sector)
{
    put32(d, HEADERS + slot * 16, type);
    put32(d, HEADERS + slot * 16 + 4, 0);
    put64(d, HEADERS + slot * 16 + 8, sector);
    d->ram[STATUS + slot] = 0xee;
}

/* One request with one data segment, at descriptors 0 to 2. Returns its status byte. */
static inline uint8_t request(
    struct driver *d, uint32_t type, uint64_t sector, uint64_t data, uint32_t length, bool writable)
{
    header(d, 0, type, sector);
    descriptor(d, RING_DESC, 0, HEADERS, 16, 1, length ? 1 : 2);
    descriptor(d, RING_DESC, 1, data, length, writable ? 3 : 1, 2);
    descriptor(d, RING_DESC, 2, STATUS, 1, 2, 0);
    make_available(d, 0);
    notify(d);
    return d->ram[STATUS];
}

#endif
