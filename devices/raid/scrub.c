/* Scrubbing: compares redundant data, and repairs it. */
#include "devices/raid/array.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void raid_scrub_note(struct raid_scrub *scrub, uint64_t lba)
{
    if (scrub->mismatches++ == 0)
        scrub->first_mismatch = lba;
}

/* Reads what there is. 1: some of it cannot be had. */
static int read_all(struct raid_array *array, struct raid_rows *rows, struct error *error)
{
    const struct raid_geometry *geometry = &array->super.geometry;
    unsigned parity = raid_parity_member(geometry, rows->row / geometry->chunk);
    rows->bad = 0;
    for (unsigned i = 0; i < geometry->members; i++) {
        enum raid_role role = i == parity ? RAID_ROLE_PARITY : RAID_ROLE_DATA;
        if (raid_bad_within(array, i, rows->row, 1)) {
            rows->bad |= 1u << i;
            continue;
        }
        if (raid_member_read(array, i, rows->row, rows->count, rows->data[i], role) == 0)
            continue;
        bool mended = raid_read_failed(array, i, rows->row, rows->count);
        if (!raid_usable(array, i)) {
            (void)raid_settle(array);
            return error_set(
                error, "member %u cannot be read at sector %" PRIu64 " and is out", i, rows->row);
        }
        if (!mended || !raid_has(array, i, rows->row, rows->count) ||
            raid_member_read(array, i, rows->row, rows->count, rows->data[i], role))
            return 1;
    }
    return 0;
}

int raid_scrub_repair(struct raid_array *array, const struct raid_rows *rows, unsigned member,
    uint32_t sector, const uint8_t *data, struct error *error)
{
    uint64_t lba = rows->row + sector;
    unsigned bad = RAID_NO_MEMBER;
    enum raid_role role = array->super.geometry.level == RAID_5 ? RAID_ROLE_PARITY : RAID_ROLE_DATA;
    if (raid_begin_writing(array) || raid_bitmap_mark(array, lba, 1))
        return error_set(error, "the metadata cannot be written");
    /* An entry that recovery would replay may hold what is being repaired. */
    if (array->super.geometry.level == RAID_5)
        bad = raid_journal_retire(array, lba, 1);
    if (bad == RAID_NO_MEMBER && raid_member_write(array, member, lba, 1, data, role)) {
        (void)raid_data_write_failed(array, member, lba, 1, data);
        bad = raid_usable(array, member) ? RAID_NO_MEMBER : member;
    } else if (bad != RAID_NO_MEMBER) {
        (void)raid_write_failed(array, bad);
    }
    if (bad != RAID_NO_MEMBER) {
        (void)raid_settle(array);
        return error_set(error, "member %u cannot be written at sector %" PRIu64, bad, lba);
    }
    return 0;
}

int raid_scrub_check(const struct raid_array *array, struct error *error)
{
    if (!array->level->scrub)
        return error_set(error, "RAID 0 has no redundancy to scrub");
    if (array->failed || raid_degraded(array))
        return error_set(error, "the array is degraded: rebuild it before scrubbing");
    return 0;
}

/* Bad sectors are tried once more. */
static void mend(struct raid_array *array, uint64_t row, uint32_t count)
{
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (raid_bad_within(array, i, row, count))
            (void)raid_bad_mend(array, i, row, count);
    }
}

/* Rows at which the same members have something; the first of them, `count` at most. */
static int scrub_rows(struct raid_array *array, struct raid_scrub *scrub, struct raid_rows *rows,
    uint32_t count, struct error *error)
{
    if (scrub->repair)
        mend(array, rows->row, count);
    rows->count = raid_uniform(array, rows->row, count);
    int result = read_all(array, rows, error);
    /* Which sectors it is can be seen one by one; or they are in the list now. */
    if (result == 1 && rows->count > 1) {
        rows->count = 1;
        result = read_all(array, rows, error);
    }
    if (result < 0)
        return -1;
    if (result == 1 || rows->bad)
        scrub->bad += rows->count;
    return result == 1 ? 0 : array->level->scrub(array, scrub, rows, error);
}

int raid_scrub_step(
    struct raid_array *array, struct raid_scrub *scrub, uint64_t stripes, struct error *error)
{
    const struct raid_geometry *geometry = &array->super.geometry;
    if (raid_scrub_check(array, error))
        return -1;
    struct raid_rows *rows = malloc(sizeof *rows);
    if (!rows)
        return error_set(error, "out of memory for scrubbing");
    int result = 0;
    for (; stripes && result == 0; stripes--, scrub->stripe++) {
        uint64_t row = scrub->stripe * geometry->chunk, end = row + geometry->chunk;
        if (end > geometry->member_sectors)
            end = geometry->member_sectors;
        if (row >= end)
            break;
        for (; row < end && result == 0; row += rows->count) {
            rows->row = row;
            uint32_t count = end - row < SCRUB_PIECE ? (uint32_t)(end - row) : SCRUB_PIECE;
            result = scrub_rows(array, scrub, rows, count, error);
        }
    }
    free(rows);
    if (raid_settle(array) && result == 0)
        result = error_set(error, "the metadata cannot be written");
    if (result)
        return -1;
    return scrub->stripe * geometry->chunk < geometry->member_sectors ? 1 : 0;
}
