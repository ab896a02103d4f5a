/* The layout: which member and sector an address of the array is. */
#include "devices/raid/raid.h"

#include <inttypes.h>

static unsigned parity_chunks(enum raid_level level)
{
    return level == RAID_5 ? 1 : 0;
}

int raid_geometry_init(struct raid_geometry *geometry, enum raid_level level, unsigned members,
    uint64_t chunk, uint64_t data_sectors, struct error *error)
{
    if (level != RAID_0 && level != RAID_1 && level != RAID_5)
        return error_set(error, "RAID level %d is not supported: use 0, 1 or 5", (int)level);
    unsigned minimum = level == RAID_5 ? 3 : 2;
    if (members < minimum)
        return error_set(
            error, "RAID %d needs at least %u members, %u given", (int)level, minimum, members);
    if (members > RAID_MAX_MEMBERS)
        return error_set(
            error, "an array has at most %d members, %u given", RAID_MAX_MEMBERS, members);
    if (chunk & (chunk - 1))
        return error_set(
            error, "chunk size %" PRIu64 " is not a power of two: use 4K to 1M", chunk);
    if (chunk < RAID_CHUNK_MINIMUM || chunk > RAID_CHUNK_MAXIMUM)
        return error_set(
            error, "chunk size %" PRIu64 " is out of range: use 4K to 1M, a power of two", chunk);
    uint32_t sectors = (uint32_t)(chunk / BLOCK_SECTOR);
    uint64_t unit = level == RAID_1 ? 8 : sectors;
    uint64_t used = data_sectors / unit * unit;
    if (used == 0)
        return error_set(
            error, "members of %" PRIu64 " data sectors are too small for one chunk", data_sectors);
    if (used > (UINT64_C(1) << 48))
        return error_set(error, "members of %" PRIu64 " sectors are too large", data_sectors);
    uint64_t data_members = level == RAID_1 ? 1 : members - parity_chunks(level);
    *geometry = (struct raid_geometry){
        .level = level,
        .members = members,
        .chunk = sectors,
        .member_sectors = used,
        .sectors = used * data_members,
    };
    return 0;
}

unsigned raid_data_members(const struct raid_geometry *geometry)
{
    return geometry->level == RAID_1 ? 1 : geometry->members - parity_chunks(geometry->level);
}

unsigned raid_members_needed(const struct raid_geometry *geometry)
{
    return geometry->level == RAID_1 ? 1 : geometry->members - parity_chunks(geometry->level);
}

unsigned raid_parity_member(const struct raid_geometry *geometry, uint64_t stripe)
{
    if (geometry->level != RAID_5)
        return RAID_NO_MEMBER;
    return geometry->members - 1 - (unsigned)(stripe % geometry->members);
}

unsigned raid_data_member(const struct raid_geometry *geometry, uint64_t stripe, unsigned index)
{
    if (geometry->level != RAID_5)
        return index;
    /* Left-symmetric: data starts after the parity and wraps around. */
    return (raid_parity_member(geometry, stripe) + 1 + index) % geometry->members;
}

void raid_locate(
    const struct raid_geometry *geometry, uint64_t sector, struct raid_location *location)
{
    uint64_t chunk_number = sector / geometry->chunk;
    uint32_t offset = (uint32_t)(sector % geometry->chunk);
    unsigned width = raid_data_members(geometry);
    uint64_t stripe = chunk_number / width;
    unsigned index = (unsigned)(chunk_number % width);
    *location = (struct raid_location){
        .stripe = stripe,
        .member = raid_data_member(geometry, stripe, index),
        .parity = raid_parity_member(geometry, stripe),
        .index = index,
        .lba = stripe * geometry->chunk + offset,
        .remaining = geometry->chunk - offset,
    };
}
