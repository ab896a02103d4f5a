/*
 * The bus between the local APICs of a machine: routes interrupt messages of I/O APIC, devices and
 * processors to those that they address (AMD64 APM volume 2, 16.5 and 16.6; Intel SDM volume 3,
 * 11.6 and 11.11), and shows at APIC_BASE the APIC of the processor that runs.
 *
 * - Lowest-priority messages go to the addressed processor with the lowest priority, the first of
 *   several.
 * - NMI, INIT and start-up messages are handed to the machine. SMI and ExtINT messages do nothing,
 *   nor does the INIT message that takes the level back.
 */
#ifndef DEVICES_APIC_BUS_H
#define DEVICES_APIC_BUS_H

#include "devices/apic.h"
#include "devices/device.h"

enum { APIC_BUS_MAX = 16 };

enum apic_shorthand { APIC_TO_DESTINATION, APIC_TO_SELF, APIC_TO_ALL, APIC_TO_OTHERS };

struct apic_bus_config {
    /* A processor, by its place on the bus, is to take an NMI, an INIT or a start-up message, whose
     * vector is the page it starts in. May be NULL. */
    void (*signal)(void *machine, unsigned processor, uint8_t mode, uint8_t vector);
    void *machine;
};

struct apic_bus *apic_bus_create(const struct apic_bus_config *config, struct error *error);
void apic_bus_destroy(struct apic_bus *bus); /* NULL is fine; the APICs are the caller's */
/* The next place on the bus; at most APIC_BUS_MAX. */
void apic_bus_add(struct apic_bus *bus, struct apic *apic);
int apic_bus_attach(struct apic_bus *bus, struct bus *mmio, struct error *error);
/* This processor runs now: its APIC is what the guest sees. */
void apic_bus_select(struct apic_bus *bus, unsigned processor);

/* The running processor's APIC is disabled in its MSR: until told otherwise, what is read at
 * APIC_BASE is ones and writes are ignored. */
void apic_bus_hide(struct apic_bus *bus, bool hidden);

/* A message of an APIC, or of another device (`from` is NULL, no shorthand). True when a processor
 * took it. */
bool apic_bus_send(struct apic_bus *bus, const struct apic_message *message,
    const struct apic *from, enum apic_shorthand shorthand);
/* A write to 0xfeexxxxx by a device (PCI MSI, MSI-X). */
void apic_bus_send_msi(struct apic_bus *bus, uint64_t address, uint32_t data);

#endif
