#include "devices/raid/array.h"

#include <string.h>

static enum block_status raid1_read(
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

static enum block_status raid1_write(
    struct raid_array *array, uint64_t sector, uint32_t count, const uint8_t *data)
{
    return write_mirrors(array, sector, count, data);
}

static enum block_status raid1_zero(
    struct raid_array *array, uint64_t sector, uint32_t count, bool discard)
{
    (void)discard;
    return write_mirrors(array, sector, count, NULL);
}

static int raid1_restore(
    struct raid_array *array, unsigned member, uint64_t row, uint32_t count, uint8_t *out)
{
    (void)member;
    return raid1_read(array, row, count, out);
}

static int resync_mirrors(
    struct raid_array *array, uint64_t row, uint32_t count, struct error *error)
{
    unsigned members = array->super.geometry.members, source = 0;
    while (source < members && array->super.member[source].state != RAID_MEMBER_ACTIVE)
        source++;
    if (source == members)
        return error_set(error, "no active member to recover from");
    if (raid_recover_read(array, source, row, count, array->parity, RAID_ROLE_DATA, error))
        return -1;
    for (unsigned i = 0; i < members; i++) {
        if (i != source && raid_in_sync(array, i, row) &&
            raid_recover_write(
                array, i, row, count, array->parity, array->scratch, RAID_ROLE_DATA, error))
            return -1;
    }
    return 0;
}

/* The mirror whose sector most others share; the lowest-numbered of equals. */
static unsigned majority(const struct raid_rows *rows, unsigned members, size_t at)
{
    unsigned best = 0, most = 0;
    for (unsigned i = 0; i < members; i++) {
        unsigned votes = 0;
        for (unsigned j = 0; j < members; j++)
            votes += memcmp(rows->data[i] + at, rows->data[j] + at, BLOCK_SECTOR) == 0;
        if (votes > most) {
            most = votes;
            best = i;
        }
    }
    return best;
}

static int scrub_mirrors(struct raid_array *array, struct raid_scrub *scrub,
    const struct raid_rows *rows, struct error *error)
{
    unsigned members = array->super.geometry.members;
    for (uint32_t i = 0; i < rows->count; i++) {
        size_t at = (size_t)i * BLOCK_SECTOR;
        unsigned right = majority(rows, members, at);
        bool differs = false;
        for (unsigned j = 0; j < members; j++) {
            if (memcmp(rows->data[right] + at, rows->data[j] + at, BLOCK_SECTOR) == 0)
                continue;
            differs = true;
            if (scrub->repair &&
                raid_scrub_repair(array, rows, j, i, rows->data[right] + at, error))
                return -1;
        }
        if (differs) {
            raid_scrub_note(scrub, rows->row + i);
            scrub->repaired += scrub->repair;
        }
    }
    return 0;
}

const struct raid_level_ops raid1_ops = {
    .read = raid1_read,
    .write = raid1_write,
    .zero = raid1_zero,
    .restore = raid1_restore,
    .resync = resync_mirrors,
    .scrub = scrub_mirrors,
};
