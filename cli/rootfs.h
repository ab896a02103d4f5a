/*
 * A command in a root folder, instead of a machine: --root DIR|TAR -- COMMAND. Makes the two files
 * that such a machine is started with: a disk from the folder (cli/root_image.h), and an initramfs
 * of guest-init with the kernel's modules and the command.
 */
#ifndef CLI_ROOTFS_H
#define CLI_ROOTFS_H

#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { ROOTFS_VARIABLES = 64 };

struct rootfs {
    const char *root;    /* NULL: none was asked for */
    const char *share;   /* --share: where results go, or NULL */
    const char *folder;  /* --chdir */
    const char *modules; /* --modules */
    uint64_t size;       /* --root-size */
    const char *variable[ROOTFS_VARIABLES];
    unsigned variables;
    char *const *command; /* NULL-terminated */
    bool terminal;        /* somebody may type at the command */
    char device[16];      /* what the guest calls its disk */

    char kernel[PATH_MAX]; /* the one that scripts/fetch-linux.sh keeps, unless another is given */
    char work[PATH_MAX], disk[PATH_MAX], initrd[PATH_MAX]; /* what was made; empty: nothing */
};

#define ROOTFS_OPTIONS                                        \
    {"root", required_argument, NULL, ROOTFS_ROOT},           \
        {"share", required_argument, NULL, ROOTFS_SHARE},     \
        {"chdir", required_argument, NULL, ROOTFS_CHDIR},     \
        {"env", required_argument, NULL, ROOTFS_ENV},         \
        {"modules", required_argument, NULL, ROOTFS_MODULES}, \
    {                                                         \
        "root-size", required_argument, NULL, ROOTFS_SIZE     \
    }

enum { ROOTFS_ROOT = 2000, ROOTFS_SHARE, ROOTFS_CHDIR, ROOTFS_ENV, ROOTFS_MODULES, ROOTFS_SIZE };

/* Where the guest leaves what --share copies out. */
#define ROOTFS_SHARED "/share"
#define ROOTFS_MEMORY "256M" /* by default */

extern const char rootfs_help[];

/* One parsed option; 1: taken, 0: not one of these, -1: bad value. */
int rootfs_option(struct rootfs *rootfs, int option, const char *value, struct error *error);
/* The whole makes sense. `kernel` is --kernel or NULL. */
int rootfs_check(struct rootfs *rootfs, const char *kernel, struct error *error);
/* Makes the files in a new folder, in `folder` unless that is NULL. The machine has `disks` disks
 * before this one. */
int rootfs_make(struct rootfs *rootfs, unsigned disks, const char *folder, struct error *error);
/* The disk alone. */
int rootfs_make_disk(struct rootfs *rootfs, const char *folder, struct error *error);
/* What --disk is to have, and --append, after `append`, which the user gave. */
void rootfs_disk_option(const struct rootfs *rootfs, char *text, size_t size);
void rootfs_command_line(const char *append, char *text, size_t size);
/* Removes them; those that are open stay as long. */
void rootfs_remove(struct rootfs *rootfs);

#endif
