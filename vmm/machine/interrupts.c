/* The interrupt controllers as the processor sees them. */
#include "vmm/machine/interrupts.h"

#include "devices/apic.h"
#include "devices/apic_bus.h"
#include "devices/pic.h"

/* In APIC_BASE. */
enum { ENABLED = 1 << 11 };

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

void interrupts_write_base(struct machine *machine, uint64_t value)
{
    apic_set_present(machine->apic, value & ENABLED);
}

int interrupts_find_apic(struct machine *machine, uint64_t *gpa, struct error *error)
{
    const uint64_t page = *gpa & ~(PAGE_SIZE - 1), offset = *gpa & (PAGE_SIZE - 1);
    struct engine *engine = machine->engine;
    struct vcpu_state state;
    if (engine_export_core(engine, &state, error) < 0)
        return -1;
    bool is_here = (state.apic_base & ENABLED) && (state.apic_base & ~(PAGE_SIZE - 1)) == page;
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
