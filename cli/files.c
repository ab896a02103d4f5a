/* Files of the host that subcommands make and take away. */
#include "cli/files.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

void files_remove_tree(const char *path)
{
    char *const paths[] = {(char *)(uintptr_t)path, NULL};
    FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    for (FTSENT *entry; walk && (entry = fts_read(walk));) {
        if (entry->fts_info == FTS_D)
            chmod(entry->fts_path, 0700); /* an archive may hold folders that cannot be entered */
        else if (entry->fts_info == FTS_DP || entry->fts_info == FTS_DNR)
            rmdir(entry->fts_path);
        else
            unlink(entry->fts_path);
    }
    if (walk)
        fts_close(walk);
}

int files_read(const char *path, struct buffer *content, struct error *error)
{
    enum { PIECE = 1 << 16 };
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : 1;
    while (got > 0) {
        uint8_t *room = buffer_extend(content, PIECE);
        if (!room) {
            close(fd);
            return error_set(error, "%s: too large to be read into memory", path);
        }
        got = read(fd, room, PIECE);
        content->size -= (size_t)(PIECE - (got > 0 ? got : 0));
    }
    if (got < 0)
        error_set_errno(error, "%s", path);
    if (fd >= 0)
        close(fd);
    return got < 0 ? -1 : 0;
}

int files_write(const char *path, const void *data, size_t size, struct error *error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    const char *at = data;
    bool failed = fd < 0;
    while (!failed && size) {
        ssize_t put = write(fd, at, size);
        failed = put < 0 && errno != EINTR;
        at += put > 0 ? put : 0;
        size -= put > 0 ? (size_t)put : 0;
    }
    if (failed)
        error_set_errno(error, "%s", path);
    if (fd >= 0 && close(fd) < 0 && !failed)
        return error_set_errno(error, "%s", path);
    return failed ? -1 : 0;
}
