#include "devices/device.h"

#include <string.h>

void bus_init(struct bus *bus, uint64_t limit)
{
    *bus = (struct bus){.limit = limit};
}

int bus_register(struct bus *bus, const struct bus_range *range, struct error *error)
{
    if (range->size == 0 || range->base >= bus->limit || range->size > bus->limit - range->base)
        return error_set(error, "%s: range %#llx+%#llx lies outside the bus", range->name,
            (unsigned long long)range->base, (unsigned long long)range->size);
    if (bus->count == BUS_MAX_RANGES)
        return error_set(error, "%s: the bus has no room for another range", range->name);
    unsigned at = 0;
    while (at < bus->count && bus->ranges[at].base < range->base)
        at++;
    const struct bus_range *below = at > 0 ? &bus->ranges[at - 1] : NULL;
    const struct bus_range *above = at < bus->count ? &bus->ranges[at] : NULL;
    if (below && below->base + below->size > range->base)
        return error_set(error, "%s overlaps %s on the bus", range->name, below->name);
    if (above && range->base + range->size > above->base)
        return error_set(error, "%s overlaps %s on the bus", range->name, above->name);
    memmove(&bus->ranges[at + 1], &bus->ranges[at], (bus->count - at) * sizeof bus->ranges[0]);
    bus->ranges[at] = *range;
    bus->count++;
    return 0;
}

bool bus_unregister(struct bus *bus, uint64_t base)
{
    for (unsigned i = 0; i < bus->count; i++) {
        if (bus->ranges[i].base != base)
            continue;
        bus->count--;
        memmove(&bus->ranges[i], &bus->ranges[i + 1], (bus->count - i) * sizeof bus->ranges[0]);
        return true;
    }
    return false;
}

const struct bus_range *bus_find(const struct bus *bus, uint64_t address)
{
    unsigned low = 0, high = bus->count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        const struct bus_range *range = &bus->ranges[middle];
        if (address < range->base)
            high = middle;
        else if (address - range->base >= range->size)
            low = middle + 1;
        else
            return range;
    }
    return NULL;
}

static uint64_t ones(unsigned size)
{
    return size >= 8 ? UINT64_MAX : (1ull << (8 * size)) - 1;
}

static bool holds(const struct bus_range *range, uint64_t address, unsigned size)
{
    return range->size - (address - range->base) >= size;
}

/* True when some byte of the access other than the first belongs to a device. */
static bool straddles(const struct bus *bus, uint64_t address, unsigned size)
{
    for (unsigned i = 1; i < size; i++) {
        if (bus_find(bus, address + i))
            return true;
    }
    return false;
}

uint64_t bus_read(struct bus *bus, uint64_t address, unsigned size)
{
    const struct bus_range *range = bus_find(bus, address);
    if (range && holds(range, address, size)) {
        if (!range->read)
            return ones(size);
        return range->read(range->device, address - range->base, size) & ones(size);
    }
    if (size > 1 && (range || straddles(bus, address, size))) {
        uint64_t value = 0;
        for (unsigned i = 0; i < size; i++)
            value |= bus_read(bus, address + i, 1) << (8 * i);
        return value;
    }
    bus->unclaimed_reads++;
    return ones(size);
}

void bus_write(struct bus *bus, uint64_t address, unsigned size, uint64_t value)
{
    const struct bus_range *range = bus_find(bus, address);
    value &= ones(size);
    if (range && holds(range, address, size)) {
        if (range->write)
            range->write(range->device, address - range->base, size, value);
    } else if (size > 1 && (range || straddles(bus, address, size))) {
        for (unsigned i = 0; i < size; i++)
            bus_write(bus, address + i, 1, value >> (8 * i));
    } else {
        bus->unclaimed_writes++;
    }
}

uint64_t bus_read_bytes(bus_read_function read, void *device, uint64_t address, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (read(device, address + i, 1) & 0xff) << (8 * i);
    return value;
}

void bus_write_bytes(
    bus_write_function write, void *device, uint64_t address, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++)
        write(device, address + i, 1, (value >> (8 * i)) & 0xff);
}
