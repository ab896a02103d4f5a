#include "vmm/machine/snapshot.h"

#include "vmm/machine/vcpus.h"

static void save_flags(const struct machine *machine, struct buffer *out)
{
    buffer_put_u8(out, machine->at_boundary);
    buffer_put_u8(out, machine->counted);
    buffer_put_u8(out, machine->halted);
    buffer_put_u8(out, machine->vcpu[machine->current].nmi);
}

int snapshot_save(struct machine *machine, struct buffer *out, struct error *error)
{
    struct vcpu_state state;
    struct engine *engine = machine->engine;
    if (machine->pending_more)
        return error_set(error, "a checkpoint cannot be taken inside an instruction");
    if (engine->ops->export_state(engine, &state, error) < 0)
        return -1;
    vcpu_save(&state, out);
    buffer_put_u64(out, machine->event);
    buffer_put_u64(out, engine->retired);
    buffer_put_u64(out, machine->event_retired);
    buffer_put_u64(out, machine->time_base);
    buffer_put_u64(out, machine->retired_base);
    buffer_put_u64(out, machine->clock.now);
    buffer_put_u64(out, machine->ports.unclaimed_reads);
    buffer_put_u64(out, machine->ports.unclaimed_writes);
    buffer_put_u64(out, machine->mmio.unclaimed_reads);
    buffer_put_u64(out, machine->mmio.unclaimed_writes);
    buffer_put_u64(out, machine->member_operations);
    buffer_put_u8(out, (uint8_t)machine->exit.kind);
    save_flags(machine, out);
    vcpus_save(machine, out);
    for (unsigned i = 0; i < machine->device_count; i++) {
        const struct device *device = &machine->devices[i].device;
        device->ops->save(device->object, out);
    }
    return out->failed ? error_set(error, "out of memory for a checkpoint") : 0;
}

int snapshot_restore(struct machine *machine, struct reader *in, struct error *error)
{
    struct vcpu_state state;
    struct engine *engine = machine->engine;
    vcpu_restore(&state, in);
    machine->event = reader_get_u64(in);
    engine->retired = reader_get_u64(in);
    machine->event_retired = reader_get_u64(in);
    machine->time_base = reader_get_u64(in);
    machine->retired_base = reader_get_u64(in);
    machine->clock.now = reader_get_u64(in);
    machine->ports.unclaimed_reads = reader_get_u64(in);
    machine->ports.unclaimed_writes = reader_get_u64(in);
    machine->mmio.unclaimed_reads = reader_get_u64(in);
    machine->mmio.unclaimed_writes = reader_get_u64(in);
    machine->member_operations = reader_get_u64(in);
    machine->exit = (struct vcpu_exit){.kind = (enum exit_kind)reader_get_u8(in)};
    machine->at_boundary = reader_get_u8(in);
    machine->counted = reader_get_u8(in);
    machine->halted = reader_get_u8(in);
    bool nmi = reader_get_u8(in);
    vcpus_restore(machine, in);
    machine->vcpu[machine->current].nmi = nmi;
    machine->pending_more = false;
    machine->assisted = false;
    machine->device_failed = false;
    machine->stop = STOP_NONE;
    engine->time_base = machine->time_base;
    engine->retired_base = machine->retired_base;
    /* It may have fired since: at the end of a run that reached it. */
    timer_arm(&machine->clock, &machine->limit, machine->config->max_time);
    for (unsigned i = 0; i < machine->device_count; i++) {
        const struct device *device = &machine->devices[i].device;
        device->ops->restore(device->object, in);
    }
    if (in->failed)
        return error_set(error, "a checkpoint is damaged");
    return engine->ops->import_state(engine, &state, error);
}
