/* What a run in a trace stops at. */
#include "replay/walk.h"

#include <string.h>

#include "vmm/storage/disk.h"

static bool accepts(struct timeline *timeline, const struct timeline_condition *condition)
{
    return !condition->accept || condition->accept(condition->context, timeline);
}

/* ---- Events ---- */

static bool event_matches(
    const struct timeline *timeline, unsigned index, const struct machine_event *event)
{
    const struct timeline_condition *condition = &timeline->conditions[index];
    switch (condition->kind) {
    case CONDITION_EVENT:
        return (condition->event_kinds & (1u << event->kind)) &&
               (!condition->match_address || condition->address == event->address) &&
               (!condition->match_value || condition->value == event->value);
    case CONDITION_CONSOLE:
        return printed_ends_with(&timeline->printed, event->ordinal, condition->text);
    case CONDITION_DISK:
        return timeline->touched[index].yes;
    case CONDITION_SPACE:
        return timeline->machine->run.reset_requested;
    default:
        return false;
    }
}

/* Keeps the place before the event. An instruction that makes several began before the first. */
static void follow_event(struct timeline *timeline, const struct machine_event *event)
{
    struct machine *machine = timeline->machine;
    uint64_t retired = machine->engine->retired;
    if (!timeline->inside) {
        timeline->event_before = event->ordinal - 1;
        timeline->retired_before = retired - event->insns;
    }
    timeline->inside = machine->run.pending_more;
    uint64_t insn = retired - timeline->retired_before;
    bool by_instruction = event->kind <= EVENT_HLT && insn > 0;
    timeline->before = (struct place){
        .position = {timeline->event_before, insn - by_instruction},
        .delivered = by_instruction ? machine->run.delivered_before : 0,
    };
}

static int see_event(
    void *context, struct machine *machine, const struct machine_event *event, struct error *error)
{
    struct timeline *timeline = context;
    (void)error;
    follow_event(timeline, event);
    if (timeline->accesses)
        accesses_event(timeline, event);
    if (event->ordinal > timeline->printed.furthest_event)
        timeline->printed.furthest_event = event->ordinal;
    for (unsigned i = 0; i < timeline->condition_count && !timeline->hit; i++) {
        if (!event_matches(timeline, i, event) || !accepts(timeline, &timeline->conditions[i]))
            continue;
        *timeline->stop =
            (struct timeline_stop){.why = TIMELINE_CONDITION, .condition = i, .event = *event};
        if (timeline->conditions[i].kind == CONDITION_DISK) {
            timeline->stop->address = timeline->touched[i].lba;
            timeline->stop->is_write = timeline->touched[i].is_write;
        }
        timeline->hit = true;
    }
    if (timeline->condition_count)
        memset(timeline->touched, 0, sizeof timeline->touched);
    /* Inside an instruction there is no place to stand. */
    if (timeline->hit && !machine->run.pending_more && machine_stopped(machine) == STOP_NONE)
        machine_stop(machine, STOP_BREAKPOINT);
    return 0;
}

/* ---- Disks ---- */

struct disk_access {
    unsigned disk, member;
    bool is_read, is_write;
    uint64_t lba, count;
};

static bool decode_access(
    uint8_t kind, const uint8_t *data, size_t size, struct disk_access *access)
{
    struct note_disk_request request;
    struct note_member_io io;
    if (kind == NOTE_DISK_REQUEST && note_disk_request_decode(&request, data, size)) {
        *access = (struct disk_access){.disk = request.disk,
            .member = TIMELINE_WHOLE_DISK,
            .is_read = request.kind == BLOCK_READ,
            .is_write = request.kind != BLOCK_READ && request.kind != BLOCK_FLUSH,
            .lba = request.sector,
            .count = request.count};
        return true;
    }
    if (kind == NOTE_MEMBER_IO && note_member_io_decode(&io, data, size)) {
        *access = (struct disk_access){.disk = io.disk,
            .member = io.member,
            .is_read = io.kind == RAID_IO_READ,
            .is_write = io.kind == RAID_IO_WRITE || io.kind == RAID_IO_ZERO,
            .lba = io.lba,
            .count = io.count};
        return true;
    }
    return false;
}

static bool touches(const struct timeline_condition *condition, const struct disk_access *access)
{
    bool wanted = condition->disk_access == TIMELINE_DISK_READ ? access->is_read
                  : condition->disk_access == TIMELINE_DISK_WRITE
                      ? access->is_write
                      : access->is_read || access->is_write;
    return wanted && condition->kind == CONDITION_DISK && condition->disk == access->disk &&
           condition->member == access->member &&
           (access->lba - condition->address < condition->length ||
               condition->address - access->lba < access->count);
}

static int see_note(void *context, struct machine *machine, uint8_t kind, const uint8_t *data,
    size_t size, struct error *error)
{
    struct timeline *timeline = context;
    struct disk_access access;
    (void)machine;
    (void)error;
    if (timeline->accesses)
        accesses_note(timeline, kind, data, size);
    if (timeline->condition_count == 0 || !decode_access(kind, data, size, &access))
        return 0;
    for (unsigned i = 0; i < timeline->condition_count; i++) {
        if (!timeline->touched[i].yes && touches(&timeline->conditions[i], &access))
            timeline->touched[i] = (struct touched){true, access.is_write, access.lba};
    }
    return 0;
}

const struct machine_observer conditions_observer = {.event = see_event, .note = see_note};

/* ---- What the engine sees ---- */

/* Where the condition's own access was; a hit of several breakpoints describes only the first. */
static uint64_t address_of(const struct timeline_condition *condition, const struct vcpu_exit *hit)
{
    if (condition->kind == CONDITION_EXECUTE && hit->kind == EXIT_BREAKPOINT)
        return hit->address;
    bool described =
        hit->kind == EXIT_WATCHPOINT &&
        (condition->physical || hit->address - condition->address < condition->length ||
            condition->address - hit->address < hit->size);
    return described ? hit->address : condition->address;
}

bool conditions_resolve(struct timeline *timeline)
{
    const struct vcpu_exit hit = timeline->machine->run.hit;
    for (unsigned i = 0; i < timeline->condition_count; i++) {
        const struct timeline_condition *condition = &timeline->conditions[i];
        int bit = timeline->breakpoint[i];
        if (bit < 0 || !(hit.hits >> bit & 1) || !accepts(timeline, condition))
            continue;
        struct timeline_stop stop = {.why = TIMELINE_CONDITION, .condition = i};
        if (condition->kind == CONDITION_EXCEPTION) {
            stop.address = stop.rip = hit.rip;
            stop.vector = hit.vector;
            stop.error = hit.error;
        } else if (condition->kind != CONDITION_MODE && condition->kind != CONDITION_SPACE) {
            stop.address = address_of(condition, &hit);
            stop.is_write = hit.is_write;
        }
        *timeline->stop = stop;
        return true;
    }
    return false;
}

static bool describe(const struct timeline_condition *condition, struct breakpoint *breakpoint)
{
    *breakpoint = (struct breakpoint){.physical = condition->physical,
        .address = condition->address,
        .length = condition->length};
    switch (condition->kind) {
    case CONDITION_EXECUTE:
        breakpoint->kind = BREAK_EXECUTE;
        breakpoint->places = condition->places;
        breakpoint->place_count = condition->place_count;
        if (!breakpoint->length)
            breakpoint->length = 1;
        return true;
    case CONDITION_WRITE:
        breakpoint->kind = BREAK_WRITE;
        return true;
    case CONDITION_READ:
        breakpoint->kind = BREAK_READ;
        return true;
    case CONDITION_ACCESS:
        breakpoint->kind = BREAK_ACCESS;
        return true;
    case CONDITION_EXCEPTION:
        *breakpoint = (struct breakpoint){.kind = BREAK_EXCEPTION,
            .address = condition->match_address ? condition->address : 0,
            .length = condition->match_address ? 1 : 256};
        return true;
    case CONDITION_MODE:
        *breakpoint = (struct breakpoint){.kind = BREAK_MODE};
        return true;
    case CONDITION_SPACE:
        *breakpoint = (struct breakpoint){.kind = BREAK_SPACE};
        return true;
    default:
        return false;
    }
}

int conditions_arm(struct timeline *timeline, const struct timeline_condition *conditions,
    unsigned count, struct error *error)
{
    struct breakpoint list[TIMELINE_MAX_CONDITIONS];
    unsigned used = 0;
    if (count > TIMELINE_MAX_CONDITIONS)
        return error_set(
            error, "at most %d breakpoints and watchpoints are possible", TIMELINE_MAX_CONDITIONS);
    for (unsigned i = 0; i < count; i++) {
        timeline->breakpoint[i] = -1;
        if (describe(&conditions[i], &list[used]))
            timeline->breakpoint[i] = (int8_t)used++;
    }
    timeline->conditions = conditions;
    timeline->condition_count = count;
    memset(timeline->touched, 0, sizeof timeline->touched);
    return machine_set_breakpoints(timeline->machine, list, used, error);
}

void conditions_disarm(struct timeline *timeline)
{
    timeline->conditions = NULL;
    timeline->condition_count = 0;
    machine_set_breakpoints(timeline->machine, NULL, 0, NULL);
}
