/*
 * Out of ring 3 by a triple fault, on hosts whose KVM interprets ring 0 (probe_ring0_exact).
 *
 * Such a KVM runs ring 3 on the processor and emulates the rest in parts: some instructions fail,
 * some do not fault, single steps are lost, software interrupts and SYSCALL go wrong. So nothing
 * may leave ring 3 inside KVM. While it runs there, KVM has an IDT with room for no vector, and
 * every fault, trap and software interrupt is a triple fault: KVM_EXIT_SHUTDOWN, with the registers
 * as they were and the vector still in kvm_vcpu_events. SYSCALL cannot be switched off on these
 * hosts (EFER.SCE is not looked at), so LSTAR is an address that is mapped nowhere, and SFMASK
 * clears IF, which code of ring 3 cannot do. No port is allowed, and SIDT, which would show that
 * IDT, faults. The software CPU then executes the instruction again, with the guest's own
 * registers.
 *
 * Ring 3 has shadow page tables (shadow.h) in a slot of their own. KVM derives its own from those
 * and does not see what is written to them, so it forgets them when a mapping is gone. Where
 * instructions that show the host cannot be made to fault, ring 3 executes no page that may hold
 * one (shows_host.h): the software CPU does.
 */
#include "vmm/kvm/way_out.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "vmm/arch/translate.h"
#include "vmm/kvm/shadow.h"
#include "vmm/kvm/trial.h"

/* Beyond all RAM (MEMORY_MAXIMUM and the hole). */
#define TABLES_GPA (1ull << 37)
enum { TABLES = 1024, TABLES_SIZE = TABLES * (int)PAGE_SIZE };

struct null_idt {
    struct way_out way; /* first */
    void *host;         /* of the slot */
    struct shadow shadow;
    uint64_t trap;             /* in KVM: LSTAR there */
    uint64_t mapped_rip;       /* the two page faults that were settled last: where, */
    uint64_t mapped_linear[2]; /* ... and of what; an instruction may write to its own page */
    bool int1_is_trap;         /* RIP is after it, not at it */
    bool traps_tsc;            /* RDTSC can be made to leave ring 3 */
};

/* In the half of the address space that kernels use, and mapped nowhere by this one; 0: none. */
static uint64_t find_trap(const struct memory *memory, const struct vcpu_state *state)
{
    static const uint64_t candidates[] = {
        0xffff800000001000, 0xffffa5a5a5a5a000, 0xffffdeadbeef0000, 0xfffffffffffff000};
    struct translation unused;
    for (unsigned i = 0; i < sizeof candidates / sizeof *candidates; i++)
        if (!translate(memory, state, candidates[i], &unused))
            return candidates[i];
    return 0;
}

/*
 * Code of ring 3 that looks sees the selectors of the host's own ring 3. A guest whose user
 * segments are numbered as 64-bit Linux numbers them has the same.
 */
static bool has_selectors_of_host(const struct vcpu_state *state)
{
    const struct segment *segment = state->segment;
    uint16_t code, stack;
    __asm__("mov %%cs, %0" : "=r"(code));
    __asm__("mov %%ss, %0" : "=r"(stack));
    return vcpu_in_64bit_mode(state) && segment[SEG_CS].selector == code &&
           segment[SEG_SS].selector == stack &&
           !(segment[SEG_DS].selector | segment[SEG_ES].selector | segment[SEG_FS].selector |
               segment[SEG_GS].selector);
}

/* Puts way.guest, or of it what a run there changes without `full`, into KVM. */
static int load(struct null_idt *null, bool full, struct error *error)
{
    struct way_out *way = &null->way;
    struct vcpu_state state = way->guest;
    state.idt.limit = 0;
    state.cr3 = null->shadow.gpa;
    state.cr4 |= CR4_UMIP | CR4_TSD;
    state.efer |= EFER_NXE;
    state.tr.limit = 0; /* no permission map */
    state.lstar = null->trap;
    state.sfmask = FLAG_IF;
    state.dr6 &= ~DR6_BS; /* set again by a single step alone */
    if (null->shadow.stale && kvm_forget_shadows(way->kvm, error) < 0)
        return -1;
    null->shadow.stale = false;
    return full ? kvm_state_load(way->kvm, &state, error)
                : kvm_state_load_core(way->kvm, &state, error);
}

static int null_idt_enter(struct way_out *way, const struct vcpu_state *guest, struct error *error)
{
    struct null_idt *null = (struct null_idt *)way;
    if (!null->traps_tsc || !(guest->efer & EFER_SCE) || !has_selectors_of_host(guest) ||
        !way_out_may_begin(way->memory, guest))
        return 0;
    null->trap = find_trap(way->memory, guest);
    if (!null->trap)
        return 0;
    way->guest = *guest;
    way->kvm->guest_cr3 = guest->cr3;
    null->mapped_rip = null->mapped_linear[0] = null->mapped_linear[1] = UINT64_MAX;
    shadow_follow(&null->shadow, guest);
    return load(null, true, error) < 0 ? -1 : 1;
}

/* LSTAR included: nobody sees the guest there. */
static void null_idt_show(const struct way_out *way, struct vcpu_state *state, bool full)
{
    const struct null_idt *null = (const struct null_idt *)way;
    const struct vcpu_state *guest = &way->guest;
    if (way_out_is_syscall(state, null->trap))
        way_out_rewind_syscall(state);
    state->idt = guest->idt;
    state->tr = guest->tr;
    state->cr2 = guest->cr2;
    state->cr3 = guest->cr3;
    state->cr4 = guest->cr4;
    state->efer = guest->efer;
    if (full)
        way_out_show_unchanged(guest, state);
}

/* A page that our tables lack and the guest's have: ring 3 goes on. Not twice for the same access,
 * whatever the reason. 1, 0, or -1. */
static int settle_page_fault(struct null_idt *null, uint32_t access, struct error *error)
{
    struct vcpu_state state = null->way.guest; /* for what a core leaves out */
    if (kvm_state_export(null->way.kvm, &state, false, error) < 0)
        return -1;
    const uint64_t linear = state.cr2;
    if (way_out_is_syscall(&state, null->trap) ||
        (null->mapped_rip == state.rip &&
            (null->mapped_linear[0] == linear || null->mapped_linear[1] == linear)))
        return 0;
    null_idt_show(&null->way, &state, false);
    way_out_rewind(null->way.memory, VECTOR_PAGE_FAULT, false, null->int1_is_trap, &state);
    null->mapped_linear[1] = null->mapped_rip == state.rip ? null->mapped_linear[0] : UINT64_MAX;
    null->mapped_linear[0] = linear;
    null->mapped_rip = state.rip;
    shadow_follow(&null->shadow, &state);
    if (!shadow_map(&null->shadow, linear, access & (SHADOW_ACCESS_WRITE | SHADOW_ACCESS_EXECUTE)))
        return 0;
    /* A page that is written and executed in turn would have the slot made anew each time. */
    if (null->shadow.stale)
        return 0;
    null->way.guest = state;
    return load(null, false, error) < 0 ? -1 : 1;
}

/* The exception whose delivery failed. */
static int find_events(
    const struct null_idt *null, struct kvm_vcpu_events *events, struct error *error)
{
    struct kvm_engine *kvm = null->way.kvm;
    if (kvm->sync_regs)
        *events = kvm->run->s.regs.events;
    else if (ioctl(kvm->vcpu, KVM_GET_VCPU_EVENTS, events) < 0)
        return error_set_errno(error, "kvm: cannot read the vCPU's events");
    return 0;
}

/* As far as ring 3 can have changed it. DR6 tells of a single step, and nothing else does. */
static int export_changed(
    struct null_idt *null, bool stepped, struct vcpu_state *state, struct error *error)
{
    struct kvm_engine *kvm = null->way.kvm;
    kvm->holds_rest &= !stepped;
    if (stepped)
        return kvm_state_export(kvm, state, true, error);
    *state = null->way.guest;
    if (kvm_state_export(kvm, state, false, error) < 0)
        return -1;
    return kvm_export_fpu(kvm, &state->fpu, error);
}

/* Something would have left ring 3: back to the state in which the software CPU does it, if it has
 * to. */
static int find_state(struct null_idt *null, struct vcpu_state *state, struct error *error)
{
    struct kvm_vcpu_events events;
    if (find_events(null, &events, error) < 0)
        return -1;
    const unsigned vector = events.exception.nr;
    const int settled = vector == VECTOR_PAGE_FAULT
                            ? settle_page_fault(null, events.exception.error_code, error)
                            : 0;
    if (settled)
        return settled < 0 ? -1 : WAY_OUT_AGAIN;
    if (export_changed(null, vector == VECTOR_DEBUG, state, error) < 0)
        return -1;
    const bool stepped = vector == VECTOR_DEBUG && (state->dr6 & DR6_BS);
    const bool syscall = way_out_is_syscall(state, null->trap);
    null_idt_show(&null->way, state, true);
    way_out_rewind(
        null->way.memory, syscall ? VECTOR_PAGE_FAULT : vector, stepped, null->int1_is_trap, state);
    vcpu_canonicalize(state);
    return WAY_OUT_LEFT;
}

/* Did the kick come while ring 3 was being left, by SYSCALL or an exception found and not delivered
 * yet (whose error code is that of KVM's own page tables)? 1, 0, or -1. */
static int kicked_while_leaving(const struct null_idt *null, struct error *error)
{
    struct vcpu_state state;
    if (kvm_state_export(null->way.kvm, &state, false, error) < 0)
        return -1;
    return way_out_is_syscall(&state, null->trap) || state.exception_pending;
}

static int null_idt_leave(struct way_out *way, const struct vcpu_exit *exit,
    struct vcpu_state *state, struct error *error)
{
    struct null_idt *null = (struct null_idt *)way;
    int leaving = exit->kind == EXIT_SHUTDOWN;
    if (exit->kind == EXIT_KICK)
        leaving = kicked_while_leaving(null, error);
    if (leaving < 0)
        return -1;
    return leaving ? find_state(null, state, error) : WAY_OUT_STAYS;
}

static void null_idt_destroy(struct way_out *way)
{
    struct null_idt *null = (struct null_idt *)way;
    shadow_destroy(&null->shadow);
    if (null->host)
        munmap(null->host, TABLES_SIZE);
    free(null);
}

static const struct way_out_ops null_idt_ops = {
    .destroy = null_idt_destroy,
    .enter = null_idt_enter,
    .show = null_idt_show,
    .leave = null_idt_leave,
};

/* Executes an instruction in ring 3 as the guest's would be, and tells where RIP is when it has
 * left ring 3; 0: it has not. */
static int try_in_ring_3(
    struct trial *trial, const uint8_t *code, size_t size, uint64_t *rip, struct error *error)
{
    struct engine *engine = trial->engine;
    struct vcpu_state state;
    struct vcpu_exit exit;
    trial_state(trial, &state, 3);
    state.rflags = FLAG_ONE | FLAG_IF;
    state.cr4 |= CR4_TSD;
    state.idt.limit = 0;
    memory_write(&trial->memory, state.rip, code, size);
    if (engine->ops->import_state(engine, &state, error) < 0 ||
        trial_run(trial, &exit, error) < 0 || engine->ops->export_state(engine, &state, error) < 0)
        return -1;
    *rip = exit.kind == EXIT_SHUTDOWN ? state.rip : 0;
    return 0;
}

/* What differs from host to host and is to be known in advance. */
static int find_out(struct null_idt *null, struct error *error)
{
    static const uint8_t int1[] = {OPCODE_INT1}, rdtsc[] = {0x0f, 0x31, 0x0f, 0x0b};
    struct trial trial;
    uint64_t rip;
    if (!trial_open(&trial, error))
        return -1;
    int result = try_in_ring_3(&trial, int1, sizeof int1, &rip, error);
    if (result == 0 && !rip)
        result = error_set(error, "kvm: INT1 in ring 3 does not leave it: use --engine soft");
    null->int1_is_trap = rip == TRIAL_CODE + INT1_LENGTH;
    bool *const host_traps[] = {
        &((struct kvm_engine *)trial.engine)->host_traps_tsc, &null->way.kvm->host_traps_tsc};
    for (unsigned i = 0; i < 2 && result == 0 && !null->traps_tsc; i++) {
        *host_traps[0] = *host_traps[1] = i;
        result = try_in_ring_3(&trial, rdtsc, sizeof rdtsc, &rip, error);
        null->traps_tsc = rip == TRIAL_CODE;
    }
    trial_close(&trial);
    return result;
}

/* The slot is outlived by KVM's machine, which no longer runs. */
static int make_tables(struct null_idt *null, struct error *error)
{
    struct kvm_engine *kvm = null->way.kvm;
    void *host = mmap(NULL, TABLES_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (host == MAP_FAILED)
        return error_set_errno(error, "kvm: no memory for page tables");
    null->host = host;
    kvm->monitor = (struct memory_region){.gpa = TABLES_GPA, .size = TABLES_SIZE, .host = host};
    kvm->on_other_tables = true;
    if (shadow_create(&null->shadow, null->way.memory, host, TABLES_GPA, TABLES, error) < 0)
        return -1;
    null->shadow.may_execute = way_out_may_execute;
    return kvm_map_memory(kvm, error);
}

struct way_out *null_idt_create(struct memory *memory, struct kvm_engine *kvm, struct error *error)
{
    struct null_idt *null = calloc(1, sizeof *null);
    if (!null) {
        error_set(error, "kvm: out of memory");
        return NULL;
    }
    null->way = (struct way_out){.ops = &null_idt_ops, .memory = memory, .kvm = kvm};
    if (find_out(null, error) < 0 || make_tables(null, error) < 0) {
        null_idt_destroy(&null->way);
        return NULL;
    }
    return &null->way;
}
