/* The virtio transport over PCI. */
#include "devices/virtio.h"

#include <string.h>

/* The PCI transport: virtio 1.2, section 4.1. */
enum {
    CAPABILITY_VENDOR = 0x09,
    CFG_COMMON = 1,
    CFG_NOTIFY = 2,
    CFG_ISR = 3,
    CFG_DEVICE = 4,
    CFG_PCI = 5,
    CAPABILITY_SIZE = 16, /* struct virtio_pci_cap */
    ISR_QUEUE = 1,
    ISR_CONFIG = 2,
};

/* Registers of the common configuration, section 4.1.4.3. */
enum field {
    DEVICE_FEATURE_SELECT,
    DEVICE_FEATURE,
    DRIVER_FEATURE_SELECT,
    DRIVER_FEATURE,
    CONFIG_VECTOR,
    NUM_QUEUES,
    DEVICE_STATUS,
    CONFIG_GENERATION,
    QUEUE_SELECT,
    QUEUE_SIZE,
    QUEUE_VECTOR,
    QUEUE_ENABLE,
    QUEUE_NOTIFY_OFF,
    QUEUE_DESC,
    QUEUE_DRIVER,
    QUEUE_DEVICE,
    FIELDS,
};

static const struct {
    uint8_t offset, size;
} fields[FIELDS] = {
    [DEVICE_FEATURE_SELECT] = {0x00, 4},
    [DEVICE_FEATURE] = {0x04, 4},
    [DRIVER_FEATURE_SELECT] = {0x08, 4},
    [DRIVER_FEATURE] = {0x0c, 4},
    [CONFIG_VECTOR] = {0x10, 2},
    [NUM_QUEUES] = {0x12, 2},
    [DEVICE_STATUS] = {0x14, 1},
    [CONFIG_GENERATION] = {0x15, 1},
    [QUEUE_SELECT] = {0x16, 2},
    [QUEUE_SIZE] = {0x18, 2},
    [QUEUE_VECTOR] = {0x1a, 2},
    [QUEUE_ENABLE] = {0x1c, 2},
    [QUEUE_NOTIFY_OFF] = {0x1e, 2},
    [QUEUE_DESC] = {0x20, 8},
    [QUEUE_DRIVER] = {0x28, 8},
    [QUEUE_DEVICE] = {0x30, 8},
};
enum { COMMON_SIZE = 0x38 };

bool virtio_has(const struct virtio *virtio, uint64_t feature)
{
    return virtio->accepted & feature;
}

/* With MSI-X neither the wire nor the ISR status is used (section 4.1.5.1.2). */
static void interrupt(struct virtio *virtio, uint8_t isr, uint16_t vector)
{
    if (pci_msix_enabled(&virtio->msix)) {
        pci_msix_notify(&virtio->msix, vector);
        return;
    }
    virtio->isr |= isr;
    pci_set_interrupt(&virtio->function, true);
}

static void interrupt_config(struct virtio *virtio)
{
    interrupt(virtio, ISR_CONFIG, virtio->config_vector);
}

void virtio_broken(struct virtio *virtio)
{
    virtio->status |= VIRTIO_STATUS_NEEDS_RESET;
    if (virtio->status & VIRTIO_STATUS_DRIVER_OK)
        interrupt_config(virtio);
}

void virtio_config_changed(struct virtio *virtio)
{
    virtio->generation++;
    if (virtio->status & VIRTIO_STATUS_DRIVER_OK)
        interrupt_config(virtio);
}

/* ---- The rings ------------------------------------------------------------------------------- */

/* A device that finds the driver in breach has said so by virtio_broken(). */
static uint32_t request(void *context, unsigned number, const struct virtio_chain *chain)
{
    struct virtio *virtio = context;
    uint32_t written = virtio->type->request(virtio->device, number, chain);
    bool broken = written != VIRTIO_HOLD && virtio->status & VIRTIO_STATUS_NEEDS_RESET;
    return broken ? VIRTIO_BROKEN : written;
}

static bool is_live(const struct virtio *virtio, unsigned number)
{
    return virtio->status & VIRTIO_STATUS_DRIVER_OK &&
           !(virtio->status & VIRTIO_STATUS_NEEDS_RESET) && virtio->queue[number].enabled;
}

bool virtio_has_chain(const struct virtio *virtio, unsigned number)
{
    return is_live(virtio, number) &&
           virtio_queue_has_chain(&virtio->queue[number], &virtio->rings.memory);
}

void virtio_serve(struct virtio *virtio, unsigned number)
{
    bool wanted;
    if (!is_live(virtio, number))
        return;
    virtio->rings.indirect = virtio_has(virtio, VIRTIO_F_INDIRECT_DESC);
    virtio->rings.event_index = virtio_has(virtio, VIRTIO_F_EVENT_IDX);
    if (virtio_queue_serve(&virtio->queue[number], &virtio->rings, number, &wanted) < 0)
        virtio_broken(virtio);
    else if (wanted)
        interrupt(virtio, ISR_QUEUE, virtio->queue_vector[number]);
}

/* ---- The transport --------------------------------------------------------------------------- */

void virtio_reset(struct virtio *virtio)
{
    virtio->status = virtio->isr = 0;
    virtio->offered_select = virtio->accepted_select = 0;
    virtio->accepted = 0;
    virtio->queue_select = 0;
    memset(virtio->queue, 0, sizeof virtio->queue);
    for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++)
        virtio->queue_vector[i] = VIRTIO_NO_VECTOR;
    for (unsigned i = 0; i < virtio->type->queues; i++)
        virtio->queue[i].size = VIRTIO_QUEUE_SIZE;
    virtio->config_vector = VIRTIO_NO_VECTOR;
    pci_set_interrupt(&virtio->function, false);
}

void virtio_bus_reset(struct virtio *virtio)
{
    virtio_reset(virtio);
    pci_msix_reset(&virtio->msix);
}

static struct virtio_queue *selected(struct virtio *virtio)
{
    return virtio->queue_select < virtio->type->queues ? &virtio->queue[virtio->queue_select]
                                                       : NULL;
}

static uint64_t get_queue_field(struct virtio *virtio, enum field field)
{
    const struct virtio_queue *queue = selected(virtio);
    if (!queue)
        return field == QUEUE_VECTOR ? VIRTIO_NO_VECTOR : 0;
    switch (field) {
    case QUEUE_SIZE:
        return queue->size;
    case QUEUE_VECTOR:
        return virtio->queue_vector[virtio->queue_select];
    case QUEUE_ENABLE:
        return queue->enabled;
    case QUEUE_NOTIFY_OFF:
        return virtio->queue_select;
    case QUEUE_DESC:
        return queue->descriptors;
    case QUEUE_DRIVER:
        return queue->available;
    case QUEUE_DEVICE:
        return queue->used;
    default:
        return 0;
    }
}

static uint64_t get_field(struct virtio *virtio, enum field field)
{
    switch (field) {
    case DEVICE_FEATURE_SELECT:
        return virtio->offered_select;
    case DEVICE_FEATURE:
        return virtio->offered_select < 2
                   ? (uint32_t)(virtio->offered >> (32 * virtio->offered_select))
                   : 0;
    case DRIVER_FEATURE_SELECT:
        return virtio->accepted_select;
    case DRIVER_FEATURE:
        return virtio->accepted_select < 2
                   ? (uint32_t)(virtio->accepted >> (32 * virtio->accepted_select))
                   : 0;
    case CONFIG_VECTOR:
        return virtio->config_vector;
    case NUM_QUEUES:
        return virtio->type->queues;
    case DEVICE_STATUS:
        return virtio->status;
    case CONFIG_GENERATION:
        return virtio->generation;
    case QUEUE_SELECT:
        return virtio->queue_select;
    default:
        return get_queue_field(virtio, field);
    }
}

static void set_status(struct virtio *virtio, uint8_t value)
{
    if (value == 0) {
        virtio_reset(virtio);
        return;
    }
    /* The driver adds bits; only a reset clears them. */
    uint8_t added = value & (uint8_t)~VIRTIO_STATUS_NEEDS_RESET;
    if (added & VIRTIO_STATUS_FEATURES_OK && !(virtio->status & VIRTIO_STATUS_FEATURES_OK) &&
        (virtio->accepted & ~virtio->offered || !virtio_has(virtio, VIRTIO_F_VERSION_1)))
        added &= (uint8_t)~VIRTIO_STATUS_FEATURES_OK;
    /* Without agreed features the device does not go live. */
    if (!((virtio->status | added) & VIRTIO_STATUS_FEATURES_OK))
        added &= (uint8_t)~VIRTIO_STATUS_DRIVER_OK;
    virtio->status |= added;
}

static void set_accepted(struct virtio *virtio, uint32_t value)
{
    if (virtio->accepted_select > 1 || virtio->status & VIRTIO_STATUS_FEATURES_OK)
        return;
    unsigned shift = 32 * virtio->accepted_select;
    virtio->accepted &= ~(UINT64_C(0xffffffff) << shift);
    virtio->accepted |= (uint64_t)value << shift;
}

uint16_t virtio_map_vector(const struct virtio *virtio, uint64_t value)
{
    return value < virtio->msix.vectors ? (uint16_t)value : VIRTIO_NO_VECTOR;
}

static void set_queue_field(struct virtio *virtio, enum field field, uint64_t value)
{
    struct virtio_queue *queue = selected(virtio);
    if (queue && field == QUEUE_VECTOR)
        virtio->queue_vector[virtio->queue_select] = virtio_map_vector(virtio, value);
    if (!queue || queue->enabled)
        return; /* an enabled queue changes by a reset only */
    switch (field) {
    case QUEUE_SIZE:
        queue->size = (uint16_t)value;
        break;
    case QUEUE_ENABLE:
        if (value == 1 && !virtio_queue_enable(queue, &virtio->rings.memory))
            virtio_broken(virtio);
        break;
    case QUEUE_DESC:
        queue->descriptors = value;
        break;
    case QUEUE_DRIVER:
        queue->available = value;
        break;
    case QUEUE_DEVICE:
        queue->used = value;
        break;
    default:
        break;
    }
}

static void set_field(struct virtio *virtio, enum field field, uint64_t value)
{
    switch (field) {
    case DEVICE_FEATURE_SELECT:
        virtio->offered_select = (uint32_t)value;
        break;
    case DRIVER_FEATURE_SELECT:
        virtio->accepted_select = (uint32_t)value;
        break;
    case DRIVER_FEATURE:
        set_accepted(virtio, (uint32_t)value);
        break;
    case DEVICE_STATUS:
        set_status(virtio, (uint8_t)value);
        break;
    case CONFIG_VECTOR:
        virtio->config_vector = virtio_map_vector(virtio, value);
        break;
    case QUEUE_SELECT:
        virtio->queue_select = (uint16_t)value;
        break;
    default:
        set_queue_field(virtio, field, value);
        break;
    }
}

static uint64_t common_read(struct virtio *virtio, unsigned offset, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < FIELDS; i++) {
        unsigned first = fields[i].offset, end = first + fields[i].size;
        if (end <= offset || first >= offset + size)
            continue;
        uint64_t content = get_field(virtio, (enum field)i);
        for (unsigned byte = offset; byte < offset + size; byte++) {
            if (byte >= first && byte < end)
                value |= (content >> (8 * (byte - first)) & 0xff) << (8 * (byte - offset));
        }
    }
    return value;
}

/* Each field that the access touches is written with the bytes the access has for it. */
static void common_write(struct virtio *virtio, unsigned offset, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < FIELDS; i++) {
        unsigned first = fields[i].offset, end = first + fields[i].size;
        if (end <= offset || first >= offset + size)
            continue;
        uint64_t content = get_field(virtio, (enum field)i);
        for (unsigned byte = first; byte < end; byte++) {
            if (byte < offset || byte >= offset + size)
                continue;
            unsigned shift = 8 * (byte - first);
            content &= ~(UINT64_C(0xff) << shift);
            content |= (value >> (8 * (byte - offset)) & 0xff) << shift;
        }
        set_field(virtio, (enum field)i, content);
    }
}

uint8_t virtio_take_isr(struct virtio *virtio)
{
    uint8_t isr = virtio->isr;
    virtio->isr = 0;
    pci_set_interrupt(&virtio->function, false);
    return isr;
}

uint64_t virtio_config_read(struct virtio *virtio, unsigned offset, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++) {
        if (offset + i < virtio->type->config_size)
            value |= (uint64_t)virtio->type->config_read(virtio->device, offset + i) << (8 * i);
    }
    return value;
}

void virtio_config_write(struct virtio *virtio, unsigned offset, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size && virtio->type->config_write; i++) {
        if (offset + i < virtio->type->config_size)
            virtio->type->config_write(virtio->device, offset + i, (uint8_t)(value >> (8 * i)));
    }
}

static uint64_t bar_read(void *device, uint64_t address, unsigned size)
{
    struct virtio *virtio = device;
    unsigned offset = (unsigned)(address & 0xfff);
    switch (address & ~UINT64_C(0xfff)) {
    case VIRTIO_COMMON_OFFSET:
        return common_read(virtio, offset, size);
    case VIRTIO_ISR_OFFSET:
        return offset == 0 ? virtio_take_isr(virtio) : 0;
    case VIRTIO_DEVICE_OFFSET:
        return virtio_config_read(virtio, offset, size);
    default:
        return 0;
    }
}

static void bar_write(void *device, uint64_t address, unsigned size, uint64_t value)
{
    struct virtio *virtio = device;
    unsigned offset = (unsigned)(address & 0xfff);
    switch (address & ~UINT64_C(0xfff)) {
    case VIRTIO_COMMON_OFFSET:
        common_write(virtio, offset, size, value);
        break;
    case VIRTIO_DEVICE_OFFSET:
        virtio_config_write(virtio, offset, size, value);
        break;
    case VIRTIO_NOTIFY_OFFSET:
        if (offset / VIRTIO_NOTIFY_MULTIPLIER < virtio->type->queues)
            virtio_serve(virtio, offset / VIRTIO_NOTIFY_MULTIPLIER);
        break;
    default:
        break;
    }
}

/* ---- The window in configuration space (VIRTIO_PCI_CAP_PCI_CFG) -------------------------------
 */

/* The BAR access that the window asks for; false when it asks for none that exists. */
static bool window(const struct virtio *virtio, uint32_t *offset, uint32_t *length)
{
    unsigned at = virtio->access_capability;
    *offset = pci_config_get(&virtio->function, at + 8, 4);
    *length = pci_config_get(&virtio->function, at + 12, 4);
    return virtio->function.config[at + 4] == virtio->modern_bar &&
           (*length == 1 || *length == 2 || *length == 4) && *offset % *length == 0 &&
           *offset <= VIRTIO_BAR_SIZE - *length;
}

static bool touches_window(const struct virtio *virtio, unsigned offset, unsigned size)
{
    unsigned data = virtio->access_capability + CAPABILITY_SIZE;
    return offset < data + 4 && offset + size > data;
}

static void config_reading(void *device, unsigned offset, unsigned size)
{
    struct virtio *virtio = device;
    uint32_t where, length;
    if (touches_window(virtio, offset, size) && window(virtio, &where, &length))
        pci_config_set(&virtio->function, virtio->access_capability + CAPABILITY_SIZE, 4,
            (uint32_t)bar_read(virtio, where, length));
}

static void config_written(void *device, unsigned offset, unsigned size)
{
    struct virtio *virtio = device;
    uint32_t where, length;
    pci_msix_config_written(&virtio->msix, offset, size);
    if (pci_msix_enabled(&virtio->msix))
        pci_set_interrupt(&virtio->function, false);
    if (touches_window(virtio, offset, size) && window(virtio, &where, &length))
        bar_write(virtio, where, length,
            pci_config_get(&virtio->function, virtio->access_capability + CAPABILITY_SIZE, 4));
}

static uint64_t msix_read(void *device, uint64_t address, unsigned size)
{
    return pci_msix_read(&((struct virtio *)device)->msix, address, size);
}

static void msix_write(void *device, uint64_t address, unsigned size, uint64_t value)
{
    pci_msix_write(&((struct virtio *)device)->msix, address, size, value);
}

/* ---- Making ---------------------------------------------------------------------------------- */

static unsigned add_capability(
    struct pci_function *function, uint8_t kind, uint32_t offset, uint32_t length, unsigned extra)
{
    unsigned size = CAPABILITY_SIZE + extra;
    unsigned at = pci_add_capability(function, CAPABILITY_VENDOR, size);
    if (!at)
        return 0;
    function->config[at + 2] = (uint8_t)size;
    function->config[at + 3] = kind;
    pci_config_set(function, at + 8, 4, offset);
    pci_config_set(function, at + 12, 4, length);
    return at;
}

int virtio_init(struct virtio *virtio, const struct virtio_type *type, const char *name,
    void *device, uint64_t offered, const struct guest_memory *memory, struct error *error)
{
    struct pci_function *function = &virtio->function;
    *virtio = (struct virtio){.type = type, .device = device};
    virtio->rings = (struct virtio_rings){.memory = *memory, .request = request, .context = virtio};
    if (type->queues > VIRTIO_MAX_QUEUES)
        return error_set(error, "%s: too many virtqueues", name);
    virtio->offered = offered | VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX;
    pci_function_init(function, 0x1af4, (uint16_t)(0x1040 + type->id), type->class_code, 1);
    function->name = name;
    function->device = virtio;
    function->bar[0] =
        (struct pci_bar){.size = VIRTIO_BAR_SIZE, .read = bar_read, .write = bar_write};
    function->bar[1] =
        (struct pci_bar){.size = PCI_MSIX_BAR_SIZE, .read = msix_read, .write = msix_write};
    pci_config_set(function, PCI_SUBSYSTEM_VENDOR, 2, 0x1af4);
    pci_config_set(function, PCI_SUBSYSTEM, 2, (uint16_t)(0x40 + type->id));
    unsigned notify;
    if (!add_capability(function, CFG_COMMON, VIRTIO_COMMON_OFFSET, COMMON_SIZE, 0) ||
        !(notify = add_capability(function, CFG_NOTIFY, VIRTIO_NOTIFY_OFFSET,
              VIRTIO_NOTIFY_MULTIPLIER * type->queues, 4)) ||
        !add_capability(function, CFG_ISR, VIRTIO_ISR_OFFSET, 1, 0) ||
        (type->config_size &&
            !add_capability(function, CFG_DEVICE, VIRTIO_DEVICE_OFFSET, type->config_size, 0)) ||
        !(virtio->access_capability = add_capability(function, CFG_PCI, 0, 0, 4)) ||
        !pci_msix_init(&virtio->msix, function, 1, type->queues + 1))
        return error_set(error, "%s: no room for its PCI capabilities", name);
    pci_config_set(function, notify + CAPABILITY_SIZE, 4, VIRTIO_NOTIFY_MULTIPLIER);
    unsigned at = virtio->access_capability;
    function->writable[at + 4] = 0xff;
    memset(function->writable + at + 8, 0xff, 12);
    function->config_reading = config_reading;
    function->config_written = config_written;
    virtio_reset(virtio);
    return 0;
}

void virtio_save(const struct virtio *virtio, struct buffer *out)
{
    buffer_put_u8(out, virtio->status);
    buffer_put_u8(out, virtio->isr);
    buffer_put_u8(out, virtio->generation);
    buffer_put_u32(out, virtio->offered_select);
    buffer_put_u32(out, virtio->accepted_select);
    buffer_put_u64(out, virtio->accepted);
    buffer_put_u16(out, virtio->queue_select);
    buffer_put_u16(out, virtio->config_vector);
    pci_msix_save(&virtio->msix, out);
    for (unsigned i = 0; i < virtio->type->queues; i++) {
        const struct virtio_queue *queue = &virtio->queue[i];
        buffer_put_u16(out, queue->size);
        buffer_put_u16(out, virtio->queue_vector[i]);
        buffer_put_u8(out, queue->enabled);
        buffer_put_u64(out, queue->descriptors);
        buffer_put_u64(out, queue->available);
        buffer_put_u64(out, queue->used);
        buffer_put_u16(out, queue->next_available);
        buffer_put_u16(out, queue->next_used);
        buffer_put_u16(out, queue->signalled);
    }
}

void virtio_restore(struct virtio *virtio, struct reader *in)
{
    virtio->status = reader_get_u8(in);
    virtio->isr = reader_get_u8(in);
    virtio->generation = reader_get_u8(in);
    virtio->offered_select = reader_get_u32(in);
    virtio->accepted_select = reader_get_u32(in);
    virtio->accepted = reader_get_u64(in);
    virtio->queue_select = reader_get_u16(in);
    virtio->config_vector = reader_get_u16(in);
    pci_msix_restore(&virtio->msix, in);
    for (unsigned i = 0; i < virtio->type->queues; i++) {
        struct virtio_queue *queue = &virtio->queue[i];
        queue->size = reader_get_u16(in);
        virtio->queue_vector[i] = reader_get_u16(in);
        queue->enabled = reader_get_u8(in) & 1;
        queue->descriptors = reader_get_u64(in);
        queue->available = reader_get_u64(in);
        queue->used = reader_get_u64(in);
        queue->next_available = reader_get_u16(in);
        queue->next_used = reader_get_u16(in);
        queue->signalled = reader_get_u16(in);
        /* What divides by the size relies on it being sound. */
        if (queue->enabled && (queue->size == 0 || queue->size & (queue->size - 1) ||
                                  queue->size > VIRTIO_QUEUE_SIZE)) {
            queue->enabled = false;
            in->failed = true;
        }
    }
}

void virtio_describe(const struct virtio *virtio, struct buffer *out)
{
    buffer_printf(out, "device_status %02x\nISR %02x\ndriver_features %016llx\n", virtio->status,
        virtio->isr, (unsigned long long)virtio->accepted);
    for (unsigned i = 0; i < virtio->type->queues; i++) {
        const struct virtio_queue *queue = &virtio->queue[i];
        buffer_printf(out,
            "queue%u size %u enabled %d desc %llx driver %llx device %llx avail %u used %u\n", i,
            queue->size, queue->enabled, (unsigned long long)queue->descriptors,
            (unsigned long long)queue->available, (unsigned long long)queue->used,
            queue->next_available, queue->next_used);
    }
}
