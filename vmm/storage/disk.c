/* The machine's disks. */
#include "vmm/storage/disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "devices/virtio_blk.h"
#include "vmm/host/block/raw.h"
#include "vmm/storage/disk_member.h"

/* How long after a failure a spare comes in, and how a rebuild is paced: virtual time. */
#define SPARE_DELAY_NS  1000000ull
#define REBUILD_STEP_NS 1000000ull
enum { REBUILD_STRIPES = 16 };

/* One place of the array: a file with its injected faults, or the spare that replaced it. */
struct slot {
    struct disk *disk;
    struct fault_layer faults;
    struct raid_member faulty; /* the file under `faults` */
    bool replaced;
};

struct timed_fault {
    struct timer timer;
    struct disk *disk;
    struct fault fault;
};

struct disk {
    const struct services *services;
    unsigned number;
    const struct disk_config *config;
    char name[16], storage_name[16];
    bool keep_parity;
    bool stops_cleanly; /* the images are real: mark the array clean when closing */
    struct disk_member file[DISK_MAX_FILES]; /* members, then the spare */
    unsigned files;
    struct slot slot[RAID_MAX_MEMBERS];
    struct raid_array *array;
    struct block_device single; /* when not an array */
    struct raid_member alone;
    struct block_device front; /* what virtio-blk sees: notes requests on the way */
    struct block_device *volume;
    struct virtio_blk *blk;
    struct timer rebuild;
    uint8_t rebuilding; /* member the spare is for, or RAID_NO_MEMBER */
    struct timed_fault timed[FAULT_MAX];
    unsigned timed_count;
};

/* ---- Notes ---- */

static void note_request(
    struct disk *disk, enum block_request kind, uint64_t sector, uint32_t count)
{
    struct buffer payload = {0};
    const struct note_disk_request note = {
        disk->number, kind, sector, count, clock_now(disk->services->clock)};
    note_disk_request_encode(&note, &payload);
    services_note(disk->services, NOTE_DISK_REQUEST, &payload);
}

static void see_member_io(void *context, const struct raid_member_io *io)
{
    struct disk *disk = context;
    struct buffer payload = {0};
    const struct note_member_io note = {
        .disk = disk->number,
        .member = io->member,
        .parity = io->parity,
        .kind = io->kind,
        .role = io->role,
        .lba = io->lba,
        .count = io->count,
        .stripe = io->stripe,
        .failed = io->failed,
        .digest =
            io->data && !io->failed ? XXH3_64bits(io->data, (size_t)io->count * BLOCK_SECTOR) : 0,
    };
    note_member_io_encode(&note, &payload);
    services_note(disk->services, NOTE_MEMBER_IO, &payload);
}

static void see_change(void *context, enum raid_change change, unsigned member)
{
    struct disk *disk = context;
    struct clock *clock = disk->services->clock;
    struct buffer payload = {0};
    const struct note_array_change note = {disk->number, member, change, clock->now};
    note_array_change_encode(&note, &payload);
    services_note(disk->services, NOTE_ARRAY_CHANGE, &payload);
    if (change == RAID_CHANGE_FAILED && disk->config->has_spare &&
        disk->rebuilding == RAID_NO_MEMBER && !disk->slot[member % RAID_MAX_MEMBERS].replaced) {
        disk->rebuilding = (uint8_t)member;
        timer_arm(clock, &disk->rebuild, clock->now + SPARE_DELAY_NS);
    }
    if (change == RAID_CHANGE_REBUILT)
        disk->rebuilding = RAID_NO_MEMBER;
}

/* ---- The slot that the array knows ---- */

static struct raid_member below(const struct slot *slot)
{
    const struct disk *disk = slot->disk;
    if (!slot->replaced)
        return slot->faulty;
    return disk_member_interface((struct disk_member *)&disk->file[disk->files - 1]);
}

static int slot_read(void *object, uint64_t lba, uint32_t count, uint8_t *data)
{
    struct raid_member member = below(object);
    return member.ops->read(member.object, lba, count, data);
}

static int slot_write(void *object, uint64_t lba, uint32_t count, const uint8_t *data)
{
    struct raid_member member = below(object);
    return member.ops->write(member.object, lba, count, data);
}

static int slot_zero(void *object, uint64_t lba, uint32_t count)
{
    struct raid_member member = below(object);
    return member.ops->zero(member.object, lba, count);
}

static int slot_flush(void *object)
{
    struct raid_member member = below(object);
    return member.ops->flush(member.object);
}

static uint64_t slot_size(const void *object)
{
    struct raid_member member = below(object);
    return member.ops->size(member.object);
}

static const struct raid_member_ops slot_ops = {
    .read = slot_read,
    .write = slot_write,
    .zero = slot_zero,
    .flush = slot_flush,
    .size = slot_size,
};

/* ---- Faults, spare, rebuild ---- */

static void apply_fault(void *context, uint64_t now)
{
    struct timed_fault *timed = context;
    struct disk *disk = timed->disk;
    struct error error;
    (void)now;
    if (fault_inject(&disk->slot[timed->fault.member].faults, &timed->fault, &error) < 0)
        services_fail(disk->services, &error);
}

static int arm_faults(
    struct disk *disk, const struct fault *faults, unsigned count, struct error *error)
{
    for (unsigned i = 0; i < count; i++) {
        const struct fault *fault = &faults[i];
        if (fault->disk != disk->number)
            continue;
        if (fault->member >= disk->config->members)
            return error_set(error, "--fault: disk%u has no member%u; it has %u files", fault->disk,
                fault->member, disk->config->members);
        if (fault->time == 0) {
            if (fault_inject(&disk->slot[fault->member].faults, fault, error) < 0)
                return -1;
            continue;
        }
        struct timed_fault *timed = &disk->timed[disk->timed_count++];
        *timed = (struct timed_fault){.disk = disk, .fault = *fault};
        timer_init(disk->services->clock, &timed->timer, apply_fault, timed);
        timer_arm(disk->services->clock, &timed->timer, fault->time);
    }
    return 0;
}

/* A member failed a while ago: the spare takes its place; then some stripes at a time. */
static void rebuild_some(void *context, uint64_t now)
{
    struct disk *disk = context;
    struct error error;
    if (disk->rebuilding == RAID_NO_MEMBER)
        return;
    struct slot *slot = &disk->slot[disk->rebuilding];
    if (!slot->replaced) {
        const struct raid_member member = {.ops = &slot_ops, .object = slot};
        slot->replaced = true;
        if (raid_replace(disk->array, disk->rebuilding, &member, &error) < 0) {
            slot->replaced = false;
            disk->rebuilding = RAID_NO_MEMBER;
            return;
        }
    }
    if (raid_rebuild_step(disk->array, REBUILD_STRIPES, &error) > 0)
        timer_arm(disk->services->clock, &disk->rebuild, now + REBUILD_STEP_NS);
    else
        disk->rebuilding = RAID_NO_MEMBER;
}

/* ---- The volume, with its requests noted ---- */

static enum block_status front_read(void *object, uint64_t lba, uint32_t count, uint8_t *data)
{
    struct disk *disk = object;
    note_request(disk, BLOCK_READ, lba, count);
    return disk->volume->ops->read(disk->volume->object, lba, count, data);
}

static enum block_status front_write(
    void *object, uint64_t lba, uint32_t count, const uint8_t *data)
{
    struct disk *disk = object;
    note_request(disk, BLOCK_WRITE, lba, count);
    return disk->volume->ops->write(disk->volume->object, lba, count, data);
}

static enum block_status front_flush(void *object)
{
    struct disk *disk = object;
    note_request(disk, BLOCK_FLUSH, 0, 0);
    return disk->volume->ops->flush(disk->volume->object);
}

static enum block_status front_discard(void *object, uint64_t lba, uint32_t count)
{
    struct disk *disk = object;
    note_request(disk, BLOCK_DISCARD, lba, count);
    return disk->volume->ops->discard(disk->volume->object, lba, count);
}

static enum block_status front_write_zeroes(void *object, uint64_t lba, uint32_t count, bool unmap)
{
    struct disk *disk = object;
    note_request(disk, BLOCK_ZERO, lba, count);
    return disk->volume->ops->write_zeroes(disk->volume->object, lba, count, unmap);
}

static const struct block_device_ops front_ops = {
    .read = front_read,
    .write = front_write,
    .flush = front_flush,
    .discard = front_discard,
    .write_zeroes = front_write_zeroes,
};

/* ---- As a device: what checkpoints and digests cover ---- */

static void disk_reset(void *object)
{
    (void)object; /* a reset does not reach the storage */
}

static void save_timer(const struct timer *timer, struct buffer *out)
{
    buffer_put_u64(out, timer->deadline);
}

static void disk_save(const void *object, struct buffer *out)
{
    const struct disk *disk = object;
    for (unsigned i = 0; i < disk->config->members; i++) {
        fault_save(&disk->slot[i].faults, out);
        buffer_put_u8(out, disk->slot[i].replaced);
    }
    buffer_put_u8(out, disk->rebuilding);
    save_timer(&disk->rebuild, out);
    for (unsigned i = 0; i < disk->timed_count; i++)
        save_timer(&disk->timed[i].timer, out);
    if (disk->array)
        raid_save(disk->array, out);
}

static void disk_restore(void *object, struct reader *in)
{
    struct disk *disk = object;
    struct clock *clock = disk->services->clock;
    for (unsigned i = 0; i < disk->config->members; i++) {
        fault_restore(&disk->slot[i].faults, in);
        disk->slot[i].replaced = reader_get_u8(in) != 0;
    }
    disk->rebuilding = reader_get_u8(in);
    if (disk->rebuilding >= disk->config->members)
        disk->rebuilding = RAID_NO_MEMBER;
    timer_arm(clock, &disk->rebuild, reader_get_u64(in));
    for (unsigned i = 0; i < disk->timed_count; i++)
        timer_arm(clock, &disk->timed[i].timer, reader_get_u64(in));
    if (disk->array)
        raid_restore(disk->array, in);
}

static void disk_describe(const void *object, struct buffer *out)
{
    const struct disk *disk = object;
    buffer_printf(out, "sectors %llu\n", (unsigned long long)disk->front.sectors);
    if (disk->array)
        raid_describe(disk->array, out);
}

static void disk_free(void *device)
{
    disk_destroy(device);
}

static const struct device_ops disk_ops = {
    .destroy = disk_free,
    .reset = disk_reset,
    .save = disk_save,
    .restore = disk_restore,
    .describe = disk_describe,
};

/* ---- Making ---- */

static int open_files(struct disk *disk, struct error *error)
{
    const struct disk_config *config = disk->config;
    bool replays = disk->services->no_host;
    const struct raw_options options = {.snapshot = config->snapshot};
    for (unsigned i = 0; i < config->members + config->has_spare; i++) {
        struct raw_file *file = NULL;
        if (!replays && !(file = raw_open(config->path[i], &options, error)))
            return -1;
        disk->files = i + 1;
        if (disk_member_create(&disk->file[i], disk->services, file, config->sectors[i], error) < 0)
            return -1;
        if (i >= config->members)
            break;
        struct slot *slot = &disk->slot[i];
        slot->disk = disk;
        slot->faults.below = disk_member_interface(&disk->file[i]);
        slot->faulty = fault_member(&slot->faults);
    }
    return 0;
}

/* Before the array is recovered: one that is refused stays as it is. */
static int check_array(void *context, const struct raid_array *array, struct error *error)
{
    const struct disk_config *config = ((const struct disk *)context)->config;
    const struct raid_superblock *found = raid_status(array);
    if (found->geometry.level != config->level)
        return error_set(error, "disk: the files are a RAID %u array, not RAID %u",
            (unsigned)found->geometry.level, (unsigned)config->level);
    if (config->chunk && config->level != RAID_1 &&
        config->chunk != (uint64_t)found->geometry.chunk * BLOCK_SECTOR)
        return error_set(error, "disk: the array's chunk is %llu bytes, not %llu",
            (unsigned long long)found->geometry.chunk * BLOCK_SECTOR,
            (unsigned long long)config->chunk);
    return 0;
}

static int assemble(struct disk *disk, struct error *error)
{
    const struct disk_config *config = disk->config;
    struct raid_member members[RAID_MAX_MEMBERS];
    for (unsigned i = 0; i < config->members; i++)
        members[i] = (struct raid_member){.ops = &slot_ops, .object = &disk->slot[i]};
    if (!config->is_array) {
        disk->alone = members[0];
        block_device_from_member(&disk->single, &disk->alone);
        disk->volume = &disk->single;
        return 0;
    }
    const struct raid_options options = {
        .allow_missing = true,
        .force = config->force,
        .keep_parity = disk->keep_parity,
        .check = check_array,
        .check_context = disk,
        .observer = {.context = disk, .member_io = see_member_io, .change = see_change},
    };
    disk->array = raid_assemble(members, config->members, &options, error);
    if (!disk->array)
        return -1;
    disk->volume = raid_block_device(disk->array);
    return 0;
}

static int add_function(struct disk *disk, struct error *error)
{
    disk->front = *disk->volume;
    disk->front.ops = &front_ops;
    disk->front.object = disk;
    snprintf(disk->front.identity, sizeof disk->front.identity, "hindsight-%s", disk->name);
    const struct virtio_blk_config config = {
        .name = disk->name,
        .disk = &disk->front,
        .memory = disk->services->memory,
        .is_transitional = disk->services->transitional_virtio,
    };
    disk->blk = virtio_blk_create(&config, error);
    if (!disk->blk)
        return -1;
    return pci_add(disk->services->pci, virtio_blk_function(disk->blk), error);
}

struct disk *disk_create(const struct services *services, unsigned number,
    const struct disk_config *config, bool keep_parity, const struct fault *faults,
    unsigned fault_count, struct error *error)
{
    struct disk *disk = calloc(1, sizeof *disk);
    if (!disk) {
        error_set(error, "out of memory");
        return NULL;
    }
    disk->services = services;
    disk->number = number;
    disk->config = config;
    disk->keep_parity = keep_parity;
    disk->rebuilding = RAID_NO_MEMBER;
    disk->stops_cleanly = !services->no_host;
    snprintf(disk->name, sizeof disk->name, "disk%u", number);
    snprintf(disk->storage_name, sizeof disk->storage_name, "storage%u", number);
    timer_init(services->clock, &disk->rebuild, rebuild_some, disk);
    if (open_files(disk, error) < 0 || arm_faults(disk, faults, fault_count, error) < 0 ||
        assemble(disk, error) < 0 || add_function(disk, error) < 0) {
        disk_destroy(disk);
        return NULL;
    }
    return disk;
}

void disk_destroy(struct disk *disk)
{
    if (!disk)
        return;
    virtio_blk_destroy(disk->blk);
    timer_cancel(disk->services->clock, &disk->rebuild);
    for (unsigned i = 0; i < disk->timed_count; i++)
        timer_cancel(disk->services->clock, &disk->timed[i].timer);
    if (disk->array) {
        if (disk->stops_cleanly)
            raid_stop(disk->array);
        raid_free(disk->array);
    }
    for (unsigned i = 0; i < disk->files; i++)
        disk_member_destroy(&disk->file[i]);
    free(disk);
}

struct device disk_storage_device(struct disk *disk)
{
    return (struct device){.name = disk->storage_name, .ops = &disk_ops, .object = disk};
}

struct device disk_controller_device(struct disk *disk)
{
    return virtio_blk_device(disk->blk);
}

struct disk_store *disk_image_store(struct disk *disk, unsigned index)
{
    return index < disk->files ? &disk->file[index].store : NULL;
}

struct raid_array *disk_array(struct disk *disk)
{
    return disk->array;
}

uint64_t disk_sectors(const struct disk *disk)
{
    return disk->front.sectors;
}

int disk_peek(
    const struct disk *disk, uint64_t sector, uint32_t count, uint8_t *data, struct error *error)
{
    if (disk->array)
        return error_set(error, "disk%u is an array", disk->number);
    if (sector > disk->front.sectors || count > disk->front.sectors - sector)
        return error_set(error, "disk%u ends before sector %llu", disk->number,
            (unsigned long long)(sector + count));
    if (disk_member_peek(&disk->file[0], sector, count, data) < 0)
        return error_set(error,
            "sector %llu of disk%u is not known: the guest had neither read nor written it",
            (unsigned long long)sector, disk->number);
    return 0;
}
