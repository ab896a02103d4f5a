/* Copies a folder of a machine's disk to the host. */
#include "cli/share.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/disk_files.h"
#include "vmm/storage/ext4.h"

enum { DEPTH_MAX = 64, BLOCK = 4096 };

struct copy {
    struct share *share;
    struct ext4 *ext4;
    uint8_t *seen; /* a bit for each folder's inode: one in itself is copied once */
    int into;      /* the host's folder */
    unsigned depth;
};

int share_open(struct share *share, const char *path, struct error *error)
{
    *share = (struct share){.path = path, .folder = -1};
    if (mkdir(path, 0777) < 0 && errno != EEXIST)
        return error_set_errno(error, "--share %s", path);
    share->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return share->folder < 0 ? error_set_errno(error, "--share %s", path) : 0;
}

void share_close(struct share *share)
{
    if (share->folder >= 0)
        close(share->folder);
    share->folder = -1;
}

/* ---- One file ---- */

struct output {
    int fd;
    uint64_t size;
};

/* Holes stay holes, so that a file that says it is large takes no room. */
static int put(void *context, const uint8_t *data, size_t size, struct error *error)
{
    static const uint8_t zeros[BLOCK];
    struct output *output = context;
    for (size_t done = 0; done < size;) {
        size_t piece = size - done < BLOCK ? size - done : BLOCK;
        if (memcmp(data + done, zeros, piece) != 0 &&
            pwrite(output->fd, data + done, piece, (off_t)output->size) != (ssize_t)piece)
            return error_set_errno(error, "writing");
        output->size += piece;
        done += piece;
    }
    return 0;
}

/* Made anew: what had the name may be a link, or open elsewhere. */
static int copy_file(
    struct copy *copy, const char *name, const struct ext4_node *node, struct error *error)
{
    struct output output = {.size = 0};
    if (unlinkat(copy->into, name, 0) < 0 && errno != ENOENT)
        return error_set_errno(error, "%s", name);
    output.fd =
        openat(copy->into, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, node->mode);
    if (output.fd < 0)
        return error_set_errno(error, "%s", name);
    int result = ext4_read(copy->ext4, node, put, &output, error);
    if (result == 0 && ftruncate(output.fd, (off_t)output.size) < 0)
        result = error_set_errno(error, "writing");
    if (close(output.fd) < 0 && result == 0)
        result = error_set_errno(error, "writing");
    return result;
}

/* ---- Folders ---- */

static bool is_name(const char *name)
{
    for (const char *at = name; *at; at++) {
        if (*at == '/' || (unsigned char)*at < 0x20 || *at == 0x7f)
            return false;
    }
    return true;
}

static int leave_out(struct share *share, const char *name)
{
    if (share->left_out++ == 0)
        snprintf(share->example, sizeof share->example, "%s", name);
    return 0;
}

static bool see_first(struct copy *copy, uint32_t inode)
{
    uint8_t *byte = &copy->seen[inode / 8], bit = (uint8_t)(1u << inode % 8);
    bool first = !(*byte & bit);
    *byte |= bit;
    return first;
}

static int copy_entry(
    void *context, const char *name, const struct ext4_node *node, struct error *error);

static int copy_folder(
    struct copy *copy, const char *name, const struct ext4_node *node, struct error *error)
{
    struct copy below = *copy;
    if (copy->depth == DEPTH_MAX || !see_first(copy, node->inode))
        return leave_out(copy->share, name);
    if (mkdirat(copy->into, name, 0777) < 0 && errno != EEXIST)
        return error_set_errno(error, "%s", name);
    below.into = openat(copy->into, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    below.depth++;
    if (below.into < 0)
        return error_set_errno(error, "%s", name);
    int result = ext4_list(copy->ext4, node, copy_entry, &below, error);
    close(below.into);
    return result;
}

static int copy_entry(
    void *context, const char *name, const struct ext4_node *node, struct error *error)
{
    struct copy *copy = context;
    if (!is_name(name) || node->type == EXT4_OTHER)
        return leave_out(copy->share, name);
    if (node->type == EXT4_FOLDER)
        return copy_folder(copy, name, node, error);
    return copy_file(copy, name, node, error) < 0 ? error_prefix(error, "%s", name) : 0;
}

static int copy_all(struct copy *copy, const char *from, struct error *error)
{
    struct ext4_node node;
    if (ext4_find(copy->ext4, from, &node, error) < 0)
        return -1;
    if (node.type != EXT4_FOLDER)
        return error_set(error, "%s is no folder any more", from);
    see_first(copy, node.inode);
    return ext4_list(copy->ext4, &node, copy_entry, copy, error);
}

int share_copy(struct share *share, const struct disk *disk, const char *from, struct error *error)
{
    struct ext4_source source = disk_files_source(disk);
    struct copy copy = {.share = share, .into = share->folder};
    copy.ext4 = ext4_open(&source, error);
    if (!copy.ext4)
        return error_prefix(error, "--share %s", share->path);
    copy.seen = calloc(ext4_inodes(copy.ext4) / 8 + 1, 1);
    int result = copy.seen ? copy_all(&copy, from, error) : error_set(error, "out of memory");
    free(copy.seen);
    ext4_close(copy.ext4);
    return result < 0 ? error_prefix(error, "--share %s", share->path) : 0;
}
