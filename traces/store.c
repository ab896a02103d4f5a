/* Boot files by content, in a folder. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "traces/reader.h"
#include "traces/store.h"

struct trace_store {
    int folder;
    char *path;
};

static void hash_bytes(const void *data, size_t size, uint8_t hash[TRACE_HASH_SIZE])
{
    struct sha256_ctx context;
    sha256_init(&context);
    sha256_update(&context, size, data);
    sha256_digest(&context, TRACE_HASH_SIZE, hash);
}

void trace_hash_text(const uint8_t hash[TRACE_HASH_SIZE], char text[2 * TRACE_HASH_SIZE + 1])
{
    for (unsigned i = 0; i < TRACE_HASH_SIZE; i++)
        snprintf(text + 2 * i, 3, "%02x", hash[i]);
}

/* ---- The folder ---- */

static int make_folders(const char *path)
{
    char part[PATH_MAX];
    if (strlen(path) >= sizeof part) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(part, path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0777) < 0 && errno != EEXIST)
            return -1;
        *slash = '/';
    }
    return mkdir(part, 0777) < 0 && errno != EEXIST ? -1 : 0;
}

struct trace_store *trace_store_open(const char *folder, bool create, struct error *error)
{
    struct trace_store *store = calloc(1, sizeof *store);
    char *path = strdup(folder);
    if (!store || !path) {
        error_set(error, "no memory to open the store %s", folder);
        free(store);
        free(path);
        return NULL;
    }
    store->path = path;
    store->folder =
        create && make_folders(folder) < 0 ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->folder >= 0)
        return store;
    error_set_errno(error, "the store of boot files %s", folder);
    trace_store_close(store);
    return NULL;
}

void trace_store_close(struct trace_store *store)
{
    if (!store)
        return;
    if (store->folder >= 0)
        close(store->folder);
    free(store->path);
    free(store);
}

/* ---- Finding ---- */

/* A file of that size with that name, open; -1. */
static int open_file(
    const struct trace_store *store, const uint8_t hash[TRACE_HASH_SIZE], uint64_t size)
{
    char name[2 * TRACE_HASH_SIZE + 1];
    struct stat status;
    trace_hash_text(hash, name);
    int fd = openat(store->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
        (uint64_t)status.st_size == size)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* All of it; false when there is less, or it cannot be read. */
static bool read_file(int fd, uint8_t *data, uint64_t size)
{
    for (uint64_t done = 0; done < size;) {
        ssize_t count = pread(fd, data + done, size - done, (off_t)done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        done += (uint64_t)count;
    }
    return true;
}

static bool has_content(int fd, const uint8_t hash[TRACE_HASH_SIZE])
{
    struct sha256_ctx context;
    uint8_t piece[65536], found[TRACE_HASH_SIZE];
    ssize_t count;
    off_t offset = 0;
    sha256_init(&context);
    while ((count = pread(fd, piece, sizeof piece, offset)) > 0) {
        sha256_update(&context, (size_t)count, piece);
        offset += count;
    }
    sha256_digest(&context, sizeof found, found);
    return count == 0 && memcmp(found, hash, sizeof found) == 0;
}

bool trace_store_has(
    const struct trace_store *store, const uint8_t hash[TRACE_HASH_SIZE], uint64_t size)
{
    int fd = open_file(store, hash, size);
    bool has = fd >= 0 && has_content(fd, hash);
    if (fd >= 0)
        close(fd);
    return has;
}

int trace_reader_use_store(
    struct trace_reader *reader, const struct trace_store *store, struct error *error)
{
    for (size_t i = 0; reader->info.stored && i < reader->config.blob_count; i++) {
        struct trace_stored_blob *blob = &reader->config.blobs[i];
        char name[2 * TRACE_HASH_SIZE + 1];
        if (blob->fd < 0)
            blob->fd = open_file(store, blob->blob.hash, blob->blob.size);
        if (blob->fd >= 0)
            continue;
        trace_hash_text(blob->blob.hash, name);
        error_set(error,
            "its boot file %.32s, %s of %llu bytes, is not in the store %s: give its folder with "
            "--store, or unpack a trace that has it",
            blob->blob.name, name, (unsigned long long)blob->blob.size, store->path);
        return TRACE_MISSING;
    }
    return TRACE_OK;
}

int store_read(const struct trace_stored_blob *blob, void *data, struct error *error)
{
    uint8_t found[TRACE_HASH_SIZE];
    char name[2 * TRACE_HASH_SIZE + 1];
    trace_hash_text(blob->blob.hash, name);
    if (blob->fd < 0) {
        error_set(error, "the boot file %.32s is not in the trace but in a store, as %s",
            blob->blob.name, name);
        return TRACE_MISSING;
    }
    if (read_file(blob->fd, data, blob->blob.size)) {
        hash_bytes(data, blob->blob.size, found);
        if (memcmp(found, blob->blob.hash, sizeof found) == 0 &&
            digest64(data, blob->blob.size) == blob->blob.digest)
            return TRACE_OK;
    }
    error_set(error,
        "the boot file %.32s in the store is damaged: %s does not have the content of its name; "
        "unpacking a trace that has it replaces it",
        blob->blob.name, name);
    return TRACE_MISSING;
}

/* ---- Putting ---- */

static bool write_file(int fd, const uint8_t *data, size_t size)
{
    while (size) {
        ssize_t count = write(fd, data, size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        data += count;
        size -= (size_t)count;
    }
    return fsync(fd) == 0;
}

/* Beside its place first: whoever looks finds all of it or nothing. */
static int create_file(const struct trace_store *store, const char *name, const void *data,
    size_t size, struct error *error)
{
    char temporary[2 * TRACE_HASH_SIZE + 32];
    uint32_t number = 0;
    if (getrandom(&number, sizeof number, 0) < 0)
        return error_set_errno(error, "no random number for a name in %s", store->path);
    snprintf(temporary, sizeof temporary, ".%s.%08x.part", name, number);
    int fd = openat(
        store->folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
    if (fd < 0)
        return error_set_errno(error, "the store of boot files %s", store->path);
    bool written = write_file(fd, data, size);
    written = close(fd) == 0 && written;
    if (written && renameat(store->folder, temporary, store->folder, name) == 0 &&
        fsync(store->folder) == 0)
        return 0;
    error_set_errno(error, "the store of boot files %s: %s", store->path, name);
    unlinkat(store->folder, temporary, 0);
    return -1;
}

int trace_store_put(const struct trace_store *store, const void *data, size_t size,
    uint8_t hash[TRACE_HASH_SIZE], struct error *error)
{
    char name[2 * TRACE_HASH_SIZE + 1];
    hash_bytes(data, size, hash);
    trace_hash_text(hash, name);
    if (trace_store_has(store, hash, size))
        return 0;
    return create_file(store, name, data, size, error);
}
