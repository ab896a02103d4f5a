#include "devices/raid/array.h"

enum block_status raid1_read(
    struct raid_array *array, uint64_t sector, uint32_t count, uint8_t *data)
{
    unsigned members = array->super.geometry.members;
    for (unsigned i = 0; i < members; i++) {
        if (array->super.member[i].state != RAID_MEMBER_ACTIVE)
            continue;
        if (raid_member_read(array, i, sector, count, data, RAID_ROLE_DATA) == 0)
            return BLOCK_OK;
        (void)raid_read_failed(array, i);
    }
    /* The last mirror cannot give it; what has been rebuilt may. */
    for (unsigned i = 0; i < members; i++) {
        if (array->super.member[i].state == RAID_MEMBER_REBUILDING &&
            sector + count <= array->rebuilt &&
            raid_member_read(array, i, sector, count, data, RAID_ROLE_DATA) == 0)
            return BLOCK_OK;
    }
    return BLOCK_EIO;
}

/* Writes, or zeroes when `data` is NULL, on every mirror that is in sync there. */
static enum block_status write_mirrors(
    struct raid_array *array, uint64_t sector, uint32_t count, const uint8_t *data)
{
    enum block_status status = BLOCK_OK;
    if (raid_bitmap_mark(array, sector, count))
        return BLOCK_EIO;
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (!raid_in_sync(array, i, sector))
            continue;
        uint32_t part = count;
        if (array->super.member[i].state == RAID_MEMBER_REBUILDING &&
            part > array->rebuilt - sector)
            part = (uint32_t)(array->rebuilt - sector);
        int failed = data ? raid_member_write(array, i, sector, part, data, RAID_ROLE_DATA)
                          : raid_member_zero(array, i, sector, part, RAID_ROLE_DATA);
        if (failed && !raid_write_failed(array, i))
            status = BLOCK_EIO;
    }
    return status;
}

enum block_status raid1_write(
    struct raid_array *array, uint64_t sector, uint32_t count, const uint8_t *data)
{
    return write_mirrors(array, sector, count, data);
}

enum block_status raid1_zero(struct raid_array *array, uint64_t sector, uint32_t count)
{
    return write_mirrors(array, sector, count, NULL);
}
