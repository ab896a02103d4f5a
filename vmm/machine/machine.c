/* Making a machine, moving it between engines, and what can be asked of it. */
#include "vmm/machine/machine.h"

#include <assert.h>
#include <capstone/capstone.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "devices/pci.h"
#include "vmm/boot/acpi.h"
#include "vmm/boot/bios.h"
#include "vmm/boot/mptable.h"
#include "vmm/boot/smbios.h"
#include "vmm/arch/digest.h"
#include "vmm/machine/engines.h"
#include "vmm/machine/platform.h"
#include "vmm/machine/services.h"
#include "vmm/machine/vcpus.h"
#include "vmm/arch/translate.h"

const char *stop_reason_name(enum stop_reason reason)
{
    switch (reason) {
    case STOP_NONE:
        return "running";
    case STOP_DEBUG_EXIT:
        return "the guest exited through the debug-exit port";
    case STOP_HALTED:
        return "the guest halted for good";
    case STOP_SHUTDOWN:
        return "the guest triple-faulted";
    case STOP_RESET:
        return "the guest asked for a reset";
    case STOP_POWER_OFF:
        return "the guest switched the machine off";
    case STOP_PANIC:
        return "the guest's kernel panicked";
    case STOP_MAX_TIME:
        return "the time limit was reached";
    case STOP_HANG:
        return "the guest has been silent for too long";
    case STOP_INTERRUPTED:
        return "interrupted";
    case STOP_END:
        return "end of the trace";
    case STOP_UNTIL:
        return "position reached";
    case STOP_BREAKPOINT:
        return "breakpoint";
    case STOP_DIVERGED:
        return "diverged";
    case STOP_FAILED:
        return "failed";
    }
    return "?";
}

static uint64_t sample_clock(void *context)
{
    struct machine *machine = context;
    if (machine->run.reads_tsc)
        return input_time_stamp(machine->source, machine);
    return machine->source->ops->clock(machine->source, machine);
}

static void time_is_up(void *context, uint64_t now)
{
    struct machine *machine = context;
    (void)now;
    machine_stop(machine, STOP_MAX_TIME);
}

/* Of a machine that KVM recorded, or records. */
static const struct host_cpu *functions_of(const struct machine *machine)
{
    return machine->config->host_functions ? &machine->config->host : NULL;
}

struct engine *machine_soft(struct machine *machine, struct error *error)
{
    if (machine->soft)
        return machine->soft;
    machine->soft = engines_soft_buffered(
        &machine->memory, machine->config->store_buffers, machine->config->seed, error);
    if (machine->soft) {
        engine_set_personality(machine->soft, machine->config->personality);
        engine_set_functions(machine->soft, functions_of(machine));
        machine->soft->vcpu_count = (uint8_t)machine->config->cpus;
        machine->soft->vcpu = (uint8_t)machine->current;
        machine->soft->time_exits = machine->config->tsc_is_input;
        machine->soft->msr_exits = config_has_apic_enable(machine->config);
        machine->soft->exact_bits = config_has_exact_bits(machine->config);
        machine->soft->apic_extensions = config_has_apic_extensions(machine->config);
    }
    return machine->soft;
}

static int create_engine(struct machine *machine, const char *name, struct error *error)
{
    if (machine->config->cpus > 1 && strcmp(name, "soft") != 0)
        return error_set(error, "several vCPUs run on the software CPU only: give --engine soft");
    if (personality_check(&machine->config->personality, error) < 0)
        return -1;
    if (strcmp(name, "soft") == 0)
        machine->home = machine_soft(machine, error);
    else if (strcmp(name, "kvm") == 0)
        machine->home = engines_kvm(&machine->memory, &machine->config->personality,
            machine->config->tsc_is_input, config_has_apic_extensions(machine->config), error);
    else
        return error_set(error, "'%s' is not an engine: kvm or soft", name);
    machine->engine = machine->home;
    if (!machine->home)
        return -1;
    machine->home->time_exits = machine->config->tsc_is_input;
    machine->home->exact_bits = config_has_exact_bits(machine->config);
    machine->home->msr_exits = config_has_apic_enable(machine->config);
    engine_set_functions(machine->home, functions_of(machine));
    return 0;
}

/* Clears KVM's log of what the loader and the creation wrote. */
static int clear_dirty_pages(struct machine *machine, struct error *error)
{
    uint64_t *pages;
    unsigned count;
    if (engine_take_dirty_pages(machine->engine, &pages, &count, error) < 0)
        return -1;
    free(pages);
    return 0;
}

/* The 8259As as a BIOS leaves them: vectors 8 and 70h on, every input open, since the BIOS's
 * vectors acknowledge what comes. */
static void set_up_pics(struct machine *machine)
{
    static const struct {
        uint16_t port;
        uint8_t value;
    } writes[] = {{0x20, 0x11}, {0x21, 0x08}, {0x21, 0x04}, {0x21, 0x01}, {0xa0, 0x11},
        {0xa1, 0x70}, {0xa1, 0x02}, {0xa1, 0x01}, {0x21, 0}, {0xa1, 0}};
    for (size_t i = 0; i < sizeof writes / sizeof writes[0]; i++)
        bus_write(&machine->ports, writes[i].port, 1, writes[i].value);
}

static int write_firmware(struct machine *machine, struct error *error)
{
    const bool has_pci = machine->pci != NULL;
    const unsigned cpus = machine->config->cpus;
    const struct bios_options bios = {.time = machine->config->start_time};
    const struct acpi_options acpi = {
        .has_pci = has_pci, .has_hpet = config_has_hpet(machine->config), .cpus = cpus};
    const struct mptable_options mptable = {.has_pci = has_pci, .cpus = cpus};
    set_up_pics(machine);
    bios_write(&machine->memory, &bios);
    if (acpi_write_tables(&machine->memory, &acpi, error) < 0 ||
        mptable_write(&machine->memory, &mptable, error) < 0)
        return -1;
    return smbios_write(&machine->memory, cpus, error);
}

/* Puts in place what firmware and boot loader would. */
static int load_guest(struct machine *machine, struct error *error)
{
    const struct boot_request request = {
        .protocol = machine->config->boot,
        .kernel = machine->kernel,
        .modules = machine->modules,
        .module_count = machine->module_count,
        .command_line = machine->config->command_line,
    };
    struct vcpu_state state;
    vcpus_reset(machine);
    if (write_firmware(machine, error) < 0 ||
        boot_load(&machine->memory, &request, &state, &machine->boot_choice, error) < 0)
        return -1;
    return engine_import_state(machine->engine, &state, error);
}

static void forget_code(struct machine *machine, struct engine *engine)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct memory_region *region = &machine->memory.region[i];
        if (region->size)
            engine_memory_changed(engine, region->gpa, region->size);
    }
}

int machine_reset(struct machine *machine, struct error *error)
{
    machine->run.reset_requested = false;
    for (unsigned i = 0; i < machine->device_count; i++) {
        const struct device *device = &machine->devices[i];
        device->ops->reset(device->object);
    }
    pci_setup(machine->pci);
    machine->run.priority_written = machine->position.halted = false;
    if (load_guest(machine, error) < 0)
        return -1;
    forget_code(machine, machine->engine);
    return 0;
}

static int build(
    struct machine *machine, const struct machine_options *options, struct error *error)
{
    const struct machine_config *config = options->config;
    if (memory_create(&machine->memory, config->memory, config->memory_count, error) < 0)
        return -1;
    if (create_engine(machine, options->engine, error) < 0)
        return -1;
    bus_init(&machine->ports, 1 << 16);
    bus_init(&machine->mmio, 1ull << 52);
    clock_init(&machine->clock, sample_clock, machine);
    timer_init(&machine->clock, &machine->run.limit, time_is_up, machine);
    timer_arm(&machine->clock, &machine->run.limit, config->max_time);
    machine->counts_time = machine->home->ops->counts && !options->time_from_inputs;
    machine->position.counted = machine->home->ops->counts;
    machine->position.at_boundary = true;
    machine_limit(machine, UINT64_MAX);
    if (platform_create(machine, options, error) < 0)
        return -1;
    machine->kernel = *options->kernel;
    if (options->module_count > BOOT_MAX_MODULES)
        return error_set(error, "there are %u modules; at most %d are possible",
            options->module_count, BOOT_MAX_MODULES);
    machine->module_count = options->module_count;
    for (unsigned i = 0; i < options->module_count; i++)
        machine->modules[i] = options->modules[i];
    if (load_guest(machine, error) < 0)
        return -1;
    return clear_dirty_pages(machine, error);
}

struct machine *machine_create(const struct machine_options *options, struct error *error)
{
    struct machine *machine = calloc(1, sizeof *machine);
    if (!machine) {
        error_set(error, "out of memory");
        return NULL;
    }
    machine->config = options->config;
    machine->source = options->source;
    services_init(machine, options->no_host);
    if (build(machine, options, error) < 0) {
        machine_destroy(machine);
        return NULL;
    }
    return machine;
}

void machine_destroy(struct machine *machine)
{
    if (!machine)
        return;
    machine->services.closing = true;
    platform_destroy(machine);
    if (machine->home != machine->soft)
        engine_destroy(machine->home);
    engine_destroy(machine->soft);
    memory_destroy(&machine->memory);
    free(machine->breakpoints.list);
    free(machine);
}

int machine_observe(
    struct machine *machine, const struct machine_observer *observer, struct error *error)
{
    if (machine->observer_count == MACHINE_MAX_OBSERVERS)
        return error_set(error, "the machine has no room for another observer");
    machine->observers[machine->observer_count++] = *observer;
    return 0;
}

void machine_request_stop(struct machine *machine)
{
    atomic_store(&machine->run.stop_requested, true);
    engine_kick(machine->home);
    if (machine->soft)
        engine_kick(machine->soft);
}

void machine_stop(struct machine *machine, enum stop_reason reason)
{
    assert(reason != STOP_NONE);
    machine->run.stop = reason;
}

void machine_exit(struct machine *machine, unsigned status)
{
    machine->run.status = status;
    machine_stop(machine, STOP_DEBUG_EXIT);
}

enum stop_reason machine_stopped(const struct machine *machine)
{
    return machine->run.stop;
}

void machine_limit(struct machine *machine, uint64_t retired)
{
    machine->run.retired_limit = retired;
}

void machine_digest_events(struct machine *machine, bool wanted)
{
    machine->observe_state = wanted;
}

void machine_go_live(struct machine *machine)
{
    machine->counts_time = true;
}

struct position machine_position(const struct machine *machine)
{
    struct position position = {.event = machine->position.event};
    if (machine->position.counted)
        position.insn = machine->engine->retired - machine->position.event_retired;
    return position;
}

int machine_set_breakpoints(
    struct machine *machine, const struct breakpoint *list, unsigned count, struct error *error)
{
    struct breakpoint *copy = NULL;
    if (count) {
        copy = calloc(count, sizeof *copy);
        if (!copy)
            return error_set(error, "out of memory");
        memcpy(copy, list, count * sizeof *copy);
    }
    free(machine->breakpoints.list);
    machine->breakpoints.list = copy;
    machine->breakpoints.count = count;
    machine->breakpoints.changed = true;
    machine->breakpoints.end_turns = false;
    return 0;
}

int machine_end_turns_at(
    struct machine *machine, const struct breakpoint *range, struct error *error)
{
    if (machine_set_breakpoints(machine, range, 1, error) < 0)
        return -1;
    machine->breakpoints.end_turns = true;
    return 0;
}

int machine_switch_engine(struct machine *machine, struct engine *engine, struct error *error)
{
    struct engine *old = machine->engine;
    struct vcpu_state state = {0};
    uint8_t vector = 0;
    if (old == engine)
        return 0;
    assert(engine == machine->home || engine == machine->soft);
    assert(!machine->run.pending_more); /* the state belongs to the engine until it is complete */
    int queued = engine_queued_interrupt(machine->engine, &vector, error);
    if (queued < 0 || engine_export_state(old, &state, error) < 0 ||
        engine_import_state(engine, &state, error) < 0)
        return -1;
    engine_forget_code(engine);
    if (queued && engine_interrupt(engine, vector, error) < 0)
        return -1;
    machine->engine = engine;
    machine->position.counted = machine->position.at_boundary && engine->ops->counts;
    machine->position.event_retired = engine->retired;
    if (!machine->counts_time)
        machine_set_time(machine, machine->clock.now);
    return 0;
}

void machine_fail(struct machine *machine, const struct error *error)
{
    if (machine->run.device_failed)
        return;
    machine->run.device_failed = true;
    machine->run.device_error = *error;
}

static void tell_observers(struct machine *machine, uint8_t kind, const uint8_t *data, size_t size)
{
    for (unsigned i = 0; i < machine->observer_count; i++) {
        const struct machine_observer *observer = &machine->observers[i];
        struct error error;
        if (!observer->note)
            continue;
        int result = observer->note(observer->context, machine, kind, data, size, &error);
        if (result < 0)
            machine_fail(machine, &error);
        if (result > 0)
            machine_stop(machine, STOP_DIVERGED);
    }
}

void machine_note(struct machine *machine, uint8_t kind, struct buffer *payload)
{
    struct error error;
    if (payload->failed) {
        error_set(&error, "out of memory for a note in the trace");
        machine_fail(machine, &error);
    } else if (!machine->services.closing) {
        tell_observers(machine, kind, payload->data, payload->size);
    }
    buffer_free(payload);
}

/* An interrupt that waits in KVM is delivered by the software CPU. */
static int settle_interrupt(struct machine *machine, struct error *error)
{
    uint8_t vector;
    int queued = engine_queued_interrupt(machine->engine, &vector, error);
    if (queued <= 0)
        return queued;
    struct engine *soft = machine_soft(machine, error);
    return soft ? machine_switch_engine(machine, soft, error) : -1;
}

int machine_digest(struct machine *machine, uint64_t *digest, struct error *error)
{
    struct vcpu_state state;
    uint64_t parts[2];
    if (settle_interrupt(machine, error) < 0)
        return -1;
    if (engine_export_state(machine->engine, &state, error) < 0 ||
        digest_memory(&machine->memory, &state, &parts[1], error) < 0)
        return -1;
    parts[0] = vcpu_digest_full(&state);
    struct buffer saved = {0};
    buffer_put(&saved, parts, sizeof parts);
    vcpus_save(machine, &saved);
    for (unsigned i = 0; i < machine->device_count; i++) {
        const struct device *device = &machine->devices[i];
        device->ops->save(device->object, &saved);
    }
    if (saved.failed) {
        buffer_free(&saved);
        return error_set(error, "out of memory while digesting the devices");
    }
    *digest = XXH3_64bits(saved.data, saved.size);
    buffer_free(&saved);
    return 0;
}

struct device *machine_find_device(struct machine *machine, const char *name)
{
    for (unsigned i = 0; i < machine->device_count; i++) {
        if (strcmp(machine->devices[i].name, name) == 0)
            return &machine->devices[i];
    }
    return NULL;
}

static void describe_code(
    struct machine *machine, const struct vcpu_state *state, struct buffer *out)
{
    uint8_t code[15];
    uint64_t linear = state->rip;
    cs_mode mode = CS_MODE_64;
    if (!vcpu_in_64bit_mode(state)) {
        const struct segment *cs = &state->segment[SEG_CS];
        linear = (linear + cs->base) & UINT32_MAX;
        mode = cs->attributes & SEG_DB ? CS_MODE_32 : CS_MODE_16;
    }
    uint64_t size = translate_read(&machine->memory, state, linear, code, sizeof code);
    buffer_printf(out, "code at %#" PRIx64 ":", state->rip);
    if (size == 0)
        buffer_printf(out, " not mapped");
    for (uint64_t i = 0; i < size; i++)
        buffer_printf(out, " %02x", code[i]);
    buffer_printf(out, "\n");
    csh handle;
    cs_insn *insn;
    if (cs_open(CS_ARCH_X86, mode, &handle) != CS_ERR_OK)
        return;
    if (cs_disasm(handle, code, size, state->rip, 1, &insn) == 1) {
        buffer_printf(out, "  %s %s\n", insn->mnemonic, insn->op_str);
        cs_free(insn, 1);
    }
    cs_close(&handle);
}

void machine_describe(struct machine *machine, struct buffer *out)
{
    struct vcpu_state state;
    if (engine_export_state(machine->engine, &state, NULL) < 0) {
        buffer_printf(out, "the vCPU's registers cannot be read\n");
        return;
    }
    vcpu_describe(&state, out);
    describe_code(machine, &state, out);
}
