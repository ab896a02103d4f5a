/* hindsight cat: a file of the guest's, as it was at a position. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/look.h"
#include "debugger/page_cache.h"
#include "replay/timeline.h"
#include "vmm/machine/machine.h"
#include "vmm/storage/disk.h"
#include "vmm/storage/ext4.h"

static const char help[] =
    "Usage: hindsight cat TRACE.hst [--at POSITION] [--symbols VMLINUX] [--disk N] PATH\n"
    "A file of a Linux guest, from the ext4 file system on its disk as that was at the position.\n"
    "With the kernel's symbols also what its page cache has and the disk does not have yet; a "
    "line\n"
    "on standard error says where the contents come from. Sectors that the guest had neither read\n"
    "nor written by then are not known.\n\n"
    "  --disk N               the disk, as --disk numbers them; by default the last\n";

enum { OPTION_DISK = 1, SECTOR = 512, SECTORS_PER_PAGE = PAGE_CACHE_BYTES / SECTOR };

/* The disk with what the guest's cache has of it: folders and inodes are changed there first. */
struct view_of_disk {
    const struct disk *disk;
    struct page_cache cache;
    bool has_cache;
};

static int read_sectors(
    void *context, uint64_t sector, uint32_t count, uint8_t *data, struct error *error)
{
    struct view_of_disk *view = context;
    uint8_t page[PAGE_CACHE_BYTES];
    bool dirty;
    for (uint32_t done = 0; done < count;) {
        uint64_t at = sector + done, skip = at % SECTORS_PER_PAGE;
        uint32_t room = (uint32_t)(SECTORS_PER_PAGE - skip);
        uint32_t piece = count - done < room ? count - done : room;
        if (view->has_cache && page_cache_read(&view->cache, at / SECTORS_PER_PAGE, page, &dirty))
            memcpy(data + (size_t)done * SECTOR, page + skip * SECTOR, (size_t)piece * SECTOR);
        else if (disk_peek(view->disk, at, piece, data + (size_t)done * SECTOR, error) < 0)
            return -1;
        done += piece;
    }
    return 0;
}

struct copied {
    uint64_t pages, cached, dirty;
};

static int put_piece(const uint8_t *data, size_t size, struct error *error)
{
    return fwrite(data, 1, size, stdout) == size ? 0 : error_set_errno(error, "standard output");
}

static int print_file(struct ext4 *ext4, const struct ext4_node *node,
    const struct page_cache *cache, struct copied *copied, struct error *error)
{
    uint64_t size = cache ? cache->size : node->size;
    uint8_t page[PAGE_CACHE_BYTES];
    for (uint64_t at = 0; at < size; at += sizeof page) {
        size_t piece = size - at < sizeof page ? (size_t)(size - at) : sizeof page;
        bool dirty = false;
        copied->pages++;
        if (cache && page_cache_read(cache, at / sizeof page, page, &dirty))
            copied->cached++;
        else if (ext4_read_at(ext4, node, at, page, piece, error) < 0)
            return -1;
        copied->dirty += dirty;
        if (put_piece(page, piece, error) < 0)
            return -1;
    }
    return fflush(stdout) == 0 ? 0 : error_set_errno(error, "standard output");
}

static void tell_source(
    const char *path, const struct view_of_disk *view, bool known, const struct copied *copied)
{
    if (!view->has_cache)
        cli_say("%s: from the disk as of then", path);
    else if (!known)
        cli_say("%s: from the disk as of then: the guest had it in no cache", path);
    else
        cli_say("%s: %" PRIu64 " of %" PRIu64 " pages from the page cache, %" PRIu64
                " of them not written back yet",
            path, copied->cached, copied->pages, copied->dirty);
}

static int print_from(struct view_of_disk *view, const char *path, struct error *error)
{
    const struct ext4_source source = {
        .read = read_sectors, .context = view, .sectors = disk_sectors(view->disk)};
    struct ext4_node node;
    struct page_cache file;
    struct copied copied = {0};
    struct ext4 *ext4 = ext4_open(&source, error);
    if (!ext4)
        return -1;
    int result = ext4_find(ext4, path, &node, error);
    if (result == 0 && node.type != EXT4_FILE)
        result = error_set(
            error, "%s: %s", path, node.type == EXT4_FOLDER ? "a folder" : "no plain file");
    bool known =
        result == 0 && view->has_cache && page_cache_of_file(&view->cache, node.inode, &file);
    if (result == 0)
        result = print_file(ext4, &node, known ? &file : NULL, &copied, error);
    if (result == 0)
        tell_source(path, view, known, &copied);
    ext4_close(ext4);
    return result;
}

static int print_at(struct look *look, const char *number, const char *path, struct error *error)
{
    const struct machine *machine = timeline_machine(debugger_timeline(look->debugger));
    unsigned disks = machine->config->disk_count, disk = disks - 1;
    char name[8], *end;
    if (disks == 0)
        return error_set(error, "the recorded machine has no disk");
    if (number)
        disk = (unsigned)strtoul(number, &end, 10);
    if (disk >= disks)
        return error_set(error, "--disk %s: the recorded machine has %u", number, disks);
    struct view_of_disk view = {.disk = machine->disk[disk]};
    snprintf(name, sizeof name, "vd%c", 'a' + (int)disk);
    view.has_cache =
        look->symbol_count > 0 && page_cache_of_disk(look->debugger, name, &view.cache);
    if (look->symbol_count && !view.has_cache)
        cli_say("no kernel with these symbols has mounted %s at this position", name);
    return print_from(&view, path, error);
}

int cli_cat(int argc, char **argv)
{
    static const struct option options[] = {
        LOOK_OPTIONS, {"disk", required_argument, NULL, OPTION_DISK}, {0}};
    struct look look = {.command = "cat"};
    struct error error;
    const char *number = NULL;
    int option;
    if (cli_wants_help(argc, argv)) {
        cli_help(help);
        return cli_help(look_help);
    }
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        int taken = option == '?' ? 0 : look_option(&look, option, optarg, &error);
        if (taken < 0)
            return cli_usage("cat", "%s", error.text);
        if (taken == 0 && option != OPTION_DISK)
            return cli_usage("cat", "bad option");
        if (taken == 0)
            number = optarg;
    }
    if (number && (!*number || number[strspn(number, "0123456789")]))
        return cli_usage("cat", "--disk %s: not a number", number);
    if (optind + 2 != argc)
        return cli_usage("cat", "give one trace and the path of a file in the guest");
    look.trace = argv[optind];
    int status = look_open(&look);
    if (status == STATUS_OK && print_at(&look, number, argv[optind + 1], &error) < 0)
        status = cli_fail(STATUS_ERROR, &error);
    look_close(&look);
    return status;
}
