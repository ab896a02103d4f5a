/* RAID 1: mirrors. */
#include "devices/raid/array.h"

#include <string.h>

/* From any mirror but one. Failures are not followed up: the caller does, or is doing that. */
static int read_any(
    struct raid_array *array, unsigned but, uint64_t sector, uint32_t count, uint8_t *data)
{
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (i != but && raid_has(array, i, sector, count) &&
            raid_member_read(array, i, sector, count, data, RAID_ROLE_DATA) == 0)
            return 0;
    }
    return -1;
}

static enum block_status raid1_read(
    struct raid_array *array, uint64_t sector, uint32_t count, uint8_t *data)
{
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (array->super.member[i].state != RAID_MEMBER_ACTIVE ||
            raid_bad_within(array, i, sector, count))
            continue;
        if (raid_member_read(array, i, sector, count, data, RAID_ROLE_DATA) == 0)
            return BLOCK_OK;
        (void)raid_read_failed(array, i, sector, count);
    }
    /* No active mirror has all of it; together, and with what has been rebuilt, they may. */
    for (uint32_t i = 0; i < count; i++) {
        if (read_any(array, RAID_NO_MEMBER, sector + i, 1, data + (size_t)i * BLOCK_SECTOR))
            return BLOCK_EIO;
    }
    return BLOCK_OK;
}

/* Sectors at which each mirror is good or bad throughout. NULL data: zeroes. */
static enum block_status write_run(
    struct raid_array *array, uint64_t sector, uint32_t count, const uint8_t *data)
{
    enum block_status status = BLOCK_OK;
    unsigned written = 0;
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (!raid_in_sync(array, i, sector) || raid_bad_within(array, i, sector, 1))
            continue;
        uint32_t part = count;
        if (array->super.member[i].state == RAID_MEMBER_REBUILDING &&
            part > array->rebuilt - sector)
            part = (uint32_t)(array->rebuilt - sector);
        written++;
        int failed = data ? raid_member_write(array, i, sector, part, data, RAID_ROLE_DATA)
                          : raid_member_zero(array, i, sector, part, RAID_ROLE_DATA);
        if (failed && !raid_data_write_failed(array, i, sector, part, data))
            status = BLOCK_EIO;
    }
    return written ? status : BLOCK_EIO;
}

static enum block_status write_mirrors(
    struct raid_array *array, uint64_t sector, uint32_t count, const uint8_t *data)
{
    enum block_status status = BLOCK_OK;
    if (raid_bitmap_mark(array, sector, count))
        return BLOCK_EIO;
    while (count) {
        uint32_t part = raid_uniform(array, sector, count);
        if (write_run(array, sector, part, data))
            status = BLOCK_EIO;
        sector += part;
        count -= part;
        data = data ? data + (size_t)part * BLOCK_SECTOR : NULL;
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
    return read_any(array, member, row, count, out);
}

static bool raid1_spare(const struct raid_array *array, unsigned member, uint64_t row)
{
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (i != member && raid_has(array, i, row, 1))
            return true;
    }
    return false;
}

/* The lowest active mirror that can be read is the one to go by. */
static int resync_mirrors(
    struct raid_array *array, uint64_t row, uint32_t count, struct error *error)
{
    unsigned members = array->super.geometry.members, source = 0;
    while (source < members && (array->super.member[source].state != RAID_MEMBER_ACTIVE ||
                                   raid_bad_within(array, source, row, count)))
        source++;
    if (source == members)
        return 0; /* nobody has these rows */
    int found = raid_recover_read(array, source, row, count, array->parity, error);
    for (unsigned i = 0; i < members && found == 0; i++) {
        if (i != source && raid_has(array, i, row, count) &&
            raid_recover_write(
                array, i, row, count, array->parity, array->scratch, RAID_ROLE_DATA, error))
            return -1;
    }
    return found;
}

/* The mirror whose sector most others share; the lowest-numbered of equals. */
static unsigned majority(const struct raid_rows *rows, unsigned members, size_t at)
{
    unsigned best = 0, most = 0;
    for (unsigned i = 0; i < members; i++) {
        unsigned votes = 0;
        for (unsigned j = 0; j < members && !(rows->bad >> i & 1); j++)
            votes += !(rows->bad >> j & 1) &&
                     memcmp(rows->data[i] + at, rows->data[j] + at, BLOCK_SECTOR) == 0;
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
            if (rows->bad >> j & 1 ||
                memcmp(rows->data[right] + at, rows->data[j] + at, BLOCK_SECTOR) == 0)
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
    .spare = raid1_spare,
    .resync = resync_mirrors,
    .scrub = scrub_mirrors,
};
