/*
 * The I/O APIC: 24 interrupt inputs, each with a redirection entry that says which vector goes to
 * which processor (Intel 82093AA data sheet, order 290566).
 *
 * - An edge on a masked input is lost, as the data sheet says; a level is sent when the mask goes.
 * - Inputs are asserted or not: the polarity bit is stored and says only what the wire would carry.
 * - Messages leave in fixed and lowest-priority mode; entries in other modes send nothing.
 */
#ifndef DEVICES_IOAPIC_H
#define DEVICES_IOAPIC_H

#include "devices/apic.h"
#include "devices/device.h"

struct ioapic;

#define IOAPIC_BASE 0xfec00000ull
enum { IOAPIC_SIZE = 0x1000, IOAPIC_INPUTS = 24 };

struct ioapic_config {
    /* Sends a message; true when a processor took it. */
    bool (*send)(void *target, const struct apic_message *message);
    void *target;
};

struct ioapic *ioapic_create(const struct ioapic_config *config, struct error *error);
void ioapic_destroy(struct ioapic *ioapic); /* NULL is fine */
int ioapic_attach(struct ioapic *ioapic, struct bus *mmio, struct error *error);
struct device ioapic_device(struct ioapic *ioapic);

/* Input 0 to 23 is asserted or not; has the type of irq_line.set. */
void ioapic_set_line(void *ioapic, unsigned input, bool level);
/* A processor ended a level-triggered interrupt; has the type of apic_config.ended. */
void ioapic_ended(void *ioapic, uint8_t vector);
extern const struct device_class ioapic_class;

#endif
