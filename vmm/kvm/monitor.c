/*
 * Out of ring 3 by exceptions that a monitor of ours takes, on hosts whose KVM runs the guest on
 * the processor's own virtualization.
 *
 * While ring 3 runs there, it has the monitor's descriptor tables and stack (monitor_image.h),
 * which lie in a memory slot outside the guest's RAM, and shadow page tables (shadow.h) that hold
 * one entry for it, out of ring 3's reach. EFER.SCE and SYSENTER_CS are 0, so SYSCALL and SYSENTER
 * fault like all else; control registers hide what the CPU model lacks or what shows the host
 * (RDTSC, RDPMC, XGETBV, FSGSBASE, and SGDT and SIDT where the processor has UMIP), and KVM faults
 * CPUID for us. Each exception ends in a stub's OUT, with all registers but those of its frame
 * untouched; the software CPU then executes the instruction again, with the guest's own registers.
 */
#include "vmm/kvm/monitor.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/kvm/monitor_image.h"
#include "vmm/kvm/shadow.h"
#include "vmm/kvm/trial.h"

#define DR7_NOTHING 0x400ull

/* Beyond all RAM (MEMORY_MAXIMUM and the hole), and within what any processor with 64-bit mode has.
 */
#define MONITOR_GPA (1ull << 37)
enum { SHADOW_TABLES = 1024, SLOT_SIZE = (MONITOR_PAGES + SHADOW_TABLES) * (int)PAGE_SIZE };

/* What differs from host to host. */
struct trait {
    bool host_traps_tsc;   /* RDTSC leaves ring 3 by what the host does for a process, not by CR4 */
    bool int1_is_trap;     /* RIP is after it, not at it */
    bool needs_slots_anew; /* KVM has shadows of our tables, and does not see what we write there */
    bool hides_tables;     /* CR4.UMIP works */
};

struct monitor {
    struct way_out way; /* first */
    uint8_t *host;
    struct monitor_image image;
    struct shadow shadow;
    uint64_t hides;            /* bits of CR4 that ring 3 has set */
    uint64_t mapped_rip;       /* the page faults that were settled last: where, */
    uint64_t mapped_linear[2]; /* ... and of what, the last first */
    struct trait trait;
};

static struct monitor *monitor_of(struct way_out *way)
{
    return (struct monitor *)way;
}

/* ---- Into ring 3 -------------------------------------------------------------------------------
 */

/* What KVM gets for ring 3 of the guest. */
static void disguise(const struct monitor *monitor, struct vcpu_state *state)
{
    monitor_image_install(&monitor->image, state);
    state->cr3 = monitor->shadow.gpa;
    state->cr4 = CR4_PAE | (state->cr4 & (CR4_OSFXSR | CR4_OSXMMEXCPT)) | monitor->hides;
    state->efer = EFER_LME | EFER_LMA | EFER_NXE;
    state->sysenter_cs = 0;
    state->lstar = monitor->image.base;
    state->sfmask = FLAG_IF;
    state->dr6 &= ~DR6_BS; /* set again by a single step alone */
    state->dr7 = DR7_NOTHING;
}

/* Runs KVM until one of the monitor's stubs writes to its port; kicks come again by paired.c. */
static int run_to_port(struct monitor *monitor, struct vcpu_exit *exit, struct error *error)
{
    const struct run_request request = {.budget = BUDGET_UNLIMITED};
    struct engine *engine = &monitor->way.kvm->engine;
    do {
        if (engine->ops->run(engine, &request, exit, error) < 0)
            return -1;
    } while (exit->kind == EXIT_KICK);
    return 0;
}

/* Has the processor forget mappings that are no more. The FPU in KVM stays: ring 3 may have run
 * since way.guest had it. */
static int flush(struct monitor *monitor, struct error *error)
{
    struct kvm_engine *kvm = monitor->way.kvm;
    struct vcpu_state state = monitor->way.guest;
    struct vcpu_exit exit;
    monitor->shadow.stale = false;
    if (monitor->trait.needs_slots_anew)
        return kvm_forget_shadows(kvm, error);
    disguise(monitor, &state);
    monitor_image_flusher(&monitor->image, &state);
    if (kvm_state_import_core(kvm, &state, error) < 0 || run_to_port(monitor, &exit, error) < 0)
        return -1;
    if (exit.kind != EXIT_PIO_OUT || exit.address != MONITOR_FLUSHED)
        return error_set(
            error, "kvm: the TLB cannot be emptied (exit %d): use --engine soft", (int)exit.kind);
    return kvm->engine.ops->complete(&kvm->engine, 0, error) < 0 ? -1 : 0;
}

/* Puts way.guest, or of it what a run there changes without `full`, into KVM. */
static int load(struct monitor *monitor, bool full, struct error *error)
{
    if (monitor->shadow.stale && flush(monitor, error) < 0)
        return -1;
    struct vcpu_state state = monitor->way.guest;
    disguise(monitor, &state);
    return full ? kvm_state_import(monitor->way.kvm, &state, error)
                : kvm_state_import_core(monitor->way.kvm, &state, error);
}

/* Is a code or stack segment what loading its selector gives? Its frame will tell no more. */
static bool is_as_described(const struct monitor *monitor, const struct segment *segment)
{
    struct segment described;
    return monitor_image_segment(&monitor->image, segment->selector, &described) &&
           described.base == segment->base && described.limit == segment->limit &&
           (described.attributes | SEG_ACCESSED) == segment->attributes;
}

static bool find_place(struct monitor *monitor, const struct vcpu_state *guest)
{
    const unsigned index = shadow_unused(&monitor->shadow, guest);
    if (index && index != monitor->shadow.own) {
        monitor_image_place(&monitor->image, index);
        shadow_set_own(&monitor->shadow, index, monitor_image_entry(&monitor->image));
    }
    return index != 0;
}

static int monitor_enter(struct way_out *way, const struct vcpu_state *guest, struct error *error)
{
    struct monitor *monitor = monitor_of(way);
    if (!(guest->cr0 & CR0_WP) || guest->nmi_blocked || !way_out_may_begin(way->memory, guest) ||
        !find_place(monitor, guest) ||
        !monitor_image_take_tables(&monitor->image, way->memory, guest) ||
        !is_as_described(monitor, &guest->segment[SEG_CS]) ||
        !is_as_described(monitor, &guest->segment[SEG_SS]))
        return 0;
    way->guest = *guest;
    way->kvm->guest_cr3 = guest->cr3;
    monitor->mapped_rip = monitor->mapped_linear[0] = monitor->mapped_linear[1] = UINT64_MAX;
    shadow_follow(&monitor->shadow, guest);
    return load(monitor, true, error) < 0 ? -1 : 1;
}

/* ---- Out of it ---------------------------------------------------------------------------------
 */

/* Ring 3 changes general registers, flags, segment registers and the FPU; all else is as it was. */
static void monitor_show(const struct way_out *way, struct vcpu_state *state, bool full)
{
    const struct vcpu_state *guest = &way->guest;
    state->gdt = guest->gdt;
    state->idt = guest->idt;
    state->ldt = guest->ldt;
    state->tr = guest->tr;
    state->cr2 = guest->cr2;
    state->cr3 = guest->cr3;
    state->cr4 = guest->cr4;
    state->efer = guest->efer;
    if (full)
        way_out_show_unchanged(guest, state);
}

/* The guest's state from that of a stub and its frame. */
static int find_state(struct monitor *monitor, const struct monitor_frame *frame,
    struct vcpu_state *state, struct error *error)
{
    monitor_show(&monitor->way, state, true);
    state->rip = frame->rip;
    state->rflags = frame->rflags;
    state->gpr[RSP] = frame->rsp;
    state->mov_ss_shadow = false;
    if (monitor_image_segment(&monitor->image, (uint16_t)frame->cs, &state->segment[SEG_CS]) &&
        monitor_image_segment(&monitor->image, (uint16_t)frame->ss, &state->segment[SEG_SS]))
        return 0;
    return error_set(error, "kvm: ring 3 was left with CS %#x and SS %#x: use --engine soft",
        (unsigned)frame->cs, (unsigned)frame->ss);
}

/* A page that our tables lack and the guest's have: ring 3 goes on. Not twice for the same access,
 * whatever the reason. */
static bool settle_page_fault(
    struct monitor *monitor, uint64_t linear, uint64_t error_code, const struct vcpu_state *state)
{
    const bool same_place = monitor->mapped_rip == state->rip;
    uint64_t *const mapped = monitor->mapped_linear;
    if (same_place && (mapped[0] == linear || mapped[1] == linear))
        return false;
    mapped[1] = same_place ? mapped[0] : UINT64_MAX;
    mapped[0] = linear;
    monitor->mapped_rip = state->rip;
    shadow_follow(&monitor->shadow, state);
    if (!shadow_map(&monitor->shadow, linear,
            (unsigned)error_code & (SHADOW_ACCESS_WRITE | SHADOW_ACCESS_EXECUTE)))
        return false;
    /* A page that is written and executed in turn would have the slot made anew each time. */
    return !(monitor->shadow.stale && monitor->trait.needs_slots_anew);
}

/* A stub wrote to the port of its vector. */
static int take_exception(
    struct monitor *monitor, unsigned vector, struct vcpu_state *state, struct error *error)
{
    struct kvm_engine *kvm = monitor->way.kvm;
    struct monitor_frame frame;
    *state = monitor->way.guest; /* for what a core leaves out */
    if (kvm->engine.ops->complete(&kvm->engine, 0, error) < 0 ||
        kvm_state_export(kvm, state, vector != VECTOR_PAGE_FAULT, error) < 0)
        return -1;
    const uint64_t cr2 = state->cr2;
    const bool stepped = vector == VECTOR_DEBUG && (state->dr6 & DR6_BS);
    if (!monitor_image_frame(&monitor->image, state->gpr[RSP], &frame))
        return error_set(
            error, "kvm: exception %u came without a frame: use --engine soft", vector);
    if (find_state(monitor, &frame, state, error) < 0)
        return -1;
    const bool syscall = way_out_is_syscall(state, monitor->image.base);
    if (syscall)
        way_out_rewind_syscall(state);
    way_out_rewind(monitor->way.memory, vector, stepped, monitor->trait.int1_is_trap, state);
    if (vector == VECTOR_PAGE_FAULT) {
        if (!syscall && settle_page_fault(monitor, cr2, frame.error, state)) {
            monitor->way.guest = *state;
            return load(monitor, false, error) < 0 ? -1 : WAY_OUT_AGAIN;
        }
        if (kvm_export_fpu(kvm, &state->fpu, error) < 0)
            return -1;
    }
    vcpu_canonicalize(state);
    return WAY_OUT_LEFT;
}

/* Did a kick come in ring 3, or while it was being left? */
static int kicked_in_ring_3(const struct monitor *monitor, struct error *error)
{
    struct vcpu_state state;
    if (kvm_state_export(monitor->way.kvm, &state, false, error) < 0)
        return -1;
    return vcpu_cpl(&state) == 3 && !state.exception_pending &&
           !way_out_is_syscall(&state, monitor->image.base);
}

static int monitor_leave(struct way_out *way, const struct vcpu_exit *exit,
    struct vcpu_state *state, struct error *error)
{
    struct monitor *monitor = monitor_of(way);
    struct vcpu_exit last = *exit;
    if (exit->kind == EXIT_KICK) {
        int stays = kicked_in_ring_3(monitor, error);
        if (stays)
            return stays < 0 ? -1 : WAY_OUT_STAYS;
        if (run_to_port(monitor, &last, error) < 0)
            return -1;
    }
    if (last.kind != EXIT_PIO_OUT)
        return error_set(error,
            "kvm: ring 3 was left otherwise than by an exception (exit %d): use --engine soft",
            (int)last.kind);
    return take_exception(monitor, (unsigned)last.address, state, error);
}

/* ---- Making it ---------------------------------------------------------------------------------
 */

static void monitor_destroy(struct way_out *way)
{
    struct monitor *monitor = monitor_of(way);
    shadow_destroy(&monitor->shadow);
    if (monitor->host)
        munmap(monitor->host, SLOT_SIZE);
    free(monitor);
}

static const struct way_out_ops monitor_ops = {
    .destroy = monitor_destroy,
    .enter = monitor_enter,
    .show = monitor_show,
    .leave = monitor_leave,
};

/* All but what a trial has to tell. The slot is outlived by KVM's machine, which no longer runs. */
static struct monitor *make(struct memory *memory, struct kvm_engine *kvm,
    struct personality personality, struct error *error)
{
    struct monitor *monitor = calloc(1, sizeof *monitor);
    if (!monitor) {
        error_set(error, "kvm: out of memory");
        return NULL;
    }
    monitor->way = (struct way_out){.ops = &monitor_ops, .memory = memory, .kvm = kvm};
    void *host = mmap(NULL, SLOT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (host == MAP_FAILED) {
        error_set_errno(error, "kvm: no memory for the monitor of ring 3");
        monitor_destroy(&monitor->way);
        return NULL;
    }
    monitor->host = host;
    monitor->image = (struct monitor_image){.host = host, .gpa = MONITOR_GPA};
    monitor->hides = CR4_TSD;
    kvm->monitor =
        (struct memory_region){.gpa = MONITOR_GPA, .size = SLOT_SIZE, .host = monitor->host};
    kvm->on_other_tables = true;
    const uint64_t tables = MONITOR_PAGES * PAGE_SIZE;
    if (shadow_create(&monitor->shadow, memory, monitor->host + tables, MONITOR_GPA + tables,
            SHADOW_TABLES, error) < 0 ||
        kvm_map_memory(kvm, error) < 0 ||
        kvm_hide_host(kvm, personality, &monitor->hides, error) < 0) {
        monitor_destroy(&monitor->way);
        return NULL;
    }
    monitor->shadow.may_execute = way_out_may_execute;
    return monitor;
}

/* ---- Trying it ---------------------------------------------------------------------------------
 */

/* Has ring 3 execute code in front of a HLT, and gives the state in which it left. */
static int try_in_ring_3(struct trial *trial, struct monitor *monitor, const uint8_t *code,
    size_t size, struct vcpu_state *state, struct error *error)
{
    static const uint8_t stop[] = {0xf4};
    struct vcpu_exit exit;
    int result;
    trial_state(trial, state, 3);
    state->rflags = FLAG_ONE | FLAG_IF;
    memory_write(&trial->memory, TRIAL_CODE, code, size);
    memory_write(&trial->memory, TRIAL_CODE + size, stop, sizeof stop);
    result = monitor->way.ops->enter(&monitor->way, state, error);
    if (result == 0)
        return error_set(error, "kvm: ring 3 does not run under a monitor: use --engine soft");
    if (result < 0)
        return -1;
    do {
        if (run_to_port(monitor, &exit, error) < 0)
            return -1;
        result = monitor->way.ops->leave(&monitor->way, &exit, state, error);
    } while (result == WAY_OUT_AGAIN);
    return result < 0 ? -1 : 0;
}

/* RDTSC has to leave ring 3, by CR4 or by what the host does for a process. */
static int try_tsc(struct trial *trial, struct monitor *monitor, struct error *error)
{
    static const uint8_t rdtsc[] = {0x0f, 0x31};
    struct vcpu_state state;
    for (unsigned i = 0; i < 2; i++) {
        monitor->way.kvm->host_traps_tsc = i;
        if (try_in_ring_3(trial, monitor, rdtsc, sizeof rdtsc, &state, error) < 0)
            return -1;
        if (state.rip == TRIAL_CODE) {
            monitor->trait.host_traps_tsc = i;
            return 0;
        }
    }
    return error_set(error, "kvm: RDTSC in ring 3 cannot be stopped: use --engine soft");
}

static int try_int1(struct trial *trial, struct monitor *monitor, struct error *error)
{
    static const uint8_t int1[] = {OPCODE_INT1};
    struct vcpu_state state;
    if (try_in_ring_3(trial, monitor, int1, sizeof int1, &state, error) < 0)
        return -1;
    monitor->trait.int1_is_trap = state.rip == TRIAL_CODE + INT1_LENGTH;
    return 0;
}

static int try_sgdt(struct trial *trial, struct monitor *monitor, struct error *error)
{
    static const uint8_t sgdt[] = {0x0f, 0x01, 0x44, 0x24, 0xc0};
    struct vcpu_state state;
    if (try_in_ring_3(trial, monitor, sgdt, sizeof sgdt, &state, error) < 0)
        return -1;
    monitor->trait.hides_tables = state.rip == TRIAL_CODE;
    return 0;
}

/* MOV EAX, [linear] before and after another page is there. */
static int try_tables(struct trial *trial, struct monitor *monitor, struct error *error)
{
    enum { LINEAR = TRIAL_CODE + 0x2000, OTHER = LINEAR + (int)PAGE_SIZE, LARGE = 0x80 };
    static const uint8_t code[] = {
        0x8b, 0x04, 0x25, LINEAR & 0xff, LINEAR >> 8 & 0xff, LINEAR >> 16, 0};
    const uint32_t values[] = {1, 2};
    struct vcpu_state state;
    memory_write(&trial->memory, LINEAR, &values[0], sizeof values[0]);
    memory_write(&trial->memory, OTHER, &values[1], sizeof values[1]);
    for (unsigned i = 0; i < 2; i++) {
        trial_remap(trial, LINEAR, i ? OTHER : LINEAR);
        if (try_in_ring_3(trial, monitor, code, sizeof code, &state, error) < 0)
            return -1;
        if (i == 0 && state.gpr[RAX] != values[0])
            return error_set(error, "kvm: ring 3 does not run on other page tables");
    }
    monitor->trait.needs_slots_anew = state.gpr[RAX] != values[1];
    return 0;
}

/* Tries it on a machine of its own, and tells what it found. */
static int find_out(struct personality personality, struct trait *found, struct error *error)
{
    struct trial trial;
    if (!trial_open(&trial, error))
        return -1;
    struct monitor *tried =
        make(&trial.memory, (struct kvm_engine *)trial.engine, personality, error);
    int result = tried ? 0 : -1;
    if (result == 0)
        result = try_tsc(&trial, tried, error);
    if (result == 0)
        result = try_int1(&trial, tried, error);
    if (result == 0)
        result = try_tables(&trial, tried, error);
    if (result == 0)
        result = try_sgdt(&trial, tried, error);
    if (result == 0)
        *found = tried->trait;
    trial_close(&trial);
    if (tried)
        monitor_destroy(&tried->way);
    return result;
}

struct way_out *monitor_create(struct memory *memory, struct kvm_engine *kvm,
    struct personality personality, struct error *error)
{
    struct trait trait = {0};
    if (find_out(personality, &trait, error) < 0)
        return NULL;
    struct monitor *monitor = make(memory, kvm, personality, error);
    if (!monitor)
        return NULL;
    monitor->trait = trait;
    kvm->host_traps_tsc = trait.host_traps_tsc;
    return &monitor->way;
}

bool monitor_works(bool *hides_tables, struct error *error)
{
    struct trait trait = {0};
    if (find_out(PERSONALITY_OF_MODEL, &trait, error) < 0)
        return false;
    *hides_tables = trait.hides_tables;
    return true;
}
