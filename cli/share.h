/*
 * Copies a folder of a machine's disk to the host: what --share does when the guest has ended. The
 * disk is the guest's, and so is every name in it: nothing is made but plain files and folders
 * below the folder that the user named, no link is followed or made, no mode beyond rwx is kept.
 */
#ifndef CLI_SHARE_H
#define CLI_SHARE_H

#include "base/error.h"

struct disk;

struct share {
    const char *path;  /* as the user named it */
    int folder;        /* open */
    unsigned left_out; /* links, devices, sockets, names that no file may have */
    char example[256]; /* one of those */
};

/* Makes the folder if it is not there, and opens it. */
int share_open(struct share *share, const char *path, struct error *error);
/* Copies `from`, a folder in the file system on the disk. What is there already is replaced file by
 * file. */
int share_copy(struct share *share, const struct disk *disk, const char *from, struct error *error);
void share_close(struct share *share);

#endif
