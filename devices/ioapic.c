/* The I/O APIC. */
#include "devices/ioapic.h"

#include <stdlib.h>

enum {
    REGISTER_SELECT = 0x00,
    REGISTER_WINDOW = 0x10,
    INDEX_ID = 0,
    INDEX_VERSION = 1,
    INDEX_ARBITRATION = 2,
    INDEX_ENTRIES = 0x10,
    VERSION = 0x11 | (IOAPIC_INPUTS - 1) << 16,
};

#define ENTRY_LOGICAL    (1ull << 11)
#define ENTRY_REMOTE_IRR (1ull << 14)
#define ENTRY_LEVEL      (1ull << 15)
#define ENTRY_MASKED     (1ull << 16)
/* Delivery status and remote IRR are the hardware's. */
#define ENTRY_WRITABLE 0xff0000000001afffull

struct ioapic {
    struct ioapic_config config;
    uint8_t select, id;
    uint32_t asserted; /* inputs */
    uint64_t entries[IOAPIC_INPUTS];
};

static bool send(struct ioapic *ioapic, uint64_t entry)
{
    const struct apic_message message = {
        .destination = (uint8_t)(entry >> 56),
        .is_logical = entry & ENTRY_LOGICAL,
        .is_level = entry & ENTRY_LEVEL,
        .mode = entry >> 8 & 7,
        .vector = (uint8_t)entry,
    };
    return ioapic->config.send && ioapic->config.send(ioapic->config.target, &message);
}

/* A level-triggered input sends while it is asserted, not masked, and the last one has ended. */
static void send_level(struct ioapic *ioapic, unsigned input)
{
    uint64_t *entry = &ioapic->entries[input];
    if (!(ioapic->asserted >> input & 1) || !(*entry & ENTRY_LEVEL) ||
        *entry & (ENTRY_MASKED | ENTRY_REMOTE_IRR))
        return;
    if (send(ioapic, *entry))
        *entry |= ENTRY_REMOTE_IRR;
}

void ioapic_set_line(void *context, unsigned input, bool level)
{
    struct ioapic *ioapic = context;
    if (input >= IOAPIC_INPUTS)
        return;
    bool rises = level && !(ioapic->asserted >> input & 1);
    ioapic->asserted = (ioapic->asserted & ~(1u << input)) | (uint32_t)level << input;
    uint64_t entry = ioapic->entries[input];
    if (entry & ENTRY_LEVEL)
        send_level(ioapic, input);
    else if (rises && !(entry & ENTRY_MASKED))
        send(ioapic, entry);
}

void ioapic_ended(void *context, uint8_t vector)
{
    struct ioapic *ioapic = context;
    for (unsigned i = 0; i < IOAPIC_INPUTS; i++) {
        uint64_t *entry = &ioapic->entries[i];
        if ((*entry & 0xff) != vector || !(*entry & ENTRY_REMOTE_IRR))
            continue;
        *entry &= ~ENTRY_REMOTE_IRR;
        send_level(ioapic, i);
    }
}

static uint32_t read_window(const struct ioapic *ioapic)
{
    switch (ioapic->select) {
    case INDEX_ID:
    case INDEX_ARBITRATION:
        return (uint32_t)ioapic->id << 24;
    case INDEX_VERSION:
        return VERSION;
    default:
        break;
    }
    unsigned index = ioapic->select - INDEX_ENTRIES;
    if (ioapic->select < INDEX_ENTRIES || index >= 2 * IOAPIC_INPUTS)
        return 0;
    return (uint32_t)(ioapic->entries[index / 2] >> (index & 1) * 32);
}

static void write_window(struct ioapic *ioapic, uint32_t value)
{
    if (ioapic->select == INDEX_ID)
        ioapic->id = value >> 24 & 0xf;
    unsigned index = ioapic->select - INDEX_ENTRIES;
    if (ioapic->select < INDEX_ENTRIES || index >= 2 * IOAPIC_INPUTS)
        return;
    uint64_t *entry = &ioapic->entries[index / 2];
    uint64_t mask = ENTRY_WRITABLE & ((uint64_t)UINT32_MAX << (index & 1) * 32);
    *entry = (*entry & ~mask) | ((uint64_t)value << (index & 1) * 32 & mask);
    /* Software clears a stuck remote IRR by making the entry edge-triggered for a moment. */
    if (!(*entry & ENTRY_LEVEL))
        *entry &= ~ENTRY_REMOTE_IRR;
    send_level(ioapic, index / 2);
}

static uint64_t ioapic_read(void *device, uint64_t address, unsigned size)
{
    const struct ioapic *ioapic = device;
    uint32_t word = 0;
    if ((address & ~3ull) == REGISTER_SELECT)
        word = ioapic->select;
    else if ((address & ~3ull) == REGISTER_WINDOW)
        word = read_window(ioapic);
    word >>= 8 * (address & 3);
    return size >= 4 ? word : word & ((1u << (8 * size)) - 1);
}

static void ioapic_write(void *device, uint64_t address, unsigned size, uint64_t value)
{
    struct ioapic *ioapic = device;
    if (address == REGISTER_SELECT)
        ioapic->select = (uint8_t)value;
    else if (address == REGISTER_WINDOW && size >= 4)
        write_window(ioapic, (uint32_t)value);
}

static void ioapic_reset(void *device)
{
    struct ioapic *ioapic = device;
    ioapic->select = ioapic->id = 0;
    for (unsigned i = 0; i < IOAPIC_INPUTS; i++)
        ioapic->entries[i] = ENTRY_MASKED;
}

struct ioapic *ioapic_create(const struct ioapic_config *config, struct error *error)
{
    struct ioapic *ioapic = calloc(1, sizeof *ioapic);
    if (!ioapic) {
        error_set(error, "ioapic: out of memory");
        return NULL;
    }
    ioapic->config = *config;
    ioapic_reset(ioapic);
    return ioapic;
}

void ioapic_destroy(struct ioapic *ioapic)
{
    free(ioapic);
}

int ioapic_attach(struct ioapic *ioapic, struct bus *mmio, struct error *error)
{
    return bus_register(mmio,
        &(struct bus_range){.base = IOAPIC_BASE,
            .size = IOAPIC_SIZE,
            .name = "ioapic",
            .device = ioapic,
            .read = ioapic_read,
            .write = ioapic_write},
        error);
}

static void ioapic_save(const void *device, struct buffer *out)
{
    const struct ioapic *ioapic = device;
    buffer_put_u8(out, ioapic->select);
    buffer_put_u8(out, ioapic->id);
    buffer_put_u32(out, ioapic->asserted);
    for (unsigned i = 0; i < IOAPIC_INPUTS; i++)
        buffer_put_u64(out, ioapic->entries[i]);
}

static void ioapic_restore(void *device, struct reader *in)
{
    struct ioapic *ioapic = device, new = *ioapic;
    new.select = reader_get_u8(in);
    new.id = reader_get_u8(in) & 0xf;
    new.asserted = reader_get_u32(in) & ((1u << IOAPIC_INPUTS) - 1);
    for (unsigned i = 0; i < IOAPIC_INPUTS; i++)
        new.entries[i] = reader_get_u64(in) & (ENTRY_WRITABLE | ENTRY_REMOTE_IRR);
    if (!in->failed)
        *ioapic = new;
}

static void ioapic_describe(const void *device, struct buffer *out)
{
    const struct ioapic *ioapic = device;
    buffer_printf(out, "ID %u\nIOREGSEL %#04x\nasserted %#08x\n", ioapic->id, ioapic->select,
        ioapic->asserted);
    for (unsigned i = 0; i < IOAPIC_INPUTS; i++)
        buffer_printf(out, "IOREDTBL%u %#018llx\n", i, (unsigned long long)ioapic->entries[i]);
}

static void ioapic_free(void *device)
{
    ioapic_destroy(device);
}

struct device ioapic_device(struct ioapic *ioapic)
{
    static const struct device_ops ops = {
        .destroy = ioapic_free,
        .reset = ioapic_reset,
        .save = ioapic_save,
        .restore = ioapic_restore,
        .describe = ioapic_describe,
    };
    return (struct device){.name = "ioapic", .ops = &ops, .object = ioapic};
}

static int create(const struct device_wiring *wiring, struct device *device, struct error *error)
{
    const struct ioapic_config config = {.send = wiring->interrupt, .target = wiring->machine};
    struct ioapic *ioapic = ioapic_create(&config, error);
    if (!ioapic)
        return -1;
    *device = ioapic_device(ioapic);
    return device_attached(device, ioapic_attach(ioapic, wiring->mmio, error));
}

const struct device_class ioapic_class = {.create = create};
