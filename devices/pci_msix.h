/*
 * MSI-X of a PCI function (PCI Local Bus Specification 3.0, section 6.8.2): interrupts as messages,
 * each vector with an address, a datum and a mask of its own. The table is at the start of a BAR of
 * PCI_MSIX_BAR_SIZE bytes, the pending bits at PCI_MSIX_PENDING.
 */
#ifndef DEVICES_PCI_MSIX_H
#define DEVICES_PCI_MSIX_H

#include "devices/device.h"

enum { PCI_MSIX_MOST = 8, PCI_MSIX_BAR_SIZE = 0x1000, PCI_MSIX_PENDING = 0x800 };

struct pci_function;

struct pci_msix {
    struct pci_function *function;
    unsigned capability; /* its offset in configuration space */
    unsigned vectors;
    struct {
        uint64_t address;
        uint32_t data;
        uint32_t control; /* bit 0: masked */
    } entry[PCI_MSIX_MOST];
    uint32_t pending;
};

/* Adds the capability; the caller makes BAR number `bar` answer with read and write below. False
 * when configuration space is full. */
bool pci_msix_init(
    struct pci_msix *msix, struct pci_function *function, unsigned bar, unsigned vectors);
bool pci_msix_enabled(const struct pci_msix *msix);
/* An interrupt by this vector; one that is masked waits. Vectors that do not exist are ignored. */
void pci_msix_notify(struct pci_msix *msix, unsigned vector);
/* After the guest wrote configuration space. */
void pci_msix_config_written(struct pci_msix *msix, unsigned offset, unsigned size);
uint64_t pci_msix_read(struct pci_msix *msix, uint64_t address, unsigned size);
void pci_msix_write(struct pci_msix *msix, uint64_t address, unsigned size, uint64_t value);
void pci_msix_reset(struct pci_msix *msix);
void pci_msix_save(const struct pci_msix *msix, struct buffer *out);
void pci_msix_restore(struct pci_msix *msix, struct reader *in);

#endif
