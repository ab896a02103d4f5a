/*
 * Split rings (OASIS Virtual I/O Device Version 1.2, section 2.7): chains of descriptors, the used
 * ring, and whether the driver wants to be told. Nothing here knows a transport: whoever owns a
 * ring says where it is and what was negotiated, does the requests, and sends the interrupt.
 *
 * Everything read from guest memory is hostile. What breaks the rules is reported, and nothing but
 * guest RAM is touched.
 */
#ifndef DEVICES_VIRTIO_QUEUE_H
#define DEVICES_VIRTIO_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

/* Guest RAM as devices reach it. */
struct guest_memory {
    void *context;
    /* The host address of [gpa, gpa + size), or NULL when any of it is not RAM. */
    uint8_t *(*at)(void *context, uint64_t gpa, uint64_t size);
    /* Told after a device has written there; may be NULL. */
    void (*wrote)(void *context, uint64_t gpa, uint64_t size);
};

static inline void guest_memory_wrote(
    const struct guest_memory *memory, uint64_t gpa, uint64_t size)
{
    if (memory->wrote)
        memory->wrote(memory->context, gpa, size);
}

enum { VIRTIO_QUEUE_SIZE = 128 }; /* largest, and the longest chain */

struct virtio_segment {
    uint8_t *data; /* in guest RAM */
    uint64_t gpa;
    uint32_t length; /* not 0 */
};

/* A request: what the device may read, then what it may write. */
struct virtio_chain {
    uint16_t head;
    unsigned readable, writable; /* segments; the writable ones follow the readable ones */
    uint64_t readable_bytes, writable_bytes;
    struct virtio_segment segment[VIRTIO_QUEUE_SIZE];
};

struct virtio_queue {
    uint16_t size;
    bool enabled;
    uint64_t descriptors, available, used; /* GPA */
    uint16_t next_available;               /* index of the next entry to take */
    uint16_t next_used;
    uint16_t signalled; /* value of next_used at the last interrupt decision */
};

/* What a request answers instead of a number of bytes: leave the chain where it is and serve
 * nothing more for now; the driver has broken the device's rules. */
#define VIRTIO_HOLD   UINT32_MAX
#define VIRTIO_BROKEN (UINT32_MAX - 1)

/* What the rings of one device share. */
struct virtio_rings {
    struct guest_memory memory;
    bool indirect;    /* RING_INDIRECT_DESC was negotiated */
    bool event_index; /* RING_EVENT_IDX was */
    /* Does one request of queue `number`; returns the number of bytes written into the chain. */
    uint32_t (*request)(void *context, unsigned number, const struct virtio_chain *chain);
    void *context;
    struct virtio_chain chain; /* the one being served */
};

/* Enables a queue whose size and places the driver has written; false when they are not sound. */
bool virtio_queue_enable(struct virtio_queue *queue, const struct guest_memory *memory);
/* Has the driver left any chain in an enabled queue? */
bool virtio_queue_has_chain(const struct virtio_queue *queue, const struct guest_memory *memory);
/*
 * Serves what is available when it is called, in order, of an enabled queue: chains that appear
 * meanwhile wait for the next call. *interrupt: the driver wants one. -1 when the driver has broken
 * a rule; the queue must not be served again then.
 */
int virtio_queue_serve(
    struct virtio_queue *queue, struct virtio_rings *rings, unsigned number, bool *interrupt);

/* Copies between a buffer and the readable or writable part of a chain, `skip` bytes into it.
 * Returns the number of bytes there were, at most `size`. */
uint64_t virtio_chain_read(
    const struct virtio_chain *chain, uint64_t skip, void *data, uint64_t size);
uint64_t virtio_chain_write(const struct guest_memory *memory, const struct virtio_chain *chain,
    uint64_t skip, const void *data, uint64_t size);

#endif
