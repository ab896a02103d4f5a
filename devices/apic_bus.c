/* Routes interrupt messages between the local APICs, I/O APIC and devices. */
#include "devices/apic_bus.h"

#include <stdlib.h>

struct apic_bus {
    struct apic_bus_config config;
    struct apic *apics[APIC_BUS_MAX];
    unsigned count;
    unsigned selected;
    bool hidden; /* for the access under way */
};

struct apic_bus *apic_bus_create(const struct apic_bus_config *config, struct error *error)
{
    struct apic_bus *bus = calloc(1, sizeof *bus);
    if (!bus) {
        error_set(error, "apic bus: out of memory");
        return NULL;
    }
    bus->config = *config;
    return bus;
}

void apic_bus_destroy(struct apic_bus *bus)
{
    free(bus);
}

void apic_bus_add(struct apic_bus *bus, struct apic *apic)
{
    if (bus->count < APIC_BUS_MAX)
        bus->apics[bus->count++] = apic;
}

void apic_bus_select(struct apic_bus *bus, unsigned processor)
{
    if (processor < bus->count)
        bus->selected = processor;
}

void apic_bus_hide(struct apic_bus *bus, bool hidden)
{
    bus->hidden = hidden;
}

/* ---- Messages ------------------------------------------------------------------------------- */

static bool is_for(const struct apic *apic, const struct apic_message *message,
    const struct apic *from, enum apic_shorthand shorthand)
{
    if (!apic_is_present(apic))
        return false;
    switch (shorthand) {
    case APIC_TO_SELF:
        return apic == from;
    case APIC_TO_ALL:
        return true;
    case APIC_TO_OTHERS:
        return apic != from;
    default:
        return apic_is_addressed(apic, message);
    }
}

static bool send_fixed(struct apic_bus *bus, const struct apic_message *message,
    const struct apic *from, enum apic_shorthand shorthand)
{
    bool taken = false;
    for (unsigned i = 0; i < bus->count; i++) {
        if (is_for(bus->apics[i], message, from, shorthand))
            taken |= apic_accept(bus->apics[i], message->vector, message->is_level);
    }
    return taken;
}

static bool send_lowest(struct apic_bus *bus, const struct apic_message *message,
    const struct apic *from, enum apic_shorthand shorthand)
{
    struct apic *lowest = NULL;
    for (unsigned i = 0; i < bus->count; i++) {
        struct apic *apic = bus->apics[i];
        if (is_for(apic, message, from, shorthand) &&
            (!lowest || apic_arbitration(apic) < apic_arbitration(lowest)))
            lowest = apic;
    }
    return lowest && apic_accept(lowest, message->vector, message->is_level);
}

static bool signal_processors(struct apic_bus *bus, const struct apic_message *message,
    const struct apic *from, enum apic_shorthand shorthand)
{
    if (message->mode == APIC_INIT && message->is_level && !message->is_asserted)
        return false;
    bool any = false;
    for (unsigned i = 0; i < bus->count; i++) {
        if (!bus->config.signal || !is_for(bus->apics[i], message, from, shorthand))
            continue;
        bus->config.signal(bus->config.machine, i, message->mode, message->vector);
        any = true;
    }
    return any;
}

bool apic_bus_send(struct apic_bus *bus, const struct apic_message *message,
    const struct apic *from, enum apic_shorthand shorthand)
{
    switch (message->mode) {
    case APIC_FIXED:
        return send_fixed(bus, message, from, shorthand);
    case APIC_LOWEST_PRIORITY:
        return send_lowest(bus, message, from, shorthand);
    case APIC_NMI:
    case APIC_INIT:
    case APIC_STARTUP:
        return signal_processors(bus, message, from, shorthand);
    default:
        return false;
    }
}

void apic_bus_send_msi(struct apic_bus *bus, uint64_t address, uint32_t data)
{
    if (address >> 20 != APIC_BASE >> 20)
        return;
    const struct apic_message message = {
        .destination = (uint8_t)(address >> 12),
        .is_logical = address & 4,
        .is_level = data & 1 << 15,
        .is_asserted = data & 1 << 14,
        .mode = data >> 8 & 7,
        .vector = (uint8_t)data,
    };
    apic_bus_send(bus, &message, NULL, APIC_TO_DESTINATION);
}

/* ---- Registers ------------------------------------------------------------------------------ */

static uint64_t read_selected(void *device, uint64_t address, unsigned size)
{
    struct apic_bus *bus = device;
    return bus->hidden ? UINT64_MAX : apic_read(bus->apics[bus->selected], address, size);
}

static void write_selected(void *device, uint64_t address, unsigned size, uint64_t value)
{
    struct apic_bus *bus = device;
    if (!bus->hidden)
        apic_write(bus->apics[bus->selected], address, size, value);
}

int apic_bus_attach(struct apic_bus *bus, struct bus *mmio, struct error *error)
{
    if (bus->count == 0)
        return error_set(error, "apic bus: there is no processor on it");
    return bus_register(mmio,
        &(struct bus_range){.base = APIC_BASE,
            .size = APIC_SIZE,
            .name = "apic",
            .device = bus,
            .read = read_selected,
            .write = write_selected},
        error);
}
