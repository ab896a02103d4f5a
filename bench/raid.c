/*
 * Throughput of each RAID level through the array code, against plain pread/pwrite on the same
 * member files, and of parity against memcpy. One run; every figure is the median of interleaved
 * rounds, so what is compared ran under the same conditions. Files stay in the page cache: this
 * measures the array's work, not the disk.
 *
 * With 5 members a 1 MiB request is whole stripes of RAID 5; with others it cuts some.
 *
 * bench_raid DIRECTORY [MEMBERS [MIB_PER_MEMBER [ROUNDS]]]
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "devices/raid/parity.h"
#include "devices/raid/raid.h"
#include "vmm/host/block/raw.h"

enum { LARGE = 1 << 20, SMALL = 4096, SMALL_REQUESTS = 1024, MAX_ROUNDS = 25 };
enum kind { SEQUENTIAL_READ, SEQUENTIAL_WRITE, RANDOM_READ, RANDOM_WRITE, KINDS };
static const char *const kind_names[KINDS] = {
    "1 MiB sequential read", "1 MiB sequential write", "4 KiB random read", "4 KiB random write"};

struct bench {
    unsigned members, rounds;
    uint64_t member_bytes;
    uint8_t *buffer;
    uint64_t random;
};

static void die(const char *what)
{
    fprintf(stderr, "bench_raid: %s\n", what);
    exit(1);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static uint64_t next_random(struct bench *bench, uint64_t limit)
{
    bench->random = bench->random * 6364136223846793005u + 1442695040888963407u;
    return (bench->random >> 20) % limit;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, unsigned count)
{
    qsort(values, count, sizeof *values, ascending);
    return values[count / 2];
}

/* MiB/s of one round on the bare files: requests go round them, or to any of them. */
static double plain_round(struct bench *bench, const int *files, enum kind kind)
{
    bool small = kind >= RANDOM_READ, write = kind == SEQUENTIAL_WRITE || kind == RANDOM_WRITE;
    uint64_t size = small ? SMALL : LARGE;
    uint64_t requests = small ? SMALL_REQUESTS : bench->members * bench->member_bytes / LARGE;
    double start = now();
    for (uint64_t i = 0; i < requests; i++) {
        int file = files[small ? next_random(bench, bench->members) : i % bench->members];
        uint64_t at = small ? next_random(bench, bench->member_bytes / SMALL) * SMALL
                            : i / bench->members * LARGE;
        ssize_t done = write ? pwrite(file, bench->buffer, size, (off_t)at)
                             : pread(file, bench->buffer, size, (off_t)at);
        if (done != (ssize_t)size)
            die("plain access failed");
    }
    return (double)(requests * size) / (now() - start) / (1 << 20);
}

static double array_round(struct bench *bench, const struct block_device *disk, enum kind kind)
{
    bool small = kind >= RANDOM_READ, write = kind == SEQUENTIAL_WRITE || kind == RANDOM_WRITE;
    uint32_t count = (small ? SMALL : LARGE) / BLOCK_SECTOR;
    uint64_t places = disk->sectors / count, requests = small ? SMALL_REQUESTS : places;
    double start = now();
    for (uint64_t i = 0; i < requests; i++) {
        uint64_t lba = (small ? next_random(bench, places) : i) * count;
        enum block_status status = write ? disk->ops->write(disk->object, lba, count, bench->buffer)
                                         : disk->ops->read(disk->object, lba, count, bench->buffer);
        if (status)
            die("array access failed");
    }
    return (double)(requests * count * BLOCK_SECTOR) / (now() - start) / (1 << 20);
}

struct run {
    const char *name;
    enum raid_level level;
    bool degraded;
    char path[RAID_MAX_MEMBERS][512];
    struct raw_file *raw[RAID_MAX_MEMBERS];
    int files[RAID_MAX_MEMBERS]; /* the same members, for the plain accesses */
    struct raid_array *array;
    double result[KINDS][MAX_ROUNDS], plain[KINDS][MAX_ROUNDS]; /* MiB/s */
};

static void open_plain(const struct bench *bench, struct run *run)
{
    for (unsigned i = 0; i < bench->members; i++) {
        run->files[i] = open(run->path[i], O_RDWR | O_CLOEXEC);
        if (run->files[i] < 0)
            die("cannot open a member");
        for (uint64_t at = 0; at < bench->member_bytes; at += LARGE) {
            if (pwrite(run->files[i], bench->buffer, LARGE, (off_t)at) != LARGE)
                die("cannot fill a member");
        }
    }
}

static void set_up(
    const struct bench *bench, struct run *run, const char *directory, unsigned number)
{
    struct raid_member members[RAID_MAX_MEMBERS];
    struct raid_create create = {.level = run->level, .chunk = 65536, .uuid = {1}};
    struct error error;
    uint64_t sectors = bench->member_bytes / BLOCK_SECTOR + RAID_METADATA_SECTORS;
    for (unsigned i = 0; i < bench->members; i++) {
        snprintf(run->path[i], sizeof run->path[i], "%s/bench-%u-%u", directory, number, i);
        if (raw_make(run->path[i], sectors, true, &error) ||
            !(run->raw[i] = raw_open(run->path[i], &(struct raw_options){0}, &error)))
            die(error.text);
        members[i] = raw_member(run->raw[i]);
    }
    open_plain(bench, run);
    if (raid_create(&create, members, bench->members, &error))
        die(error.text);
    run->array = raid_assemble(members, bench->members, &(struct raid_options){0}, &error);
    if (!run->array)
        die(error.text);
    if (run->degraded && !raid_fail(run->array, 0))
        die("cannot degrade the array");
}

static void tear_down(const struct bench *bench, struct run *run)
{
    raid_free(run->array);
    for (unsigned i = 0; i < bench->members; i++) {
        close(run->files[i]);
        raw_close(run->raw[i]);
        unlink(run->path[i]);
    }
}

/* The first write to each MiB of the members, in ms: what folding rows of a degraded array costs.
 */
static void first_writes(struct bench *bench, const char *directory)
{
    static struct run run = {.name = "RAID 5 degraded", .level = RAID_5, .degraded = true};
    double ms[256];
    unsigned count = 0;
    set_up(bench, &run, directory, RAID_MAX_MEMBERS);
    const struct block_device *disk = raid_block_device(run.array);
    uint64_t step = (uint64_t)(bench->members - 1) * LARGE / BLOCK_SECTOR;
    for (uint64_t lba = 0; lba < disk->sectors && count < 256; lba += step) {
        double start = now();
        if (disk->ops->write(disk->object, lba, SMALL / BLOCK_SECTOR, bench->buffer))
            die("array access failed");
        ms[count++] = 1e3 * (now() - start);
    }
    printf("%-24s %-16s %8.2f ms each, median of %u\n", "first write to a unit", run.name,
        median(ms, count), count);
    tear_down(bench, &run);
}

/* All levels in each round, so that they meet the same conditions. */
static void measure(struct bench *bench, struct run *runs, unsigned count)
{
    for (unsigned kind = 0; kind < KINDS; kind++) {
        for (unsigned i = 0; i < count; i++) /* marks regions, warms up */
            (void)array_round(bench, raid_block_device(runs[i].array), (enum kind)kind);
        for (unsigned round = 0; round < bench->rounds; round++) {
            for (unsigned i = 0; i < count; i++) {
                struct run *run = &runs[i];
                run->plain[kind][round] = plain_round(bench, run->files, (enum kind)kind);
                run->result[kind][round] =
                    array_round(bench, raid_block_device(run->array), (enum kind)kind);
            }
        }
    }
}

/* Median over the rounds of one rate to another. */
static double ratio(const double *rate, const double *other, unsigned rounds)
{
    double ratios[MAX_ROUNDS];
    for (unsigned i = 0; i < rounds; i++)
        ratios[i] = rate[i] / other[i];
    return median(ratios, rounds);
}

static void report(const struct bench *bench, struct run *runs, unsigned count)
{
    for (unsigned kind = 0; kind < KINDS; kind++) {
        for (unsigned i = 0; i < count; i++) {
            double of_plain = ratio(runs[i].result[kind], runs[i].plain[kind], bench->rounds);
            double of_raid0 = ratio(runs[i].result[kind], runs[0].result[kind], bench->rounds);
            double rates[MAX_ROUNDS];
            memcpy(rates, runs[i].result[kind], sizeof rates);
            printf("%-24s %-16s %8.0f MiB/s; of plain %.2f; of RAID 0 %.2f\n", kind_names[kind],
                runs[i].name, median(rates, bench->rounds), of_plain, of_raid0);
        }
    }
}

/* GB/s of source bytes. */
static void parity_against_memcpy(size_t bytes, unsigned rounds, const char *name)
{
    enum { SOURCES = 3 };
    uint8_t *source[SOURCES], *target = aligned_alloc(64, bytes);
    const uint8_t *sources[SOURCES];
    unsigned repeat = (unsigned)((256u << 20) / bytes);
    double xor_rate[MAX_ROUNDS], copy_rate[MAX_ROUNDS];
    for (unsigned i = 0; i < SOURCES; i++) {
        source[i] = aligned_alloc(64, bytes);
        if (!source[i] || !target)
            die("out of memory");
        memset(source[i], (int)i + 1, bytes);
        sources[i] = source[i];
    }
    memset(target, 0, bytes);
    for (unsigned round = 0; round < rounds; round++) {
        double start = now();
        for (unsigned i = 0; i < repeat; i++) {
            memcpy(target, source[i % SOURCES], bytes);
            __asm__ volatile("" : : "r"(target) : "memory");
        }
        double middle = now();
        for (unsigned i = 0; i < repeat; i++) {
            parity_compute(target, sources, SOURCES, bytes);
            __asm__ volatile("" : : "r"(target) : "memory");
        }
        copy_rate[round] = (double)repeat * (double)bytes / (middle - start) / 1e9;
        xor_rate[round] = (double)repeat * (double)bytes * SOURCES / (now() - middle) / 1e9;
    }
    double copy = median(copy_rate, rounds), parity = median(xor_rate, rounds);
    printf("%-28s %6.2f GB/s of data; memcpy %6.2f GB/s; ratio %.2f\n", name, parity, copy,
        parity / copy);
    for (unsigned i = 0; i < SOURCES; i++)
        free(source[i]);
    free(target);
}

int main(int argc, char **argv)
{
    struct bench bench = {.members = 5, .rounds = 5, .random = 1};
    if (argc < 2)
        die("usage: bench_raid DIRECTORY [MEMBERS [MIB_PER_MEMBER [ROUNDS]]]");
    uint64_t mebibytes = argc > 3 ? strtoull(argv[3], NULL, 0) : 64;
    if (argc > 2)
        bench.members = (unsigned)strtoul(argv[2], NULL, 0);
    if (argc > 4)
        bench.rounds = (unsigned)strtoul(argv[4], NULL, 0);
    if (bench.members < 3 || bench.members > RAID_MAX_MEMBERS || mebibytes < 1 ||
        mebibytes > 65536 || bench.rounds < 1 || bench.rounds > MAX_ROUNDS)
        die("3 to 16 members, 1 to 65536 MiB, 1 to 25 rounds");
    bench.member_bytes = mebibytes << 20;
    bench.buffer = aligned_alloc(4096, LARGE);
    if (!bench.buffer)
        die("out of memory");
    for (unsigned i = 0; i < LARGE; i++)
        bench.buffer[i] = (uint8_t)(i * 7 + i / 4096 + 1);
    static struct run runs[] = {{.name = "RAID 0", .level = RAID_0},
        {.name = "RAID 1", .level = RAID_1}, {.name = "RAID 5", .level = RAID_5},
        {.name = "RAID 5 degraded", .level = RAID_5, .degraded = true}};
    enum { RUNS = sizeof runs / sizeof runs[0] };
    printf("%u members of %" PRIu64 " MiB, chunk 64K, median of %u rounds\n", bench.members,
        mebibytes, bench.rounds);
    for (unsigned i = 0; i < RUNS; i++)
        set_up(&bench, &runs[i], argv[1], i);
    measure(&bench, runs, RUNS);
    report(&bench, runs, RUNS);
    for (unsigned i = 0; i < RUNS; i++)
        tear_down(&bench, &runs[i]);
    first_writes(&bench, argv[1]);
    parity_against_memcpy(65536, bench.rounds, "parity of 3, 64 KiB chunks");
    parity_against_memcpy(64u << 20, bench.rounds, "parity of 3, 64 MiB");
    free(bench.buffer);
    return 0;
}
