/*
 * KVM runs ring 3 of the guest, the software CPU everything else, on hosts whose KVM does not do
 * ring 0 as a recording needs it. What ends ring 3's stay there (way_out.h) is executed again by
 * the software CPU, with the guest's own registers.
 *
 * Ring 3 begins on the software CPU, too, which is looked at now and then, and moves to KVM where
 * that pays (entering.h): an exchange of state takes as long as some hundred thousand instructions.
 * Where code runs changes nothing but speed.
 */
#include "vmm/kvm/paired.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "vmm/cpu/soft.h"
#include "vmm/kvm/entering.h"
#include "vmm/kvm/kvm.h"
#include "vmm/kvm/monitor.h"

/* Instructions between two looks, and after the first of several refusals by the way out. */
enum { PIECE = 1 << 17, FIRST_WAIT = 1 << 9 };

struct paired_engine {
    struct engine engine; /* first */
    struct engine *kvm, *soft;
    struct way_out *way;
    bool on_kvm;        /* who has the state */
    uint64_t time_base; /* that the software CPU was told last */
    bool eager;         /* ring 3 moves whenever it may */
    bool refused;       /* it cannot as it is */
    struct entering entering;
    uint64_t look_at;            /* when so many are retired it is asked whether to move */
    uint64_t wait;               /* the last one, after a refusal */
    bool soon;                   /* it is to be asked as soon as ring 3 goes on */
    bool in_user;                /* ring 3 was seen at the last look */
    struct entering_place place; /* where ring 3 entered KVM, ... */
    uint64_t entered_at;         /* ... the host's ns then, ... */
    uint64_t stayed;             /* ... and those that KVM executed since */
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
    if (pair->way)
        pair->way->ops->destroy(pair->way);
    if (pair->kvm)
        pair->kvm->ops->destroy(pair->kvm);
    if (pair->soft)
        pair->soft->ops->destroy(pair->soft);
    free(pair);
}

/* ---- Moving the state -------------------------------------------------------------------------
 */

/*
 * Plain ring 3 of long mode: nothing pending and nothing to be traced, and RFLAGS that a host's own
 * ring 3 has (PUSHF may show the host's IF and IOPL), SSE allowed, RDTSC not forbidden.
 */
static bool is_plain_user(const struct vcpu_state *state)
{
    const uint64_t flags =
        FLAG_TF | FLAG_IF | FLAG_IOPL | FLAG_NT | FLAG_RF | FLAG_VM | FLAG_AC | FLAG_VIF | FLAG_VIP;
    const uint64_t cr0 = CR0_PE | CR0_PG | CR0_EM | CR0_TS | CR0_NE;
    return (state->efer & EFER_LMA) && vcpu_cpl(state) == 3 && (state->rflags & flags) == FLAG_IF &&
           (state->cr0 & cr0) == (CR0_PE | CR0_PG | CR0_NE) &&
           (state->cr4 & (CR4_OSFXSR | CR4_TSD)) == CR4_OSFXSR && !(state->dr7 & 0xff) &&
           !state->exception_pending && !state->sti_shadow && !state->mov_ss_shadow &&
           !state->halted;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static struct entering_place place_of(const struct vcpu_state *state)
{
    return (struct entering_place){
        .space = state->cr3 & ~(PAGE_SIZE - 1), .page = state->rip / PAGE_SIZE};
}

static void look_after(struct paired_engine *pair, uint64_t instructions)
{
    pair->look_at = pair->soft->retired + instructions;
}

/* The way out does not take it as it is, for its next instruction (a fault's IRET leaves RF set),
 * its page of code, or for good. */
static void note_refusal(struct paired_engine *pair, const struct vcpu_state *state)
{
    const bool for_one = pair->eager || ((state->rflags & FLAG_RF) && !pair->refused);
    pair->refused = true;
    if (!for_one)
        pair->wait = pair->wait < PIECE / 2 ? 2 * pair->wait : PIECE;
    look_after(pair, for_one ? 1 : pair->wait);
}

static int move_to_kvm(struct paired_engine *pair, struct error *error)
{
    struct vcpu_state state;
    if (pair->soft->ops->export_state(pair->soft, &state, error) < 0)
        return -1;
    pair->place = place_of(&state);
    pair->entered_at = now_ns();
    pair->stayed = 0;
    int entered = is_plain_user(&state) ? pair->way->ops->enter(pair->way, &state, error) : 0;
    pair->on_kvm = entered > 0;
    if (entered == 0) {
        note_refusal(pair, &state);
    } else {
        pair->refused = false;
        pair->wait = FIRST_WAIT;
    }
    return entered < 0 ? -1 : 0;
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
    if (pair->on_kvm) {
        const uint64_t whole = now_ns() - pair->entered_at;
        entering_note_stay(&pair->entering, &pair->place, pair->stayed, whole - pair->stayed);
        pair->soon = entering_has_paid(&pair->entering, &pair->place);
    }
    pair->on_kvm = pair->in_user = false;
    look_after(pair, PIECE);
    return 0;
}

static int paired_export(struct engine *engine, struct vcpu_state *state, struct error *error)
{
    struct paired_engine *pair = paired_of(engine);
    if (!pair->on_kvm)
        return pair->soft->ops->export_state(pair->soft, state, error);
    *state = pair->way->guest; /* for what ring 3 cannot change */
    if (pair->kvm->ops->export_core(pair->kvm, state, error) < 0 ||
        kvm_export_fpu((struct kvm_engine *)pair->kvm, &state->fpu, error) < 0)
        return -1;
    pair->way->ops->show(pair->way, state, true);
    vcpu_canonicalize(state);
    return 0;
}

static int paired_export_core(struct engine *engine, struct vcpu_state *state, struct error *error)
{
    struct paired_engine *pair = paired_of(engine);
    if (active(pair)->ops->export_core(active(pair), state, error) < 0)
        return -1;
    if (pair->on_kvm)
        pair->way->ops->show(pair->way, state, false);
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
    pair->soft->exact_bits = pair->engine.exact_bits;
    pair->soft->apic_extensions = pair->engine.apic_extensions;
}

/* A lowered CR8 ends the run as on KVM. */
static int run_soft(struct paired_engine *pair, const struct run_request *request, uint64_t budget,
    uint64_t user_budget, struct vcpu_exit *exit, struct error *error)
{
    const struct run_request piece = {.budget = budget,
        .user_budget = user_budget,
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
        result = run_soft(pair, request, 1, 0, exit, error);
    while (result == 0 && exit->kind == EXIT_KICK && pair->soft->retired == before);
    return result;
}

/* KVM ended its run in a way that the software CPU may have to make something of. */
static int leave_kvm(struct paired_engine *pair, const struct run_request *request,
    struct vcpu_exit *exit, struct error *error)
{
    struct vcpu_state state;
    if (exit->kind == EXIT_UNEMULATED)
        return run_one(pair, request, exit, error);
    int result = pair->way->ops->leave(pair->way, exit, &state, error);
    if (result == WAY_OUT_AGAIN)
        *exit = (struct vcpu_exit){.kind = EXIT_BUDGET};
    if (result != WAY_OUT_LEFT)
        return result < 0 ? -1 : 0;
    if (move_state_to_soft(pair, &state, error) < 0)
        return -1;
    return run_one(pair, request, exit, error);
}

/* Is ring 3 to move now? 1, 0, or -1. `ns`: what the software CPU has taken since the last look, of
 * `instructions`. */
static int look(struct paired_engine *pair, uint64_t instructions, uint64_t ns, struct error *error)
{
    struct vcpu_state state;
    const uint64_t in_user = soft_user_instructions(pair->soft);
    const bool all_in_user = pair->in_user && in_user >= instructions;
    if (pair->soft->ops->export_core(pair->soft, &state, error) < 0)
        return -1;
    const struct entering_place place = place_of(&state);
    pair->in_user = vcpu_cpl(&state) == 3;
    pair->soon = false;
    if (!pair->in_user)
        pair->refused = false;
    if (pair->in_user && all_in_user)
        entering_note_soft(&pair->entering, &place, instructions, ns);
    look_after(pair, PIECE);
    return pair->in_user && (pair->eager || entering_pays(&pair->entering, &place));
}

/* Up to the next look, at which ring 3 may move. */
static int run_to_look(struct paired_engine *pair, const struct run_request *request,
    struct vcpu_exit *exit, struct error *error)
{
    const uint64_t before = pair->soft->retired, began = pair->in_user ? now_ns() : 0;
    const bool soon = (pair->eager || pair->soon) && !pair->refused;
    const uint64_t budget = pair->look_at > before ? pair->look_at - before : 1;
    int result = run_soft(pair, request, budget, soon, exit, error);
    if (result < 0 || exit->kind != EXIT_BUDGET) {
        pair->in_user = false;
        return result;
    }
    result = look(pair, pair->soft->retired - before, began ? now_ns() - began : 0, error);
    return result > 0 ? move_to_kvm(pair, error) : result;
}

/* KVM, and what it leaves to the software CPU. */
static int run_kvm(struct paired_engine *pair, const struct run_request *request,
    struct vcpu_exit *exit, struct error *error)
{
    const uint64_t before = now_ns();
    int result = pair->kvm->ops->run(pair->kvm, request, exit, error);
    pair->stayed += entering_note_run(&pair->entering, now_ns() - before);
    return result == 0 ? leave_kvm(pair, request, exit, error) : result;
}

static int paired_run(struct engine *engine, const struct run_request *request,
    struct vcpu_exit *exit, struct error *error)
{
    struct paired_engine *pair = paired_of(engine);
    for (;;) {
        int result = pair->on_kvm ? run_kvm(pair, request, exit, error)
                                  : run_to_look(pair, request, exit, error);
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

static struct way_out *make_way(struct memory *memory, struct kvm_engine *kvm,
    struct personality personality, const struct engine_options *options, struct error *error)
{
    return options->monitor ? monitor_create(memory, kvm, personality, error)
                            : null_idt_create(memory, kvm, error);
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
    pair->eager = options->eager_kvm;
    pair->wait = FIRST_WAIT;
    entering_begin(&pair->entering);
    pair->kvm = kvm_create(memory, personality, error);
    pair->soft = pair->kvm ? soft_create(memory, options, error) : NULL;
    if (pair->soft)
        pair->way = make_way(memory, (struct kvm_engine *)pair->kvm, personality, options, error);
    if (!pair->way) {
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
