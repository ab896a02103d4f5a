/* Recovery after a crash: the journal's entries, then the rows under way. */
#include "devices/raid/array.h"

#include <inttypes.h>
#include <string.h>

/*
 * After a crash. Rows at which every member has valid content are made to agree: RAID 5 parity is
 * computed anew, RAID 1 mirrors are copied. At rows of which a member is missing parity is all
 * there is of that member, so there the journal brings the last writes to their end.
 */

/* Gone during recovery: what the rows under way should be is not known any more. */
static int refuse_dead(const struct raid_array *array, unsigned member, struct error *error)
{
    if (raid_usable(array, member) && !array->failed)
        return 0;
    return error_set(error, "member %u failed during recovery", member);
}

int raid_recover_read(struct raid_array *array, unsigned member, uint64_t row, uint32_t count,
    uint8_t *out, struct error *error)
{
    const struct raid_geometry *geometry = &array->super.geometry;
    enum raid_role role = raid_parity_member(geometry, row / geometry->chunk) == member
                              ? RAID_ROLE_PARITY
                              : RAID_ROLE_DATA;
    if (raid_member_read(array, member, row, count, out, role) == 0)
        return 0;
    if (raid_dead(array, member))
        return error_set(
            error, "member %u cannot be read at sector %" PRIu64 " during recovery", member, row);
    (void)raid_read_failed(array, member, row, count);
    if (refuse_dead(array, member, error))
        return -1;
    return raid_has(array, member, row, count) &&
                   raid_member_read(array, member, row, count, out, role) == 0
               ? 0
               : 1;
}

int raid_recover_write(struct raid_array *array, unsigned member, uint64_t row, uint32_t count,
    const uint8_t *want, uint8_t *have, enum raid_role role, struct error *error)
{
    if (raid_member_read(array, member, row, count, have, role) == 0 &&
        memcmp(want, have, (size_t)count * BLOCK_SECTOR) == 0)
        return 0;
    if (raid_member_write(array, member, row, count, want, role)) {
        if (raid_dead(array, member))
            return error_set(error,
                "member %u cannot be written at sector %" PRIu64 " during recovery", member, row);
        (void)raid_data_write_failed(array, member, row, count, want);
        return refuse_dead(array, member, error);
    }
    return 0;
}

static int resync_region(struct raid_array *array, uint64_t region, struct error *error)
{
    const struct raid_geometry *geometry = &array->super.geometry;
    uint64_t row = region * array->super.region, end = row + array->super.region;
    if (end > geometry->member_sectors)
        end = geometry->member_sectors;
    while (row < end) {
        uint32_t count = geometry->chunk - (uint32_t)(row % geometry->chunk);
        if (count > end - row)
            count = (uint32_t)(end - row);
        count = raid_uniform(array, row, count);
        uint32_t bad = raid_bad_changes(array);
        int result = array->level->resync(array, row, count, error);
        if (result < 0)
            return -1;
        /* Bad sectors were found: their neighbours still have to agree. */
        if (raid_bad_changes(array) != bad)
            continue;
        for (uint32_t i = 0; result == 1 && count > 1 && i < count; i++) {
            if (array->level->resync(array, row + i, 1, error) < 0)
                return -1;
        }
        row += count;
    }
    return 0;
}

/* A bit set on any member counts. */
static void load_bitmap(struct raid_array *array)
{
    bool found = false;
    memset(array->dirty, 0, sizeof array->dirty);
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        uint8_t bits[sizeof array->dirty];
        if (!raid_usable(array, i))
            continue;
        uint64_t lba = raid_bitmap_lba(array->io[i].ops->size(array->io[i].object));
        if (raid_member_read(array, i, lba, BITMAP_SECTORS, bits, RAID_ROLE_BITMAP))
            continue; /* the others have the same */
        found = true;
        for (size_t j = 0; j < sizeof bits; j++)
            array->dirty[j] |= bits[j];
    }
    if (!found)
        memset(array->dirty, 0xff, sizeof array->dirty);
}

/*
 * Entries without a barrier are whole if the host did not lose power. They are needed if a member
 * went with the crash, and for a sector that turns out unreadable only now: it will be had from its
 * row, which must not be half written then. All are replayed or none, because an older entry alone
 * would undo what a newer one has written to the same rows.
 */
static int replay_journal(struct raid_array *array, bool lost_in_crash,
    const struct raid_options *options, struct error *error)
{
    int unreadable = lost_in_crash ? 0 : raid_journal_probe(array, error);
    if (unreadable < 0)
        return -1;
    if (!raid_degraded(array) && !raid_bad_any(array) && !unreadable)
        return 0;
    return raid_journal_replay(array, !lost_in_crash && !unreadable, options->force, error);
}

int raid_recover(struct raid_array *array, bool lost_in_crash, const struct raid_options *options,
    struct error *error)
{
    const struct raid_geometry *geometry = &array->super.geometry;
    if (!array->level->resync || array->super.clean)
        return 0;
    load_bitmap(array);
    if (geometry->level == RAID_5 && replay_journal(array, lost_in_crash, options, error))
        return -1;
    uint64_t regions = (geometry->member_sectors + array->super.region - 1) / array->super.region;
    for (uint64_t i = 0; i < regions; i++) {
        if (raid_bitmap_dirty(array, i) && resync_region(array, i, error))
            return -1;
        if (options->progress)
            options->progress(options->progress_context, i + 1, regions);
    }
    if (raid_fold_write_maps(array) || raid_flush_members(array) || raid_bitmap_clear(array) ||
        raid_update_superblocks(array))
        return error_set(error, "a member failed while recovery was being completed");
    return 0;
}
