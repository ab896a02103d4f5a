/* Parks vCPUs, switches between them, starts and stops them. */
#include "vmm/machine/vcpus.h"

#include <assert.h>

#include "devices/apic.h"
#include "devices/apic_bus.h"
#include "vmm/machine/interrupts.h"

#define APIC_BASE_BSP (1ull << 8)

/* What INIT leaves of a processor other than the first: reset, waiting for the start-up message. */
static void stop(const struct machine *machine, struct machine_vcpu *vcpu)
{
    uint64_t tsc_offset = vcpu->state.tsc_offset, apic_base = vcpu->state.apic_base;
    vcpu_reset(&vcpu->state);
    if (config_has_apic_enable(machine->config))
        vcpu->state.apic_base = apic_base;
    else
        vcpu->state.apic_base &= ~APIC_BASE_BSP;
    vcpu->state.tsc_offset = tsc_offset;
    vcpu->waiting = true;
    vcpu->nmi = false;
    vcpu->stopping = false;
}

static void select_vcpu(struct machine *machine, unsigned index)
{
    machine->current = index;
    machine->engine->vcpu = machine->home->vcpu = (uint8_t)index;
    if (machine->soft)
        machine->soft->vcpu = (uint8_t)index;
    machine->apic = machine->vcpu[index].apic;
    apic_bus_select(machine->apic_bus, index);
}

void vcpus_reset(struct machine *machine)
{
    select_vcpu(machine, 0);
    for (unsigned i = 0; i < machine->config->cpus; i++) {
        struct machine_vcpu *vcpu = &machine->vcpu[i];
        vcpu_reset(&vcpu->state);
        vcpu->state.apic_base &= ~APIC_BASE_BSP;
        stop(machine, vcpu);
        vcpu->state.tsc_offset = 0;
    }
    machine->vcpu[0].waiting = false;
}

/* ---- Who can run ----------------------------------------------------------------------------- */

/* Would an interrupt wake the parked vCPU out of HLT? */
static bool is_woken(const struct machine *machine, const struct machine_vcpu *vcpu)
{
    if (vcpu->nmi && vcpu_takes_nmi(&vcpu->state))
        return true;
    return (vcpu->state.rflags & FLAG_IF) && interrupts_output_of(machine, vcpu->apic);
}

bool vcpus_can_run(const struct machine *machine, unsigned index)
{
    const struct machine_vcpu *vcpu = &machine->vcpu[index];
    if (vcpu->waiting)
        return false;
    if (index == machine->current)
        return !machine->position.halted;
    return !vcpu->state.halted || is_woken(machine, vcpu);
}

bool vcpus_others_can_run(const struct machine *machine)
{
    for (unsigned i = 0; i < machine->config->cpus; i++) {
        if (i != machine->current && vcpus_can_run(machine, i))
            return true;
    }
    return false;
}

bool vcpus_is_waking(const struct machine *machine)
{
    const struct machine_vcpu *vcpu = &machine->vcpu[machine->current];
    struct engine *engine = machine->engine;
    struct vcpu_state state;
    if (!machine->position.halted || vcpu->waiting)
        return false;
    if (interrupts_output(machine) && engine_interruptible(engine))
        return true;
    return vcpu->nmi && engine_export_core(engine, &state, NULL) == 0 && vcpu_takes_nmi(&state);
}

static bool is_interruptible(const struct machine *machine, unsigned index)
{
    const struct machine_vcpu *vcpu = &machine->vcpu[index];
    if (vcpu->waiting)
        return false;
    if (index == machine->current)
        return engine_interruptible(machine->engine);
    return vcpu->state.rflags & FLAG_IF;
}

bool vcpus_can_be_woken(const struct machine *machine)
{
    for (unsigned i = 0; i < machine->config->cpus; i++) {
        if (is_interruptible(machine, i))
            return true;
    }
    return false;
}

/* ---- Turns ----------------------------------------------------------------------------------- */

static int park(struct machine *machine, struct error *error)
{
    struct machine_vcpu *vcpu = &machine->vcpu[machine->current];
    if (engine_export_state(machine->engine, &vcpu->state, error) < 0)
        return -1;
    vcpu->state.halted = machine->position.halted;
    apic_set_cr8(vcpu->apic, (uint8_t)vcpu->state.cr8);
    return 0;
}

int vcpus_switch(struct machine *machine, unsigned index, struct error *error)
{
    if (index >= machine->config->cpus)
        return error_set(error, "a turn is given to vCPU %u, which is not there", index);
    if (index == machine->current)
        return 0;
    assert(machine->position.at_boundary && !machine->run.pending_more);
    if (park(machine, error) < 0)
        return -1;
    if (machine->engine->ops->end_turn)
        machine->engine->ops->end_turn(machine->engine);
    select_vcpu(machine, index);
    const struct vcpu_state *state = &machine->vcpu[index].state;
    machine->position.halted = state->halted;
    machine->position.exit = (struct vcpu_exit){.kind = EXIT_BUDGET};
    return engine_import_state(machine->engine, state, error);
}

/* ---- Messages -------------------------------------------------------------------------------- */

/* A page number below 1 MiB: CS:IP is that page's first byte in real mode (SDM volume 3, 9.4). */
static void start(struct machine_vcpu *vcpu, uint8_t page)
{
    if (!vcpu->waiting)
        return;
    struct segment *cs = &vcpu->state.segment[SEG_CS];
    cs->selector = (uint16_t)(page << 8);
    cs->base = (uint64_t)page << 12;
    vcpu->state.rip = 0;
    vcpu->state.halted = false;
    vcpu->waiting = false;
}

void vcpus_signal(void *context, unsigned index, uint8_t mode, uint8_t vector)
{
    struct machine *machine = context;
    struct machine_vcpu *vcpu = &machine->vcpu[index];
    if (mode == APIC_STARTUP) {
        start(vcpu, vector);
    } else if (mode == APIC_NMI) {
        vcpu->nmi = !vcpu->waiting;
    } else if (index == machine->current) {
        vcpu->stopping = true;
    } else {
        stop(machine, vcpu);
        apic_init(vcpu->apic);
        if (index == 0)
            machine->run.reset_requested = true;
    }
}

int vcpus_settle(struct machine *machine, struct error *error)
{
    struct machine_vcpu *vcpu = &machine->vcpu[machine->current];
    if (!vcpu->stopping)
        return 0;
    vcpu->stopping = false;
    /* The first processor's INIT starts the firmware. */
    if (machine->current == 0) {
        machine->run.reset_requested = true;
        return 0;
    }
    if (park(machine, error) < 0)
        return -1;
    stop(machine, vcpu);
    apic_init(vcpu->apic);
    machine->position.halted = true;
    vcpu->state.halted = true;
    return engine_import_state(machine->engine, &vcpu->state, error);
}

/* ---- State ----------------------------------------------------------------------------------- */

int vcpus_export(
    struct machine *machine, unsigned index, struct vcpu_state *state, struct error *error)
{
    if (index == machine->current)
        return engine_export_state(machine->engine, state, error);
    *state = machine->vcpu[index].state;
    return 0;
}

void vcpus_save(const struct machine *machine, struct buffer *out)
{
    if (machine->config->cpus == 1)
        return;
    if (machine->engine->ops->save_stores)
        machine->engine->ops->save_stores(machine->engine, out);
    buffer_put_u8(out, (uint8_t)machine->current);
    for (unsigned i = 0; i < machine->config->cpus; i++) {
        const struct machine_vcpu *vcpu = &machine->vcpu[i];
        buffer_put_u8(out, vcpu->waiting);
        if (i == machine->current)
            continue;
        buffer_put_u8(out, vcpu->nmi);
        vcpu_save(&vcpu->state, out);
    }
}

void vcpus_restore(struct machine *machine, struct reader *in)
{
    if (machine->config->cpus == 1)
        return;
    if (machine->engine->ops->restore_stores)
        machine->engine->ops->restore_stores(machine->engine, in);
    unsigned current = reader_get_u8(in);
    if (current >= machine->config->cpus) {
        in->failed = true;
        return;
    }
    select_vcpu(machine, current);
    for (unsigned i = 0; i < machine->config->cpus; i++) {
        struct machine_vcpu *vcpu = &machine->vcpu[i];
        vcpu->waiting = reader_get_u8(in);
        vcpu->stopping = false;
        if (i == current)
            continue;
        vcpu->nmi = reader_get_u8(in);
        vcpu_restore(&vcpu->state, in);
    }
}
