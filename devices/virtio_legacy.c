/* The legacy interface of virtio devices: drivers from before virtio 1.0. */
#include "devices/virtio_legacy.h"

#include <string.h>

enum { PAGE_SHIFT = 12, RING_ALIGNMENT = 1 << PAGE_SHIFT, DESCRIPTOR_SIZE = 16 };
enum { FIRST_ID = 0x1000, CAPABILITY_VENDOR = 0x09, CAPABILITY_BAR = 4 };

/* The ID in the PCI function of those types that there were (table in section 4.1.2.1). */
static uint16_t device_id(uint16_t type)
{
    static const uint8_t offsets[] = {
        [1] = 0, [2] = 1, [3] = 3, [4] = 5, [5] = 2, [8] = 4, [9] = 9};
    return type < sizeof offsets ? FIRST_ID + offsets[type] : 0;
}

static struct virtio_queue *selected(struct virtio *virtio)
{
    return virtio->queue_select < virtio->type->queues ? &virtio->queue[virtio->queue_select]
                                                       : NULL;
}

/* Where the rings are whose first page this is, one after the other (section 2.7.2). */
static void place_rings(struct virtio *virtio, struct virtio_queue *queue, uint32_t page)
{
    const uint64_t size = queue->size;
    queue->descriptors = (uint64_t)page << PAGE_SHIFT;
    queue->available = queue->descriptors + size * DESCRIPTOR_SIZE;
    uint64_t end = queue->available + 2 * (3 + size);
    queue->used = (end + RING_ALIGNMENT - 1) & ~(uint64_t)(RING_ALIGNMENT - 1);
    if (!virtio_queue_enable(queue, &virtio->rings.memory))
        virtio_broken(virtio);
}

static void set_queue_address(struct virtio *virtio, uint32_t page)
{
    struct virtio_queue *queue = selected(virtio);
    if (!queue)
        return;
    if (page == 0)
        *queue = (struct virtio_queue){.size = VIRTIO_QUEUE_SIZE};
    else if (!queue->enabled)
        place_rings(virtio, queue, page);
}

static uint32_t queue_address(struct virtio *virtio)
{
    const struct virtio_queue *queue = selected(virtio);
    return queue && queue->enabled ? (uint32_t)(queue->descriptors >> PAGE_SHIFT) : 0;
}

/* Features need no consent here: those that are not offered are not had. */
static void set_features(struct virtio *virtio, uint32_t value)
{
    if (!(virtio->status & VIRTIO_STATUS_DRIVER_OK))
        virtio->accepted = value & virtio->offered;
}

static void set_status(struct virtio *virtio, uint8_t value)
{
    if (value == 0)
        virtio_reset(virtio);
    else
        virtio->status |=
            value & (uint8_t) ~(VIRTIO_STATUS_NEEDS_RESET | VIRTIO_STATUS_FEATURES_OK);
}

static uint16_t *vector_at(struct virtio *virtio, unsigned offset)
{
    if (!pci_msix_enabled(&virtio->msix))
        return NULL;
    if (offset == VIRTIO_LEGACY_CONFIG_VECTOR)
        return &virtio->config_vector;
    bool is_queue = offset == VIRTIO_LEGACY_QUEUE_VECTOR && selected(virtio);
    return is_queue ? &virtio->queue_vector[virtio->queue_select] : NULL;
}

static unsigned config_offset(const struct virtio *virtio)
{
    return pci_msix_enabled(&virtio->msix) ? VIRTIO_LEGACY_CONFIG_MSIX
                                           : VIRTIO_LEGACY_CONFIG_VECTOR;
}

#define REGISTER(offset, size) ((offset) << 4 | (size))

static uint64_t register_read(struct virtio *virtio, unsigned offset, unsigned size)
{
    const struct virtio_queue *queue = selected(virtio);
    switch (REGISTER(offset, size)) {
    case REGISTER(VIRTIO_LEGACY_DEVICE_FEATURES, 4):
        return (uint32_t)virtio->offered;
    case REGISTER(VIRTIO_LEGACY_DRIVER_FEATURES, 4):
        return (uint32_t)virtio->accepted;
    case REGISTER(VIRTIO_LEGACY_QUEUE_ADDRESS, 4):
        return queue_address(virtio);
    case REGISTER(VIRTIO_LEGACY_QUEUE_SIZE, 2):
        return queue ? queue->size : 0;
    case REGISTER(VIRTIO_LEGACY_QUEUE_SELECT, 2):
        return virtio->queue_select;
    case REGISTER(VIRTIO_LEGACY_STATUS, 1):
        return virtio->status;
    case REGISTER(VIRTIO_LEGACY_ISR, 1):
        return virtio_take_isr(virtio);
    default:
        break;
    }
    const uint16_t *vector = size == 2 ? vector_at(virtio, offset) : NULL;
    return vector ? *vector : 0;
}

static void register_write(struct virtio *virtio, unsigned offset, unsigned size, uint32_t value)
{
    switch (REGISTER(offset, size)) {
    case REGISTER(VIRTIO_LEGACY_DRIVER_FEATURES, 4):
        set_features(virtio, value);
        return;
    case REGISTER(VIRTIO_LEGACY_QUEUE_ADDRESS, 4):
        set_queue_address(virtio, value);
        return;
    case REGISTER(VIRTIO_LEGACY_QUEUE_SELECT, 2):
        virtio->queue_select = (uint16_t)value;
        return;
    case REGISTER(VIRTIO_LEGACY_QUEUE_NOTIFY, 2):
        if ((uint16_t)value < virtio->type->queues)
            virtio_serve(virtio, (uint16_t)value);
        return;
    case REGISTER(VIRTIO_LEGACY_STATUS, 1):
        set_status(virtio, (uint8_t)value);
        return;
    default:
        break;
    }
    uint16_t *vector = size == 2 ? vector_at(virtio, offset) : NULL;
    if (vector)
        *vector = virtio_map_vector(virtio, (uint16_t)value);
}

static uint64_t bar_read(void *device, uint64_t address, unsigned size)
{
    struct virtio *virtio = device;
    unsigned offset = (unsigned)address, config = config_offset(virtio);
    return offset < config ? register_read(virtio, offset, size)
                           : virtio_config_read(virtio, offset - config, size);
}

static void bar_write(void *device, uint64_t address, unsigned size, uint64_t value)
{
    struct virtio *virtio = device;
    unsigned offset = (unsigned)address, config = config_offset(virtio);
    if (offset < config)
        register_write(virtio, offset, size, (uint32_t)value);
    else
        virtio_config_write(virtio, offset - config, size, value);
}

/* The capabilities say which BAR the registers of virtio 1.x are in. */
static void move_modern_registers(struct virtio *virtio)
{
    struct pci_function *function = &virtio->function;
    function->bar[VIRTIO_LEGACY_MODERN_BAR] = function->bar[0];
    virtio->modern_bar = VIRTIO_LEGACY_MODERN_BAR;
    for (unsigned at = function->config[PCI_CAPABILITIES]; at; at = function->config[at + 1]) {
        if (function->config[at] == CAPABILITY_VENDOR)
            function->config[at + CAPABILITY_BAR] = VIRTIO_LEGACY_MODERN_BAR;
    }
}

void virtio_legacy_add(struct virtio *virtio)
{
    struct pci_function *function = &virtio->function;
    move_modern_registers(virtio);
    function->bar[0] = (struct pci_bar){
        .size = VIRTIO_LEGACY_BAR_SIZE, .io = true, .read = bar_read, .write = bar_write};
    pci_config_set(function, PCI_DEVICE_ID, 2, device_id(virtio->type->id));
    pci_config_set(function, PCI_REVISION, 1, 0);
    pci_config_set(function, PCI_SUBSYSTEM, 2, virtio->type->id);
}
