/*
 * The inside of an array, shared by the files of devices/raid/. Nobody else includes this.
 *
 * Rows: RAID 1 and 5 treat the same LBA of all members as belonging together. A row range is
 * [row, row + count) member sectors. Failures met on the way are only noted (`unsettled`);
 * raid_settle() makes them known on the remaining members before a request is acknowledged.
 */
#ifndef DEVICES_RAID_ARRAY_H
#define DEVICES_RAID_ARRAY_H

#include "devices/raid/raid.h"

/* Metadata, in sectors from the end of the data room (superblock_lba() - 280). */
enum {
    JOURNAL_SLOTS = 2,
    JOURNAL_PAYLOAD = 128,                /* sectors an entry can carry */
    JOURNAL_STRIDE = JOURNAL_PAYLOAD + 8, /* header, payload, padding */
    BITMAP_SECTORS = 8,
    BITMAP_BITS = BITMAP_SECTORS * 512 * 8,
    FOLD_MAP_SECTORS = 7, /* after the payload of journal slot 0 */
    FOLD_MAP_BYTES = FOLD_MAP_SECTORS * 472,
    FOLD_PIECE = 2048, /* rows that are folded at once */
};

struct journal_slot {
    bool live; /* an entry of this epoch that recovery would replay */
    uint64_t row;
    uint32_t count;
};

enum { RAID_BAD_RUNS = 400 };

/* Sectors of a member that hold nothing: see bad.c. */
struct raid_bad_list {
    uint64_t sequence; /* of the copy on the member; 0: none was ever written */
    bool changed;      /* since then */
    unsigned count;
    struct raid_bad_run {
        uint64_t lba;
        uint32_t count;
    } run[RAID_BAD_RUNS]; /* ascending */
};

struct raid_array {
    struct raid_superblock super; /* states and geometry; role and size are set for each write */
    struct raid_member io[RAID_MAX_MEMBERS];
    uint64_t rebuilt; /* member sectors rebuilt; super.rebuilt is what the members know */
    bool running;     /* superblocks say "not clean" */
    bool failed;      /* RAID 5 or 1 beyond what it can lose: no more writes */
    bool unsettled;   /* a member went out or has a bad sector; the members do not say so yet */
    struct raid_bad_list bad[RAID_MAX_MEMBERS];
    uint8_t dirty[BITMAP_BITS / 8];
    uint8_t recent[BITMAP_BITS / 8]; /* written to since the last cleaning */
    uint32_t flushes;                /* since the last cleaning */
    uint64_t sequence;               /* of the next journal entry */
    struct journal_slot journal[JOURNAL_SLOTS];
    bool keep_parity;               /* see struct raid_options */
    uint8_t folded[FOLD_MAP_BYTES]; /* bits by unit; meaningful while super.fold says so */
    struct raid_observer observer;
    struct block_device block;
    const struct raid_level_ops *level;
    uint8_t *parity;  /* chunk or 64 KiB, the larger */
    uint8_t *scratch; /* the same */
    uint8_t *entry;   /* a journal entry */
    uint8_t *fold;    /* FOLD_PIECE sectors; RAID 5 only */
};

/* ---- array.c ---- */
/* The level's table and the volume, from the superblock. */
void raid_array_init(struct raid_array *array);

/* ---- superblock.c ---- */
uint64_t raid_superblock_lba(uint64_t size); /* of the first copy, on a member of `size` sectors */
uint64_t raid_data_room(uint64_t size);      /* sectors before the metadata; 0 when too small */
uint64_t raid_bitmap_lba(uint64_t size);
uint64_t raid_journal_lba(uint64_t size, unsigned slot);
void raid_superblock_encode(const struct raid_superblock *superblock, uint8_t sector[512]);
/* False when the sector is not a superblock or its content makes no sense. */
bool raid_superblock_decode(const uint8_t sector[512], struct raid_superblock *superblock);
/* A member identity that no earlier member of the array had. */
uint64_t raid_new_member_id(const uint8_t uuid[16], unsigned role, uint64_t events);
uint32_t raid_region_sectors(uint64_t member_sectors, uint64_t bytes);

/* ---- member.c: every access to a member goes through these ---- */
int raid_member_read(struct raid_array *array, unsigned member, uint64_t lba, uint32_t count,
    uint8_t *data, enum raid_role role);
int raid_member_write(struct raid_array *array, unsigned member, uint64_t lba, uint32_t count,
    const uint8_t *data, enum raid_role role);
int raid_member_zero(
    struct raid_array *array, unsigned member, uint64_t lba, uint32_t count, enum raid_role role);
int raid_member_flush(struct raid_array *array, unsigned member);
/* Takes part in writes of metadata and in flushes: active or rebuilding. */
bool raid_usable(const struct raid_array *array, unsigned member);
/* Holds valid content at this row, but for bad sectors. */
bool raid_in_sync(const struct raid_array *array, unsigned member, uint64_t row);
/* Holds valid content at all these rows. */
bool raid_has(const struct raid_array *array, unsigned member, uint64_t row, uint32_t count);
/* The level goes on without this member. */
bool raid_can_lose(const struct raid_array *array, unsigned member);
void raid_take_out(struct raid_array *array, unsigned member);
/* A write that cannot be had, of metadata or to a member that is dead: takes the member out. True
 * when the caller should go on without it; false when the request has failed. */
bool raid_write_failed(struct raid_array *array, unsigned member);

/* ---- bad.c: sectors that cannot be read or written ---- */
/* How far from `lba` sectors of the member are all in its list (`bad`) or all not; at most `count`.
 */
uint32_t raid_bad_run(
    const struct raid_array *array, unsigned member, uint64_t lba, uint32_t count, bool *bad);
bool raid_bad_within(const struct raid_array *array, unsigned member, uint64_t lba, uint32_t count);
uint64_t raid_bad_list_sectors(const struct raid_bad_list *list);
/* How many rows from `row` on, at most `count`, have the same members missing. */
uint32_t raid_uniform(const struct raid_array *array, uint64_t row, uint32_t count);
uint32_t raid_bad_changes(const struct raid_array *array); /* differs when some list has grown */
bool raid_bad_any(const struct raid_array *array);
/* False when the list is full. */
bool raid_bad_add(struct raid_array *array, unsigned member, uint64_t lba);
void raid_bad_forget(struct raid_array *array, unsigned member); /* of a new member */
/* Rewrites sectors of the list from the other members. False when some stay bad. */
bool raid_bad_mend(struct raid_array *array, unsigned member, uint64_t row, uint32_t count);
int raid_bad_write(struct raid_array *array, unsigned member);
/* -1: the list that the superblock speaks of is not there. */
int raid_bad_read(const struct raid_member *member, const struct raid_superblock *super,
    struct raid_bad_list *list);
/* It is out, or not even its superblocks can be read. */
bool raid_dead(struct raid_array *array, unsigned member);
/* After a failed read or write of data or parity: rewrites or lists the sectors that fail, or takes
 * out a member that is dead. True when the rows are as good as they were: read from this member or
 * written to it, or had from the others. NULL data is zeroes. */
bool raid_read_failed(struct raid_array *array, unsigned member, uint64_t row, uint32_t count);
bool raid_data_write_failed(
    struct raid_array *array, unsigned member, uint64_t row, uint32_t count, const uint8_t *data);

/* ---- state.c: superblocks while running ---- */
/* Flushes the members, then writes superblocks (events and epoch advance) and flushes again. */
enum block_status raid_update_superblocks(struct raid_array *array);
/* Before the first write: superblocks say "not clean" and which members are out. */
enum block_status raid_begin_writing(struct raid_array *array);
/* Records noted failures; BLOCK_EIO when the array has failed. */
enum block_status raid_settle(struct raid_array *array);
enum block_status raid_flush_members(struct raid_array *array);

/* ---- bitmap.c ---- */
/* Marks the regions of rows dirty on stable storage. Call before writing to them. */
enum block_status raid_bitmap_mark(struct raid_array *array, uint64_t row, uint64_t count);
/* After a flush: forgets regions that have been quiet for a while. */
void raid_bitmap_age(struct raid_array *array);
enum block_status raid_bitmap_clear(struct raid_array *array);
enum block_status raid_bitmap_write(struct raid_array *array, const uint8_t *old);
bool raid_bitmap_dirty(const struct raid_array *array, uint64_t region);

/* ---- journal.c ---- */
enum journal_kind { JOURNAL_ROWS = 0, JOURNAL_FOLD = 1, JOURNAL_UNFOLD = 2 };

struct journal_write {
    enum journal_kind kind;
    uint64_t row;
    uint32_t rows;                         /* that are folded or unfolded */
    uint32_t count;                        /* sectors of payload: rows written, or checksums */
    uint32_t members;                      /* bit mask */
    const uint8_t *data[RAID_MAX_MEMBERS]; /* by member; unused by others than JOURNAL_ROWS, whose
                                              payload is in array->entry */
};
/* Entries must be on stable storage before what they protect is changed. This holds for all of them
 * then: the next but one takes an entry's slot, and must find its rows flushed. */
bool raid_journal_barrier(const struct raid_array *array);
/* Writes an entry to each member in the mask, and flushes when `barrier`. RAID_NO_MEMBER, or the
 * member that failed (not yet taken out). */
unsigned raid_journal_write(
    struct raid_array *array, const struct journal_write *write, bool barrier);
/* Voids entries that overlap rows about to be written without an entry. Same result. */
unsigned raid_journal_retire(struct raid_array *array, uint64_t row, uint64_t count);
/* 1: a sector of the rows that the journals' entries change cannot be read, and no list says so.
 * -1: a member is dead. */
int raid_journal_probe(struct raid_array *array, struct error *error);
/* Replays what the members' journals hold, in order. `force` passes over entries that are damaged.
 */
int raid_journal_replay(
    struct raid_array *array, bool only_barriered, bool force, struct error *error);

/* ---- fold.c: rows of a degraded RAID 5 that hold data in the parity's place ---- */
/* Sectors of checksums for so many rows, 8 bytes each. */
static inline uint32_t raid_fold_payload(uint32_t rows)
{
    return (rows * 8 + BLOCK_SECTOR - 1) / BLOCK_SECTOR;
}

/* The row is in a folded unit; units are folded as a whole. */
bool raid_fold_marked(const struct raid_array *array, uint64_t row);
/* The missing member's sector of this row is in the parity's place: not where it has the parity. */
bool raid_folded(const struct raid_array *array, uint64_t row);
uint64_t raid_fold_end(const struct raid_array *array, uint64_t row); /* of the row's unit */
/* Folds the units of these rows if one member is missing and nothing is against it; a unit with bad
 * sectors stays as it is. BLOCK_EIO when the array has failed. */
enum block_status raid_fold(struct raid_array *array, uint64_t row, uint64_t count);
/* The unit of this row has parity again. */
enum block_status raid_unfold(struct raid_array *array, uint64_t row);
void raid_fold_forget(struct raid_array *array); /* nothing is folded any more */
int raid_fold_write_map(struct raid_array *array, unsigned member);
enum block_status raid_fold_write_maps(struct raid_array *array);
int raid_fold_load(struct raid_array *array, struct error *error);
/* Brings what an entry, whose payload is in array->entry, speaks of to its end. */
int raid_fold_finish(struct raid_array *array, uint64_t row, uint32_t count, bool fold, bool force,
    struct error *error);

/* ---- recover.c ---- */
int raid_recover(struct raid_array *array, bool lost_in_crash, const struct raid_options *options,
    struct error *error);

/* ---- levels: what differs between them, one table each ---- */
struct raid_rows;

struct raid_level_ops {
    /* Ranges of the volume; the status of the whole. */
    enum block_status (*read)(
        struct raid_array *array, uint64_t sector, uint32_t count, uint8_t *data);
    enum block_status (*write)(
        struct raid_array *array, uint64_t sector, uint32_t count, const uint8_t *data);
    /* `discard`: sectors may be left as they are where zeroing them would mean writing them. */
    enum block_status (*zero)(
        struct raid_array *array, uint64_t sector, uint32_t count, bool discard);
    /* What follows is for levels with redundancy; NULL without. Rows are within one chunk. */
    /* What the member has to hold at these rows, from the others; -1 when they cannot give it. */
    int (*restore)(
        struct raid_array *array, unsigned member, uint64_t row, uint32_t count, uint8_t *out);
    /* The row's content can be had without this member. */
    bool (*spare)(const struct raid_array *array, unsigned member, uint64_t row);
    /* After a crash: makes the members agree. 1: not at all rows, for some cannot be read. */
    int (*resync)(struct raid_array *array, uint64_t row, uint32_t count, struct error *error);
    /* Compares what was read, and repairs if asked to. All but the bad members were read. */
    int (*scrub)(struct raid_array *array, struct raid_scrub *scrub, const struct raid_rows *rows,
        struct error *error);
};

extern const struct raid_level_ops raid0_ops, raid1_ops, raid5_ops;

/* ---- scrub.c ---- */
/* Rows are looked at in pieces of this many sectors, so that all mirrors fit in memory at once. */
enum { SCRUB_PIECE = 8 };

struct raid_rows {
    uint64_t row;
    uint32_t count;
    uint32_t bad; /* bit mask of members that have nothing there */
    uint8_t data[RAID_MAX_MEMBERS][SCRUB_PIECE * BLOCK_SECTOR];
};

void raid_scrub_note(struct raid_scrub *scrub, uint64_t lba);
/* Writes the sector that the member should have at the rows' `sector`. */
int raid_scrub_repair(struct raid_array *array, const struct raid_rows *rows, unsigned member,
    uint32_t sector, const uint8_t *data, struct error *error);

/* ---- recover.c ---- */
/* 1: some of it can neither be read nor be rewritten. */
int raid_recover_read(struct raid_array *array, unsigned member, uint64_t row, uint32_t count,
    uint8_t *out, struct error *error);
/* Reads the member's rows into `have` and writes `want` where that differs. */
int raid_recover_write(struct raid_array *array, unsigned member, uint64_t row, uint32_t count,
    const uint8_t *want, uint8_t *have, enum raid_role role, struct error *error);

extern const uint8_t raid_zeroes[64 * 1024];

#endif
