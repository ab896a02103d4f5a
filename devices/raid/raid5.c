/* RAID 5: reads, writes and restored sectors with rotating parity. */
#include "devices/raid/array.h"
#include "devices/raid/parity.h"

#include <stddef.h>
#include <string.h>

/*
 * A write is cut into pieces in which every row is touched by the same data chunks. For each, new
 * parity is computed from what is read, the journal is told when the rows also carry data that the
 * piece does not replace, and only then is anything changed in place. A member that fails while
 * computing or journaling restarts the piece without it; one that fails in place is left behind,
 * its content now given by the others.
 */
struct piece {
    uint64_t stripe, row;
    uint32_t count;                        /* rows */
    uint32_t written;                      /* bit mask of data chunk indexes */
    const uint8_t *data[RAID_MAX_MEMBERS]; /* new content, by data chunk index */
};

static unsigned member_of(const struct raid_array *array, uint64_t stripe, unsigned index)
{
    return raid_data_member(&array->super.geometry, stripe, index);
}

static int raid5_restore(
    struct raid_array *array, unsigned member, uint64_t row, uint32_t count, uint8_t *out)
{
    const struct raid_geometry *geometry = &array->super.geometry;
    unsigned parity = raid_parity_member(geometry, row / geometry->chunk);
    bool first = true;
    if (raid_folded(array, row))
        return member == array->super.fold_member && raid_has(array, parity, row, count)
                   ? raid_member_read(array, parity, row, count, out, RAID_ROLE_DATA)
                   : -1;
    for (unsigned i = 0; i < geometry->members; i++) {
        if (i == member)
            continue;
        uint8_t *target = first ? out : array->scratch;
        enum raid_role role = i == parity ? RAID_ROLE_PARITY : RAID_ROLE_DATA;
        if (!raid_has(array, i, row, count) || raid_member_read(array, i, row, count, target, role))
            return -1;
        if (!first)
            parity_xor(out, array->scratch, (size_t)count * BLOCK_SECTOR);
        first = false;
    }
    return 0;
}

static bool raid5_spare(const struct raid_array *array, unsigned member, uint64_t row)
{
    if (raid_folded(array, row))
        return false;
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (i != member && !raid_has(array, i, row, 1))
            return false;
    }
    return true;
}

/* Where a member's data of this row is. */
static unsigned place_of(const struct raid_array *array, uint64_t row, unsigned member)
{
    const struct raid_geometry *geometry = &array->super.geometry;
    return member == array->super.fold_member && raid_folded(array, row)
               ? raid_parity_member(geometry, row / geometry->chunk)
               : member;
}

/* Sectors of a chunk of which the member has all or none. */
static int read_run(
    struct raid_array *array, unsigned member, uint64_t row, uint32_t count, uint8_t *data)
{
    if (raid_has(array, member, row, count)) {
        if (raid_member_read(array, member, row, count, data, RAID_ROLE_DATA) == 0)
            return 0;
        (void)raid_read_failed(array, member, row, count);
        for (uint32_t i = 0; i < count; i++) {
            uint8_t *at = data + (size_t)i * BLOCK_SECTOR;
            bool have = raid_has(array, member, row + i, 1) &&
                        raid_member_read(array, member, row + i, 1, at, RAID_ROLE_DATA) == 0;
            if (!have && raid5_restore(array, member, row + i, 1, at))
                return -1;
        }
        return 0;
    }
    if (raid5_restore(array, member, row, count, data) == 0)
        return 0;
    /* What failed may be a sector of another member that can be mended, or only one of many. */
    for (uint32_t i = 0; count > 1 && i < count; i++) {
        if (raid5_restore(array, member, row + i, 1, data + (size_t)i * BLOCK_SECTOR))
            return -1;
    }
    return count > 1 ? 0 : -1;
}

static enum block_status raid5_read(
    struct raid_array *array, uint64_t sector, uint32_t count, uint8_t *data)
{
    while (count) {
        struct raid_location at;
        bool bad;
        raid_locate(&array->super.geometry, sector, &at);
        uint32_t part = at.remaining < count ? at.remaining : count;
        unsigned member = place_of(array, at.lba, at.member);
        part = raid_bad_run(array, member, at.lba, part, &bad);
        if (read_run(array, member, at.lba, part, data))
            return BLOCK_EIO;
        sector += part;
        count -= part;
        data += (size_t)part * BLOCK_SECTOR;
    }
    return BLOCK_OK;
}

static unsigned count_bits(uint32_t mask)
{
    return (unsigned)__builtin_popcount(mask);
}

/* New parity from the old one and what changes. RAID_NO_MEMBER, or the member that failed. */
static unsigned parity_by_change(struct raid_array *array, const struct piece *piece)
{
    size_t bytes = (size_t)piece->count * BLOCK_SECTOR;
    unsigned parity = raid_parity_member(&array->super.geometry, piece->stripe);
    if (raid_member_read(array, parity, piece->row, piece->count, array->parity, RAID_ROLE_PARITY))
        return parity;
    for (unsigned i = 0; i < raid_data_members(&array->super.geometry); i++) {
        if (!(piece->written >> i & 1))
            continue;
        unsigned member = member_of(array, piece->stripe, i);
        if (raid_member_read(
                array, member, piece->row, piece->count, array->scratch, RAID_ROLE_DATA))
            return member;
        parity_xor(array->parity, array->scratch, bytes);
        parity_xor(array->parity, piece->data[i], bytes);
    }
    return RAID_NO_MEMBER;
}

/* New parity from all data, new and old. The same result. */
static unsigned parity_from_data(struct raid_array *array, const struct piece *piece)
{
    size_t bytes = (size_t)piece->count * BLOCK_SECTOR;
    const uint8_t *sources[RAID_MAX_MEMBERS];
    unsigned count = 0, width = raid_data_members(&array->super.geometry);
    for (unsigned i = 0; i < width; i++) {
        if (piece->written >> i & 1)
            sources[count++] = piece->data[i];
    }
    parity_compute(array->parity, sources, count, bytes);
    for (unsigned i = 0; i < width; i++) {
        if (piece->written >> i & 1)
            continue;
        unsigned member = member_of(array, piece->stripe, i);
        if (raid_member_read(
                array, member, piece->row, piece->count, array->scratch, RAID_ROLE_DATA))
            return member;
        parity_xor(array->parity, array->scratch, bytes);
    }
    return RAID_NO_MEMBER;
}

/* The member without valid content at this row, because it is out or the sector is bad;
 * RAID_NO_MEMBER when all have it, or RAID_MAX_MEMBERS when more than one lacks it. */
static unsigned missing_member(const struct raid_array *array, uint64_t row)
{
    unsigned missing = RAID_NO_MEMBER;
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (raid_has(array, i, row, 1))
            continue;
        if (missing != RAID_NO_MEMBER)
            return RAID_MAX_MEMBERS;
        missing = i;
    }
    return missing;
}

static unsigned compute_parity(
    struct raid_array *array, const struct piece *piece, unsigned missing)
{
    unsigned width = raid_data_members(&array->super.geometry);
    unsigned written = count_bits(piece->written);
    for (unsigned i = 0; i < width; i++) {
        if (member_of(array, piece->stripe, i) == missing)
            return piece->written >> i & 1 ? parity_from_data(array, piece)
                                           : parity_by_change(array, piece);
    }
    return written + 1 <= width - written ? parity_by_change(array, piece)
                                          : parity_from_data(array, piece);
}

/* A power cut in the middle of this piece could cost data that the piece does not replace, or, on
 * the missing member, tear what it does replace. */
static bool needs_journal(
    const struct raid_array *array, const struct piece *piece, unsigned missing)
{
    const struct raid_geometry *geometry = &array->super.geometry;
    if (missing == raid_parity_member(geometry, piece->stripe))
        return false;
    if (array->super.strict || missing != RAID_NO_MEMBER)
        return true;
    /* What the superblocks say is not rebuilt yet counts as missing after a crash. */
    for (unsigned i = 0; i < geometry->members; i++) {
        if (array->super.member[i].state == RAID_MEMBER_REBUILDING &&
            piece->row >= array->super.rebuilt)
            return true;
    }
    return count_bits(piece->written) < raid_data_members(geometry);
}

/* Goes on past a sector that is lost, so that parity is right at the other rows. */
static enum block_status write_in_place(
    struct raid_array *array, const struct journal_write *write, unsigned parity)
{
    enum block_status status = BLOCK_OK;
    for (unsigned i = 0; i < array->super.geometry.members && !array->failed; i++) {
        if (!(write->members >> i & 1))
            continue;
        enum raid_role role = i == parity ? RAID_ROLE_PARITY : RAID_ROLE_DATA;
        if (raid_member_write(array, i, write->row, write->count, write->data[i], role) &&
            !raid_data_write_failed(array, i, write->row, write->count, write->data[i]))
            status = BLOCK_EIO;
    }
    return array->failed ? BLOCK_EIO : status;
}

/* Every sector has a place of its own. */
static enum block_status write_folded(struct raid_array *array, struct piece *piece)
{
    enum block_status status = BLOCK_OK;
    piece->count = raid_uniform(array, piece->row, piece->count);
    for (unsigned i = 0; i < raid_data_members(&array->super.geometry) && !array->failed; i++) {
        unsigned member = place_of(array, piece->row, member_of(array, piece->stripe, i));
        const uint8_t *data = piece->data[i];
        if (!(piece->written >> i & 1))
            continue;
        if (!raid_has(array, member, piece->row, 1) ||
            (raid_member_write(array, member, piece->row, piece->count, data, RAID_ROLE_DATA) &&
                !raid_data_write_failed(array, member, piece->row, piece->count, data)))
            status = BLOCK_EIO;
    }
    return array->failed ? BLOCK_EIO : status;
}

/* Writes the piece, or only its first rows when they have to be journaled: `count` says. */
static enum block_status write_piece(struct raid_array *array, struct piece *piece)
{
    const struct raid_geometry *geometry = &array->super.geometry;
    unsigned parity = raid_parity_member(geometry, piece->stripe);
    if (raid_folded(array, piece->row))
        return write_folded(array, piece);
    for (;;) {
        piece->count = raid_uniform(array, piece->row, piece->count);
        unsigned missing = missing_member(array, piece->row), bad;
        if (array->failed || missing == RAID_MAX_MEMBERS)
            return BLOCK_EIO;
        bool journal = needs_journal(array, piece, missing);
        if (journal && piece->count > JOURNAL_PAYLOAD)
            piece->count = JOURNAL_PAYLOAD;
        struct journal_write write = {.row = piece->row, .count = piece->count};
        if (missing != parity) {
            bad = compute_parity(array, piece, missing);
            if (bad != RAID_NO_MEMBER) {
                if (!raid_read_failed(array, bad, piece->row, piece->count))
                    return BLOCK_EIO;
                continue;
            }
            write.members |= 1u << parity;
            write.data[parity] = array->parity;
        }
        for (unsigned i = 0; i < raid_data_members(geometry); i++) {
            unsigned member = member_of(array, piece->stripe, i);
            if ((piece->written >> i & 1) && member != missing) {
                write.members |= 1u << member;
                write.data[member] = piece->data[i];
            }
        }
        if (journal)
            bad = raid_journal_write(array, &write, raid_journal_barrier(array));
        else
            bad = raid_journal_retire(array, piece->row, piece->count);
        if (bad == RAID_NO_MEMBER)
            return write_in_place(array, &write, parity);
        if (!raid_write_failed(array, bad))
            return BLOCK_EIO;
    }
}

/* Rows [from, to) of a stripe, of which `data` covers stripe sectors [start, end). All its rows
 * are touched by the same chunks. */
static enum block_status write_rows(struct raid_array *array, uint64_t stripe, uint32_t from,
    uint32_t to, uint64_t start, uint64_t end, const uint8_t *data)
{
    const struct raid_geometry *geometry = &array->super.geometry;
    struct piece piece = {.stripe = stripe};
    while (from < to) {
        piece.row = stripe * geometry->chunk + from;
        piece.written = 0;
        for (unsigned i = 0; i < raid_data_members(geometry); i++) {
            uint64_t sector = (uint64_t)i * geometry->chunk + from;
            if (sector < start || sector >= end)
                continue;
            piece.written |= 1u << i;
            piece.data[i] = data + (sector - start) * BLOCK_SECTOR;
        }
        piece.count = to - from;
        enum block_status status = write_piece(array, &piece);
        if (status)
            return status;
        from += piece.count;
    }
    return BLOCK_OK;
}

/* Stripe sectors [start, end). */
static enum block_status write_stripe(
    struct raid_array *array, uint64_t stripe, uint64_t start, uint64_t end, const uint8_t *data)
{
    uint32_t chunk = array->super.geometry.chunk;
    uint32_t first = (uint32_t)(start % chunk), last = (uint32_t)((end - 1) % chunk + 1);
    if (start / chunk == (end - 1) / chunk)
        return write_rows(array, stripe, first, last, start, end, data);
    uint32_t low = first < last ? first : last, high = first < last ? last : first;
    const uint32_t bounds[4] = {0, low, high, chunk};
    for (unsigned i = 0; i < 3; i++) {
        bool touched = i != 1 || last >= first || (end - 1) / chunk - start / chunk > 1;
        if (touched && write_rows(array, stripe, bounds[i], bounds[i + 1], start, end, data))
            return BLOCK_EIO;
    }
    return BLOCK_OK;
}

static enum block_status raid5_write(
    struct raid_array *array, uint64_t sector, uint32_t count, const uint8_t *data)
{
    const struct raid_geometry *geometry = &array->super.geometry;
    uint64_t width = (uint64_t)geometry->chunk * raid_data_members(geometry);
    uint64_t first = sector / width, last = (sector + count - 1) / width;
    uint64_t row = first * geometry->chunk, rows = (last - first + 1) * geometry->chunk;
    if (raid_bitmap_mark(array, row, rows) || raid_fold(array, row, rows))
        return BLOCK_EIO;
    while (count) {
        uint64_t start = sector % width;
        uint32_t part = width - start < count ? (uint32_t)(width - start) : count;
        if (write_stripe(array, sector / width, start, start + part, data))
            return BLOCK_EIO;
        sector += part;
        count -= part;
        data += (size_t)part * BLOCK_SECTOR;
    }
    return BLOCK_OK;
}

static enum block_status write_zero_data(
    struct raid_array *array, uint64_t sector, uint64_t count, bool discard)
{
    while (count && !discard) {
        uint32_t part = (uint32_t)(sizeof raid_zeroes / BLOCK_SECTOR);
        if (part > count)
            part = (uint32_t)count;
        if (raid5_write(array, sector, part, raid_zeroes))
            return BLOCK_EIO;
        sector += part;
        count -= part;
    }
    return BLOCK_OK;
}

/* A stripe of zeroes has zero parity, so a whole one can be given back on every member. */
static enum block_status zero_stripe(struct raid_array *array, uint64_t stripe, bool discard)
{
    const struct raid_geometry *geometry = &array->super.geometry;
    uint64_t row = stripe * geometry->chunk;
    uint64_t width = (uint64_t)geometry->chunk * raid_data_members(geometry);
    bool whole = !raid_degraded(array);
    for (unsigned i = 0; i < geometry->members; i++)
        whole &= !raid_bad_within(array, i, row, geometry->chunk);
    if (array->super.strict || !whole)
        return write_zero_data(array, stripe * width, width, discard);
    if (raid_bitmap_mark(array, row, geometry->chunk))
        return BLOCK_EIO;
    unsigned bad = raid_journal_retire(array, row, geometry->chunk);
    if (bad != RAID_NO_MEMBER && !raid_write_failed(array, bad))
        return BLOCK_EIO;
    for (unsigned i = 0; i < geometry->members; i++) {
        enum raid_role role =
            raid_parity_member(geometry, stripe) == i ? RAID_ROLE_PARITY : RAID_ROLE_DATA;
        if (raid_in_sync(array, i, row) && raid_member_zero(array, i, row, geometry->chunk, role) &&
            !raid_data_write_failed(array, i, row, geometry->chunk, NULL))
            return BLOCK_EIO;
    }
    return BLOCK_OK;
}

static enum block_status raid5_zero(
    struct raid_array *array, uint64_t sector, uint32_t count, bool discard)
{
    const struct raid_geometry *geometry = &array->super.geometry;
    uint64_t width = (uint64_t)geometry->chunk * raid_data_members(geometry);
    while (count) {
        uint64_t start = sector % width;
        uint32_t part = width - start < count ? (uint32_t)(width - start) : count;
        enum block_status status = part == width ? zero_stripe(array, sector / width, discard)
                                                 : write_zero_data(array, sector, part, discard);
        if (status)
            return status;
        sector += part;
        count -= part;
    }
    return BLOCK_OK;
}

/* ---- Recovery, scrubbing ---- */

static int resync_parity(
    struct raid_array *array, uint64_t row, uint32_t count, struct error *error)
{
    const struct raid_geometry *geometry = &array->super.geometry;
    uint64_t stripe = row / geometry->chunk;
    size_t bytes = (size_t)count * BLOCK_SECTOR;
    for (unsigned i = 0; i < geometry->members; i++) {
        if (!raid_has(array, i, row, count))
            return 0;
    }
    uint8_t *sum = array->parity, *other = array->scratch;
    memset(sum, 0, bytes);
    for (unsigned i = 0; i < raid_data_members(geometry); i++) {
        int found = raid_recover_read(array, member_of(array, stripe, i), row, count, other, error);
        if (found)
            return found;
        parity_xor(sum, other, bytes);
    }
    return raid_recover_write(array, raid_parity_member(geometry, stripe), row, count, sum, other,
        RAID_ROLE_PARITY, error);
}

static int scrub_parity(struct raid_array *array, struct raid_scrub *scrub,
    const struct raid_rows *rows, struct error *error)
{
    const struct raid_geometry *geometry = &array->super.geometry;
    unsigned parity = raid_parity_member(geometry, rows->row / geometry->chunk);
    if (rows->bad)
        return 0;
    const uint8_t *sources[RAID_MAX_MEMBERS];
    unsigned count = 0;
    uint8_t want[SCRUB_PIECE * BLOCK_SECTOR];
    for (unsigned i = 0; i < geometry->members; i++) {
        if (i != parity)
            sources[count++] = rows->data[i];
    }
    parity_compute(want, sources, count, (size_t)rows->count * BLOCK_SECTOR);
    for (uint32_t i = 0; i < rows->count; i++) {
        size_t at = (size_t)i * BLOCK_SECTOR;
        if (memcmp(want + at, rows->data[parity] + at, BLOCK_SECTOR) == 0)
            continue;
        raid_scrub_note(scrub, rows->row + i);
        if (scrub->repair) {
            if (raid_scrub_repair(array, rows, parity, i, want + at, error))
                return -1;
            scrub->repaired++;
        }
    }
    return 0;
}

const struct raid_level_ops raid5_ops = {
    .read = raid5_read,
    .write = raid5_write,
    .zero = raid5_zero,
    .restore = raid5_restore,
    .spare = raid5_spare,
    .resync = resync_parity,
    .scrub = scrub_parity,
};
