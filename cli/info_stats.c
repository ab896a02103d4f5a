/* Counts a trace's events by kind and place, and what went over disks and networks. */
#include "cli/info_stats.h"

#include <inttypes.h>
#include <stdlib.h>

#include "vmm/host/net/note.h"
#include "vmm/machine/event.h"
#include "vmm/storage/disk.h"

enum { SHOWN = 16, SECTOR_BYTES = 512 };

/* ---- Counting ---- */

static bool find_place(const struct trace_check *check, uint64_t *address)
{
    switch ((enum event_kind)check->kind) {
    case EVENT_PIO_IN:
    case EVENT_PIO_OUT:
    case EVENT_MMIO_READ:
    case EVENT_MMIO_WRITE:
    case EVENT_MSR_READ:
    case EVENT_MSR_WRITE:
        *address = check->address;
        return true;
    case EVENT_INTERRUPT:
    case EVENT_TURN:
        *address = check->value;
        return true;
    default:
        return false;
    }
}

/* Open addressing while it is counted; stats_read() puts the places in order. */
static void count_place(struct stats *stats, uint8_t kind, uint64_t address)
{
    uint64_t at = (address * 0x9e3779b97f4a7c15u >> 40) + kind;
    for (unsigned tries = 0; tries < 64; tries++) {
        struct stats_place *place = &stats->places[(at + tries) % STATS_PLACES];
        if (place->count && (place->kind != kind || place->address != address))
            continue;
        place->kind = kind;
        place->address = address;
        place->count++;
        return;
    }
    stats->elsewhere++;
}

static void count_check(struct stats *stats, const struct trace_check *check)
{
    uint64_t address;
    stats->total++;
    stats->by_kind[check->kind]++;
    stats->insns += check->insn_delta;
    if (check->insn_delta > stats->longest) {
        stats->longest = check->insn_delta;
        stats->longest_event = check->event;
    }
    if (find_place(check, &address))
        count_place(stats, check->kind, address);
}

static void count_request(struct stats *stats, const struct trace_note *note)
{
    struct note_disk_request request;
    if (!note_disk_request_decode(&request, note->payload, note->size) ||
        request.disk >= STATS_DISKS)
        return;
    if (request.kind == BLOCK_READ) {
        stats->disks[request.disk].reads++;
        stats->disks[request.disk].read_sectors += request.count;
    } else if (request.kind == BLOCK_WRITE) {
        stats->disks[request.disk].writes++;
        stats->disks[request.disk].written_sectors += request.count;
    } else if (request.kind == BLOCK_FLUSH) {
        stats->disks[request.disk].flushes++;
    } else {
        stats->disks[request.disk].discards++;
    }
}

static void count_frame(struct stats *stats, const struct trace_note *note)
{
    struct note_net_frame frame;
    if (!note_net_frame_decode(&frame, note->payload, note->size) || frame.net >= STATS_NETWORKS)
        return;
    if (note->kind == NOTE_NET_SENT) {
        stats->networks[frame.net].sent++;
        stats->networks[frame.net].sent_bytes += frame.size;
    } else {
        stats->networks[frame.net].received++;
        stats->networks[frame.net].received_bytes += frame.size;
    }
}

static int read_checks(struct stats *stats, const struct trace_reader *reader, struct error *error)
{
    struct trace_checks *checks = trace_checks_open(reader, error);
    struct trace_check check;
    int result;
    if (!checks)
        return TRACE_ERROR;
    while ((result = trace_checks_next(checks, &check, error)) > 0)
        count_check(stats, &check);
    trace_checks_close(checks);
    return result;
}

static int read_notes(struct stats *stats, const struct trace_reader *reader, struct error *error)
{
    struct trace_notes *notes = trace_notes_open(reader, error);
    struct trace_note note;
    int result;
    if (!notes)
        return TRACE_ERROR;
    while ((result = trace_notes_next(notes, &note, error)) > 0) {
        if (note.kind == NOTE_DISK_REQUEST)
            count_request(stats, &note);
        else if (note.kind == NOTE_NET_SENT || note.kind == NOTE_NET_RECEIVED)
            count_frame(stats, &note);
    }
    trace_notes_close(notes);
    return result;
}

static int compare_places(const void *a, const void *b)
{
    const struct stats_place *one = a, *other = b;
    if (one->count != other->count)
        return one->count < other->count ? 1 : -1;
    if (one->kind != other->kind)
        return one->kind < other->kind ? -1 : 1;
    return (one->address > other->address) - (one->address < other->address);
}

int stats_read(struct stats *stats, const struct trace_reader *reader, struct error *error)
{
    struct trace_info info;
    trace_reader_info(reader, &info);
    stats->counted = info.counts_instructions;
    int result = read_checks(stats, reader, error);
    if (result >= 0)
        result = read_notes(stats, reader, error);
    qsort(stats->places, STATS_PLACES, sizeof stats->places[0], compare_places);
    while (stats->place_count < STATS_PLACES && stats->places[stats->place_count].count)
        stats->place_count++;
    return result < 0 ? result : 0;
}

/* ---- Telling ---- */

static double per_second(uint64_t count, uint64_t ns)
{
    return ns ? (double)count * 1e9 / (double)ns : 0;
}

static void text_kinds(const struct stats *stats, uint64_t ns, struct buffer *out)
{
    buffer_printf(
        out, "rate        %.0f events a second of virtual time\n", per_second(stats->total, ns));
    for (unsigned i = 0; i < EVENT_KIND_COUNT; i++) {
        if (stats->by_kind[i])
            buffer_printf(out, "  rate  %-10s %10.0f a second, %5.1f %% of all\n",
                event_kind_name((enum event_kind)i), per_second(stats->by_kind[i], ns),
                100.0 * (double)stats->by_kind[i] / (double)stats->total);
    }
    if (stats->counted && stats->total)
        buffer_printf(out,
            "stretches   %.0f instructions between two events on average, at most %" PRIu64
            ", before event %" PRIu64 "\n",
            (double)stats->insns / (double)stats->total, stats->longest, stats->longest_event);
}

static void text_places(const struct stats *stats, struct buffer *out)
{
    buffer_printf(out, "places      %u%s\n", stats->place_count,
        stats->elsewhere ? ", and more than there was room for" : "");
    for (unsigned i = 0; i < stats->place_count && i < SHOWN; i++) {
        const struct stats_place *place = &stats->places[i];
        bool is_number = place->kind == EVENT_INTERRUPT || place->kind == EVENT_TURN;
        buffer_printf(out,
            is_number ? "  place %-10s %10" PRIu64 " %10" PRIu64 "\n"
                      : "  place %-10s %#10" PRIx64 " %10" PRIu64 "\n",
            event_kind_name((enum event_kind)place->kind), place->address, place->count);
    }
}

void stats_text(const struct stats *stats, uint64_t ns, struct buffer *out)
{
    text_kinds(stats, ns, out);
    text_places(stats, out);
    for (unsigned i = 0; i < STATS_DISKS; i++) {
        if (stats->disks[i].reads || stats->disks[i].writes || stats->disks[i].flushes ||
            stats->disks[i].discards)
            buffer_printf(out,
                "disk%-7u %" PRIu64 " reads of %" PRIu64 " bytes, %" PRIu64 " writes of %" PRIu64
                " bytes, %" PRIu64 " flushes, %" PRIu64 " discards\n",
                i, stats->disks[i].reads, stats->disks[i].read_sectors * SECTOR_BYTES,
                stats->disks[i].writes, stats->disks[i].written_sectors * SECTOR_BYTES,
                stats->disks[i].flushes, stats->disks[i].discards);
    }
    for (unsigned i = 0; i < STATS_NETWORKS; i++) {
        if (stats->networks[i].sent || stats->networks[i].received)
            buffer_printf(out,
                "net%-8u %" PRIu64 " frames of %" PRIu64 " bytes sent, %" PRIu64 " of %" PRIu64
                " received\n",
                i, stats->networks[i].sent, stats->networks[i].sent_bytes,
                stats->networks[i].received, stats->networks[i].received_bytes);
    }
}

static void json_traffic(const struct stats *stats, struct buffer *out)
{
    const char *separator = "";
    buffer_printf(out, ", \"disks\": [");
    for (unsigned i = 0; i < STATS_DISKS; i++) {
        if (!stats->disks[i].reads && !stats->disks[i].writes && !stats->disks[i].flushes &&
            !stats->disks[i].discards)
            continue;
        buffer_printf(out,
            "%s{\"disk\": %u, \"reads\": %" PRIu64 ", \"read_bytes\": %" PRIu64
            ", \"writes\": %" PRIu64 ", \"written_bytes\": %" PRIu64 ", \"flushes\": %" PRIu64
            ", \"discards\": %" PRIu64 "}",
            separator, i, stats->disks[i].reads, stats->disks[i].read_sectors * SECTOR_BYTES,
            stats->disks[i].writes, stats->disks[i].written_sectors * SECTOR_BYTES,
            stats->disks[i].flushes, stats->disks[i].discards);
        separator = ", ";
    }
    buffer_printf(out, "], \"networks\": [");
    separator = "";
    for (unsigned i = 0; i < STATS_NETWORKS; i++) {
        if (!stats->networks[i].sent && !stats->networks[i].received)
            continue;
        buffer_printf(out,
            "%s{\"net\": %u, \"sent\": %" PRIu64 ", \"sent_bytes\": %" PRIu64
            ", \"received\": %" PRIu64 ", \"received_bytes\": %" PRIu64 "}",
            separator, i, stats->networks[i].sent, stats->networks[i].sent_bytes,
            stats->networks[i].received, stats->networks[i].received_bytes);
        separator = ", ";
    }
    buffer_printf(out, "]");
}

void stats_json(const struct stats *stats, uint64_t ns, struct buffer *out)
{
    buffer_printf(out, ", \"stats\": {\"events\": %" PRIu64 ", \"events_per_second\": %.3f",
        stats->total, per_second(stats->total, ns));
    if (stats->counted)
        buffer_printf(out,
            ", \"instructions\": %" PRIu64 ", \"longest_stretch\": %" PRIu64
            ", \"longest_before_event\": %" PRIu64,
            stats->insns, stats->longest, stats->longest_event);
    buffer_printf(out, ", \"places_left_out\": %" PRIu64 ", \"places\": [", stats->elsewhere);
    for (unsigned i = 0; i < stats->place_count; i++)
        buffer_printf(out, "%s{\"kind\": \"%s\", \"at\": %" PRIu64 ", \"events\": %" PRIu64 "}",
            i ? ", " : "", event_kind_name((enum event_kind)stats->places[i].kind),
            stats->places[i].address, stats->places[i].count);
    buffer_printf(out, "]");
    json_traffic(stats, out);
    buffer_printf(out, "}");
}
