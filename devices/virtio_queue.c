/* Split rings: what virtio_queue.h promises, over guest memory alone. */
#include "devices/virtio_queue.h"

#include <string.h>

#include "base/buffer.h"

/* Split rings: virtio 1.2, section 2.7. Ring fields are little-endian, as the host is. */
enum { DESCRIPTOR = 16, FLAG_NEXT = 1, FLAG_WRITE = 2, FLAG_INDIRECT = 4, NO_INTERRUPT = 1 };

struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};

static bool read16(const struct guest_memory *memory, uint64_t gpa, uint16_t *value)
{
    const uint8_t *at = memory->at(memory->context, gpa, 2);
    if (!at)
        return false;
    *value = (uint16_t)(at[0] | at[1] << 8);
    return true;
}

static bool write_bytes(
    const struct guest_memory *memory, uint64_t gpa, const void *data, uint64_t size)
{
    uint8_t *at = memory->at(memory->context, gpa, size);
    if (!at)
        return false;
    memcpy(at, data, size);
    guest_memory_wrote(memory, gpa, size);
    return true;
}

static bool read_descriptor(
    const struct guest_memory *memory, uint64_t table, uint16_t index, struct descriptor *out)
{
    uint64_t gpa = table + (uint64_t)index * DESCRIPTOR;
    const uint8_t *at = memory->at(memory->context, gpa, DESCRIPTOR);
    if (!at || gpa < table)
        return false;
    struct reader in;
    reader_init(&in, at, DESCRIPTOR);
    out->address = reader_get_u64(&in);
    out->length = reader_get_u32(&in);
    out->flags = reader_get_u16(&in);
    out->next = reader_get_u16(&in);
    return true;
}

static bool add_segment(struct virtio_rings *rings, const struct descriptor *descriptor)
{
    const struct guest_memory *memory = &rings->memory;
    struct virtio_chain *chain = &rings->chain;
    bool writable = descriptor->flags & FLAG_WRITE;
    if (!writable && chain->writable)
        return false; /* device-readable ones come first */
    if (descriptor->length == 0)
        return true;
    uint8_t *data = memory->at(memory->context, descriptor->address, descriptor->length);
    if (!data)
        return false;
    chain->segment[chain->readable + chain->writable] = (struct virtio_segment){
        .data = data, .gpa = descriptor->address, .length = descriptor->length};
    if (writable) {
        chain->writable++;
        chain->writable_bytes += descriptor->length;
    } else {
        chain->readable++;
        chain->readable_bytes += descriptor->length;
    }
    return true;
}

/* Collects the chain that starts at `head`; false when it breaks a rule. */
static bool collect(struct virtio_rings *rings, const struct virtio_queue *queue, uint16_t head)
{
    struct virtio_chain *chain = &rings->chain;
    uint64_t table = queue->descriptors;
    unsigned entries = queue->size, seen = 0;
    uint16_t index = head;
    bool indirect = false;
    chain->head = head;
    chain->readable = chain->writable = 0;
    chain->readable_bytes = chain->writable_bytes = 0;
    for (;;) {
        struct descriptor descriptor;
        if (index >= entries || !read_descriptor(&rings->memory, table, index, &descriptor))
            return false;
        if (descriptor.flags & FLAG_INDIRECT) {
            unsigned count = descriptor.length / DESCRIPTOR;
            if (indirect || !rings->indirect || descriptor.flags & FLAG_NEXT ||
                descriptor.length % DESCRIPTOR != 0 || count == 0 || count > queue->size)
                return false;
            indirect = true;
            table = descriptor.address;
            entries = count;
            index = 0;
            continue;
        }
        /* A chain is never longer than the queue: one that is runs in circles. */
        if (++seen > queue->size || !add_segment(rings, &descriptor))
            return false;
        if (!(descriptor.flags & FLAG_NEXT))
            return true;
        index = descriptor.next;
    }
}

static bool give_back(struct virtio_rings *rings, struct virtio_queue *queue, uint32_t written)
{
    uint16_t head = rings->chain.head;
    uint8_t element[8] = {(uint8_t)head, (uint8_t)(head >> 8), 0, 0, (uint8_t)written,
        (uint8_t)(written >> 8), (uint8_t)(written >> 16), (uint8_t)(written >> 24)};
    uint64_t gpa = queue->used + 4 + (uint64_t)(queue->next_used % queue->size) * 8;
    if (!write_bytes(&rings->memory, gpa, element, sizeof element))
        return false;
    queue->next_used++;
    uint8_t index[2] = {(uint8_t)queue->next_used, (uint8_t)(queue->next_used >> 8)};
    return write_bytes(&rings->memory, queue->used + 2, index, sizeof index);
}

/* Whether the driver wants to hear of what was given back since it last did; false when where it
 * says so cannot be read. */
static bool decide_interrupt(
    const struct virtio_rings *rings, struct virtio_queue *queue, bool *interrupt)
{
    uint16_t old = queue->signalled, now = queue->next_used, value = 0;
    uint64_t event = queue->available + 4 + 2 * (uint64_t)queue->size;
    bool known = read16(&rings->memory, rings->event_index ? event : queue->available, &value);
    queue->signalled = now;
    if (!known || old == now)
        return known;
    *interrupt = rings->event_index ? (uint16_t)(now - value - 1) < (uint16_t)(now - old)
                                    : !(value & NO_INTERRUPT);
    return true;
}

/*
 * False when a rule was broken. Only what is available now is served: a guest that lets its disk
 * write into its own rings must not keep the host here.
 */
static bool serve_all(struct virtio_queue *queue, struct virtio_rings *rings, unsigned number)
{
    uint16_t available, head;
    if (!read16(&rings->memory, queue->available + 2, &available) ||
        (uint16_t)(available - queue->next_available) > queue->size)
        return false;
    while (queue->next_available != available) {
        uint64_t slot = queue->next_available % queue->size;
        if (!read16(&rings->memory, queue->available + 4 + 2 * slot, &head) ||
            !collect(rings, queue, head))
            return false;
        uint32_t written = rings->request(rings->context, number, &rings->chain);
        if (written == VIRTIO_HOLD)
            return true;
        queue->next_available++;
        if (written == VIRTIO_BROKEN || !give_back(rings, queue, written))
            return false;
    }
    return true;
}

bool virtio_queue_enable(struct virtio_queue *queue, const struct guest_memory *memory)
{
    uint64_t size = queue->size;
    queue->enabled = size && !(size & (size - 1)) && size <= VIRTIO_QUEUE_SIZE &&
                     !(queue->descriptors & 15) && !(queue->available & 1) && !(queue->used & 3) &&
                     memory->at(memory->context, queue->descriptors, size * DESCRIPTOR) &&
                     memory->at(memory->context, queue->available, size * 2 + 6) &&
                     memory->at(memory->context, queue->used, size * 8 + 6);
    return queue->enabled;
}

bool virtio_queue_has_chain(const struct virtio_queue *queue, const struct guest_memory *memory)
{
    uint16_t available;
    return read16(memory, queue->available + 2, &available) && available != queue->next_available;
}

int virtio_queue_serve(
    struct virtio_queue *queue, struct virtio_rings *rings, unsigned number, bool *interrupt)
{
    *interrupt = false;
    if (!serve_all(queue, rings, number))
        return -1;
    uint8_t event[2] = {(uint8_t)queue->next_available, (uint8_t)(queue->next_available >> 8)};
    uint64_t gpa = queue->used + 4 + 8 * (uint64_t)queue->size;
    if (rings->event_index && !write_bytes(&rings->memory, gpa, event, sizeof event))
        return -1;
    return decide_interrupt(rings, queue, interrupt) ? 0 : -1;
}

uint64_t virtio_chain_read(
    const struct virtio_chain *chain, uint64_t skip, void *data, uint64_t size)
{
    uint64_t done = 0;
    for (unsigned i = 0; i < chain->readable && done < size; i++) {
        const struct virtio_segment *segment = &chain->segment[i];
        if (skip >= segment->length) {
            skip -= segment->length;
            continue;
        }
        uint64_t part = segment->length - skip;
        if (part > size - done)
            part = size - done;
        memcpy((uint8_t *)data + done, segment->data + skip, part);
        done += part;
        skip = 0;
    }
    return done;
}

uint64_t virtio_chain_write(const struct guest_memory *memory, const struct virtio_chain *chain,
    uint64_t skip, const void *data, uint64_t size)
{
    uint64_t done = 0;
    for (unsigned i = 0; i < chain->writable && done < size; i++) {
        const struct virtio_segment *segment = &chain->segment[chain->readable + i];
        if (skip >= segment->length) {
            skip -= segment->length;
            continue;
        }
        uint64_t part = segment->length - skip;
        if (part > size - done)
            part = size - done;
        memcpy(segment->data + skip, (const uint8_t *)data + done, part);
        guest_memory_wrote(memory, segment->gpa + skip, part);
        done += part;
        skip = 0;
    }
    return done;
}
