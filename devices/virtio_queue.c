#include "devices/virtio.h"

#include <string.h>

/* Split rings: virtio 1.2, section 2.7. Ring fields are little-endian, as the host is. */
enum { DESCRIPTOR = 16, FLAG_NEXT = 1, FLAG_WRITE = 2, FLAG_INDIRECT = 4, NO_INTERRUPT = 1 };

struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};

static bool read16(const struct virtio *virtio, uint64_t gpa, uint16_t *value)
{
    const uint8_t *at = virtio->memory.at(virtio->memory.context, gpa, 2);
    if (!at)
        return false;
    *value = (uint16_t)(at[0] | at[1] << 8);
    return true;
}

static bool write_bytes(struct virtio *virtio, uint64_t gpa, const void *data, uint64_t size)
{
    uint8_t *at = virtio->memory.at(virtio->memory.context, gpa, size);
    if (!at)
        return false;
    memcpy(at, data, size);
    virtio_wrote(virtio, gpa, size);
    return true;
}

static bool read_descriptor(
    const struct virtio *virtio, uint64_t table, uint16_t index, struct descriptor *out)
{
    uint64_t gpa = table + (uint64_t)index * DESCRIPTOR;
    const uint8_t *at = virtio->memory.at(virtio->memory.context, gpa, DESCRIPTOR);
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

static bool add_segment(struct virtio *virtio, const struct descriptor *descriptor)
{
    struct virtio_chain *chain = &virtio->chain;
    bool writable = descriptor->flags & FLAG_WRITE;
    if (!writable && chain->writable)
        return false; /* device-readable ones come first */
    if (descriptor->length == 0)
        return true;
    uint8_t *data =
        virtio->memory.at(virtio->memory.context, descriptor->address, descriptor->length);
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
static bool collect(struct virtio *virtio, const struct virtio_queue *queue, uint16_t head)
{
    struct virtio_chain *chain = &virtio->chain;
    uint64_t table = queue->descriptors;
    unsigned entries = queue->size, seen = 0;
    uint16_t index = head;
    bool indirect = false;
    chain->head = head;
    chain->readable = chain->writable = 0;
    chain->readable_bytes = chain->writable_bytes = 0;
    for (;;) {
        struct descriptor descriptor;
        if (index >= entries || !read_descriptor(virtio, table, index, &descriptor))
            return false;
        if (descriptor.flags & FLAG_INDIRECT) {
            unsigned count = descriptor.length / DESCRIPTOR;
            if (indirect || !virtio_has(virtio, VIRTIO_F_INDIRECT_DESC) ||
                descriptor.flags & FLAG_NEXT || descriptor.length % DESCRIPTOR != 0 || count == 0 ||
                count > queue->size)
                return false;
            indirect = true;
            table = descriptor.address;
            entries = count;
            index = 0;
            continue;
        }
        /* A chain is never longer than the queue: one that is runs in circles. */
        if (++seen > queue->size || !add_segment(virtio, &descriptor))
            return false;
        if (!(descriptor.flags & FLAG_NEXT))
            return true;
        index = descriptor.next;
    }
}

static bool give_back(struct virtio *virtio, struct virtio_queue *queue, uint32_t written)
{
    uint16_t head = virtio->chain.head;
    uint8_t element[8] = {(uint8_t)head, (uint8_t)(head >> 8), 0, 0, (uint8_t)written,
        (uint8_t)(written >> 8), (uint8_t)(written >> 16), (uint8_t)(written >> 24)};
    uint64_t gpa = queue->used + 4 + (uint64_t)(queue->next_used % queue->size) * 8;
    if (!write_bytes(virtio, gpa, element, sizeof element))
        return false;
    queue->next_used++;
    uint8_t index[2] = {(uint8_t)queue->next_used, (uint8_t)(queue->next_used >> 8)};
    return write_bytes(virtio, queue->used + 2, index, sizeof index);
}

/* Whether the driver wants to hear of what was given back since it last did. */
static bool wants_interrupt(struct virtio *virtio, struct virtio_queue *queue, bool *broken)
{
    uint16_t old = queue->signalled, now = queue->next_used, value = 0;
    bool event = virtio_has(virtio, VIRTIO_F_EVENT_IDX);
    uint64_t gpa = event ? queue->available + 4 + 2 * (uint64_t)queue->size : queue->available;
    *broken = !read16(virtio, gpa, &value);
    queue->signalled = now;
    if (*broken || old == now)
        return false;
    if (!event)
        return !(value & NO_INTERRUPT);
    return (uint16_t)(now - value - 1) < (uint16_t)(now - old);
}

/*
 * False when a rule was broken. Only what is available now is served: a guest that lets its disk
 * write into its own rings must not keep the host here.
 */
static bool serve_all(struct virtio *virtio, unsigned number)
{
    struct virtio_queue *queue = &virtio->queue[number];
    uint16_t available, head;
    if (!read16(virtio, queue->available + 2, &available) ||
        (uint16_t)(available - queue->next_available) > queue->size)
        return false;
    while (queue->next_available != available) {
        uint64_t slot = queue->next_available % queue->size;
        if (!read16(virtio, queue->available + 4 + 2 * slot, &head) ||
            !collect(virtio, queue, head))
            return false;
        uint32_t written = virtio->type->request(virtio->device, number, &virtio->chain);
        if (written == VIRTIO_HOLD)
            return true;
        queue->next_available++;
        if (virtio->status & VIRTIO_STATUS_NEEDS_RESET || !give_back(virtio, queue, written))
            return false;
    }
    return true;
}

static bool is_live(const struct virtio *virtio, const struct virtio_queue *queue)
{
    return virtio->status & VIRTIO_STATUS_DRIVER_OK &&
           !(virtio->status & VIRTIO_STATUS_NEEDS_RESET) && queue->enabled;
}

bool virtio_has_chain(const struct virtio *virtio, unsigned number)
{
    const struct virtio_queue *queue = &virtio->queue[number];
    uint16_t available;
    return is_live(virtio, queue) && read16(virtio, queue->available + 2, &available) &&
           available != queue->next_available;
}

void virtio_serve(struct virtio *virtio, unsigned number)
{
    struct virtio_queue *queue = &virtio->queue[number];
    if (!is_live(virtio, queue))
        return;
    bool broken = !serve_all(virtio, number);
    if (!broken && virtio_has(virtio, VIRTIO_F_EVENT_IDX)) {
        uint8_t event[2] = {(uint8_t)queue->next_available, (uint8_t)(queue->next_available >> 8)};
        broken =
            !write_bytes(virtio, queue->used + 4 + 8 * (uint64_t)queue->size, event, sizeof event);
    }
    bool unreadable = false;
    if (!broken && wants_interrupt(virtio, queue, &unreadable))
        virtio_interrupt_queue(virtio, number);
    if (broken || unreadable)
        virtio_broken(virtio);
}

uint64_t virtio_copy_from(
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

uint64_t virtio_copy_to(const struct virtio *virtio, const struct virtio_chain *chain,
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
        virtio_wrote(virtio, segment->gpa + skip, part);
        done += part;
        skip = 0;
    }
    return done;
}

void virtio_wrote(const struct virtio *virtio, uint64_t gpa, uint64_t size)
{
    if (virtio->memory.wrote)
        virtio->memory.wrote(virtio->memory.context, gpa, size);
}
