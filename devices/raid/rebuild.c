/* Replaces a member and rebuilds its contents. */
#include "devices/raid/array.h"

#include <inttypes.h>
#include <string.h>

int raid_replace_check(const struct raid_array *array, unsigned member,
    const struct raid_member *replacement, struct error *error)
{
    const struct raid_superblock *super = &array->super;
    const struct raid_geometry *geometry = &super->geometry;
    if (!array->level->restore)
        return error_set(error, "RAID 0 has nothing to rebuild a member from");
    if (array->failed)
        return error_set(error, "the array has failed: too many members are lost");
    if (member >= geometry->members)
        return error_set(
            error, "there is no member %u: the array has %u", member, geometry->members);
    if (super->member[member].state != RAID_MEMBER_FAILED)
        return error_set(error, "member %u is %s: only a failed one can be replaced", member,
            raid_member_state_name(super->member[member].state));
    for (unsigned i = 0; i < geometry->members; i++) {
        if (super->member[i].state == RAID_MEMBER_REBUILDING)
            return error_set(error, "member %u is being rebuilt: one at a time", i);
    }
    uint64_t size = replacement->ops->size(replacement->object);
    if (raid_data_room(size) < geometry->member_sectors)
        return error_set(error, "the replacement has %" PRIu64 " sectors: member %u needs %" PRIu64,
            size, member, geometry->member_sectors + RAID_METADATA_SECTORS);
    return 0;
}

int raid_replace(struct raid_array *array, unsigned member, const struct raid_member *replacement,
    struct error *error)
{
    struct raid_superblock *super = &array->super;
    if (raid_replace_check(array, member, replacement, error))
        return -1;
    uint64_t size = replacement->ops->size(replacement->object);
    /* The others must say what they do before the newcomer says anything. */
    if (raid_begin_writing(array))
        return error_set(error, "the other members cannot be written");
    array->io[member] = *replacement;
    raid_bad_forget(array, member);
    uint64_t other = raid_superblock_lba(size) + ((super->events & 1) * 8);
    for (unsigned slot = 0; slot < JOURNAL_SLOTS; slot++) {
        if (raid_member_write(
                array, member, raid_journal_lba(size, slot), 1, raid_zeroes, RAID_ROLE_JOURNAL))
            return error_set(error, "the replacement cannot be written");
    }
    if (raid_member_write(array, member, other, 1, raid_zeroes, RAID_ROLE_SUPERBLOCK) ||
        raid_member_write(
            array, member, raid_bitmap_lba(size), BITMAP_SECTORS, array->dirty, RAID_ROLE_BITMAP) ||
        raid_fold_write_map(array, member))
        return error_set(error, "the replacement cannot be written");
    super->member[member].id = raid_new_member_id(super->uuid, member, super->events + 1);
    super->member[member].state = RAID_MEMBER_REBUILDING;
    array->rebuilt = 0;
    if (array->observer.change)
        array->observer.change(array->observer.context, RAID_CHANGE_REPLACED, member);
    if (raid_update_superblocks(array) || super->member[member].state != RAID_MEMBER_REBUILDING)
        return error_set(error, "the replacement cannot be written");
    return 0;
}

static unsigned rebuilding_member(const struct raid_array *array)
{
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (array->super.member[i].state == RAID_MEMBER_REBUILDING)
            return i;
    }
    return RAID_NO_MEMBER;
}

/* Whether some member that is read from is no longer there at all. */
static bool source_dead(struct raid_array *array, unsigned target)
{
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (i != target && raid_usable(array, i) && raid_dead(array, i))
            return true;
    }
    return false;
}

/* A sector that the others cannot give is bad on the new member too; that costs this one only. */
static int restore_each(struct raid_array *array, unsigned target, uint64_t row, uint32_t count,
    uint8_t *out, struct error *error)
{
    if (source_dead(array, target))
        return error_set(error,
            "rebuilding member %u: another member cannot be read at sector %" PRIu64, target, row);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *at = out + (size_t)i * BLOCK_SECTOR;
        if (array->level->restore(array, target, row + i, 1, at) == 0)
            continue;
        memset(at, 0, BLOCK_SECTOR);
        if (!raid_bad_add(array, target, row + i))
            return error_set(
                error, "rebuilding member %u: too many sectors cannot be read", target);
    }
    return 0;
}

static int rebuild_rows(
    struct raid_array *array, unsigned target, uint64_t row, uint32_t count, struct error *error)
{
    const struct raid_geometry *geometry = &array->super.geometry;
    enum raid_role role = raid_parity_member(geometry, row / geometry->chunk) == target
                              ? RAID_ROLE_PARITY
                              : RAID_ROLE_DATA;
    if (array->level->restore(array, target, row, count, array->parity) &&
        restore_each(array, target, row, count, array->parity, error))
        return -1;
    if (raid_member_write(array, target, row, count, array->parity, role)) {
        (void)raid_data_write_failed(array, target, row, count, array->parity);
        if (raid_usable(array, target))
            return 0;
        (void)raid_settle(array);
        return error_set(
            error, "rebuilding member %u: it cannot be written at sector %" PRIu64, target, row);
    }
    return 0;
}

/* To the end of the chunk, or of a folded unit: there the member's data is in the parity's place,
 * and that gets parity once the member has it. */
static int rebuild_some(struct raid_array *array, unsigned target, struct error *error)
{
    const struct raid_geometry *geometry = &array->super.geometry;
    uint64_t first = array->rebuilt, row = first, end = first + geometry->chunk;
    bool folded = raid_fold_marked(array, first);
    if (folded)
        end = raid_fold_end(array, first);
    if (end > geometry->member_sectors)
        end = geometry->member_sectors;
    for (uint32_t count; row < end; row += count) {
        count = end - row < geometry->chunk ? (uint32_t)(end - row) : geometry->chunk;
        if (rebuild_rows(array, target, row, count, error))
            return -1;
    }
    if (folded && (raid_unfold(array, first) ||
                      array->super.member[target].state != RAID_MEMBER_REBUILDING)) {
        (void)raid_settle(array);
        return error_set(error, "rebuilding member %u: it or the others cannot be written", target);
    }
    array->rebuilt = end;
    return 0;
}

/* How far the superblocks may lag behind: a sixteenth, at least 1 MiB. */
static bool worth_recording(const struct raid_array *array)
{
    uint64_t interval = array->super.geometry.member_sectors / 16;
    if (interval < 2048)
        interval = 2048;
    return array->rebuilt - array->super.rebuilt >= interval;
}

int raid_rebuild_step(struct raid_array *array, uint64_t stripes, struct error *error)
{
    const struct raid_geometry *geometry = &array->super.geometry;
    unsigned target = rebuilding_member(array);
    if (target == RAID_NO_MEMBER)
        return 0;
    if (array->failed)
        return error_set(error, "the array has failed: too many members are lost");
    if (raid_begin_writing(array))
        return error_set(error, "rebuilding member %u: the superblocks cannot be written", target);
    uint64_t first = array->rebuilt;
    while (array->rebuilt < geometry->member_sectors &&
           (array->rebuilt - first) / geometry->chunk < stripes) {
        if (rebuild_some(array, target, error))
            return -1;
    }
    if (array->rebuilt < geometry->member_sectors) {
        if ((worth_recording(array) && raid_update_superblocks(array)) || raid_settle(array))
            return error_set(
                error, "rebuilding member %u: the superblocks cannot be written", target);
        return rebuilding_member(array) == target
                   ? 1
                   : error_set(error, "rebuilding member %u: it failed", target);
    }
    /* Its content is on stable storage before the superblocks count on it. */
    if (raid_flush_members(array) || array->super.member[target].state != RAID_MEMBER_REBUILDING)
        return error_set(error, "rebuilding member %u: it cannot be flushed", target);
    array->super.member[target].state = RAID_MEMBER_ACTIVE;
    array->rebuilt = 0;
    raid_fold_forget(array);
    if (array->observer.change)
        array->observer.change(array->observer.context, RAID_CHANGE_REBUILT, target);
    if (raid_update_superblocks(array))
        return error_set(error, "rebuilding member %u: the superblocks cannot be written", target);
    return 0;
}
