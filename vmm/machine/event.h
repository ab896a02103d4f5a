/*
 * Events: what happens to a machine, numbered from 1 in the order in which it happens. An event is
 * an exit or an asynchronous delivery; its ordinal is a property of the run, the same in every
 * replay and on both engines. A position is (event, instructions retired since).
 */
#ifndef VMM_EVENT_H
#define VMM_EVENT_H

#include <stdbool.h>
#include <stdint.h>

enum event_kind {
    EVENT_PIO_IN = 1, /* address = port; value = what the device answered */
    EVENT_PIO_OUT = 2,
    EVENT_MMIO_READ = 3, /* address = GPA */
    EVENT_MMIO_WRITE = 4,
    EVENT_HLT = 5,
    EVENT_SHUTDOWN = 6,  /* triple fault */
    EVENT_INTERRUPT = 7, /* value = vector */
    EVENT_LANDING = 8,   /* stopped in mid-stretch so that something could be delivered */
    EVENT_TIME = 9,      /* value = virtual time, ns */
    EVENT_CONSOLE = 10, /* address = port number; value = first bytes, size = how many (capped 8) */
    EVENT_MODEM = 11,   /* address = port number; value = lines */
    EVENT_DISK = 12,    /* address = disk; value = action */
    EVENT_PACKET = 13,  /* address = NIC; value = digest of the frame */
    EVENT_TURN = 14,    /* value = the vCPU that runs from here on */
    EVENT_NMI = 15,     /* delivered */
    EVENT_TSC = 16,     /* value = virtual time, ns, that RDTSC or the TSC MSR is to show */
    EVENT_MSR_WRITE = 17, /* address = number, value */
    EVENT_NMI_SENT = 18,  /* from outside; value = vCPU */
    EVENT_BREAK = 19,     /* address = port number */
    EVENT_REGISTER = 20,  /* from outside; address = number (vmm/machine/inject.h), value = new */
    EVENT_MEMORY = 21,    /* from outside; address = GPA; value = first bytes, size as of CONSOLE */
    EVENT_MSR_READ = 22,  /* as of MSR_WRITE */
    EVENT_KIND_COUNT
};

const char *event_kind_name(enum event_kind kind); /* "pio-in", ...; "?" out of range */

/* How much of the state `digest` covers. */
enum digest_kind { DIGEST_NONE, DIGEST_CORE, DIGEST_FULL };

struct machine_event {
    enum event_kind kind;
    uint8_t size;
    uint8_t digest_kind;
    bool counted; /* `insns` is known */
    uint64_t ordinal;
    uint64_t address;
    uint64_t value;
    uint64_t insns;  /* retired since the event before */
    uint64_t digest; /* of the vCPU after the exiting instruction completed */
};

struct position {
    uint64_t event;
    uint64_t insn;
};

static inline int position_compare(struct position a, struct position b)
{
    if (a.event != b.event)
        return a.event < b.event ? -1 : 1;
    return (a.insn > b.insn) - (a.insn < b.insn);
}

#endif
