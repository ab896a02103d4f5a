/* Replays a trace up to a position, goes live there, and records what follows. */
#include "fork/fork.h"

#include <inttypes.h>
#include <stdlib.h>

#include "devices/uart.h"
#include "replay/source.h"
#include "vmm/arch/translate.h"

struct fork {
    struct input_source source; /* first: asks `current` */
    struct input_source *current;
    struct replay *replay;
    struct recorder *recorder;
    const struct fork_options *options; /* while opening */
    struct input_source *live;
    const struct fork_injection *injections; /* the next one first */
    unsigned injection_count;
    uint64_t key_time; /* of the last key; UINT64_MAX: none yet */
};

/* Between a key and the next break, ns: Linux keeps one SysRq key until its interrupt is done. */
#define KEY_PAUSE 1000000ull

/* ---- Injections ---- */

static bool has_injection(const struct fork *fork)
{
    return fork->current == fork->live && fork->injection_count > 0;
}

/* The line is looked at by nobody, or the port is full: later. */
static bool has_to_wait(const struct fork *fork, const struct machine *machine)
{
    const struct fork_injection *injection = fork->injections;
    if (injection->kind != FORK_BREAK && injection->kind != FORK_KEY)
        return false;
    if (injection->kind == FORK_BREAK && fork->key_time != UINT64_MAX &&
        machine_time(machine) - fork->key_time < KEY_PAUSE)
        return true;
    return !uart_listens(machine->uart) || uart_receive_room(machine->uart) == 0;
}

static bool is_due(const struct fork *fork, const struct machine *machine)
{
    return has_injection(fork) && !has_to_wait(fork, machine);
}

static int find_memory(struct machine *machine, const struct vcpu_state *state,
    const struct fork_injection *injection, uint64_t *gpa, struct error *error)
{
    struct translation translation;
    uint64_t address = injection->address, offset = address & (PAGE_SIZE - 1);
    *gpa = address;
    if (!injection->physical) {
        if (!translate(&machine->memory, state, address, &translation))
            return error_set(error, "0x%" PRIx64 " is not mapped at this position", address);
        *gpa = translation.gpa;
        if (offset + injection->size > PAGE_SIZE)
            return error_set(error, "the bytes at 0x%" PRIx64 " are in two pages", address);
    }
    if (!memory_at(&machine->memory, *gpa, injection->size))
        return error_set(error, "there is no memory at 0x%" PRIx64, address);
    return 0;
}

static int take_injection(
    struct fork *fork, struct machine *machine, struct delivery *delivery, struct error *error)
{
    const struct fork_injection *injection = fork->injections;
    struct vcpu_state state;
    uint64_t gpa;
    switch (injection->kind) {
    case FORK_NMI:
        inject_nmi(delivery, injection->number);
        break;
    case FORK_BREAK:
        inject_break(delivery);
        break;
    case FORK_KEY:
        delivery->kind = INPUT_CONSOLE;
        delivery->device = 0;
        delivery->data[0] = injection->key;
        delivery->size = 1;
        fork->key_time = machine_time(machine);
        break;
    case FORK_REGISTER:
        inject_register(delivery, injection->number, injection->value);
        break;
    case FORK_MEMORY:
        if (engine_export_state(machine->engine, &state, error) < 0 ||
            find_memory(machine, &state, injection, &gpa, error) < 0)
            return -1;
        inject_memory(delivery, gpa, injection->bytes, injection->size);
        break;
    }
    fork->injections++;
    fork->injection_count--;
    return 1;
}

/* Before anything is done: what cannot be. */
static int check_injections(const struct fork *fork, struct machine *machine, struct error *error)
{
    struct vcpu_state state;
    uint64_t gpa;
    if (fork->injection_count == 0)
        return 0;
    if (engine_export_state(machine->engine, &state, error) < 0)
        return -1;
    for (unsigned i = 0; i < fork->injection_count; i++) {
        const struct fork_injection *injection = &fork->injections[i];
        if (injection->kind == FORK_NMI && injection->number >= machine->config->cpus)
            return error_set(error, "there is no vCPU %u for an NMI", injection->number);
        if ((injection->kind == FORK_REGISTER &&
                inject_check_register(&state, injection->number, injection->value, error) < 0) ||
            (injection->kind == FORK_MEMORY &&
                find_memory(machine, &state, injection, &gpa, error) < 0))
            return -1;
    }
    return 0;
}

/* ---- The source ---- */

static uint64_t fork_clock(struct input_source *source, struct machine *machine)
{
    struct input_source *current = ((struct fork *)source)->current;
    return current->ops->clock(current, machine);
}

static uint64_t fork_time_stamp(struct input_source *source, struct machine *machine)
{
    return input_time_stamp(((struct fork *)source)->current, machine);
}

static int fork_poll(struct input_source *source, struct machine *machine,
    struct delivery *delivery, struct error *error)
{
    struct fork *fork = (struct fork *)source;
    if (is_due(fork, machine))
        return take_injection(fork, machine, delivery, error);
    return fork->current->ops->poll(fork->current, machine, delivery, error);
}

static int fork_wait(struct input_source *source, struct machine *machine,
    struct delivery *delivery, struct error *error)
{
    struct input_source *current = ((struct fork *)source)->current;
    return current->ops->wait(current, machine, delivery, error);
}

static int fork_plan(struct input_source *source, struct machine *machine, struct run_plan *plan,
    struct error *error)
{
    struct fork *fork = (struct fork *)source;
    if (fork->current->ops->plan(fork->current, machine, plan, error) < 0)
        return -1;
    /* In the middle of a stretch it lands first. */
    if (is_due(fork, machine))
        plan->budget = 0;
    return 0;
}

static int fork_landing(struct input_source *source, struct machine *machine,
    const struct vcpu_exit *exit, struct error *error)
{
    struct fork *fork = (struct fork *)source;
    if (is_due(fork, machine))
        return 1;
    return fork->current->ops->landing(fork->current, machine, exit, error);
}

static int fork_landed(struct input_source *source, struct machine *machine,
    const struct landing *landing, uint64_t insns, struct error *error)
{
    struct input_source *current = ((struct fork *)source)->current;
    return current->ops->landed ? current->ops->landed(current, machine, landing, insns, error) : 0;
}

static int fork_value(struct input_source *source, struct machine *machine,
    const struct input_question *question, struct input_answer *answer, struct error *error)
{
    struct fork *fork = (struct fork *)source;
    if (fork->current == fork->live && question->kind == INPUT_SECTORS)
        return error_set(error,
            "the forked guest reads disk sectors that the recorded run had not read: they are not "
            "in the trace");
    return fork->current->ops->value(fork->current, machine, question, answer, error);
}

static bool fork_member_failed(
    struct input_source *source, struct machine *machine, uint64_t operation, bool failed)
{
    struct input_source *current = ((struct fork *)source)->current;
    return current->ops->member_failed(current, machine, operation, failed);
}

static const struct input_source_ops fork_ops = {
    .name = "fork",
    .replays = false,
    .clock = fork_clock,
    .time_stamp = fork_time_stamp,
    .poll = fork_poll,
    .wait = fork_wait,
    .plan = fork_plan,
    .landing = fork_landing,
    .landed = fork_landed,
    .value = fork_value,
    .member_failed = fork_member_failed,
};

/* The trace is open, its machine not yet made: the recorder comes between them. */
static struct input_source *wrap(void *context, struct replay *replay, struct error *error)
{
    struct fork *fork = context;
    const struct fork_options *options = fork->options;
    struct machine_config *config = replay_config(replay);
    const char *time = trace_reader_setting(replay_trace(replay), "time");
    fork->current = &replay_inputs(replay)->source;
    config->pace = options->pace;
    const struct recorder_options recorder = {
        .path = options->output,
        .config = config,
        .engine = "soft",
        .kernel = replay_kernel(replay),
        .modules = replay_modules(replay),
        .module_count = replay_module_count(replay),
        .live = &fork->source,
        .include_checks = options->include_checks,
        .provisional = true,
        .max_size = options->max_size,
        .counts = true,
        .time_from_inputs = !replay_info(replay)->counts_instructions || time,
        .forked_at = options->position,
    };
    fork->recorder = recorder_create(&recorder, error);
    return fork->recorder ? recorder_source(fork->recorder) : NULL;
}

struct fork *fork_open(const struct fork_options *options, bool *damaged, struct error *error)
{
    struct fork *fork = calloc(1, sizeof *fork);
    *damaged = false;
    if (!fork) {
        error_set(error, "out of memory");
        return NULL;
    }
    fork->source.ops = &fork_ops;
    fork->options = options;
    fork->live = options->live;
    fork->key_time = UINT64_MAX;
    fork->injections = options->injections;
    fork->injection_count = options->injection_count;
    const struct replay_options replay = {
        .engine = "soft",
        .memory_limit = options->memory_limit,
        .any_version = options->any_version,
        .store = options->store,
        .console = options->console,
        .wrap = wrap,
        .wrap_context = fork,
        .line_changed = options->line_changed,
        .line_target = options->line_target,
    };
    fork->replay = replay_open(options->trace, &replay, damaged, error);
    if (!fork->replay || recorder_attach(fork->recorder, replay_machine(fork->replay), error) < 0) {
        fork_abandon(fork);
        return NULL;
    }
    return fork;
}

struct machine *fork_machine(struct fork *fork)
{
    return replay_machine(fork->replay);
}

const struct trace_reader *fork_trace(const struct fork *fork)
{
    return replay_trace(fork->replay);
}

int fork_go_live(struct fork *fork, struct position position, bool *damaged, struct error *error)
{
    struct machine *machine = replay_machine(fork->replay);
    enum replay_outcome outcome;
    if (replay_run(fork->replay, position, &outcome, damaged, error) < 0)
        return -1;
    if (outcome == REPLAY_DIVERGED)
        return error_set(error, "the trace diverges before this position; see 'hindsight replay'");
    if (machine_stopped(machine) == STOP_INTERRUPTED && recorder_is_full(fork->recorder))
        return error_set(error, "--max-size is reached on the way to the position");
    if (machine_stopped(machine) == STOP_INTERRUPTED)
        return error_set(error, "interrupted on the way to the position");
    if (machine_stopped(machine) != STOP_UNTIL)
        return error_set(
            error, "the recorded run ends at this position: there is nothing to go on from");
    if (check_injections(fork, machine, error) < 0)
        return -1;
    fork->current = fork->live;
    machine_go_live(machine);
    recorder_publish(fork->recorder);
    return 0;
}

bool fork_is_full(const struct fork *fork)
{
    return recorder_is_full(fork->recorder);
}

int fork_finish(struct fork *fork, struct outcome outcome, const char *text, struct error *error)
{
    int result =
        recorder_finish(fork->recorder, replay_machine(fork->replay), outcome, text, error);
    fork->recorder = NULL;
    fork_abandon(fork);
    return result;
}

void fork_abandon(struct fork *fork)
{
    if (!fork)
        return;
    recorder_abandon(fork->recorder);
    replay_close(fork->replay);
    free(fork);
}
