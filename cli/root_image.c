/* Makes the disk for a guest's root folder. */
#include "cli/root_image.h"

#ifdef HINDSIGHT_EXT4

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ext2fs/ext2fs.h>

#include "cli/files.h"
#include "cli/tool.h"

#define BLOCK      4096ull
#define FREE_SPACE (1ull << 30)
#define IDENTITY   "68696e64-7369-4768-8000-000000000001"
#define MADE_AT    1735689600 /* 2025-01-01 UTC: where no file says a time */

/* ---- How large ---- */

struct content {
    uint64_t blocks, files;
};

static int measure(const char *folder, struct content *content, struct error *error)
{
    char *const paths[] = {(char *)(uintptr_t)folder, NULL};
    FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    int result = walk ? 0 : error_set_errno(error, "%s", folder);
    for (FTSENT *entry; result == 0 && (entry = fts_read(walk));) {
        if (entry->fts_info == FTS_ERR || entry->fts_info == FTS_DNR || entry->fts_info == FTS_NS) {
            errno = entry->fts_errno;
            result = error_set_errno(error, "%s", entry->fts_path);
        } else if (entry->fts_info != FTS_DP) {
            content->files++;
            content->blocks += 1 + (uint64_t)entry->fts_statp->st_size / BLOCK;
        }
    }
    if (walk)
        fts_close(walk);
    return result;
}

/* ---- e2fsprogs' programs ---- */

static int unpack(const char *archive, const char *folder, struct error *error)
{
    /* Devices are the guest's own, and only root could make them here. */
    const char *const argv[] = {"tar", "--extract", "--file", archive, "--directory", folder,
        "--numeric-owner", "--preserve-permissions", "--exclude=dev/*", "--exclude=./dev/*", NULL};
    return tool_run(argv, NULL, error);
}

static int make_file_system(const struct root_image *image, const char *folder, struct error *error)
{
    struct content content = {0};
    char blocks[32], inodes[32];
    if (measure(folder, &content, error) < 0)
        return -1;
    uint64_t needed = content.blocks * BLOCK + content.files * 256;
    uint64_t size = image->size ? image->size : needed + needed / 16 + FREE_SPACE;
    if (size < needed)
        return error_set(error, "--root-size: %s needs at least %llu MiB", image->source,
            (unsigned long long)(needed >> 20) + 1);
    snprintf(blocks, sizeof blocks, "%llu", (unsigned long long)(size / BLOCK));
    snprintf(inodes, sizeof inodes, "%llu", 2ull * content.files + 4096 + size / (64 << 10));
    static const char extended[] =
        "hash_seed=" IDENTITY ",root_owner=0:0,lazy_itable_init=1,nodiscard";
    const char *const argv[] = {"mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-N",
        inodes, "-U", IDENTITY, "-O", "^has_journal,^resize_inode", "-E", extended, "-d", folder,
        image->path, blocks, NULL};
    static const char *const variables[] = {"E2FSPROGS_FAKE_TIME=1735689600", NULL};
    return tool_run(argv, variables, error);
}

/* ---- e2fsprogs' library ---- */

static int failed(
    const struct root_image *image, const char *what, errcode_t code, struct error *error)
{
    return error_set(error, "%s: %s: %s", image->path, what, error_message(code));
}

/* One file's owner and times. */
static void settle(struct ext2_inode_large *inode, uid_t user, gid_t group)
{
    struct ext2_inode *old = (struct ext2_inode *)inode;
    if (user != 0 && inode_uid(*old) == user) {
        old->i_uid = 0;
        ext2fs_set_i_uid_high(*old, 0);
    }
    if (user != 0 && inode_gid(*old) == group) {
        old->i_gid = 0;
        ext2fs_set_i_gid_high(*old, 0);
    }
    inode->i_atime = inode->i_mtime;
    inode->i_ctime = inode->i_mtime;
    inode->i_atime_extra = inode->i_mtime_extra;
    inode->i_ctime_extra = inode->i_mtime_extra;
    inode->i_crtime = MADE_AT;
    inode->i_crtime_extra = 0;
}

static errcode_t settle_all(ext2_filsys fs)
{
    ext2_inode_scan scan;
    errcode_t code = ext2fs_open_inode_scan(fs, 0, &scan);
    while (code == 0) {
        struct ext2_inode_large inode;
        ext2_ino_t number;
        code = ext2fs_get_next_inode_full(scan, &number, (struct ext2_inode *)&inode, sizeof inode);
        if (code || number == 0)
            break;
        if (inode.i_links_count == 0 ||
            (number != EXT2_ROOT_INO && number < EXT2_FIRST_INO(fs->super)))
            continue;
        settle(&inode, getuid(), getgid());
        code = ext2fs_write_inode_full(fs, number, (struct ext2_inode *)&inode, sizeof inode);
    }
    if (scan)
        ext2fs_close_inode_scan(scan);
    return code;
}

/* What a plain folder lacks, and what is mounted over. */
static errcode_t add_folder(ext2_filsys fs, const char *name, unsigned mode)
{
    ext2_ino_t number;
    struct ext2_inode inode;
    if (ext2fs_lookup(fs, EXT2_ROOT_INO, name, (int)strlen(name), NULL, &number) == 0)
        return 0;
    errcode_t code = ext2fs_mkdir(fs, EXT2_ROOT_INO, 0, name);
    if (code == EXT2_ET_DIR_NO_SPACE) {
        code = ext2fs_expand_dir(fs, EXT2_ROOT_INO);
        code = code ? code : ext2fs_mkdir(fs, EXT2_ROOT_INO, 0, name);
    }
    if (code == 0)
        code = ext2fs_lookup(fs, EXT2_ROOT_INO, name, (int)strlen(name), NULL, &number);
    if (code == 0)
        code = ext2fs_read_inode(fs, number, &inode);
    if (code)
        return code;
    inode.i_mode = (uint16_t)(LINUX_S_IFDIR | mode);
    inode.i_mtime = MADE_AT;
    return ext2fs_write_inode(fs, number, &inode);
}

static errcode_t add_folders(ext2_filsys fs, const char *extra)
{
    static const struct {
        const char *name;
        unsigned mode;
    } folders[] = {{"dev", 0755}, {"proc", 0755}, {"run", 0755}, {"sys", 0755}, {"tmp", 01777}};
    errcode_t code = 0;
    for (unsigned i = 0; code == 0 && i < sizeof folders / sizeof folders[0]; i++)
        code = add_folder(fs, folders[i].name, folders[i].mode);
    if (code == 0 && extra)
        code = add_folder(fs, extra + (*extra == '/'), 0777);
    return code;
}

static int set_right(const struct root_image *image, struct error *error)
{
    ext2_filsys fs;
    errcode_t code =
        ext2fs_open(image->path, EXT2_FLAG_RW | EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &fs);
    if (code)
        return failed(image, "cannot be opened", code, error);
    fs->now = MADE_AT;
    code = ext2fs_read_bitmaps(fs);
    code = code ? code : add_folders(fs, image->folder);
    code = code ? code : settle_all(fs);
    errcode_t closing = ext2fs_close_free(&fs);
    code = code ? code : closing;
    return code ? failed(image, "cannot be set right", code, error) : 0;
}

int root_image_make(const struct root_image *image, struct error *error)
{
    struct stat status;
    char unpacked[PATH_MAX];
    initialize_ext2_error_table();
    if (stat(image->source, &status) < 0)
        return error_set_errno(error, "--root %s", image->source);
    if (S_ISDIR(status.st_mode))
        return make_file_system(image, image->source, error) < 0 ? -1 : set_right(image, error);
    if (!S_ISREG(status.st_mode))
        return error_set(error, "--root %s: neither a folder nor an archive", image->source);
    snprintf(unpacked, sizeof unpacked, "%.4000s/unpacked", image->work);
    if (mkdir(unpacked, 0755) < 0)
        return error_set_errno(error, "%s", unpacked);
    int result = unpack(image->source, unpacked, error);
    if (result == 0)
        result = make_file_system(image, unpacked, error);
    files_remove_tree(unpacked);
    return result < 0 ? -1 : set_right(image, error);
}

#else

int root_image_make(const struct root_image *image, struct error *error)
{
    (void)image;
    return error_set(error, "--root: this hindsight was built without e2fsprogs' library "
                            "(libext2fs), which makes its disk");
}

#endif
