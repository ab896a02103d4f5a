#include "devices/raid/array.h"
#include "devices/raid/parity.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Rows are looked at in pieces of this many sectors, so that all mirrors fit in memory at once. */
enum { PIECE = 8 };

struct rows {
    uint64_t row;
    uint32_t count;
    uint8_t data[RAID_MAX_MEMBERS][PIECE * BLOCK_SECTOR];
};

static void note(struct raid_scrub *scrub, uint64_t lba)
{
    if (scrub->mismatches++ == 0)
        scrub->first_mismatch = lba;
}

static int read_all(struct raid_array *array, struct rows *rows, struct error *error)
{
    const struct raid_geometry *geometry = &array->super.geometry;
    unsigned parity = raid_parity_member(geometry, rows->row / geometry->chunk);
    for (unsigned i = 0; i < geometry->members; i++) {
        enum raid_role role = i == parity ? RAID_ROLE_PARITY : RAID_ROLE_DATA;
        if (raid_member_read(array, i, rows->row, rows->count, rows->data[i], role)) {
            (void)raid_read_failed(array, i);
            (void)raid_settle(array);
            return error_set(
                error, "member %u cannot be read at sector %" PRIu64 " and is out", i, rows->row);
        }
    }
    return 0;
}

static int repair(struct raid_array *array, const struct rows *rows, unsigned member,
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
    if (bad == RAID_NO_MEMBER && raid_member_write(array, member, lba, 1, data, role))
        bad = member;
    if (bad != RAID_NO_MEMBER) {
        (void)raid_write_failed(array, bad);
        (void)raid_settle(array);
        return error_set(error, "member %u cannot be written at sector %" PRIu64, bad, lba);
    }
    return 0;
}

static int scrub_parity(
    struct raid_array *array, struct raid_scrub *scrub, struct rows *rows, struct error *error)
{
    const struct raid_geometry *geometry = &array->super.geometry;
    unsigned parity = raid_parity_member(geometry, rows->row / geometry->chunk);
    const uint8_t *sources[RAID_MAX_MEMBERS];
    unsigned count = 0;
    uint8_t want[PIECE * BLOCK_SECTOR];
    for (unsigned i = 0; i < geometry->members; i++) {
        if (i != parity)
            sources[count++] = rows->data[i];
    }
    parity_compute(want, sources, count, (size_t)rows->count * BLOCK_SECTOR);
    for (uint32_t i = 0; i < rows->count; i++) {
        size_t at = (size_t)i * BLOCK_SECTOR;
        if (memcmp(want + at, rows->data[parity] + at, BLOCK_SECTOR) == 0)
            continue;
        note(scrub, rows->row + i);
        if (scrub->repair) {
            if (repair(array, rows, parity, i, want + at, error))
                return -1;
            scrub->repaired++;
        }
    }
    return 0;
}

/* The mirror whose sector most others share; the lowest-numbered of equals. */
static unsigned majority(const struct rows *rows, unsigned members, size_t at)
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

static int scrub_mirrors(
    struct raid_array *array, struct raid_scrub *scrub, struct rows *rows, struct error *error)
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
            if (scrub->repair && repair(array, rows, j, i, rows->data[right] + at, error))
                return -1;
        }
        if (differs) {
            note(scrub, rows->row + i);
            scrub->repaired += scrub->repair;
        }
    }
    return 0;
}

int raid_scrub_step(
    struct raid_array *array, struct raid_scrub *scrub, uint64_t stripes, struct error *error)
{
    const struct raid_geometry *geometry = &array->super.geometry;
    if (geometry->level == RAID_0)
        return error_set(error, "RAID 0 has no redundancy to scrub");
    if (array->failed || raid_degraded(array))
        return error_set(error, "the array is degraded: rebuild it before scrubbing");
    struct rows *rows = malloc(sizeof *rows);
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
            rows->count = end - row < PIECE ? (uint32_t)(end - row) : PIECE;
            result = read_all(array, rows, error);
            if (result == 0)
                result = geometry->level == RAID_1 ? scrub_mirrors(array, scrub, rows, error)
                                                   : scrub_parity(array, scrub, rows, error);
        }
    }
    free(rows);
    if (result)
        return -1;
    return scrub->stripe * geometry->chunk < geometry->member_sectors ? 1 : 0;
}
