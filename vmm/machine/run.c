/*
 * The life of an exit. Recording, replay and live runs are this same loop; only the input source
 * differs. A step does one thing: deliver what is due, inject an interrupt, wait in HLT, or run the
 * engine to its next exit and serve it.
 */
#include "vmm/machine/machine.h"

#include <assert.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "devices/uart.h"
#include "vmm/machine/inject.h"
#include "vmm/machine/interrupts.h"
#include "vmm/machine/landing.h"
#include "vmm/machine/nic.h"
#include "vmm/machine/vcpus.h"
#include "vmm/arch/apic_msr.h"
#include "vmm/arch/repeat.h"

enum { FULL_DIGEST_INTERVAL = 256 };

/* ---- Time ---- */

uint64_t machine_time(const struct machine *machine)
{
    if (machine->counts_time)
        return machine->position.time_base +
               (machine->engine->retired - machine->position.retired_base);
    return machine->clock.now;
}

void machine_set_time(struct machine *machine, uint64_t now)
{
    machine->position.time_base = now;
    machine->position.retired_base = machine->engine->retired;
    machine->engine->time_base = machine->position.time_base;
    machine->engine->retired_base = machine->position.retired_base;
}

/*
 * A device's access takes longer than an instruction, as on a real machine: a guest that waits for
 * a device in a loop goes round thousands of times, not millions. On an engine that does not count
 * the host's clock has it already.
 */
static void charge_access(struct machine *machine, bool is_port)
{
    if (!machine->counts_time)
        return;
    machine->position.time_base += is_port ? MACHINE_PORT_NS : MACHINE_MMIO_NS;
    machine->engine->time_base = machine->position.time_base;
}

/* ---- Events ---- */

static int digest_state(struct machine *machine, struct machine_event *event, struct error *error)
{
    bool full = event->kind == EVENT_HLT || event->kind == EVENT_LANDING ||
                event->ordinal % FULL_DIGEST_INTERVAL == 0;
    struct vcpu_state state;
    struct engine *engine = machine->engine;
    int result = full ? engine_export_state(engine, &state, error)
                      : engine_export_core(engine, &state, error);
    if (result < 0)
        return -1;
    event->digest = full ? vcpu_digest_full(&state) : vcpu_digest_core(&state);
    event->digest_kind = full ? DIGEST_FULL : DIGEST_CORE;
    return 0;
}

/* What a device or the delivery of an interrupt did was hit at this event, not when the engine next
 * runs: the run may end here. */
static void take_hit(struct machine *machine)
{
    struct engine *engine = machine->engine;
    if (machine->breakpoints.count && !machine->run.pending_more &&
        engine_take_hit(engine, &machine->run.hit) && !machine->breakpoints.end_turns &&
        machine_stopped(machine) == STOP_NONE)
        machine_stop(machine, STOP_BREAKPOINT);
}

/* Numbers the event, digests the state when it can be observed, and tells the observers. */
static int emit(
    struct machine *machine, struct machine_event *event, bool observable, struct error *error)
{
    assert(event->kind > 0 && event->kind < EVENT_KIND_COUNT);
    assert(
        !machine->position.counted || machine->engine->retired >= machine->position.event_retired);
    event->ordinal = ++machine->position.event;
    event->counted = machine->position.counted;
    if (event->counted)
        event->insns = machine->engine->retired - machine->position.event_retired;
    machine->position.event_retired = machine->engine->retired;
    machine->position.at_boundary = true;
    machine->position.counted = machine->engine->ops->counts;
    machine->run.assisted = false;
    struct engine *engine = machine->engine;
    machine->run.delivered_before =
        engine->delivered_retired + 1 == engine->retired ? engine->delivered : 0;
    engine->delivered = 0;
    engine_put_aside(engine);
    if (observable && machine->observe_state && digest_state(machine, event, error) < 0)
        return -1;
    for (unsigned i = 0; i < machine->observer_count; i++) {
        const struct machine_observer *observer = &machine->observers[i];
        int result = observer->event(observer->context, machine, event, error);
        if (result < 0)
            return -1;
        if (result > 0)
            machine_stop(machine, STOP_DIVERGED);
    }
    take_hit(machine);
    return 0;
}

/* ---- Deliveries ---- */

static int deliver_time(struct machine *machine, const struct delivery *delivery,
    struct machine_event *event, struct error *error)
{
    uint64_t time = delivery->time;
    if (delivery->at_deadline) {
        time = clock_next_deadline(&machine->clock);
        if (time == TIMER_IDLE)
            return error_set(error, "the trace fires a timer where none is armed");
    }
    if (time < machine->clock.now)
        time = machine->clock.now;
    /* A device's access may have taken the guest past the deadline: no way back from there. */
    if (time >= machine_time(machine))
        machine_set_time(machine, time);
    clock_advance(&machine->clock, time);
    event->kind = EVENT_TIME;
    event->value = time;
    return 0;
}

static void deliver_console(
    struct machine *machine, const struct delivery *delivery, struct machine_event *event)
{
    uart_receive(machine->uart, delivery->data, delivery->size);
    event->kind = EVENT_CONSOLE;
    event->address = delivery->device;
    event->size = delivery->size > 8 ? 8 : (uint8_t)delivery->size;
    memcpy(&event->value, delivery->data, event->size);
}

static int deliver_packet(struct machine *machine, const struct delivery *delivery,
    struct machine_event *event, struct error *error)
{
    if (delivery->device >= machine->config->net_count)
        return error_set(
            error, "a packet is delivered to net%u, which is not there", delivery->device);
    event->kind = EVENT_PACKET;
    event->address = delivery->device;
    event->size = sizeof event->value;
    event->value = XXH3_64bits(delivery->data, delivery->size);
    return nic_deliver(machine->nic[delivery->device], delivery, error);
}

/* Another vCPU runs: its state is looked at, since parking it must have changed nothing. */
static int deliver_turn(
    struct machine *machine, const struct delivery *delivery, struct error *error)
{
    struct machine_event event = {.kind = EVENT_TURN, .value = delivery->device};
    return vcpus_switch(machine, delivery->device, error) < 0 ? -1
                                                              : emit(machine, &event, true, error);
}

static int deliver(struct machine *machine, const struct delivery *delivery, struct error *error)
{
    struct machine_event event = {0};
    switch (delivery->kind) {
    case INPUT_TIME:
        if (deliver_time(machine, delivery, &event, error) < 0)
            return -1;
        break;
    case INPUT_CONSOLE:
        if (delivery->size == 0 || delivery->size > uart_receive_room(machine->uart))
            return error_set(error,
                "%zu bytes are delivered to a serial port that has room for %zu", delivery->size,
                (size_t)uart_receive_room(machine->uart));
        deliver_console(machine, delivery, &event);
        break;
    case INPUT_PACKET:
        if (deliver_packet(machine, delivery, &event, error) < 0)
            return -1;
        break;
    case INPUT_TURN:
        return deliver_turn(machine, delivery, error);
    case INPUT_NMI:
    case INPUT_BREAK:
    case INPUT_REGISTER:
    case INPUT_MEMORY:
        if (inject_deliver(machine, delivery, &event, error) < 0)
            return -1;
        break;
    default:
        return error_set(error, "an input of kind %u cannot be delivered to this machine",
            (unsigned)delivery->kind);
    }
    return emit(machine, &event, false, error);
}

/* ---- Interrupts ---- */

/* 1: injected, 0: not now, -1: error. */
static int inject_interrupt(struct machine *machine, struct error *error)
{
    struct engine *engine = machine->engine;
    if (!interrupts_request(machine) || !engine_interruptible(engine))
        return 0;
    /* Between the iterations of a repeated string instruction the engines differ in where they
     * can stop, so no interrupt is injected there on either. */
    struct vcpu_state state;
    struct repeat repeat;
    if (engine_export_core(engine, &state, error) < 0)
        return -1;
    interrupts_set_priority(machine, &state);
    if (!interrupts_output(machine))
        return 0;
    if (machine->position.exit.kind <= EXIT_MMIO_WRITE &&
        repeat_at_rip(&machine->memory, &state, &repeat) && repeat.left)
        return 0;
    uint8_t vector = interrupts_acknowledge(machine);
    if (engine_interrupt(engine, vector, error) < 0)
        return -1;
    machine->position.halted = false;
    struct machine_event event = {.kind = EVENT_INTERRUPT, .value = vector};
    return emit(machine, &event, false, error) < 0 ? -1 : 1;
}

/* The software CPU delivers every NMI, so that engines need not agree on how. As
 * inject_interrupt(). */
static int inject_pending_nmi(struct machine *machine, struct error *error)
{
    struct machine_vcpu *vcpu = &machine->vcpu[machine->current];
    struct vcpu_state state;
    if (!vcpu->nmi)
        return 0;
    if (engine_export_core(machine->engine, &state, error) < 0)
        return -1;
    if (!vcpu_takes_nmi(&state))
        return 0;
    struct engine *soft = machine_soft(machine, error);
    if (!soft || machine_switch_engine(machine, soft, error) < 0 || soft->ops->nmi(soft, error) < 0)
        return -1;
    vcpu->nmi = false;
    machine->position.halted = false;
    struct machine_event event = {.kind = EVENT_NMI};
    return emit(machine, &event, false, error) < 0 ? -1 : 1;
}

/* ---- Exits ---- */

/* After the access of a device: what it set off beside it. */
static int settle_access(struct machine *machine, struct error *error)
{
    if (machine->run.device_failed) {
        *error = machine->run.device_error;
        return -1;
    }
    if (machine->run.pending_more)
        return 0;
    if (machine->run.priority_written && interrupts_write_cr8(machine, error) < 0)
        return -1;
    return vcpus_settle(machine, error);
}

/* ... and once it is told. */
static int finish_access(struct machine *machine, struct error *error)
{
    bool resets = machine->run.reset_requested && !machine->run.pending_more;
    return resets ? machine_reset(machine, error) : 0;
}

static int serve_access(struct machine *machine, struct error *error)
{
    static const enum event_kind kinds[] = {[EXIT_PIO_IN] = EVENT_PIO_IN,
        [EXIT_PIO_OUT] = EVENT_PIO_OUT,
        [EXIT_MMIO_READ] = EVENT_MMIO_READ,
        [EXIT_MMIO_WRITE] = EVENT_MMIO_WRITE};
    const struct vcpu_exit *exit = &machine->position.exit;
    struct machine_event event = {.kind = kinds[exit->kind],
        .size = exit->size,
        .address = exit->address,
        .value = exit->value};
    bool is_port = exit->kind == EXIT_PIO_IN || exit->kind == EXIT_PIO_OUT;
    uint64_t address = exit->address;
    if (!is_port && !machine->run.pending_more &&
        interrupts_find_apic(machine, &address, error) < 0)
        return -1;
    struct bus *bus = is_port ? &machine->ports : &machine->mmio;
    if (exit->kind == EXIT_PIO_IN || exit->kind == EXIT_MMIO_READ)
        event.value = bus_read(bus, address, exit->size);
    else
        bus_write(bus, address, exit->size, exit->value);
    charge_access(machine, is_port);
    struct engine *engine = machine->engine;
    int completed = engine_complete(engine, event.value, error);
    if (completed < 0)
        return -1;
    machine->run.pending_more = completed == ENGINE_MORE;
    if (settle_access(machine, error) < 0 ||
        emit(machine, &event, !machine->run.pending_more, error) < 0)
        return -1;
    return finish_access(machine, error);
}

/* A model-specific register that a device has a part in: its write happens when the instruction is
 * complete. */
static int serve_msr(struct machine *machine, struct error *error)
{
    const struct vcpu_exit exit = machine->position.exit;
    const uint32_t index = (uint32_t)exit.address;
    const bool is_read = exit.kind == EXIT_MSR_READ;
    struct machine_event event = {.kind = is_read ? EVENT_MSR_READ : EVENT_MSR_WRITE,
        .size = exit.size,
        .address = exit.address,
        .value = exit.value};
    if (apic_msr_is(index)) {
        if (interrupts_read_cr8(machine, error) < 0)
            return -1;
        charge_access(machine, false);
    }
    if (is_read)
        event.value = interrupts_read_msr(machine, index);
    if (engine_complete(machine->engine, event.value, error) < 0)
        return -1;
    if (!is_read && interrupts_write_msr(machine, index, exit.value, error) < 0)
        return -1;
    if (settle_access(machine, error) < 0 || emit(machine, &event, true, error) < 0)
        return -1;
    return finish_access(machine, error);
}

static int serve_time(struct machine *machine, struct error *error)
{
    struct engine *engine = machine->engine;
    machine->run.reads_tsc = true;
    struct machine_event event = {.kind = EVENT_TSC, .value = clock_now(&machine->clock)};
    machine->run.reads_tsc = false;
    if (engine->ops->complete(engine, event.value, error) < 0)
        return -1;
    if (machine->run.device_failed) {
        *error = machine->run.device_error;
        return -1;
    }
    return emit(machine, &event, true, error);
}

static int serve_halt(struct machine *machine, struct error *error)
{
    struct engine *engine = machine->engine;
    if (engine_complete(engine, 0, error) < 0)
        return -1;
    machine->position.halted = true;
    struct machine_event event = {.kind = EVENT_HLT};
    return emit(machine, &event, true, error);
}

/* One instruction that KVM cannot execute runs on the software CPU. */
static int assist(struct machine *machine, struct error *error)
{
    struct engine *kvm = machine->engine;
    struct engine *soft = machine_soft(machine, error);
    if (!soft || machine_switch_engine(machine, soft, error) < 0)
        return -1;
    machine->run.assisted = true;
    struct run_request request = {.budget = 1};
    if (engine_run(soft, &request, &machine->position.exit, error) < 0)
        return -1;
    if (machine->position.exit.kind == EXIT_BUDGET)
        return machine_switch_engine(machine, kvm, error);
    return 0; /* the exit is served as any other; the next step goes back to kvm */
}

static int land_here(struct machine *machine, struct error *error)
{
    struct machine_event event = {.kind = EVENT_LANDING};
    return emit(machine, &event, true, error);
}

/* The landing that the plan named was reached; `insns` for the source. */
static int land(
    struct machine *machine, const struct landing *landing, uint64_t insns, struct error *error)
{
    struct input_source *source = machine->source;
    if (source->ops->landed && source->ops->landed(source, machine, landing, insns, error) < 0)
        return -1;
    return land_here(machine, error);
}

/* At the registers of a landing that only state can name, or the place where it was found before.
 */
static int land_by_state(struct machine *machine, struct landing *landing, struct error *error)
{
    struct engine *engine = machine->engine;
    int matches = landing_matches(machine, landing, error);
    if (matches < 0)
        return -1;
    if (matches == 0)
        return landing->found
                   ? error_set(error, "a landing found before has another state this time")
                   : 0;
    /* After a fault's delivery a budget of as many instructions would end too early. */
    uint64_t insns =
        engine_delivered(engine) ? 0 : engine->retired - machine->position.event_retired;
    /* Equal but perhaps for RF (landing.h), which an interrupt would push. */
    if (engine_import_state(engine, &landing->state, error) < 0)
        return -1;
    return land(machine, landing, insns, error);
}

static void serve_breakpoint(struct machine *machine)
{
    machine->run.hit = machine->position.exit;
    machine_stop(machine, STOP_BREAKPOINT);
}

static bool has_count(const struct landing *landing)
{
    return landing && (landing->counted || landing->found);
}

static int serve(struct machine *machine, const struct run_plan *plan, struct position until,
    struct error *error)
{
    struct machine_event shutdown = {.kind = EVENT_SHUTDOWN};
    uint64_t done = machine->engine->retired - machine->position.event_retired;
    int result;
    switch (machine->position.exit.kind) {
    case EXIT_PIO_IN:
    case EXIT_PIO_OUT:
    case EXIT_MMIO_READ:
    case EXIT_MMIO_WRITE:
        return serve_access(machine, error);
    case EXIT_TIME:
        return serve_time(machine, error);
    case EXIT_MSR_READ:
    case EXIT_MSR_WRITE:
        return serve_msr(machine, error);
    case EXIT_HLT:
        return serve_halt(machine, error);
    case EXIT_SHUTDOWN:
        machine_stop(machine, STOP_SHUTDOWN);
        return emit(machine, &shutdown, false, error);
    case EXIT_BREAKPOINT:
    case EXIT_WATCHPOINT:
    case EXIT_EXCEPTION:
    case EXIT_MODE:
    case EXIT_SPACE:
        if (machine->breakpoints.end_turns)
            break;
        serve_breakpoint(machine);
        return 0;
    case EXIT_MATCH:
        return land_by_state(machine, plan->landing, error);
    case EXIT_BUDGET:
        if (has_count(plan->landing) && done == plan->landing->insns)
            return plan->landing->found ? land_by_state(machine, plan->landing, error)
                                        : land(machine, plan->landing, done, error);
        if (machine->position.event == until.event && done == until.insn)
            return 0;
        break;
    default:
        break;
    }
    if (atomic_load(&machine->run.stop_requested))
        return 0;
    result =
        machine->source->ops->landing(machine->source, machine, &machine->position.exit, error);
    return result > 0 ? land_here(machine, error) : result;
}

/* ---- The loop ---- */

static bool reached(const struct machine *machine, struct position until)
{
    if (machine->engine->ops->counts && machine->engine->retired >= machine->run.retired_limit)
        return true;
    if (machine->position.event != until.event)
        return machine->position.event > until.event;
    uint64_t done =
        machine->position.counted ? machine->engine->retired - machine->position.event_retired : 0;
    return done >= until.insn;
}

/* The engine for the next stretch: landings and breakpoints need the one that counts. */
static int choose_engine(struct machine *machine, const struct run_plan *plan,
    struct position until, struct error *error)
{
    struct engine *engine = machine->home;
    bool counting = plan->landing || machine->breakpoints.count ||
                    (machine->position.event == until.event && until.insn);
    if (counting || !machine->position.at_boundary)
        engine = engine->ops->counts ? engine : machine->engine;
    if (counting && !engine->ops->counts)
        engine = machine_soft(machine, error);
    if (!engine)
        return -1;
    return engine == machine->engine ? 0 : machine_switch_engine(machine, engine, error);
}

/* Gives the counting engine the debugger's breakpoints. It drops decoded code then, so only when
 * they changed. */
static int set_engine_breakpoints(struct machine *machine, struct error *error)
{
    struct engine *engine = machine->soft;
    if (!engine || !machine->breakpoints.changed)
        return 0;
    machine->breakpoints.changed = false;
    return engine_set_breakpoints(
        engine, machine->breakpoints.list, machine->breakpoints.count, error);
}

static int run_engine(struct machine *machine, struct position until, struct error *error)
{
    struct run_plan plan = {.budget = BUDGET_UNLIMITED};
    struct input_source *source = machine->source;
    if (!machine->run.pending_more) {
        if (source->ops->plan(source, machine, &plan, error) < 0 ||
            choose_engine(machine, &plan, until, error) < 0 ||
            set_engine_breakpoints(machine, error) < 0)
            return -1;
    }
    struct engine *engine = machine->engine;
    struct run_request request = {.budget = plan.budget,
        .stop_when_interruptible = plan.stop_when_interruptible,
        .stop_below_cr8 = plan.stop_below_cr8,
        .stop_for_nmi = plan.stop_for_nmi,
        .stop_at_wait = plan.stop_at_wait};
    if (engine->ops->counts) {
        uint64_t done = engine->retired - machine->position.event_retired;
        uint64_t landing = has_count(plan.landing) ? plan.landing->insns : UINT64_MAX;
        if (plan.landing && !has_count(plan.landing))
            request.match = &plan.landing->state;
        uint64_t limit =
            machine->position.event == until.event && until.insn < landing ? until.insn : landing;
        if (limit != UINT64_MAX && limit - done < request.budget)
            request.budget = limit - done;
        if (machine->run.retired_limit - engine->retired < request.budget)
            request.budget = machine->run.retired_limit - engine->retired;
    }
    if (request.budget == 0 && !machine->run.pending_more) {
        machine->position.exit = (struct vcpu_exit){.kind = EXIT_BUDGET};
    } else {
        machine->position.at_boundary = false;
        if (engine_run(engine, &request, &machine->position.exit, error) < 0)
            return -1;
        if (machine->position.exit.kind == EXIT_UNEMULATED) {
            if (assist(machine, error) < 0)
                return -1;
            if (machine->position.exit.kind == EXIT_BUDGET)
                return 0;
        }
    }
    return serve(machine, &plan, until, error);
}

static int step(struct machine *machine, struct position until, struct error *error)
{
    struct input_source *source = machine->source;
    if (atomic_exchange(&machine->run.stop_requested, false)) {
        machine_stop(machine, STOP_INTERRUPTED);
        return 0;
    }
    if (reached(machine, until) && !machine->run.pending_more) {
        machine_stop(machine, STOP_UNTIL);
        return 0;
    }
    if (machine->position.at_boundary && (!machine->run.pending_more || source->ops->replays)) {
        struct delivery *delivery = &machine->run.delivery;
        int due = source->ops->poll(source, machine, delivery, error);
        if (due != 0 || machine_stopped(machine) != STOP_NONE)
            return due <= 0 ? due : deliver(machine, delivery, error);
    }
    if (machine->position.at_boundary && !machine->run.pending_more) {
        int injected = inject_pending_nmi(machine, error);
        if (injected == 0)
            injected = inject_interrupt(machine, error);
        if (injected != 0)
            return injected < 0 ? -1 : 0;
    }
    if (!machine->position.halted)
        return run_engine(machine, until, error);

    if (!vcpus_can_be_woken(machine)) {
        machine_stop(machine, STOP_HALTED);
        return 0;
    }
    int due = source->ops->wait(source, machine, &machine->run.delivery, error);
    if (due == 0 && machine_stopped(machine) == STOP_NONE &&
        !atomic_load(&machine->run.stop_requested))
        machine_stop(machine, STOP_HALTED);
    return due <= 0 ? due : deliver(machine, &machine->run.delivery, error);
}

int machine_run(struct machine *machine, struct position until, struct error *error)
{
    machine->run.stop = STOP_NONE;
    /* Before anything is delivered: that is watched, too. */
    if (set_engine_breakpoints(machine, error) < 0) {
        machine_stop(machine, STOP_FAILED);
        return -1;
    }
    while (machine_stopped(machine) == STOP_NONE) {
        if (step(machine, until, error) < 0) {
            machine_stop(machine, STOP_FAILED);
            return -1;
        }
    }
    return 0;
}
