/* Runs a stretch of a trace with an observer of the software CPU's accesses. */
#include "replay/accesses.h"

#include "devices/apic.h"
#include "replay/walk.h"

struct accesses_run {
    struct timeline *timeline;
    const struct accesses_watcher *watcher;
    bool waiting[CONFIG_MAX_CPUS]; /* for a start-up message, after the last event */
};

static void on_access(void *context, const struct memory_access *memory)
{
    const struct accesses_run *run = context;
    const struct machine *machine = run->timeline->machine;
    const struct timeline_access access = {
        .memory = *memory, .position = machine_position(machine), .vcpu = machine->current};
    run->watcher->access(run->watcher->context, &access);
}

static void on_instruction(void *context, uint64_t linear, uint64_t gpa, unsigned bits)
{
    const struct accesses_run *run = context;
    const struct machine *machine = run->timeline->machine;
    const struct timeline_instruction instruction = {.linear = linear,
        .gpa = gpa,
        .bits = bits,
        .position = machine_position(machine),
        .retired = machine->engine->retired,
        .delivered = engine_delivered(machine->engine),
        .vcpu = machine->current};
    run->watcher->instruction(run->watcher->context, &instruction);
}

static void on_device_write(void *context, uint64_t gpa, uint64_t size)
{
    const struct accesses_run *run = context;
    run->watcher->device_write(run->watcher->context, gpa, size);
}

static void on_change(void *context, uint64_t gpa, uint64_t size, bool is_walk)
{
    const struct accesses_run *run = context;
    run->watcher->change(run->watcher->context, gpa, size, is_walk);
}

static void on_abandon(void *context)
{
    const struct accesses_run *run = context;
    run->watcher->abandon(run->watcher->context);
}

static void look_who_waits(struct accesses_run *run)
{
    const struct machine *machine = run->timeline->machine;
    for (unsigned i = 0; i < machine->config->cpus; i++)
        run->waiting[i] = machine->vcpu[i].waiting;
}

/* Is this the running vCPU's command register, where its APIC is? */
static bool is_command(const struct machine *machine, uint64_t gpa)
{
    enum { ENABLED = 1 << 11 };
    struct vcpu_state state;
    return gpa % PAGE_SIZE == APIC_ICR && engine_export_core(machine->engine, &state, NULL) == 0 &&
           state.apic_base & ENABLED && (state.apic_base & ~(PAGE_SIZE - 1)) == gpa - APIC_ICR;
}

/* The ICR was written: a message to whoever it names. */
static void on_message(struct accesses_run *run, uint32_t command)
{
    const struct accesses_watcher *watcher = run->watcher;
    const struct machine *machine = run->timeline->machine;
    unsigned mode = command >> 8 & 7, vector = command & 0xff;
    bool is_interrupt = mode == APIC_FIXED || mode == APIC_LOWEST_PRIORITY;
    if (watcher->send && (is_interrupt || mode == APIC_NMI))
        watcher->send(watcher->context, machine->current, mode == APIC_NMI ? ACCESSES_NMI : vector);
    for (unsigned i = 0; i < machine->config->cpus && watcher->start; i++) {
        if (run->waiting[i] && !machine->vcpu[i].waiting)
            watcher->start(watcher->context, machine->current, i);
    }
}

void accesses_event(struct timeline *timeline, const struct machine_event *event)
{
    struct accesses_run *run = timeline->accesses;
    const struct accesses_watcher *watcher = run->watcher;
    const unsigned vcpu = timeline->machine->current;
    if (event->kind == EVENT_MMIO_WRITE && is_command(timeline->machine, event->address))
        on_message(run, (uint32_t)event->value);
    else if (event->kind == EVENT_INTERRUPT && watcher->receive)
        watcher->receive(watcher->context, vcpu, event->value & 0xff);
    else if (event->kind == EVENT_NMI && watcher->receive)
        watcher->receive(watcher->context, vcpu, ACCESSES_NMI);
    look_who_waits(run);
}

void accesses_note(struct timeline *timeline, uint8_t kind, const uint8_t *data, size_t size)
{
    const struct accesses_watcher *watcher = timeline->accesses->watcher;
    if (watcher->note)
        watcher->note(watcher->context, kind, data, size);
}

int accesses_watch(struct timeline *timeline, struct position from, struct position to,
    const struct accesses_watcher *watcher, bool *began, struct timeline_stop *stop,
    struct error *error)
{
    struct accesses_run run = {.timeline = timeline, .watcher = watcher};
    const struct access_observer observer = {.access = on_access,
        .context = &run,
        .instruction = watcher->instruction ? on_instruction : NULL,
        .device_write = watcher->device_write ? on_device_write : NULL,
        .ranges = watcher->ranges,
        .range_count = watcher->range_count,
        .change = watcher->change ? on_change : NULL,
        .abandon = watcher->abandon ? on_abandon : NULL};
    struct engine *engine = timeline->machine->engine;
    *began = false;
    if (timeline_seek(timeline, from, stop, error) < 0)
        return -1;
    if (stop->why == TIMELINE_INTERRUPTED)
        return 0;
    *began = true;
    if (watcher->access && !engine_observe_accesses(engine, &observer))
        return error_set(error, "the engine '%s' does not tell of accesses", engine->ops->name);
    look_who_waits(&run);
    timeline->accesses = &run;
    int status = timeline_pass(timeline, to, UINT64_MAX, stop, error);
    timeline->accesses = NULL;
    if (watcher->access)
        engine_observe_accesses(engine, NULL);
    return status;
}
