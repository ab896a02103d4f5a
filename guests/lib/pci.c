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

bool pci_find(uint16_t vendor, uint16_t device, unsigned number, unsigned *slot)
{
    for (*slot = 0; *slot < PCI_SLOTS; (*slot)++) {
        if (pci_read(*slot, 0, 4) == (vendor | (uint32_t)device << 16) && number-- == 0)
            return true;
    }
    return false;
}
