/* Creates an array: writes the members' first metadata. */
#include "devices/raid/array.h"

#include <inttypes.h>
#include <string.h>

static int check_sizes(const struct raid_member *members, unsigned count, struct error *error)
{
    uint64_t size = members[0].ops->size(members[0].object);
    for (unsigned i = 0; i < count; i++) {
        uint64_t other = members[i].ops->size(members[i].object);
        if (raid_data_room(other) == 0)
            return error_set(error,
                "member %u has %" PRIu64 " sectors: too small for data and %d sectors of metadata",
                i, other, RAID_METADATA_SECTORS);
        if (other != size)
            return error_set(error,
                "members are of unequal size: member 0 has %" PRIu64 " sectors, member %u has "
                "%" PRIu64,
                size, i, other);
    }
    return 0;
}

static int write_metadata(
    const struct raid_member *member, const struct raid_superblock *super, bool resync)
{
    uint8_t sector[BLOCK_SECTOR] = {0}, bits[BLOCK_SECTOR];
    for (unsigned slot = 0; slot < JOURNAL_SLOTS; slot++) {
        if (member->ops->write(member->object, raid_journal_lba(super->size, slot), 1, sector))
            return -1;
    }
    memset(bits, resync ? 0xff : 0, sizeof bits);
    for (unsigned i = 0; i < BITMAP_SECTORS; i++) {
        if (member->ops->write(member->object, raid_bitmap_lba(super->size) + i, 1, bits))
            return -1;
    }
    uint64_t lba = raid_superblock_lba(super->size);
    if (member->ops->write(member->object, lba + ((super->events + 1) & 1) * 8, 1, sector))
        return -1;
    raid_superblock_encode(super, sector);
    if (member->ops->write(member->object, lba + (super->events & 1) * 8, 1, sector))
        return -1;
    return member->ops->flush(member->object);
}

/* Everything but the members' identities. */
static int plan(const struct raid_create *create, unsigned count, uint64_t size,
    struct raid_superblock *super, struct error *error)
{
    struct raid_geometry probe;
    /* The level's own demands first: they do not depend on the sizes. */
    if (raid_geometry_init(
            &probe, create->level, count, create->chunk, RAID_CHUNK_MAXIMUM / BLOCK_SECTOR, error))
        return -1;
    *super = (struct raid_superblock){.size = size,
        .events = 1,
        .since = 1,
        .epoch = 1,
        .clean = !create->resync,
        .strict = create->strict};
    if (raid_geometry_init(
            &super->geometry, create->level, count, create->chunk, raid_data_room(size), error))
        return -1;
    if (create->region && (create->region & (create->region - 1) ||
                              create->region < create->chunk || create->region > UINT32_MAX))
        return error_set(error, "bitmap region %" PRIu64 " is not a power of two from the chunk up",
            create->region);
    super->region = raid_region_sectors(super->geometry.member_sectors, create->region);
    if (create->name) {
        size_t length = strlen(create->name);
        if (length >= sizeof super->name)
            return error_set(error, "array name '%.40s' is longer than 31 bytes", create->name);
        memcpy(super->name, create->name, length);
    }
    return 0;
}

int raid_create_check(
    const struct raid_create *create, unsigned count, uint64_t size, struct error *error)
{
    struct raid_superblock super;
    return plan(create, count, size, &super, error);
}

int raid_create(const struct raid_create *create, const struct raid_member *members, unsigned count,
    struct error *error)
{
    struct raid_superblock super;
    struct raid_geometry probe;
    if (raid_geometry_init(
            &probe, create->level, count, create->chunk, RAID_CHUNK_MAXIMUM / BLOCK_SECTOR, error))
        return -1;
    if (check_sizes(members, count, error) ||
        plan(create, count, members[0].ops->size(members[0].object), &super, error))
        return -1;
    memcpy(super.uuid, create->uuid, 16);
    for (unsigned i = 0; i < count; i++) {
        super.member[i].id = raid_new_member_id(super.uuid, i, super.events);
        super.member[i].state = RAID_MEMBER_ACTIVE;
    }
    for (unsigned i = 0; i < count; i++) {
        super.role = i;
        if (write_metadata(&members[i], &super, create->resync))
            return error_set(error, "the metadata of member %u cannot be written", i);
    }
    return 0;
}
