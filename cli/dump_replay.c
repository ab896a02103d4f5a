/* hindsight dump by what the trace does not say of an event: its device, its vCPU, its time. */
#include "cli/dump.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/event_device.h"
#include "cli/progress.h"
#include "replay/replay.h"
#include "vmm/host/confine.h"

struct listing {
    const struct dump_selection *selection;
    const struct trace_info *info;
    struct buffer out;
    struct progress progress;
    bool device_seen; /* a device of the name was on a bus */
    bool closed;      /* standard output */
};

static bool has_device(const struct machine *machine, const char *name)
{
    const struct bus *const buses[] = {&machine->ports, &machine->mmio};
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned j = 0; j < buses[i]->count; j++) {
            if (strcmp(buses[i]->ranges[j].name, name) == 0)
                return true;
        }
    }
    return false;
}

static int on_event(
    void *context, struct machine *machine, const struct machine_event *event, struct error *error)
{
    struct listing *listing = context;
    const struct dump_selection *selection = listing->selection;
    uint64_t now = machine_time(machine);
    (void)error;
    if (event->ordinal % 16384 == 0)
        progress_show(&listing->progress, event->ordinal, listing->info->end_event);
    if (event->ordinal < selection->from || now < selection->from_ns)
        return 0;
    if (event->ordinal > selection->to || now > selection->to_ns) {
        machine_request_stop(machine);
        return 0;
    }
    if (selection->device) {
        bool is_its = strcmp(event_device(machine, event), selection->device) == 0;
        listing->device_seen |= is_its;
        if (!is_its)
            return 0;
    }
    if ((selection->cpu >= 0 && machine->current != (unsigned)selection->cpu) ||
        !dump_wants(selection, event))
        return 0;
    dump_event(selection, event, (int)machine->current, now, &listing->out);
    listing->closed = !dump_flush(&listing->out, false);
    if (listing->closed)
        machine_request_stop(machine);
    return 0;
}

static void put_names(const struct bus *bus, struct buffer *out)
{
    for (unsigned i = 0; i < bus->count; i++) {
        if (i == 0 || strcmp(bus->ranges[i].name, bus->ranges[i - 1].name) != 0)
            buffer_printf(out, "%s%s", out->size ? ", " : "", bus->ranges[i].name);
    }
}

static int no_device(const struct machine *machine, const char *name)
{
    struct error error;
    struct buffer names = {0};
    put_names(&machine->ports, &names);
    put_names(&machine->mmio, &names);
    buffer_put_u8(&names, 0);
    error_set(&error, "--device %s: no device of this name had a register; at the end there are %s",
        name, names.failed ? "some" : (const char *)names.data);
    buffer_free(&names);
    return cli_fail(STATUS_ERROR, &error);
}

static int run(const char *path, struct replay *replay, const struct dump_selection *selection)
{
    struct error error = {""};
    struct listing listing = {
        .selection = selection, .info = replay_info(replay), .progress = {.label = "replaying"}};
    const struct machine_observer observer = {.event = on_event, .context = &listing};
    struct machine *machine = replay_machine(replay);
    enum replay_outcome outcome;
    bool damaged = false;
    int result = machine_observe(machine, &observer, &error);
    if (result == 0)
        result = replay_run(replay, POSITION_END, &outcome, &damaged, &error);
    progress_end(&listing.progress);
    bool printed = dump_flush(&listing.out, true) && !listing.closed;
    buffer_free(&listing.out);
    if (result < 0) {
        error_prefix(&error, "%s: event %" PRIu64, path, machine_position(machine).event);
        return cli_fail(damaged ? STATUS_DAMAGED : STATUS_ERROR, &error);
    }
    if (outcome == REPLAY_DIVERGED) {
        cli_say("%s: the replay diverges at event %" PRIu64 ": what came before is as recorded",
            path, machine_position(machine).event);
        return STATUS_DIVERGED;
    }
    if (selection->device && !listing.device_seen && !has_device(machine, selection->device))
        return no_device(machine, selection->device);
    return printed ? STATUS_OK : STATUS_ERROR;
}

int dump_replay(const char *path, const char *store, struct dump_selection *selection)
{
    struct error error = {""};
    bool damaged = false;
    const struct replay_options options = {.verify = true, .store = store};
    struct replay *replay = replay_open(path, &options, &damaged, &error);
    if (!replay)
        return cli_fail_open(path, store, false, damaged, &error);
    cli_confine(&(struct confine){0});
    int status = dump_take_range(selection, replay_trace(replay));
    if (status == STATUS_OK)
        status = run(path, replay, selection);
    replay_close(replay);
    return status;
}
