/* The bus: which device serves a port or an address. */
#include "devices/device.h"

#include <assert.h>

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

/* The range that holds byte `i` of an access, which may run past the last address. */
static const struct bus_range *find_byte(const struct bus *bus, uint64_t address, unsigned i)
{
    return i > UINT64_MAX - address ? NULL : bus_find(bus, address + i);
}

/* An access that one range does not hold, byte by byte; it counts as unclaimed at most once. */
static uint64_t read_pieces(struct bus *bus, uint64_t address, unsigned size)
{
    uint64_t value = 0;
    bool unclaimed = false;
    for (unsigned i = 0; i < size; i++) {
        const struct bus_range *range = find_byte(bus, address, i);
        uint64_t byte = 0xff;
        if (range && range->read)
            byte = range->read(range->device, address + i - range->base, 1) & 0xff;
        unclaimed |= !range;
        value |= byte << (8 * i);
    }
    bus->unclaimed_reads += unclaimed;
    return value;
}

static void write_pieces(struct bus *bus, uint64_t address, unsigned size, uint64_t value)
{
    bool unclaimed = false;
    for (unsigned i = 0; i < size; i++) {
        const struct bus_range *range = find_byte(bus, address, i);
        if (range && range->write)
            range->write(range->device, address + i - range->base, 1, (value >> (8 * i)) & 0xff);
        unclaimed |= !range;
    }
    bus->unclaimed_writes += unclaimed;
}

uint64_t bus_read(struct bus *bus, uint64_t address, unsigned size)
{
    assert(size >= 1 && size <= 8);
    const struct bus_range *range = bus_find(bus, address);
    if (!range || !holds(range, address, size))
        return read_pieces(bus, address, size);
    return range->read ? range->read(range->device, address - range->base, size) & ones(size)
                       : ones(size);
}

void bus_write(struct bus *bus, uint64_t address, unsigned size, uint64_t value)
{
    const struct bus_range *range = bus_find(bus, address);
    value &= ones(size);
    if (!range || !holds(range, address, size))
        write_pieces(bus, address, size, value);
    else if (range->write)
        range->write(range->device, address - range->base, size, value);
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
