/*
 * What this host's KVM does, found by running small pieces of guest code and looking, never by
 * recognising a host. The results feed `hindsight doctor` and the engine that `auto` takes.
 */
#ifndef VMM_PROBE_H
#define VMM_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Instructions that could show a guest its host. */
enum probe_instruction {
    PROBE_RDTSC,
    PROBE_CPUID,
    PROBE_XGETBV,
    PROBE_RDFSBASE,
    PROBE_RDRAND,
    PROBE_SGDT,
    PROBE_INSTRUCTIONS
};

/* How a guest recorded on kvm has one: as the CPU model has it; its results are inputs in the
 * trace; or the host's way, which a replay detects where it makes a difference. */
enum fidelity { FIDELITY_EXACT, FIDELITY_LOGGED, FIDELITY_DETECTED };

struct probe {
    bool usable;      /* a virtual machine could be made and ran */
    struct error why; /* when not usable */
    bool sync_regs, msr_filter, dirty_log, immediate_exit;
    double ring0_mips; /* million simple instructions a second, ring 0 */
    double ring3_mips;
    double exit_us;         /* one port write and back, ring 0 */
    bool interrupt_at_exit; /* injected at a port exit: delivered before the next instruction */
    bool kick_lands;        /* a signal stops a computing guest */
    bool sse_ring0;         /* KVM executes SSE arithmetic in ring 0 */
    bool monitor;           /* if so: ring 3 runs under a monitor, beside the software CPU */
    enum fidelity fidelity[PROBE_INSTRUCTIONS][2]; /* in ring 0, in ring 3 */
};

/* For people: "RDTSC, RDTSCP"; one word: "rdtsc". */
const char *probe_instruction_title(enum probe_instruction instruction);
const char *probe_instruction_name(enum probe_instruction instruction);
const char *fidelity_name(enum fidelity fidelity); /* "exact", "logged", "detected" */

/* Takes a few tens of milliseconds. */
void probe_kvm(struct probe *probe);

/*
 * Does a kick end a loop of `passes`? There are hosts, emulated machines, in which nothing else
 * runs while a guest computes, not even who would kick: so the loop has an end. One that ends
 * before the kick is tried again, three times in all.
 */
struct trial;
bool probe_kick_lands(struct trial *trial, uint64_t passes);
/* Long enough for the fastest host: a tenth of a second. */
#define PROBE_KICK_PASSES 500000000

/* Ring 0 speed below which KVM is taken to interpret the guest's kernel, and `auto` prefers soft.
 */
#define PROBE_SLOW_MIPS 50.0

/*
 * Does KVM execute SSE arithmetic in ring 0, as every processor does and the kernel's instruction
 * emulator does not? If not, it emulates ring 0, and paired_create() is to be used. True when there
 * is no usable KVM. Takes a millisecond.
 */
bool probe_ring0_exact(void);

/* "kvm" or "soft". */
const char *probe_auto_engine(void);

#endif
