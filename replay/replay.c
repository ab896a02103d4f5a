/* Replays a machine and compares it with the trace. */
#include "replay/replay.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>
#include <stdlib.h>
#include <string.h>

#include "replay/source.h"
#include "vmm/machine/inject.h"
#include "vmm/machine/engines.h"
#include "vmm/machine/landing.h"

enum { HISTORY = 10 };

struct replay {
    struct replay_source source;
    struct trace_notes *notes;
    struct trace_reader *reader;
    struct trace_info info;
    struct trace_inputs *inputs;
    struct trace_checks *checks;
    struct trace_chain chain;
    struct machine_config config;
    struct machine *machine;
    uint8_t *kernel, *module_data[BOOT_MAX_MODULES];
    struct boot_image kernel_image, modules[BOOT_MAX_MODULES];
    unsigned module_count;
    bool verify;

    struct machine_event history[HISTORY];
    unsigned history_count;
    /* The first difference. */
    bool differs;
    unsigned fields; /* enum trace_difference */
    bool beyond;     /* the recorded run had no such event */
    struct trace_check recorded;
    struct machine_event own;
    bool final_differs;
};

/* ---- Opening ---- */

unsigned replay_machine_version(const struct trace_reader *trace)
{
    const char *text = trace_reader_setting(trace, "machine");
    char *end;
    if (!text)
        return MACHINE_VERSION_UNSAID;
    errno = 0;
    unsigned long version = strtoul(text, &end, 10);
    bool is_number = isdigit((unsigned char)*text) && *end == '\0' && errno == 0;
    return is_number && version <= UINT_MAX ? (unsigned)version : 0;
}

/* Does this build still make machines of the version? */
static bool is_built(unsigned version)
{
    return version >= MACHINE_VERSION_OLDEST && version <= MACHINE_VERSION;
}

bool replay_follows(const struct trace_reader *trace)
{
    const char *rules = trace_reader_setting(trace, "cpu-rules");
    struct personality personality;
    struct error error;
    return is_built(replay_machine_version(trace)) && rules &&
           (!personality_parse(rules, &personality) ||
               personality_check(&personality, &error) == 0);
}

static int check_version(const struct trace_reader *trace, struct error *error)
{
    unsigned version = replay_machine_version(trace);
    const char *maker = trace_reader_setting(trace, "hindsight");
    const char *rules = trace_reader_setting(trace, "cpu-rules");
    struct personality personality;
    if (is_built(version) && !rules)
        return error_set(error,
            "the trace does not say which CPU rules it follows (cpu-rules): whose undefined "
            "results the guest saw is not known; try --any-version, which takes AMD's");
    if (is_built(version))
        return personality_parse(rules, &personality) ? personality_check(&personality, error) : 0;
    return error_set(error,
        "machine version %u made the trace, and this build has machine versions %d to %d: replay "
        "it with the build that recorded it (hindsight %.32s), or try --any-version%s",
        version, MACHINE_VERSION_OLDEST, MACHINE_VERSION, maker ? maker : "of an unknown version",
        rules ? "" : ". It names no CPU rules: undefined results are those of the host it ran on");
}

static void *load_blob(
    struct replay *replay, const char *name, size_t *size, bool *damaged, struct error *error)
{
    struct trace_blob blob;
    int number = trace_reader_find_blob(replay->reader, name);
    *size = 0;
    if (number < 0 || !trace_reader_blob_at(replay->reader, (size_t)number, &blob)) {
        *damaged = true;
        error_set(
            error, "the trace holds no %s: the recorder ended before it had written one", name);
        return NULL;
    }
    uint8_t *data = malloc(blob.size + 1);
    if (!data) {
        error_set(error, "out of memory for the %s", name);
        return NULL;
    }
    int result = trace_reader_blob(replay->reader, (size_t)number, data, error);
    if (result < 0) {
        *damaged = result == TRACE_DAMAGED;
        free(data);
        return NULL;
    }
    *size = blob.size;
    return data;
}

/* Settings that describe the recording and not the machine. */
static bool is_description(const char *key)
{
    static const char *const keys[] = {
        "hindsight", "machine", "engine", "cpu", "kernel-name", "time", "forked-at"};
    size_t length = strlen(key);
    for (unsigned i = 0; i < BOOT_MAX_MODULES; i++) {
        size_t label = strlen(boot_module_label(i));
        if (length > label && strncmp(key, boot_module_label(i), label) == 0 &&
            strcmp(key + label, "-name") == 0)
            return true;
    }
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (strcmp(key, keys[i]) == 0)
            return true;
    }
    return false;
}

/* Memory is only taken as the guest writes to it, but a hostile trace's guest may. */
static int check_memory(const struct replay *replay, uint64_t limit, struct error *error)
{
    uint64_t wanted = 0;
    for (unsigned i = 0; i < replay->config.memory_count; i++)
        wanted += replay->config.memory[i].size;
    bool is_default = limit == 0;
    if (is_default)
        limit = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 4 * 3;
    if (wanted <= limit)
        return 0;
    return error_set(error,
        "the trace asks for %" PRIu64 " MiB of RAM; %s is %" PRIu64 " MiB: --memory-limit %" PRIu64
        "M allows it",
        wanted >> 20, is_default ? "three quarters of this host's" : "the limit", limit >> 20,
        wanted >> 20);
}

static int read_config(struct replay *replay, struct error *error)
{
    struct buffer text = {0};
    const char *key, *value;
    for (size_t i = 0; trace_reader_setting_at(replay->reader, i, &key, &value); i++) {
        if (is_description(key))
            continue;
        buffer_put(&text, key, strlen(key));
        buffer_put_u8(&text, '=');
        buffer_put(&text, value, strlen(value));
        buffer_put_u8(&text, '\n');
    }
    int result = text.failed ? error_set(error, "out of memory")
                             : config_parse(&replay->config, text.size ? (char *)text.data : "",
                                   text.size, error);
    buffer_free(&text);
    unsigned version = replay_machine_version(replay->reader);
    replay->config.version = is_built(version) ? version : MACHINE_VERSION;
    return result;
}

/* Compares one event with the trace's. */
static int check_event(
    void *context, struct machine *machine, const struct machine_event *event, struct error *error)
{
    struct replay *replay = context;
    (void)machine;
    replay->history[replay->history_count++ % HISTORY] = *event;
    if (!replay->checks || event->ordinal >= replay->info.checked_end)
        return 0;
    int result = trace_checks_next(replay->checks, &replay->recorded, error);
    if (result < 0) {
        replay->source.damaged = result == TRACE_DAMAGED;
        return -1;
    }
    const struct trace_check own = {
        .event = event->ordinal,
        .kind = (uint8_t)event->kind,
        .size = event->size,
        .observed = event->digest_kind != DIGEST_NONE,
        .address = event->address,
        .value = event->value,
        .insn_delta = event->insns,
        .digest = event->digest,
    };
    replay->beyond = result == 0;
    replay->fields = result == 0
                         ? TRACE_DIFFERS_EVENT
                         : trace_check_compare(&replay->recorded, &own,
                               event->counted && replay->info.counts_instructions, &replay->chain);
    if (replay->fields == 0)
        return 0;
    replay->differs = true;
    replay->own = *event;
    return 1;
}

/* Compares a detail of an event with the trace's. */
static int check_note(void *context, struct machine *machine, uint8_t kind, const uint8_t *data,
    size_t size, struct error *error)
{
    struct replay *replay = context;
    struct trace_note note;
    uint64_t event = machine->position.event + 1;
    if (!replay->notes || event >= replay->info.checked_end)
        return 0;
    int result = trace_notes_next(replay->notes, &note, error);
    if (result < 0) {
        replay->source.damaged = result == TRACE_DAMAGED;
        return -1;
    }
    if (result > 0 && note.event == event && note.kind == kind && note.size == size &&
        memcmp(note.payload, data, size) == 0)
        return 0;
    replay->source.diverged = true;
    error_set(&replay->source.why,
        "event %" PRIu64
        " does other disk or network I/O than in the recorded run (a note of kind %u, %zu "
        "bytes; recorded: %s kind %u, %zu bytes)",
        event, kind, size, result ? "" : "none,", result ? note.kind : 0u, result ? note.size : 0);
    return 1;
}

/* What recorded; KVM only on a processor that follows the trace's rules by itself, and where it
 * sees what the trace has as inputs. */
static const char *engine_for(const struct replay *replay)
{
    const char *recorded = trace_reader_setting(replay->reader, "engine");
    struct host_cpu host;
    host_cpu_identify(&host);
    bool same_rules = host_cpu_personality(&host).maker == replay->config.personality.maker;
    if (!same_rules || !recorded)
        return "soft";
    bool needs_tsc = replay->config.tsc_is_input && strcmp(recorded, "kvm") == 0;
    return needs_tsc && !engines_kvm_sees_tsc() ? "soft" : recorded;
}

static int load_modules(struct replay *replay, bool *damaged, struct error *error)
{
    for (unsigned i = 0; i < BOOT_MAX_MODULES; i++) {
        const char *label = boot_module_label(i);
        char key[32];
        size_t size;
        if (trace_reader_find_blob(replay->reader, label) < 0)
            return 0;
        snprintf(key, sizeof key, "%s-name", label);
        const char *name = trace_reader_setting(replay->reader, key);
        uint8_t *data = load_blob(replay, label, &size, damaged, error);
        if (!data)
            return -1;
        replay->module_data[i] = data;
        replay->modules[i] = (struct boot_image){name ? name : label, data, size};
        replay->module_count++;
    }
    return 0;
}

static int create_machine(
    struct replay *replay, const struct replay_options *options, bool *damaged, struct error *error)
{
    size_t size;
    const char *name = trace_reader_setting(replay->reader, "kernel-name");
    replay->kernel = load_blob(replay, "kernel", &size, damaged, error);
    if (!replay->kernel)
        return -1;
    replay->kernel_image = (struct boot_image){name ? name : "kernel", replay->kernel, size};
    if (load_modules(replay, damaged, error) < 0)
        return -1;
    const char *engine = options->engine;
    if (!engine)
        engine = engine_for(replay);
    const char *time = trace_reader_setting(replay->reader, "time");
    struct input_source *source = &replay->source.source;
    if (options->wrap && !(source = options->wrap(options->wrap_context, replay, error)))
        return -1;
    const struct machine_options machine = {
        .config = &replay->config,
        .engine = engine,
        .time_from_inputs =
            !replay->info.counts_instructions || (time && strcmp(time, "inputs") == 0),
        .kernel = &replay->kernel_image,
        .modules = replay->modules,
        .module_count = replay->module_count,
        .source = source,
        .no_host = true,
        .line_changed = options->line_changed,
        .line_target = options->line_target,
        .console = options->console,
        .debug_console = options->debug_console,
    };
    replay->machine = machine_create(&machine, error);
    if (!replay->machine)
        return -1;
    machine_digest_events(replay->machine, replay->verify && replay->info.has_checks);
    const struct machine_observer observer = {
        .event = check_event, .note = check_note, .context = replay};
    return machine_observe(replay->machine, &observer, error);
}

/* Opens the boot files of a trace that only names them. */
static int find_boot_files(struct replay *replay, const char *folder, struct error *error)
{
    if (!replay->info.stored)
        return 0;
    if (!folder)
        return error_set(error, "the trace's boot files are in a store, and none is given");
    struct trace_store *store = trace_store_open(folder, false, error);
    int result = store ? trace_reader_use_store(replay->reader, store, error) : -1;
    trace_store_close(store);
    return result;
}

struct replay *replay_open(
    const char *path, const struct replay_options *options, bool *damaged, struct error *error)
{
    struct replay *replay = calloc(1, sizeof *replay);
    *damaged = false;
    if (!replay) {
        error_set(error, "out of memory");
        return NULL;
    }
    replay->verify = options->verify;
    int result = trace_reader_open(&replay->reader, path, error);
    if (result < 0) {
        *damaged = result == TRACE_DAMAGED;
        replay->reader = NULL;
        replay_close(replay);
        return NULL;
    }
    if (!options->any_version && check_version(replay->reader, error) < 0) {
        error_prefix(error, "%s", path);
        replay_close(replay);
        return NULL;
    }
    trace_reader_info(replay->reader, &replay->info);
    replay->inputs = trace_inputs_open(replay->reader, error);
    if (replay->inputs && replay->verify && replay->info.has_checks)
        replay->checks = trace_checks_open(replay->reader, error);
    if (replay->checks)
        replay->notes = trace_notes_open(replay->reader, error);
    if (!replay->inputs ||
        (replay->verify && replay->info.has_checks && (!replay->checks || !replay->notes))) {
        replay_close(replay);
        return NULL;
    }
    replay_source_init(&replay->source, replay->inputs, &replay->info);
    if (find_boot_files(replay, options->store, error) < 0 || read_config(replay, error) < 0 ||
        check_memory(replay, options->memory_limit, error) < 0 ||
        create_machine(replay, options, damaged, error) < 0) {
        error_prefix(error, "%s", path);
        replay_close(replay);
        return NULL;
    }
    return replay;
}

void replay_close(struct replay *replay)
{
    if (!replay)
        return;
    machine_destroy(replay->machine);
    replay_source_free(&replay->source);
    if (replay->notes)
        trace_notes_close(replay->notes);
    if (replay->checks)
        trace_checks_close(replay->checks);
    if (replay->inputs)
        trace_inputs_close(replay->inputs);
    trace_reader_close(replay->reader);
    free(replay->kernel);
    for (unsigned i = 0; i < replay->module_count; i++)
        free(replay->module_data[i]);
    free(replay);
}

struct machine_config *replay_config(struct replay *replay)
{
    return &replay->config;
}

const struct boot_image *replay_kernel(const struct replay *replay)
{
    return &replay->kernel_image;
}

const struct boot_image *replay_modules(const struct replay *replay)
{
    return replay->modules;
}

unsigned replay_module_count(const struct replay *replay)
{
    return replay->module_count;
}

struct machine *replay_machine(struct replay *replay)
{
    return replay->machine;
}

struct replay_source *replay_inputs(struct replay *replay)
{
    return &replay->source;
}

const struct trace_reader *replay_trace(const struct replay *replay)
{
    return replay->reader;
}

const struct trace_info *replay_info(const struct replay *replay)
{
    return &replay->info;
}

/* ---- Running ---- */

/* At the trace's end: the final state, and that the trace could be read to there. */
static int check_end(
    struct replay *replay, enum replay_outcome *outcome, bool *damaged, struct error *error)
{
    if (replay->info.damaged) {
        *error = replay->info.damage;
        *damaged = true;
        return -1;
    }
    const struct trace_end *end = &replay->info.end;
    uint64_t digest;
    if (replay->verify && replay->info.complete && end->digest_size == sizeof digest) {
        if (machine_digest(replay->machine, &digest, error) < 0)
            return -1;
        replay->final_differs = memcmp(&digest, end->digest, sizeof digest) != 0;
    }
    if (replay->final_differs)
        *outcome = REPLAY_DIVERGED;
    else
        *outcome = replay->checks ? REPLAY_IDENTICAL : REPLAY_UNCHECKED;
    return 0;
}

int replay_run(struct replay *replay, struct position until, enum replay_outcome *outcome,
    bool *damaged, struct error *error)
{
    struct machine *machine = replay->machine;
    *damaged = false;
    *outcome = REPLAY_STOPPED;
    int result = machine_run(machine, until, error);
    if (replay->differs || replay->source.diverged) {
        *outcome = REPLAY_DIVERGED;
        return 0;
    }
    if (result < 0) {
        *damaged = replay->source.damaged;
        return -1;
    }
    if (machine->position.event >= replay->source.last_event &&
        machine_stopped(machine) != STOP_UNTIL && machine_stopped(machine) != STOP_INTERRUPTED &&
        machine_stopped(machine) != STOP_BREAKPOINT)
        return check_end(replay, outcome, damaged, error);
    switch (machine_stopped(machine)) {
    case STOP_UNTIL:
    case STOP_INTERRUPTED:
    case STOP_BREAKPOINT:
        return 0;
    default:
        /* The guest ended by itself before the recorded run did. */
        replay->source.diverged = true;
        error_set(&replay->source.why,
            "the guest stopped (%s) although the recorded run went on to event %" PRIu64,
            stop_reason_name(machine_stopped(machine)), replay->source.last_event);
        *outcome = REPLAY_DIVERGED;
        return 0;
    }
}

/* ---- Reporting ---- */

void replay_format_event(const struct machine_event *event, struct buffer *out)
{
    buffer_printf(out, "%" PRIu64 " %s", event->ordinal, event_kind_name(event->kind));
    switch (event->kind) {
    case EVENT_PIO_IN:
    case EVENT_PIO_OUT:
    case EVENT_MMIO_READ:
    case EVENT_MMIO_WRITE:
    case EVENT_MSR_WRITE:
    case EVENT_MSR_READ:
        buffer_printf(
            out, " %#" PRIx64 "/%u = %#" PRIx64, event->address, event->size, event->value);
        break;
    case EVENT_INTERRUPT:
        buffer_printf(out, " vector %#" PRIx64, event->value);
        break;
    case EVENT_TURN:
        buffer_printf(out, " to vCPU %" PRIu64, event->value);
        break;
    case EVENT_NMI_SENT:
        buffer_printf(out, " to vCPU %" PRIu64, event->value);
        break;
    case EVENT_REGISTER: {
        const char *name = inject_register_name((unsigned)event->address);
        buffer_printf(out, " %s = %#" PRIx64, name ? name : "?", event->value);
        break;
    }
    case EVENT_MEMORY:
        buffer_printf(
            out, " %#" PRIx64 " %u bytes %#" PRIx64, event->address, event->size, event->value);
        break;
    case EVENT_TIME:
        buffer_printf(out, " t=%" PRIu64 "ns", event->value);
        break;
    case EVENT_CONSOLE:
        buffer_printf(
            out, " port %" PRIu64 " %u bytes %#" PRIx64, event->address, event->size, event->value);
        break;
    default:
        break;
    }
    if (event->counted)
        buffer_printf(out, " (+%" PRIu64 " instructions)", event->insns);
}

static void report_fields(const struct replay *replay, struct buffer *out)
{
    static const char *const names[] = {
        "position", "kind", "address", "size", "value", "instruction count", "flags", "vCPU state"};
    const char *separator = "";
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!(replay->fields & (1u << i)))
            continue;
        buffer_printf(out, "%s%s", separator, names[i]);
        separator = ", ";
    }
}

static void report_event(const struct replay *replay, struct buffer *out)
{
    buffer_printf(out, "diverged at event %" PRIu64 ": ", replay->own.ordinal);
    if (replay->beyond) {
        buffer_printf(out, "the recorded run has no such event\n");
    } else {
        report_fields(replay, out);
        buffer_printf(out, " differ\n");
        const struct trace_check *check = &replay->recorded;
        const struct machine_event recorded = {
            .kind = (enum event_kind)check->kind,
            .size = check->size,
            .ordinal = check->event,
            .address = check->address,
            .value = check->value,
            .counted = replay->info.counts_instructions,
            .insns = check->insn_delta,
        };
        buffer_printf(out, "  recorded: ");
        replay_format_event(&recorded, out);
        if (check->observed)
            buffer_printf(out, ", state chain ..%02x", check->chain_low);
        buffer_printf(out, "\n");
    }
    buffer_printf(out, "  replayed: ");
    replay_format_event(&replay->own, out);
    buffer_printf(out, ", state digest %016" PRIx64 "\n", replay->own.digest);
}

void replay_report(const struct replay *replay, struct buffer *out)
{
    if (replay->differs)
        report_event(replay, out);
    else if (replay->source.diverged)
        buffer_printf(out, "diverged after event %" PRIu64 ": %s\n",
            replay->machine->position.event, replay->source.why.text);
    else if (replay->final_differs)
        buffer_printf(out,
            "diverged at the end (event %" PRIu64
            "): every event is as recorded, but the final state of memory or devices is not\n",
            replay->machine->position.event);
    if (!trace_reader_setting(replay->reader, "cpu-rules"))
        buffer_printf(out, "the trace names no CPU rules: AMD's were taken\n");
    const struct landing *landing = &replay->source.landing;
    if (replay->source.landing_loaded && !landing->counted) {
        buffer_printf(out, "while replay looked for a landing, ");
        landing_describe_nearest(landing, out);
    }
    buffer_printf(out, "last events replayed:\n");
    unsigned count = replay->history_count < HISTORY ? replay->history_count : HISTORY;
    for (unsigned i = count; i > 0; i--) {
        buffer_printf(out, "  ");
        replay_format_event(&replay->history[(replay->history_count - i) % HISTORY], out);
        buffer_printf(out, "\n");
    }
    machine_describe(replay->machine, out);
}
