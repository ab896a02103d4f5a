/* Reads ext4 file systems. */
#include "vmm/storage/ext4.h"

#ifdef HINDSIGHT_EXT4

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ext2fs/ext2fs.h>

enum { SECTOR = 512, BLOCK_LIMIT = 65536, LINKS_FOLLOWED = 8, PATH_LIMIT = 4096 };

struct ext4 {
    const struct ext4_source *source;
    ext2_filsys fs;
    struct error failure; /* why the source could not give a sector; empty: none was asked for */
};

/* ---- The library's way to its disk ---- */

static struct ext4 *owner(io_channel channel)
{
    return channel->private_data;
}

static errcode_t channel_read(io_channel channel, unsigned long long block, int count, void *data)
{
    struct ext4 *ext4 = owner(channel);
    /* A negative count is one of bytes. */
    uint64_t bytes =
        count < 0 ? (uint64_t) - (int64_t)count : (uint64_t)count * (uint64_t)channel->block_size;
    uint64_t sector, size = ext4->source->sectors * SECTOR, start;
    if (__builtin_mul_overflow(block, (unsigned long long)channel->block_size, &start) ||
        start > size || bytes > size - start || start % SECTOR)
        return EXT2_ET_SHORT_READ;
    uint8_t tail[SECTOR];
    sector = start / SECTOR;
    uint32_t whole = (uint32_t)(bytes / SECTOR), rest = (uint32_t)(bytes % SECTOR);
    const struct ext4_source *source = ext4->source;
    if (whole && source->read(source->context, sector, whole, data, &ext4->failure) < 0)
        return EXT2_ET_SHORT_READ;
    if (rest && source->read(source->context, sector + whole, 1, tail, &ext4->failure) < 0)
        return EXT2_ET_SHORT_READ;
    memcpy((uint8_t *)data + (size_t)whole * SECTOR, tail, rest);
    return 0;
}

static errcode_t channel_read_short(io_channel channel, unsigned long block, int count, void *data)
{
    return channel_read(channel, block, count, data);
}

static errcode_t channel_write(io_channel channel, unsigned long block, int count, const void *data)
{
    (void)channel, (void)block, (void)count, (void)data;
    return EXT2_ET_RO_FILSYS;
}

static errcode_t channel_set_block(io_channel channel, int size)
{
    if (size < SECTOR || size > BLOCK_LIMIT)
        return EXT2_ET_INVALID_ARGUMENT;
    channel->block_size = size;
    return 0;
}

static errcode_t channel_flush(io_channel channel)
{
    (void)channel;
    return 0;
}

static errcode_t channel_close(io_channel channel)
{
    if (--channel->refcount == 0) {
        free(channel->name);
        free(channel);
    }
    return 0;
}

static errcode_t channel_open(const char *name, int flags, io_channel *result);

static struct struct_io_manager manager = {
    .magic = EXT2_ET_MAGIC_IO_MANAGER,
    .name = "hindsight",
    .open = channel_open,
    .close = channel_close,
    .set_blksize = channel_set_block,
    .read_blk = channel_read_short,
    .read_blk64 = channel_read,
    .write_blk = channel_write,
    .flush = channel_flush,
};

/* The library has nothing but a name to hand over: it is the address of the struct. */
static errcode_t channel_open(const char *name, int flags, io_channel *result)
{
    void *address;
    (void)flags;
    if (sscanf(name, "%p", &address) != 1)
        return EXT2_ET_BAD_DEVICE_NAME;
    io_channel channel = calloc(1, sizeof *channel);
    if (!channel || !(channel->name = strdup(name))) {
        free(channel);
        return EXT2_ET_NO_MEMORY;
    }
    channel->magic = EXT2_ET_MAGIC_IO_CHANNEL;
    channel->manager = &manager;
    channel->block_size = 1024;
    channel->refcount = 1;
    channel->private_data = address;
    *result = channel;
    return 0;
}

/* ---- ---- */

static int fail(struct ext4 *ext4, const char *what, errcode_t code, struct error *error)
{
    if (ext4->failure.text[0])
        return error_set(error, "%s: %s", what, ext4->failure.text);
    if (code == EXT2_ET_FILE_NOT_FOUND)
        return error_set(error, "%s: there is no such file", what);
    return error_set(error, "%s: %s", what, error_message(code));
}

bool ext4_available(void)
{
    return true;
}

struct ext4 *ext4_open(const struct ext4_source *source, struct error *error)
{
    char name[32];
    struct ext4 *ext4 = calloc(1, sizeof *ext4);
    if (!ext4) {
        error_set(error, "out of memory");
        return NULL;
    }
    initialize_ext2_error_table();
    ext4->source = source;
    snprintf(name, sizeof name, "%p", (void *)ext4);
    /* A disk that was not unmounted has features and checksums as they happened to be. */
    errcode_t code = ext2fs_open(name,
        EXT2_FLAG_64BITS | EXT2_FLAG_IGNORE_CSUM_ERRORS | EXT2_FLAG_SOFTSUPP_FEATURES, 0, 0,
        &manager, &ext4->fs);
    if (code == 0 &&
        ext2fs_blocks_count(ext4->fs->super) > source->sectors * SECTOR / ext4->fs->blocksize)
        code = EXT2_ET_CORRUPT_SUPERBLOCK;
    if (code == 0 && ext4->fs->super->s_inodes_count > source->sectors * SECTOR / 128)
        code = EXT2_ET_CORRUPT_SUPERBLOCK;
    if (code == 0)
        return ext4;
    fail(ext4, "no ext4 file system", code, error);
    ext4_close(ext4);
    return NULL;
}

void ext4_close(struct ext4 *ext4)
{
    if (ext4 && ext4->fs)
        ext2fs_free(ext4->fs);
    free(ext4);
}

uint32_t ext4_inodes(const struct ext4 *ext4)
{
    return ext4->fs->super->s_inodes_count;
}

static int describe(struct ext4 *ext4, const char *name, ext2_ino_t number, struct ext4_node *node,
    struct error *error)
{
    struct ext2_inode inode;
    errcode_t code = ext2fs_read_inode(ext4->fs, number, &inode);
    if (code == 0 && (number == 0 || number > ext4->fs->super->s_inodes_count))
        code = EXT2_ET_BAD_INODE_NUM;
    if (code)
        return fail(ext4, name, code, error);
    *node = (struct ext4_node){.inode = number,
        .mode = inode.i_mode & 0777u,
        .size = EXT2_I_SIZE(&inode),
        .type = LINUX_S_ISREG(inode.i_mode)   ? EXT4_FILE
                : LINUX_S_ISDIR(inode.i_mode) ? EXT4_FOLDER
                                              : EXT4_OTHER};
    return 0;
}

int ext4_find(struct ext4 *ext4, const char *path, struct ext4_node *node, struct error *error)
{
    ext2_ino_t number;
    if (strlen(path) > PATH_LIMIT)
        return error_set(error, "the path is too long");
    errcode_t code = ext2fs_namei_follow(ext4->fs, EXT2_ROOT_INO, EXT2_ROOT_INO, path, &number);
    return code ? fail(ext4, path, code, error) : describe(ext4, path, number, node, error);
}

int ext4_read(struct ext4 *ext4, const struct ext4_node *node,
    int (*put)(void *context, const uint8_t *data, size_t size, struct error *error), void *context,
    struct error *error)
{
    static const size_t piece = 64 << 10;
    uint8_t *data = malloc(piece);
    ext2_file_t file = NULL;
    errcode_t code = data ? ext2fs_file_open(ext4->fs, node->inode, 0, &file) : EXT2_ET_NO_MEMORY;
    int result = 0;
    while (code == 0 && result == 0) {
        unsigned got = 0;
        code = ext2fs_file_read(file, data, (unsigned)piece, &got);
        if (code == 0 && got == 0)
            break;
        if (code == 0)
            result = put(context, data, got, error);
    }
    if (file)
        ext2fs_file_close(file);
    free(data);
    return code ? fail(ext4, "the file cannot be read", code, error) : result;
}

int ext4_read_at(struct ext4 *ext4, const struct ext4_node *node, uint64_t offset, uint8_t *data,
    size_t size, struct error *error)
{
    ext2_file_t file = NULL;
    unsigned got = 0;
    memset(data, 0, size);
    errcode_t code = ext2fs_file_open(ext4->fs, node->inode, 0, &file);
    code = code ? code : ext2fs_file_llseek(file, offset, EXT2_SEEK_SET, NULL);
    code = code ? code : ext2fs_file_read(file, data, (unsigned)size, &got);
    if (file)
        ext2fs_file_close(file);
    return code ? fail(ext4, "the file cannot be read", code, error) : 0;
}

/* ---- Folders ---- */

struct listing {
    struct ext4 *ext4;
    int (*see)(void *context, const char *name, const struct ext4_node *node, struct error *error);
    void *context;
    struct error *error;
    int result;
};

static int see_entry(ext2_ino_t folder, int kind, struct ext2_dir_entry *entry, int offset,
    int block_size, char *block, void *private_data)
{
    struct listing *listing = private_data;
    struct ext4_node node;
    char name[EXT2_NAME_LEN + 1];
    int length = ext2fs_dirent_name_len(entry);
    (void)folder, (void)offset, (void)block_size, (void)block;
    memcpy(name, entry->name, (size_t)length);
    name[length] = '\0';
    if (kind == DIRENT_DOT_FILE || kind == DIRENT_DOT_DOT_FILE || !name[0] ||
        strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return 0;
    listing->result = describe(listing->ext4, name, entry->inode, &node, listing->error);
    if (listing->result < 0 && !listing->ext4->failure.text[0]) {
        node = (struct ext4_node){.inode = entry->inode, .type = EXT4_OTHER};
        listing->result = 0;
    }
    if (listing->result == 0)
        listing->result = listing->see(listing->context, name, &node, listing->error);
    return listing->result < 0 ? DIRENT_ABORT : 0;
}

int ext4_list(struct ext4 *ext4, const struct ext4_node *folder,
    int (*see)(void *context, const char *name, const struct ext4_node *node, struct error *error),
    void *context, struct error *error)
{
    struct listing listing = {ext4, see, context, error, 0};
    errcode_t code = ext2fs_dir_iterate2(ext4->fs, folder->inode, 0, NULL, see_entry, &listing);
    if (listing.result < 0)
        return -1;
    return code ? fail(ext4, "the folder cannot be read", code, error) : 0;
}

#else

bool ext4_available(void)
{
    return false;
}

struct ext4 *ext4_open(const struct ext4_source *source, struct error *error)
{
    (void)source;
    error_set(error, "this hindsight was built without e2fsprogs' library (libext2fs), which reads "
                     "ext4");
    return NULL;
}

void ext4_close(struct ext4 *ext4)
{
    (void)ext4;
}

int ext4_find(struct ext4 *ext4, const char *path, struct ext4_node *node, struct error *error)
{
    (void)ext4, (void)path, (void)node;
    return error_set(error, "no ext4");
}

uint32_t ext4_inodes(const struct ext4 *ext4)
{
    (void)ext4;
    return 0;
}

int ext4_read(struct ext4 *ext4, const struct ext4_node *node,
    int (*put)(void *context, const uint8_t *data, size_t size, struct error *error), void *context,
    struct error *error)
{
    (void)ext4, (void)node, (void)put, (void)context;
    return error_set(error, "no ext4");
}

int ext4_read_at(struct ext4 *ext4, const struct ext4_node *node, uint64_t offset, uint8_t *data,
    size_t size, struct error *error)
{
    (void)ext4, (void)node, (void)offset, (void)data, (void)size;
    return error_set(error, "no ext4");
}

int ext4_list(struct ext4 *ext4, const struct ext4_node *folder,
    int (*see)(void *context, const char *name, const struct ext4_node *node, struct error *error),
    void *context, struct error *error)
{
    (void)ext4, (void)folder, (void)see, (void)context;
    return error_set(error, "no ext4");
}

#endif
