/* Guest physical memory. */
#include "vmm/arch/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

static const char ANONYMOUS[] = "(anonymous)";

static int check_sizes(
    const struct memory_backend *backends, unsigned count, uint64_t *total, struct error *error)
{
    if (count == 0 || count > MEMORY_MAX_BACKENDS)
        return error_set(error, "guest memory: %u backends given; give 1 to %d", count,
            (int)MEMORY_MAX_BACKENDS);
    *total = 0;
    for (unsigned i = 0; i < count; i++) {
        uint64_t size = backends[i].size;
        const char *name = backends[i].path ? backends[i].path : ANONYMOUS;
        if (size == 0 || size % PAGE_SIZE)
            return error_set(error,
                "guest memory: backend %u (%s) has %llu bytes; give a multiple of 4096", i, name,
                (unsigned long long)size);
        if (size > MEMORY_MAXIMUM || *total + size > MEMORY_MAXIMUM)
            return error_set(error,
                "guest memory: backend %u (%s) brings the total above 64 GiB; give less", i, name);
        *total += size;
    }
    if (*total < MEMORY_MINIMUM)
        return error_set(error, "guest memory: %llu bytes in all; give at least 1 MiB",
            (unsigned long long)*total);
    return 0;
}

static bool opened_before(const struct stat *files, unsigned count, const struct stat *file)
{
    for (unsigned i = 0; i < count; i++)
        if (files[i].st_dev == file->st_dev && files[i].st_ino == file->st_ino)
            return true;
    return false;
}

/* Nothing is truncated before every file is known to be usable. */
static int open_files(
    const struct memory_backend *backends, unsigned count, int *descriptors, struct error *error)
{
    struct stat files[MEMORY_MAX_BACKENDS];
    unsigned opened = 0;
    for (unsigned i = 0; i < count; i++) {
        const char *path = backends[i].path;
        if (!path)
            continue;
        descriptors[i] = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (descriptors[i] < 0)
            return error_set_errno(error, "guest memory: cannot open %s", path);
        if (fstat(descriptors[i], &files[opened]) < 0)
            return error_set_errno(error, "guest memory: cannot examine %s", path);
        if (!S_ISREG(files[opened].st_mode))
            return error_set(
                error, "guest memory: %s is not a regular file; give the name of a file", path);
        if (opened_before(files, opened, &files[opened]))
            return error_set(error,
                "guest memory: %s backs two ranges; give each range a file of its own", path);
        opened++;
    }
    return 0;
}

static int size_file(int descriptor, const struct memory_backend *backend, struct error *error)
{
    if (ftruncate(descriptor, 0) < 0 || ftruncate(descriptor, (off_t)backend->size) < 0)
        return error_set_errno(error, "guest memory: cannot give %s its %llu bytes", backend->path,
            (unsigned long long)backend->size);
    /* A full file system must show now: later it would be a SIGBUS in the middle of the run. */
    if (fallocate(descriptor, 0, 0, (off_t)backend->size) < 0 && errno != EOPNOTSUPP &&
        errno != ENOSYS)
        return error_set_errno(error, "guest memory: cannot allocate %llu bytes for %s",
            (unsigned long long)backend->size, backend->path);
    return 0;
}

static int map_backend(
    uint8_t *at, const struct memory_backend *backend, int descriptor, struct error *error)
{
    int flags = backend->path ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    if (backend->path && size_file(descriptor, backend, error) < 0)
        return -1;
    void *mapped =
        mmap(at, backend->size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, descriptor, 0);
    if (mapped == MAP_FAILED)
        return error_set_errno(error, "guest memory: cannot map %llu bytes of %s",
            (unsigned long long)backend->size, backend->path ? backend->path : ANONYMOUS);
    return 0;
}

static int map_all(uint8_t *host, const struct memory_backend *backends, unsigned count,
    const int *descriptors, struct error *error)
{
    for (unsigned i = 0; i < count; i++) {
        if (map_backend(host, &backends[i], descriptors[i], error) < 0)
            return -1;
        host += backends[i].size;
    }
    return 0;
}

int memory_create(struct memory *memory, const struct memory_backend *backends, unsigned count,
    struct error *error)
{
    memset(memory, 0, sizeof *memory);
    uint64_t total = 0;
    if (check_sizes(backends, count, &total, error) < 0)
        return -1;
    int descriptors[MEMORY_MAX_BACKENDS];
    for (unsigned i = 0; i < MEMORY_MAX_BACKENDS; i++)
        descriptors[i] = -1;

    int status = open_files(backends, count, descriptors, error);
    if (status == 0) {
        /* One reservation, so that the ranges mapped over it are contiguous. */
        void *host =
            mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (host == MAP_FAILED) {
            status =
                error_set_errno(error, "guest memory: cannot reserve %llu bytes of address space",
                    (unsigned long long)total);
        } else {
            memory->host = host;
            memory->size = total;
            status = map_all(memory->host, backends, count, descriptors, error);
        }
    }
    memory->anonymous = true;
    for (unsigned i = 0; i < count && i < MEMORY_MAX_BACKENDS; i++) {
        memory->anonymous &= !backends[i].path;
        if (descriptors[i] >= 0)
            close(descriptors[i]);
    }
    if (status < 0) {
        memory_destroy(memory);
        return -1;
    }

    uint64_t low = total < MEMORY_HOLE ? total : MEMORY_HOLE;
    memory->region[0] = (struct memory_region){0, low, memory->host};
    if (total > low)
        memory->region[1] = (struct memory_region){MEMORY_ABOVE, total - low, memory->host + low};
    return 0;
}

void memory_destroy(struct memory *memory)
{
    if (memory->host)
        munmap(memory->host, memory->size);
    memset(memory, 0, sizeof *memory);
}

/* Host address of `gpa` and how much of `size` lies in the same region. */
static uint8_t *piece_at(const struct memory *memory, uint64_t gpa, uint64_t size, uint64_t *piece)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct memory_region *region = &memory->region[i];
        if (gpa < region->gpa || gpa - region->gpa >= region->size)
            continue;
        uint64_t left = region->size - (gpa - region->gpa);
        *piece = size < left ? size : left;
        return region->host + (gpa - region->gpa);
    }
    return NULL;
}

static bool all_ram(const struct memory *memory, uint64_t gpa, uint64_t size)
{
    while (size) {
        uint64_t piece = 0;
        if (!piece_at(memory, gpa, size, &piece))
            return false;
        gpa += piece;
        size -= piece;
    }
    return true;
}

bool memory_read(const struct memory *memory, uint64_t gpa, void *data, uint64_t size)
{
    if (!all_ram(memory, gpa, size))
        return false;
    for (uint8_t *to = data; size;) {
        uint64_t piece = 0;
        const uint8_t *from = piece_at(memory, gpa, size, &piece);
        memcpy(to, from, piece);
        to += piece;
        gpa += piece;
        size -= piece;
    }
    return true;
}

bool memory_write(struct memory *memory, uint64_t gpa, const void *data, uint64_t size)
{
    if (!all_ram(memory, gpa, size))
        return false;
    for (const uint8_t *from = data; size;) {
        uint64_t piece = 0;
        uint8_t *to = piece_at(memory, gpa, size, &piece);
        memcpy(to, from, piece);
        from += piece;
        gpa += piece;
        size -= piece;
    }
    return true;
}

static bool page_is_zero(const uint8_t *page)
{
    for (unsigned i = 0; i < PAGE_SIZE; i += 64) {
        uint64_t words[8];
        memcpy(words, page + i, sizeof words);
        if (words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] | words[7])
            return false;
    }
    return true;
}

/* ---- Which pages were ever touched ---- */

enum { PAGEMAP_BATCH = 512, SCAN_PRESENT = 1 << 3, SCAN_SWAPPED = 1 << 4 };
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_SWAPPED (1ull << 62)

/* struct pm_scan_arg of <linux/fs.h>, which older headers do not have. */
struct scan_request {
    uint64_t size, flags, start, end, walk_end, ranges, range_count, max_pages;
    uint64_t inverted, all_of, any_of, wanted;
};
struct scan_range {
    uint64_t start, end, categories;
};
#define SCAN_REQUEST _IOWR('f', 16, struct scan_request)

uint64_t memory_gpa(const struct memory *memory, uint64_t offset)
{
    const struct memory_region *low = &memory->region[0], *high = &memory->region[1];
    return offset < low->size ? low->gpa + offset : high->gpa + (offset - low->size);
}

void memory_walk_begin(struct memory_walk *walk, const struct memory *memory)
{
    *walk = (struct memory_walk){.memory = memory, .pagemap = -1, .scans = true};
    if (memory->anonymous)
        walk->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
}

void memory_walk_end(struct memory_walk *walk)
{
    if (walk->pagemap >= 0)
        close(walk->pagemap);
}

/* The next range that the kernel holds pages in; false: it cannot tell. */
static bool scan_range(struct memory_walk *walk)
{
    const struct memory *memory = walk->memory;
    uint64_t host = (uintptr_t)memory->host;
    struct scan_range range;
    struct scan_request request = {.size = sizeof request,
        .start = host + walk->searched,
        .end = host + memory->size,
        .ranges = (uintptr_t)&range,
        .range_count = 1,
        .any_of = SCAN_PRESENT | SCAN_SWAPPED,
        .wanted = SCAN_PRESENT | SCAN_SWAPPED};
    int found = ioctl(walk->pagemap, SCAN_REQUEST, &request);
    if (found < 0)
        return false;
    walk->next = found ? range.start - host : memory->size;
    walk->end = walk->searched = found ? range.end - host : memory->size;
    return true;
}

/*
 * The same from the map of every page: a private anonymous one that is neither present nor swapped
 * out was never touched, and reading it to find that out would cost a fault.
 */
static void read_batch(struct memory_walk *walk)
{
    const struct memory *memory = walk->memory;
    uint64_t entries[PAGEMAP_BATCH];
    while (walk->searched < memory->size) {
        uint64_t left = (memory->size - walk->searched) / PAGE_SIZE;
        size_t count = left < PAGEMAP_BATCH ? (size_t)left : PAGEMAP_BATCH;
        uint64_t first = ((uintptr_t)memory->host + walk->searched) / PAGE_SIZE;
        size_t wanted = count * sizeof *entries;
        if (pread(walk->pagemap, entries, wanted, (off_t)(first * sizeof *entries)) !=
            (ssize_t)wanted)
            entries[0] = PAGEMAP_PRESENT, count = 1;
        size_t start = 0;
        while (start < count && !(entries[start] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)))
            start++;
        size_t end = start;
        while (end < count && (entries[end] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)))
            end++;
        walk->next = walk->searched + start * PAGE_SIZE;
        walk->end = walk->searched + end * PAGE_SIZE;
        walk->searched += end * PAGE_SIZE;
        if (start < count)
            return;
    }
}

bool memory_walk_next(struct memory_walk *walk, uint64_t *offset)
{
    if (walk->next == walk->end && walk->searched < walk->memory->size) {
        if (walk->pagemap < 0) {
            walk->next = 0;
            walk->end = walk->searched = walk->memory->size;
        } else if (!walk->scans || !(walk->scans = scan_range(walk))) {
            read_batch(walk);
        }
    }
    if (walk->next >= walk->end)
        return false;
    *offset = walk->next;
    walk->next += PAGE_SIZE;
    return true;
}

/* A chain over the RAM size and (page number, digest of the page) of every page that is not zero.
 */
uint64_t memory_digest(const struct memory *memory)
{
    uint64_t digest = XXH3_64bits(&memory->size, sizeof memory->size), offset;
    struct memory_walk walk;
    memory_walk_begin(&walk, memory);
    while (memory_walk_next(&walk, &offset)) {
        const uint8_t *page = memory->host + offset;
        if (page_is_zero(page))
            continue;
        uint64_t link[3] = {digest, offset / PAGE_SIZE, XXH3_64bits(page, PAGE_SIZE)};
        digest = XXH3_64bits(link, sizeof link);
    }
    memory_walk_end(&walk);
    return digest;
}
