/* Writes an initramfs. */
#include "cli/initramfs.h"

#include <string.h>
#include <sys/stat.h>

struct entry {
    const char *path;
    unsigned mode, major, minor;
    const void *data;
    size_t size;
};

static void pad(struct buffer *out)
{
    while (out->size % 4)
        buffer_put_u8(out, 0);
}

static void add(struct initramfs *initramfs, const struct entry *entry)
{
    struct buffer *out = &initramfs->archive;
    size_t name = strlen(entry->path) + 1;
    unsigned links = S_ISDIR(entry->mode) ? 2 : 1;
    buffer_printf(out, "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x",
        ++initramfs->entries, entry->mode, 0u, 0u, links, 0u, entry->size, 0u, 0u, entry->major,
        entry->minor, name, 0u);
    buffer_put(out, entry->path, name);
    pad(out);
    buffer_put(out, entry->data, entry->size);
    pad(out);
}

void initramfs_add_folder(struct initramfs *initramfs, const char *path)
{
    add(initramfs, &(struct entry){.path = path, .mode = S_IFDIR | 0755});
}

void initramfs_add_file(
    struct initramfs *initramfs, const char *path, unsigned mode, const void *data, size_t size)
{
    add(initramfs,
        &(struct entry){.path = path, .mode = S_IFREG | mode, .data = data, .size = size});
}

void initramfs_add_console(struct initramfs *initramfs)
{
    add(initramfs,
        &(struct entry){.path = "dev/console", .mode = S_IFCHR | 0600, .major = 5, .minor = 1});
}

void initramfs_end(struct initramfs *initramfs)
{
    add(initramfs, &(struct entry){.path = "TRAILER!!!"});
}
