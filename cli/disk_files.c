/* The file system on a machine's disk. */
#include "cli/disk_files.h"

#include "vmm/storage/disk.h"

static int read_sectors(
    void *context, uint64_t sector, uint32_t count, uint8_t *data, struct error *error)
{
    return disk_peek(context, sector, count, data, error);
}

struct ext4_source disk_files_source(const struct disk *disk)
{
    return (struct ext4_source){
        .read = read_sectors, .context = (void *)(uintptr_t)disk, .sectors = disk_sectors(disk)};
}
