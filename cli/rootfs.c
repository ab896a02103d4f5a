/* A command in a root folder: the disk and the initramfs for it. */
#include "cli/rootfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/parse.h"
#include "cli/cli.h"
#include "cli/files.h"
#include "cli/initramfs.h"
#include "cli/kernel_modules.h"
#include "cli/root_image.h"

const char rootfs_help[] =
    "A command:\n"
    "  --root DIR|TAR         run the COMMAND after '--' in Linux with this folder, or what the\n"
    "                         archive holds, as its root. The kernel is --kernel, or the one that\n"
    "                         scripts/fetch-linux.sh keeps; the folder is not written. The exit\n"
    "                         status is the command's, its output the serial port's\n"
    "  --share DIR            copy what it leaves in /share into DIR afterwards\n"
    "  --env NAME=VALUE       a variable of its environment, repeatable\n"
    "  --chdir DIR            the folder to start it in, / by default\n"
    "  --modules DIR          the kernel's modules; by default modules/ beside it, or those in\n"
    "                         /lib/modules\n"
    "  --root-size SIZE       of the disk; by default it has 1 GiB free\n\n";

/* guest_init.S */
extern const uint8_t guest_init_program[], guest_init_program_end[];

int rootfs_option(struct rootfs *rootfs, int option, const char *value, struct error *error)
{
    switch (option) {
    case ROOTFS_ROOT:
        rootfs->root = value;
        return 1;
    case ROOTFS_SHARE:
        rootfs->share = value;
        return 1;
    case ROOTFS_CHDIR:
        rootfs->folder = value;
        return 1;
    case ROOTFS_MODULES:
        rootfs->modules = value;
        return 1;
    case ROOTFS_SIZE:
        if (parse_size(value, &rootfs->size, error) == 0)
            return 1;
        error_prefix(error, "--root-size");
        return -1;
    case ROOTFS_ENV:
        if (value[0] == '=' || !strchr(value, '='))
            return error_set(error, "--env %s: NAME=VALUE", value);
        if (rootfs->variables == ROOTFS_VARIABLES)
            return error_set(error, "--env: at most %d", ROOTFS_VARIABLES);
        rootfs->variable[rootfs->variables++] = value;
        return 1;
    default:
        return 0;
    }
}

/* Where scripts/fetch-linux.sh keeps its kernel. */
static bool find_kernel(char path[PATH_MAX])
{
    const char *own = getenv("HINDSIGHT_CACHE"), *cache = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    int length;
    if (own && *own)
        length = snprintf(path, PATH_MAX, "%s/vmlinuz", own);
    else if (cache && *cache)
        length = snprintf(path, PATH_MAX, "%s/hindsight/vmlinuz", cache);
    else
        length = snprintf(path, PATH_MAX, "%s/.cache/hindsight/vmlinuz", home ? home : "");
    return length < PATH_MAX && access(path, R_OK) == 0;
}

int rootfs_check(struct rootfs *rootfs, const char *kernel, struct error *error)
{
    if (!rootfs->root)
        return rootfs->share || rootfs->folder || rootfs->variables || rootfs->modules ||
                       rootfs->size
                   ? error_set(error, "--share, --env, --chdir, --modules and --root-size are for "
                                      "--root")
                   : 0;
    if (!rootfs->command || !rootfs->command[0])
        return error_set(error, "--root: no command: give one after '--'");
    if (rootfs->folder && rootfs->folder[0] != '/')
        return error_set(error, "--chdir %s: a path from / is wanted", rootfs->folder);
    if (kernel && snprintf(rootfs->kernel, PATH_MAX, "%s", kernel) >= PATH_MAX)
        return error_set(error, "--kernel %s: the name is too long", kernel);
    if (!kernel && !find_kernel(rootfs->kernel))
        return error_set(error,
            "no kernel at %s: run scripts/fetch-linux.sh (in /usr/lib/hindsight, too), or give "
            "--kernel",
            rootfs->kernel);
    return 0;
}

/* ---- The initramfs ---- */

static void put_order(struct buffer *job, char kind, const char *value)
{
    buffer_put_u8(job, (uint8_t)kind);
    buffer_put(job, value, strlen(value) + 1);
}

/* Nothing of the host's environment: the same command is the same run. */
static void put_command(const struct rootfs *rootfs, struct buffer *job)
{
    put_order(job, 'd', rootfs->device);
    put_order(job, 'c', rootfs->folder ? rootfs->folder : "/");
    put_order(job, 'e', "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    put_order(job, 'e', "HOME=/root");
    put_order(job, 'e', "USER=root");
    put_order(job, 'e', rootfs->terminal ? "TERM=linux" : "TERM=dumb");
    for (unsigned i = 0; i < rootfs->variables; i++)
        put_order(job, 'e', rootfs->variable[i]);
    for (char *const *word = rootfs->command; *word; word++)
        put_order(job, 'a', *word);
    if (rootfs->terminal)
        put_order(job, 't', "");
}

static int add_modules(const struct kernel_modules *modules, struct initramfs *initramfs,
    struct buffer *job, struct error *error)
{
    for (unsigned i = 0; i < modules->count; i++) {
        const char *name = strrchr(modules->path[i], '/') + 1;
        char path[NAME_MAX + 2];
        struct buffer content = {0};
        snprintf(path, sizeof path, "/%s", name);
        if (files_read(modules->path[i], &content, error) < 0) {
            buffer_free(&content);
            return -1;
        }
        initramfs_add_file(initramfs, path + 1, 0644, content.data, content.size);
        put_order(job, 'm', path);
        buffer_free(&content);
    }
    return 0;
}

static int make_initramfs(const struct rootfs *rootfs, struct error *error)
{
    enum { JOB_MAX = 256 << 10, WORDS_MAX = 1000 }; /* guests/helper/guest-init.c */
    struct initramfs initramfs = {.entries = 0};
    struct kernel_modules modules;
    struct buffer job = {0};
    unsigned words = 0;
    while (rootfs->command[words])
        words++;
    if (kernel_modules_find(&modules, rootfs->kernel, rootfs->modules, error) < 0)
        return -1;
    if (modules.count == 0)
        cli_say("%s: no modules of this kernel were found: it has to have virtio's PCI and disk "
                "drivers and ext4 built in, or --modules tells where they are",
            rootfs->kernel);
    initramfs_add_folder(&initramfs, "dev");
    initramfs_add_console(&initramfs);
    initramfs_add_file(&initramfs, "init", 0755, guest_init_program,
        (size_t)(guest_init_program_end - guest_init_program));
    int result = add_modules(&modules, &initramfs, &job, error);
    put_command(rootfs, &job);
    initramfs_add_file(&initramfs, "job", 0644, job.data, job.size);
    initramfs_end(&initramfs);
    if (result == 0 && (job.failed || initramfs.archive.failed))
        result = error_set(error, "out of memory");
    if (result == 0 && (job.size >= JOB_MAX || words > WORDS_MAX))
        result = error_set(
            error, "the command has more than %d words or %d KiB", WORDS_MAX, JOB_MAX >> 10);
    if (result == 0)
        result = files_write(rootfs->initrd, initramfs.archive.data, initramfs.archive.size, error);
    kernel_modules_free(&modules);
    buffer_free(&job);
    buffer_free(&initramfs.archive);
    return result;
}

/* ---- The files ---- */

static int make_folder(struct rootfs *rootfs, const char *folder, struct error *error)
{
    const char *base = getenv("TMPDIR");
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/hindsight-XXXXXX",
        folder          ? folder
        : base && *base ? base
                        : "/var/tmp");
    if (strlen(path) > PATH_MAX - 64)
        return error_set(error, "%s: the name is too long", path);
    /* An option of --disk ends at a comma. */
    if (strchr(path, ','))
        return error_set(error, "%s: a comma in the name of a folder for disks", path);
    if (!mkdtemp(path))
        return error_set_errno(error, "%s", path);
    strcpy(rootfs->work, path);
    snprintf(rootfs->disk, sizeof rootfs->disk, "%.4000s/root.img", path);
    snprintf(rootfs->initrd, sizeof rootfs->initrd, "%.4000s/root.cpio", path);
    return 0;
}

int rootfs_make_disk(struct rootfs *rootfs, const char *folder, struct error *error)
{
    if (make_folder(rootfs, folder, error) < 0)
        return -1;
    const struct root_image image = {
        .source = rootfs->root,
        .path = rootfs->disk,
        .work = rootfs->work,
        .size = rootfs->size,
        .folder = rootfs->share ? ROOTFS_SHARED : NULL,
    };
    if (root_image_make(&image, error) == 0)
        return 0;
    rootfs_remove(rootfs);
    return -1;
}

int rootfs_make(struct rootfs *rootfs, unsigned disks, const char *folder, struct error *error)
{
    snprintf(rootfs->device, sizeof rootfs->device, "/dev/vd%c", 'a' + (int)disks);
    if (rootfs_make_disk(rootfs, folder, error) < 0)
        return -1;
    if (make_initramfs(rootfs, error) == 0)
        return 0;
    rootfs_remove(rootfs);
    return -1;
}

void rootfs_disk_option(const struct rootfs *rootfs, char *text, size_t size)
{
    snprintf(text, size, "file=%s,snapshot=on", rootfs->disk);
}

void rootfs_command_line(const char *append, char *text, size_t size)
{
    snprintf(text, size, "console=ttyS0 quiet%s%s", *append ? " " : "", append);
}

void rootfs_remove(struct rootfs *rootfs)
{
    if (rootfs->work[0])
        files_remove_tree(rootfs->work);
    rootfs->work[0] = '\0';
}
