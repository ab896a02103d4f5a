/*
 * What the machine does for the host side of a device (the images under a disk, the links of a
 * NIC): virtual time, the PCI bus, guest memory, and the one way by which something from outside
 * reaches the guest. It is what rooms below the machine may know of the input source
 * (vmm/machine/inputs.h).
 */
#ifndef VMM_HOST_SERVICES_H
#define VMM_HOST_SERVICES_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "devices/virtio.h"

struct clock;
struct machine;
struct pci_host;

/* Kinds of input, also the record kinds of the trace's inputs (docs/trace-format.md). */
enum input_kind {
    INPUT_CLOCK = 1,      /* sync: virtual time, ns */
    INPUT_LANDING = 2,    /* async: the machine stopped in mid-stretch */
    INPUT_TIME = 3,       /* async: virtual time moved on; timers fire */
    INPUT_CONSOLE = 4,    /* async: bytes for a serial port */
    INPUT_MODEM = 5,      /* async: modem lines of a serial port; not recorded so far */
    INPUT_SECTORS = 6,    /* sync: what a disk member answered to a read */
    INPUT_MEMBER = 7,     /* sync: result of a member operation that failed */
    INPUT_DISK_EVENT = 8, /* async: an action on a disk; not recorded so far */
    INPUT_ENTROPY = 9,    /* sync: random bytes */
    INPUT_PACKET = 10,    /* async: a network frame */
    INPUT_LINK = 11,      /* sync: the host link that a sent frame left by; which links live */
    INPUT_TURN = 13,      /* async: another vCPU runs; `device` says which */
    INPUT_TSC = 14,       /* sync: virtual time for the time stamp counter, ns */
    INPUT_NMI = 15,       /* async: for vCPU `device` (vmm/machine/inject.h has these) */
    INPUT_BREAK = 16,     /* async: on the line of serial port `device` */
    INPUT_REGISTER = 17,  /* async: register `device` of the vCPU that runs has another value */
    INPUT_MEMORY = 18,    /* async: a guest-physical address has other bytes */
    INPUT_KIND_COUNT
};

/* What a device asks of the world outside: sectors, entropy, the outcome of a host operation. */
struct input_question {
    enum input_kind kind;
    /*
     * The live way to the answer: *size bytes of at most `capacity`. A replay does not call it. 0,
     * or -1 where the host cannot answer.
     */
    int (*produce)(void *context, void *data, size_t capacity, size_t *size);
    void *context;
};

/* `data` and `capacity` are the asker's; `size` tells how many bytes the answer has. */
struct input_answer {
    void *data;
    size_t capacity;
    size_t size;
};

struct services {
    struct machine *machine; /* for the functions below alone */
    struct clock *clock;
    struct pci_host *pci;       /* NULL until the bus is made */
    struct guest_memory memory; /* what bus masters read and write */
    bool no_host; /* disks and network links are not opened: the trace knows what they gave */
    bool transitional_virtio; /* virtio devices have the legacy interface, too */
    bool closing;             /* being destroyed: nothing is asked or noted any more */

    /* From the input source; -1 and the error when it cannot answer. */
    int (*ask)(struct machine *machine, const struct input_question *question,
        struct input_answer *answer, struct error *error);
    /* A member of a disk did its next operation; `failed` is what the host said. Returns whether
     * it failed in the run that this is. */
    bool (*member_failed)(struct machine *machine, bool failed);
    /* As machine_note() and machine_fail(). */
    void (*note)(struct machine *machine, uint8_t kind, struct buffer *payload);
    void (*report)(struct machine *machine, const struct error *error);
};

static inline int services_ask(const struct services *services,
    const struct input_question *question, struct input_answer *answer, struct error *error)
{
    assert(!services->closing && question->produce);
    int result = services->ask(services->machine, question, answer, error);
    assert(result < 0 || answer->size <= answer->capacity);
    return result;
}

static inline bool services_member_failed(const struct services *services, bool failed)
{
    return services->member_failed(services->machine, failed);
}

/* Frees the payload, whose failure is the machine's. */
static inline void services_note(
    const struct services *services, uint8_t kind, struct buffer *payload)
{
    services->note(services->machine, kind, payload);
}

static inline void services_fail(const struct services *services, const struct error *error)
{
    services->report(services->machine, error);
}

#endif
