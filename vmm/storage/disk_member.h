/*
 * One image file under a disk, seen through the input source: live and recording, the file is
 * asked, what it answers to the first read of each sector and every failure become inputs;
 * replaying, the trace and what the guest wrote before answer, and no file is opened.
 */
#ifndef VMM_DISK_MEMBER_H
#define VMM_DISK_MEMBER_H

#include "devices/block.h"
#include "vmm/storage/disk_store.h"
#include "vmm/host/services.h"

struct raw_file;

struct disk_member {
    const struct services *services;
    struct raw_file *file; /* NULL when replaying */
    struct disk_store store;
};

/* `file` is owned from then on, also on failure; NULL when replaying, and then `sectors` counts. */
int disk_member_create(struct disk_member *member, const struct services *services,
    struct raw_file *file, uint64_t sectors, struct error *error);
void disk_member_destroy(struct disk_member *member);
/* The interface that an array uses; valid as long as the member. */
struct raid_member disk_member_interface(struct disk_member *member);
/* What is there now, without an input and without an event: -1 for sectors that nobody knows. */
int disk_member_peek(const struct disk_member *member, uint64_t lba, uint32_t count, uint8_t *data);

#endif
