/*
 * The machine's disks: image files, an array over them (or one alone), the virtio-blk function that
 * the guest sees, injected faults, hot spares, and what of it goes into the trace as notes.
 */
#ifndef VMM_DISK_H
#define VMM_DISK_H

#include "devices/block.h"
#include "devices/device.h"
#include "devices/raid/fault.h"
#include "devices/raid/raid.h"

struct services;

enum { DISK_MAX_FILES = RAID_MAX_MEMBERS + 1 }; /* the last may be a spare */

struct disk_config {
    bool is_array;
    enum raid_level level;
    uint64_t chunk;                   /* bytes; 0: whatever the superblocks say */
    bool snapshot;                    /* images are not written */
    bool force;                       /* see struct raid_options */
    unsigned members;                 /* files given as members; 1 when not an array */
    bool has_spare;                   /* one more file, taken into service when a member fails */
    char *path[DISK_MAX_FILES];       /* owned; NULL in a replay */
    uint64_t sectors[DISK_MAX_FILES]; /* of each image; found out when they are opened */
};

/* "raid=5,chunk=64K,file=A,file=B,file=C,spare=D,snapshot=on" or "file=A". */
int disk_config_parse(const char *text, struct disk_config *config, struct error *error);
/* Without paths, with sizes: for the trace's header; and back. */
void disk_config_write(const struct disk_config *config, struct buffer *out);
int disk_config_restore(const char *text, struct disk_config *config, struct error *error);
void disk_config_free(struct disk_config *config);
/* Finds out the sizes of the images; leaves none open. */
int disk_config_measure(struct disk_config *config, struct error *error);

struct disk;

/*
 * Opens (or, replaying, imagines) the images, assembles, adds the PCI function "diskN" to
 * services->pci. Faults of `faults` whose disk is `number` are armed. `keep_parity`: see struct
 * raid_options.
 */
struct disk *disk_create(const struct services *services, unsigned number,
    const struct disk_config *config, bool keep_parity, const struct fault *faults,
    unsigned fault_count, struct error *error);
/* Stops the array (marks it clean) unless replaying, and closes. */
void disk_destroy(struct disk *disk);

/* The disk as two devices of the machine: the storage, and the controller over it. */
struct device disk_storage_device(struct disk *disk);
struct device disk_controller_device(struct disk *disk);

struct disk_store;
/* Stores of the disk's images, for checkpoints; NULL past the last. */
struct disk_store *disk_image_store(struct disk *disk, unsigned index);
/* Sectors of a disk that is no array, as they are at this moment, for somebody who looks on: no
 * input, no event. -1 when they are not known: a replay knows what the guest read or wrote. */
int disk_peek(
    const struct disk *disk, uint64_t sector, uint32_t count, uint8_t *data, struct error *error);
uint64_t disk_sectors(const struct disk *disk);
/* The array, or NULL. */
struct raid_array *disk_array(struct disk *disk);

/* Kinds of notes in the trace's checks. */
enum note_kind {
    NOTE_DISK_REQUEST = 1, /* what the guest asked for */
    NOTE_MEMBER_IO = 2,    /* what that made of the members */
    NOTE_ARRAY_CHANGE = 3, /* a member failed, was replaced, is rebuilt */
};

struct note_disk_request {
    unsigned disk;
    enum block_request kind;
    uint64_t sector;
    uint32_t count;
    uint64_t time; /* virtual ns */
};

struct note_member_io {
    unsigned disk, member, parity; /* parity: RAID_NO_MEMBER when there is none */
    enum raid_io kind;
    enum raid_role role;
    uint64_t lba;
    uint32_t count;
    uint64_t stripe;
    bool failed;
    uint64_t digest; /* XXH3-64 of the data; 0 without data */
};

struct note_array_change {
    unsigned disk, member;
    enum raid_change change;
    uint64_t time;
};

void note_disk_request_encode(const struct note_disk_request *note, struct buffer *out);
void note_member_io_encode(const struct note_member_io *note, struct buffer *out);
void note_array_change_encode(const struct note_array_change *note, struct buffer *out);
/* One line of text, or one JSON object and a newline; nothing for a kind that is not known. */
void note_print_text(
    uint64_t event, uint8_t kind, const uint8_t *data, size_t size, struct buffer *out);
void note_print_json(
    uint64_t event, uint8_t kind, const uint8_t *data, size_t size, struct buffer *out);

/* False when the bytes are not such a note. */
bool note_disk_request_decode(struct note_disk_request *note, const uint8_t *data, size_t size);
bool note_member_io_decode(struct note_member_io *note, const uint8_t *data, size_t size);
bool note_array_change_decode(struct note_array_change *note, const uint8_t *data, size_t size);

#endif
