/*
 * What a machine is made of: everything that must be the same for a run to be the same. The
 * recorder writes it into the trace's header, replay builds the same machine from there.
 */
#ifndef VMM_CONFIG_H
#define VMM_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "vmm/boot/boot.h"
#include "vmm/storage/disk.h"
#include "vmm/arch/memory.h"
#include "vmm/arch/personality.h"
#include "vmm/host/net/fault.h"
#include "vmm/host/net/network.h"

/*
 * The version of the machine: of everything that decides how a given guest runs with given inputs,
 * and of what the checks are compared by. A trace says which version made it, and is replayed by a
 * machine of that version: struct machine_config has it, and what differs asks for it. New
 * recordings are of MACHINE_VERSION; MACHINE_VERSION_OLDEST is the oldest that is still built.
 * Raise the first with every change after which some recorded guest would run otherwise or some
 * check would have another value: what an instruction or a device does, CPUID, the memory map and
 * what the loader puts there, when interrupts are taken, virtual time, the fields of a digest, the
 * meaning of an input. Not for what is only faster, not for options that old traces do not have,
 * and not for the layout of the file, which has TRACE_VERSION.
 *
 *   1  all before traces said a version
 *   2  digests cover RFLAGS.RF
 *   3  task switches, debug exceptions, CPUID's APIC bit; where kicks land beside KVM
 *   4  the trace names the CPU rules that it follows: results that the manuals leave undefined are
 *      no longer those of the host's own instructions;
 *      the transcendental x87 functions are the software CPU's own, FIP, FDP and FOP are kept;
 *      the limit of CS ends a block that is fallen through;
 *      arrays update their superblocks in two steps and keep members that have bad sectors;
 *      the RAID 5 journal marks two headers before rows are changed, and recovery replays it also
 *      where it finds a sector unreadable;
 *      on the software CPU an access of a device takes virtual time, and the TSC counts at 2 GHz;
 *      MSRs that kernels read unasked are there;
 *      virtual-8086 mode; the local APIC is where its MSR has it; 8259As set up, which remember
 *      pulses; a test device;
 *      a BIOS's data area, map and tables, fw_cfg; Multiboot before the ELF64 entry, with the
 *      kernel's name in the command line;
 *      beside KVM reads of the time stamp counter are events
 *   5  machines of version 4 are still built;
 *      a high precision event timer, with its ACPI table;
 *      writes of APIC_BASE are events, its enable bit is the local APIC's, INIT keeps it;
 *      degraded RAID 5 puts the missing member's data in the parity's place
 *   6  machines of versions 4 and 5 are still built;
 *      x2APIC mode, the TSC-deadline timer, an invariant TSC, where virtual time is the TSC's;
 *      virtio devices are transitional ones: with the legacy interface, too
 *   7  machines of versions 4 to 6 are still built;
 *      accessed and dirty bits that the guest clears are set by the next access, whatever is in a
 *      TLB
 */
enum { MACHINE_VERSION = 7, MACHINE_VERSION_OLDEST = 4, MACHINE_VERSION_UNSAID = 1 };

enum pace { PACE_REAL, PACE_FAST };

enum { CONFIG_MAX_NICS = 4, CONFIG_MAX_DISKS = 4, CONFIG_MAX_CPUS = 16, CONFIG_SCHEDULE_MAX = 64 };

struct machine_config {
    unsigned version; /* MACHINE_VERSION_OLDEST to MACHINE_VERSION: what the machine is built as */
    struct memory_backend memory[MEMORY_MAX_BACKENDS]; /* paths point into the caller's strings */
    unsigned memory_count;
    unsigned cpus;                      /* 1 to CONFIG_MAX_CPUS */
    char schedule[CONFIG_SCHEDULE_MAX]; /* as in vmm/machine/schedule.h */
    bool store_buffers; /* stores become visible to other vCPUs later, as the seed says */
    uint32_t turn[2];   /* instructions that a vCPU runs before another may: least, most */
    enum boot_protocol boot;
    char command_line[BOOT_COMMAND_LINE_MAX + 1];
    enum pace pace;
    uint64_t max_time; /* virtual ns after which the run ends; UINT64_MAX: never */
    uint64_t hang;     /* virtual ns of a silent console after which it ends; 0: never */
    uint64_t seed;
    bool seeded; /* the seed was given: it decides what the host would, entropy too */
    bool chaos;  /* and varies when things happen; see vmm/machine/live.h */
    struct disk_config disk[CONFIG_MAX_DISKS];
    unsigned disk_count;
    struct fault fault[FAULT_MAX];
    unsigned fault_count;
    struct net_config net[CONFIG_MAX_NICS];
    unsigned net_count;
    struct net_fault net_fault[NET_FAULT_MAX];
    unsigned net_fault_count;
    bool reboot;                    /* a reset starts the guest again; off: it ends the run */
    bool panic_exit;                /* a kernel panic on the serial console ends the run */
    bool tsc_is_input;              /* reads of the time stamp counter are events (EVENT_TSC) */
    int64_t start_time;             /* the RTC's time at power-on, seconds since 1970 UTC */
    struct personality personality; /* whose rules the CPU follows */
    struct host_cpu host;           /* where it was recorded; vendor "": the trace does not say */
    bool plain_apic;                /* see config_has_apic_extensions() */
    bool host_functions;            /* transcendental x87 functions are that processor's: on KVM */
};

/* Default length of a turn, and the most that may be asked for, in instructions. */
enum { CONFIG_TURN_LEAST = 1000, CONFIG_TURN_MOST = 100000, CONFIG_TURN_LIMIT = 1000000000 };

/* 128 MiB, no kernel, real pace, no limit; start_time is left 0. */
void config_defaults(struct machine_config *config);

/* What machines of a version have. */
static inline bool config_has_hpet(const struct machine_config *config)
{
    return config->version >= 5;
}

static inline bool config_keeps_parity(const struct machine_config *config)
{
    return config->version < 5;
}

static inline bool config_has_legacy_virtio(const struct machine_config *config)
{
    return config->version >= 6;
}

/*
 * "key=value" lines, as kept in the trace header. Parsing refuses unknown keys (a trace of a newer
 * version) and values out of range. Memory backends are kept by size alone: replay needs no files.
 */
void config_write(const struct machine_config *config, struct buffer *out);
int config_parse(struct machine_config *config, const char *text, size_t size, struct error *error);

/* The text of a schedule, checked (vmm/machine/schedule.h). */
int config_set_schedule(struct machine_config *config, const char *text, struct error *error);
/* "1K..100K", "5000": instructions, least and most; K and M are powers of 1000. */
int config_parse_turn(const char *text, uint32_t turn[2], struct error *error);
/* Does the enable bit of APIC_BASE reach the local APIC? Its writes are events then. */
static inline bool config_has_apic_enable(const struct machine_config *config)
{
    return config->version >= 5;
}

/* Is a bit that the guest clears in its page tables set by the next access? */
static inline bool config_has_exact_bits(const struct machine_config *config)
{
    return config->version >= 7;
}

/* Have local APICs x2APIC mode and the TSC-deadline timer? Not where KVM runs ring 0 and the TSC
 * there is the host's, not virtual time. */
static inline bool config_has_apic_extensions(const struct machine_config *config)
{
    return config->version >= 6 && !config->plain_apic;
}

/* "SIZE" or "file=PATH,size=SIZE"; *storage receives a malloc'ed path when there is one. */
int config_parse_memory(
    const char *text, struct memory_backend *backend, char **storage, struct error *error);

#endif
