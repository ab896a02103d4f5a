/* PCI configuration space by mechanism 1. */
#include "lib/pci.h"

#include "lib/port.h"

enum { ADDRESS = 0xcf8, DATA = 0xcfc };

static uint16_t select(unsigned slot, unsigned offset)
{
    port_out32(ADDRESS, 0x80000000u | slot << 11 | (offset & 0xfc));
    return (uint16_t)(DATA + (offset & 3));
}

uint32_t pci_read(unsigned slot, unsigned offset, unsigned size)
{
    uint16_t port = select(slot, offset);
    if (size == 1)
        return port_in8(port);
    return size == 2 ? port_in16(port) : port_in32(port);
}

void pci_write(unsigned slot, unsigned offset, unsigned size, uint32_t value)
{
    uint16_t port = select(slot, offset);
    if (size == 1)
        port_out8(port, (uint8_t)value);
    else if (size == 2)
        port_out16(port, (uint16_t)value);
    else
        port_out32(port, value);
}

bool pci_find_virtio(unsigned type, unsigned number, unsigned *slot)
{
    enum { VENDOR = 0x1af4, TRANSITIONAL = 0x1000, MODERN = 0x1040 };
    for (*slot = 0; *slot < PCI_SLOTS; (*slot)++) {
        if (pci_read(*slot, 0, 2) != VENDOR)
            continue;
        unsigned device = pci_read(*slot, 2, 2);
        bool is_old = device >= TRANSITIONAL && device < MODERN && pci_read(*slot, 0x2e, 2) == type;
        if ((is_old || device == MODERN + type) && number-- == 0)
            return true;
    }
    return false;
}
