/* What the machine does for the host side of its devices. */
#include "vmm/machine/services.h"

static int ask(struct machine *machine, const struct input_question *question,
    struct input_answer *answer, struct error *error)
{
    struct input_source *source = machine->source;
    answer->size = 0;
    return source->ops->value(source, machine, question, answer, error);
}

/* Operations are numbered so that a trace names only those that failed. */
static bool member_failed(struct machine *machine, bool failed)
{
    struct input_source *source = machine->source;
    if (machine->services.closing)
        return failed;
    uint64_t operation = machine->position.member_operations++;
    return source->ops->member_failed(source, machine, operation, failed);
}

static uint8_t *guest_at(void *context, uint64_t gpa, uint64_t size)
{
    struct machine *machine = context;
    return memory_at(&machine->memory, gpa, size);
}

static void guest_wrote(void *context, uint64_t gpa, uint64_t size)
{
    struct machine *machine = context;
    engine_memory_changed(machine->engine, gpa, size);
}

void services_init(struct machine *machine, bool no_host)
{
    machine->services = (struct services){
        .machine = machine,
        .clock = &machine->clock,
        .memory = {.context = machine, .at = guest_at, .wrote = guest_wrote},
        .no_host = no_host,
        .transitional_virtio = config_has_legacy_virtio(machine->config),
        .ask = ask,
        .member_failed = member_failed,
        .note = machine_note,
        .report = machine_fail,
    };
}
