/*
 * Hostile files of checkpoints: a good one with bytes of its blocks changed, cut or added, whose
 * checksums are then made right, so that what comes after them is reached. A timeline opens with it
 * and goes to places for which it needs them. Whatever the file says, there is a machine or a
 * message. (Damage that checksums find is in test_cache.)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "recorder/recorder.h"
#include "replay/timeline.h"
#include "vmm/machine/live.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 24, BLOCK_HEAD = 16, CHECKPOINTS = 6, CHANGES = 8 };

static int trace_file = -1, cache_file = -1;
static char trace_path[64], cache_path[64];
static struct buffer good; /* a file of checkpoints, as written */
static uint64_t total;     /* instructions in the trace */

static void fail(const char *what, const struct error *error)
{
    fprintf(stderr, "fuzz_cache: %s: %s\n", what, error ? error->text : "");
    abort();
}

#define require(condition, error) ((condition) ? (void)0 : fail(#condition, error))

static int64_t append_file(void *context, const void *data, size_t size)
{
    (void)context;
    return write(trace_file, data, size);
}

static void record_guest(void)
{
    static const struct trace_sink sink = {.write = append_file};
    static uint8_t kernel[1 << 20];
    static struct machine_config config;
    struct error error = {""};
    FILE *guest = fopen(TEST_GUESTS "/clock.elf", "rb");
    require(guest != NULL, NULL);
    const struct boot_image image = {
        .name = "clock", .data = kernel, .size = fread(kernel, 1, sizeof kernel, guest)};
    fclose(guest);
    config_defaults(&config);
    config.memory[0].size = 16 << 20;
    config.pace = PACE_FAST;
    strcpy(config.command_line, "ticks=60");
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
    total = machine->engine->retired;
    live_detach(live);
    require(recorder_finish(recorder, machine, outcome_of(machine, 0), NULL, &error) == 0, &error);
    machine_destroy(machine);
    live_destroy(live);
}

static struct timeline *open_with(const char *path)
{
    struct error error = {""};
    bool damaged;
    const struct timeline_options options = {.cache_path = path};
    struct timeline *timeline = timeline_open(trace_path, &options, &damaged, &error);
    require(timeline, &error);
    return timeline;
}

static void make_good_file(void)
{
    struct error error = {""};
    char path[] = "/tmp/hindsight-fuzz-cache-XXXXXX";
    int fd = mkstemp(path);
    require(fd >= 0 && unlink(path) == 0, NULL);
    close(fd);
    struct timeline *timeline = open_with(path);
    for (unsigned i = 1; i < CHECKPOINTS; i++) {
        require(
            timeline_seek_retired(timeline, total * i / CHECKPOINTS, NULL, &error) == 0, &error);
        require(timeline_checkpoint(timeline, &error) == 0, &error);
    }
    require(timeline_keep(timeline, &error) == 0, &error);
    timeline_close(timeline);
    FILE *file = fopen(path, "rb");
    require(file != NULL, NULL);
    int byte;
    while ((byte = getc(file)) != EOF)
        buffer_put_u8(&good, (uint8_t)byte);
    fclose(file);
    unlink(path);
    require(!good.failed && good.size > HEAD, NULL);
}

static void prepare(void)
{
    trace_file = memfd_create("trace", 0);
    cache_file = memfd_create("checkpoints", 0);
    require(trace_file >= 0 && cache_file >= 0, NULL);
    snprintf(trace_path, sizeof trace_path, "/proc/self/fd/%d", trace_file);
    snprintf(cache_path, sizeof cache_path, "/proc/self/fd/%d", cache_file);
    record_guest();
    make_good_file();
}

/* Changes the block as the input says; most lie near its start, where the fields are. */
static void change_block(struct reader *input, struct buffer *block)
{
    unsigned changes = reader_get_u8(input) % CHANGES;
    for (unsigned i = 0; i < changes && block->size; i++) {
        size_t range = reader_get_u8(input) % 2 ? 80 : block->size;
        size_t at = reader_get_u32(input) % (range < block->size ? range : block->size);
        switch (reader_get_u8(input) % 4) {
        case 0:
            block->size = at;
            break;
        case 1:
            buffer_put_u64(block, reader_get_u64(input));
            break;
        default:
            block->data[at] = reader_get_u8(input);
        }
    }
}

/* The good file, block by block; the one at the start stays, as another would end the reading. */
static void build(struct reader *input, struct buffer *out)
{
    struct reader in;
    reader_init(&in, good.data, good.size);
    buffer_put(out, reader_take(&in, HEAD), HEAD);
    for (unsigned number = 0; reader_left(&in) >= BLOCK_HEAD; number++) {
        uint64_t size = reader_get_u64(&in);
        reader_get_u64(&in);
        struct buffer block = {0};
        buffer_put(&block, reader_take(&in, (size_t)size), (size_t)size);
        if (number != 1 && size && reader_get_u8(input) % 2)
            change_block(input, &block);
        buffer_put_u64(out, block.size);
        buffer_put_u64(out, XXH3_64bits(block.data, block.size));
        buffer_put(out, block.data, block.size);
        buffer_free(&block);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error;
    struct reader input;
    struct buffer file = {0};
    if (trace_file < 0)
        prepare();
    reader_init(&input, data, size);
    build(&input, &file);
    require(ftruncate(cache_file, 0) == 0 && lseek(cache_file, 0, SEEK_SET) == 0, NULL);
    require(write(cache_file, file.data, file.size) == (ssize_t)file.size, NULL);
    buffer_free(&file);
    struct timeline *timeline = open_with(cache_path);
    for (unsigned i = CHECKPOINTS; i-- > 0;) {
        /* By count: a guest that went astray need not come to an event. */
        if (timeline_seek_retired(timeline, total * i / CHECKPOINTS + 50, NULL, &error) < 0)
            break;
        if (timeline_step(timeline, BACKWARD, 2, NULL, &error) < 0)
            break;
    }
    size_t printed;
    timeline_console(timeline, &printed);
    timeline_close(timeline);
    return 0;
}
