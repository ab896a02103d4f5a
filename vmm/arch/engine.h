/*
 * What executes guest instructions. Two engines implement this: vmm/kvm (stock /dev/kvm) and
 * vmm/cpu (the software CPU). A machine can change engine at any exit: both work on the same host
 * mapping of RAM and exchange struct vcpu_state.
 *
 * Protocol. engine_run() executes until the first exit and describes it. For PIO_IN, MMIO_READ and
 * TIME the caller finds the value and gives it to engine_complete(); for every other exit
 * engine_complete() is called with value 0. Only then is the exiting instruction finished and the
 * state exportable. When the instruction makes further accesses (string I/O, an access split in
 * pieces, a read-modify-write on MMIO), engine_complete() returns ENGINE_MORE and the next
 * engine_run() reports the next access without executing anything else; the state at that point
 * must not be observed on kvm.
 *
 * Both engines present the same exits for the same guest:
 *  - port access: one exit per element of string I/O, 1, 2 or 4 bytes;
 *  - MMIO (a physical address that is not RAM): naturally split pieces of at most 8 bytes, low
 * address first, never crossing a page; the value of a write is zero-extended;
 *  - HLT: state.halted is set and RIP is after the instruction;
 *  - CPUID, RDMSR, WRMSR, INVLPG, moves to control registers: handled by the engine, no exit (but
 * for EXIT_KICK). RDTSC and the TSC MSR, too, unless time_exits is set; WRMSR to APIC_BASE, too,
 * unless msr_exits is, and what apic_extensions names.
 */
#ifndef VMM_ENGINE_H
#define VMM_ENGINE_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "vmm/arch/memory.h"
#include "vmm/arch/personality.h"
#include "vmm/arch/vcpu.h"

enum exit_kind {
    EXIT_PIO_IN,
    EXIT_PIO_OUT,
    EXIT_MMIO_READ,
    EXIT_MMIO_WRITE,
    EXIT_HLT,
    EXIT_SHUTDOWN,   /* triple fault */
    EXIT_BUDGET,     /* exactly request.budget instructions were retired */
    EXIT_WINDOW,     /* request.stop_when_interruptible: the guest can now take an interrupt */
    EXIT_KICK,       /* engine_kick() was called, kvm: or CR8 lowered; an arbitrary boundary. An
                        engine that counts makes these two only where engine_delivered() is 0: the
                        first place with its count, where a budget of that many ends, too */
    EXIT_BREAKPOINT, /* about to execute the instruction at `address` (GVA); not executed */
    EXIT_WATCHPOINT, /* what just happened touched a watched range at `address` (GVA, or GPA) */
    EXIT_EXCEPTION,  /* BREAK_EXCEPTION: an exception has just been delivered */
    EXIT_MODE,       /* BREAK_MODE: the mode or the privilege level has just changed */
    EXIT_SPACE,      /* BREAK_SPACE: CR3 has just been given another value */
    EXIT_MATCH,      /* request.match: the next boundary where these registers stand */
    EXIT_WAIT,       /* request.stop_at_wait: it waits for another vCPU */
    EXIT_TIME,       /* time_exits: an instruction needs virtual time, in ns; as EXIT_PIO_IN */
    EXIT_MSR_WRITE,  /* msr_exits, apic_extensions: `address` is the number of an MSR that the local
                        APIC has a part in, `value` what it was given */
    EXIT_MSR_READ,   /* apic_extensions: the value of such an MSR is wanted; as EXIT_PIO_IN */
    EXIT_UNEMULATED, /* kvm: the software CPU is to execute the instruction at RIP, of which nothing
                        is done: the host could not, or left the state uncertain at a kick, which
                        comes again after it */
    EXIT_ERROR,      /* cannot go on: engine_run() returned -1 and the error names why */
    EXIT_KIND_COUNT
};

struct vcpu_exit {
    enum exit_kind kind;
    uint8_t size;     /* bytes: PIO and MMIO 1, 2, 4, 8; watchpoints: of the access */
    bool is_write;    /* watchpoints */
    uint64_t address; /* port, GPA or GVA */
    uint64_t value;   /* PIO_OUT and MMIO_WRITE */
    /* BREAKPOINT to SPACE: all that were hit at once, 1 << index in the list; `kind` is the first
     * kind among them. An exception's vector, error code (0: none) and RIP as pushed are there when
     * one was hit, whatever `kind` is. */
    uint64_t hits;
    uint64_t rip;
    uint32_t error;
    uint8_t vector;
};

#define BUDGET_UNLIMITED UINT64_MAX

struct run_request {
    uint64_t budget;              /* instructions; ignored by an engine that cannot count */
    bool stop_when_interruptible; /* stop at the first boundary with IF=1 and no shadow ... */
    uint8_t stop_below_cr8;       /* ... where CR8 is less than this; 0: whatever it is */
    bool stop_for_nmi;            /* ... at the first boundary where an NMI is taken */
    /* Engines that count: EXIT_BUDGET at the first boundary where ring 3 has gone on for so many
     * instructions since it was entered last. 0: it may go on. */
    uint64_t user_budget;
    /* Engines that count: stop when one PAUSE is executed again, or where a loop is found, by looks
     * now and then, that goes round without changing anything. */
    bool stop_at_wait;
    /*
     * Engines that count: stop at the first boundary where RIP (its linear address), the general
     * registers and the arithmetic flags (or other_flags()) are these, also between the iterations
     * of a repeated string instruction; and, once, where the flags alone are others, for whoever
     * wants to know how close a search came. It comes before EXIT_WINDOW, EXIT_BUDGET and
     * EXIT_BREAKPOINT there. Going on from EXIT_MATCH with the same `match` finds the next such
     * boundary. The registers are copied; NULL: none.
     */
    const struct vcpu_state *match;
};

enum { ENGINE_DONE = 0, ENGINE_MORE = 1 };

/*
 * Breakpoints and watchpoints with no guest-visible effect; soft only (kvm returns an error).
 * Addresses are linear (GVA), or physical when `physical` is set.
 *
 * BREAK_EXECUTE: an instruction begins in [address, address + length), or at one of `places`.
 * BREAK_WRITE and BREAK_ACCESS see every change of RAM: stores, what the delivery of interrupts and
 * exceptions pushes, the bits that address translation sets in page tables, what devices write
 * (memory_changed). Linear ranges are those of the page tables at that moment.
 * BREAK_EXCEPTION: vectors [address, address + length). Exceptions raised by INT3, INTO and INT1
 * count, INT n does not. BREAK_MODE: real, protected, long mode, paging, CPL, 64-bit code.
 * BREAK_SPACE: the guest gave CR3 another value; a reset is none.
 */
enum break_kind {
    BREAK_EXECUTE,
    BREAK_WRITE,
    BREAK_READ,
    BREAK_ACCESS,
    BREAK_EXCEPTION,
    BREAK_MODE,
    BREAK_SPACE,
};

enum { ENGINE_MAX_BREAKPOINTS = 64 };

struct breakpoint {
    enum break_kind kind;
    bool physical;
    uint64_t address;
    uint64_t length;
    /* BREAK_EXECUTE: linear addresses in ascending order instead of the range; the caller's, until
     * other breakpoints are set. One that the upper half has is taken to be the only one there for
     * its code, as it is in kernels: other code at the same offset in its page stays fast. */
    const uint64_t *places;
    unsigned place_count;
};

/*
 * An access of the CPU to RAM: a load or a store, or the part of one that lies in one page. Those
 * of address translation and of instruction fetch are none. An instruction that is abandoned, as by
 * a page fault, and executed again accesses again what it accessed before that.
 */
struct memory_access {
    uint64_t linear, gpa;
    uint64_t rip; /* linear address of the instruction; of one being delivered to: where it stood */
    unsigned size;
    bool is_write;
    bool is_atomic;      /* of a locked instruction, or of XCHG */
    bool is_implicit;    /* of descriptor tables, TSS and what a delivery pushes */
    const uint8_t *data; /* of a write: the bytes that will be there; valid during the call */
};

/* A piece of linear or, if `physical`, guest-physical memory. */
struct access_range {
    bool physical;
    uint64_t address, length;
};

/*
 * engine->retired and engine->vcpu tell when and whose it is; it happens after the call. The
 * iterations of one repeated string instruction may all be told at the count of the first.
 */
struct access_observer {
    void (*access)(void *context, const struct memory_access *access);
    void *context;
    /* May be NULL: an instruction of 16-, 32- or 64-bit code begins, at this linear and
     * guest-physical address. One that is abandoned retires nothing; it may begin again. */
    void (*instruction)(void *context, uint64_t linear, uint64_t gpa, unsigned bits);
    /* May be NULL: a device has written [gpa, gpa + size) of RAM. */
    void (*device_write)(void *context, uint64_t gpa, uint64_t size);
    /* With ranges, accesses that touch one of them are told and no others, and the rest of the run
     * is as fast as unobserved. The list is the caller's while it observes. */
    const struct access_range *ranges;
    unsigned range_count; /* 0: every access */
    /* With ranges: RAM in one of them was changed by no access of an instruction: by a device, or
     * (`is_walk`) by address translation, which sets bits in page tables. It has happened. May be
     * NULL. */
    void (*change)(void *context, uint64_t gpa, uint64_t size, bool is_walk);
    /* The instruction under way is abandoned, and executed again later: what it was told to access
     * since it began is void, where it may have happened in part. May be NULL. */
    void (*abandon)(void *context);
};

struct engine; /* each engine begins with this struct's definition below */

struct engine_ops {
    const char *name; /* "kvm", "soft" */
    bool counts;      /* retires instructions exactly: budget and engine->retired work */

    void (*destroy)(struct engine *engine);
    int (*run)(struct engine *engine, const struct run_request *request, struct vcpu_exit *exit,
        struct error *error);
    int (*complete)(struct engine *engine, uint64_t value, struct error *error);
    /* Canonical state (vcpu_canonicalize). export_core leaves fpu, dr and the MSRs after apic_base
     * as they were in *state: it is what every exit can afford. */
    int (*export_state)(struct engine *engine, struct vcpu_state *state, struct error *error);
    int (*export_core)(struct engine *engine, struct vcpu_state *state, struct error *error);
    int (*import_state)(struct engine *engine, const struct vcpu_state *state, struct error *error);
    /* IF=1, no shadow, no exception pending; meaningful after complete() returned ENGINE_DONE. */
    bool (*interruptible)(struct engine *engine);
    /* Delivers an external interrupt before the next instruction; clears halted. The guest must be
     * interruptible. A fault during delivery is the guest's, as on hardware. */
    int (*interrupt)(struct engine *engine, uint8_t vector, struct error *error);
    /* Delivers an NMI before the next instruction; clears halted. vcpu_takes_nmi() must hold. Only
     * engines that count have it. */
    int (*nmi)(struct engine *engine, struct error *error);
    /* Of an engine that delivers at the beginning of the next run: is an interrupt waiting for it,
     * which an exported state does not show? 1 and its vector, 0, or -1. NULL: never. */
    int (*queued_interrupt)(struct engine *engine, uint8_t *vector, struct error *error);
    /* Between two iterations of a repeated CMPS or SCAS processors show the arithmetic flags of the
     * last iteration (AMD) or those from before the instruction (Intel). The exported state has the
     * one, this gives the other; false anywhere else. NULL: never. */
    bool (*other_flags)(const struct engine *engine, uint64_t *arithmetic);
    /* From any thread, async-signal-safe: the run under way, or else the next, ends with EXIT_KICK.
     */
    void (*kick)(struct engine *engine);
    /* The GPAs of pages of RAM that were written since the last call (kvm: by the guest; soft: also
     * those named to memory_changed), ascending, in a malloc'ed array for the caller to free. */
    int (*take_dirty_pages)(
        struct engine *engine, uint64_t **pages, unsigned *count, struct error *error);
    /* Replaces the set of breakpoints, at most ENGINE_MAX_BREAKPOINTS; they are copied. */
    int (*set_breakpoints)(
        struct engine *engine, const struct breakpoint *list, unsigned count, struct error *error);
    /* From now on every access to RAM is told; NULL: no longer. Outside run() alone. May be NULL,
     * as it is in an engine that sees no accesses. */
    void (*observe_accesses)(struct engine *engine, const struct access_observer *observer);
    /* What was hit since the last exit, outside run(): by delivery of an interrupt, by a device.
     * False: nothing. May be NULL. */
    bool (*take_hit)(struct engine *engine, struct vcpu_exit *exit);
    /* A device, the debugger or a restore wrote [gpa, gpa + size) of RAM: decoded code is dropped.
     */
    void (*memory_changed)(struct engine *engine, uint64_t gpa, uint64_t size);
    /* Another engine ran in the meantime: decoded code is dropped. What that engine wrote is in its
     * own list of written pages, not in this one's. NULL: nothing is decoded. */
    void (*forget_code)(struct engine *engine);
    /* With store buffers: the running vCPU's turn ends; what a checkpoint needs beside states. May
     * be NULL. */
    void (*end_turn)(struct engine *engine);
    void (*save_stores)(const struct engine *engine, struct buffer *out);
    void (*restore_stores)(struct engine *engine, struct reader *in);
    /* Whose rules it follows from now on, that of the model before the first call. The caller has
     * checked the personality. NULL: an engine that runs on the host's own CPU alone. */
    void (*set_personality)(struct engine *engine, struct personality personality);
    /* The run has the transcendental x87 functions of this processor, on which KVM recorded it. An
     * engine that runs elsewhere stops at the first whose result it cannot know. Before the first
     * call, and for NULL: the software CPU's own. NULL as above. */
    void (*set_functions)(struct engine *engine, const struct host_cpu *recorded);
    /* At each event: the x87 state leaves the processor (fpu_put_aside). NULL: it has. */
    void (*put_aside)(struct engine *engine);
};

struct engine {
    const struct engine_ops *ops;
    /* Instructions retired since creation; the caller may set it. Kept by engines that count. Each
     * iteration of a repeated string instruction counts one (so a position inside it is unique, as
     * for single-stepping by TF); one with a count of zero counts one; HLT, INT n and a far
     * transfer count one; an instruction that faults, and delivery of an interrupt or exception,
     * count none. */
    uint64_t retired;
    /* Virtual time in ns for RDTSC and the TSC MSR, set by the caller before each run as the value
     * at `retired_base` retired instructions; the soft engine adds retired - retired_base. */
    uint64_t time_base;
    uint64_t retired_base;
    /* Exceptions delivered while `delivered_retired` instructions were retired: a fault's delivery
     * retires nothing, so a count of instructions does not tell the place before it from the one
     * after it. The caller may set it to 0. */
    uint64_t delivered;
    uint64_t delivered_retired;
    /* RDTSC, RDTSCP and accesses to the TSC MSR end the run with EXIT_TIME, whose answer takes the
     * place of time_base. Set by the caller. */
    bool time_exits;
    /* A write of APIC_BASE ends the run with EXIT_MSR_WRITE. Set by the caller. */
    bool msr_exits;
    /* Accessed and dirty bits that the guest clears in its page tables are set by the next access,
     * whatever is in a TLB. Set by the caller before the first run. */
    bool exact_bits;
    /* The CPU has x2APIC mode and the TSC-deadline timer, and CPUID says so, as it says that timer
     * and TSC go on for ever; accesses to their MSRs are exits, and writes of the TSC are. Set by
     * the caller before the first run. */
    bool apic_extensions;
    /* Which of the machine's vCPUs the state is of, and how many there are: what CPUID tells. Set
     * by the caller; a `vcpu_count` of 0 means one. */
    uint8_t vcpu, vcpu_count;
};

/* How many faults were delivered at the boundary between instructions where the engine stands. */
static inline uint64_t engine_delivered(const struct engine *engine)
{
    return engine->delivered_retired == engine->retired ? engine->delivered : 0;
}

/* ---- The operations, as functions. Optional ones do nothing where an engine lacks them. ---- */

/* Executes until the first exit. -1 and EXIT_ERROR when it cannot go on. */
static inline int engine_run(struct engine *engine, const struct run_request *request,
    struct vcpu_exit *exit, struct error *error)
{
    assert(request->stop_below_cr8 <= 16);
    return engine->ops->run(engine, request, exit, error);
}

/* Finishes the exiting instruction: ENGINE_DONE, ENGINE_MORE or -1. */
static inline int engine_complete(struct engine *engine, uint64_t value, struct error *error)
{
    return engine->ops->complete(engine, value, error);
}

static inline int engine_export_state(
    struct engine *engine, struct vcpu_state *state, struct error *error)
{
    return engine->ops->export_state(engine, state, error);
}

static inline int engine_export_core(
    struct engine *engine, struct vcpu_state *state, struct error *error)
{
    return engine->ops->export_core(engine, state, error);
}

static inline int engine_import_state(
    struct engine *engine, const struct vcpu_state *state, struct error *error)
{
    return engine->ops->import_state(engine, state, error);
}

static inline bool engine_interruptible(struct engine *engine)
{
    return engine->ops->interruptible(engine);
}

static inline int engine_interrupt(struct engine *engine, uint8_t vector, struct error *error)
{
    assert(engine_interruptible(engine));
    return engine->ops->interrupt(engine, vector, error);
}

static inline int engine_queued_interrupt(
    struct engine *engine, uint8_t *vector, struct error *error)
{
    return engine->ops->queued_interrupt ? engine->ops->queued_interrupt(engine, vector, error) : 0;
}

static inline void engine_kick(struct engine *engine)
{
    engine->ops->kick(engine);
}

static inline int engine_take_dirty_pages(
    struct engine *engine, uint64_t **pages, unsigned *count, struct error *error)
{
    return engine->ops->take_dirty_pages(engine, pages, count, error);
}

static inline int engine_set_breakpoints(
    struct engine *engine, const struct breakpoint *list, unsigned count, struct error *error)
{
    return engine->ops->set_breakpoints(engine, list, count, error);
}

/* False: this engine sees no accesses. */
static inline bool engine_observe_accesses(
    struct engine *engine, const struct access_observer *observer)
{
    if (!engine->ops->observe_accesses)
        return false;
    engine->ops->observe_accesses(engine, observer);
    return true;
}

static inline bool engine_take_hit(struct engine *engine, struct vcpu_exit *exit)
{
    return engine->ops->take_hit && engine->ops->take_hit(engine, exit);
}

static inline void engine_memory_changed(struct engine *engine, uint64_t gpa, uint64_t size)
{
    assert(size > 0 && gpa + size > gpa);
    engine->ops->memory_changed(engine, gpa, size);
}

static inline void engine_forget_code(struct engine *engine)
{
    if (engine->ops->forget_code)
        engine->ops->forget_code(engine);
}

static inline void engine_set_personality(struct engine *engine, struct personality personality)
{
    if (engine->ops->set_personality)
        engine->ops->set_personality(engine, personality);
}

static inline void engine_set_functions(struct engine *engine, const struct host_cpu *recorded)
{
    if (engine->ops->set_functions)
        engine->ops->set_functions(engine, recorded);
}

static inline void engine_put_aside(struct engine *engine)
{
    if (engine->ops->put_aside)
        engine->ops->put_aside(engine);
}

/* NULL is fine. */
static inline void engine_destroy(struct engine *engine)
{
    if (engine)
        engine->ops->destroy(engine);
}

/* What does not change the guest's run, only how it is executed: for tests, and to find faults. */
struct engine_options {
    /* The software CPU translates blocks into host code: those that run often, all, or none. */
    enum native_use { NATIVE_WARM, NATIVE_EAGER, NATIVE_NEVER } native;
    /* Paired KVM enters ring 3 wherever it may, however short the stay. */
    bool eager_kvm;
    /* ... which leaves it by a monitor of ours, not by a null IDT. */
    bool monitor;
    /* The software CPU keeps stores back from other vCPUs, as a generator with this seed says. */
    bool store_buffers;
    uint64_t seed;
};

#endif
