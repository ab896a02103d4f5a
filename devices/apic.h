/*
 * The local APIC of one processor, in xAPIC mode (AMD64 Architecture Programmer's Manual volume 2,
 * chapter 16; Intel SDM volume 3, chapter 10).
 *
 * Implemented: ID, version, TPR, APR, PPR, EOI, LDR, DFR, SVR, ISR, TMR, IRR, ESR, ICR, the local
 * vector table with the timer in one-shot and periodic mode, LINT0 as ExtINT. Not there, as CPUID
 * says or for want of a second processor and of sources: x2APIC, TSC-deadline, performance and
 * thermal interrupts; NMI, SMI, INIT and start-up messages are accepted and do nothing.
 *
 * - The timer counts at APIC_TIMER_HZ divided by the divide configuration.
 * - Out of reset the APIC is as firmware leaves it: enabled by software, with LINT0 set to ExtINT,
 *   so that the 8259A's interrupts pass through ("virtual wire") until the guest says otherwise.
 * - Registers are read and written as 32-bit words at multiples of 16; what a guest reads in other
 *   sizes are the same bytes, writes in other sizes are ignored.
 */
#ifndef DEVICES_APIC_H
#define DEVICES_APIC_H

#include "devices/device.h"

struct apic;

#define APIC_BASE 0xfee00000ull
enum { APIC_SIZE = 0x1000, APIC_TIMER_HZ = 1000000000 };
/* The registers that show the task priority: TPR, APR, PPR. */
enum { APIC_TPR = 0x80, APIC_PPR = 0xa0 };

/* Delivery modes, as in the ICR, an I/O APIC's entry and the data of a message. */
enum { APIC_FIXED = 0, APIC_LOWEST_PRIORITY = 1, APIC_EXTERNAL = 7 };

struct apic_config {
    struct clock *clock;
    /* A level-triggered interrupt has ended: for the I/O APIC. May be NULL. */
    void (*ended)(void *target, uint8_t vector);
    void *ended_target;
    /* The guest wrote the TPR: the processor's CR8 follows. May be NULL. */
    void (*priority_written)(void *machine);
    void *machine;
};

struct apic_message {
    uint8_t destination; /* physical APIC ID, or logical by the LDR and DFR */
    bool is_logical;
    bool is_level;
    uint8_t mode; /* a delivery mode */
    uint8_t vector;
};

struct apic *apic_create(const struct apic_config *config, struct error *error);
void apic_destroy(struct apic *apic); /* NULL is fine */
int apic_attach(struct apic *apic, struct bus *mmio, struct error *error);
struct device apic_device(struct apic *apic);

/* An interrupt message from the bus; true when it was for this processor and a vector was taken. */
bool apic_receive(struct apic *apic, const struct apic_message *message);
/* A write to 0xfeexxxxx by a device (PCI MSI, MSI-X). */
void apic_receive_msi(struct apic *apic, uint64_t address, uint32_t data);
/* Does LINT0 pass the 8259A's interrupts on? */
bool apic_accepts_external(const struct apic *apic);
/* Does a request wait that only the task priority could hold back? */
bool apic_has_request(const struct apic *apic);
/* The priority class of the highest request, 0 to 15. */
uint8_t apic_request_priority(const struct apic *apic);
/* Would the processor be interrupted? */
bool apic_output(const struct apic *apic);
/* The processor takes the interrupt: its vector, or the spurious one when there is none. */
uint8_t apic_acknowledge(struct apic *apic);

/* CR8 is bits 4 to 7 of the TPR. */
uint8_t apic_get_cr8(const struct apic *apic);
void apic_set_cr8(struct apic *apic, uint8_t cr8);

#endif
