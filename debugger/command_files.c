/* What is handed over to other programs as files: core files, what the machine was started with. */
#include "debugger/command.h"
#include "debugger/core.h"
#include "debugger/session.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/boot/boot.h"
#include "vmm/storage/disk.h"
#include "vmm/storage/disk_store.h"

enum { SECTOR = 512, SECTORS_AT_ONCE = 256 };

/* For this user alone: it may hold what the guest kept secret. */
static FILE *create_file(const char *path, struct error *error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!file)
        error_set_errno(error, "%s", path);
    if (!file && fd >= 0)
        close(fd);
    return file;
}

/* What could not be written whole is not left. */
static int close_file(FILE *file, const char *path, int result, struct error *error)
{
    if (fclose(file) != 0 && result == 0)
        result = error_set_errno(error, "%s", path);
    if (result < 0)
        unlink(path);
    return result;
}

COMMAND(core)
{
    struct core_info info;
    if (!*arguments)
        return error_set(error, "core: give a file to write");
    FILE *file = create_file(arguments, error);
    if (!file)
        return -1;
    int result = core_write(file, debugger->timeline, &info, error);
    if (close_file(file, arguments, result, error) < 0)
        return -1;
    print(debugger, "Saved corefile %s: %" PRIu64 " of %" PRIu64 " KiB of memory are not zeros.\n",
        arguments, info.bytes >> 10, info.memory_size >> 10);
    if (!info.is_linux)
        print(debugger, "No Linux kernel has left its VMCOREINFO in memory here: linear addresses "
                        "are the physical ones.\n");
    return 0;
}

/* ---- extract ---- */

static int write_blob(
    struct debugger *debugger, const char *label, const char *path, struct error *error)
{
    const struct trace_reader *trace = timeline_trace(debugger->timeline);
    struct trace_blob blob;
    int number = trace_reader_find_blob(trace, label);
    if (number < 0 || !trace_reader_blob_at(trace, (size_t)number, &blob))
        return error_set(error, "the recorded machine was started without one");
    uint8_t *data = malloc(blob.size + 1);
    if (!data)
        return error_set(error, "out of memory");
    FILE *file = NULL;
    int result = trace_reader_blob(trace, (size_t)number, data, error);
    if (result == 0 && !(file = create_file(path, error)))
        result = -1;
    if (result == 0 && fwrite(data, 1, blob.size, file) != blob.size)
        result = error_set_errno(error, "%s", path);
    if (file)
        result = close_file(file, path, result, error);
    free(data);
    if (result == 0)
        print(debugger, "%s: %" PRIu64 " bytes\n", path, (uint64_t)blob.size);
    return result;
}

static int write_sectors(
    const struct disk_store *store, FILE *file, uint64_t *known, struct error *error)
{
    uint8_t data[SECTORS_AT_ONCE * SECTOR];
    bool is_known;
    for (uint64_t lba = 0; lba < store->sectors;) {
        uint64_t left = store->sectors - lba;
        uint32_t run = disk_store_run(
            store, lba, left < SECTORS_AT_ONCE ? (uint32_t)left : SECTORS_AT_ONCE, &is_known);
        if (is_known) {
            disk_store_read(store, lba, run, data);
            *known += run;
        }
        if (is_known && (fseeko(file, (off_t)(lba * SECTOR), SEEK_SET) < 0 ||
                            fwrite(data, SECTOR, run, file) != run))
            return error_set_errno(error, "writing");
        lba += run;
    }
    if (fflush(file) != 0 || ftruncate(fileno(file), (off_t)(store->sectors * SECTOR)) < 0)
        return error_set_errno(error, "writing");
    return 0;
}

/* "disk", "disk1", "disk0.2": the image file by number, the first unless told. */
static struct disk_store *find_image(
    struct debugger *debugger, const char *text, struct error *error)
{
    const struct machine *machine = timeline_machine(debugger->timeline);
    unsigned disk = 0, image = 0;
    int used = 0;
    if (*text &&
        (sscanf(text, "%u%n", &disk, &used) != 1 ||
            (text[used] && (text[used] != '.' || sscanf(text + used + 1, "%u", &image) != 1)))) {
        error_set(error, "extract: disk, disk1, or disk0.2 for the third image of an array");
        return NULL;
    }
    struct disk_store *store =
        disk < machine->config->disk_count ? disk_image_store(machine->disk[disk], image) : NULL;
    if (!store)
        error_set(error, "the recorded machine has no disk %u with an image %u", disk, image);
    return store;
}

static int write_disk(
    struct debugger *debugger, const char *which, const char *path, struct error *error)
{
    uint64_t known = 0;
    struct disk_store *store = find_image(debugger, which, error);
    FILE *file = store ? create_file(path, error) : NULL;
    if (!file)
        return -1;
    int result = write_sectors(store, file, &known, error);
    if (close_file(file, path, result, error) < 0)
        return -1;
    print(debugger,
        "%s: %" PRIu64 " of %" PRIu64 " sectors are known at this position; the others are zeros\n",
        path, known, store->sectors);
    return 0;
}

int debugger_extract(
    struct debugger *debugger, const char *what, const char *path, struct error *error)
{
    if (strcmp(what, "kernel") == 0)
        return write_blob(debugger, "kernel", path, error);
    if (strcmp(what, "initrd") == 0)
        return write_blob(debugger, boot_module_label(0), path, error);
    if (strncmp(what, "disk", 4) == 0)
        return write_disk(debugger, what + 4, path, error);
    return error_set(error, "extract: kernel, initrd or disk, not '%s'", what);
}

COMMAND(extract)
{
    char what[32];
    if (!next_word(&arguments, what, sizeof what) || !*arguments)
        return error_set(error, "extract: kernel, initrd or disk, and a file to write");
    return debugger_extract(debugger, what, arguments, error);
}

const struct command files_commands[] = {
    {"The machine", "core", "generate-core-file gcore", command_core, "FILE",
        "Writes the machine at this position as an ELF core file, which gdb, crash and drgn open.",
        "core vmcore", COMPLETE_FILE, false},
    {"The machine", "extract", "", command_extract, "kernel|initrd|disk FILE",
        "Writes what the machine was started with, or the image of a disk as far as it is known at "
        "this position (disk1 the second disk, disk0.2 the third image of an array).",
        "extract kernel vmlinuz", COMPLETE_FILE, false},
    {0},
};
