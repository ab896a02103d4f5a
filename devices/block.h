/*
 * Block storage as device models see it: 512-byte sectors, synchronous calls, no host I/O.
 *
 * Two interfaces meet here. A `struct block_device` is what a disk controller (virtio-blk) sits on:
 * one volume. A `struct raid_member` is what an array sits on: one backing store of which it needs
 * only reading, writing, zeroing, flushing and the size, so that a recording or replaying layer can
 * be put between the two. Whoever implements either keeps it a pure function of the calls it gets
 * and of the answers of what lies below it.
 */
#ifndef DEVICES_BLOCK_H
#define DEVICES_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define BLOCK_SECTOR 512u /* bytes; every LBA and count is in these */

enum block_status {
    BLOCK_OK = 0,
    BLOCK_EIO =
        -1, /* some or all of the request was not done; a write may have been done in part */
};

enum block_request { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_ZERO };

/*
 * [lba, lba + count) lies inside the device: the caller checks it. `data` holds count * 512 bytes.
 * A write is acknowledged by BLOCK_OK and survives the end of the host process; it survives a power
 * cut of the host once a later flush has returned BLOCK_OK.
 */
struct block_device_ops {
    enum block_status (*read)(void *object, uint64_t lba, uint32_t count, uint8_t *data);
    enum block_status (*write)(void *object, uint64_t lba, uint32_t count, const uint8_t *data);
    enum block_status (*flush)(void *object);
    /* The sectors' content is no longer needed: afterwards each reads as it did or as zeroes, the
     * same at every run. */
    enum block_status (*discard)(void *object, uint64_t lba, uint32_t count);
    /* As writing zeroes; with `unmap` storage may be given back. */
    enum block_status (*write_zeroes)(void *object, uint64_t lba, uint32_t count, bool unmap);
};

struct block_device {
    const struct block_device_ops *ops;
    void *object;
    uint64_t sectors;
    bool read_only;      /* write, discard and write_zeroes must not be called */
    char identity[20];   /* serial number, zero-padded (not necessarily terminated) */
    uint32_t block_size; /* granularity in bytes that the guest is told: 512 */
    uint32_t minimum_io; /* bytes that are best not cut: the chunk; 0: no preference */
    uint32_t optimal_io; /* bytes best written at once, aligned: the stripe; 0: no preference */
};

/*
 * One member of an array. Ranges lie inside size(). Each call returns 0, or -1 when any part of it
 * failed (the content of the sectors of a failed write is then undefined).
 */
struct raid_member_ops {
    int (*read)(void *object, uint64_t lba, uint32_t count, uint8_t *data);
    int (*write)(void *object, uint64_t lba, uint32_t count, const uint8_t *data);
    int (*zero)(void *object, uint64_t lba, uint32_t count); /* reads as zeroes; NULL: write them */
    int (*flush)(void *object);           /* what was written is on stable storage */
    uint64_t (*size)(const void *object); /* sectors, constant */
};

struct raid_member {
    const struct raid_member_ops *ops; /* NULL: no such member */
    void *object;
};

/* A member by itself as a block device, without metadata: what `--disk file=A` is. The member's
 * object must outlive the device. */
void block_device_from_member(struct block_device *device, struct raid_member *member);

#endif
