/* Superblocks: encoded, decoded and checked. */
#include "devices/raid/array.h"

#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

/*
 * Two copies, written in turn by the parity of `events`: a torn write leaves the other one. The
 * first lies where md keeps its version 1.0 superblock, so that creating an md array over these
 * members replaces ours and is noticed.
 */
enum {
    COPIES = 2,
    COPY_STRIDE = 8,
    VERSION = 1,
    VERSION_FOLDED = 2,
    FLAG_CLEAN = 1,
    FLAG_STRICT = 2
};
static const char magic[8] = "HSRAID1";
#define MD_MAGIC 0xa92b4efcu

uint64_t raid_superblock_lba(uint64_t size)
{
    return size < RAID_METADATA_SECTORS ? 0 : (size - 16) & ~UINT64_C(7);
}

uint64_t raid_data_room(uint64_t size)
{
    return size < RAID_METADATA_SECTORS ? 0 : raid_superblock_lba(size) - 280;
}

uint64_t raid_bitmap_lba(uint64_t size)
{
    return raid_superblock_lba(size) - BITMAP_SECTORS;
}

uint64_t raid_journal_lba(uint64_t size, unsigned slot)
{
    return raid_bitmap_lba(size) - JOURNAL_STRIDE * (JOURNAL_SLOTS - slot);
}

uint64_t raid_new_member_id(const uint8_t uuid[16], unsigned role, uint64_t events)
{
    uint8_t seed[32];
    memcpy(seed, uuid, 16);
    for (unsigned i = 0; i < 8; i++) {
        seed[16 + i] = (uint8_t)((uint64_t)role >> (8 * i));
        seed[24 + i] = (uint8_t)(events >> (8 * i));
    }
    return XXH3_64bits(seed, sizeof seed);
}

uint32_t raid_region_sectors(uint64_t member_sectors, uint64_t bytes)
{
    uint64_t region = bytes ? bytes / BLOCK_SECTOR : RAID_CHUNK_MAXIMUM / BLOCK_SECTOR;
    while (member_sectors > region * BITMAP_BITS)
        region *= 2;
    return (uint32_t)region;
}

void raid_superblock_encode(const struct raid_superblock *superblock, uint8_t sector[512])
{
    struct buffer out = {0};
    uint8_t bytes[512] = {0};
    const struct raid_geometry *geometry = &superblock->geometry;
    /* A fixed window instead of an allocation: running out of memory must not stop a failure from
     * being recorded. */
    out.data = bytes;
    out.capacity = sizeof bytes;
    buffer_put(&out, magic, 8);
    buffer_put_u32(&out, superblock->fold ? VERSION_FOLDED : VERSION);
    buffer_put_u32(
        &out, (superblock->clean ? FLAG_CLEAN : 0u) | (superblock->strict ? FLAG_STRICT : 0u));
    buffer_put(&out, superblock->uuid, 16);
    buffer_put(&out, superblock->name, 32);
    buffer_put_u32(&out, (uint32_t)geometry->level);
    buffer_put_u32(&out, geometry->members);
    buffer_put_u32(&out, geometry->chunk);
    buffer_put_u32(&out, superblock->role);
    buffer_put_u64(&out, geometry->member_sectors);
    buffer_put_u64(&out, geometry->sectors);
    buffer_put_u64(&out, superblock->size);
    buffer_put_u64(&out, superblock->events);
    buffer_put_u64(&out, superblock->epoch);
    buffer_put_u64(&out, superblock->rebuilt);
    buffer_put_u32(&out, superblock->region);
    buffer_put_u32(&out, 0);
    for (unsigned i = 0; i < RAID_MAX_MEMBERS; i++) {
        buffer_put_u64(&out, superblock->member[i].id);
        buffer_put_u32(&out, (uint32_t)superblock->member[i].state);
    }
    buffer_put_u64(&out, superblock->since);
    buffer_put_u64(&out, superblock->bad);
    buffer_put_u64(&out, superblock->fold);
    buffer_put_u32(&out, superblock->fold_member);
    memcpy(sector, bytes, 512);
    uint64_t sum = XXH3_64bits(sector, 504);
    for (unsigned i = 0; i < 8; i++)
        sector[504 + i] = (uint8_t)(sum >> (8 * i));
}

/* The checksum says that we wrote it; this says that we meant it. */
static bool sensible(const struct raid_superblock *superblock)
{
    const struct raid_geometry *geometry = &superblock->geometry;
    struct raid_geometry check;
    if (geometry->chunk > RAID_CHUNK_MAXIMUM || superblock->size > (UINT64_C(1) << 50))
        return false;
    if (raid_geometry_init(&check, geometry->level, geometry->members,
            (uint64_t)geometry->chunk * BLOCK_SECTOR, geometry->member_sectors, NULL))
        return false;
    if (check.member_sectors != geometry->member_sectors || check.sectors != geometry->sectors ||
        geometry->member_sectors > raid_data_room(superblock->size))
        return false;
    if (superblock->role >= geometry->members || superblock->name[31] != 0 ||
        superblock->rebuilt > geometry->member_sectors || superblock->since > superblock->events)
        return false;
    uint32_t region = superblock->region;
    if (region < geometry->chunk || (region & (region - 1)) ||
        geometry->member_sectors > (uint64_t)region * BITMAP_BITS)
        return false;
    if (superblock->fold &&
        (geometry->level != RAID_5 || superblock->fold_member >= geometry->members ||
            superblock->member[superblock->fold_member].state == RAID_MEMBER_ACTIVE))
        return false;
    unsigned rebuilding = 0;
    for (unsigned i = 0; i < geometry->members; i++) {
        enum raid_member_state state = superblock->member[i].state;
        if (state != RAID_MEMBER_ACTIVE && state != RAID_MEMBER_FAILED &&
            state != RAID_MEMBER_REBUILDING)
            return false;
        rebuilding += state == RAID_MEMBER_REBUILDING;
    }
    return rebuilding <= 1;
}

bool raid_superblock_decode(const uint8_t sector[512], struct raid_superblock *superblock)
{
    struct reader in;
    reader_init(&in, sector, 512);
    *superblock = (struct raid_superblock){0};
    const uint8_t *found = reader_take(&in, 8);
    uint32_t version = reader_get_u32(&in);
    if (memcmp(found, magic, 8) != 0 || (version != VERSION && version != VERSION_FOLDED))
        return false;
    struct reader tail;
    reader_init(&tail, sector + 504, 8);
    if (reader_get_u64(&tail) != XXH3_64bits(sector, 504))
        return false;
    struct raid_geometry *geometry = &superblock->geometry;
    uint32_t flags = reader_get_u32(&in);
    superblock->clean = flags & FLAG_CLEAN;
    superblock->strict = flags & FLAG_STRICT;
    reader_get(&in, superblock->uuid, 16);
    reader_get(&in, superblock->name, 32);
    geometry->level = (enum raid_level)reader_get_u32(&in);
    geometry->members = reader_get_u32(&in);
    geometry->chunk = reader_get_u32(&in);
    superblock->role = reader_get_u32(&in);
    geometry->member_sectors = reader_get_u64(&in);
    geometry->sectors = reader_get_u64(&in);
    superblock->size = reader_get_u64(&in);
    superblock->events = reader_get_u64(&in);
    superblock->epoch = reader_get_u64(&in);
    superblock->rebuilt = reader_get_u64(&in);
    superblock->region = reader_get_u32(&in);
    (void)reader_get_u32(&in);
    for (unsigned i = 0; i < RAID_MAX_MEMBERS; i++) {
        superblock->member[i].id = reader_get_u64(&in);
        superblock->member[i].state = (enum raid_member_state)reader_get_u32(&in);
    }
    superblock->since = reader_get_u64(&in);
    superblock->bad = reader_get_u64(&in);
    if (version == VERSION_FOLDED) {
        superblock->fold = reader_get_u64(&in);
        superblock->fold_member = reader_get_u32(&in);
    }
    return sensible(superblock);
}

int raid_superblock_read(
    const struct raid_member *member, struct raid_superblock *superblock, struct error *error)
{
    uint64_t size = member->ops->size(member->object);
    uint64_t lba = raid_superblock_lba(size);
    if (lba == 0)
        return error_set(error, "too small to be a member (%" PRIu64 " sectors)", size);
    bool found = false, ours = false, md = false;
    unsigned unreadable = 0;
    for (unsigned i = 0; i < COPIES; i++) {
        uint8_t sector[512];
        struct raid_superblock copy;
        /* A bad sector under one copy leaves the other. */
        if (member->ops->read(member->object, lba + COPY_STRIDE * i, 1, sector)) {
            unreadable++;
            continue;
        }
        ours |= memcmp(sector, magic, 8) == 0;
        md |=
            (sector[0] | sector[1] << 8 | sector[2] << 16 | (uint32_t)sector[3] << 24) == MD_MAGIC;
        if (raid_superblock_decode(sector, &copy) && (!found || copy.events > superblock->events)) {
            *superblock = copy;
            found = true;
        }
    }
    if (md)
        return error_set(error, "belongs to a Linux md array: create the array anew over its data "
                                "with 'raid create --assume-clean'");
    if (!found && unreadable)
        return error_set(error, "the superblock cannot be read");
    if (!found && ours)
        return error_set(error, "the superblock is damaged");
    if (!found)
        return error_set(error, "has no superblock: not a member, or its file was cut short");
    if (superblock->size != size)
        return error_set(error,
            "has %" PRIu64 " sectors but was a member with %" PRIu64 ": it was resized", size,
            superblock->size);
    return 0;
}

const char *raid_member_state_name(enum raid_member_state state)
{
    switch (state) {
    case RAID_MEMBER_ACTIVE:
        return "active";
    case RAID_MEMBER_FAILED:
        return "failed";
    case RAID_MEMBER_REBUILDING:
        return "rebuilding";
    }
    return "unknown";
}
