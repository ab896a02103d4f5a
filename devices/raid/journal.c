#include "devices/raid/array.h"

#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

/*
 * What closes the RAID 5 write hole when a member is missing: before rows are changed in place,
 * each member that will be written gets an entry with its new sectors. Entry numbers rise by one
 * and alternate between two slots, so that the entry before the one being written is whole.
 * Recovery looks at the two highest numbers only, in the epoch of the superblock; what is older
 * has long been written in place.
 */
static const char magic[8] = "HSJRNL1";

struct header {
    uint8_t uuid[16];
    uint64_t epoch, sequence, row, checksum;
    uint32_t count, role, members, barrier;
};

static void encode(const struct header *header, uint8_t sector[512])
{
    struct buffer out = {.data = sector, .capacity = 512};
    memset(sector, 0, 512);
    buffer_put(&out, magic, 8);
    buffer_put(&out, header->uuid, 16);
    buffer_put_u64(&out, header->epoch);
    buffer_put_u64(&out, header->sequence);
    buffer_put_u64(&out, header->row);
    buffer_put_u64(&out, header->checksum);
    buffer_put_u32(&out, header->count);
    buffer_put_u32(&out, header->role);
    buffer_put_u32(&out, header->members);
    buffer_put_u32(&out, header->barrier);
    out.size = 504;
    buffer_put_u64(&out, XXH3_64bits(sector, 504));
}

static bool decode(const uint8_t sector[512], struct header *header)
{
    struct reader in;
    reader_init(&in, sector + 504, 8);
    if (memcmp(sector, magic, 8) != 0 || reader_get_u64(&in) != XXH3_64bits(sector, 504))
        return false;
    reader_init(&in, sector + 8, 504 - 8);
    reader_get(&in, header->uuid, 16);
    header->epoch = reader_get_u64(&in);
    header->sequence = reader_get_u64(&in);
    header->row = reader_get_u64(&in);
    header->checksum = reader_get_u64(&in);
    header->count = reader_get_u32(&in);
    header->role = reader_get_u32(&in);
    header->members = reader_get_u32(&in);
    header->barrier = reader_get_u32(&in);
    return true;
}

static uint64_t slot_lba(const struct raid_array *array, unsigned member, uint64_t sequence)
{
    const struct raid_member *io = &array->io[member];
    return raid_journal_lba(io->ops->size(io->object), (unsigned)(sequence % JOURNAL_SLOTS));
}

bool raid_journal_barrier(const struct raid_array *array)
{
    return array->super.strict || raid_degraded(array) || raid_bad_any(array);
}

unsigned raid_journal_write(
    struct raid_array *array, const struct journal_write *write, bool barrier)
{
    struct header header = {
        .epoch = array->super.epoch,
        .sequence = array->sequence++,
        .row = write->row,
        .count = write->count,
        .members = write->members,
        .barrier = barrier,
    };
    memcpy(header.uuid, array->super.uuid, 16);
    array->journal[header.sequence % JOURNAL_SLOTS] =
        (struct journal_slot){.live = write->count > 0, .row = write->row, .count = write->count};
    size_t bytes = (size_t)write->count * BLOCK_SECTOR;
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (!(write->members >> i & 1))
            continue;
        if (bytes)
            memcpy(array->entry + BLOCK_SECTOR, write->data[i], bytes);
        header.role = i;
        header.checksum = XXH3_64bits(array->entry + BLOCK_SECTOR, bytes);
        encode(&header, array->entry);
        if (raid_member_write(array, i, slot_lba(array, i, header.sequence), write->count + 1,
                array->entry, RAID_ROLE_JOURNAL))
            return i;
    }
    for (unsigned i = 0; barrier && i < array->super.geometry.members; i++) {
        if (raid_usable(array, i) && raid_member_flush(array, i))
            return i;
    }
    return RAID_NO_MEMBER;
}

unsigned raid_journal_retire(struct raid_array *array, uint64_t row, uint64_t count)
{
    bool overlap = false, barrier = raid_journal_barrier(array);
    for (unsigned i = 0; i < JOURNAL_SLOTS; i++) {
        const struct journal_slot *slot = &array->journal[i];
        overlap |= slot->live && slot->row < row + count && row < slot->row + slot->count;
    }
    if (!overlap)
        return RAID_NO_MEMBER;
    struct journal_write empty = {0};
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (!raid_usable(array, i))
            continue;
        empty.members |= 1u << i;
        /* What the entries protect must be in place before they go. */
        if (barrier && raid_member_flush(array, i))
            return i;
    }
    for (unsigned i = 0; i < JOURNAL_SLOTS; i++) {
        unsigned bad = raid_journal_write(array, &empty, false);
        if (bad != RAID_NO_MEMBER)
            return bad;
    }
    return RAID_NO_MEMBER;
}

/* Reads one member's entry of a number; false when it has no whole one of this epoch. */
static bool load(
    struct raid_array *array, unsigned member, uint64_t sequence, struct header *header)
{
    uint64_t lba = slot_lba(array, member, sequence);
    uint8_t *entry = array->entry;
    if (raid_member_read(array, member, lba, 1, entry, RAID_ROLE_JOURNAL) ||
        !decode(entry, header) || header->sequence != sequence ||
        header->epoch != array->super.epoch || header->role != member ||
        memcmp(header->uuid, array->super.uuid, 16) != 0 || header->count > JOURNAL_PAYLOAD)
        return false;
    if (header->count == 0)
        return true;
    if (header->row > array->super.geometry.member_sectors ||
        header->count > array->super.geometry.member_sectors - header->row ||
        raid_member_read(
            array, member, lba + 1, header->count, entry + BLOCK_SECTOR, RAID_ROLE_JOURNAL))
        return false;
    return XXH3_64bits(entry + BLOCK_SECTOR, (size_t)header->count * BLOCK_SECTOR) ==
           header->checksum;
}

static bool same_entry(const struct header *a, const struct header *b)
{
    return a->row == b->row && a->count == b->count && a->members == b->members &&
           a->barrier == b->barrier;
}

static int replay_one(
    struct raid_array *array, uint64_t sequence, bool only_barriered, struct error *error)
{
    struct header first = {0}, header;
    bool found = false;
    /* An entry that is not on all its members was never acted on. */
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (!raid_usable(array, i) || (found && !(first.members >> i & 1)))
            continue;
        bool whole = load(array, i, sequence, &header) && (header.members >> i & 1);
        if (whole && !found) {
            first = header;
            found = true;
        } else if (found && (!whole || !same_entry(&first, &header))) {
            return 0;
        }
    }
    if (!found || first.count == 0 || (only_barriered && !first.barrier))
        return 0;
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        /* Members before the first one that has the entry belong to it only if they have it. */
        if ((first.members >> i & 1) && raid_usable(array, i) && !load(array, i, sequence, &header))
            return 0;
    }
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (!(first.members >> i & 1) || !raid_usable(array, i))
            continue;
        uint64_t stripe = first.row / array->super.geometry.chunk;
        enum raid_role role = raid_parity_member(&array->super.geometry, stripe) == i
                                  ? RAID_ROLE_PARITY
                                  : RAID_ROLE_DATA;
        const uint8_t *payload = array->entry + BLOCK_SECTOR;
        if (!load(array, i, sequence, &header) ||
            (raid_member_write(array, i, first.row, first.count, payload, role) &&
                !raid_data_write_failed(array, i, first.row, first.count, payload)))
            return error_set(
                error, "member %u failed at sector %" PRIu64 " during recovery", i, first.row);
    }
    return 0;
}

int raid_journal_replay(struct raid_array *array, bool only_barriered, struct error *error)
{
    uint64_t highest = 0;
    bool found = false;
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        for (unsigned slot = 0; raid_usable(array, i) && slot < JOURNAL_SLOTS; slot++) {
            struct header header;
            if (raid_member_read(
                    array, i, slot_lba(array, i, slot), 1, array->entry, RAID_ROLE_JOURNAL))
                return error_set(error, "the journal of member %u cannot be read", i);
            if (!decode(array->entry, &header) || header.epoch != array->super.epoch ||
                memcmp(header.uuid, array->super.uuid, 16) != 0)
                continue;
            if (!found || header.sequence > highest)
                highest = header.sequence;
            found = true;
        }
    }
    if (found && highest > 0 && replay_one(array, highest - 1, only_barriered, error))
        return -1;
    if (found && replay_one(array, highest, only_barriered, error))
        return -1;
    array->sequence = found ? highest + 1 : array->sequence;
    return 0;
}
