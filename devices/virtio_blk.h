/*
 * virtio-blk (virtio 1.2, section 5.2) over a block device.
 *
 * One request queue. Requests: read, write, flush, get-id, discard, write zeroes. Features:
 * SEG_MAX, BLK_SIZE, TOPOLOGY, FLUSH, DISCARD, WRITE_ZEROES, and RO for a read-only device. A
 * driver that does not accept FLUSH gets write-through: each write is followed by a flush.
 *
 * Errors of the block device, ranges beyond its end and data that is not whole sectors end with
 * status IOERR; unknown requests with UNSUPP; a chain without room for header or status breaks the
 * device (see virtio.h).
 */
#ifndef DEVICES_VIRTIO_BLK_H
#define DEVICES_VIRTIO_BLK_H

#include "devices/block.h"
#include "devices/virtio.h"

#define VIRTIO_BLK_F_SEG_MAX      (UINT64_C(1) << 2)
#define VIRTIO_BLK_F_RO           (UINT64_C(1) << 5)
#define VIRTIO_BLK_F_BLK_SIZE     (UINT64_C(1) << 6)
#define VIRTIO_BLK_F_FLUSH        (UINT64_C(1) << 9)
#define VIRTIO_BLK_F_TOPOLOGY     (UINT64_C(1) << 10)
#define VIRTIO_BLK_F_DISCARD      (UINT64_C(1) << 13)
#define VIRTIO_BLK_F_WRITE_ZEROES (UINT64_C(1) << 14)

enum {
    VIRTIO_BLK_IN = 0,
    VIRTIO_BLK_OUT = 1,
    VIRTIO_BLK_FLUSH = 4,
    VIRTIO_BLK_GET_ID = 8,
    VIRTIO_BLK_DISCARD = 11,
    VIRTIO_BLK_WRITE_ZEROES = 13,
};
enum { VIRTIO_BLK_OK = 0, VIRTIO_BLK_IOERR = 1, VIRTIO_BLK_UNSUPP = 2 };

struct virtio_blk;

struct virtio_blk_config {
    const char *name;          /* "disk0"; must outlive the device */
    struct block_device *disk; /* must outlive the device */
    struct guest_memory memory;
    bool is_transitional; /* has the legacy interface, too */
};

struct virtio_blk *virtio_blk_create(const struct virtio_blk_config *config, struct error *error);
void virtio_blk_destroy(struct virtio_blk *blk);                  /* NULL is fine */
struct pci_function *virtio_blk_function(struct virtio_blk *blk); /* for pci_add */
struct device virtio_blk_device(struct virtio_blk *blk);

#endif
