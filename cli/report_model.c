/* What a run shows, event by event, gathered for the page that reports it. */
#include "cli/report_model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/event_device.h"
#include "vmm/host/net/note.h"
#include "vmm/storage/disk.h"

/* ---- Lists ---- */

/* Begins a row: false when there are too many. */
static bool row(struct report_list *list, uint64_t most)
{
    if (list->rows >= most) {
        list->left_out++;
        return false;
    }
    if (list->rows++)
        buffer_put_u8(&list->text, ',');
    return true;
}

void report_string(struct buffer *out, const char *text)
{
    buffer_put_u8(out, '"');
    for (const char *at = text; *at; at++) {
        unsigned char byte = (unsigned char)*at;
        if (byte < 0x20 || byte >= 0x7f || byte == '"' || byte == '\\' || byte == '<')
            buffer_printf(out, "\\u%04x", byte);
        else
            buffer_put_u8(out, byte);
    }
    buffer_put_u8(out, '"');
}

static void text_row(struct report_list *list, uint64_t event, uint64_t time, const char *text)
{
    if (!row(list, REPORT_ROWS_MAX))
        return;
    buffer_printf(&list->text, "[%" PRIu64 ",%" PRIu64 ",", event, time);
    report_string(&list->text, text);
    buffer_put_u8(&list->text, ']');
}

/* ---- Sites ---- */

/* A vector is told apart as an address is. */
static uint64_t site_address(const struct machine_event *event)
{
    switch (event->kind) {
    case EVENT_PIO_IN:
    case EVENT_PIO_OUT:
    case EVENT_MMIO_READ:
    case EVENT_MMIO_WRITE:
    case EVENT_CONSOLE:
    case EVENT_DISK:
    case EVENT_PACKET:
    case EVENT_MSR_WRITE:
        return event->address;
    case EVENT_INTERRUPT:
        return event->value;
    default:
        return 0;
    }
}

static unsigned site_of(struct report_model *model, const struct machine_event *event)
{
    enum { BUCKETS = sizeof model->buckets / sizeof model->buckets[0] };
    uint64_t address = site_address(event);
    uint64_t hash = (address * 31 + event->kind * 8 + event->size) * UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = (size_t)(hash >> 51);; i = (i + 1) % BUCKETS) {
        unsigned number = model->buckets[i];
        if (number) {
            const struct report_site *site = &model->sites[number - 1];
            if (site->address == address && site->kind == event->kind && site->size == event->size)
                return number - 1;
            continue;
        }
        if (model->site_count == REPORT_SITES_MAX)
            return REPORT_SITES_MAX;
        model->buckets[i] = (uint16_t)(model->site_count + 1);
        struct report_site *site = &model->sites[model->site_count];
        *site = (struct report_site){
            .address = address, .kind = (uint8_t)event->kind, .size = event->size};
        snprintf(site->device, sizeof site->device, "%s", event_device(model->machine, event));
        return model->site_count++;
    }
}

/* ---- Events ---- */

static unsigned space_of(struct report_model *model, uint64_t cr3)
{
    const uint64_t table = cr3 & ~UINT64_C(0xfff);
    for (unsigned i = model->space_count; i-- > 0;) {
        if (model->space[i] == table)
            return i;
    }
    if (model->space_count == REPORT_SPACES_MAX)
        return REPORT_SPACES_MAX - 1;
    model->space[model->space_count] = table;
    return model->space_count++;
}

/* What runs from here on. */
static int note_space(
    struct report_model *model, struct machine *machine, uint64_t event, struct error *error)
{
    struct vcpu_state state = {0};
    if (engine_export_core(machine->engine, &state, error) < 0)
        return -1;
    unsigned vcpu = machine->current, ring = vcpu_cpl(&state);
    unsigned space = space_of(model, state.cr3);
    if (model->at[vcpu].known && model->at[vcpu].ring == ring && model->at[vcpu].space == space)
        return 0;
    model->at[vcpu].known = true;
    model->at[vcpu].ring = ring;
    model->at[vcpu].space = space;
    if (row(&model->spaces, REPORT_ROWS_MAX))
        buffer_printf(&model->spaces.text, "[%" PRIu64 ",%" PRIu64 ",%u,%u,%u]", event,
            machine_time(machine), vcpu, ring, space);
    return 0;
}

int report_model_changed(struct report_model *model, struct error *error)
{
    return note_space(model, model->machine, model->machine->position.event, error);
}

static int see_event(
    void *context, struct machine *machine, const struct machine_event *event, struct error *error)
{
    struct report_model *model = context;
    uint64_t now = machine_time(machine);
    unsigned site = site_of(model, event);
    model->sites[site].count++;
    if (model->events++ == 0)
        model->first_event = event->ordinal;
    if (row(&model->times, REPORT_EVENTS_MAX)) {
        buffer_printf(&model->times.text, "%" PRIu64, now - model->last_time);
        model->last_time = now;
        row(&model->event_sites, REPORT_EVENTS_MAX);
        buffer_printf(&model->event_sites.text, "%u", site);
    }
    if (model->events == 1 || machine->current != model->current) {
        model->current = machine->current;
        if (row(&model->turns, REPORT_EVENTS_MAX))
            buffer_printf(&model->turns.text, "[%" PRIu64 ",%u]", event->ordinal, model->current);
    }
    if (event->kind == EVENT_SHUTDOWN)
        report_model_mark(model, "shutdown: a triple fault");
    return note_space(model, machine, event->ordinal, error);
}

static void see_request(
    struct report_model *model, uint64_t event, const uint8_t *data, size_t size)
{
    struct note_disk_request note;
    if (!note_disk_request_decode(&note, data, size) || !row(&model->disk, REPORT_ROWS_MAX))
        return;
    buffer_printf(&model->disk.text, "[%" PRIu64 ",%" PRIu64 ",%u,%u,%" PRIu64 ",%" PRIu32 "]",
        event, machine_time(model->machine), note.disk, (unsigned)note.kind, note.sector,
        note.count);
}

static void see_member(struct report_model *model, uint64_t event, const uint8_t *data, size_t size)
{
    struct note_member_io note;
    if (!note_member_io_decode(&note, data, size) || !row(&model->members, REPORT_ROWS_MAX))
        return;
    buffer_printf(&model->members.text,
        "[%" PRIu64 ",%" PRIu64 ",%u,%u,%u,%u,%" PRIu64 ",%" PRIu32 ",%" PRIu64 ",%d]", event,
        machine_time(model->machine), note.disk, note.member, (unsigned)note.kind,
        (unsigned)note.role, note.lba, note.count, note.stripe, note.failed);
}

static void see_frame(
    struct report_model *model, uint64_t event, bool received, const uint8_t *data, size_t size)
{
    struct note_net_frame note;
    if (!note_net_frame_decode(&note, data, size) || !row(&model->frames, REPORT_ROWS_MAX))
        return;
    buffer_printf(&model->frames.text, "[%" PRIu64 ",%" PRIu64 ",%u,%d,%" PRIu32 ",%d]", event,
        machine_time(model->machine), note.net, received, note.size, note.dropped);
}

/* The text that dump has for it. */
static void see_change(
    struct report_model *model, uint64_t event, uint8_t kind, const uint8_t *data, size_t size)
{
    struct buffer text = {0};
    if (kind == NOTE_ARRAY_CHANGE)
        note_print_text(event, kind, data, size, &text);
    else
        net_note_print_text(event, kind, data, size, &text);
    while (text.size && text.data[text.size - 1] == '\n')
        text.size--;
    buffer_put_u8(&text, '\0');
    if (!text.failed)
        report_model_mark(model, (const char *)text.data);
    model->failed |= text.failed;
    buffer_free(&text);
}

static int see_note(void *context, struct machine *machine, uint8_t kind, const uint8_t *data,
    size_t size, struct error *error)
{
    struct report_model *model = context;
    uint64_t event = machine->position.event + 1;
    (void)error;
    if (kind == NOTE_DISK_REQUEST)
        see_request(model, event, data, size);
    else if (kind == NOTE_MEMBER_IO)
        see_member(model, event, data, size);
    else if (kind == NOTE_NET_SENT || kind == NOTE_NET_RECEIVED)
        see_frame(model, event, kind == NOTE_NET_RECEIVED, data, size);
    else if (kind == NOTE_ARRAY_CHANGE || kind == NOTE_NET_LINKS)
        see_change(model, event, kind, data, size);
    return 0;
}

/* ---- The console ---- */

static void end_line(struct report_model *model)
{
    model->line[model->line_length] = '\0';
    text_row(&model->console, model->line_event, model->line_time, model->line);
    const uint8_t end = '\n';
    model->watch.found[0] = '\0';
    console_watch_put(&model->watch, (const uint8_t *)model->line, model->line_length);
    if (console_watch_put(&model->watch, &end, 1) && model->marks.rows < REPORT_ROWS_MAX)
        text_row(&model->marks, model->line_event, model->line_time, model->line);
    model->line_length = 0;
}

void report_model_console(void *opaque, const uint8_t *bytes, size_t count)
{
    struct report_model *model = opaque;
    for (size_t i = 0; i < count; i++) {
        if (model->line_length == 0) {
            model->line_event = model->machine->position.event + 1;
            model->line_time = machine_time(model->machine);
        }
        if (bytes[i] == '\n')
            end_line(model);
        else if (bytes[i] != '\r' && bytes[i] && model->line_length < CONSOLE_LINE_MAX)
            model->line[model->line_length++] = (char)bytes[i];
    }
}

void report_model_mark(struct report_model *model, const char *text)
{
    text_row(&model->marks, model->machine->position.event, machine_time(model->machine), text);
}

void report_model_end(struct report_model *model)
{
    if (model->line_length)
        end_line(model);
}

/* ---- Beginning and end ---- */

int report_model_init(struct report_model *model, struct error *error)
{
    struct report_site *other = &model->sites[REPORT_SITES_MAX];
    snprintf(other->device, sizeof other->device, "other");
    return console_watch_init(&model->watch, error);
}

int report_model_attach(struct report_model *model, struct machine *machine, struct error *error)
{
    static const struct breakpoint changes[] = {{.kind = BREAK_MODE}, {.kind = BREAK_SPACE}};
    model->machine = machine;
    if (machine->home->ops->counts &&
        machine_set_breakpoints(machine, changes, sizeof changes / sizeof changes[0], error) < 0)
        return -1;
    const struct machine_observer observer = {
        .event = see_event, .note = see_note, .context = model};
    return machine_observe(machine, &observer, error);
}

enum { LISTS = 9 };

static void lists_of(struct report_model *model, struct report_list *lists[LISTS])
{
    struct report_list *const all[LISTS] = {&model->times, &model->event_sites, &model->turns,
        &model->spaces, &model->console, &model->disk, &model->members, &model->frames,
        &model->marks};
    memcpy(lists, all, sizeof all);
}

bool report_model_failed(struct report_model *model)
{
    struct report_list *lists[LISTS];
    lists_of(model, lists);
    for (unsigned i = 0; i < LISTS; i++)
        model->failed |= lists[i]->text.failed;
    return model->failed;
}

void report_model_free(struct report_model *model)
{
    struct report_list *lists[LISTS];
    lists_of(model, lists);
    for (unsigned i = 0; i < LISTS; i++)
        buffer_free(&lists[i]->text);
    console_watch_clear(&model->watch);
}

/* ---- As JSON ---- */

static void write_sites(const struct report_model *model, struct buffer *out)
{
    buffer_printf(out, ",\n\"sites\":[");
    for (unsigned i = 0; i <= REPORT_SITES_MAX; i++) {
        const struct report_site *site = &model->sites[i];
        if (i == model->site_count)
            i = REPORT_SITES_MAX, site = &model->sites[i];
        buffer_printf(out, "%s[\"%s\",%" PRIu64 ",%u,", i ? "," : "",
            i == REPORT_SITES_MAX ? "other" : event_kind_name((enum event_kind)site->kind),
            site->address, site->size);
        report_string(out, site->device);
        buffer_printf(out, ",%" PRIu64 "]", site->count);
    }
    buffer_printf(out, "]");
}

void report_model_write(const struct report_model *model, struct buffer *out)
{
    static const char *const names[LISTS] = {
        "times", "eventSites", "turns", "spaces", "console", "disk", "members", "frames", "marks"};
    struct report_list *lists[LISTS];
    lists_of((struct report_model *)model, lists);
    buffer_printf(out, ",\n\"firstEvent\":%" PRIu64 ",\"eventsSeen\":%" PRIu64 ",\"otherSite\":%u",
        model->first_event, model->events, model->site_count);
    for (unsigned i = 0; i < LISTS; i++) {
        buffer_printf(out, ",\n\"%s\":[", names[i]);
        buffer_put(out, lists[i]->text.data, lists[i]->text.size);
        buffer_printf(out, "]");
        if (lists[i]->left_out)
            buffer_printf(out, ",\"%sLeftOut\":%" PRIu64, names[i], lists[i]->left_out);
    }
    buffer_printf(out, ",\n\"tables\":[");
    for (unsigned i = 0; i < model->space_count; i++)
        buffer_printf(out, "%s\"0x%" PRIx64 "\"", i ? "," : "", model->space[i]);
    buffer_printf(out, "]");
    write_sites(model, out);
}
