/*
 * The machine: guest RAM, vCPUs of which one at a time runs on an engine, devices on two buses, one
 * interrupt line into the vCPU, an input source, and the run loop over them (run.c). Live,
 * recording and replaying machines differ in their input source alone.
 *
 * Ownership: the machine owns what it creates; config and source are the caller's and outlive it.
 * A machine is used by one thread at a time, except machine_request_stop() and engine kicks.
 */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/device.h"
#include "vmm/machine/config.h"
#include "vmm/arch/engine.h"
#include "vmm/machine/event.h"
#include "vmm/machine/inputs.h"
#include "vmm/arch/memory.h"

struct disk;
struct pci_host;
struct uart;
struct uart_line;
struct pic;
struct apic;
struct apic_bus;
struct hpet;
struct ioapic;
struct hang_watch;
struct panic_watch;
struct nic;
struct virtio_rng;
struct pit;
struct rtc;
struct i8042;

enum { MACHINE_MAX_DEVICES = 64, MACHINE_MAX_OBSERVERS = 4 };

enum stop_reason {
    STOP_NONE,
    STOP_DEBUG_EXIT, /* guest wrote the debug-exit port; status is its exit status */
    STOP_HALTED,     /* HLT with interrupts disabled, or nothing left that could wake it */
    STOP_SHUTDOWN,   /* triple fault */
    STOP_RESET,      /* the guest asked for a reset, and config->reboot is off */
    STOP_POWER_OFF,  /* the guest switched the machine off */
    STOP_PANIC,      /* the guest's kernel panicked; see panic_watch_text() */
    STOP_MAX_TIME,
    STOP_HANG,        /* its console was silent for longer than config->hang */
    STOP_INTERRUPTED, /* machine_request_stop(): a signal, Ctrl-A x */
    STOP_END,         /* replay: the trace's last event was reached */
    STOP_UNTIL,       /* the position asked for was reached */
    STOP_BREAKPOINT,  /* soft: breakpoint or watchpoint; `hit` says which */
    STOP_DIVERGED,    /* replay found a difference */
    STOP_FAILED,      /* the error says why */
};

const char *stop_reason_name(enum stop_reason reason);

struct machine;

/*
 * Sees every event right after it happened, with the vCPU observable. Returns 0 to go on, 1 to
 * stop the run with STOP_DIVERGED (the observer keeps the details), -1 with the error set to fail
 * it.
 */
struct machine_observer {
    int (*event)(void *context, struct machine *machine, const struct machine_event *event,
        struct error *error);
    /* A detail of the event under way (machine->position.event + 1): kinds in vmm/storage/disk.h
     * and vmm/host/net/note.h. May be NULL. */
    int (*note)(void *context, struct machine *machine, uint8_t kind, const uint8_t *data,
        size_t size, struct error *error);
    void *context;
};

/* One of the machine's vCPUs (vmm/machine/vcpus.h). */
struct machine_vcpu {
    struct apic *apic;
    struct vcpu_state state; /* while another one runs */
    bool waiting;            /* for a start-up message */
    bool nmi;                /* one is to be delivered */
    bool stopping;           /* an INIT message came while it ran */
};

/* Where the run stands, beside the vCPUs' and the devices' states: what a snapshot saves whole. */
struct machine_position {
    uint64_t event;         /* ordinal of the last event */
    uint64_t event_retired; /* engine->retired when it happened */
    bool at_boundary;       /* no instruction was executed since the last event */
    bool counted;           /* the stretch since the last event ran on a counting engine alone */
    bool halted;
    /* Virtual time on an engine that counts: time_base + (retired - retired_base), with what
     * accesses took in time_base. */
    uint64_t time_base;
    uint64_t retired_base;
    uint64_t member_operations; /* that disk members have been asked for */
    struct vcpu_exit exit;      /* the last one; a snapshot keeps its kind alone */
};

/* What a run is doing and how it ended; nothing of it outlives an instruction and a stop. */
struct machine_run {
    enum stop_reason stop;
    unsigned status;           /* of STOP_DEBUG_EXIT */
    struct vcpu_exit hit;      /* of STOP_BREAKPOINT: `hits` by index in the breakpoints' list */
    uint64_t retired_limit;    /* see machine_limit() */
    struct timer limit;        /* --max-time */
    bool reads_tsc;            /* the clock is being sampled for the time stamp counter */
    bool pending_more;         /* the exiting instruction has further accesses to make */
    bool assisted;             /* the software CPU helped KVM out since the last event */
    bool reset_requested;      /* by a device: done when the exiting instruction is complete */
    bool priority_written;     /* the guest wrote the APIC's TPR: CR8 follows */
    uint64_t delivered_before; /* see struct engine: before the instruction that made the event */
    struct delivery delivery;  /* the one under way */
    struct error device_error; /* what a device or the source could not return as a value */
    bool device_failed;
    atomic_bool stop_requested;
};

/* The debugger's. */
struct machine_breakpoints {
    struct breakpoint *list;
    unsigned count;
    bool changed;   /* the engine does not hold them yet */
    bool end_turns; /* a hit is the schedule's, and does not stop the run */
};

struct machine {
    const struct machine_config *config;
    struct boot_image kernel; /* loaded again by a reset, with the modules */
    struct boot_image modules[BOOT_MAX_MODULES];
    unsigned module_count;
    struct boot_choice boot_choice; /* how the kernel was started */
    struct memory memory;
    struct engine *engine; /* what executes now */
    struct engine *home;   /* the engine asked for */
    struct engine *soft;   /* the software CPU, made when first needed; may be == home */
    struct machine_vcpu vcpu[CONFIG_MAX_CPUS];
    unsigned current; /* which of them runs */

    struct bus ports, mmio;
    struct clock clock;
    bool counts_time; /* virtual time is derived from retired instructions */
    struct device devices[MACHINE_MAX_DEVICES];
    unsigned device_count;
    struct pic *pic;
    struct apic_bus *apic_bus;
    struct apic *apic; /* of the vCPU that runs */
    struct ioapic *ioapic;
    struct hpet *hpet; /* NULL: machines of older versions */
    struct pit *pit;
    struct rtc *rtc;
    struct uart *uart;
    struct i8042 *keyboard;
    struct pci_host *pci;
    struct disk *disk[CONFIG_MAX_DISKS];
    struct nic *nic[CONFIG_MAX_NICS];
    struct panic_watch *panic; /* NULL: not watched */
    struct hang_watch *hang;   /* likewise */

    struct input_source *source;
    struct services services; /* for the host side of devices */
    struct machine_observer observers[MACHINE_MAX_OBSERVERS];
    unsigned observer_count;
    bool observe_state; /* somebody wants digests */

    struct machine_position position;
    struct machine_run run;
    struct machine_breakpoints breakpoints;
};

struct machine_options {
    const struct machine_config *config;
    const char *engine;    /* "kvm" or "soft" */
    bool time_from_inputs; /* replay of a trace whose engine does not count */
    const struct boot_image *kernel;
    const struct boot_image *modules; /* module_count of them, the initrd first */
    unsigned module_count;
    struct input_source *source;
    bool no_host;                   /* see struct services */
    struct byte_sink console;       /* serial port output */
    struct byte_sink debug_console; /* port 0xe9 output */
    /* Told of the serial port's outputs and frame format; may be NULL. */
    void (*line_changed)(void *target, const struct uart_line *line);
    void *line_target;
};

/* Builds the machine and loads the kernel: position 0.0. The images outlive the machine. */
struct machine *machine_create(const struct machine_options *options, struct error *error);
void machine_destroy(struct machine *machine);

/* What the reset line does: devices as after power-on, the kernel loaded again; RAM, disks and
 * virtual time go on. */
int machine_reset(struct machine *machine, struct error *error);

int machine_observe(
    struct machine *machine, const struct machine_observer *observer, struct error *error);

/* Where run() stops at the latest: after `event` events and, on soft, `insn` instructions more. */
#define POSITION_END ((struct position){UINT64_MAX, UINT64_MAX})

/*
 * Runs until the guest stops, the position is reached, or an error. machine->run.stop says which;
 * -1 and STOP_FAILED for an error. May be called again after STOP_UNTIL, STOP_BREAKPOINT and
 * STOP_INTERRUPTED.
 */
int machine_run(struct machine *machine, struct position until, struct error *error);

/* From any thread and from signal handlers: the run ends with STOP_INTERRUPTED. */
void machine_request_stop(struct machine *machine);

/* On the machine's own thread, from devices, sources and observers: the run ends at the event under
 * way, for this reason. */
void machine_stop(struct machine *machine, enum stop_reason reason);
/* The same for a guest that gave an exit status. */
void machine_exit(struct machine *machine, unsigned status);
/* Why the last run ended; STOP_NONE while it runs. */
enum stop_reason machine_stopped(const struct machine *machine);

/* An engine that counts stops with STOP_UNTIL where it has retired that many instructions since
 * power-on; UINT64_MAX: never. */
void machine_limit(struct machine *machine, uint64_t retired);
/* Events carry digests of the vCPU's state from here on, or no longer. */
void machine_digest_events(struct machine *machine, bool wanted);
/* A replayed machine goes on by itself from here: virtual time follows from the instructions. */
void machine_go_live(struct machine *machine);

struct position machine_position(const struct machine *machine);
/* Virtual time that an access of a device takes where the engine counts: one of a port on the
 * legacy bus, one of registers in memory. */
enum { MACHINE_PORT_NS = 1000, MACHINE_MMIO_NS = 250 };

/* Virtual time, from retired instructions and accesses where the engine counts, else the last one
 * known. */
uint64_t machine_time(const struct machine *machine);

/* Sets the time that a counting engine continues from. */
void machine_set_time(struct machine *machine, uint64_t now);
/* Replaces the debugger's breakpoints (soft only); copied. */
int machine_set_breakpoints(
    struct machine *machine, const struct breakpoint *list, unsigned count, struct error *error);
/* Tells the source of every access to a range instead, by landing(): for schedules. */
int machine_end_turns_at(
    struct machine *machine, const struct breakpoint *range, struct error *error);

/* Moves the machine to the other engine, or back: both hold the same state afterwards. */
int machine_switch_engine(struct machine *machine, struct engine *engine, struct error *error);
/* The software CPU of this machine, created when first asked for. */
struct engine *machine_soft(struct machine *machine, struct error *error);

/* For devices: tells the observers a detail of the event under way. */
void machine_note(struct machine *machine, uint8_t kind, struct buffer *payload);

/* For devices and sources: fails the run at the end of the current access. */
void machine_fail(struct machine *machine, const struct error *error);

/* XXH3-64 over the full vCPU digest, RAM, and every device's saved state. An interrupt that an
 * engine would deliver in its next run is delivered first. */
int machine_digest(struct machine *machine, uint64_t *digest, struct error *error);
/* Registers, the code bytes at RIP, disassembled: for reports of a guest that went wrong. */
void machine_describe(struct machine *machine, struct buffer *out);
struct device *machine_find_device(struct machine *machine, const char *name);

#endif
