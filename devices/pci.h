/*
 * A PCI bus as an i440FX/PIIX3 PC has it (PCI Local Bus Specification 3.0; Intel 82441FX and
 * 82371SB data sheets): configuration mechanism 1 at ports 0xcf8-0xcff, the host bridge at 00:00.0,
 * the ISA bridge with its PIRQ routing registers at 00:01.0, and functions of type 0 with memory or
 * I/O BARs and INTx pins.
 *
 * Implemented of configuration space: IDs, command (I/O, memory, bus master, INTx disable), status
 * (capabilities, interrupt), BARs with sizing and moving, capability list, interrupt line and pin.
 * An access of a missing function reads as ones. Port 0xcf9 is the reset control register.
 *
 * There is no firmware, so pci_setup() does what it would: it places BARs, routes PIRQs to
 * interrupt inputs, sets these to level triggering and fills in the interrupt line registers.
 */
#ifndef DEVICES_PCI_H
#define DEVICES_PCI_H

#include "devices/device.h"

enum {
    PCI_SLOTS = 32,
    PCI_BARS = 6,
    PCI_CONFIG_SIZE = 256,
    PCI_ADDRESS_PORT = 0xcf8,
    PCI_RESET_PORT = 0xcf9,
    PCI_DATA_PORT = 0xcfc,
};

#define PCI_MEMORY_BASE 0xe0000000u /* where pci_setup() places memory BARs */
#define PCI_MEMORY_END  0xf0000000u
#define PCI_IO_BASE     0xc000u

/* Offsets in configuration space. */
enum {
    PCI_VENDOR_ID = 0x00,
    PCI_DEVICE_ID = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION = 0x08,
    PCI_CLASS = 0x09, /* programming interface, subclass, class */
    PCI_HEADER_TYPE = 0x0e,
    PCI_BAR0 = 0x10,
    PCI_SUBSYSTEM_VENDOR = 0x2c,
    PCI_SUBSYSTEM = 0x2e,
    PCI_CAPABILITIES = 0x34,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,
    PCI_FIRST_CAPABILITY = 0x40,
};

enum {
    PCI_COMMAND_IO = 0x001,
    PCI_COMMAND_MEMORY = 0x002,
    PCI_COMMAND_MASTER = 0x004,
    PCI_COMMAND_INTX_DISABLE = 0x400,
    PCI_STATUS_INTERRUPT = 0x08,
    PCI_STATUS_CAPABILITIES = 0x10,
};

struct pci_host;

struct pci_bar {
    uint32_t size; /* a power of two, at least 16 (memory) or 4 (I/O); 0: not implemented */
    bool io;
    bus_read_function read; /* addresses are offsets in the BAR */
    bus_write_function write;
    uint64_t mapped; /* where it is now; 0: nowhere. The host's. */
};

/*
 * One device on the bus (function 0 of a slot). The owner fills in `name` to `bar`, then adds it;
 * it must outlive the host.
 */
struct pci_function {
    const char *name;
    void *device;
    uint8_t config[PCI_CONFIG_SIZE];
    uint8_t writable[PCI_CONFIG_SIZE]; /* bits the guest can change */
    struct pci_bar bar[PCI_BARS];
    unsigned capability_end; /* of the last capability; 0: none yet */
    /* Before a guest read, after a guest write of [offset, offset + size). May be NULL. */
    void (*config_reading)(void *device, unsigned offset, unsigned size);
    void (*config_written)(void *device, unsigned offset, unsigned size);
    /* The host's. */
    struct pci_host *host;
    unsigned slot;
    bool interrupt; /* the level the device wants on its INTA# */
};

struct pci_config {
    struct bus *ports, *mmio;
    struct irq_line irq[16]; /* interrupt controller inputs that PIRQs can be routed to */
    void (*reset_requested)(void *machine); /* port 0xcf9; may be NULL */
    /* A function writes an interrupt message (MSI-X); NULL: nobody is there to hear it. */
    void (*message)(void *machine, uint64_t address, uint32_t data);
    void *machine;
};

struct pci_host *pci_create(const struct pci_config *config, struct error *error);
void pci_destroy(struct pci_host *host); /* NULL is fine */
/* Registers the configuration ports. */
int pci_attach(struct pci_host *host, struct error *error);
struct device pci_device(struct pci_host *host); /* "pci": saves all functions' configuration */

/* Fills in the header of a function of type 0 with an INTA# pin. */
void pci_function_init(struct pci_function *function, uint16_t vendor, uint16_t device,
    uint32_t class_code, uint8_t revision);
/* Appends a capability of `size` bytes (header included) and returns its offset; 0 when full. */
unsigned pci_add_capability(struct pci_function *function, uint8_t id, unsigned size);
/* In the first free slot from 2 up. */
int pci_add(struct pci_host *host, struct pci_function *function, struct error *error);
/* What firmware does at power-on, for the functions added so far. Call again after a reset. */
void pci_setup(struct pci_host *host);
/* The interrupt input that pci_setup() routes pin 0 (INTA#) to 3 of a slot to. */
unsigned pci_setup_irq(unsigned slot, unsigned pin);

/* A memory write by the function that is an interrupt message; lost while it is no bus master. */
void pci_send_message(struct pci_function *function, uint64_t address, uint32_t data);
/* The level of the function's INTA#. */
void pci_set_interrupt(struct pci_function *function, bool level);
/* Little-endian access to a function's own configuration bytes. */
uint32_t pci_config_get(const struct pci_function *function, unsigned offset, unsigned size);
void pci_config_set(struct pci_function *function, unsigned offset, unsigned size, uint32_t value);
extern const struct device_class pci_class;

#endif
