/*
 * The local APIC of one processor, in xAPIC and x2APIC mode (AMD64 Architecture Programmer's Manual
 * volume 2, chapter 16; Intel SDM volume 3, chapter 10). The bus that joins those of a machine,
 * routes their messages and decides which of them the guest sees at APIC_BASE is
 * devices/apic_bus.h.
 *
 * Implemented: ID, version, TPR, APR, PPR, EOI, LDR, DFR, SVR, ISR, TMR, IRR, ESR, ICR, the local
 * vector table with the timer in one-shot, periodic and TSC-deadline mode, LINT0 as ExtINT. Not
 * there, for want of sources: performance and thermal interrupts, SMI.
 *
 * - The timer counts at APIC_TIMER_HZ divided by the divide configuration.
 * - Out of reset the first processor's APIC is as firmware leaves it: enabled by software, with
 *   LINT0 set to ExtINT, so that the 8259A's interrupts pass through ("virtual wire") until the
 * guest says otherwise. Those of the others are as their own reset leaves them: disabled.
 * - Registers are read and written as 32-bit words at multiples of 16; what a guest reads in other
 *   sizes are the same bytes, writes in other sizes are ignored.
 */
#ifndef DEVICES_APIC_H
#define DEVICES_APIC_H

#include "devices/device.h"

struct apic;
struct apic_bus;

#define APIC_BASE 0xfee00000ull
enum { APIC_SIZE = 0x1000, APIC_TIMER_HZ = 1000000000 };
/* The registers that show the task priority: TPR, APR, PPR. */
enum { APIC_TPR = 0x80, APIC_PPR = 0xa0 };

/* What sends a message when it is written: the ICR's low half. */
enum { APIC_ICR = 0x300 };

/* Delivery modes, as in the ICR, an I/O APIC's entry and the data of a message. */
enum {
    APIC_FIXED = 0,
    APIC_LOWEST_PRIORITY = 1,
    APIC_NMI = 4,
    APIC_INIT = 5,
    APIC_STARTUP = 6,
    APIC_EXTERNAL = 7
};

struct apic_config {
    struct clock *clock;
    uint8_t id;           /* the processor's: 0 is the first one, which boots */
    struct apic_bus *bus; /* where its own messages go */
    bool can_be_absent;   /* apic_set_mode() is called: the mode is saved, too */
    bool has_extensions;  /* x2APIC mode and the TSC-deadline timer */
    /* A level-triggered interrupt has ended: for the I/O APIC. May be NULL. */
    void (*ended)(void *target, uint8_t vector);
    void *ended_target;
    /* The guest wrote the TPR: the processor's CR8 follows. May be NULL. */
    void (*priority_written)(void *machine);
    void *machine;
};

struct apic_message {
    /* Physical APIC ID, or logical by the LDR and DFR. Of 8 bits all ones, too, are everybody. */
    uint32_t destination;
    bool is_wide; /* the destination has 32 bits: from an APIC in x2APIC mode */
    bool is_logical;
    bool is_level;
    bool is_asserted; /* a level message only: not the one that takes the level back */
    uint8_t mode;     /* a delivery mode */
    uint8_t vector;
};

struct apic *apic_create(const struct apic_config *config, struct error *error);
void apic_destroy(struct apic *apic); /* NULL is fine */
struct device apic_device(struct apic *apic);
/* As the INIT message leaves it: like a reset, but for the ID. */
void apic_init(struct apic *apic);
/*
 * The modes of APIC_BASE: `is_present` is its enable bit, set out of reset, and `is_extended`
 * x2APIC mode, which keeps all but what has another form there. An APIC that is switched off by it
 * loses its state (Intel SDM volume 3, 11.4.3), but for the task priority, which is CR8's; it takes
 * no messages, and the processor is one without an APIC: the 8259A's interrupts reach it directly.
 */
void apic_set_mode(struct apic *apic, bool is_present, bool is_extended);
bool apic_is_present(const struct apic *apic);

/* Have the types of struct bus_range's; `address` is an offset. */
uint64_t apic_read(void *apic, uint64_t address, unsigned size);
void apic_write(void *apic, uint64_t address, unsigned size, uint64_t value);

/* The registers of x2APIC mode, by their MSR less 800h. Which there are and what may be written is
 * the caller's to know (vmm/arch/apic_msr.h). */
uint64_t apic_read_msr(struct apic *apic, unsigned index);
void apic_write_msr(struct apic *apic, unsigned index, uint64_t value);
/* The timer's deadline in ticks of the TSC; 0: none. `time` is when the TSC is there, in virtual
 * ns. In other timer modes it is ignored. */
uint64_t apic_get_deadline(const struct apic *apic);
void apic_set_deadline(struct apic *apic, uint64_t deadline, uint64_t time);

/* Does the message name this processor, physically or logically? */
bool apic_is_addressed(const struct apic *apic, const struct apic_message *message);
/* A fixed interrupt for this processor; true when it was taken. */
bool apic_accept(struct apic *apic, uint8_t vector, bool is_level);
/* What lowest-priority delivery goes by: the processor's priority; 256 when it takes nothing. */
unsigned apic_arbitration(const struct apic *apic);
/* Does LINT0 pass the 8259A's interrupts on? So it does where no APIC is present. */
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
