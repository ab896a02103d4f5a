/*
 * An array killed at some write of a workload, and then its write-intent bitmaps changed. With all
 * members there, and with one that failed before, what is read is what was acknowledged or under
 * way whatever the bitmaps say; where bits were only set, the members agree as well.
 *
 * Input: flags (1 RAID 1, 2 bits are only set, 4 small regions), member that failed before (3:
 * none), writes before the kill, seed of the workload; then groups of three bytes: member, place,
 * value.
 */
#include "raid_store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct stores stores;
    if (size < 4)
        return 0;
    const struct raid_create create = {
        .level = data[0] & 1 ? RAID_1 : RAID_5, .chunk = 4096, .region = data[0] & 4 ? 4096 : 0};
    unsigned failed = data[1] % 4 == 3 ? RAID_NO_MEMBER : data[1] % 4;
    bool only_set = data[0] & 2;
    stores_make(&stores, &create);
    stores_work(&stores, failed, data[3], 1 + data[2]);
    for (size_t i = 4; i + 3 <= size && i < 200; i += 3) {
        uint8_t *bits = stores.store[data[i] % STORE_MEMBERS].data +
                        (((STORE_SECTORS - 16) & ~7u) - 8) * 512 + data[i + 1];
        *bits = only_set ? *bits | data[i + 2] : data[i + 2];
    }
    struct error error;
    struct raid_array *array =
        raid_assemble(stores.member, STORE_MEMBERS, &(struct raid_options){0}, &error);
    if (!array)
        abort();
    /* Mirrors that nobody made agree may give either of two writes under way. */
    if (create.level == RAID_5 || only_set)
        stores_judge(&stores, raid_block_device(array));
    struct raid_scrub scrub = {0};
    while (only_set && raid_scrub_step(array, &scrub, 16, &error) == 1)
        ;
    if (scrub.mismatches)
        abort();
    stores_use(array);
    raid_free(array);
    return 0;
}
