/*
 * The files of one command line and what each is for: one file in two roles is destroyed by one of
 * them, so that is refused before anything is opened.
 */
#ifndef CLI_ROLES_H
#define CLI_ROLES_H

#include <stdbool.h>

#include "base/error.h"

enum { ROLES_MAX = 128 };

struct file_role {
    const char *role; /* for the message: "--kernel" */
    const char *path;
    bool written; /* two roles that only read may share a file */
};

struct file_roles {
    struct file_role role[ROLES_MAX];
    unsigned count;
};

/* Adds one; a NULL path is passed over. Strings are borrowed. */
void roles_add(struct file_roles *roles, const char *role, const char *path, bool written);
/* -1 when a file that is written has another role: by device and inode, or, where it does not exist
 * yet, by name in the same folder. */
int roles_check(const struct file_roles *roles, struct error *error);

#endif
