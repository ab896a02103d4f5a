/* Accesses of an array handed to its level, and its state saved, restored and described. */
#include "devices/raid/array.h"

#include <string.h>

static void request(
    struct raid_array *array, enum block_request kind, uint64_t sector, uint32_t count)
{
    if (array->observer.request)
        array->observer.request(array->observer.context, kind, sector, count);
}

/* A failure met on the way is on the remaining members before the guest hears of success. */
static enum block_status finish(struct raid_array *array, enum block_status status)
{
    enum block_status settled = raid_settle(array);
    return status ? status : settled;
}

static enum block_status array_read(void *object, uint64_t lba, uint32_t count, uint8_t *data)
{
    struct raid_array *array = object;
    request(array, BLOCK_READ, lba, count);
    if (!count)
        return BLOCK_OK;
    enum block_status status = array->level->read(array, lba, count, data);
    (void)raid_settle(array); /* what was read is right, whether or not this can be recorded */
    return status;
}

static enum block_status array_write(
    void *object, uint64_t lba, uint32_t count, const uint8_t *data)
{
    struct raid_array *array = object;
    request(array, BLOCK_WRITE, lba, count);
    if (!count)
        return BLOCK_OK;
    if (raid_begin_writing(array))
        return BLOCK_EIO;
    return finish(array, array->level->write(array, lba, count, data));
}

static enum block_status zero(struct raid_array *array, uint64_t lba, uint32_t count, bool discard)
{
    if (!count)
        return BLOCK_OK;
    if (raid_begin_writing(array))
        return BLOCK_EIO;
    return finish(array, array->level->zero(array, lba, count, discard));
}

static enum block_status array_discard(void *object, uint64_t lba, uint32_t count)
{
    request(object, BLOCK_DISCARD, lba, count);
    return zero(object, lba, count, true);
}

static enum block_status array_write_zeroes(void *object, uint64_t lba, uint32_t count, bool unmap)
{
    (void)unmap;
    request(object, BLOCK_ZERO, lba, count);
    return zero(object, lba, count, false);
}

static enum block_status array_flush(void *object)
{
    struct raid_array *array = object;
    request(array, BLOCK_FLUSH, 0, 0);
    if (array->failed)
        return BLOCK_EIO;
    enum block_status status = finish(array, raid_flush_members(array));
    if (status == BLOCK_OK && array->running) {
        raid_bitmap_age(array);
        status = finish(array, BLOCK_OK);
    }
    return status;
}

static const struct block_device_ops array_ops = {
    .read = array_read,
    .write = array_write,
    .flush = array_flush,
    .discard = array_discard,
    .write_zeroes = array_write_zeroes,
};

void raid_array_init(struct raid_array *array)
{
    const struct raid_superblock *super = &array->super;
    array->level = super->geometry.level == RAID_0   ? &raid0_ops
                   : super->geometry.level == RAID_1 ? &raid1_ops
                                                     : &raid5_ops;
    array->block = (struct block_device){
        .ops = &array_ops,
        .object = array,
        .sectors = super->geometry.sectors,
        .block_size = BLOCK_SECTOR,
    };
    if (super->geometry.level != RAID_1) {
        array->block.minimum_io = super->geometry.chunk * BLOCK_SECTOR;
        array->block.optimal_io = array->block.minimum_io * raid_data_members(&super->geometry);
    }
    const char *name = super->name[0] ? super->name : "hindsight-raid";
    for (unsigned i = 0; i < sizeof array->block.identity && name[i]; i++)
        array->block.identity[i] = name[i];
}

struct block_device *raid_block_device(struct raid_array *array)
{
    return &array->block;
}

const struct raid_superblock *raid_status(const struct raid_array *array)
{
    return &array->super;
}

bool raid_failed(const struct raid_array *array)
{
    return array->failed;
}

bool raid_degraded(const struct raid_array *array)
{
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (array->super.member[i].state != RAID_MEMBER_ACTIVE)
            return true;
    }
    return false;
}

uint64_t raid_rebuild_position(const struct raid_array *array)
{
    return array->rebuilt;
}

bool raid_fail(struct raid_array *array, unsigned member)
{
    if (member >= array->super.geometry.members || !raid_usable(array, member))
        return false;
    raid_take_out(array, member);
    (void)raid_settle(array);
    return true;
}

void raid_save(const struct raid_array *array, struct buffer *out)
{
    const struct raid_superblock *super = &array->super;
    buffer_put_u32(out, (uint32_t)super->geometry.level);
    buffer_put_u32(out, super->geometry.members);
    buffer_put_u64(out, super->geometry.member_sectors);
    buffer_put_u64(out, super->events);
    buffer_put_u64(out, super->since);
    buffer_put_u64(out, super->epoch);
    buffer_put_u64(out, super->rebuilt);
    buffer_put_u64(out, array->rebuilt);
    buffer_put_u64(out, array->sequence);
    buffer_put_u32(out, array->flushes);
    buffer_put_u8(out, (uint8_t)(super->clean | array->running << 1 | array->failed << 2 |
                                 array->unsettled << 3 | (super->fold != 0) << 4));
    for (unsigned i = 0; i < super->geometry.members; i++) {
        buffer_put_u64(out, super->member[i].id);
        buffer_put_u8(out, (uint8_t)super->member[i].state);
    }
    for (unsigned i = 0; i < JOURNAL_SLOTS; i++) {
        buffer_put_u8(out, array->journal[i].live);
        buffer_put_u64(out, array->journal[i].row);
        buffer_put_u32(out, array->journal[i].count);
    }
    for (unsigned i = 0; i < super->geometry.members; i++) {
        const struct raid_bad_list *list = &array->bad[i];
        buffer_put_u64(out, list->sequence);
        buffer_put_u8(out, list->changed);
        buffer_put_u32(out, list->count);
        for (unsigned j = 0; j < list->count; j++) {
            buffer_put_u64(out, list->run[j].lba);
            buffer_put_u32(out, list->run[j].count);
        }
    }
    if (super->fold) {
        buffer_put_u64(out, super->fold);
        buffer_put_u32(out, super->fold_member);
        buffer_put(out, array->folded, sizeof array->folded);
    }
    buffer_put(out, array->dirty, sizeof array->dirty);
    buffer_put(out, array->recent, sizeof array->recent);
}

static void restore_list(struct raid_bad_list *list, struct reader *in)
{
    list->sequence = reader_get_u64(in);
    list->changed = reader_get_u8(in) & 1;
    list->count = reader_get_u32(in);
    if (list->count > RAID_BAD_RUNS) {
        list->count = 0;
        in->failed = true;
    }
    for (unsigned i = 0; i < list->count; i++) {
        list->run[i].lba = reader_get_u64(in);
        list->run[i].count = reader_get_u32(in);
    }
}

void raid_restore(struct raid_array *array, struct reader *in)
{
    struct raid_superblock *super = &array->super;
    if (reader_get_u32(in) != (uint32_t)super->geometry.level ||
        reader_get_u32(in) != super->geometry.members ||
        reader_get_u64(in) != super->geometry.member_sectors) {
        in->failed = true;
        return;
    }
    super->events = reader_get_u64(in);
    super->since = reader_get_u64(in);
    super->epoch = reader_get_u64(in);
    super->rebuilt = reader_get_u64(in);
    array->rebuilt = reader_get_u64(in);
    array->sequence = reader_get_u64(in);
    array->flushes = reader_get_u32(in);
    uint8_t flags = reader_get_u8(in);
    super->clean = flags & 1;
    array->running = flags & 2;
    array->failed = flags & 4;
    array->unsettled = flags & 8;
    for (unsigned i = 0; i < super->geometry.members; i++) {
        super->member[i].id = reader_get_u64(in);
        uint8_t state = reader_get_u8(in);
        /* A member that has no store can only be out. */
        bool known = state >= RAID_MEMBER_ACTIVE && state <= RAID_MEMBER_REBUILDING;
        if (!known || (state != RAID_MEMBER_FAILED && !array->io[i].ops))
            in->failed = true;
        else
            super->member[i].state = (enum raid_member_state)state;
    }
    for (unsigned i = 0; i < JOURNAL_SLOTS; i++) {
        array->journal[i].live = reader_get_u8(in) & 1;
        array->journal[i].row = reader_get_u64(in);
        array->journal[i].count = reader_get_u32(in);
    }
    for (unsigned i = 0; i < super->geometry.members; i++)
        restore_list(&array->bad[i], in);
    raid_fold_forget(array);
    if (flags & 16) {
        super->fold = reader_get_u64(in);
        super->fold_member = reader_get_u32(in);
        reader_get(in, array->folded, sizeof array->folded);
    }
    reader_get(in, array->dirty, sizeof array->dirty);
    reader_get(in, array->recent, sizeof array->recent);
    if (array->rebuilt > super->geometry.member_sectors ||
        super->fold_member >= super->geometry.members)
        in->failed = true;
}

void raid_describe(const struct raid_array *array, struct buffer *out)
{
    const struct raid_superblock *super = &array->super;
    buffer_printf(out, "level %d\nmembers %u\nchunk %u\nsectors %llu\nevents %llu\nstate %s\n",
        (int)super->geometry.level, super->geometry.members, super->geometry.chunk * BLOCK_SECTOR,
        (unsigned long long)super->geometry.sectors, (unsigned long long)super->events,
        array->failed          ? "failed"
        : raid_degraded(array) ? "degraded"
                               : "optimal");
    for (unsigned i = 0; i < super->geometry.members; i++)
        buffer_printf(out, "member%u %s, %llu bad sectors\n", i,
            raid_member_state_name(super->member[i].state),
            (unsigned long long)raid_bad_sectors(array, i));
    buffer_printf(out, "rebuilt %llu\n", (unsigned long long)array->rebuilt);
}
