/*
 * Folded rows of a degraded RAID 5: the missing member's data lies in the parity's place.
 *
 * Parity is of use to a row only while every member is there. With one missing, each write would
 * have to read for new parity, and to wait for a journal entry on stable storage, because half of
 * it would garble the missing member's sector. So the first write to some rows turns parity into
 * the data that it stands for; from then on every sector of the volume has a place of its own, and
 * writing one touches no other. The map of folded units is part of the metadata. A rebuild unfolds
 * what it has copied.
 *
 * Either way the place holds data or parity, sector by sector, and each is the other one plus the
 * row's other sectors. An entry of the journal has the checksums of the data, so that what a crash
 * has cut short can be told sector by sector and brought to its end.
 */
#include "devices/raid/array.h"

#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

#include "devices/raid/parity.h"

enum { MAP_HEADER = 32, MAP_BYTES = FOLD_MAP_BYTES / FOLD_MAP_SECTORS };
_Static_assert(MAP_HEADER + MAP_BYTES + 8 <= 512, "a sector of the map holds its share of bits");
static const char magic[8] = "HSRFOLD";

/* ---- The map ---- */

static uint64_t unit_rows(const struct raid_array *array)
{
    uint64_t rows = array->super.region;
    while (array->super.geometry.member_sectors > rows * FOLD_MAP_BYTES * 8)
        rows *= 2;
    return rows;
}

uint64_t raid_fold_end(const struct raid_array *array, uint64_t row)
{
    uint64_t rows = unit_rows(array), end = (row / rows + 1) * rows;
    return end < array->super.geometry.member_sectors ? end : array->super.geometry.member_sectors;
}

bool raid_fold_marked(const struct raid_array *array, uint64_t row)
{
    if (!array->super.fold)
        return false;
    uint64_t unit = row / unit_rows(array);
    return array->folded[unit / 8] >> (unit % 8) & 1;
}

static unsigned place(const struct raid_array *array, uint64_t row)
{
    const struct raid_geometry *geometry = &array->super.geometry;
    return raid_parity_member(geometry, row / geometry->chunk);
}

bool raid_folded(const struct raid_array *array, uint64_t row)
{
    return raid_fold_marked(array, row) && place(array, row) != array->super.fold_member;
}

static uint64_t map_lba(const struct raid_array *array, unsigned member)
{
    const struct raid_member *io = &array->io[member];
    return raid_journal_lba(io->ops->size(io->object), 0) + 1 + JOURNAL_PAYLOAD;
}

static void encode(const struct raid_array *array, unsigned number, uint8_t sector[BLOCK_SECTOR])
{
    struct buffer out = {.data = sector, .capacity = BLOCK_SECTOR};
    memset(sector, 0, BLOCK_SECTOR);
    buffer_put(&out, magic, 8);
    buffer_put(&out, array->super.uuid, 16);
    buffer_put_u64(&out, array->super.fold);
    buffer_put(&out, array->folded + (size_t)number * MAP_BYTES, MAP_BYTES);
    out.size = 504;
    buffer_put_u64(&out, XXH3_64bits(sector, 504));
}

static bool decode(const struct raid_array *array, const uint8_t sector[BLOCK_SECTOR])
{
    struct reader in;
    reader_init(&in, sector + 24, 8);
    uint64_t generation = reader_get_u64(&in);
    reader_init(&in, sector + 504, 8);
    return memcmp(sector, magic, 8) == 0 && memcmp(sector + 8, array->super.uuid, 16) == 0 &&
           generation == array->super.fold && reader_get_u64(&in) == XXH3_64bits(sector, 504);
}

static int write_map_sector(struct raid_array *array, unsigned member, unsigned number)
{
    uint8_t sector[BLOCK_SECTOR];
    encode(array, number, sector);
    return raid_member_write(
        array, member, map_lba(array, member) + number, 1, sector, RAID_ROLE_BITMAP);
}

int raid_fold_write_map(struct raid_array *array, unsigned member)
{
    for (unsigned number = 0; array->super.fold && number < FOLD_MAP_SECTORS; number++) {
        if (write_map_sector(array, member, number))
            return -1;
    }
    return 0;
}

enum block_status raid_fold_write_maps(struct raid_array *array)
{
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (raid_usable(array, i) && raid_fold_write_map(array, i) && !raid_write_failed(array, i))
            return BLOCK_EIO;
    }
    return BLOCK_OK;
}

/* What is marked on any member counts: marks are written when the rows are as they say. */
int raid_fold_load(struct raid_array *array, struct error *error)
{
    for (unsigned number = 0; array->super.fold && number < FOLD_MAP_SECTORS; number++) {
        bool found = false;
        for (unsigned i = 0; i < array->super.geometry.members; i++) {
            uint8_t sector[BLOCK_SECTOR];
            if (!raid_usable(array, i) || !array->io[i].ops ||
                raid_member_read(
                    array, i, map_lba(array, i) + number, 1, sector, RAID_ROLE_BITMAP) ||
                !decode(array, sector))
                continue;
            found = true;
            for (unsigned j = 0; j < MAP_BYTES; j++)
                array->folded[number * MAP_BYTES + j] |= sector[MAP_HEADER + j];
        }
        if (!found)
            return error_set(error,
                "no member has the map of the rows that hold data instead of parity any more");
    }
    return 0;
}

/* The rows are on stable storage as the map will say. */
static enum block_status mark(struct raid_array *array, uint64_t row, bool fold)
{
    uint64_t unit = row / unit_rows(array);
    unsigned number = (unsigned)(unit / 8 / MAP_BYTES);
    uint8_t bit = (uint8_t)(1u << (unit % 8));
    if (fold)
        array->folded[unit / 8] |= bit;
    else
        array->folded[unit / 8] &= (uint8_t)~bit;
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (raid_usable(array, i) && write_map_sector(array, i, number) &&
            !raid_write_failed(array, i))
            return BLOCK_EIO;
    }
    return raid_flush_members(array);
}

/* ---- Turning parity into data and back ---- */

/* Never 0, which says that the sector is left alone. */
static uint64_t sum_of(const uint8_t sector[BLOCK_SECTOR])
{
    uint64_t sum = XXH3_64bits(sector, BLOCK_SECTOR);
    return sum ? sum : 1;
}

static uint64_t *sums(struct raid_array *array)
{
    return (uint64_t *)(void *)(array->entry + BLOCK_SECTOR);
}

/* From here to the end of the chunk or of the rows. */
static uint32_t chunk_rows(const struct raid_array *array, uint64_t row, uint64_t end)
{
    uint32_t chunk = array->super.geometry.chunk, count = chunk - (uint32_t)(row % chunk);
    return count < end - row ? count : (uint32_t)(end - row);
}

/* Adds the row's other sectors, of all but the missing member. */
static int add_others(struct raid_array *array, uint64_t row, uint32_t count, uint8_t *out)
{
    unsigned parity = place(array, row);
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (i == parity || i == array->super.fold_member)
            continue;
        if (!raid_has(array, i, row, count) ||
            raid_member_read(array, i, row, count, array->scratch, RAID_ROLE_DATA))
            return -1;
        parity_xor(out, array->scratch, (size_t)count * BLOCK_SECTOR);
    }
    return 0;
}

/* The place does not have what it should; nothing may take it for that. */
static void give_up(struct raid_array *array, uint64_t row)
{
    unsigned parity = place(array, row);
    if (!raid_bad_add(array, parity, row))
        (void)raid_write_failed(array, parity);
}

/* The missing member's data and its checksums. 1: not all can be had, and none has to be yet. */
static int gather(struct raid_array *array, uint64_t row, uint32_t count, bool fold, bool first)
{
    const struct raid_level_ops *level = array->level;
    unsigned missing = array->super.fold_member;
    uint64_t *sum = sums(array), start = row, end = row + count;
    memset(sum, 0, (size_t)JOURNAL_PAYLOAD * BLOCK_SECTOR);
    for (uint32_t part; row < end; row += part) {
        uint8_t *data = array->fold + (row - start) * BLOCK_SECTOR;
        part = chunk_rows(array, row, end);
        if (place(array, row) == missing)
            continue;
        bool whole = level->restore(array, missing, row, part, data) == 0;
        if (!whole && fold && first)
            return 1;
        for (uint32_t i = 0; i < part; i++) {
            uint8_t *sector = data + (size_t)i * BLOCK_SECTOR;
            if (whole || level->restore(array, missing, row + i, 1, sector) == 0)
                sum[row + i - start] = sum_of(sector);
            else if (fold)
                give_up(array, row + i);
        }
    }
    return 0;
}

/* Rows of one chunk, of which the missing member's data is known. */
static void put(
    struct raid_array *array, uint64_t row, uint32_t count, bool fold, const uint8_t *data)
{
    unsigned parity = place(array, row);
    enum raid_role role = fold ? RAID_ROLE_DATA : RAID_ROLE_PARITY;
    memcpy(array->parity, data, (size_t)count * BLOCK_SECTOR);
    if (!fold && add_others(array, row, count, array->parity)) {
        if (count == 1)
            give_up(array, row);
        for (uint32_t i = 0; count > 1 && i < count; i++)
            put(array, row + i, 1, fold, data + (size_t)i * BLOCK_SECTOR);
    } else if (raid_member_write(array, parity, row, count, array->parity, role)) {
        (void)raid_data_write_failed(array, parity, row, count, array->parity);
    }
}

static void put_all(struct raid_array *array, uint64_t row, uint32_t count, bool fold)
{
    const uint64_t *sum = sums(array), start = row, end = row + count;
    for (uint32_t part; row < end && !array->failed; row += part) {
        uint32_t most = chunk_rows(array, row, end);
        bool known = sum[row - start] != 0;
        for (part = 1; part < most && (sum[row - start + part] != 0) == known;)
            part++;
        if (known)
            put(array, row, part, fold, array->fold + (row - start) * BLOCK_SECTOR);
    }
}

/* The entry that says what the rows are being turned into. Its payload is in place. */
static enum block_status announce(struct raid_array *array, uint64_t row, uint32_t count, bool fold)
{
    struct journal_write write = {.kind = fold ? JOURNAL_FOLD : JOURNAL_UNFOLD,
        .row = row,
        .rows = count,
        .count = raid_fold_payload(count)};
    for (;;) {
        write.members = 0;
        for (unsigned i = 0; i < array->super.geometry.members; i++) {
            if (raid_usable(array, i))
                write.members |= 1u << i;
        }
        unsigned bad = raid_journal_write(array, &write, true);
        if (bad == RAID_NO_MEMBER)
            return BLOCK_OK;
        if (!raid_write_failed(array, bad))
            return BLOCK_EIO;
    }
}

/* Rows from `row` to the end of its unit. 1: left as they are. */
static int convert(struct raid_array *array, uint64_t row, bool fold)
{
    uint64_t end = raid_fold_end(array, row), start = row;
    while (row < end) {
        uint32_t count = end - row < FOLD_PIECE ? (uint32_t)(end - row) : FOLD_PIECE;
        bool first = row == start && row % unit_rows(array) == 0;
        if (gather(array, row, count, fold, first))
            return 1;
        if (announce(array, row, count, fold))
            return -1;
        put_all(array, row, count, fold);
        if (array->failed || raid_flush_members(array))
            return -1;
        row += count;
    }
    return mark(array, start, fold) ? -1 : 0;
}

/* ---- When ---- */

/* The one member that is out, if there is no other one and no rebuild. */
static unsigned missing_member(const struct raid_array *array)
{
    unsigned missing = RAID_NO_MEMBER;
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (array->super.member[i].state == RAID_MEMBER_ACTIVE)
            continue;
        if (missing != RAID_NO_MEMBER || array->super.member[i].state != RAID_MEMBER_FAILED)
            return RAID_NO_MEMBER;
        missing = i;
    }
    return missing;
}

/* An empty map on all members, and superblocks that speak of it. */
static enum block_status begin(struct raid_array *array, unsigned missing)
{
    memset(array->folded, 0, sizeof array->folded);
    array->super.fold = array->super.events + 1;
    array->super.fold_member = missing;
    return raid_fold_write_maps(array) ? BLOCK_EIO : raid_update_superblocks(array);
}

static bool has_bad_sectors(const struct raid_array *array, uint64_t row, uint64_t end)
{
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (raid_bad_within(array, i, row, (uint32_t)(end - row)))
            return true;
    }
    return false;
}

enum block_status raid_fold(struct raid_array *array, uint64_t row, uint64_t count)
{
    unsigned missing = array->keep_parity ? RAID_NO_MEMBER : missing_member(array);
    uint64_t last = row + count, rows = unit_rows(array);
    if (missing == RAID_NO_MEMBER || array->failed)
        return BLOCK_OK;
    for (row -= row % rows; row < last; row += rows) {
        uint64_t end = raid_fold_end(array, row);
        if (raid_fold_marked(array, row) || has_bad_sectors(array, row, end))
            continue;
        if (!array->super.fold && begin(array, missing))
            return BLOCK_EIO;
        /* An entry that recovery would replay holds parity. */
        unsigned bad = raid_journal_retire(array, row, end - row);
        if (bad != RAID_NO_MEMBER && !raid_write_failed(array, bad))
            return BLOCK_EIO;
        if (convert(array, row, true) < 0)
            return BLOCK_EIO;
    }
    return BLOCK_OK;
}

enum block_status raid_unfold(struct raid_array *array, uint64_t row)
{
    return convert(array, row - row % unit_rows(array), false) ? BLOCK_EIO : BLOCK_OK;
}

void raid_fold_forget(struct raid_array *array)
{
    array->super.fold = 0;
    array->super.fold_member = 0;
    memset(array->folded, 0, sizeof array->folded);
}

/* ---- After a crash ---- */

/* -1: the place has neither what it had nor what it should have. */
static int finish_row(struct raid_array *array, uint64_t row, bool fold, uint64_t sum)
{
    unsigned parity = place(array, row);
    uint8_t found[BLOCK_SECTOR], other[BLOCK_SECTOR];
    if (!raid_has(array, parity, row, 1) ||
        raid_member_read(array, parity, row, 1, found, fold ? RAID_ROLE_DATA : RAID_ROLE_PARITY))
        return 0;
    bool is_data = sum_of(found) == sum;
    if (is_data && fold)
        return 0;
    memcpy(other, found, sizeof other);
    if (add_others(array, row, 1, other)) {
        if (is_data || fold)
            give_up(array, row);
        return 0;
    }
    if (!is_data && sum_of(other) != sum)
        return -1;
    if (is_data != fold &&
        raid_member_write(array, parity, row, 1, other, fold ? RAID_ROLE_DATA : RAID_ROLE_PARITY))
        (void)raid_data_write_failed(array, parity, row, 1, other);
    return 0;
}

int raid_fold_finish(struct raid_array *array, uint64_t row, uint32_t count, bool fold, bool force,
    struct error *error)
{
    if (raid_fold_marked(array, row) == fold)
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t sum = sums(array)[i];
        if (sum && finish_row(array, row + i, fold, sum) && !force)
            return error_set(error,
                "member %u has been changed at sector %" PRIu64
                " since the journal spoke of it: replace it, or force",
                place(array, row + i), row + i);
    }
    uint64_t next = row + count;
    bool more = next < raid_fold_end(array, row);
    if (array->failed || raid_flush_members(array) ||
        (more ? convert(array, next, fold) != 0 : mark(array, row, fold) != 0))
        return error_set(error, "a member failed while recovery was being completed");
    return 0;
}
