/*
 * Sectors of members that cannot be read or written. A read error is answered from the other
 * members and the sector rewritten, which makes a disk put another in its place; a sector that
 * cannot be rewritten, or a write to it that fails, goes into the member's list of bad sectors. At
 * a row in the list the member counts as missing; everywhere else it serves on. Only a member of
 * which not even the superblock can be read, or whose list is full, is taken out.
 *
 * A list lies on its own member, next to the superblock, in two copies written in turn. The
 * superblock says the number of the newest, so that a list which is lost is noticed.
 */
#include "devices/raid/array.h"

#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

enum { LIST_SECTORS = 7, LIST_BYTES = LIST_SECTORS * 512, LIST_HEADER = 40, RUN_LIMIT = 65535 };
_Static_assert(LIST_HEADER + RAID_BAD_RUNS * 8 <= LIST_BYTES, "a list fits its sectors");
static const char magic[8] = "HSRBAD1";

static uint64_t list_lba(uint64_t size, uint64_t sequence)
{
    return raid_superblock_lba(size) + (sequence & 1) * 8 + 1;
}

static unsigned list_sectors(unsigned runs)
{
    return (unsigned)(LIST_HEADER + runs * 8 + 511) / 512;
}

/* ---- The list in memory: sorted runs that neither overlap nor touch, unless one is full ---- */

uint32_t raid_bad_run(
    const struct raid_array *array, unsigned member, uint64_t lba, uint32_t count, bool *bad)
{
    const struct raid_bad_list *list = &array->bad[member];
    *bad = false;
    for (unsigned i = 0; i < list->count; i++) {
        uint64_t first = list->run[i].lba, end = first + list->run[i].count;
        if (end <= lba)
            continue;
        if (first > lba)
            return first - lba < count ? (uint32_t)(first - lba) : count;
        *bad = true;
        return end - lba < count ? (uint32_t)(end - lba) : count;
    }
    return count;
}

bool raid_bad_within(const struct raid_array *array, unsigned member, uint64_t lba, uint32_t count)
{
    bool bad;
    return raid_bad_run(array, member, lba, count, &bad) < count || bad;
}

bool raid_bad_any(const struct raid_array *array)
{
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (array->bad[i].count)
            return true;
    }
    return false;
}

uint32_t raid_uniform(const struct raid_array *array, uint64_t row, uint32_t count)
{
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        bool bad;
        count = raid_bad_run(array, i, row, count, &bad);
    }
    return count;
}

uint64_t raid_bad_list_sectors(const struct raid_bad_list *list)
{
    uint64_t sectors = 0;
    for (unsigned i = 0; i < list->count; i++)
        sectors += list->run[i].count;
    return sectors;
}

uint64_t raid_bad_sectors(const struct raid_array *array, unsigned member)
{
    return raid_bad_list_sectors(&array->bad[member]);
}

uint32_t raid_bad_changes(const struct raid_array *array)
{
    uint64_t sectors = 0;
    for (unsigned i = 0; i < array->super.geometry.members; i++)
        sectors += raid_bad_sectors(array, i);
    return (uint32_t)sectors;
}

/* Makes the list say so of one sector; false when it has no room. */
static bool set(struct raid_bad_list *list, uint64_t lba, bool bad)
{
    struct raid_bad_list next = {.sequence = list->sequence, .changed = true};
    bool placed = !bad;
    for (unsigned i = 0; i <= list->count; i++) {
        uint64_t first = i < list->count ? list->run[i].lba : UINT64_MAX;
        uint32_t length = i < list->count ? list->run[i].count : 0;
        struct {
            uint64_t lba, count;
        } part[3] = {{0, 0}, {0, 0}, {0, 0}};
        if (!placed && lba < first) {
            part[0].lba = lba;
            part[0].count = 1;
            placed = true;
        }
        if (i < list->count && !bad && lba >= first && lba - first < length) {
            part[1].lba = first;
            part[1].count = lba - first;
            part[2].lba = lba + 1;
            part[2].count = first + length - lba - 1;
        } else if (i < list->count) {
            placed |= lba >= first && lba - first < length;
            part[1].lba = first;
            part[1].count = length;
        }
        for (unsigned j = 0; j < 3; j++) {
            struct raid_bad_run *last = next.count ? &next.run[next.count - 1] : NULL;
            if (!part[j].count)
                continue;
            if (last && last->lba + last->count == part[j].lba &&
                last->count + part[j].count <= RUN_LIMIT) {
                last->count += (uint32_t)part[j].count;
                continue;
            }
            if (next.count == RAID_BAD_RUNS)
                return false;
            next.run[next.count].lba = part[j].lba;
            next.run[next.count++].count = (uint32_t)part[j].count;
        }
    }
    *list = next;
    return true;
}

bool raid_bad_add(struct raid_array *array, unsigned member, uint64_t lba)
{
    bool known;
    (void)raid_bad_run(array, member, lba, 1, &known);
    if (known)
        return true;
    if (!set(&array->bad[member], lba, true))
        return false;
    array->unsettled = true;
    if (array->observer.change)
        array->observer.change(array->observer.context, RAID_CHANGE_BAD_SECTOR, member);
    return true;
}

void raid_bad_forget(struct raid_array *array, unsigned member)
{
    array->bad[member] = (struct raid_bad_list){0};
}

/* ---- The list on its member ---- */

static void put_sum(uint8_t *bytes, size_t size)
{
    struct buffer out = {.data = bytes + 32, .capacity = 8};
    memset(bytes + 32, 0, 8);
    buffer_put_u64(&out, XXH3_64bits(bytes, size));
}

int raid_bad_write(struct raid_array *array, unsigned member)
{
    struct raid_bad_list *list = &array->bad[member];
    uint8_t bytes[LIST_BYTES] = {0};
    struct buffer out = {.data = bytes, .capacity = sizeof bytes};
    unsigned sectors = list_sectors(list->count);
    buffer_put(&out, magic, 8);
    buffer_put_u64(&out, array->super.member[member].id);
    buffer_put_u64(&out, list->sequence + 1);
    buffer_put_u32(&out, list->count);
    buffer_put_u32(&out, 0);
    buffer_put_u64(&out, 0);
    for (unsigned i = 0; i < list->count; i++)
        buffer_put_u64(&out, list->run[i].lba << 16 | list->run[i].count);
    put_sum(bytes, (size_t)sectors * 512);
    uint64_t size = array->io[member].ops->size(array->io[member].object);
    if (raid_member_write(array, member, list_lba(size, list->sequence + 1), sectors, bytes,
            RAID_ROLE_BAD_SECTORS))
        return -1;
    list->sequence++;
    list->changed = false;
    return 0;
}

static bool decode(const uint8_t *bytes, const struct raid_superblock *super, uint64_t sequence,
    struct raid_bad_list *list)
{
    struct reader in;
    uint8_t copy[LIST_BYTES];
    reader_init(&in, bytes + 8, LIST_BYTES - 8);
    if (memcmp(bytes, magic, 8) != 0 || reader_get_u64(&in) != super->member[super->role].id)
        return false;
    *list = (struct raid_bad_list){.sequence = reader_get_u64(&in)};
    list->count = reader_get_u32(&in);
    (void)reader_get_u32(&in);
    uint64_t sum = reader_get_u64(&in), end = 0;
    if (list->count > RAID_BAD_RUNS || (list->sequence & 1) != (sequence & 1))
        return false;
    size_t size = (size_t)list_sectors(list->count) * 512;
    memcpy(copy, bytes, size);
    memset(copy + 32, 0, 8);
    if (XXH3_64bits(copy, size) != sum)
        return false;
    for (unsigned i = 0; i < list->count; i++) {
        uint64_t run = reader_get_u64(&in);
        list->run[i].lba = run >> 16;
        list->run[i].count = (uint32_t)(run & RUN_LIMIT);
        if (list->run[i].lba < end || list->run[i].count == 0)
            return false;
        end = list->run[i].lba + list->run[i].count;
    }
    return end <= super->geometry.member_sectors;
}

int raid_bad_read(const struct raid_member *member, const struct raid_superblock *super,
    struct raid_bad_list *list)
{
    *list = (struct raid_bad_list){0};
    for (unsigned i = 0; i < 2; i++) {
        uint8_t bytes[LIST_BYTES];
        struct raid_bad_list copy;
        uint64_t lba = list_lba(super->size, i);
        /* Sector by sector: after the list is room that may be unreadable without harm. */
        if (member->ops->read(member->object, lba, 1, bytes))
            continue;
        struct reader in;
        reader_init(&in, bytes + 24, 4);
        uint32_t runs = reader_get_u32(&in);
        unsigned sectors = runs <= RAID_BAD_RUNS ? list_sectors(runs) : 1;
        if (sectors > 1 && member->ops->read(member->object, lba + 1, sectors - 1, bytes + 512))
            continue;
        if (decode(bytes, super, i, &copy) && copy.sequence > list->sequence)
            *list = copy;
    }
    return list->sequence < super->bad ? -1 : 0;
}

/* ---- Failures of data sectors ---- */

/* Nothing of it can be read any more, not even where its superblock is. */
static bool dead(struct raid_array *array, unsigned member)
{
    uint8_t sector[BLOCK_SECTOR];
    uint64_t lba = raid_superblock_lba(array->io[member].ops->size(array->io[member].object));
    return raid_member_read(array, member, lba, 1, sector, RAID_ROLE_SUPERBLOCK) &&
           raid_member_read(array, member, lba + 8, 1, sector, RAID_ROLE_SUPERBLOCK);
}

bool raid_dead(struct raid_array *array, unsigned member)
{
    return !raid_usable(array, member) || dead(array, member);
}

static enum raid_role role_at(const struct raid_array *array, unsigned member, uint64_t row)
{
    const struct raid_geometry *geometry = &array->super.geometry;
    return raid_parity_member(geometry, row / geometry->chunk) == member ? RAID_ROLE_PARITY
                                                                         : RAID_ROLE_DATA;
}

/* Writes the sector and sees whether it has taken it. */
static bool rewrite(
    struct raid_array *array, unsigned member, uint64_t row, const uint8_t data[BLOCK_SECTOR])
{
    uint8_t back[BLOCK_SECTOR];
    enum raid_role role = role_at(array, member, row);
    return raid_member_write(array, member, row, 1, data, role) == 0 &&
           raid_member_read(array, member, row, 1, back, role) == 0 &&
           memcmp(data, back, sizeof back) == 0;
}

bool raid_read_failed(struct raid_array *array, unsigned member, uint64_t row, uint32_t count)
{
    if (!array->level->restore)
        return false;
    if (dead(array, member)) {
        if (!raid_can_lose(array, member))
            return false;
        raid_take_out(array, member);
        return true;
    }
    bool all = true;
    for (uint64_t at = row; at < row + count; at++) {
        uint8_t sector[BLOCK_SECTOR];
        if (raid_bad_within(array, member, at, 1) ||
            raid_member_read(array, member, at, 1, sector, role_at(array, member, at)) == 0)
            continue;
        if (array->level->restore(array, member, at, 1, sector)) {
            all = false; /* nobody has it; should it be readable again, it is right */
            continue;
        }
        if (!rewrite(array, member, at, sector) && !raid_bad_add(array, member, at))
            return raid_write_failed(array, member);
    }
    return all;
}

bool raid_data_write_failed(
    struct raid_array *array, unsigned member, uint64_t row, uint32_t count, const uint8_t *data)
{
    if (!array->level->restore || dead(array, member))
        return raid_write_failed(array, member);
    bool all = true;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *sector = data ? data + (size_t)i * BLOCK_SECTOR : raid_zeroes;
        if (raid_bad_within(array, member, row + i, 1) ||
            raid_member_write(array, member, row + i, 1, sector, role_at(array, member, row + i)) ==
                0)
            continue;
        bool spare = array->level->spare(array, member, row + i);
        all &= spare;
        /* The last mirror is like a disk of its own: the guest is told and decides. */
        if ((spare || array->super.geometry.level == RAID_5) &&
            !raid_bad_add(array, member, row + i))
            return raid_write_failed(array, member);
    }
    return all;
}

bool raid_bad_mend(struct raid_array *array, unsigned member, uint64_t row, uint32_t count)
{
    bool all = true;
    for (uint64_t at = row; at < row + count; at++) {
        uint8_t sector[BLOCK_SECTOR];
        if (!raid_bad_within(array, member, at, 1))
            continue;
        if (array->level->restore(array, member, at, 1, sector) ||
            !rewrite(array, member, at, sector) || !set(&array->bad[member], at, false))
            all = false;
        else
            array->unsettled = true;
    }
    return all;
}
