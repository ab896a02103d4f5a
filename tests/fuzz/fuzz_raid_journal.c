/*
 * A RAID 5 array killed at some write of a workload, and then bytes of its journals changed. The
 * array must be refused or can be used; where one byte was changed, and no checksum made right for
 * it, its content must be what was acknowledged or under way.
 *
 * Input: flags (1 make checksums right, 2 strict, 4 force), member that failed before (3: none),
 * writes before the kill, seed of the workload; then groups of four bytes: member, place (2),
 * value.
 */
#include <xxhash.h>

#include "raid_store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { JOURNAL_SECTORS = 272, SLOT = 136 };

/* Half of the places are in the headers, the others all over the slots and the map after them. */
static unsigned place(const uint8_t bytes[2])
{
    unsigned value = (unsigned)(bytes[0] | bytes[1] << 8);
    unsigned slot = value & 1, rest = value >> 2;
    if (value & 2)
        return slot * SLOT * 512 + rest % 80;
    return slot * SLOT * 512 + rest * 5 % (SLOT * 512);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct stores stores;
    if (size < 4)
        return 0;
    const struct raid_create create = {
        .level = RAID_5, .chunk = 4096, .region = 4096, .strict = data[0] & 2};
    unsigned failed = data[1] % 4 == 3 ? RAID_NO_MEMBER : data[1] % 4, changed = 0;
    stores_make(&stores, &create);
    stores_work(&stores, failed, data[3], 1 + data[2]);
    for (size_t i = 4; i + 4 <= size && i < 200; i += 4) {
        uint8_t *journal = stores.store[data[i] % STORE_MEMBERS].data +
                           (((STORE_SECTORS - 16) & ~7u) - 8 - JOURNAL_SECTORS) * 512;
        unsigned at = place(data + i + 1);
        journal[at] ^= data[i + 3];
        changed += data[i + 3] != 0;
        if (data[0] & 1) {
            uint8_t *sector = journal + at / 512 * 512;
            uint64_t sum = XXH3_64bits(sector, 504);
            memcpy(sector + 504, &sum, 8);
        }
    }
    struct raid_options options = {.force = data[0] & 4};
    struct error error;
    struct raid_array *array = raid_assemble(stores.member, STORE_MEMBERS, &options, &error);
    if (!array)
        return 0;
    if (changed <= 1 && !(data[0] & 5))
        stores_judge(&stores, raid_block_device(array));
    stores_use(array);
    raid_free(array);
    return 0;
}
