/* PCI configuration space through mechanism 1: bus 0, function 0 of each slot. */
#ifndef GUEST_PCI_H
#define GUEST_PCI_H

#include <stdbool.h>
#include <stdint.h>

enum { PCI_SLOTS = 32 };

uint32_t pci_read(unsigned slot, unsigned offset, unsigned size); /* 1, 2 or 4 bytes */
void pci_write(unsigned slot, unsigned offset, unsigned size, uint32_t value);
/* The `number`-th slot (from 0) with a virtio device of this type, transitional or not; false when
 * there is none. */
bool pci_find_virtio(unsigned type, unsigned number, unsigned *slot);

#endif
