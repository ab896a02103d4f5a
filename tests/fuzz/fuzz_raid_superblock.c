/*
 * Members whose metadata is arbitrary bytes: assembling must end in an array that can be read or
 * in an error, whatever they say. The input is laid over the metadata of three members; with its
 * first bit set, checksums are made right so that what is behind them is reached.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "devices/raid/raid.h"

enum { MEMBERS = 3 };
#define SECTORS (64u + RAID_METADATA_SECTORS)

struct store {
    uint8_t data[SECTORS * 512];
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int store_check(uint64_t lba, uint32_t count)
{
    if (lba > SECTORS || count > SECTORS - lba)
        abort();
    return 0;
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
    memcpy(store->data + lba * 512, data, (size_t)count * 512);
    return 0;
}

static int store_flush(void *object)
{
    (void)object;
    return 0;
}

static uint64_t store_size(const void *object)
{
    (void)object;
    return SECTORS;
}

static const struct raid_member_ops store_ops = {
    .read = store_read, .write = store_write, .flush = store_flush, .size = store_size};

static void make_checksum_right(uint8_t *sector)
{
    uint64_t sum = XXH3_64bits(sector, 504);
    memcpy(sector + 504, &sum, 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct store store[MEMBERS];
    struct raid_member members[MEMBERS];
    if (size < 4)
        return 0;
    for (unsigned i = 0; i < MEMBERS; i++) {
        memset(&store[i], 0, sizeof store[i]);
        members[i] = (struct raid_member){.ops = &store_ops, .object = &store[i]};
    }
    struct raid_create create = {
        .level = data[0] & 2 ? RAID_5 : RAID_1, .chunk = 4096, .resync = data[0] & 4};
    if (raid_create(&create, members, MEMBERS, NULL))
        abort();
    /* Groups of five bytes: member, sector and offset in the metadata, a value to put there. */
    const unsigned superblock = (SECTORS - 16) & ~7u;
    for (size_t i = 4; i + 5 <= size && i < 400; i += 5) {
        unsigned sector = data[i + 1] & 1 ? superblock + (data[i + 1] & 8)
                                          : SECTORS - RAID_METADATA_SECTORS + data[i + 1];
        unsigned offset = (data[i + 2] | data[i + 3] << 8) % 400;
        uint8_t *bytes = store[data[i] % MEMBERS].data + sector * 512;
        bytes[offset] = data[i + 4];
        if (data[0] & 1)
            make_checksum_right(bytes);
    }
    struct raid_options options = {.allow_missing = data[1] & 1, .force = data[1] & 2};
    struct error error;
    struct raid_array *array = raid_assemble(members, MEMBERS, &options, &error);
    if (!array)
        return 0;
    struct block_device *disk = raid_block_device(array);
    static uint8_t buffer[64 * 512];
    uint32_t count = disk->sectors < 64 ? (uint32_t)disk->sectors : 64;
    (void)disk->ops->read(disk->object, disk->sectors - count, count, buffer);
    (void)disk->ops->write(disk->object, 0, count, buffer);
    (void)disk->ops->flush(disk->object);
    (void)raid_rebuild_step(array, 4, &error);
    (void)raid_stop(array);
    raid_free(array);
    return 0;
}
