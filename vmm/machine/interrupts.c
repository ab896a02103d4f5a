/* The interrupt controllers as the processor sees them. */
#include "vmm/machine/interrupts.h"

#include "devices/apic.h"
#include "devices/apic_bus.h"
#include "devices/pic.h"
#include "vmm/arch/apic_msr.h"

static bool external(const struct machine *machine)
{
    return pic_output(machine->pic) && apic_accepts_external(machine->apic);
}

bool interrupts_output_of(const struct machine *machine, const struct apic *apic)
{
    return (pic_output(machine->pic) && apic_accepts_external(apic)) || apic_output(apic);
}

bool interrupts_output(const struct machine *machine)
{
    return interrupts_output_of(machine, machine->apic);
}

bool interrupts_request(const struct machine *machine)
{
    return external(machine) || apic_has_request(machine->apic);
}

uint8_t interrupts_priority(const struct machine *machine)
{
    return external(machine) ? 0 : apic_request_priority(machine->apic);
}

uint8_t interrupts_acknowledge(struct machine *machine)
{
    return external(machine) ? pic_acknowledge(machine->pic) : apic_acknowledge(machine->apic);
}

void interrupts_set_priority(struct machine *machine, const struct vcpu_state *state)
{
    apic_set_cr8(machine->apic, (uint8_t)state->cr8);
}

/* The virtual time at which the TSC reaches `deadline`; now when it is past. */
static uint64_t time_of(struct machine *machine, uint64_t tsc_offset, uint64_t deadline)
{
    uint64_t now = clock_now(&machine->clock);
    uint64_t tsc = now * VCPU_TSC_PER_NS + tsc_offset;
    if (deadline <= tsc)
        return now;
    uint64_t ahead = (deadline - tsc - 1) / VCPU_TSC_PER_NS + 1;
    return ahead > TIMER_IDLE - 1 - now ? TIMER_IDLE - 1 : now + ahead;
}

static int set_deadline(struct machine *machine, uint64_t deadline, struct error *error)
{
    struct vcpu_state state;
    if (deadline == 0) {
        apic_set_deadline(machine->apic, 0, 0);
        return 0;
    }
    if (engine_export_state(machine->engine, &state, error) < 0)
        return -1;
    apic_set_deadline(machine->apic, deadline, time_of(machine, state.tsc_offset, deadline));
    return 0;
}

uint64_t interrupts_read_msr(struct machine *machine, uint32_t index)
{
    if (index == MSR_TSC_DEADLINE)
        return apic_get_deadline(machine->apic);
    return apic_read_msr(machine->apic, index - MSR_X2APIC);
}

int interrupts_write_msr(
    struct machine *machine, uint32_t index, uint64_t value, struct error *error)
{
    switch (index) {
    case MSR_APIC_BASE:
        apic_set_mode(machine->apic, value & APIC_BASE_ENABLED, value & APIC_BASE_EXTENDED);
        return 0;
    case MSR_TSC:
        return set_deadline(machine, apic_get_deadline(machine->apic), error);
    case MSR_TSC_DEADLINE:
        return set_deadline(machine, value, error);
    default:
        apic_write_msr(machine->apic, index - MSR_X2APIC, value);
        return 0;
    }
}

int interrupts_find_apic(struct machine *machine, uint64_t *gpa, struct error *error)
{
    const uint64_t page = *gpa & ~(PAGE_SIZE - 1), offset = *gpa & (PAGE_SIZE - 1);
    struct engine *engine = machine->engine;
    struct vcpu_state state;
    if (engine_export_core(engine, &state, error) < 0)
        return -1;
    const uint64_t modes = APIC_BASE_ENABLED | APIC_BASE_EXTENDED;
    bool is_here = (state.apic_base & modes) == APIC_BASE_ENABLED &&
                   (state.apic_base & ~(PAGE_SIZE - 1)) == page;
    apic_bus_hide(machine->apic_bus, !is_here);
    if (!is_here)
        return 0;
    if (offset >= APIC_TPR && offset < APIC_PPR + 16)
        interrupts_set_priority(machine, &state);
    *gpa = APIC_BASE + offset;
    return 0;
}

int interrupts_read_cr8(struct machine *machine, struct error *error)
{
    struct engine *engine = machine->engine;
    struct vcpu_state state;
    if (engine_export_core(engine, &state, error) < 0)
        return -1;
    interrupts_set_priority(machine, &state);
    return 0;
}

int interrupts_write_cr8(struct machine *machine, struct error *error)
{
    struct engine *engine = machine->engine;
    struct vcpu_state state = {0};
    machine->run.priority_written = false;
    if (engine_export_state(engine, &state, error) < 0)
        return -1;
    if (state.cr8 == apic_get_cr8(machine->apic))
        return 0;
    state.cr8 = apic_get_cr8(machine->apic);
    return engine_import_state(engine, &state, error);
}
