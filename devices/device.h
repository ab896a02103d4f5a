/*
 * What a device model is made of, and all it may touch.
 *
 * A device is a pure function of the accesses made to it, virtual time and delivered inputs. It
 * sees the world only through what this header declares: a bus it registers ranges on, an interrupt
 * line it drives, a clock with timers, and a sink for bytes that leave the machine. No device
 * includes a host header for time, files, sockets or randomness.
 *
 * Ownership: the machine owns every object here; a device keeps pointers that stay valid until the
 * device is destroyed. Nothing is shared between machines: there are no globals.
 */
#ifndef DEVICES_DEVICE_H
#define DEVICES_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

/* ---- Buses ---------------------------------------------------------------------------------- */

/*
 * `address` is the offset from the start of the registered range; `size` is 1, 2, 4 or (MMIO only)
 * 8 bytes. The access lies wholly inside the range. A read returns the value zero-extended; bits
 * above `size` are ignored. An access size that the hardware does not decode is the device's to
 * define (the usual answer is bytewise, low address first: see bus_read_bytes).
 */
typedef uint64_t (*bus_read_function)(void *device, uint64_t address, unsigned size);
typedef void (*bus_write_function)(void *device, uint64_t address, unsigned size, uint64_t value);

struct bus_range {
    uint64_t base;
    uint64_t size;
    const char *name; /* shown by dump and the debugger, e.g. "uart0" */
    void *device;
    bus_read_function read;   /* NULL: reads as ones */
    bus_write_function write; /* NULL: writes are ignored */
};

enum { BUS_MAX_RANGES = 64 };

struct bus {
    struct bus_range ranges[BUS_MAX_RANGES]; /* sorted by base, not overlapping */
    unsigned count;
    uint64_t limit;           /* addresses run from 0 to limit - 1: 65536 for ports */
    uint64_t unclaimed_reads; /* accesses that no device answered, whole or in part */
    uint64_t unclaimed_writes;
};

void bus_init(struct bus *bus, uint64_t limit);
/* Fails when the range is empty, overlaps another, passes the limit, or the table is full. */
int bus_register(struct bus *bus, const struct bus_range *range, struct error *error);
/* Removes the range that starts at `base`; false when there is none (a PCI BAR being moved). */
bool bus_unregister(struct bus *bus, uint64_t base);
const struct bus_range *bus_find(const struct bus *bus, uint64_t address);
/*
 * One guest access of 1 to 8 bytes. An access that straddles ranges is split into bytes. What
 * nobody claims reads as ones, swallows writes, and is counted.
 */
uint64_t bus_read(struct bus *bus, uint64_t address, unsigned size);
void bus_write(struct bus *bus, uint64_t address, unsigned size, uint64_t value);
/* Splits a wide access into byte accesses of the same device, low address first. */
uint64_t bus_read_bytes(bus_read_function read, void *device, uint64_t address, unsigned size);
void bus_write_bytes(
    bus_write_function write, void *device, uint64_t address, unsigned size, uint64_t value);

/* ---- Interrupt lines ------------------------------------------------------------------------ */

/* A level-signalled wire from a device to a controller's input. Edge detection is the controller's.
 */
struct irq_line {
    void (*set)(void *controller, unsigned input, bool level);
    void *controller; /* NULL: not connected, irq_set does nothing */
    unsigned input;
};

static inline void irq_set(const struct irq_line *line, bool level)
{
    if (line->controller)
        line->set(line->controller, line->input, level);
}

/* ---- Virtual time and timers ---------------------------------------------------------------- */

/*
 * Virtual time is nanoseconds since power-on and never goes back. Reading it is an input: the clock
 * asks its source (live host clock, retired instructions or the trace), so a device calls
 * clock_now() only when the answer can matter to the guest.
 */
struct timer {
    uint64_t deadline;                        /* virtual ns; TIMER_IDLE when not armed */
    void (*fire)(void *device, uint64_t now); /* `now` is exactly the deadline; the timer is idle */
    void *device;
    unsigned order;     /* by creation: which of two timers due at the same moment fires first */
    struct timer *next; /* in the clock's list of armed timers */
};

#define TIMER_IDLE UINT64_MAX

struct clock {
    uint64_t (*sample)(void *source); /* virtual ns, not before the last one given */
    void *source;
    uint64_t now;        /* the last time sampled or advanced to */
    uint64_t target;     /* where clock_advance is going; see clock_horizon */
    struct timer *armed; /* by deadline, then by order of creation */
    unsigned timers;     /* how many have been created */
};

void clock_init(struct clock *clock, uint64_t (*sample)(void *source), void *source);
/* Samples, remembers and returns the time. Does not fire timers: that is the run loop's, between
 * accesses. The sample is clamped to the next deadline, so that no device sees time past a timer
 * that has not fired yet. */
uint64_t clock_now(struct clock *clock);
/* Makes an idle timer. Call once for each, when the device is created. */
void timer_init(struct clock *clock, struct timer *timer, void (*fire)(void *device, uint64_t now),
    void *device);
/* Arms or re-arms at an absolute time; a deadline in the past fires at the next clock_advance. */
void timer_arm(struct clock *clock, struct timer *timer, uint64_t deadline);
void timer_cancel(struct clock *clock, struct timer *timer);
uint64_t clock_next_deadline(const struct clock *clock); /* TIMER_IDLE when no timer is armed */
/* Sets the time to `now` (>= clock->now) and fires, in order, every timer due by then. A timer's
 * `fire` may arm timers; those due by `now` fire too. */
void clock_advance(struct clock *clock, uint64_t now);
/*
 * The time up to which the guest cannot look: inside clock_advance where it is going, elsewhere the
 * present. A periodic device need not fire for each period up to the horizon: it brings itself to
 * the state it would have there and arms the first deadline past it, so that a short period and a
 * long jump cost one firing.
 */
static inline uint64_t clock_horizon(const struct clock *clock)
{
    return clock->target > clock->now ? clock->target : clock->now;
}

/* ---- Output --------------------------------------------------------------------------------- */

/* Bytes that leave the machine: console output, debug console. NULL `put` drops them. */
struct byte_sink {
    void (*put)(void *target, const uint8_t *bytes, size_t count);
    void *target;
};

static inline void sink_put(const struct byte_sink *sink, const uint8_t *bytes, size_t count)
{
    if (sink->put)
        sink->put(sink->target, bytes, count);
}

/* ---- The device itself ---------------------------------------------------------------------- */

/*
 * Every device registers one of these with the machine. save and restore carry the complete state
 * (timers included: save the deadline, re-arm in restore) in a fixed little-endian layout: it is
 * used for checkpoints and its digest is compared between runs, so no pointers, no padding, nothing
 * that is not guest-visible or derived from it. describe writes "name value" lines with the data
 * sheet's register names.
 */
struct device_ops {
    void (*reset)(void *device); /* as the reset line does; power-on state after create */
    void (*save)(const void *device, struct buffer *out);
    void (*restore)(void *device, struct reader *in); /* bad data sets in->failed, nothing worse */
    void (*describe)(const void *device, struct buffer *out); /* text */
    void (*destroy)(void *device);                            /* NULL: another device owns it */
};

struct device {
    const char *name; /* unique in the machine: "uart0", "pic", "pit" */
    const struct device_ops *ops;
    void *object;
};

struct apic_message;
struct fw_cfg_config;
struct guest_memory;
struct pci_host;
struct uart_line;

enum { DEVICE_ISA_LINES = 16 };

/* What the machine has for a device to be wired to. All of it outlives the device. */
struct device_wiring {
    struct clock *clock;
    struct bus *ports, *mmio;
    struct irq_line isa[DEVICE_ISA_LINES]; /* to the 8259As and the I/O APIC */
    struct irq_line pit, rtc;              /* IRQ 0 and 8, by way of the HPET if there is one */
    struct irq_line sci;                   /* ACPI's */
    struct irq_line
        any; /* `input` is the device's to choose: past the ISA's of the I/O APIC alone */
    struct pci_host *pci; /* NULL for devices that are made before it */
    const struct guest_memory *memory;
    struct byte_sink console, debug_console;
    /* Told of the console's outputs and frame format; may be NULL. */
    void (*line_changed)(void *target, const struct uart_line *line);
    void *line_target;

    /* What the guest is told of the machine. */
    int64_t start_seconds; /* UTC at virtual time 0, since 1970-01-01 */
    uint64_t memory_below_4g, memory_above_4g;
    const struct fw_cfg_config *fw_cfg;
    bool transitional_virtio; /* virtio devices have the legacy interface, too */

    /* What a device asks of the machine, which is the first argument. */
    void *machine;
    void (*reset)(void *machine);
    void (*power_off)(void *machine);
    void (*exit)(void *machine, uint32_t status);
    void (*message)(void *machine, uint64_t address, uint32_t data); /* MSI, MSI-X */
    bool (*interrupt)(void *machine, const struct apic_message *message);
    void (*entropy)(void *machine, uint8_t *data, size_t size);
};

/* What there is of each device: declared in its header, defined in its file, and named by one line
 * in vmm/machine/platform.c. */
struct device_class {
    /*
     * Makes the device as after power-on, on its buses; *device is the caller's from then on, who
     * calls ops->destroy. -1 and the error, and nothing made.
     */
    int (*create)(const struct device_wiring *wiring, struct device *device, struct error *error);
};

/* How create() ends: with what putting *device on its buses has returned. */
static inline int device_attached(const struct device *device, int result)
{
    if (result < 0)
        device->ops->destroy(device->object);
    return result;
}

#endif
