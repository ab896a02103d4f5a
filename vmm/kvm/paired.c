/*
 * The kvm engine on hosts whose KVM interprets ring 0 (probe_ring0_exact): KVM runs 64-bit code of
 * ring 3, the software CPU everything else.
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
 * KVM shadows the guest's page tables and does not see what the software CPU writes to them, so it
 * forgets its shadows whenever ring 3 moves to it.
 *
 * Ring 3 begins on the software CPU, too, and moves to KVM only when a long piece of it was seen:
 * an exchange of state takes as long as some hundred thousand instructions. Where code runs changes
 * nothing but speed.
 */
#include "vmm/kvm/paired.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/cpu/soft.h"
#include "vmm/kvm/kvm.h"
#include "vmm/kvm/trial.h"
#include "vmm/arch/translate.h"

enum { PIECE = 1 << 20 };
enum { VECTOR_DEBUG = 1, VECTOR_BREAKPOINT = 3, VECTOR_OVERFLOW = 4 };
enum { SYSCALL_LENGTH = 2, INT1_LENGTH = 1, OPCODE_INT3 = 0xcc, OPCODE_INT1 = 0xf1 };
#define DR6_BREAKPOINTS 0xfull
#define DR6_BS          (1ull << 14)

struct paired_engine {
    struct engine engine; /* first */
    struct memory *memory;
    struct engine *kvm, *soft;
    bool on_kvm;             /* who has the state */
    struct vcpu_state guest; /* on_kvm: as the guest entered; for what KVM must not have */
    uint64_t trap;           /* on_kvm: LSTAR in KVM */
    uint64_t time_base;      /* that the software CPU was told last */
    bool int1_is_trap;       /* RIP is after it, not at it */
    bool traps_tsc;          /* RDTSC can be made to leave ring 3 */
    uint64_t piece;          /* instructions between looks at whether KVM could go on */
    atomic_int kicked;
};

static struct paired_engine *paired_of(struct engine *engine)
{
    return (struct paired_engine *)engine;
}

static struct engine *active(const struct paired_engine *pair)
{
    return pair->on_kvm ? pair->kvm : pair->soft;
}

static void paired_destroy(struct engine *engine)
{
    struct paired_engine *pair = paired_of(engine);
    if (pair->kvm)
        pair->kvm->ops->destroy(pair->kvm);
    if (pair->soft)
        pair->soft->ops->destroy(pair->soft);
    free(pair);
}

/* ---- Moving the state -------------------------------------------------------------------------
 */

/* In the half of the address space that kernels use, and mapped nowhere by this one; 0: none. */
static uint64_t find_trap(const struct paired_engine *pair, const struct vcpu_state *state)
{
    static const uint64_t candidates[] = {
        0xffff800000001000, 0xffffa5a5a5a5a000, 0xffffdeadbeef0000, 0xfffffffffffff000};
    struct translation unused;
    for (unsigned i = 0; i < sizeof candidates / sizeof *candidates; i++)
        if (!translate(pair->memory, state, candidates[i], &unused))
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
    return segment[SEG_CS].selector == code && segment[SEG_SS].selector == stack &&
           !(segment[SEG_DS].selector | segment[SEG_ES].selector | segment[SEG_FS].selector |
               segment[SEG_GS].selector);
}

/*
 * Plain ring 3: 64-bit code with nothing pending and nothing to be traced, and RFLAGS that the
 * host's own ring 3 has (PUSHF shows the host's IF and IOPL), SSE allowed, RDTSC not forbidden.
 */
static bool is_plain_user(const struct vcpu_state *state)
{
    const uint64_t flags =
        FLAG_TF | FLAG_IF | FLAG_IOPL | FLAG_NT | FLAG_RF | FLAG_VM | FLAG_AC | FLAG_VIF | FLAG_VIP;
    const uint64_t cr0 = CR0_PE | CR0_PG | CR0_EM | CR0_TS | CR0_NE;
    return vcpu_in_64bit_mode(state) && vcpu_cpl(state) == 3 &&
           (state->rflags & flags) == FLAG_IF && (state->cr0 & cr0) == (CR0_PE | CR0_PG | CR0_NE) &&
           (state->cr4 & (CR4_OSFXSR | CR4_TSD)) == CR4_OSFXSR && (state->efer & EFER_SCE) &&
           !(state->dr7 & 0xff) && !state->exception_pending && !state->sti_shadow &&
           !state->mov_ss_shadow && !state->halted;
}

static int move_to_kvm(struct paired_engine *pair, struct error *error)
{
    struct vcpu_state state;
    if (pair->soft->ops->export_state(pair->soft, &state, error) < 0)
        return -1;
    if (!is_plain_user(&state) || !has_selectors_of_host(&state) || !pair->traps_tsc)
        return 0;
    pair->trap = find_trap(pair, &state);
    if (!pair->trap)
        return 0;
    pair->guest = state;
    state.idt.limit = 0;
    state.cr4 |= CR4_UMIP | CR4_TSD;
    state.tr.limit = 0; /* no permission map */
    state.lstar = pair->trap;
    state.sfmask = FLAG_IF;
    state.dr6 &= ~DR6_BS; /* set again by a single step alone */
    if (kvm_forget_shadows((struct kvm_engine *)pair->kvm, error) < 0)
        return -1;
    if (pair->kvm->ops->import_state(pair->kvm, &state, error) < 0)
        return -1;
    pair->on_kvm = true;
    return 0;
}

/* SYSCALL got as far as LSTAR: IF is clear, which a jump there leaves set. */
static bool is_syscall(const struct paired_engine *pair, const struct vcpu_state *state)
{
    return state->rip == pair->trap && !(state->rflags & FLAG_IF);
}

/* Back to in front of it; RCX and R11 will get the same values again. */
static void rewind_syscall(const struct paired_engine *pair, struct vcpu_state *state)
{
    state->rip = state->gpr[RCX] - SYSCALL_LENGTH;
    state->rflags = state->gpr[R11] & ~FLAG_RF;
    state->cr2 = pair->guest.cr2;
}

/* What KVM was given instead of the guest's, LSTAR included: nobody sees the guest there. */
static void restore_hidden(const struct paired_engine *pair, struct vcpu_state *state, bool full)
{
    if (is_syscall(pair, state))
        rewind_syscall(pair, state);
    state->idt = pair->guest.idt;
    state->tr = pair->guest.tr;
    state->cr4 = pair->guest.cr4;
    if (full) {
        state->lstar = pair->guest.lstar;
        state->sfmask = pair->guest.sfmask;
        state->dr6 = pair->guest.dr6;
        state->tsc_offset = pair->guest.tsc_offset;
    }
}

/* Drops decoded code that ring 3 wrote, and takes over which pages were written. */
static int take_over_pages(struct paired_engine *pair, struct error *error)
{
    uint64_t *pages;
    unsigned count;
    if (pair->kvm->ops->take_dirty_pages(pair->kvm, &pages, &count, error) < 0)
        return -1;
    for (unsigned i = 0; i < count; i++)
        pair->soft->ops->memory_changed(pair->soft, pages[i], PAGE_SIZE);
    free(pages);
    return 0;
}

static int move_state_to_soft(
    struct paired_engine *pair, const struct vcpu_state *state, struct error *error)
{
    if (take_over_pages(pair, error) < 0 ||
        pair->soft->ops->import_state(pair->soft, state, error) < 0)
        return -1;
    pair->on_kvm = false;
    return 0;
}

static int paired_export(struct engine *engine, struct vcpu_state *state, struct error *error)
{
    struct paired_engine *pair = paired_of(engine);
    if (active(pair)->ops->export_state(active(pair), state, error) < 0)
        return -1;
    if (pair->on_kvm)
        restore_hidden(pair, state, true);
    return 0;
}

static int paired_export_core(struct engine *engine, struct vcpu_state *state, struct error *error)
{
    struct paired_engine *pair = paired_of(engine);
    if (active(pair)->ops->export_core(active(pair), state, error) < 0)
        return -1;
    if (pair->on_kvm)
        restore_hidden(pair, state, false);
    return 0;
}

static int move_to_soft(struct paired_engine *pair, struct error *error)
{
    struct vcpu_state state;
    if (!pair->on_kvm)
        return 0;
    if (paired_export(&pair->engine, &state, error) < 0)
        return -1;
    return move_state_to_soft(pair, &state, error);
}

static int paired_import(struct engine *engine, const struct vcpu_state *state, struct error *error)
{
    struct paired_engine *pair = paired_of(engine);
    return move_state_to_soft(pair, state, error);
}

/* ---- Leaving ring 3 ---------------------------------------------------------------------------
 */

/* The exception whose delivery failed. */
static int last_vector(const struct paired_engine *pair, struct error *error)
{
    const struct kvm_engine *kvm = (const struct kvm_engine *)pair->kvm;
    struct kvm_vcpu_events events;
    if (ioctl(kvm->vcpu, KVM_GET_VCPU_EVENTS, &events) < 0)
        return error_set_errno(error, "kvm: cannot read the vCPU's events");
    return events.exception.nr;
}

/* Bytes of the software interrupt that is complete: INT3, or INT with 3 or 4 for its last byte. */
static unsigned interrupt_length(const struct paired_engine *pair, const struct vcpu_state *state)
{
    uint8_t last;
    bool is_int3 =
        translate_read(pair->memory, state, state->rip - 1, &last, 1) == 1 && last == OPCODE_INT3;
    return is_int3 ? 1 : 2;
}

/* Something would have left ring 3: back to the state in which the software CPU does it. */
static int leave_user(struct paired_engine *pair, struct error *error)
{
    struct vcpu_state state;
    int vector = last_vector(pair, error);
    if (vector < 0 || pair->kvm->ops->export_state(pair->kvm, &state, error) < 0)
        return -1;
    const bool stepped = vector == VECTOR_DEBUG && (state.dr6 & DR6_BS);
    const bool syscall = is_syscall(pair, &state);
    restore_hidden(pair, &state, true);
    state.exception_pending = false;
    state.rflags &= ~FLAG_RF; /* set for the frame that was not pushed */
    if (syscall) {
        /* restored already */
    } else if (vector == VECTOR_BREAKPOINT || vector == VECTOR_OVERFLOW) {
        state.rip -= interrupt_length(pair, &state);
    } else if (vector == VECTOR_DEBUG && !stepped && pair->int1_is_trap) {
        state.rip -= INT1_LENGTH; /* nothing else raises #DB: no breakpoint is enabled */
    } else if (stepped) {
        /* POPF or IRET set TF, and the instruction after it is complete. */
        state.dr6 = (state.dr6 & ~DR6_BREAKPOINTS) | DR6_BS;
        state.exception_pending = true;
        state.exception_vector = VECTOR_DEBUG;
    }
    vcpu_canonicalize(&state);
    return move_state_to_soft(pair, &state, error);
}

/* ---- Running -----------------------------------------------------------------------------------
 */

static void tell_time(struct paired_engine *pair)
{
    if (pair->time_base != pair->engine.time_base) {
        pair->time_base = pair->engine.time_base;
        pair->soft->retired_base = pair->soft->retired;
    }
    pair->soft->time_base = pair->time_base;
    pair->soft->time_exits = pair->engine.time_exits;
    pair->soft->msr_exits = pair->engine.msr_exits;
    pair->soft->apic_extensions = pair->engine.apic_extensions;
}

/* A lowered CR8 ends the run as on KVM. */
static int run_soft(struct paired_engine *pair, const struct run_request *request, uint64_t budget,
    struct vcpu_exit *exit, struct error *error)
{
    const struct run_request piece = {.budget = budget,
        .stop_when_interruptible = request->stop_below_cr8 != 0,
        .stop_below_cr8 = request->stop_below_cr8};
    tell_time(pair);
    return pair->soft->ops->run(pair->soft, &piece, exit, error);
}

/*
 * One instruction that KVM leaves to the software CPU. A kick reaches both and comes after it:
 * before it RF is not certain; RCX and R11 are those of a SYSCALL already, CR2 that of a fault.
 */
static int run_one(struct paired_engine *pair, const struct run_request *request,
    struct vcpu_exit *exit, struct error *error)
{
    if (move_to_soft(pair, error) < 0)
        return -1;
    const uint64_t before = pair->soft->retired;
    int result;
    do
        result = run_soft(pair, request, 1, exit, error);
    while (result == 0 && exit->kind == EXIT_KICK && pair->soft->retired == before);
    return result;
}

/* Did the kick come while ring 3 was being left, by SYSCALL or an exception found and not delivered
 * yet (whose error code is that of KVM's own page tables)? 1, 0, or -1. */
static int kicked_while_leaving(const struct paired_engine *pair, struct error *error)
{
    struct vcpu_state state;
    if (pair->kvm->ops->export_core(pair->kvm, &state, error) < 0)
        return -1;
    return is_syscall(pair, &state) || state.exception_pending;
}

/* KVM ended its run in a way that the software CPU has to make something of. */
static int leave_kvm(struct paired_engine *pair, const struct run_request *request,
    struct vcpu_exit *exit, struct error *error)
{
    int result = 0;
    switch (exit->kind) {
    case EXIT_SHUTDOWN:
        result = leave_user(pair, error);
        break;
    case EXIT_UNEMULATED:
        break;
    case EXIT_KICK:
        result = kicked_while_leaving(pair, error);
        if (result <= 0)
            return result;
        result = leave_user(pair, error);
        break;
    default:
        return 0;
    }
    return result < 0 ? -1 : run_one(pair, request, exit, error);
}

static int paired_run(struct engine *engine, const struct run_request *request,
    struct vcpu_exit *exit, struct error *error)
{
    struct paired_engine *pair = paired_of(engine);
    for (;;) {
        int result = pair->on_kvm ? pair->kvm->ops->run(pair->kvm, request, exit, error)
                                  : run_soft(pair, request, pair->piece, exit, error);
        if (result == 0 && pair->on_kvm)
            result = leave_kvm(pair, request, exit, error);
        else if (result == 0 && exit->kind == EXIT_BUDGET)
            result = move_to_kvm(pair, error);
        if (result < 0) {
            exit->kind = EXIT_ERROR;
            return -1;
        }
        if (exit->kind == EXIT_WINDOW) {
            exit->kind = EXIT_KICK;
            return 0;
        }
        /* A kick reaches both; the second is not another one. */
        bool kicked = exit->kind == EXIT_KICK || exit->kind == EXIT_BUDGET;
        if (kicked && atomic_exchange(&pair->kicked, 0)) {
            exit->kind = EXIT_KICK;
            return 0;
        }
        if (!kicked)
            return 0;
    }
}

static int paired_complete(struct engine *engine, uint64_t value, struct error *error)
{
    struct engine *inner = active(paired_of(engine));
    return inner->ops->complete(inner, value, error);
}

static bool paired_interruptible(struct engine *engine)
{
    struct engine *inner = active(paired_of(engine));
    return inner->ops->interruptible(inner);
}

static int paired_interrupt(struct engine *engine, uint8_t vector, struct error *error)
{
    struct paired_engine *pair = paired_of(engine);
    if (move_to_soft(pair, error) < 0)
        return -1;
    return pair->soft->ops->interrupt(pair->soft, vector, error);
}

static void paired_kick(struct engine *engine)
{
    struct paired_engine *pair = paired_of(engine);
    atomic_store(&pair->kicked, 1);
    pair->soft->ops->kick(pair->soft);
    pair->kvm->ops->kick(pair->kvm);
}

static int paired_take_dirty_pages(
    struct engine *engine, uint64_t **pages, unsigned *count, struct error *error)
{
    struct paired_engine *pair = paired_of(engine);
    if (take_over_pages(pair, error) < 0)
        return -1;
    return pair->soft->ops->take_dirty_pages(pair->soft, pages, count, error);
}

static int paired_set_breakpoints(
    struct engine *engine, const struct breakpoint *list, unsigned count, struct error *error)
{
    struct engine *kvm = paired_of(engine)->kvm;
    return kvm->ops->set_breakpoints(kvm, list, count, error);
}

static void paired_memory_changed(struct engine *engine, uint64_t gpa, uint64_t size)
{
    struct engine *soft = paired_of(engine)->soft;
    soft->ops->memory_changed(soft, gpa, size);
}

static void paired_forget_code(struct engine *engine)
{
    struct engine *soft = paired_of(engine)->soft;
    soft->ops->forget_code(soft);
}

static void paired_set_personality(struct engine *engine, struct personality personality)
{
    struct engine *soft = paired_of(engine)->soft;
    soft->ops->set_personality(soft, personality);
}

static void paired_set_functions(struct engine *engine, const struct host_cpu *recorded)
{
    engine_set_functions(paired_of(engine)->soft, recorded);
}

/* KVM's own state was put aside when it left KVM_RUN. */
static void paired_put_aside(struct engine *engine)
{
    struct paired_engine *pair = paired_of(engine);
    if (!pair->on_kvm)
        pair->soft->ops->put_aside(pair->soft);
}

static const struct engine_ops paired_ops = {
    .name = "kvm",
    .counts = false,
    .destroy = paired_destroy,
    .run = paired_run,
    .complete = paired_complete,
    .export_state = paired_export,
    .export_core = paired_export_core,
    .import_state = paired_import,
    .interruptible = paired_interruptible,
    .interrupt = paired_interrupt,
    .kick = paired_kick,
    .take_dirty_pages = paired_take_dirty_pages,
    .set_breakpoints = paired_set_breakpoints,
    .memory_changed = paired_memory_changed,
    .forget_code = paired_forget_code,
    .set_personality = paired_set_personality,
    .set_functions = paired_set_functions,
    .put_aside = paired_put_aside,
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
static int find_out(struct paired_engine *pair, struct error *error)
{
    static const uint8_t int1[] = {OPCODE_INT1}, rdtsc[] = {0x0f, 0x31, 0x0f, 0x0b};
    struct trial trial;
    uint64_t rip;
    if (!trial_open(&trial, error))
        return -1;
    int result = try_in_ring_3(&trial, int1, sizeof int1, &rip, error);
    if (result == 0 && !rip)
        result = error_set(error, "kvm: INT1 in ring 3 does not leave it: use --engine soft");
    pair->int1_is_trap = rip == TRIAL_CODE + INT1_LENGTH;
    bool *const host_traps[] = {&((struct kvm_engine *)trial.engine)->host_traps_tsc,
        &((struct kvm_engine *)pair->kvm)->host_traps_tsc};
    for (unsigned i = 0; i < 2 && result == 0 && !pair->traps_tsc; i++) {
        *host_traps[0] = *host_traps[1] = i;
        result = try_in_ring_3(&trial, rdtsc, sizeof rdtsc, &rip, error);
        pair->traps_tsc = rip == TRIAL_CODE;
    }
    trial_close(&trial);
    return result;
}

struct engine *paired_create(struct memory *memory, struct personality personality,
    const struct engine_options *options, struct error *error)
{
    struct paired_engine *pair = calloc(1, sizeof *pair);
    if (!pair) {
        error_set(error, "kvm: out of memory");
        return NULL;
    }
    pair->engine.ops = &paired_ops;
    pair->memory = memory;
    pair->piece = options->eager_kvm ? 1 : PIECE;
    pair->kvm = kvm_create(memory, personality, error);
    pair->soft = pair->kvm ? soft_create(memory, options, error) : NULL;
    if (!pair->soft || find_out(pair, error) < 0) {
        paired_destroy(&pair->engine);
        return NULL;
    }
    return &pair->engine;
}

int paired_extend_apic(struct engine *engine, struct personality personality, struct error *error)
{
    struct paired_engine *pair = paired_of(engine);
    engine->apic_extensions = pair->soft->apic_extensions = true;
    return kvm_extend_apic(pair->kvm, personality, error);
}
