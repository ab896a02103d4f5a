/* Raw image files. */
#include "vmm/host/block/raw.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/host/block/overlay.h"

struct raw_file {
    char *path;
    int descriptor;
    bool regular;
    bool writable;
    uint64_t sectors;
    struct overlay *overlay; /* NULL unless a snapshot */
    struct error error;
};

static int transfer_in(struct raw_file *file, uint64_t lba, uint32_t count, uint8_t *data)
{
    uint64_t at = lba * BLOCK_SECTOR, left = (uint64_t)count * BLOCK_SECTOR;
    while (left) {
        ssize_t got = pread(file->descriptor, data, left, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_errno(
                &file->error, "%s: cannot read sector %" PRIu64, file->path, lba);
        if (got == 0)
            return error_set(&file->error,
                "%s: ends before sector %" PRIu64 ": the file was cut short while in use",
                file->path, lba + count);
        data += got;
        at += (uint64_t)got;
        left -= (uint64_t)got;
    }
    return 0;
}

static int raw_read(void *object, uint64_t lba, uint32_t count, uint8_t *data)
{
    struct raw_file *file = object;
    if (file->overlay && overlay_covers(file->overlay, lba, count)) {
        overlay_read(file->overlay, lba, count, data);
        return 0;
    }
    if (transfer_in(file, lba, count, data))
        return -1;
    if (file->overlay)
        overlay_read(file->overlay, lba, count, data);
    return 0;
}

static int transfer_out(struct raw_file *file, uint64_t at, uint64_t left, const uint8_t *data)
{
    while (left) {
        ssize_t put = pwrite(file->descriptor, data, left, (off_t)at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return error_set_errno(
                &file->error, "%s: cannot write sector %" PRIu64, file->path, at / BLOCK_SECTOR);
        data += put;
        at += (uint64_t)put;
        left -= (uint64_t)put;
    }
    return 0;
}

static bool all_zero(const uint8_t *data, size_t bytes)
{
    return data[0] == 0 && memcmp(data, data + 1, bytes - 1) == 0;
}

static bool is_hole(const struct raw_file *file, uint64_t at, uint64_t bytes)
{
    off_t data = lseek(file->descriptor, (off_t)at, SEEK_DATA);
    return data < 0 ? errno == ENXIO : (uint64_t)data >= at + bytes;
}

/* A write after the end would silently grow a file that was cut short. */
static int check_writable(struct raw_file *file, uint64_t end)
{
    struct stat status;
    if (!file->writable)
        return error_set(&file->error, "%s: opened for reading only", file->path);
    if (!file->regular)
        return 0;
    if (fstat(file->descriptor, &status))
        return error_set_errno(&file->error, "%s", file->path);
    if ((uint64_t)status.st_size < end)
        return error_set(&file->error, "%s: the file was cut short while in use", file->path);
    return 0;
}

static int raw_write(void *object, uint64_t lba, uint32_t count, const uint8_t *data)
{
    struct raw_file *file = object;
    uint64_t at = lba * BLOCK_SECTOR, bytes = (uint64_t)count * BLOCK_SECTOR;
    if (file->overlay)
        return overlay_write(file->overlay, lba, count, data, &file->error);
    if (check_writable(file, at + bytes))
        return -1;
    if (file->regular && all_zero(data, bytes) && is_hole(file, at, bytes))
        return 0;
    return transfer_out(file, at, bytes, data);
}

static int raw_zero(void *object, uint64_t lba, uint32_t count)
{
    static const uint8_t zeroes[64 * 1024];
    struct raw_file *file = object;
    uint64_t at = lba * BLOCK_SECTOR, left = (uint64_t)count * BLOCK_SECTOR;
    if (file->overlay)
        return overlay_write(file->overlay, lba, count, NULL, &file->error);
    if (check_writable(file, at + left))
        return -1;
    if (fallocate(file->descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at,
            (off_t)left) == 0)
        return 0;
    while (left) {
        uint64_t part = left < sizeof zeroes ? left : sizeof zeroes;
        if (transfer_out(file, at, part, zeroes))
            return -1;
        at += part;
        left -= part;
    }
    return 0;
}

static int raw_flush(void *object)
{
    struct raw_file *file = object;
    if (file->overlay || !file->writable)
        return 0;
    if (fdatasync(file->descriptor))
        return error_set_errno(&file->error, "%s: cannot flush", file->path);
    return 0;
}

static uint64_t raw_size(const void *object)
{
    return ((const struct raw_file *)object)->sectors;
}

static const struct raid_member_ops raw_ops = {
    .read = raw_read,
    .write = raw_write,
    .zero = raw_zero,
    .flush = raw_flush,
    .size = raw_size,
};

static int open_file(struct raw_file *file, const struct raw_options *options, struct error *error)
{
    struct stat status;
    bool writing = !options->snapshot && !options->read_only;
    file->descriptor = open(file->path, (writing ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (file->descriptor < 0 && writing && (errno == EACCES || errno == EROFS || errno == EPERM))
        return error_set(error,
            "%s: cannot be written: make it writable, or use snapshot=on to leave it unchanged",
            file->path);
    if (file->descriptor < 0)
        return error_set_errno(error, "%s", file->path);
    if (fstat(file->descriptor, &status))
        return error_set_errno(error, "%s", file->path);
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
        return error_set(error, "%s: neither a file nor a block device", file->path);
    off_t end = lseek(file->descriptor, 0, SEEK_END);
    if (end < 0)
        return error_set_errno(error, "%s", file->path);
    if (!options->read_only && flock(file->descriptor, (writing ? LOCK_EX : LOCK_SH) | LOCK_NB)) {
        if (errno == EWOULDBLOCK)
            return error_set(error, "%s: in use, by another run or as another disk", file->path);
        return error_set_errno(error, "%s: cannot be locked", file->path);
    }
    file->regular = S_ISREG(status.st_mode);
    file->writable = writing;
    file->sectors = (uint64_t)end / BLOCK_SECTOR;
    if (file->sectors == 0)
        return error_set(error, "%s: empty: an image has at least one sector", file->path);
    return 0;
}

struct raw_file *raw_open(const char *path, const struct raw_options *options, struct error *error)
{
    struct raw_file *file = calloc(1, sizeof *file);
    if (!file) {
        error_set(error, "%s: out of memory", path);
        return NULL;
    }
    file->descriptor = -1;
    file->path = strdup(path);
    if (!file->path) {
        error_set(error, "%s: out of memory", path);
        goto fail;
    }
    if (open_file(file, options, error))
        goto fail;
    if (options->snapshot) {
        file->overlay = overlay_create(file->sectors);
        if (!file->overlay) {
            error_set(error, "%s: out of memory", path);
            goto fail;
        }
    }
    return file;
fail:
    raw_close(file);
    return NULL;
}

static int refuse_existing(const char *path, struct error *error)
{
    return error_set(error, "%s: exists already: remove it, or use --force to overwrite it", path);
}

int raw_make_check(const char *path, bool replace, struct error *error)
{
    struct stat status;
    if (stat(path, &status))
        return errno == ENOENT ? 0 : error_set_errno(error, "%s", path);
    if (!replace)
        return refuse_existing(path, error);
    if (!S_ISREG(status.st_mode))
        return error_set(error, "%s: not a regular file: it cannot be given a size", path);
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    if (descriptor < 0)
        return error_set_errno(error, "%s", path);
    int result = 0;
    if (flock(descriptor, LOCK_EX | LOCK_NB))
        result = error_set(error, "%s: in use", path);
    close(descriptor);
    return result;
}

bool raw_same(const char *path, const char *other)
{
    struct stat a, b;
    if (strcmp(path, other) == 0)
        return true;
    return stat(path, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

int raw_make(const char *path, uint64_t sectors, bool replace, struct error *error)
{
    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | (replace ? 0 : O_EXCL), 0666);
    if (descriptor < 0 && errno == EEXIST)
        return refuse_existing(path, error);
    if (descriptor < 0)
        return error_set_errno(error, "%s", path);
    int result = 0;
    if (flock(descriptor, LOCK_EX | LOCK_NB))
        result = error_set(error, "%s: in use", path);
    else if (ftruncate(descriptor, 0) || ftruncate(descriptor, (off_t)(sectors * BLOCK_SECTOR)))
        result = error_set_errno(error, "%s: cannot be given its size", path);
    if (close(descriptor) && result == 0)
        result = error_set_errno(error, "%s", path);
    return result;
}

void raw_close(struct raw_file *file)
{
    if (!file)
        return;
    if (file->descriptor >= 0)
        close(file->descriptor);
    overlay_destroy(file->overlay);
    free(file->path);
    free(file);
}

struct raid_member raw_member(struct raw_file *file)
{
    return (struct raid_member){.ops = &raw_ops, .object = file};
}

const char *raw_error(const struct raw_file *file)
{
    return file->error.text;
}
