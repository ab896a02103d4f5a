/*
 * An initramfs, in the cpio format "newc" (Documentation/driver-api/early-userspace/
 * buffer-format.rst): what the kernel unpacks before its first process. The same contents give the
 * same bytes.
 */
#ifndef CLI_INITRAMFS_H
#define CLI_INITRAMFS_H

#include "base/buffer.h"

struct initramfs {
    struct buffer archive; /* `failed` when memory was short */
    unsigned entries;
};

/* Paths are from the root, without a slash in front; folders come before what is in them. */
void initramfs_add_folder(struct initramfs *initramfs, const char *path);
void initramfs_add_file(
    struct initramfs *initramfs, const char *path, unsigned mode, const void *data, size_t size);
void initramfs_add_console(struct initramfs *initramfs);
/* Nothing can be added after it. */
void initramfs_end(struct initramfs *initramfs);

#endif
