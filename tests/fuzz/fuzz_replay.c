/*
 * Hostile traces whose container is in order: a guest's recording with inputs, settings and end
 * record changed, written again with right checksums, replayed on the software CPU for a bounded
 * number of instructions and walked through on a timeline. Whatever it says, replay ends with an
 * outcome or a message. (What is wrong with the container itself is fuzz_trace's.)
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "recorder/recorder.h"
#include "replay/replay.h"
#include "replay/timeline.h"
#include "vmm/machine/landing.h"
#include "vmm/machine/live.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORDS = 4096, SETTINGS = 32, INSTRUCTIONS = 60000, CHANGES = 6 };

struct record {
    struct trace_input input;
    uint8_t *payload;
};

static struct record records[RECORDS];
static size_t record_count;
static char *settings[SETTINGS]; /* "key", value after the terminator */
static size_t setting_count;
static struct trace_end end;
static uint8_t *kernel;
static size_t kernel_size;
static struct buffer landing; /* as on an engine that does not count */
static int file = -1;         /* the trace under test, in memory */
static char file_path[64];

static void fail(const char *what, const struct error *error)
{
    fprintf(stderr, "fuzz_replay: %s: %s\n", what, error ? error->text : "");
    abort();
}

#define require(condition, error) ((condition) ? (void)0 : fail(#condition, error))

/* ---- A good recording ---- */

static void load_kernel(void)
{
    enum { LARGEST = 1 << 20 };
    FILE *guest = fopen(TEST_GUESTS "/clock.elf", "rb");
    kernel = malloc(LARGEST);
    require(guest && kernel, NULL);
    kernel_size = fread(kernel, 1, LARGEST, guest);
    fclose(guest);
}

static int64_t append_file(void *context, const void *data, size_t size)
{
    (void)context;
    return write(file, data, size);
}

static void clear_file(void)
{
    require(ftruncate(file, 0) == 0 && lseek(file, 0, SEEK_SET) == 0, NULL);
}

static const struct trace_sink sink = {.write = append_file};

static void record_guest(void)
{
    struct error error = {""};
    static struct machine_config config;
    config_defaults(&config);
    config.memory[0].size = 16 << 20;
    config.pace = PACE_FAST;
    config.start_time = 1000000000;
    strcpy(config.command_line, "ticks=60");
    const struct boot_image image = {.name = "clock", .data = kernel, .size = kernel_size};
    struct live *live = live_create(NULL, PACE_FAST, &error);
    require(live, &error);
    const struct recorder_options options = {.sink = &sink,
        .config = &config,
        .engine = "soft",
        .kernel = &image,
        .live = live_source(live),
        .include_checks = true,
        .counts = true};
    struct recorder *recorder = recorder_create(&options, &error);
    require(recorder, &error);
    const struct machine_options parts = {
        .config = &config, .engine = "soft", .kernel = &image, .source = recorder_source(recorder)};
    struct machine *machine = machine_create(&parts, &error);
    require(machine && recorder_attach(recorder, machine, &error) == 0, &error);
    require(live_attach(live, machine, &error) == 0, &error);
    require(machine_run(machine, POSITION_END, &error) == 0, &error);
    require(machine->position.event > 300 && machine_stopped(machine) == STOP_HALTED, NULL);
    struct landing state = {.pages = calloc(2, sizeof(struct page_digest)), .page_count = 2};
    require(state.pages != NULL, NULL);
    state.pages[1].gpa = 0x100000;
    require(engine_export_state(machine->engine, &state.state, &error) == 0, &error);
    landing_save(&state, &landing);
    landing_free(&state);
    live_detach(live);
    require(recorder_finish(recorder, machine, outcome_of(machine, 0), NULL, &error) == 0, &error);
    machine_destroy(machine);
    live_destroy(live);
}

static void take_apart(void)
{
    struct error error = {""};
    struct trace_reader *reader;
    struct trace_input input;
    struct trace_info info;
    const char *key, *value;
    require(trace_reader_open(&reader, file_path, &error) == 0, &error);
    struct trace_inputs *inputs = trace_inputs_open(reader, &error);
    require(inputs, &error);
    while (record_count < RECORDS && trace_inputs_next(inputs, &input, &error) == 1) {
        struct record *record = &records[record_count++];
        record->input = input;
        record->payload = malloc(input.size + 1);
        require(record->payload, NULL);
        if (input.size)
            memcpy(record->payload, input.payload, input.size);
        record->input.payload = record->payload;
    }
    for (size_t i = 0; trace_reader_setting_at(reader, i, &key, &value); i++) {
        size_t size = strlen(key) + strlen(value) + 2;
        require(setting_count < SETTINGS && (settings[i] = malloc(size)), NULL);
        strcpy(settings[i], key);
        strcpy(settings[i] + strlen(key) + 1, value);
        setting_count++;
    }
    trace_reader_info(reader, &info);
    end = info.end;
    trace_inputs_close(inputs);
    trace_reader_close(reader);
}

static void set_up(void)
{
    file = memfd_create("trace", MFD_CLOEXEC);
    require(file >= 0, NULL);
    snprintf(file_path, sizeof file_path, "/proc/self/fd/%d", file);
    load_kernel();
    record_guest();
    take_apart();
    require(record_count > 0 && setting_count > 0, NULL);
}

/* ---- Changes ---- */

static uint64_t small_or_huge(struct reader *in)
{
    uint8_t byte = reader_get_u8(in);
    return byte < 160 ? byte : byte < 200 ? UINT64_MAX - byte % 16 : 1ull << (byte % 64);
}

/* What a change can put in the place of a record or before it. */
struct change {
    size_t at;
    bool insert, drop;
    struct trace_input input;
    uint8_t payload[4096];
};

static void change_payload(struct change *change, struct reader *in)
{
    struct buffer bytes = {0};
    uint8_t how = reader_get_u8(in) % 5;
    if (how == 0) {
        change->input.size = 0;
    } else if (how == 1) {
        buffer_put_varint(&bytes, small_or_huge(in));
    } else if (how == 2) {
        buffer_put_varint(&bytes, small_or_huge(in) % 8);
        for (size_t count = reader_get_u16(in) % 2100; count; count--)
            buffer_put_u8(&bytes, 'x');
    } else {
        const struct buffer *from = how == 3 ? &landing : NULL;
        if (from)
            buffer_put(&bytes, from->data, from->size);
        else if (change->input.size)
            buffer_put(&bytes, change->payload, change->input.size);
        for (unsigned count = reader_get_u8(in) % 4; count && bytes.size; count--)
            bytes.data[reader_get_u16(in) % bytes.size] = reader_get_u8(in);
        if (bytes.size && reader_get_u8(in) % 8 == 0)
            bytes.size = reader_get_u16(in) % bytes.size;
    }
    require(!bytes.failed && bytes.size <= sizeof change->payload, NULL);
    if (bytes.size)
        memcpy(change->payload, bytes.data, bytes.size);
    change->input.size = bytes.size;
    buffer_free(&bytes);
}

static void make_change(struct change *change, struct reader *in)
{
    change->at = reader_get_u16(in) % record_count;
    change->input = records[change->at].input;
    require(change->input.size <= sizeof change->payload, NULL);
    memcpy(change->payload, records[change->at].payload, change->input.size);
    uint8_t what = reader_get_u8(in);
    change->insert = what & 1;
    change->drop = (what & 0xe) == 0xe;
    if (what & 0x10)
        change->input.kind = reader_get_u8(in) % INPUT_KIND_COUNT;
    if (what & 0x20) {
        change->input.has_position = reader_get_u8(in) & 1;
        change->input.position.event += reader_get_u8(in) % 3;
        change->input.position.insn = small_or_huge(in);
    }
    if (what & 0xc0)
        change_payload(change, in);
}

static void write_input(struct trace_writer *writer, const struct trace_input *input,
    const uint8_t *payload, struct trace_position *last)
{
    struct trace_position at = input->position;
    if (!input->has_position) {
        trace_writer_input(writer, input->kind, NULL, payload, input->size);
        return;
    }
    if (at.event < last->event || (at.event == last->event && at.insn < last->insn))
        at = *last;
    *last = at;
    trace_writer_input(writer, input->kind, &at, payload, input->size);
}

static void write_inputs(struct trace_writer *writer, struct reader *in)
{
    static struct change changes[CHANGES];
    size_t count = reader_get_u8(in) % (CHANGES + 1);
    struct trace_position last = {0};
    for (size_t i = 0; i < count; i++)
        make_change(&changes[i], in);
    for (size_t i = 0; i < record_count; i++) {
        bool keep = true;
        for (size_t j = 0; j < count; j++) {
            if (changes[j].at != i)
                continue;
            if (!changes[j].drop)
                write_input(writer, &changes[j].input, changes[j].payload, &last);
            keep = keep && changes[j].insert;
        }
        if (keep)
            write_input(writer, &records[i].input, records[i].payload, &last);
    }
}

static void add_settings(struct trace_config *config, struct reader *in)
{
    static const char *const odd[][2] = {{"memory", "4096"}, {"memory", "0"},
        {"memory", "18446744073709547520"}, {"memory", "2097152+4096+2097152"},
        {"memory", "2199023255552"}, {"memory", "++"},
        {"disk", "snapshot=off,force=off,spare=off,sectors=8192"},
        {"disk", "raid=5,chunk=4096,snapshot=off,force=off,spare=off,sectors=8192+8192+8192"},
        {"disk", "sectors=1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1"},
        {"disk", "sectors=8192+8192+8192+8192+8192+8192+8192+8192+8192,spare=on"},
        {"disk", "raid=0,chunk=3,sectors=8192+8192"}, {"disk", "raid=1,sectors=8192"},
        {"disk", "sectors=1099511627776"}, {"disk", "spare=on,sectors=8192+8192"},
        {"disk", "raid=1,chunk=0,sectors=0+0"}, {"disk", "chunk=18446744073709551615,sectors=1"},
        {"net", ""}, {"net", "mac=52:54:00:12:34:56"}, {"net", "links=255,mac=1"},
        {"fault", "disk=0"}, {"fault", "member=0"}, {"max-time", "0"}, {"max-time", "1000000"},
        {"boot", "linux"}, {"boot", "elf64"}, {"start-time", "9223372036854775807"},
        {"start-time", "0"}, {"append", "ticks=1"}, {"unknown", "1"}, {"pace", "real"},
        {"engine", "none"}, {"time", "inputs"}};
    bool more = reader_get_u8(in) % 4 == 0;
    size_t other = more ? reader_get_u8(in) % (sizeof odd / sizeof odd[0]) : 0;
    for (size_t i = 0; i < setting_count; i++)
        trace_config_set(config, settings[i], "%s", settings[i] + strlen(settings[i]) + 1);
    if (more)
        trace_config_set(config, odd[other][0], "%s", odd[other][1]);
    trace_config_add_blob(config, "kernel", kernel, kernel_size);
}

static bool write_trace(struct reader *in)
{
    struct error error = {""};
    struct trace_config config = {0};
    struct trace_end last = end;
    add_settings(&config, in);
    uint8_t flags = reader_get_u8(in);
    if (flags & 1)
        last.events += small_or_huge(in) % (1 << 20);
    if (flags & 2)
        last.digest_size = flags >> 2 & 1 ? 8 : 64;
    const struct trace_writer_options options = {.sink = &sink,
        .config = &config,
        .counts_instructions = (flags & 0x18) != 0,
        .first_event = flags & 0x20 ? reader_get_u8(in) : 1};
    clear_file();
    struct trace_writer *writer = trace_writer_create(&options, &error);
    trace_config_free(&config);
    require(writer, &error);
    write_inputs(writer, in);
    return trace_writer_finish(writer, &last, &error) == 0;
}

/* ---- Replays ---- */

static void replay_bounded(void)
{
    struct error error = {""};
    struct buffer report = {0};
    enum replay_outcome outcome;
    bool damaged;
    const struct replay_options options = {.engine = "soft", .verify = true};
    struct replay *replay = replay_open(file_path, &options, &damaged, &error);
    if (!replay) {
        require(error.text[0] && !strchr(error.text, '\n'), NULL);
        return;
    }
    machine_limit(replay_machine(replay), INSTRUCTIONS);
    if (replay_run(replay, POSITION_END, &outcome, &damaged, &error) < 0)
        require(error.text[0] && !strchr(error.text, '\n'), NULL);
    else if (outcome == REPLAY_DIVERGED)
        replay_report(replay, &report);
    buffer_free(&report);
    replay_close(replay);
}

static void walk_bounded(void)
{
    struct error error = {""};
    struct timeline_stop stop;
    bool damaged;
    const struct timeline_options options = {.cache_bytes = 4 << 20};
    struct timeline *timeline = timeline_open(file_path, &options, &damaged, &error);
    if (!timeline)
        return;
    if (timeline_step(timeline, FORWARD, INSTRUCTIONS / 4, &stop, &error) == 0 &&
        timeline_step(timeline, BACKWARD, INSTRUCTIONS / 16, &stop, &error) == 0)
        timeline_step(timeline, FORWARD, INSTRUCTIONS / 8, &stop, &error);
    timeline_close(timeline);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (file < 0)
        set_up();
    struct reader in;
    reader_init(&in, data, size);
    bool walk = reader_get_u8(&in) % 4 == 0;
    if (!write_trace(&in))
        return 0;
    if (walk)
        walk_bounded();
    else
        replay_bounded();
    return 0;
}
