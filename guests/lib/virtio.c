/* What drivers for virtio functions share. */
#include "lib/virtio.h"

#include "lib/exit.h"
#include "lib/interrupts.h"
#include "lib/pci.h"
#include "lib/pic.h"

#define FEATURE_EVENT   (1ul << 29)
#define FEATURE_VERSION (1ul << 32)

enum { FLAG_WRITE = 2, CAPABILITY_VENDOR = 9 };
enum { ISR_QUEUE = 1, ISR_CONFIG = 2 };
/* Common configuration. */
enum {
    FEATURE_SELECT = 0x00,
    DEVICE_FEATURE = 0x04,
    DRIVER_FEATURE_SELECT = 0x08,
    DRIVER_FEATURE = 0x0c,
    DEVICE_STATUS = 0x14,
    QUEUE_SELECT = 0x16,
    QUEUE_SIZE = 0x18,
    QUEUE_ENABLE = 0x1c,
    QUEUE_NOTIFY_OFF = 0x1e,
    QUEUE_DESC = 0x20,
    QUEUE_DRIVER = 0x28,
    QUEUE_DEVICE = 0x30,
};
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, NEEDS_RESET = 64 };

static struct virtio *current; /* whose interrupts are handled */

static uint32_t get32(volatile uint8_t *at)
{
    return *(volatile uint32_t *)at;
}

static void put32(volatile uint8_t *at, uint32_t value)
{
    *(volatile uint32_t *)at = value;
}

static void put16(volatile uint8_t *at, uint16_t value)
{
    *(volatile uint16_t *)at = value;
}

static void put_address(volatile uint8_t *at, volatile void *address)
{
    put32(at, (uint32_t)(uintptr_t)address);
    put32(at + 4, (uint32_t)((uintptr_t)address >> 32));
}

static void handle(struct interrupt_frame *frame)
{
    (void)frame;
    uint8_t reason = *current->isr; /* reading acknowledges */
    if (reason & ISR_CONFIG && current->common[DEVICE_STATUS] & NEEDS_RESET)
        guest_panic(VIRTIO_BROKEN, "the device needs a reset");
    if (reason & ISR_CONFIG)
        current->changes++;
    if (reason & ISR_QUEUE)
        current->interrupts++;
    pic_end(current->irq);
}

static void find_registers(struct virtio *virtio, unsigned slot)
{
    for (unsigned at = pci_read(slot, 0x34, 1); at; at = pci_read(slot, at + 1, 1)) {
        if (pci_read(slot, at, 1) != CAPABILITY_VENDOR)
            continue;
        unsigned bar = 0x10 + 4 * pci_read(slot, at + 4, 1);
        uint32_t base = (pci_read(slot, bar, 4) & ~15u) + pci_read(slot, at + 8, 4);
        volatile uint8_t *registers = (volatile uint8_t *)(uintptr_t)base;
        switch (pci_read(slot, at + 3, 1)) {
        case 1:
            virtio->common = registers;
            break;
        case 2:
            virtio->notify = registers;
            virtio->notify_step = pci_read(slot, at + 16, 4);
            break;
        case 3:
            virtio->isr = registers;
            break;
        case 4:
            virtio->config = registers;
            break;
        default:
            break;
        }
    }
    if (!virtio->common || !virtio->isr || !virtio->notify)
        guest_panic(VIRTIO_BROKEN, "the device lacks a capability");
}

static void negotiate(struct virtio *virtio, uint64_t features)
{
    volatile uint8_t *common = virtio->common;
    common[DEVICE_STATUS] = 0;
    common[DEVICE_STATUS] = ACKNOWLEDGE;
    common[DEVICE_STATUS] = ACKNOWLEDGE | DRIVER;
    for (unsigned half = 0; half < 2; half++) {
        put32(common + FEATURE_SELECT, half);
        uint32_t offered = get32(common + DEVICE_FEATURE);
        uint32_t want = (uint32_t)(features >> (32 * half));
        if ((offered & want) != want)
            guest_panic(VIRTIO_BROKEN, "the device offers features %x of %x", offered, want);
        put32(common + DRIVER_FEATURE_SELECT, half);
        put32(common + DRIVER_FEATURE, want);
    }
    common[DEVICE_STATUS] = ACKNOWLEDGE | DRIVER | FEATURES_OK;
    if (!(common[DEVICE_STATUS] & FEATURES_OK))
        guest_panic(VIRTIO_BROKEN, "the device does not accept its own features");
}

static void set_up_ring(struct virtio *virtio, unsigned queue, struct virtio_ring *ring)
{
    volatile uint8_t *common = virtio->common;
    virtio->ring[queue] = ring;
    put16(common + QUEUE_SELECT, (uint16_t)queue);
    put16(common + QUEUE_SIZE, VIRTIO_QUEUE);
    put_address(common + QUEUE_DESC, ring->table);
    put_address(common + QUEUE_DRIVER, &ring->available);
    put_address(common + QUEUE_DEVICE, &ring->used);
    /* Half the ring away: an interrupt that never comes while buffers are taken back in time. */
    ring->available.used_event = ring->asks ? 0 : (uint16_t)-1;
    put16(common + QUEUE_ENABLE, 1);
}

bool virtio_open(struct virtio *virtio, unsigned id, unsigned number, uint64_t features,
    struct virtio_ring *const *rings, unsigned count)
{
    unsigned slot;
    if (!pci_find_virtio(id, number, &slot))
        return false;
    pci_write(slot, 4, 2, 6); /* memory, bus master */
    find_registers(virtio, slot);
    virtio->irq = pci_read(slot, 0x3c, 1);
    if (virtio->irq < 3 || virtio->irq > 15)
        guest_panic(VIRTIO_BROKEN, "the device has interrupt line %u", virtio->irq);
    current = virtio;
    interrupts_handle(VECTOR_IRQ0 + virtio->irq, handle);
    pic_unmask(virtio->irq);
    negotiate(virtio, features | FEATURE_EVENT | FEATURE_VERSION);
    for (unsigned i = 0; i < count; i++)
        set_up_ring(virtio, i, rings[i]);
    virtio->common[DEVICE_STATUS] = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
    return true;
}

void virtio_submit(struct virtio *virtio, unsigned queue, unsigned slot, void *data,
    uint32_t length, bool writable)
{
    struct virtio_ring *ring = virtio->ring[queue];
    ring->table[slot] = (struct virtio_descriptor){
        .address = (uintptr_t)data, .length = length, .flags = writable ? FLAG_WRITE : 0};
    ring->available.ring[ring->submitted % VIRTIO_QUEUE] = (uint16_t)slot;
    __asm__ volatile("" : : : "memory");
    ring->available.index = ++ring->submitted;
}

void virtio_notify(struct virtio *virtio, unsigned queue)
{
    struct virtio_ring *ring = virtio->ring[queue];
    __asm__ volatile("mfence" : : : "memory");
    uint16_t event = ring->used.available_event, fresh = ring->submitted - ring->notified;
    bool wanted = (uint16_t)(ring->submitted - event - 1) < fresh;
    ring->notified = ring->submitted;
    if (!wanted)
        return;
    put16(virtio->notify + queue * virtio->notify_step, (uint16_t)queue);
}

bool virtio_take(struct virtio *virtio, unsigned queue, unsigned *slot, uint32_t *length)
{
    struct virtio_ring *ring = virtio->ring[queue];
    if (ring->taken == ring->used.index)
        return false;
    __asm__ volatile("" : : : "memory");
    *slot = ring->used.ring[ring->taken % VIRTIO_QUEUE].id;
    *length = ring->used.ring[ring->taken % VIRTIO_QUEUE].length;
    if (*slot >= VIRTIO_QUEUE)
        guest_panic(VIRTIO_BROKEN, "queue %u gave back descriptor %u", queue, *slot);
    ring->taken++;
    /* Not asking: the event index stays just before what was taken, where it is not passed. */
    ring->available.used_event = ring->asks ? ring->taken : (uint16_t)(ring->taken - 1);
    return true;
}
