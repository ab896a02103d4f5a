/* The state of an array in its superblocks: event counts, failures, closing. */
#include "devices/raid/array.h"

#include <string.h>

enum block_status raid_flush_members(struct raid_array *array)
{
    enum block_status status = BLOCK_OK;
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (raid_usable(array, i) && raid_member_flush(array, i) && !raid_write_failed(array, i))
            status = BLOCK_EIO;
    }
    return array->failed ? BLOCK_EIO : status;
}

/* All get the same content, also when one of them fails on the way: equal event counts mean equal
 * superblocks. */
static enum block_status write_superblocks(struct raid_array *array)
{
    struct raid_superblock super = array->super;
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (!raid_usable(array, i))
            continue;
        uint8_t sector[512];
        super.role = i;
        super.bad = array->bad[i].sequence;
        super.size = array->io[i].ops->size(array->io[i].object);
        raid_superblock_encode(&super, sector);
        uint64_t lba = raid_superblock_lba(super.size) + (super.events & 1) * 8;
        if (raid_member_write(array, i, lba, 1, sector, RAID_ROLE_SUPERBLOCK) &&
            !raid_write_failed(array, i))
            return BLOCK_EIO;
    }
    return BLOCK_OK;
}

/* Lists of bad sectors that have changed: before the superblocks that speak of them. */
static enum block_status write_lists(struct raid_array *array)
{
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (raid_usable(array, i) && array->bad[i].changed && raid_bad_write(array, i) &&
            !raid_write_failed(array, i))
            return BLOCK_EIO;
    }
    return raid_flush_members(array);
}

/* One step: the next event on all members, on stable storage. */
static enum block_status advance(struct raid_array *array)
{
    array->super.events++;
    return write_superblocks(array) || raid_flush_members(array) ? BLOCK_EIO : BLOCK_OK;
}

/*
 * Two steps, because a crash can leave members on either side of one. After the first all members
 * have the new event and still accept the one before; the second, which begins when the first has
 * reached all, says that a member without it has missed what follows. So a member restored from a
 * copy is known by its event count, and one that a crash kept from the last step is not.
 */
enum block_status raid_update_superblocks(struct raid_array *array)
{
    if (array->failed)
        return BLOCK_EIO;
    do {
        array->unsettled = false;
        if (raid_flush_members(array) || write_lists(array))
            return BLOCK_EIO;
        array->super.epoch = array->super.events + 1;
        array->super.rebuilt = array->rebuilt;
        array->super.clean = !array->running;
        memset(array->journal, 0, sizeof array->journal);
        if (advance(array))
            return BLOCK_EIO;
        if (array->unsettled)
            continue;
        array->super.since = array->super.events;
        if (advance(array))
            return BLOCK_EIO;
    } while (array->unsettled);
    return BLOCK_OK;
}

enum block_status raid_begin_writing(struct raid_array *array)
{
    if (array->failed)
        return BLOCK_EIO;
    if (array->running || array->super.geometry.level == RAID_0)
        return BLOCK_OK;
    array->running = true;
    if (raid_update_superblocks(array)) {
        array->running = false;
        return BLOCK_EIO;
    }
    return BLOCK_OK;
}

enum block_status raid_settle(struct raid_array *array)
{
    if (array->failed)
        return BLOCK_EIO;
    return array->unsettled ? raid_update_superblocks(array) : BLOCK_OK;
}

enum block_status raid_stop(struct raid_array *array)
{
    if (raid_settle(array))
        return BLOCK_EIO;
    if (array->super.geometry.level == RAID_0)
        return raid_flush_members(array);
    if (!array->running)
        return BLOCK_OK;
    if (raid_flush_members(array) || raid_bitmap_clear(array))
        return BLOCK_EIO;
    array->running = false;
    if (raid_update_superblocks(array)) {
        array->running = true;
        return BLOCK_EIO;
    }
    return BLOCK_OK;
}
