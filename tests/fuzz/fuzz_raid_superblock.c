/*
 * Members whose metadata is arbitrary bytes: assembling must end in an array that can be read or
 * in an error, whatever they say. The input is laid over the metadata of three members; with its
 * first bit set, checksums are made right so that what comes after them is reached.
 */
#include <xxhash.h>

#include "raid_store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void make_checksum_right(uint8_t *sector)
{
    uint64_t sum = XXH3_64bits(sector, 504);
    memcpy(sector + 504, &sum, 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct stores stores;
    if (size < 4)
        return 0;
    struct raid_create create = {
        .level = data[0] & 2 ? RAID_5 : RAID_1, .chunk = 4096, .resync = data[0] & 4};
    stores_make(&stores, &create);
    /* Groups of five bytes: member, sector and offset in the metadata, a value to put there. */
    const unsigned superblock = (STORE_SECTORS - 16) & ~7u;
    for (size_t i = 4; i + 5 <= size && i < 400; i += 5) {
        unsigned sector = data[i + 1] & 1 ? superblock + (data[i + 1] & 8)
                                          : STORE_SECTORS - RAID_METADATA_SECTORS + data[i + 1];
        unsigned offset = (data[i + 2] | data[i + 3] << 8) % 400;
        uint8_t *bytes = stores.store[data[i] % STORE_MEMBERS].data + sector * 512;
        bytes[offset] = data[i + 4];
        if (data[0] & 1)
            make_checksum_right(bytes);
    }
    struct raid_options options = {.allow_missing = data[1] & 1, .force = data[1] & 2};
    struct error error;
    struct raid_array *array = raid_assemble(stores.member, STORE_MEMBERS, &options, &error);
    if (!array)
        return 0;
    stores_use(array);
    raid_free(array);
    return 0;
}
