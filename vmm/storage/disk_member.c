/* One image file under a disk, seen through the input source. */
#include "vmm/storage/disk_member.h"

#include <string.h>

#include "vmm/host/block/raw.h"

/* Sectors in one input record. */
enum { PIECE = 1024 };

/* Did the host fail this operation? `failed` is what it said when it was asked. */
static bool settle(struct disk_member *member, bool failed)
{
    return services_member_failed(member->services, failed);
}

struct sectors {
    const uint8_t *data;
    size_t size;
};

static int produce_sectors(void *context, void *data, size_t capacity, size_t *size)
{
    const struct sectors *sectors = context;
    if (sectors->size > capacity)
        return -1;
    memcpy(data, sectors->data, sectors->size);
    *size = sectors->size;
    return 0;
}

/* The content of sectors that nobody knew: from the host into the trace, or from the trace. */
static int learn(struct disk_member *member, uint64_t lba, uint32_t count, uint8_t *data)
{
    if (member->services->closing)
        return 0;
    for (uint32_t done = 0; done < count;) {
        uint32_t piece = count - done < PIECE ? count - done : PIECE;
        uint8_t *at = data + (size_t)done * BLOCK_SECTOR;
        uint8_t bytes[PIECE * BLOCK_SECTOR];
        struct sectors host = {at, (size_t)piece * BLOCK_SECTOR};
        const struct input_question question = {INPUT_SECTORS, produce_sectors, &host};
        struct input_answer answer = {.data = bytes, .capacity = sizeof bytes};
        struct error error;
        int result = services_ask(member->services, &question, &answer, &error);
        if (result == 0 && answer.size != host.size)
            result = error_set(&error, "a disk read of %zu bytes was recorded as one of %zu",
                host.size, answer.size);
        if (result < 0) {
            services_fail(member->services, &error);
            return -1;
        }
        memcpy(at, bytes, answer.size);
        if (member->store.holds_data)
            disk_store_write(&member->store, lba + done, piece, at);
        done += piece;
    }
    disk_store_mark(&member->store, lba, count, true);
    return 0;
}

static int member_read(void *object, uint64_t lba, uint32_t count, uint8_t *data)
{
    struct disk_member *member = object;
    bool failed = false;
    if (member->file) {
        struct raid_member file = raw_member(member->file);
        failed = file.ops->read(file.object, lba, count, data) != 0;
    }
    if (settle(member, failed))
        return -1;
    for (uint32_t done = 0; done < count;) {
        bool known;
        uint32_t run = disk_store_run(&member->store, lba + done, count - done, &known);
        uint8_t *at = data + (size_t)done * BLOCK_SECTOR;
        if (!known && learn(member, lba + done, run, at) < 0)
            return -1;
        if (known && member->store.holds_data)
            disk_store_read(&member->store, lba + done, run, at);
        done += run;
    }
    return 0;
}

/* NULL data: zeroes. */
static int change(struct disk_member *member, uint64_t lba, uint32_t count, const uint8_t *data)
{
    bool failed = false;
    if (member->file) {
        struct raid_member file = raw_member(member->file);
        failed = data ? file.ops->write(file.object, lba, count, data) != 0
                      : file.ops->zero(file.object, lba, count) != 0;
    }
    failed = settle(member, failed);
    /* What a failed write left behind is for the next read to find out. */
    disk_store_mark(&member->store, lba, count, !failed);
    if (!failed && member->store.holds_data)
        disk_store_write(&member->store, lba, count, data);
    return failed ? -1 : 0;
}

static int member_write(void *object, uint64_t lba, uint32_t count, const uint8_t *data)
{
    return change(object, lba, count, data);
}

static int member_zero(void *object, uint64_t lba, uint32_t count)
{
    return change(object, lba, count, NULL);
}

static int member_flush(void *object)
{
    struct disk_member *member = object;
    bool failed = false;
    if (member->file) {
        struct raid_member file = raw_member(member->file);
        failed = file.ops->flush(file.object) != 0;
    }
    return settle(member, failed) ? -1 : 0;
}

static uint64_t member_size(const void *object)
{
    const struct disk_member *member = object;
    return member->store.sectors;
}

static const struct raid_member_ops member_ops = {
    .read = member_read,
    .write = member_write,
    .zero = member_zero,
    .flush = member_flush,
    .size = member_size,
};

int disk_member_create(struct disk_member *member, const struct services *services,
    struct raw_file *file, uint64_t sectors, struct error *error)
{
    *member = (struct disk_member){.services = services, .file = file};
    return disk_store_create(&member->store, sectors, file == NULL, error);
}

void disk_member_destroy(struct disk_member *member)
{
    raw_close(member->file);
    disk_store_destroy(&member->store);
    member->file = NULL;
}

struct raid_member disk_member_interface(struct disk_member *member)
{
    return (struct raid_member){.ops = &member_ops, .object = member};
}

int disk_member_peek(const struct disk_member *member, uint64_t lba, uint32_t count, uint8_t *data)
{
    if (member->file) {
        struct raid_member file = raw_member(member->file);
        return file.ops->read(file.object, lba, count, data);
    }
    for (uint32_t done = 0; done < count;) {
        bool known;
        uint32_t run = disk_store_run(&member->store, lba + done, count - done, &known);
        if (!known)
            return -1;
        disk_store_read(&member->store, lba + done, run, data + (size_t)done * BLOCK_SECTOR);
        done += run;
    }
    return 0;
}
