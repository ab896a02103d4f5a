/* The file that a trace is written to. */
#include "traces/output.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_TRIES = 100 };

/* File systems without locks exist; that is no reason not to record on them. */
static int lock(int fd, const char *path, struct error *error)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return 0;
    return error_set(error, "%s: in use: another process is writing it", path);
}

static bool has_name(const struct trace_output *output, int fd)
{
    struct stat named, own;
    return fstatat(output->folder, output->target, &named, 0) == 0 && fstat(fd, &own) == 0 &&
           named.st_dev == own.st_dev && named.st_ino == own.st_ino;
}

/* Splits the path, links followed, into an open folder and a name in it. */
static int find_folder(struct trace_output *output, const char *path, struct error *error)
{
    char resolved[PATH_MAX];
    struct stat status;
    if (!realpath(path, resolved)) {
        if (errno != ENOENT || strlen(path) >= sizeof resolved)
            return error_set_errno(error, "cannot create the trace %s", path);
        if (lstat(path, &status) == 0)
            return error_set(error, "cannot create the trace %s: a link to nothing", path);
        strcpy(resolved, path);
    }
    char *copy = strdup(resolved);
    if (!copy)
        return error_set(error, "no memory to create the trace %s", path);
    output->target = strdup(basename(copy));
    strcpy(copy, resolved);
    output->folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int number = errno;
    free(copy);
    errno = number;
    if (output->folder < 0)
        return error_set_errno(error, "cannot create the trace %s: its folder", path);
    return output->target ? 0 : error_set(error, "no memory to create the trace %s", path);
}

static int open_fifo(struct trace_output *output, const char *path, struct error *error)
{
    output->fd = open(path, O_WRONLY | O_CLOEXEC);
    if (output->fd < 0)
        return error_set_errno(error, "cannot open the pipe %s", path);
    return lock(output->fd, path, error);
}

static int create_temporary(
    struct trace_output *output, const char *path, mode_t mode, struct error *error)
{
    for (int i = 0; i < NAME_TRIES; i++) {
        uint32_t number = 0;
        char *name;
        if (getrandom(&number, sizeof number, 0) < 0 ||
            asprintf(&name, ".%.200s.%08x.part", output->target, number) < 0)
            return error_set(error, "no memory to create the trace %s", path);
        output->fd =
            openat(output->folder, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (output->fd >= 0) {
            output->temporary = name;
            if (mode && fchmod(output->fd, mode) < 0)
                return error_set_errno(error, "cannot give %s its permissions", path);
            return lock(output->fd, path, error);
        }
        int failure = errno;
        free(name);
        errno = failure;
        if (errno != EEXIST)
            break;
    }
    return error_set_errno(error, "cannot create the trace %s", path);
}

/* The file that has the name now: open and locked, or none. */
static int hold_old(
    struct trace_output *output, const char *path, mode_t *mode, struct error *error)
{
    for (int i = 0; i < NAME_TRIES; i++) {
        int fd = openat(output->folder, output->target, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
        struct stat status;
        if (fd < 0)
            return errno == ENOENT ? 0 : error_set_errno(error, "cannot replace the file %s", path);
        output->replaced = fd;
        if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
            return error_set(error, "%s: not a regular file; a trace would not replace it", path);
        if (lock(fd, path, error) < 0)
            return -1;
        *mode = status.st_mode & 07777;
        if (has_name(output, fd))
            return 0;
        /* Somebody else's trace took the name between open and lock. */
        close(fd);
        output->replaced = -1;
    }
    return error_set(error, "%s: is replaced all the time by others", path);
}

static int open_beside(struct trace_output *output, const char *path, struct error *error)
{
    struct stat status;
    mode_t mode = 0;
    if (stat(path, &status) == 0) {
        if (S_ISFIFO(status.st_mode))
            return open_fifo(output, path, error);
        if (S_ISDIR(status.st_mode))
            return error_set(error, "cannot create the trace %s: it is a directory", path);
        if (!S_ISREG(status.st_mode))
            return error_set(
                error, "%s: a trace is written to a file or a FIFO, not to this", path);
    }
    if (find_folder(output, path, error) < 0 || hold_old(output, path, &mode, error) < 0)
        return -1;
    return create_temporary(output, path, mode, error);
}

int trace_output_open(struct trace_output *output, const char *path, struct error *error)
{
    *output = (struct trace_output){.fd = -1, .folder = -1, .replaced = -1};
    if (open_beside(output, path, error) == 0)
        return 0;
    trace_output_close(output, NULL);
    return -1;
}

int trace_output_sync(struct trace_output *output, struct error *error)
{
    /* A pipe has nothing to sync and says EINVAL. */
    if (output->fd < 0 || fdatasync(output->fd) == 0 || errno == EINVAL || errno == EROFS)
        return 0;
    return error_set_errno(error, "the trace cannot be made durable");
}

/* Only if nobody has taken the name: not every file system can do that in one step. */
static int rename_to_free_name(const struct trace_output *output)
{
    if (renameat2(output->folder, output->temporary, output->folder, output->target,
            RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (faccessat(output->folder, output->target, F_OK, 0) == 0) {
        errno = EEXIST;
        return -1;
    }
    return renameat(output->folder, output->temporary, output->folder, output->target);
}

int trace_output_publish(struct trace_output *output, struct error *error)
{
    if (!output->temporary)
        return 0;
    if (trace_output_sync(output, error) < 0)
        return -1;
    int result;
    if (output->replaced >= 0 && has_name(output, output->replaced))
        result = renameat(output->folder, output->temporary, output->folder, output->target);
    else
        result = rename_to_free_name(output);
    if (result < 0 && errno == EEXIST)
        return error_set(error, "%s: another process has created it meanwhile", output->target);
    if (result < 0)
        return error_set_errno(error, "%s: the trace cannot be given its name", output->target);
    free(output->temporary);
    output->temporary = NULL;
    if (output->replaced >= 0)
        close(output->replaced);
    output->replaced = -1;
    if (fsync(output->folder) < 0 && errno != EINVAL)
        return error_set_errno(error, "the folder of the trace cannot be made durable");
    return 0;
}

int trace_output_close(struct trace_output *output, struct error *error)
{
    int result = 0;
    if (output->temporary)
        unlinkat(output->folder, output->temporary, 0);
    if (output->fd >= 0 && close(output->fd))
        result = error_set_errno(error, "cannot finish writing the trace");
    if (output->replaced >= 0)
        close(output->replaced);
    if (output->folder >= 0)
        close(output->folder);
    free(output->temporary);
    free(output->target);
    *output = (struct trace_output){.fd = -1, .folder = -1, .replaced = -1};
    return result;
}
