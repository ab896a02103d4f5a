/* vCPUs as threads: what each is doing, and single steps of one of them. */
#include "debugger/threads.h"

#include <inttypes.h>

#include "vmm/machine/vcpus.h"

unsigned threads_count(const struct timeline *timeline)
{
    return timeline_machine((struct timeline *)timeline)->config->cpus;
}

unsigned threads_running(struct timeline *timeline)
{
    return timeline_machine(timeline)->current + 1;
}

int threads_view(struct view *view, struct timeline *timeline, unsigned thread, struct error *error)
{
    struct machine *machine = timeline_machine(timeline);
    if (thread == 0 || thread > machine->config->cpus)
        return error_set(error, "there is no thread %u", thread);
    *view = (struct view){.memory = &machine->memory};
    return vcpus_export(machine, thread - 1, &view->state, error);
}

void threads_describe(struct timeline *timeline, unsigned thread, struct buffer *out)
{
    struct machine *machine = timeline_machine(timeline);
    const unsigned index = thread - 1;
    const struct machine_vcpu *vcpu = &machine->vcpu[index];
    bool runs = index == machine->current;
    bool halted = runs ? machine->position.halted : vcpu->state.halted;
    buffer_printf(out, "vCPU %u%s", index,
        vcpu->waiting ? ", not started"
        : halted      ? ", halted"
        : runs        ? ", running"
                      : "");
}

/* The end of a turn, in this direction. */
static int run_to_turn(struct timeline *timeline, enum direction direction,
    struct timeline_stop *stop, struct error *error)
{
    const struct timeline_condition turn = {
        .kind = CONDITION_EVENT, .event_kinds = 1u << EVENT_TURN};
    return timeline_run(timeline, direction, &turn, 1, stop, error);
}

/* To where the thread runs. */
static int run_to_thread(struct timeline *timeline, enum direction direction, unsigned thread,
    struct timeline_stop *stop, struct error *error)
{
    *stop = (struct timeline_stop){.why = TIMELINE_DONE};
    while (threads_running(timeline) != thread) {
        if (run_to_turn(timeline, direction, stop, error) < 0)
            return -1;
        if (stop->why != TIMELINE_CONDITION)
            return 0;
        stop->why = TIMELINE_DONE;
    }
    return 0;
}

/*
 * The place where one turn ends has the count of the place where the next one begins, and a step
 * stops at the first of them. So a step forward that stands in another thread's turn has executed
 * nothing of this one yet; a step back that does has undone the first instruction of this one's
 * turn, if the count went down, and goes on to where that turn begins.
 */
int threads_step(struct timeline *timeline, enum direction direction, unsigned thread,
    struct timeline_stop *stop, struct error *error)
{
    for (;;) {
        if (run_to_thread(timeline, direction, thread, stop, error) < 0)
            return -1;
        if (stop->why != TIMELINE_DONE)
            return 0;
        uint64_t retired = timeline_retired(timeline);
        if (timeline_step(timeline, direction, 1, stop, error) < 0)
            return -1;
        if (stop->why != TIMELINE_DONE || threads_running(timeline) == thread)
            return 0;
        if (direction == BACKWARD && timeline_retired(timeline) < retired)
            return run_to_thread(timeline, FORWARD, thread, stop, error);
    }
}
