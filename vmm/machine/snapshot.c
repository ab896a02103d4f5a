/* The whole machine at a position as bytes, but for RAM: what a checkpoint keeps. */
#include "vmm/machine/snapshot.h"

#include "vmm/machine/vcpus.h"

static void save_position(const struct machine_position *position, struct buffer *out)
{
    buffer_put_u64(out, position->event);
    buffer_put_u64(out, position->event_retired);
    buffer_put_u64(out, position->time_base);
    buffer_put_u64(out, position->retired_base);
    buffer_put_u64(out, position->member_operations);
    buffer_put_u8(out, (uint8_t)position->exit.kind);
    buffer_put_u8(out, position->at_boundary);
    buffer_put_u8(out, position->counted);
    buffer_put_u8(out, position->halted);
}

static void restore_position(struct machine_position *position, struct reader *in)
{
    position->event = reader_get_u64(in);
    position->event_retired = reader_get_u64(in);
    position->time_base = reader_get_u64(in);
    position->retired_base = reader_get_u64(in);
    position->member_operations = reader_get_u64(in);
    position->exit = (struct vcpu_exit){.kind = (enum exit_kind)reader_get_u8(in)};
    position->at_boundary = reader_get_u8(in);
    position->counted = reader_get_u8(in);
    position->halted = reader_get_u8(in);
}

/* A run that begins at a restored position has done nothing yet. */
static void restart_run(struct machine *machine)
{
    machine->run.pending_more = false;
    machine->run.assisted = false;
    machine->run.device_failed = false;
    machine->run.stop = STOP_NONE;
    /* It may have fired since: at the end of a run that reached it. */
    timer_arm(&machine->clock, &machine->run.limit, machine->config->max_time);
}

static void save_bus(const struct bus *bus, struct buffer *out)
{
    buffer_put_u64(out, bus->unclaimed_reads);
    buffer_put_u64(out, bus->unclaimed_writes);
}

static void restore_bus(struct bus *bus, struct reader *in)
{
    bus->unclaimed_reads = reader_get_u64(in);
    bus->unclaimed_writes = reader_get_u64(in);
}

int snapshot_save(struct machine *machine, struct buffer *out, struct error *error)
{
    struct vcpu_state state;
    struct engine *engine = machine->engine;
    if (machine->run.pending_more)
        return error_set(error, "a checkpoint cannot be taken inside an instruction");
    if (engine_export_state(engine, &state, error) < 0)
        return -1;
    vcpu_save(&state, out);
    save_position(&machine->position, out);
    buffer_put_u64(out, engine->retired);
    buffer_put_u64(out, machine->clock.now);
    save_bus(&machine->ports, out);
    save_bus(&machine->mmio, out);
    buffer_put_u8(out, machine->vcpu[machine->current].nmi);
    vcpus_save(machine, out);
    for (unsigned i = 0; i < machine->device_count; i++) {
        const struct device *device = &machine->devices[i];
        device->ops->save(device->object, out);
    }
    return out->failed ? error_set(error, "out of memory for a checkpoint") : 0;
}

int snapshot_restore(struct machine *machine, struct reader *in, struct error *error)
{
    struct vcpu_state state;
    struct engine *engine = machine->engine;
    vcpu_restore(&state, in);
    restore_position(&machine->position, in);
    engine->retired = reader_get_u64(in);
    machine->clock.now = reader_get_u64(in);
    restore_bus(&machine->ports, in);
    restore_bus(&machine->mmio, in);
    bool nmi = reader_get_u8(in);
    vcpus_restore(machine, in);
    machine->vcpu[machine->current].nmi = nmi;
    restart_run(machine);
    engine->time_base = machine->position.time_base;
    engine->retired_base = machine->position.retired_base;
    for (unsigned i = 0; i < machine->device_count; i++) {
        const struct device *device = &machine->devices[i];
        device->ops->restore(device->object, in);
    }
    if (in->failed)
        return error_set(error, "a checkpoint is damaged");
    return engine_import_state(engine, &state, error);
}
