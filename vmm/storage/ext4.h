/*
 * Reads ext4 (and ext2, ext3) file systems by e2fsprogs' library, from sectors that come from
 * anywhere: a machine's disk at some moment. Nothing is written, the journal is not replayed.
 *
 * The file system is the guest's and may be hostile. What is counted here has limits: depth of
 * folders, folders within themselves, names; for the rest the library is trusted no further than
 * the confinement that the process is under.
 */
#ifndef VMM_EXT4_H
#define VMM_EXT4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct ext4_source {
    /* 512-byte sectors, all inside; -1 with the reason when they are not to be had. */
    int (*read)(void *context, uint64_t sector, uint32_t count, uint8_t *data, struct error *error);
    void *context;
    uint64_t sectors;
};

enum ext4_type { EXT4_FILE, EXT4_FOLDER, EXT4_OTHER };

struct ext4_node {
    uint32_t inode;
    enum ext4_type type;
    unsigned mode; /* permissions, 0 to 0777 */
    uint64_t size; /* of a file */
};

struct ext4;

/* False: this program was built without the library, and ext4_open() always fails. */
bool ext4_available(void);
/* `source` must outlive it. */
struct ext4 *ext4_open(const struct ext4_source *source, struct error *error);
void ext4_close(struct ext4 *ext4); /* NULL is fine */

/* Numbers of inodes are below this; it is no more than the disk has room for. */
uint32_t ext4_inodes(const struct ext4 *ext4);
/* From the root; symbolic links are followed within the file system. */
int ext4_find(struct ext4 *ext4, const char *path, struct ext4_node *node, struct error *error);
/* The file's bytes in order; `put` returns -1 to stop. */
int ext4_read(struct ext4 *ext4, const struct ext4_node *node,
    int (*put)(void *context, const uint8_t *data, size_t size, struct error *error), void *context,
    struct error *error);
/* A piece of it; what is past its end is zeros. */
int ext4_read_at(struct ext4 *ext4, const struct ext4_node *node, uint64_t offset, uint8_t *data,
    size_t size, struct error *error);
/* Names in a folder, without "." and ".."; `see` returns -1 to stop. A name has 1 to 255 bytes of
 * any value but 0, '/' among them if the file system is hostile. */
int ext4_list(struct ext4 *ext4, const struct ext4_node *folder,
    int (*see)(void *context, const char *name, const struct ext4_node *node, struct error *error),
    void *context, struct error *error);

#endif
