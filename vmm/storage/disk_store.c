/* What is known of one disk image. */
#include "vmm/storage/disk_store.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "devices/block.h"
#include "vmm/arch/memory.h"

static uint64_t round_up(uint64_t size)
{
    return (size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
}

int disk_store_create(
    struct disk_store *store, uint64_t sectors, bool holds_data, struct error *error)
{
    *store = (struct disk_store){.sectors = sectors, .holds_data = holds_data};
    if (sectors == 0 || sectors > 1ull << 40)
        return error_set(
            error, "a disk of %llu sectors is not possible", (unsigned long long)sectors);
    uint64_t data = round_up(sectors * BLOCK_SECTOR);
    store->size = data + round_up((sectors + 7) / 8);
    void *host = mmap(NULL, store->size, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    store->written = calloc(1, (store->size / PAGE_SIZE + 7) / 8);
    if (host == MAP_FAILED || !store->written) {
        if (host != MAP_FAILED)
            munmap(host, store->size);
        free(store->written);
        *store = (struct disk_store){0};
        return error_set(error, "out of address space for a disk");
    }
    store->host = host;
    store->known = store->host + data;
    return 0;
}

void disk_store_destroy(struct disk_store *store)
{
    if (store->host)
        munmap(store->host, store->size);
    free(store->written);
    *store = (struct disk_store){0};
}

static void touch(struct disk_store *store, const uint8_t *from, uint64_t size)
{
    uint64_t first = (uint64_t)(from - store->host) / PAGE_SIZE;
    uint64_t last = ((uint64_t)(from - store->host) + size - 1) / PAGE_SIZE;
    for (uint64_t page = first; page <= last; page++)
        store->written[page / 8] |= (uint8_t)(1u << (page % 8));
}

static bool is_known(const struct disk_store *store, uint64_t lba)
{
    return store->known[lba / 8] >> (lba % 8) & 1;
}

uint32_t disk_store_run(const struct disk_store *store, uint64_t lba, uint32_t count, bool *known)
{
    uint32_t length = 1;
    *known = is_known(store, lba);
    while (length < count && is_known(store, lba + length) == *known)
        length++;
    return length;
}

void disk_store_mark(struct disk_store *store, uint64_t lba, uint32_t count, bool known)
{
    if (!count)
        return;
    touch(store, store->known + lba / 8, (lba % 8 + count + 7) / 8);
    for (uint64_t at = lba; at < lba + count; at++) {
        uint8_t bit = (uint8_t)(1u << (at % 8));
        if (known)
            store->known[at / 8] |= bit;
        else
            store->known[at / 8] &= (uint8_t)~bit;
    }
}

void disk_store_read(const struct disk_store *store, uint64_t lba, uint32_t count, uint8_t *data)
{
    memcpy(data, store->host + lba * BLOCK_SECTOR, (size_t)count * BLOCK_SECTOR);
}

void disk_store_write(struct disk_store *store, uint64_t lba, uint32_t count, const uint8_t *data)
{
    uint8_t *to = store->host + lba * BLOCK_SECTOR;
    size_t size = (size_t)count * BLOCK_SECTOR;
    if (!count)
        return;
    touch(store, to, size);
    if (data)
        memcpy(to, data, size);
    else
        memset(to, 0, size);
}
