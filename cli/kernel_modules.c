/* Finds the modules of a kernel. */
#include "cli/kernel_modules.h"

#include <fcntl.h>
#include <fts.h>
#include <libgen.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Each after those that it uses. */
static const char *const wanted[] = {"virtio_ring", "virtio", "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev", "virtio_pci", "virtio_blk", "virtio-rng", "crc16", "crc32c_generic",
    "libcrc32c", "mbcache", "jbd2", "ext4"};
enum { WANTED = sizeof wanted / sizeof wanted[0] };
_Static_assert((int)WANTED <= (int)KERNEL_MODULES_MAX, "all of them have a place");

/* The header of a bzImage points to its version's text (Documentation/arch/x86/boot.rst). */
static bool read_release(const char *kernel, char release[128])
{
    enum { HEADER = 0x202, VERSION_POINTER = 0x20e, START = 0x200 };
    uint8_t magic[4];
    uint16_t pointer;
    int fd = open(kernel, O_RDONLY | O_CLOEXEC);
    ssize_t got = -1;
    if (fd >= 0 && pread(fd, magic, 4, HEADER) == 4 && memcmp(magic, "HdrS", 4) == 0 &&
        pread(fd, &pointer, 2, VERSION_POINTER) == 2)
        got = pread(fd, release, 127, START + pointer);
    if (fd >= 0)
        close(fd);
    if (got <= 0)
        return false;
    release[got] = '\0';
    release[strcspn(release, " ")] = '\0';
    return release[0] && release[0] != '.' && !strchr(release, '/');
}

static bool is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static void choose_folder(struct kernel_modules *modules, const char *kernel)
{
    char copy[PATH_MAX], release[128];
    if (strlen(kernel) < sizeof copy) {
        strcpy(copy, kernel);
        snprintf(modules->folder, sizeof modules->folder, "%.4000s/modules", dirname(copy));
        if (is_folder(modules->folder))
            return;
    }
    modules->folder[0] = '\0';
    if (!read_release(kernel, release))
        return;
    snprintf(modules->folder, sizeof modules->folder, "/lib/modules/%s", release);
    if (!is_folder(modules->folder))
        modules->folder[0] = '\0';
}

/* "virtio_blk.ko", "virtio-blk.ko.xz": the two signs are one to the kernel. */
static bool is_module(const char *file, const char *name)
{
    for (; *name; name++, file++) {
        char a = *name == '-' ? '_' : *name, b = *file == '-' ? '_' : *file;
        if (a != b)
            return false;
    }
    return strcmp(file, ".ko") == 0 || strcmp(file, ".ko.xz") == 0 ||
           strcmp(file, ".ko.zst") == 0 || strcmp(file, ".ko.gz") == 0;
}

static int take(char *found[WANTED], const FTSENT *entry)
{
    for (unsigned i = 0; i < WANTED; i++) {
        if (!found[i] && is_module(entry->fts_name, wanted[i]))
            return (found[i] = strdup(entry->fts_path)) ? 0 : -1;
    }
    return 0;
}

static int search(const char *folder, char *found[WANTED], struct error *error)
{
    char start[PATH_MAX];
    snprintf(start, sizeof start, "%.4000s/kernel", folder);
    char *const paths[] = {start, NULL};
    FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    int result = walk ? 0 : error_set_errno(error, "%s", folder);
    for (FTSENT *entry; result == 0 && (entry = fts_read(walk));) {
        if (entry->fts_info == FTS_F && take(found, entry) < 0)
            result = error_set(error, "out of memory");
    }
    if (walk)
        fts_close(walk);
    return result;
}

int kernel_modules_find(
    struct kernel_modules *modules, const char *kernel, const char *folder, struct error *error)
{
    char *found[WANTED] = {NULL};
    *modules = (struct kernel_modules){.count = 0};
    if (folder && !is_folder(folder))
        return error_set(error, "--modules %s: no folder", folder);
    if (folder)
        snprintf(modules->folder, sizeof modules->folder, "%s", folder);
    else
        choose_folder(modules, kernel);
    if (!modules->folder[0])
        return 0;
    int result = search(modules->folder, found, error);
    for (unsigned i = 0; i < WANTED; i++) {
        if (found[i])
            modules->path[modules->count++] = found[i];
    }
    if (result < 0)
        kernel_modules_free(modules);
    return result;
}

void kernel_modules_free(struct kernel_modules *modules)
{
    for (unsigned i = 0; i < modules->count; i++)
        free(modules->path[i]);
    modules->count = 0;
}
