/*
 * A folder of the host, or what a tar archive holds, as a disk with an ext4 file system: made by
 * e2fsprogs' mke2fs, set right by its library.
 *
 * The same folder gives the same disk, whoever makes it and when: file systems' identities are
 * fixed, times are those of the files' contents. What belongs to the user who makes it is root's in
 * there, unless that user is root: then owners stay.
 */
#ifndef CLI_ROOT_IMAGE_H
#define CLI_ROOT_IMAGE_H

#include <stdint.h>

#include "base/error.h"

struct root_image {
    const char *source; /* a folder or a tar archive, compressed or not */
    const char *path;   /* the disk to make */
    const char *work;   /* a folder to unpack in */
    uint64_t size;      /* of the disk in bytes; 0: what is in it and 1 GiB */
    const char *folder; /* one more folder to be there, or NULL: "/share" */
};

int root_image_make(const struct root_image *image, struct error *error);

#endif
