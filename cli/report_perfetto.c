/* The run as a trace in Chrome's JSON format. */
#include "cli/report_perfetto.h"

#include <inttypes.h>

#include "vmm/storage/disk.h"

enum { ROWS_MAX = 8000000, IDLE = 0, KERNEL = 1, USER = 2 };

/* Begins an event of the format; times there are microseconds. False when there are too many. */
static bool begin(struct report_perfetto *perfetto, char phase, unsigned track, uint64_t time)
{
    if (perfetto->rows >= ROWS_MAX) {
        perfetto->left_out++;
        return false;
    }
    buffer_printf(&perfetto->text,
        "%s{\"ph\":\"%c\",\"pid\":1,\"tid\":%u,\"ts\":%" PRIu64 ".%03" PRIu64,
        perfetto->rows++ ? ",\n" : "", phase, track, time / 1000, time % 1000);
    return true;
}

static void name_track(struct report_perfetto *perfetto, unsigned track, const char *name)
{
    if (begin(perfetto, 'M', track, 0))
        buffer_printf(&perfetto->text, ",\"name\":\"thread_name\",\"args\":{\"name\":\"%s %u\"}}",
            name, track % 100);
}

/* Tracks: vCPUs from 0, their interrupts from 100, disks from 200. */
enum { INTERRUPTS = 100, DISKS = 200 };

/* The slice of a vCPU's track ends where another state begins. */
static void change(struct report_perfetto *perfetto, unsigned vcpu, int state, uint64_t time)
{
    if (perfetto->state[vcpu] == state)
        return;
    if (perfetto->state[vcpu] != IDLE && begin(perfetto, 'E', vcpu, time))
        buffer_printf(&perfetto->text, "}");
    perfetto->state[vcpu] = state;
    if (state != IDLE && begin(perfetto, 'B', vcpu, time))
        buffer_printf(&perfetto->text, ",\"name\":\"%s\"}", state == USER ? "user" : "kernel");
}

int report_perfetto_changed(
    struct report_perfetto *perfetto, struct machine *machine, struct error *error)
{
    struct vcpu_state state = {0};
    if (engine_export_core(machine->engine, &state, error) < 0)
        return -1;
    change(
        perfetto, machine->current, vcpu_cpl(&state) == 3 ? USER : KERNEL, machine_time(machine));
    return 0;
}

static int see_event(
    void *context, struct machine *machine, const struct machine_event *event, struct error *error)
{
    struct report_perfetto *perfetto = context;
    struct vcpu_state state = {0};
    uint64_t now = machine_time(machine);
    unsigned vcpu = machine->current;
    if (engine_export_core(machine->engine, &state, error) < 0)
        return -1;
    if (vcpu != perfetto->current)
        change(perfetto, perfetto->current, IDLE, now);
    perfetto->current = vcpu;
    change(perfetto, vcpu,
        event->kind == EVENT_HLT ? IDLE
        : vcpu_cpl(&state) == 3  ? USER
                                 : KERNEL,
        now);
    if (event->kind == EVENT_INTERRUPT && begin(perfetto, 'i', INTERRUPTS + vcpu, now))
        buffer_printf(&perfetto->text,
            ",\"s\":\"t\",\"name\":\"interrupt %" PRIu64 "\",\"args\":{\"event\":%" PRIu64 "}}",
            event->value, event->ordinal);
    return 0;
}

static int see_note(void *context, struct machine *machine, uint8_t kind, const uint8_t *data,
    size_t size, struct error *error)
{
    static const char *const names[] = {"read", "write", "flush", "discard", "zero"};
    struct report_perfetto *perfetto = context;
    struct note_disk_request note;
    (void)error;
    if (kind != NOTE_DISK_REQUEST || !note_disk_request_decode(&note, data, size))
        return 0;
    if (!begin(perfetto, 'i', DISKS + note.disk, machine_time(machine)))
        return 0;
    buffer_printf(&perfetto->text,
        ",\"s\":\"t\",\"name\":\"%s\",\"args\":{\"sector\":%" PRIu64 ",\"count\":%" PRIu32
        ",\"event\":%" PRIu64 "}}",
        (unsigned)note.kind < 5 ? names[note.kind] : "?", note.sector, note.count,
        machine->position.event + 1);
    return 0;
}

int report_perfetto_attach(
    struct report_perfetto *perfetto, struct machine *machine, struct error *error)
{
    buffer_printf(&perfetto->text, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n");
    for (unsigned i = 0; i < machine->config->cpus; i++) {
        name_track(perfetto, i, "vCPU");
        name_track(perfetto, INTERRUPTS + i, "interrupts of vCPU");
    }
    for (unsigned i = 0; i < CONFIG_MAX_DISKS; i++) {
        if (machine->disk[i])
            name_track(perfetto, DISKS + i, "disk");
    }
    const struct machine_observer observer = {
        .event = see_event, .note = see_note, .context = perfetto};
    return machine_observe(machine, &observer, error);
}

void report_perfetto_end(struct report_perfetto *perfetto, const struct machine *machine)
{
    change(perfetto, perfetto->current, IDLE, machine_time(machine));
    buffer_printf(&perfetto->text, "\n]}\n");
}

void report_perfetto_free(struct report_perfetto *perfetto)
{
    buffer_free(&perfetto->text);
}
