/* The journal that closes RAID 5's write hole: entries written, cleared and found again. */
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

/* What a header says of stable storage. ACTED: all members' entries were there before the rows were
 * changed, so one that is not whole now has been damaged. */
enum { NO_BARRIER = 0, BARRIER = 1, ACTED = 2 };

struct header {
    uint8_t uuid[16];
    uint64_t epoch, sequence, row, checksum;
    uint32_t count, role, members, barrier, kind, rows;
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
    buffer_put_u32(&out, header->kind);
    buffer_put_u32(&out, header->rows);
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
    header->kind = reader_get_u32(&in);
    header->rows = reader_get_u32(&in);
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

/*
 * Before rows are changed, headers on two members say so: a damaged entry could otherwise not be
 * told from one that a crash cut short, and be passed over while rows are half changed, or for the
 * entry before it, whose rows are older. Where one member alone is written, another bears witness.
 */
static unsigned mark_acted(
    struct raid_array *array, struct header *header, const uint64_t checksum[RAID_MAX_MEMBERS])
{
    uint8_t sector[BLOCK_SECTOR];
    unsigned marked = 0, members = array->super.geometry.members;
    header->barrier = ACTED;
    for (unsigned i = 0; i < 2 * members && marked < 2; i++) {
        unsigned member = i % members;
        bool written = header->members >> member & 1;
        /* First those that are written, then others. */
        if (written != (i < members) || !raid_usable(array, member))
            continue;
        marked++;
        header->role = member;
        header->checksum = written ? checksum[member] : 0;
        encode(header, sector);
        if (raid_member_write(array, member, slot_lba(array, member, header->sequence), 1, sector,
                RAID_ROLE_JOURNAL))
            return member;
    }
    return RAID_NO_MEMBER;
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
        .barrier = barrier ? BARRIER : NO_BARRIER,
        .kind = write->kind,
        .rows = write->rows,
    };
    bool rows = write->kind == JOURNAL_ROWS;
    uint64_t checksum[RAID_MAX_MEMBERS];
    memcpy(header.uuid, array->super.uuid, 16);
    array->journal[header.sequence % JOURNAL_SLOTS] = (struct journal_slot){
        .live = rows && write->count, .row = write->row, .count = write->count};
    size_t bytes = (size_t)write->count * BLOCK_SECTOR;
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (!(write->members >> i & 1))
            continue;
        if (rows && bytes)
            memcpy(array->entry + BLOCK_SECTOR, write->data[i], bytes);
        header.role = i;
        header.checksum = checksum[i] = XXH3_64bits(array->entry + BLOCK_SECTOR, bytes);
        encode(&header, array->entry);
        if (raid_member_write(array, i, slot_lba(array, i, header.sequence), write->count + 1,
                array->entry, RAID_ROLE_JOURNAL))
            return i;
    }
    for (unsigned i = 0; barrier && i < array->super.geometry.members; i++) {
        if (raid_usable(array, i) && raid_member_flush(array, i))
            return i;
    }
    return barrier && rows && bytes ? mark_acted(array, &header, checksum) : RAID_NO_MEMBER;
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

static bool sensible(const struct raid_array *array, const struct header *header)
{
    uint64_t sectors = array->super.geometry.member_sectors, rows = header->count;
    if (header->kind != JOURNAL_ROWS) {
        rows = header->rows;
        if (header->kind > JOURNAL_UNFOLD || rows == 0 || rows > FOLD_PIECE || !array->super.fold ||
            header->count != raid_fold_payload(header->rows))
            return false;
    }
    return header->row <= sectors && rows <= sectors - header->row;
}

/* What one member has of an entry: its header, its payload. */
enum found { NOTHING, HEADER, WHOLE };

static enum found load(
    struct raid_array *array, unsigned member, uint64_t sequence, struct header *header)
{
    uint64_t lba = slot_lba(array, member, sequence);
    uint8_t *entry = array->entry;
    if (raid_member_read(array, member, lba, 1, entry, RAID_ROLE_JOURNAL) ||
        !decode(entry, header) || header->sequence != sequence ||
        header->epoch != array->super.epoch || header->role != member ||
        memcmp(header->uuid, array->super.uuid, 16) != 0 || header->count > JOURNAL_PAYLOAD)
        return NOTHING;
    if (header->count == 0)
        return WHOLE;
    if (!sensible(array, header))
        return NOTHING;
    if (!(header->members >> member & 1) || raid_member_read(array, member, lba + 1, header->count,
                                                entry + BLOCK_SECTOR, RAID_ROLE_JOURNAL))
        return HEADER;
    return XXH3_64bits(entry + BLOCK_SECTOR, (size_t)header->count * BLOCK_SECTOR) ==
                   header->checksum
               ? WHOLE
               : HEADER;
}

static bool same_entry(const struct header *a, const struct header *b)
{
    return a->row == b->row && a->count == b->count && a->members == b->members &&
           (a->barrier == NO_BARRIER) == (b->barrier == NO_BARRIER);
}

static int apply(
    struct raid_array *array, uint64_t sequence, const struct header *entry, struct error *error)
{
    struct header header;
    uint64_t stripe = entry->row / array->super.geometry.chunk;
    unsigned parity = raid_parity_member(&array->super.geometry, stripe);
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (!(entry->members >> i & 1) || !raid_usable(array, i))
            continue;
        enum raid_role role = parity == i ? RAID_ROLE_PARITY : RAID_ROLE_DATA;
        const uint8_t *payload = array->entry + BLOCK_SECTOR;
        if (load(array, i, sequence, &header) != WHOLE ||
            (raid_member_write(array, i, entry->row, entry->count, payload, role) &&
                !raid_data_write_failed(array, i, entry->row, entry->count, payload)))
            return error_set(
                error, "member %u failed at sector %" PRIu64 " during recovery", i, entry->row);
    }
    return 0;
}

static bool acted_on(struct raid_array *array, uint64_t sequence)
{
    struct header header;
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (raid_usable(array, i) && load(array, i, sequence, &header) != NOTHING &&
            header.barrier == ACTED && header.count > 0)
            return true;
    }
    return false;
}

/* The first member's header of an entry. */
static bool find(struct raid_array *array, uint64_t sequence, struct header *first)
{
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (raid_usable(array, i) && load(array, i, sequence, first) != NOTHING)
            return true;
    }
    return false;
}

static int replay_one(struct raid_array *array, uint64_t sequence, bool newest, bool only_barriered,
    bool force, struct error *error)
{
    struct header first, header;
    unsigned members = array->super.geometry.members, incomplete = RAID_NO_MEMBER;
    if (!find(array, sequence, &first) || first.count == 0 || first.kind != JOURNAL_ROWS ||
        (only_barriered && first.barrier == NO_BARRIER))
        return 0;
    for (unsigned i = 0; i < members; i++) {
        if ((first.members >> i & 1) && raid_usable(array, i) &&
            (load(array, i, sequence, &header) != WHOLE || !same_entry(&first, &header)))
            incomplete = i;
    }
    if (incomplete == RAID_NO_MEMBER)
        return apply(array, sequence, &first, error);
    /* An entry that is not on all its members was never acted on, or its rows have long been
     * flushed and the entry after the next one is being written over it. */
    if (!newest || !acted_on(array, sequence) || force)
        return 0;
    return error_set(error,
        "the journal of member %u is damaged, and rows from sector %" PRIu64
        " on may be half written: replace the member, or force",
        incomplete, first.row);
}

/* The highest number in the journals; `unreadable` is a member of which a header cannot be read. */
static bool newest_entry(struct raid_array *array, uint64_t *highest, unsigned *unreadable)
{
    bool found = false;
    *highest = 0;
    *unreadable = RAID_NO_MEMBER;
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        for (unsigned slot = 0; raid_usable(array, i) && slot < JOURNAL_SLOTS; slot++) {
            struct header header;
            if (raid_member_read(
                    array, i, slot_lba(array, i, slot), 1, array->entry, RAID_ROLE_JOURNAL)) {
                *unreadable = i;
                continue;
            }
            if (!decode(array->entry, &header) || header.epoch != array->super.epoch ||
                memcmp(header.uuid, array->super.uuid, 16) != 0)
                continue;
            if (!found || header.sequence > *highest)
                *highest = header.sequence;
            found = true;
        }
    }
    return found;
}

/* 1: a sector of the entry's rows that is in no list cannot be read. */
static int probe_rows(struct raid_array *array, const struct header *entry, struct error *error)
{
    const struct raid_geometry *geometry = &array->super.geometry;
    unsigned parity = raid_parity_member(geometry, entry->row / geometry->chunk);
    uint64_t end = entry->row + entry->count;
    for (unsigned i = 0; i < geometry->members; i++) {
        enum raid_role role = i == parity ? RAID_ROLE_PARITY : RAID_ROLE_DATA;
        uint32_t part;
        for (uint64_t row = entry->row; raid_in_sync(array, i, end - 1) && row < end; row += part) {
            bool bad;
            part = raid_bad_run(array, i, row, (uint32_t)(end - row), &bad);
            if (bad || raid_member_read(array, i, row, part, array->parity, role) == 0)
                continue;
            if (raid_dead(array, i))
                return error_set(error,
                    "member %u cannot be read at sector %" PRIu64 " during recovery", i, row);
            return 1;
        }
    }
    return 0;
}

int raid_journal_probe(struct raid_array *array, struct error *error)
{
    uint64_t highest;
    unsigned unreadable;
    if (!newest_entry(array, &highest, &unreadable))
        return 0;
    for (uint64_t age = 0; age < JOURNAL_SLOTS && age <= highest; age++) {
        struct header entry;
        if (!find(array, highest - age, &entry) || entry.count == 0 || entry.kind != JOURNAL_ROWS)
            continue;
        int result = probe_rows(array, &entry, error);
        if (result)
            return result;
    }
    return 0;
}

/* The first whole copy of an entry; its payload is in array->entry then. */
static bool find_whole(struct raid_array *array, uint64_t sequence, struct header *header)
{
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (raid_usable(array, i) && load(array, i, sequence, header) == WHOLE)
            return true;
    }
    return false;
}

/*
 * Rows that were being folded or unfolded: the newest entry that is there says which. Any copy of
 * it will do, and one that was not acted on does no harm. With an entry after it, it was done.
 */
static int replay_fold(struct raid_array *array, uint64_t highest, bool force, struct error *error)
{
    struct header entry;
    bool found = find_whole(array, highest, &entry) ||
                 (highest > 0 && find_whole(array, highest - 1, &entry));
    if (!found || entry.count == 0 || entry.kind == JOURNAL_ROWS)
        return 0;
    return raid_fold_finish(array, entry.row, entry.rows, entry.kind == JOURNAL_FOLD, force, error);
}

int raid_journal_replay(
    struct raid_array *array, bool only_barriered, bool force, struct error *error)
{
    uint64_t highest;
    unsigned unreadable;
    bool found = newest_entry(array, &highest, &unreadable);
    if (unreadable != RAID_NO_MEMBER)
        return error_set(error, "the journal of member %u cannot be read", unreadable);
    if (found && highest > 0 && replay_one(array, highest - 1, false, only_barriered, force, error))
        return -1;
    if (found && replay_one(array, highest, true, only_barriered, force, error))
        return -1;
    array->sequence = found ? highest + 1 : array->sequence;
    return found && array->super.fold ? replay_fold(array, highest, force, error) : 0;
}
