/*
 * RAID 0, 1 and 5 over members, as one block device.
 *
 * Data sits where Linux md puts it with version 1.0 metadata: at offset 0 of each member, RAID 5
 * left-symmetric. What this code adds stands after the data: see docs/raid.md for the bytes and
 * for what is promised after a crash.
 *
 * An array is a pure function of the calls made on it and of its members' answers. It does no host
 * I/O, reads no clock and draws no random numbers.
 *
 * A sector that cannot be read is answered from the other members and rewritten; one that cannot be
 * written is listed as bad and served by the others from then on. A member of which nothing can be
 * read or written any more is taken out of the array while the level can do without it; the request
 * that met the failure goes on with the others. Where it cannot (RAID 0, the last mirror, RAID 5
 * with one member gone) the request gets BLOCK_EIO. RAID 5 that loses a second member to a failed
 * write accepts no further write.
 */
#ifndef DEVICES_RAID_RAID_H
#define DEVICES_RAID_RAID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "devices/block.h"

enum raid_level { RAID_0 = 0, RAID_1 = 1, RAID_5 = 5 };

enum {
    RAID_MAX_MEMBERS = 16,
    RAID_NO_MEMBER = 255, /* "none" where a member number is expected */
    RAID_CHUNK_MINIMUM = 4096,
    RAID_CHUNK_MAXIMUM = 1 << 20,
    RAID_METADATA_SECTORS = 296, /* after the data of each member: journal, bitmap, superblock */
};

/* ---- Geometry: where a sector lives --------------------------------------------------------- */

struct raid_geometry {
    enum raid_level level;
    unsigned members;
    uint32_t chunk;          /* sectors; for RAID 1 only the unit that stripes are counted in */
    uint64_t member_sectors; /* data sectors used of each member */
    uint64_t sectors;        /* of the volume */
};

/*
 * Fills in a geometry from the data sectors each member has, rounding them as md does: down to
 * whole chunks (RAID 0 and 5) or to 4 KiB (RAID 1). `chunk` is in bytes: a power of two, 4 KiB to
 * 1 MiB. At least two members (three for RAID 5), at most RAID_MAX_MEMBERS.
 */
int raid_geometry_init(struct raid_geometry *geometry, enum raid_level level, unsigned members,
    uint64_t chunk, uint64_t data_sectors, struct error *error);

struct raid_location {
    uint64_t stripe;    /* row of chunks: member LBA / chunk */
    unsigned member;    /* that holds the sector; the first one for RAID 1 */
    unsigned parity;    /* member that holds the stripe's parity, or RAID_NO_MEMBER */
    unsigned index;     /* which data chunk of the stripe, 0 first */
    uint64_t lba;       /* on the member */
    uint32_t remaining; /* sectors from here to the end of the chunk, this one included */
};

/* `sector` is inside the volume. */
void raid_locate(
    const struct raid_geometry *geometry, uint64_t sector, struct raid_location *location);
unsigned raid_parity_member(const struct raid_geometry *geometry, uint64_t stripe);
unsigned raid_data_member(const struct raid_geometry *geometry, uint64_t stripe, unsigned index);
unsigned raid_data_members(const struct raid_geometry *geometry);   /* data chunks in a stripe */
unsigned raid_members_needed(const struct raid_geometry *geometry); /* that give all data */

/* ---- Superblock ----------------------------------------------------------------------------- */

enum raid_member_state {
    RAID_MEMBER_ACTIVE = 1,
    RAID_MEMBER_FAILED = 2, /* failed or missing: its content is out of date */
    RAID_MEMBER_REBUILDING = 3,
};

struct raid_superblock {
    uint8_t uuid[16]; /* of the array */
    char name[32];    /* terminated */
    struct raid_geometry geometry;
    uint64_t size;        /* sectors of this member, metadata included */
    unsigned role;        /* of the member this copy is on */
    uint64_t events;      /* counts superblock updates */
    uint64_t since;       /* a member with fewer events than this is out of date */
    uint64_t epoch;       /* `events` when older journal entries became void */
    bool clean;           /* stopped in order: nothing to recover */
    bool strict;          /* see struct raid_options */
    uint32_t region;      /* member sectors that one bit of the write-intent bitmap covers */
    uint64_t rebuilt;     /* member sectors already rebuilt, of the member that is rebuilding */
    uint64_t bad;         /* number of this member's list of bad sectors; 0: it has none */
    uint64_t fold;        /* number of the map of rows with data in the parity's place; 0: none */
    unsigned fold_member; /* whose data that is */
    struct {
        uint64_t id;
        enum raid_member_state state;
    } member[RAID_MAX_MEMBERS];
};

/*
 * Reads and checks a member's superblock. The message says what is there instead: nothing, an md
 * superblock, a damaged one, a member that has changed its size, an I/O error.
 */
int raid_superblock_read(
    const struct raid_member *member, struct raid_superblock *superblock, struct error *error);

/* ---- Creating ------------------------------------------------------------------------------- */

struct raid_create {
    enum raid_level level;
    uint64_t chunk;   /* bytes */
    uint8_t uuid[16]; /* random, the caller's */
    const char *name; /* at most 31 bytes; NULL: none */
    uint64_t region;  /* bytes of a member per bitmap bit, a power of two; 0: chosen */
    bool strict;      /* journal every write (RAID 5) */
    bool resync;      /* members hold unknown bytes: make them agree when first assembled */
};

/* What raid_create would say of this many members of equal size; looks at no member. */
int raid_create_check(
    const struct raid_create *create, unsigned count, uint64_t size, struct error *error);
/* Writes superblocks and empty metadata on members of equal size, in this order. Data sectors are
 * left as they are. */
int raid_create(const struct raid_create *create, const struct raid_member *members, unsigned count,
    struct error *error);

/* ---- Assembling ----------------------------------------------------------------------------- */

/* What a given member turned out to be, relative to the newest superblock among all. */
enum raid_verdict {
    RAID_MEMBER_USED,
    RAID_MEMBER_STALE,     /* of this array, but failed, replaced or left out since: rebuild it */
    RAID_MEMBER_FOREIGN,   /* of another array */
    RAID_MEMBER_DUPLICATE, /* another given member has the same role */
    RAID_MEMBER_UNKNOWN,   /* no usable superblock */
};

struct raid_candidate {
    enum raid_verdict verdict;
    struct raid_superblock superblock; /* meaningless when UNKNOWN */
    uint64_t bad_sectors;
    struct error reason; /* one line; empty when USED */
};

struct raid_assembly {
    unsigned count;
    struct raid_candidate candidate[RAID_MAX_MEMBERS * 2]; /* as given */
    struct raid_superblock newest;
    unsigned given[RAID_MAX_MEMBERS]; /* by role: index into candidate, or RAID_NO_MEMBER */
    unsigned missing;                 /* active roles that nobody given has */
    bool diverged;                    /* two halves were used separately */
};

/* Sorts out members given in any order. Reads only. Fails when none has a superblock, or when
 * there are more than the table holds. */
int raid_examine(struct raid_assembly *assembly, const struct raid_member *members, unsigned count,
    struct error *error);

enum raid_io { RAID_IO_READ, RAID_IO_WRITE, RAID_IO_ZERO, RAID_IO_FLUSH };
enum raid_role {
    RAID_ROLE_DATA,
    RAID_ROLE_PARITY,
    RAID_ROLE_SUPERBLOCK,
    RAID_ROLE_BITMAP,
    RAID_ROLE_JOURNAL,
    RAID_ROLE_NONE, /* flush */
    RAID_ROLE_BAD_SECTORS,
};

struct raid_member_io {
    unsigned member; /* role in the array */
    enum raid_io kind;
    enum raid_role role;
    uint64_t lba; /* on the member */
    uint32_t count;
    uint64_t stripe;     /* for data and parity */
    unsigned parity;     /* member with the stripe's parity, or RAID_NO_MEMBER */
    const uint8_t *data; /* what was read or is being written; NULL for zero and flush */
    bool failed;         /* told after the call: it failed */
};

enum raid_change {
    RAID_CHANGE_FAILED,
    RAID_CHANGE_REPLACED,
    RAID_CHANGE_REBUILT,
    RAID_CHANGE_ARRAY_FAILED,
    RAID_CHANGE_BAD_SECTOR, /* one more in the member's list */
};

/* Told of everything the array does; may not call the array. Any function may be NULL. */
struct raid_observer {
    void *context;
    void (*request)(void *context, enum block_request kind, uint64_t sector, uint32_t count);
    void (*member_io)(void *context, const struct raid_member_io *io);
    void (*change)(void *context, enum raid_change change, unsigned member);
};

struct raid_array;

struct raid_options {
    bool allow_missing; /* start although members are missing that were active */
    bool force;         /* start RAID 5 that lost a member and was not stopped cleanly */
    bool keep_parity;   /* degraded RAID 5 does not put the missing member's data in its place */
    struct raid_observer observer;
    /* Asked before anything is written; -1 refuses and leaves all members as they are. May be NULL.
     * What it calls on the array may only look. */
    int (*check)(void *context, const struct raid_array *array, struct error *error);
    void *check_context;
    void (*progress)(void *context, uint64_t done, uint64_t total); /* of recovery; may be NULL */
    void *progress_context;
};

/*
 * Examines, orders, recovers (journal, then dirty regions) and returns the array; NULL with the
 * reason when the members do not make one. Every given member must be USED or, with allow_missing,
 * stale. Members' objects must outlive the array; nothing is written unless there is something to
 * recover. raid_free does not stop the array: it is what a crash does.
 */
struct raid_array *raid_assemble(const struct raid_member *members, unsigned count,
    const struct raid_options *options, struct error *error);
void raid_free(struct raid_array *array);
/* Flushes, clears the bitmap and marks the members clean. The array can be used on. */
enum block_status raid_stop(struct raid_array *array);

struct block_device *raid_block_device(struct raid_array *array);

/* ---- Running -------------------------------------------------------------------------------- */

/* The current superblock: geometry, member states, events. */
const struct raid_superblock *raid_status(const struct raid_array *array);
bool raid_failed(const struct raid_array *array);   /* too many members lost */
bool raid_degraded(const struct raid_array *array); /* some member is not active */
uint64_t raid_bad_sectors(const struct raid_array *array, unsigned member); /* in its list */
uint64_t raid_rebuild_position(const struct raid_array *array); /* member sectors done */

/* Takes a member out as a failure would. False when it is out already or there is no such one. */
bool raid_fail(struct raid_array *array, unsigned member);
/*
 * Puts a store in the place of a failed member; rebuild steps then fill it. It must be at least as
 * large as the others. One rebuild at a time. raid_replace_check says what raid_replace would
 * refuse and changes nothing.
 */
int raid_replace_check(const struct raid_array *array, unsigned member,
    const struct raid_member *replacement, struct error *error);
int raid_replace(struct raid_array *array, unsigned member, const struct raid_member *replacement,
    struct error *error);
/* Rebuilds up to `stripes` further stripes. Returns 1 when there is more to do, 0 when nothing is
 * rebuilding (any more), -1 when a sector cannot be had. */
int raid_rebuild_step(struct raid_array *array, uint64_t stripes, struct error *error);

struct raid_scrub {
    bool repair;
    uint64_t stripe;         /* next to look at; start with 0 */
    uint64_t mismatches;     /* sectors at which members disagree */
    uint64_t repaired;       /* of them */
    uint64_t first_mismatch; /* member LBA; meaningful when mismatches > 0 */
    uint64_t bad;            /* sectors that some member cannot hold or nobody can give */
};

/* Whether the array can be scrubbed: not RAID 0, not degraded, not failed. */
int raid_scrub_check(const struct raid_array *array, struct error *error);
/*
 * Compares parity or mirrors on up to `stripes` further stripes. With `repair`, RAID 5 gets parity
 * computed from its data, RAID 1 what most members have (the lowest-numbered of equals), and bad
 * sectors are written once more; those that take it are bad no longer. Returns 1
 * when there is more, 0 at the end, -1 on error (degraded, RAID 0, I/O error).
 */
int raid_scrub_step(
    struct raid_array *array, struct raid_scrub *scrub, uint64_t stripes, struct error *error);

/* The array's state between requests, for checkpoints; the members' content is not part of it.
 * Restoring needs an array of the same geometry. */
void raid_save(const struct raid_array *array, struct buffer *out);
void raid_restore(struct raid_array *array, struct reader *in);
void raid_describe(const struct raid_array *array, struct buffer *out); /* text, lines */

const char *raid_member_state_name(enum raid_member_state state);

#endif
