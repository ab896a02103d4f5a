/* The bitmap of regions whose rows may differ between members. */
#include "devices/raid/array.h"

#include <string.h>

enum { CLEANING_INTERVAL = 16 }; /* flushes */

static bool get(const uint8_t *bits, uint64_t bit)
{
    return bits[bit / 8] >> (bit % 8) & 1;
}

static void set(uint8_t *bits, uint64_t bit)
{
    bits[bit / 8] |= (uint8_t)(1u << (bit % 8));
}

bool raid_bitmap_dirty(const struct raid_array *array, uint64_t region)
{
    return get(array->dirty, region);
}

/* Writes the bitmap sectors in which `dirty` differs from `old`. */
enum block_status raid_bitmap_write(struct raid_array *array, const uint8_t *old)
{
    for (unsigned member = 0; member < array->super.geometry.members; member++) {
        for (unsigned i = 0; i < BITMAP_SECTORS; i++) {
            const uint8_t *sector = array->dirty + 512 * i;
            if (!raid_usable(array, member) || memcmp(sector, old + 512 * i, 512) == 0)
                continue;
            uint64_t lba =
                raid_bitmap_lba(array->io[member].ops->size(array->io[member].object)) + i;
            if (raid_member_write(array, member, lba, 1, sector, RAID_ROLE_BITMAP) &&
                !raid_write_failed(array, member))
                return BLOCK_EIO;
        }
    }
    return BLOCK_OK;
}

enum block_status raid_bitmap_mark(struct raid_array *array, uint64_t row, uint64_t count)
{
    uint64_t first = row / array->super.region;
    uint64_t last = (row + count - 1) / array->super.region;
    bool known = true;
    for (uint64_t bit = first; bit <= last; bit++) {
        known &= get(array->dirty, bit);
        set(array->recent, bit);
    }
    if (known)
        return BLOCK_OK;
    uint8_t old[sizeof array->dirty];
    memcpy(old, array->dirty, sizeof old);
    for (uint64_t bit = first; bit <= last; bit++)
        set(array->dirty, bit);
    if (raid_bitmap_write(array, old) || raid_flush_members(array)) {
        memcpy(array->dirty, old, sizeof old);
        return BLOCK_EIO;
    }
    return BLOCK_OK;
}

void raid_bitmap_age(struct raid_array *array)
{
    if (++array->flushes < CLEANING_INTERVAL)
        return;
    array->flushes = 0;
    uint8_t old[sizeof array->dirty];
    memcpy(old, array->dirty, sizeof old);
    for (size_t i = 0; i < sizeof array->dirty; i++)
        array->dirty[i] &= array->recent[i];
    memset(array->recent, 0, sizeof array->recent);
    /* Bits that stay set on some member cost a needless comparison after a crash, no more. */
    (void)raid_bitmap_write(array, old);
}

enum block_status raid_bitmap_clear(struct raid_array *array)
{
    uint8_t old[sizeof array->dirty];
    memcpy(old, array->dirty, sizeof old);
    memset(array->dirty, 0, sizeof array->dirty);
    memset(array->recent, 0, sizeof array->recent);
    return raid_bitmap_write(array, old);
}
