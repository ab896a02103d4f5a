/* The file system on a machine's disk, as it is at this moment. */
#ifndef CLI_DISK_FILES_H
#define CLI_DISK_FILES_H

#include "vmm/storage/ext4.h"

struct disk;

/* Valid as long as the disk, and as nothing moves in time. */
struct ext4_source disk_files_source(const struct disk *disk);

#endif
