/*
 * Writes patterns over a whole virtio-blk disk, reads them back and compares, in several passes:
 * long sequential writes, then short ones all over it, zeroes and flushes in between. Each sector
 * carries its number and the generation that wrote it, so data from the wrong place or time is
 * told apart.
 *
 * Options: passes=2, sectors=N (of the disk, default all), random=200 (short writes in a pass),
 * seed=1, keep=1 (do not write: only verify what an earlier run with the same options left).
 * Failures: debug-exit value 3 wrong data, 4 I/O error, 5 the device broke its rules.
 */
#include <stdint.h>

#include "lib/boot.h"
#include "lib/console.h"
#include "lib/exit.h"
#include "lib/virtio_blk.h"

enum {
    SECTOR = 512,
    WORDS = SECTOR / 8,
    BUFFER_SECTORS = 256,
    MAX_SECTORS = 1 << 20,
    WRONG_DATA = 3,
    IO_ERROR = 4,
};

static uint64_t buffer[BUFFER_SECTORS * WORDS] __attribute__((aligned(4096)));
static uint8_t generation[MAX_SECTORS]; /* 0: zeroes */
static uint64_t sectors, random_state;
static unsigned writes, reads;

static uint64_t next_random(uint64_t limit)
{
    random_state = random_state * 6364136223846793005ul + 1442695040888963407ul;
    return (random_state >> 33) % limit;
}

static uint64_t pattern(uint64_t sector, unsigned age, unsigned word)
{
    if (age == 0)
        return 0;
    return (sector << 24 | age << 16 | word) * 0x9e3779b97f4a7c15ul;
}

static void check_status(enum disk_status status, const char *what, uint64_t sector)
{
    if (status != DISK_OK)
        guest_panic(IO_ERROR, "%s at sector %lu ended with status %u", what, sector, status);
}

static void write_range(uint64_t sector, uint32_t count, unsigned age, unsigned pieces, bool really)
{
    for (uint32_t i = 0; i < count; i++) {
        generation[sector + i] = (uint8_t)age;
        for (unsigned word = 0; word < WORDS && really; word++)
            buffer[i * WORDS + word] = pattern(sector + i, age, word);
    }
    if (!really)
        return;
    check_status(disk_write(sector, buffer, count * SECTOR, pieces), "write", sector);
    writes++;
}

static void zero_range(uint64_t sector, uint32_t count, bool really)
{
    for (uint32_t i = 0; i < count; i++)
        generation[sector + i] = 0;
    if (really)
        check_status(disk_write_zeroes(sector, count), "write zeroes", sector);
}

static void verify_range(uint64_t sector, uint32_t count, unsigned pieces)
{
    check_status(disk_read(sector, buffer, count * SECTOR, pieces), "read", sector);
    reads++;
    for (uint32_t i = 0; i < count; i++) {
        for (unsigned word = 0; word < WORDS; word++) {
            uint64_t want = pattern(sector + i, generation[sector + i], word);
            uint64_t have = buffer[i * WORDS + word];
            if (have != want)
                guest_panic(WRONG_DATA, "sector %lu word %u is %lx, not %lx (generation %u)",
                    sector + i, word, have, want, generation[sector + i]);
        }
    }
}

static uint32_t clamp(uint64_t sector, uint64_t count)
{
    return (uint32_t)(count < sectors - sector ? count : sectors - sector);
}

static void run_pass(unsigned pass, uint64_t random_writes, bool really)
{
    unsigned age = 2 * pass + 1;
    for (uint64_t sector = 0; sector < sectors;) {
        uint32_t count = clamp(sector, BUFFER_SECTORS - next_random(8));
        write_range(sector, count, age, 1 + (unsigned)next_random(20), really);
        sector += count;
    }
    if (really)
        check_status(disk_flush(), "flush", 0);
    for (uint64_t i = 0; i < random_writes; i++) {
        uint64_t sector = next_random(sectors);
        uint32_t count = clamp(sector, 1 + next_random(24));
        if (next_random(16) == 0)
            zero_range(sector, count, really);
        else
            write_range(sector, count, age + 1, 1 + (unsigned)next_random(4), really);
        if (really && next_random(32) == 0)
            check_status(disk_flush(), "flush", 0);
        sector = next_random(sectors);
        count = clamp(sector, 1 + next_random(24));
        if (really)
            verify_range(sector, count, 1);
    }
}

static void verify_all(void)
{
    for (uint64_t sector = 0; sector < sectors; sector += BUFFER_SECTORS)
        verify_range(sector, clamp(sector, BUFFER_SECTORS), 1 + (unsigned)(sector / 7 % 9));
}

void guest_main(const struct boot_info *boot)
{
    char identity[21];
    if (!disk_open(0))
        guest_panic(IO_ERROR, "no virtio-blk disk on the PCI bus");
    uint64_t capacity = disk_sectors(), passes = boot_option(boot, "passes", 2);
    bool keep = boot_option(boot, "keep", 0);
    sectors = boot_option(boot, "sectors", capacity);
    if (sectors > capacity || sectors == 0)
        guest_panic(IO_ERROR, "the disk has %lu sectors", capacity);
    if (sectors > MAX_SECTORS)
        sectors = MAX_SECTORS;
    random_state = boot_option(boot, "seed", 1);
    check_status(disk_identity(identity), "identity", 0);
    console_printf("disk: %lu sectors of %lu, \"%s\"\n", sectors, capacity, identity);
    for (unsigned pass = 0; pass < passes; pass++) {
        run_pass(pass, boot_option(boot, "random", 200), !keep);
        if (!keep) {
            verify_all();
            check_status(disk_flush(), "flush", 0);
            console_printf("disk: pass %u: %u writes, %u reads, %u interrupts\n", pass + 1, writes,
                reads, disk_interrupts());
        }
    }
    verify_all();
    console_printf("disk: all %lu sectors are right\n", sectors);
}
