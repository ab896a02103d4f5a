/*
 * Linux's page cache at the position: what a file or a disk holds that is newer than what the disk
 * has been told, or at least as new.
 *
 * Sources: Linux include/linux/fs.h, xarray.h, page-flags.h, lib/xarray.c.
 */
#ifndef DEBUGGER_PAGE_CACHE_H
#define DEBUGGER_PAGE_CACHE_H

#include <stdbool.h>
#include <stdint.h>

struct debugger;

enum { PAGE_CACHE_BYTES = 4096 };

struct page_cache {
    struct debugger *debugger;
    uint64_t super;   /* the mounted file system's struct super_block */
    uint64_t mapping; /* of the disk or the file: struct address_space */
    uint64_t size;    /* of a file, bytes */
};

/* Of the disk "vda", and so of the file system's own structures. False: no kernel with symbols is
 * there at the position, or it has not mounted such a disk. */
bool page_cache_of_disk(struct debugger *debugger, const char *disk, struct page_cache *cache);
/* Of a file on it, by the number of its inode. False when the kernel does not know the file. */
bool page_cache_of_file(const struct page_cache *disk, uint64_t inode, struct page_cache *cache);
/* Page `index`, if the cache has it; *dirty: the disk has not been told yet. */
bool page_cache_read(
    const struct page_cache *cache, uint64_t index, uint8_t data[PAGE_CACHE_BYTES], bool *dirty);

#endif
