/* hindsight info: what a trace holds. */
#include "cli/cli.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cli/info_stats.h"
#include "replay/replay.h"
#include "traces/trace.h"
#include "vmm/host/confine.h"
#include "vmm/machine/event.h"
#include "vmm/machine/inputs.h"
#include "vmm/machine/outcome.h"

static const char help[] =
    "Usage: hindsight info TRACE.hst [--stats] [--json] [--store DIR]\n"
    "The machine, how the recording ended, sizes, and counts by kind.\n\n"
    "  --stats                also rates by kind, the ports, addresses and interrupts that are "
    "most\n"
    "                         frequent, and what went over disks and networks\n"
    "  --json                 as JSON\n"
    "  --store DIR            where its boot files are looked for if it only names them\n";

/* Where boot files that the trace only names are looked for, and what is to be told. */
struct place {
    const char *folder;        /* NULL: there is none */
    struct trace_store *store; /* NULL: it is not there */
    const struct stats *stats; /* NULL: they are not to be told */
};

static bool has_file(const struct place *place, const struct trace_blob *blob)
{
    return place->store && trace_store_has(place->store, blob->hash, blob->size);
}

static void text_blob(const struct trace_blob *blob, const struct place *place, struct buffer *out)
{
    char name[2 * TRACE_HASH_SIZE + 1];
    if (!blob->stored) {
        buffer_printf(out, "%-11s %" PRIu64 " bytes embedded, XXH3 %016" PRIx64 "\n", blob->name,
            blob->size, blob->digest);
        return;
    }
    trace_hash_text(blob->hash, name);
    buffer_printf(out, "%-11s %" PRIu64 " bytes, %s", blob->name, blob->size,
        has_file(place, blob) ? "in the store: " : "MISSING in the store: ");
    buffer_printf(out, "%.400s/", place->folder ? place->folder : "?");
    buffer_printf(out, "%s\n", name);
}

static void json_blob(const struct trace_blob *blob, const struct place *place, struct buffer *out)
{
    char name[2 * TRACE_HASH_SIZE + 1];
    buffer_printf(out, "{\"name\": ");
    json_string(out, blob->name);
    buffer_printf(
        out, ", \"size\": %" PRIu64 ", \"xxh3\": \"%016" PRIx64 "\"", blob->size, blob->digest);
    if (blob->stored) {
        trace_hash_text(blob->hash, name);
        buffer_printf(out, ", \"sha256\": \"%s\", \"in_store\": %s", name,
            has_file(place, blob) ? "true" : "false");
    }
    buffer_printf(out, "}");
}

static void text_end(const struct trace_info *info, struct buffer *out)
{
    if (!info->complete) {
        buffer_printf(out, "recording   cut off; usable up to event %" PRIu64 "\n",
            info->end_event ? info->end_event - 1 : 0);
        return;
    }
    const struct trace_end *end = &info->end;
    buffer_printf(out, "recording   %s", trace_end_reason_name(end->reason));
    if (end->reason == TRACE_END_SIGNAL || end->reason == TRACE_END_DEBUG_EXIT)
        buffer_printf(out, " %" PRId32, end->status);
    buffer_printf(out, "%s%s\n", end->text[0] ? ": " : "", end->text);
    struct outcome outcome = outcome_of_end(end);
    buffer_printf(out, "outcome     %s, exit status %d\n", outcome_name(outcome.kind),
        outcome_exit_status(outcome));
    buffer_printf(out, "time        %.6f s of virtual time\n", (double)end->virtual_time / 1e9);
}

static void text_total(
    struct buffer *out, const char *name, const struct trace_chunk_total *total, uint64_t events)
{
    buffer_printf(out,
        "%-11s %" PRIu64 " bytes in the file, %" PRIu64 " before compression, %" PRIu64 " records",
        name, total->stored_bytes, total->raw_bytes, total->records);
    if (events && strcmp(name, "boot files") != 0)
        buffer_printf(out, ", %.3f bytes/event", (double)total->stored_bytes / (double)events);
    buffer_printf(out, "\n");
}

static void print_text(const struct trace_reader *reader, const struct trace_info *info,
    const struct trace_totals *totals, const struct place *place, struct buffer *out)
{
    uint64_t events = info->end_event ? info->end_event - info->first_event : 0;
    buffer_printf(out, "format      version %u, x86-64\n", info->version);
    unsigned machine = replay_machine_version(reader);
    buffer_printf(out, "machine     version %u", machine);
    if (machine < MACHINE_VERSION_OLDEST || machine > MACHINE_VERSION)
        buffer_printf(out, ", not one of this build's %d to %d: not to be replayed with it",
            MACHINE_VERSION_OLDEST, MACHINE_VERSION);
    buffer_printf(out, "\n");
    const char *key, *value;
    for (size_t i = 0; trace_reader_setting_at(reader, i, &key, &value); i++) {
        bool unlimited = strcmp(key, "max-time") == 0 && strtoull(value, NULL, 10) == UINT64_MAX;
        if (strcmp(key, "machine") != 0)
            buffer_printf(out, "%-11s %s\n", key, unlimited ? "none" : value);
    }
    struct trace_blob blob;
    for (size_t i = 0; trace_reader_blob_at(reader, i, &blob); i++)
        text_blob(&blob, place, out);
    text_end(info, out);
    buffer_printf(out, "events      %" PRIu64 "\n", events);
    buffer_printf(out, "file        %" PRIu64 " bytes, %zu chunks%s%s%s\n", info->file_size,
        info->chunks, info->rebuilt ? ", index rebuilt" : "", info->stripped ? ", stripped" : "",
        info->packed ? ", packed" : "");
    text_total(out, "boot files", &totals->configuration, events);
    text_total(out, "inputs", &totals->inputs, events);
    if (info->has_checks)
        text_total(out, "checks", &totals->checks, events);
    for (unsigned i = 0; i < TRACE_INPUT_KINDS; i++) {
        if (totals->input[i].records)
            buffer_printf(out, "  input %-10s %10" PRIu64 " records %12" PRIu64 " bytes\n",
                input_kind_name((enum input_kind)i), totals->input[i].records,
                totals->input[i].bytes);
    }
    for (unsigned i = 0; i < EVENT_KIND_COUNT; i++) {
        if (totals->check[i].records)
            buffer_printf(out, "  event %-10s %10" PRIu64 "\n", event_kind_name((enum event_kind)i),
                totals->check[i].records);
    }
    if (place->stats)
        stats_text(place->stats, info->end.virtual_time, out);
    if (info->damaged)
        buffer_printf(out, "damaged     %s\n", info->damage.text);
}

static void json_total(struct buffer *out, const char *name, const struct trace_chunk_total *total)
{
    buffer_printf(out,
        ", \"%s\": {\"chunks\": %" PRIu64 ", \"records\": %" PRIu64 ", \"raw_bytes\": %" PRIu64
        ", \"stored_bytes\": %" PRIu64 "}",
        name, total->chunks, total->records, total->raw_bytes, total->stored_bytes);
}

static void print_json(const struct trace_reader *reader, const struct trace_info *info,
    const struct trace_totals *totals, const struct place *place, struct buffer *out)
{
    buffer_printf(out,
        "{\"version\": %u, \"machine_version\": %u, \"replayable_machine_version\": %d, "
        "\"oldest_replayable_machine_version\": %d, \"settings\": {",
        info->version, replay_machine_version(reader), MACHINE_VERSION, MACHINE_VERSION_OLDEST);
    const char *key, *value;
    for (size_t i = 0; trace_reader_setting_at(reader, i, &key, &value); i++) {
        buffer_printf(out, "%s", i ? ", " : "");
        json_string(out, key);
        buffer_printf(out, ": ");
        json_string(out, value);
    }
    buffer_printf(out, "}, \"blobs\": [");
    struct trace_blob blob;
    for (size_t i = 0; trace_reader_blob_at(reader, i, &blob); i++) {
        buffer_printf(out, "%s", i ? ", " : "");
        json_blob(&blob, place, out);
    }
    buffer_printf(out,
        "], \"complete\": %s, \"damaged\": %s, \"index_rebuilt\": %s, \"stripped\": %s, "
        "\"first_event\": %" PRIu64 ", \"last_event\": %" PRIu64 ", \"file_bytes\": %" PRIu64
        ", \"chunks\": %zu",
        info->complete ? "true" : "false", info->damaged ? "true" : "false",
        info->rebuilt ? "true" : "false", info->stripped ? "true" : "false", info->first_event,
        info->end_event ? info->end_event - 1 : 0, info->file_size, info->chunks);
    if (info->complete) {
        const struct trace_end *end = &info->end;
        struct outcome outcome = outcome_of_end(end);
        buffer_printf(out, ", \"end\": {\"reason\": ");
        json_string(out, trace_end_reason_name(end->reason));
        buffer_printf(out,
            ", \"outcome\": \"%s\", \"exit_status\": %d, \"status\": %" PRId32
            ", \"virtual_ns\": %" PRIu64 ", \"text\": ",
            outcome_name(outcome.kind), outcome_exit_status(outcome), end->status,
            end->virtual_time);
        json_string(out, end->text);
        buffer_printf(out, "}");
    }
    json_total(out, "configuration", &totals->configuration);
    json_total(out, "inputs", &totals->inputs);
    json_total(out, "checks", &totals->checks);
    buffer_printf(out, ", \"events_by_kind\": {");
    const char *separator = "";
    for (unsigned i = 0; i < EVENT_KIND_COUNT; i++) {
        if (!totals->check[i].records)
            continue;
        buffer_printf(out, "%s\"%s\": %" PRIu64, separator, event_kind_name((enum event_kind)i),
            totals->check[i].records);
        separator = ", ";
    }
    buffer_printf(out, "}");
    if (place->stats)
        stats_json(place->stats, info->end.virtual_time, out);
    buffer_printf(out, "}\n");
}

/* Prints what there is to say; the exit status. */
static int print(const struct trace_reader *reader, const struct place *place, bool json)
{
    struct error error;
    struct trace_info info;
    struct trace_totals totals;
    trace_reader_info(reader, &info);
    int result = trace_reader_totals(reader, &totals, &error);
    if (result < 0 && !info.damaged)
        return cli_fail(result == TRACE_DAMAGED ? STATUS_DAMAGED : STATUS_ERROR, &error);
    if (result < 0)
        totals = (struct trace_totals){0};
    struct buffer out = {0};
    if (json)
        print_json(reader, &info, &totals, place, &out);
    else
        print_text(reader, &info, &totals, place, &out);
    bool printed = cli_print(&out);
    buffer_free(&out);
    return info.damaged ? STATUS_DAMAGED : printed ? STATUS_OK : STATUS_ERROR;
}

/* Counts first, then prints. */
static int print_counted(const struct trace_reader *reader, struct place *place, bool json)
{
    struct error error;
    struct stats *stats = calloc(1, sizeof *stats);
    int result = stats ? stats_read(stats, reader, &error) : error_set(&error, "out of memory");
    int status;
    place->stats = stats;
    if (result < 0)
        status = cli_fail(result == TRACE_DAMAGED ? STATUS_DAMAGED : STATUS_ERROR, &error);
    else
        status = print(reader, place, json);
    free(stats);
    return status;
}

static int inform(const char *path, const char *folder, bool json, bool stats)
{
    struct error error;
    struct trace_reader *reader;
    struct place place = {.folder = folder};
    if (folder)
        place.store = trace_store_open(folder, false, NULL);
    cli_confine(&(struct confine){.readable = {path, place.store ? folder : NULL}});
    int status, result = trace_reader_open(&reader, path, &error);
    if (result < 0)
        status = cli_fail(result == TRACE_DAMAGED ? STATUS_DAMAGED : STATUS_ERROR, &error);
    else
        status = stats ? print_counted(reader, &place, json) : print(reader, &place, json);
    trace_reader_close(reader);
    trace_store_close(place.store);
    return status;
}

int cli_info(int argc, char **argv)
{
    const char *path = NULL, *store = NULL;
    char room[PATH_MAX];
    bool json = false, stats = false;
    if (cli_wants_help(argc, argv))
        return cli_help(help);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            json = true;
        else if (strcmp(argv[i], "--stats") == 0)
            stats = true;
        else if (strcmp(argv[i], "--store") == 0 && i + 1 < argc)
            store = argv[++i];
        else if (argv[i][0] == '-' || path)
            return cli_usage("info", "'%s' is not understood", argv[i]);
        else
            path = argv[i];
    }
    if (!path)
        return cli_usage("info", "give one trace");
    return inform(path, cli_store_path(store, room), json, stats);
}
