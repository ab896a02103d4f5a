/*
 * What drivers for virtio 1.x PCI functions share: finding the registers, negotiation, and split
 * virtqueues of VIRTIO_QUEUE direct descriptors (virtio 1.2, sections 2.7, 3.1 and 4.1). What a
 * device must not do panics (debug-exit value 5).
 */
#ifndef GUEST_VIRTIO_H
#define GUEST_VIRTIO_H

#include <stdbool.h>
#include <stdint.h>

enum { VIRTIO_QUEUE = 128, VIRTIO_BROKEN = 5 };

struct virtio_descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};

/* Zero-initialized, static. Each descriptor is a request of its own. */
struct virtio_ring {
    struct virtio_descriptor table[VIRTIO_QUEUE] __attribute__((aligned(4096)));
    volatile struct {
        uint16_t flags, index, ring[VIRTIO_QUEUE], used_event;
    } available __attribute__((aligned(4096)));
    volatile struct {
        uint16_t flags, index;
        struct {
            uint32_t id, length;
        } ring[VIRTIO_QUEUE];
        uint16_t available_event;
    } used __attribute__((aligned(4096)));
    uint16_t submitted, notified, taken;
    bool asks; /* every return of a buffer interrupts */
};

struct virtio {
    unsigned irq;
    volatile uint8_t *common, *isr, *config, *notify;
    uint32_t notify_step;
    volatile unsigned interrupts, changes; /* taken: of queues, of the configuration */
    struct virtio_ring *ring[2];
};

/*
 * Finds the `number`-th function with this virtio device ID, resets it, accepts `features` (all of
 * which it must offer; VERSION_1 and EVENT_IDX are added), sets up `rings` (interrupting when
 * ring->asks is set) and makes it live. False when there is none. Interrupts stay off. At most one
 * device can be open.
 */
bool virtio_open(struct virtio *virtio, unsigned id, unsigned number, uint64_t features,
    struct virtio_ring *const *rings, unsigned count);

/* Hands descriptor `slot` over without telling the device; then virtio_notify() does, if the device
 * asked to be told. */
void virtio_submit(struct virtio *virtio, unsigned queue, unsigned slot, void *data,
    uint32_t length, bool writable);
void virtio_notify(struct virtio *virtio, unsigned queue);
/* The next slot that came back, with the bytes the device wrote; false when there is none. */
bool virtio_take(struct virtio *virtio, unsigned queue, unsigned *slot, uint32_t *length);

#endif
