/* RAID 0: striping. */
#include "devices/raid/array.h"

/*
 * No redundancy: a failed access is the guest's to know, and the member stays, for its other
 * sectors may be all that is left of the data.
 */
static enum block_status raid0_read(
    struct raid_array *array, uint64_t sector, uint32_t count, uint8_t *data)
{
    while (count) {
        struct raid_location at;
        raid_locate(&array->super.geometry, sector, &at);
        uint32_t part = at.remaining < count ? at.remaining : count;
        if (!raid_in_sync(array, at.member, at.lba) ||
            raid_member_read(array, at.member, at.lba, part, data, RAID_ROLE_DATA))
            return BLOCK_EIO;
        sector += part;
        count -= part;
        data += (size_t)part * BLOCK_SECTOR;
    }
    return BLOCK_OK;
}

static enum block_status raid0_write(
    struct raid_array *array, uint64_t sector, uint32_t count, const uint8_t *data)
{
    while (count) {
        struct raid_location at;
        raid_locate(&array->super.geometry, sector, &at);
        uint32_t part = at.remaining < count ? at.remaining : count;
        if (raid_member_write(array, at.member, at.lba, part, data, RAID_ROLE_DATA))
            return BLOCK_EIO;
        sector += part;
        count -= part;
        data += (size_t)part * BLOCK_SECTOR;
    }
    return BLOCK_OK;
}

static enum block_status raid0_zero(
    struct raid_array *array, uint64_t sector, uint32_t count, bool discard)
{
    (void)discard;
    while (count) {
        struct raid_location at;
        raid_locate(&array->super.geometry, sector, &at);
        uint32_t part = at.remaining < count ? at.remaining : count;
        if (raid_member_zero(array, at.member, at.lba, part, RAID_ROLE_DATA))
            return BLOCK_EIO;
        sector += part;
        count -= part;
    }
    return BLOCK_OK;
}

const struct raid_level_ops raid0_ops = {
    .read = raid0_read,
    .write = raid0_write,
    .zero = raid0_zero,
};
