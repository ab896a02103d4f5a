/* Refuses a command line on which one file has two roles. */
#include "cli/roles.h"

#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/* What makes two paths the same file. */
struct identity {
    bool known;
    struct stat status;      /* of the file, or of the folder it would be in */
    char name[NAME_MAX + 1]; /* empty for a file that exists */
};

void roles_add(struct file_roles *roles, const char *role, const char *path, bool written)
{
    if (path && roles->count < ROLES_MAX)
        roles->role[roles->count++] =
            (struct file_role){.role = role, .path = path, .written = written};
}

static void identify(const char *path, struct identity *identity)
{
    char folder[PATH_MAX], name[PATH_MAX];
    *identity = (struct identity){0};
    if (stat(path, &identity->status) == 0) {
        /* A terminal, /dev/null or a pipe may well be several things at once. */
        identity->known = S_ISREG(identity->status.st_mode) || S_ISBLK(identity->status.st_mode);
        return;
    }
    if (strlen(path) >= sizeof folder)
        return;
    strcpy(folder, path);
    strcpy(name, path);
    const char *last = basename(name);
    if (strlen(last) >= sizeof identity->name || stat(dirname(folder), &identity->status) < 0)
        return;
    strcpy(identity->name, last);
    identity->known = true;
}

static bool same(const struct identity *a, const struct identity *b)
{
    if (!a->known || !b->known || strcmp(a->name, b->name) != 0)
        return false;
    if (!a->name[0] && S_ISBLK(a->status.st_mode))
        return S_ISBLK(b->status.st_mode) && a->status.st_rdev == b->status.st_rdev;
    return a->status.st_dev == b->status.st_dev && a->status.st_ino == b->status.st_ino;
}

int roles_check(const struct file_roles *roles, struct error *error)
{
    for (unsigned i = 0; i < roles->count; i++) {
        const struct file_role *first = &roles->role[i];
        struct identity identity;
        identify(first->path, &identity);
        for (unsigned j = i + 1; j < roles->count; j++) {
            const struct file_role *second = &roles->role[j];
            struct identity other;
            if (!first->written && !second->written)
                continue;
            identify(second->path, &other);
            if (same(&identity, &other))
                return error_set(error, "%s is named twice, by %s and by %s: it would be destroyed",
                    first->path, first->role, second->role);
        }
    }
    return 0;
}
