/* The PCI bus: configuration space, BARs and interrupt routing. */
#include "devices/pci.h"

#include <stdlib.h>
#include <string.h>

enum { PIRQS = 4, PIRQ_ROUTE = 0x60, PIRQ_OFF = 0x80, ISA_SLOT = 1, FIRST_SLOT = 2 };

/* PIRQA-D go to inputs that a PC leaves to PCI. */
static const uint8_t setup_route[PIRQS] = {11, 10, 9, 5};

struct pci_host {
    struct pci_config config;
    uint32_t address; /* CONFIG_ADDRESS */
    uint8_t reset_control;
    struct pci_function *slot[PCI_SLOTS];
    struct pci_function host_bridge, isa_bridge;
    bool level[16];  /* last told to each interrupt input */
    uint16_t driven; /* inputs that a PIRQ has ever been routed to */
};

uint32_t pci_config_get(const struct pci_function *function, unsigned offset, unsigned size)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)function->config[offset + i] << (8 * i);
    return value;
}

void pci_config_set(struct pci_function *function, unsigned offset, unsigned size, uint32_t value)
{
    for (unsigned i = 0; i < size; i++)
        function->config[offset + i] = (uint8_t)(value >> (8 * i));
}

void pci_function_init(struct pci_function *function, uint16_t vendor, uint16_t device,
    uint32_t class_code, uint8_t revision)
{
    pci_config_set(function, PCI_VENDOR_ID, 2, vendor);
    pci_config_set(function, PCI_DEVICE_ID, 2, device);
    pci_config_set(function, PCI_CLASS, 3, class_code);
    pci_config_set(function, PCI_REVISION, 1, revision);
    pci_config_set(function, PCI_INTERRUPT_PIN, 1, 1);
    function->writable[PCI_COMMAND] = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
    function->writable[PCI_COMMAND + 1] = PCI_COMMAND_INTX_DISABLE >> 8;
    function->writable[PCI_INTERRUPT_LINE] = 0xff;
}

unsigned pci_add_capability(struct pci_function *function, uint8_t id, unsigned size)
{
    unsigned link = PCI_CAPABILITIES;
    unsigned offset = function->capability_end ? function->capability_end : PCI_FIRST_CAPABILITY;
    if (size < 2 || size > PCI_CONFIG_SIZE - offset)
        return 0;
    while (function->config[link])
        link = function->config[link] + 1u;
    function->config[link] = (uint8_t)offset;
    function->config[offset] = id;
    function->config[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
    function->capability_end = (offset + size + 3) & ~3u;
    return offset;
}

/* ---- Interrupts ----------------------------------------------------------------------------- */

/* INTA# of neighbouring slots goes to different PIRQs, as on the boards of that chip set. */
static unsigned pirq_of(const struct pci_function *function)
{
    return (function->slot - 1) % PIRQS;
}

static void update_interrupts(struct pci_host *host)
{
    uint16_t wanted = 0, routed = 0;
    for (unsigned i = 0; i < PIRQS; i++) {
        uint8_t route = host->isa_bridge.config[PIRQ_ROUTE + i];
        if (!(route & PIRQ_OFF))
            routed |= (uint16_t)(1u << (route & 15));
    }
    for (unsigned i = FIRST_SLOT; i < PCI_SLOTS; i++) {
        struct pci_function *function = host->slot[i];
        if (!function)
            continue;
        uint8_t route = host->isa_bridge.config[PIRQ_ROUTE + pirq_of(function)];
        bool masked = pci_config_get(function, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE;
        if (function->interrupt && !masked && !(route & PIRQ_OFF))
            wanted |= (uint16_t)(1u << (route & 15));
    }
    host->driven |= routed;
    for (unsigned i = 0; i < 16; i++) {
        bool level = wanted >> i & 1;
        if (!(host->driven >> i & 1) || level == host->level[i])
            continue;
        host->level[i] = level;
        irq_set(&host->config.irq[i], level);
    }
}

void pci_set_interrupt(struct pci_function *function, bool level)
{
    function->interrupt = level;
    if (level)
        function->config[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
    else
        function->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
    if (function->host)
        update_interrupts(function->host);
}

void pci_send_message(struct pci_function *function, uint64_t address, uint32_t data)
{
    const struct pci_host *host = function->host;
    if (host && host->config.message && function->config[PCI_COMMAND] & PCI_COMMAND_MASTER)
        host->config.message(host->config.machine, address, data);
}

/* ---- BARs ----------------------------------------------------------------------------------- */

static void unmap_bar(struct pci_function *function, struct pci_bar *bar)
{
    const struct pci_config *config = &function->host->config;
    if (bar->mapped)
        bus_unregister(bar->io ? config->ports : config->mmio, bar->mapped);
    bar->mapped = 0;
}

/* Maps each BAR where the registers say. One that collides with something stays unmapped, as the
 * guest may be in the middle of moving several. */
static void update_bars(struct pci_function *function)
{
    const struct pci_config *config = &function->host->config;
    uint32_t command = pci_config_get(function, PCI_COMMAND, 2);
    for (unsigned i = 0; i < PCI_BARS; i++) {
        struct pci_bar *bar = &function->bar[i];
        if (!bar->size)
            continue;
        uint32_t base = pci_config_get(function, PCI_BAR0 + 4 * i, 4) & (bar->io ? ~3u : ~15u);
        bool enabled = command & (bar->io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY);
        struct bus *bus = bar->io ? config->ports : config->mmio;
        uint64_t where = enabled && base ? base : 0;
        if (where == bar->mapped)
            continue;
        unmap_bar(function, bar);
        struct bus_range range = {
            .base = where,
            .size = bar->size,
            .name = function->name,
            .device = function->device,
            .read = bar->read,
            .write = bar->write,
        };
        if (where && bus_register(bus, &range, NULL) == 0)
            bar->mapped = where;
    }
}

/* ---- Configuration accesses ----------------------------------------------------------------- */

static struct pci_function *selected(struct pci_host *host)
{
    uint32_t address = host->address;
    bool enabled = address >> 31, first_bus = (address >> 16 & 0xff) == 0;
    bool first_function = (address >> 8 & 7) == 0;
    return enabled && first_bus && first_function ? host->slot[address >> 11 & 31] : NULL;
}

static uint32_t config_read(struct pci_host *host, unsigned offset, unsigned size)
{
    struct pci_function *function = selected(host);
    if (!function)
        return UINT32_MAX;
    if (function->config_reading)
        function->config_reading(function->device, offset, size);
    return pci_config_get(function, offset, size);
}

static void config_write(struct pci_host *host, unsigned offset, unsigned size, uint32_t value)
{
    struct pci_function *function = selected(host);
    if (!function)
        return;
    for (unsigned i = 0; i < size; i++) {
        uint8_t mask = function->writable[offset + i], byte = (uint8_t)(value >> (8 * i));
        function->config[offset + i] =
            (uint8_t)((function->config[offset + i] & ~mask) | (byte & mask));
    }
    update_bars(function);
    update_interrupts(host);
    if (function->config_written)
        function->config_written(function->device, offset, size);
}

static uint64_t port_read(void *device, uint64_t address, unsigned size)
{
    struct pci_host *host = device;
    if (address >= 4)
        return config_read(host, (host->address & 0xfc) + (unsigned)(address & 3), size);
    if (address == 0 && size == 4)
        return host->address;
    if (address == PCI_RESET_PORT - PCI_ADDRESS_PORT && size == 1)
        return host->reset_control;
    return UINT64_MAX;
}

static void port_write(void *device, uint64_t address, unsigned size, uint64_t value)
{
    struct pci_host *host = device;
    if (address >= 4) {
        config_write(host, (host->address & 0xfc) + (unsigned)(address & 3), size, (uint32_t)value);
    } else if (address == 0 && size == 4) {
        host->address = (uint32_t)value & 0x80fffffc;
    } else if (address == PCI_RESET_PORT - PCI_ADDRESS_PORT && size == 1) {
        /* 82371SB, "RCR": bit 2 going from 0 to 1 resets the processor. */
        bool rising = value & 4 && !(host->reset_control & 4);
        host->reset_control = (uint8_t)(value & 6);
        if (rising && host->config.reset_requested)
            host->config.reset_requested(host->config.machine);
    }
}

/* ---- The bus and its bridges ---------------------------------------------------------------- */

static void add_at(struct pci_host *host, struct pci_function *function, unsigned slot)
{
    function->host = host;
    function->slot = slot;
    host->slot[slot] = function;
    for (unsigned i = 0; i < PCI_BARS; i++) {
        const struct pci_bar *bar = &function->bar[i];
        unsigned offset = PCI_BAR0 + 4 * i;
        pci_config_set(function, offset, 4, bar->size && bar->io ? 1 : 0);
        for (unsigned byte = 0; bar->size && byte < 4; byte++)
            function->writable[offset + byte] = (uint8_t)(~(bar->size - 1) >> (8 * byte));
    }
}

int pci_add(struct pci_host *host, struct pci_function *function, struct error *error)
{
    for (unsigned i = FIRST_SLOT; i < PCI_SLOTS; i++) {
        if (host->slot[i])
            continue;
        add_at(host, function, i);
        return 0;
    }
    return error_set(error, "the PCI bus is full: no slot for %s", function->name);
}

struct pci_host *pci_create(const struct pci_config *config, struct error *error)
{
    struct pci_host *host = calloc(1, sizeof *host);
    if (!host) {
        error_set(error, "out of memory for the PCI bus");
        return NULL;
    }
    host->config = *config;
    host->host_bridge.name = "pci-host";
    pci_function_init(&host->host_bridge, 0x8086, 0x1237, 0x060000, 2);
    pci_config_set(&host->host_bridge, PCI_INTERRUPT_PIN, 1, 0);
    add_at(host, &host->host_bridge, 0);
    host->isa_bridge.name = "isa-bridge";
    pci_function_init(&host->isa_bridge, 0x8086, 0x7000, 0x060100, 0);
    pci_config_set(&host->isa_bridge, PCI_INTERRUPT_PIN, 1, 0);
    for (unsigned i = 0; i < PIRQS; i++) {
        host->isa_bridge.config[PIRQ_ROUTE + i] = PIRQ_OFF;
        host->isa_bridge.writable[PIRQ_ROUTE + i] = 0x8f;
    }
    add_at(host, &host->isa_bridge, ISA_SLOT);
    return host;
}

void pci_destroy(struct pci_host *host)
{
    free(host);
}

int pci_attach(struct pci_host *host, struct error *error)
{
    struct bus_range range = {
        .base = PCI_ADDRESS_PORT,
        .size = 8,
        .name = "pci",
        .device = host,
        .read = port_read,
        .write = port_write,
    };
    return bus_register(host->config.ports, &range, error);
}

static void level_triggered(struct pci_host *host, unsigned input)
{
    uint64_t port = 0x4d0 + input / 8;
    uint64_t old = bus_read(host->config.ports, port, 1);
    bus_write(host->config.ports, port, 1, old | 1u << input % 8);
}

static void place_bars(struct pci_function *function, uint32_t *memory, uint32_t *io)
{
    uint32_t command = 0;
    for (unsigned i = 0; i < PCI_BARS; i++) {
        const struct pci_bar *bar = &function->bar[i];
        uint32_t *next = bar->io ? io : memory;
        if (!bar->size)
            continue;
        *next = (*next + bar->size - 1) & ~(bar->size - 1);
        pci_config_set(function, PCI_BAR0 + 4 * i, 4, *next | (bar->io ? 1 : 0));
        *next += bar->size;
        command |= bar->io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
    }
    pci_config_set(function, PCI_COMMAND, 2, command | PCI_COMMAND_MASTER);
    update_bars(function);
}

unsigned pci_setup_irq(unsigned slot, unsigned pin)
{
    return setup_route[(slot + PIRQS - 1 + pin) % PIRQS];
}

void pci_setup(struct pci_host *host)
{
    uint32_t memory = PCI_MEMORY_BASE, io = PCI_IO_BASE;
    for (unsigned i = 0; i < PIRQS; i++) {
        host->isa_bridge.config[PIRQ_ROUTE + i] = setup_route[i];
    }
    for (unsigned i = FIRST_SLOT; i < PCI_SLOTS; i++) {
        struct pci_function *function = host->slot[i];
        if (!function)
            continue;
        place_bars(function, &memory, &io);
        pci_config_set(function, PCI_INTERRUPT_LINE, 1, setup_route[pirq_of(function)]);
        /* Lines that no function uses stay as ISA's are. */
        level_triggered(host, setup_route[pirq_of(function)]);
    }
    update_interrupts(host);
}

/* ---- Device --------------------------------------------------------------------------------- */

static void pci_reset(void *device)
{
    struct pci_host *host = device;
    host->address = 0;
    host->reset_control = 0;
    for (unsigned i = 0; i < PIRQS; i++)
        host->isa_bridge.config[PIRQ_ROUTE + i] = PIRQ_OFF;
    for (unsigned i = 0; i < PCI_SLOTS; i++) {
        struct pci_function *function = host->slot[i];
        if (!function)
            continue;
        pci_config_set(function, PCI_COMMAND, 2, 0);
        pci_config_set(function, PCI_INTERRUPT_LINE, 1, 0);
        for (unsigned j = 0; j < PCI_BARS; j++)
            pci_config_set(function, PCI_BAR0 + 4 * j, 4,
                function->bar[j].size && function->bar[j].io ? 1 : 0);
        update_bars(function);
    }
    update_interrupts(host);
}

static void pci_save(const void *device, struct buffer *out)
{
    const struct pci_host *host = device;
    buffer_put_u32(out, host->address);
    buffer_put_u8(out, host->reset_control);
    buffer_put_u16(out, host->driven);
    for (unsigned i = 0; i < 16; i++)
        buffer_put_u8(out, host->level[i]);
    for (unsigned i = 0; i < PCI_SLOTS; i++) {
        const struct pci_function *function = host->slot[i];
        if (!function)
            continue;
        buffer_put_u8(out, function->interrupt);
        buffer_put(out, function->config, sizeof function->config);
    }
}

static void pci_restore(void *device, struct reader *in)
{
    struct pci_host *host = device;
    host->address = reader_get_u32(in) & 0x80fffffc;
    host->reset_control = reader_get_u8(in);
    host->driven = reader_get_u16(in);
    /* The interrupt controller restores its inputs itself; here only what was last told. */
    for (unsigned i = 0; i < 16; i++)
        host->level[i] = reader_get_u8(in) & 1;
    for (unsigned i = 0; i < PCI_SLOTS; i++) {
        struct pci_function *function = host->slot[i];
        uint8_t config[PCI_CONFIG_SIZE];
        if (!function)
            continue;
        function->interrupt = reader_get_u8(in) & 1;
        reader_get(in, config, sizeof config);
        if (in->failed)
            return;
        /* Taken: what the guest may change, and the status bits that follow from the device. */
        for (unsigned j = 0; j < PCI_CONFIG_SIZE; j++) {
            uint8_t mask = function->writable[j];
            function->config[j] = (uint8_t)((function->config[j] & ~mask) | (config[j] & mask));
        }
        function->config[PCI_STATUS] =
            (uint8_t)((function->config[PCI_STATUS] & ~PCI_STATUS_INTERRUPT) |
                      (function->interrupt ? PCI_STATUS_INTERRUPT : 0));
    }
    /* All are taken off the buses first: two may have changed places. */
    for (unsigned i = 0; i < PCI_SLOTS; i++) {
        for (unsigned j = 0; host->slot[i] && j < PCI_BARS; j++)
            unmap_bar(host->slot[i], &host->slot[i]->bar[j]);
    }
    for (unsigned i = 0; i < PCI_SLOTS; i++) {
        if (host->slot[i])
            update_bars(host->slot[i]);
    }
}

static void pci_describe(const void *device, struct buffer *out)
{
    const struct pci_host *host = device;
    buffer_printf(out, "CONFIG_ADDRESS %08x\n", host->address);
    for (unsigned i = 0; i < PIRQS; i++)
        buffer_printf(
            out, "PIRQRC%c %02x\n", 'A' + (int)i, host->isa_bridge.config[PIRQ_ROUTE + i]);
    for (unsigned i = 0; i < PCI_SLOTS; i++) {
        const struct pci_function *function = host->slot[i];
        if (!function)
            continue;
        buffer_printf(out, "00:%02x.0 %s %04x:%04x command %04x", i, function->name,
            pci_config_get(function, PCI_VENDOR_ID, 2), pci_config_get(function, PCI_DEVICE_ID, 2),
            pci_config_get(function, PCI_COMMAND, 2));
        for (unsigned j = 0; j < PCI_BARS; j++) {
            if (function->bar[j].size)
                buffer_printf(out, " BAR%u %08x", j, pci_config_get(function, PCI_BAR0 + 4 * j, 4));
        }
        buffer_printf(out, " INTA# %d\n", function->interrupt);
    }
}

static void pci_free(void *device)
{
    pci_destroy(device);
}

static const struct device_ops pci_ops = {
    .destroy = pci_free,
    .reset = pci_reset,
    .save = pci_save,
    .restore = pci_restore,
    .describe = pci_describe,
};

struct device pci_device(struct pci_host *host)
{
    return (struct device){.name = "pci", .ops = &pci_ops, .object = host};
}

static int create(const struct device_wiring *wiring, struct device *device, struct error *error)
{
    struct pci_config config = {
        .ports = wiring->ports,
        .mmio = wiring->mmio,
        .reset_requested = wiring->reset,
        .message = wiring->message,
        .machine = wiring->machine,
    };
    for (unsigned i = 0; i < DEVICE_ISA_LINES; i++)
        config.irq[i] = wiring->isa[i];
    struct pci_host *host = pci_create(&config, error);
    if (!host)
        return -1;
    *device = pci_device(host);
    return device_attached(device, pci_attach(host, error));
}

const struct device_class pci_class = {.create = create};
