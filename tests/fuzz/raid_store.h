/*
 * Array members for the RAID fuzzers: memory that checks ranges, and whose power can be cut. A
 * workload of single versions per sector, so that what is read afterwards can be judged.
 */
#ifndef TESTS_RAID_STORE_H
#define TESTS_RAID_STORE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "devices/raid/raid.h"

enum { STORE_MEMBERS = 3, STORE_DATA = 64, STORE_REQUESTS = 12, STORE_VOLUME = 2 * STORE_DATA };
#define STORE_SECTORS ((unsigned)STORE_DATA + (unsigned)RAID_METADATA_SECTORS)

struct store {
    uint8_t data[STORE_SECTORS * 512];
};

struct stores {
    struct store store[STORE_MEMBERS];
    struct raid_member member[STORE_MEMBERS];
    uint8_t acknowledged[STORE_VOLUME], under_way[STORE_VOLUME]; /* version of each sector */
};

/* Writes left before power goes; one array at a time. */
static uint64_t store_writes_left = UINT64_MAX;

static void store_check(uint64_t lba, uint32_t count)
{
    if (lba > STORE_SECTORS || count > STORE_SECTORS - lba)
        abort();
}

static int store_read(void *object, uint64_t lba, uint32_t count, uint8_t *data)
{
    struct store *store = object;
    store_check(lba, count);
    memcpy(data, store->data + lba * 512, (size_t)count * 512);
    return 0;
}

static int store_write(void *object, uint64_t lba, uint32_t count, const uint8_t *data)
{
    struct store *store = object;
    store_check(lba, count);
    if (store_writes_left == 0)
        return -1;
    /* The last one is done in part. */
    uint32_t done = --store_writes_left ? count : count / 2;
    memcpy(store->data + lba * 512, data, (size_t)done * 512);
    return done == count ? 0 : -1;
}

static int store_flush(void *object)
{
    (void)object;
    return store_writes_left ? 0 : -1;
}

static uint64_t store_size(const void *object)
{
    (void)object;
    return STORE_SECTORS;
}

static const struct raid_member_ops store_ops = {
    .read = store_read, .write = store_write, .flush = store_flush, .size = store_size};

static inline void stores_make(struct stores *stores, const struct raid_create *create)
{
    memset(stores, 0, sizeof *stores);
    store_writes_left = UINT64_MAX;
    for (unsigned i = 0; i < STORE_MEMBERS; i++)
        stores->member[i] = (struct raid_member){.ops = &store_ops, .object = &stores->store[i]};
    if (raid_create(create, stores->member, STORE_MEMBERS, NULL))
        abort();
}

/* Writes at random, without the member `failed` if there is one, until power goes. */
static inline void stores_work(
    struct stores *stores, unsigned failed, uint64_t seed, uint64_t writes)
{
    static uint8_t buffer[24 * 512];
    struct error error;
    struct raid_array *array =
        raid_assemble(stores->member, STORE_MEMBERS, &(struct raid_options){0}, &error);
    if (!array)
        abort();
    (void)raid_fail(array, failed);
    struct block_device *disk = raid_block_device(array);
    store_writes_left = writes;
    for (unsigned i = 1; i <= STORE_REQUESTS && store_writes_left; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint32_t count = (uint32_t)(seed >> 33) % 24 + 1;
        uint64_t lba = (seed >> 40) % (disk->sectors - count);
        memset(buffer, (int)i, sizeof buffer);
        memset(stores->under_way + lba, (int)i, count);
        if (disk->ops->write(disk->object, lba, count, buffer))
            break;
        memset(stores->acknowledged + lba, (int)i, count);
    }
    raid_free(array);
    store_writes_left = UINT64_MAX;
}

/* Every sector is what was acknowledged, or what was under way. */
static inline void stores_judge(const struct stores *stores, const struct block_device *disk)
{
    uint8_t sector[512];
    for (uint64_t lba = 0; lba < disk->sectors; lba++) {
        if (disk->ops->read(disk->object, lba, 1, sector))
            abort();
        if (memcmp(sector, sector + 1, 511) != 0 ||
            (sector[0] != stores->acknowledged[lba] && sector[0] != stores->under_way[lba]))
            abort();
    }
}

/* Everything an array does at run time; any answer is right, a crash is not. */
static inline void stores_use(struct raid_array *array)
{
    static uint8_t buffer[64 * 512];
    struct error error;
    struct block_device *disk = raid_block_device(array);
    uint32_t count = disk->sectors < 64 ? (uint32_t)disk->sectors : 64;
    (void)disk->ops->read(disk->object, disk->sectors - count, count, buffer);
    (void)disk->ops->write(disk->object, 0, count, buffer);
    for (unsigned i = 0; i < 20; i++)
        (void)disk->ops->flush(disk->object);
    (void)disk->ops->write_zeroes(disk->object, 1, count - 1, true);
    (void)raid_rebuild_step(array, 4, &error);
    struct raid_scrub scrub = {.repair = true};
    (void)raid_scrub_step(array, &scrub, 64, &error);
    (void)raid_stop(array);
}

#endif
