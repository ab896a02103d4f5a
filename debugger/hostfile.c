/* Opens files of the host for the debugger. */
#include "debugger/hostfile.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

FILE *hostfile_open(const char *path, struct error *error)
{
    struct stat status;
    /* Asked first, because opening some devices already does something. */
    if (stat(path, &status) < 0) {
        error_set_errno(error, "%s", path);
        return NULL;
    }
    int fd = -1;
    if (S_ISREG(status.st_mode)) {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0) {
            error_set_errno(error, "%s", path);
            return NULL;
        }
    }
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        error_set(error, "%s: not a regular file", path);
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    FILE *file = fdopen(fd, "r");
    if (!file) {
        error_set(error, "%s: out of memory", path);
        close(fd);
    }
    return file;
}

static bool lies_under(const char *folder, const char *path)
{
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 &&
           (path[length] == '/' || (length && folder[length - 1] == '/'));
}

FILE *hostfile_open_under(const char *folder, const char *name)
{
    char real[PATH_MAX], path[PATH_MAX], found[PATH_MAX];
    if (!realpath(folder, real))
        return NULL;
    for (const char *tail = name; tail; tail = strchr(tail, '/')) {
        tail += strspn(tail, "/");
        if (!*tail || snprintf(path, sizeof path, "%s/%s", real, tail) >= (int)sizeof path)
            continue;
        if (!realpath(path, found) || !lies_under(real, found))
            continue;
        FILE *file = hostfile_open(found, NULL);
        if (file)
            return file;
    }
    return NULL;
}
